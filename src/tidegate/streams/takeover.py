"""Streams that a process has left without an end: carried on where that is possible, otherwise ended."""

from __future__ import annotations

from asyncio import Future

import msgspec

from tidegate.core.events import Carried, ErrorInfo, Failed, Usage
from tidegate.errors import Interrupted
from tidegate.stores.base import Store
from tidegate.stores.records import Fence, StreamRecord
from tidegate.streams.generation import Order
from tidegate.streams.history import fold
from tidegate.streams.models import Model


async def order_of(store: Store, record: StreamRecord, model: Model | None) -> Order | None:
    """What is left to be generated; None where nobody can, or nobody would be there to read it.

    With a grace of 0 the only caller has left together with the process. What was still queued has cost nothing yet,
    and begins. What was running goes on from its text, where its model can do that.
    """
    if model is None or record.request is None or record.grace == 0:
        return None
    if not record.running:
        return Order(record.request, record.owner, record.grace)
    if not model.can_continue:
        return None
    folded = await fold(store, record.id)
    if folded.reasoning or folded.tool_calls or folded.last is None:
        # No model goes on in the middle of a thought or of a call.
        return None
    carried = Carried(folded.text, folded.pieces)
    return Order(msgspec.structs.replace(record.request, carried=carried), record.owner, record.grace)


async def end_interrupted(store: Store, fence: Fence, tail: int) -> None:
    """Ends the stream after the offset `tail` as `failed`, with code `interrupted`."""
    error = Interrupted("the process that filled the stream stopped before its end")
    usage = Usage(0, tail - 1, tail - 1, estimated=True)
    answer = store.append([Failed(ErrorInfo(error.type, error.code, error.message), usage)], fence=fence, expected=tail)
    if isinstance(answer, Future):
        await answer
