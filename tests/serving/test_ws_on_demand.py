from __future__ import annotations

import pytest
import uvicorn
from uvicorn.server import ServerState

from tidegate.serving.budget import Budget
from tidegate.serving.ws_heart import HeartRates
from tidegate.serving.ws_on_demand import ws_on_demand
from tidegate.serving.ws_protocol import SocketProtocol

pytestmark = pytest.mark.anyio


async def app(scope: object, receive: object, send: object) -> None: ...


async def test_every_socket_has_the_limits() -> None:
    """The first one, with which the protocol is imported, and all others are of one class."""
    rates, budget = HeartRates(ping_seconds=5), Budget()
    make = ws_on_demand(max_message_bytes=7, send_buffer_bytes=9, rates=rates, budget=budget)
    config = uvicorn.Config(app, lifespan="off", log_config=None)
    config.load()
    one, other = (make(config=config, server_state=ServerState(), app_state={}) for _ in range(2))
    assert type(one) is type(other)
    assert isinstance(one, SocketProtocol)
    assert (one.max_message_bytes, one.send_buffer_bytes) == (7, 9)
    assert one.rates is rates
    assert one.budget is budget
