"""Every upstream behaviour of the table, as the bytes of one response."""

from __future__ import annotations

import pytest
from behaviour import Behaviour
from behaviour_outcome import expected, relayed
from behaviour_table import BEHAVIOURS

pytestmark = pytest.mark.anyio

STRIDE = 11
"""Between two cuts into halves; a run with 1 takes two minutes."""

SENT = [row for row in BEHAVIOURS if isinstance(row.reply, bytes)]


def test_the_table_has_a_row_for_each_behaviour() -> None:
    """No two rows have the same name."""
    assert len({row.name for row in BEHAVIOURS}) == len(BEHAVIOURS) >= 80


@pytest.mark.parametrize("row", SENT, ids=[row.name for row in SENT])
async def test_wherever_the_bytes_are_cut_the_answer_is_the_same(row: Behaviour) -> None:
    """Head, chunk, character: a cut between two reads changes nothing of what is told."""
    sent = row.reply
    assert isinstance(sent, bytes)
    assert await relayed(sent) == expected(row)
    assert await relayed(*(sent[place : place + 1] for place in range(len(sent)))) == expected(row)
    for place in range(1 + len(row.name) % STRIDE, len(sent), STRIDE):
        assert await relayed(sent[:place], sent[place:]) == expected(row), place
