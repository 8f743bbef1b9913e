"""A cancel that comes while the store cannot be asked."""

from __future__ import annotations

import asyncio

import pytest
from engine_kit import ANNA, BERT, Engine, Scripted

from tidegate.core.events import Delta, GenerationRequest
from tidegate.errors import StoreUnavailable
from tidegate.providers.base import Sink
from tidegate.stores.memory import MemoryStore
from tidegate.stores.records import Look

pytestmark = pytest.mark.anyio


class Away(MemoryStore):
    """A store whose records cannot be read."""

    async def look(self, stream: str) -> Look:
        raise StoreUnavailable("it is away")


async def hang(request: GenerationRequest, sink: Sink) -> None:
    sink.emit([Delta("Well, ")])
    await asyncio.Event().wait()


async def test_the_owners_wish_is_carried_out_all_the_same() -> None:
    """The model stops where it runs, though the caller is told that nobody knows yet; another's wish does nothing."""
    engine = Engine(store=Away(max_generation_bytes=1 << 20))
    engine.add(Scripted(hang))
    stream = await engine.start()
    live = engine.service.node.live.get(stream)
    assert live is not None
    with pytest.raises(StoreUnavailable):
        await engine.service.cancel(stream, BERT, None)
    assert not live.ended.done()
    with pytest.raises(StoreUnavailable):
        await engine.service.cancel(stream, ANNA, "enough")
    assert (await asyncio.wait_for(asyncio.shield(live.ended), 5)).reason == "enough"  # type: ignore[union-attr]
    await engine.service.close()
