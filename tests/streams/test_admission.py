from __future__ import annotations

import asyncio

import pytest

from tidegate.errors import QueueFull
from tidegate.streams.admission import Admission, Ticket


def admission(max_queue: int) -> Admission:
    return Admission("m", max_concurrency=1, max_queue=max_queue)


def entered(model: Admission, *accounts: str) -> list[Ticket]:
    return [model.enter(account) for account in accounts]


def test_turns_go_round_the_callers() -> None:
    """One with a full queue of its own does not come before somebody with a single question."""
    model = admission(10)
    running, *waiting = entered(model, "ann", "ann", "ann", "ann", "ben")
    assert [ticket.position for ticket in waiting] == [1, 3, 4, 2]
    running.release()
    assert waiting[0].turn.is_set()
    waiting[0].release()
    assert waiting[3].turn.is_set()
    assert not waiting[1].turn.is_set()


def test_a_full_queue_makes_room_for_who_holds_less() -> None:
    """The newest of whoever holds the most gives way, and is told that the queue is full."""
    model = admission(3)
    _, first, second, third = entered(model, "ann", "ann", "ann", "ann")
    ben = model.enter("ben")
    assert isinstance(third.refusal, QueueFull)
    assert third.turn.is_set()
    assert third.position is None
    assert [ticket.position for ticket in (first, ben, second)] == [1, 2, 3]
    assert model.waiting == 3
    third.release()
    assert model.waiting == 3


def test_a_queue_of_one_is_shared_too() -> None:
    """What runs counts as held: who has the model already does not keep the only place beside it."""
    model = admission(1)
    running, waiting = entered(model, "ann", "ann")
    ben = model.enter("ben")
    assert waiting.refusal is not None
    with pytest.raises(QueueFull):
        model.enter("ann")
    running.release()
    assert ben.turn.is_set()


def test_those_who_hold_alike_stay() -> None:
    """Nobody is put out where the two would only change places, nor where nobody waits."""
    model = admission(2)
    entered(model, "ann", "ben", "cleo")
    with pytest.raises(QueueFull):
        model.enter("dan")
    none_waits = admission(0)
    none_waits.enter("ann")
    with pytest.raises(QueueFull):
        none_waits.enter("ben")


def test_more_places_are_taken_at_once() -> None:
    """By those whose turn it is; with no limit by all."""
    model = admission(10)
    _, first, second, third = entered(model, "ann", "ann", "ben", "cleo")
    model.resize(max_concurrency=2, max_queue=10)
    assert [ticket.turn.is_set() for ticket in (first, second, third)] == [True, False, False]
    model.resize(max_concurrency=0, max_queue=10)
    assert model.waiting == 0


def test_fewer_places_take_nobodys() -> None:
    """What runs or waits stays, and the next comes once there are fewer than may run."""
    model = Admission("m", max_concurrency=2, max_queue=10)
    one, two, waiting, other = entered(model, "ann", "ben", "cleo", "dan")
    model.resize(max_concurrency=1, max_queue=1)
    one.release()
    assert not waiting.turn.is_set()
    two.release()
    assert waiting.turn.is_set()
    assert not other.turn.is_set()
    with pytest.raises(QueueFull):
        model.enter("eve")


@pytest.mark.anyio
async def test_it_is_empty_when_all_have_left() -> None:
    """Those that wait count, too, and so does one that lost its place."""
    model = admission(1)
    running, waiting = entered(model, "ann", "ann")
    ben = model.enter("ben")
    emptied = asyncio.create_task(model.emptied())
    for ticket in (running, waiting):
        ticket.release()
        await asyncio.sleep(0)
        assert not emptied.done()
    ben.release()
    await emptied
    await model.emptied()
