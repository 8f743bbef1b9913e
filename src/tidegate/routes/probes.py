"""The probes of load balancers and supervisors."""

from __future__ import annotations

import msgspec

from tidegate.errors import Draining, StoreUnavailable
from tidegate.routes.call import Call


class Health(msgspec.Struct, frozen=True):
    status: str


async def alive(call: Call) -> None:
    """Answers 200: the event loop runs, so the process is alive."""
    await call.answer_json(Health("ok"))


async def ready(call: Call) -> None:
    """Answers 200 while new generations are taken. Raises `Draining`, or `StoreUnavailable` where the store is lost."""
    if call.service.draining:
        raise Draining("this server is about to stop and takes no new generations")
    if call.service.store_fault is not None:
        raise StoreUnavailable(
            "the store cannot be used any more, or not for too long now: its operator finds the reason in the log"
        )
    await call.answer_json(Health("ready"))
