from __future__ import annotations

import re
import threading
from collections.abc import Generator
from contextlib import contextmanager

import pytest

from tidegate.bench.options import Options
from tidegate.bench.publishing import Send, publishing
from tidegate.errors import TidegateError

OPTIONS = Options(readers=1, rate=200, seconds=0, rounds=1, size=3)


def test_what_was_published_is_counted() -> None:
    """Each message says when it was made, in the form that the load generator reads."""
    said: list[tuple[int, str]] = []
    enough = threading.Event()

    @contextmanager
    def connected() -> Generator[Send]:
        def send(number: int, text: str) -> None:
            said.append((number, text))
            if len(said) == 3:
                enough.set()

        yield send

    with publishing(OPTIONS, connected) as published:
        assert enough.wait(10)
    assert [number for number, _ in said] == list(range(published()))
    assert all(re.fullmatch(r"@\d{19};xxx", text) for _, text in said)


def test_a_publisher_that_fails_ends_the_run() -> None:
    """Readers who were sent nothing would have cost nothing."""

    @contextmanager
    def connected() -> Generator[Send]:
        raise TidegateError("refused")
        yield

    with publishing(OPTIONS, connected) as published:
        pass
    with pytest.raises(TidegateError, match="refused"):
        published()
