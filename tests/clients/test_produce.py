"""Streams that a JavaScript program fills, with the server in the way."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from api_kit import fetch
from eventually_kit import eventually
from restart_kit import Restartable
from runtime_kit import outcome, script

from tidegate.testing.process import running

pytestmark = pytest.mark.anyio

CONFIG = """
[limits]
requests_per_minute = 0
[store]
url = "sqlite:///logs.db"
lease_seconds = {lease}
[[models]]
name = "replay"
provider = "replay"
"""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = tmp_path_factory.mktemp("server")
    (home / "tidegate.toml").write_text(CONFIG.format(lease=2))
    with running("--config", "tidegate.toml", cwd=home) as server:
        yield server.url


def test_what_is_appended_is_there_once_and_in_order(url: str) -> None:
    """However many pieces went together, each is an event of its own; the end waits for all of them."""
    assert outcome("produce.mjs", url, "whole") == {
        "said": True,
        "reasoning": "hm",
        "calls": 1,
        "usage": 3,
        "ended": True,
        "offset": 2504,
        "late": "stream_ended",
        "same": True,
    }


def test_a_silent_model_keeps_its_stream(url: str) -> None:
    """The lease is renewed for as long as the program lives, here for longer than it lasts."""
    assert outcome("produce.mjs", url, "silent") == {"text": "thinking done", "status": "completed"}


def test_the_same_key_goes_on_and_fences(url: str) -> None:
    """A second run has the text so far; the first is told so, also by its signal; a third finds the end."""
    assert outcome("produce.mjs", url, "twice") == {
        "same": True,
        "before": "one ",
        "fenced": "fenced",
        "signal": "fenced",
        "text": "one two",
        "third": [True, "one two"],
    }


def test_a_reader_that_cancels_stops_the_work(url: str) -> None:
    """The signal says it within a lease, though nothing was being appended."""
    assert outcome("produce.mjs", url, "cancelled") == {
        "reason": "stream_ended",
        "late": "stream_ended",
        "end": "stream_ended",
    }


def test_a_mistake_is_told_and_not_repeated(url: str) -> None:
    """In an event as well as in the opening: the server's own code."""
    assert outcome("produce.mjs", url, "refused") == {
        "known": "unknown_field",
        "after": "unknown_field",
        "opened": "invalid_value",
    }


def test_one_object_may_carry_every_piece(url: str) -> None:
    """What was appended stays as it was then; and a mistake of one piece is none of the others."""
    assert outcome("produce.mjs", url, "reused") == {
        "text": "one two three",
        "status": "completed",
        "big": "TypeError",
    }


def test_what_is_over_lets_its_signal_go(url: str) -> None:
    """A program has one signal for all that it will ever produce; nothing was in vain."""
    assert outcome("produce.mjs", url, "lasting") == [1, 0, False, False]


def test_a_failure_is_an_end(url: str) -> None:
    """With a message and a code for the readers."""
    assert outcome("produce.mjs", url, "failed") == {
        "text": "so far ",
        "status": "failed",
        "code": "disk_full",
        "message": "the disk is full",
    }


async def test_a_program_that_leaves_lets_the_stream_go(url: str) -> None:
    """It ends although it has left producers open, and their streams end when the lease runs out."""
    left = outcome("produce.mjs", url, "left")
    assert left["left"] == "AbortError"

    async def is_interrupted() -> bool:
        _, _, snapshot = await fetch(f"{url}/v1/streams/{left['id']}")
        return snapshot["error"] is not None and snapshot["error"]["code"] == "interrupted"

    await eventually(is_interrupted, within=30)


def test_a_server_that_is_killed_loses_nothing(tmp_path: Path) -> None:
    """While it is away some of what is appended waits, and more than that has to; afterwards all of it is there."""
    with Restartable(tmp_path, CONFIG.format(lease=10)) as server:
        command = script("produce.mjs", server.url, "away")
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
            assert program.stdin is not None
            assert program.stdout is not None
            assert program.stdout.readline().startswith("gen_")
            server.kill()
            program.stdin.write("go\n")
            program.stdin.flush()
            assert json.loads(program.stdout.readline()) == [0, 1, 2]
            server.start()
            program.stdin.close()
            seen = json.loads(program.stdout.readline())
        assert seen == {"length": len("before ") + 5 * 300_000, "status": "completed"}
        assert program.returncode == 0
