from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from tidegate.streams.rounds import Rounds


def joined(*accounts: str) -> Rounds:
    rounds = Rounds()
    for ticket, account in enumerate(accounts):
        rounds.join(account, ticket)
    return rounds


def served(rounds: Rounds) -> list[int]:
    return [rounds.next() for _ in range(len(rounds))]


def test_each_account_has_one_turn_a_round() -> None:
    """Whoever has queued much waits for those who have queued little, and not they for it."""
    assert served(joined("ann", "ann", "ann", "ben", "cleo", "ben")) == [0, 3, 4, 1, 5, 2]


def test_who_comes_new_waits_for_one_turn_of_each() -> None:
    """However many are queued, and however many rounds they have had."""
    rounds = joined(*["ann"] * 50)
    assert [rounds.next() for _ in range(3)] == [0, 1, 2]
    rounds.join("ben", 50)
    assert rounds.position("ben", 50) == 2


def test_new_accounts_keep_nobody_waiting_for_ever() -> None:
    """A second turn comes, though somebody new comes before each."""
    rounds = joined("ann", "ann")
    for ticket in range(2, 10):
        rounds.join(f"new {ticket}", ticket)
        if rounds.next() == 1:
            return
    raise AssertionError("the second turn has not come")


def test_who_leaves_moves_only_its_own_up() -> None:
    """The others' turns come no later for it, its own no later either."""
    rounds = joined("ann", "ann", "ann", "ben", "ben")
    rounds.leave("ann", 0)
    assert served(rounds) == [1, 3, 2, 4]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["join", "leave", "next"])), max_size=60))
def test_a_position_is_the_place_in_the_order_of_service(steps: list[tuple[str, str]]) -> None:
    """Whatever was queued, served and taken back before: as things stand, it is served so many turns later."""
    rounds = Rounds()
    waiting: dict[str, list[int]] = {}
    for ticket, (account, step) in enumerate(steps):
        own = waiting.get(account, [])
        if step == "join":
            rounds.join(account, ticket)
            waiting.setdefault(account, []).append(ticket)
        elif step == "leave" and own:
            rounds.leave(account, own.pop(len(own) // 2))
        elif step == "next" and len(rounds):
            first = rounds.next()
            next(line for line in waiting.values() if first in line).remove(first)
    told = {rounds.position(account, each): each for account, line in waiting.items() for each in line}
    assert [told[place] for place in sorted(told)] == served(rounds)
    assert sorted(told) == list(range(1, len(told) + 1))


def test_thousands_are_quickly_looked_up() -> None:
    """A list of streams asks for the position of each."""
    rounds = joined(*(f"account {number % 500}" for number in range(10_000)))
    begun = time.thread_time()
    for number in range(10_000):
        rounds.position(f"account {number % 500}", number)
    assert time.thread_time() - begun < 2
