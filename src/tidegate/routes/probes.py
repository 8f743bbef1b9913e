"""What load balancers and supervisors ask."""

from __future__ import annotations

import msgspec

from tidegate.errors import Draining
from tidegate.routes.call import Call


class Health(msgspec.Struct, frozen=True):
    status: str


async def alive(call: Call) -> None:
    """The loop turns, so the process is alive."""
    await call.answer_json(Health("ok"))


async def ready(call: Call) -> None:
    """Whether new generations are taken: not while the server drains."""
    if call.service.draining:
        raise Draining("this server is about to stop and takes no new generations")
    await call.answer_json(Health("ready"))
