"""Examinations of deployments in front of a server in this process, with times that suit tests."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager

import msgspec

from tidegate import Tidegate
from tidegate.client.doctor.examination import examine
from tidegate.client.doctor.finding import Finding
from tidegate.client.doctor.findings import findings
from tidegate.client.doctor.patience import Patience
from tidegate.client.doctor.seen import Seen
from tidegate.config import DeliverySettings, LimitSettings, ServerSettings, Settings, StoreSettings
from tidegate.stores.base import Store
from tidegate.testing.server import serving

PATIENCE = Patience(
    answer=20.0, body=30.0, event=20.0, watch=0.1, still=20.0, again=20.0, later=5, whole=120.0, farewell=10.0
)
"""Waits for long where what is waited for comes at once; where it does not come, a test has a patience of its own."""

SETTINGS = Settings(
    store=StoreSettings(url="memory://"),
    models=(),
    limits=LimitSettings(requests_per_minute=0),
    delivery=DeliverySettings(heartbeat_seconds=1),
)


def with_server(**fields: object) -> Settings:
    return msgspec.structs.replace(SETTINGS, server=ServerSettings(**fields))  # type: ignore[arg-type]


@asynccontextmanager
async def server(settings: Settings = SETTINGS, *, store: Store | None = None) -> AsyncIterator[str]:
    """The URL of a server, whose streams are all forgotten at the end: a doctor leaves nothing behind."""
    app = Tidegate(settings, store=store)
    await app.start()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(app.close)
        yield await stack.enter_async_context(serving(app))
        assert list(app.service.node.live) == []


async def examined(
    url: str, *, key: str = "", patience: Patience = PATIENCE, clock: Callable[[], float] = time.time
) -> Seen:
    return await examine(url, key, patience, clock)


def codes(seen: Seen) -> set[str]:
    return {finding.code for finding in findings(seen)}


def only(found: Iterable[Finding]) -> Finding:
    (finding,) = found
    return finding
