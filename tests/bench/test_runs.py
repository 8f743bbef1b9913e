from __future__ import annotations

import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tidegate.bench.aims import AIMS
from tidegate.bench.report import Table
from tidegate.bench.runs import SCENARIOS, run
from tidegate.errors import TidegateError

ROOT = Path(__file__).parent.parent.parent
SMALL = {"readers": 8, "seconds": 0.5, "rounds": 1, "warmup": 0.1}

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="the load generator is built with cc")


def aimed(name: str, table: Table) -> bool:
    """Whether what the scenario aims at is among what it measures."""
    return all(aim.row in table.rows and aim.column in table.rows[aim.row] for aim in AIMS[name])


def measured(name: str, **changes: Any) -> Table:
    """In small, and beside the C baseline alone: what else is installed must not take its time."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(ROOT / "bench" / "baselines" / "floor.c", folder)
        return run(name, {**SMALL, **changes}, baselines=Path(folder), python=Path(sys.executable))


@needs_compiler
def test_fanout_measures_the_tokens_of_each_contender() -> None:
    """Of a generation, of a topic, and from the floor alike; how many there are in a second is the machine's affair."""
    table = measured("fanout", rate=100)
    assert aimed("fanout", table)
    for row in ("tidegate", "tidegate topic", "C send() loop"):
        assert table.median(row, "tokens/s") > 0
        assert table.median(row, "p50 ms") > 0


@needs_compiler
def test_relay_goes_through_the_upstream_to_every_reader() -> None:
    """On the native path and on OpenAI's, with each store."""
    table = measured("relay", rate=100)
    assert aimed("relay", table)
    assert len(table.rows) == 4
    for row in table.rows:
        assert table.median(row, "tokens/s") > 0


@needs_compiler
def test_at_saturation_answers_follow_each_other() -> None:
    """More tokens than one answer each has are read: it was asked for again."""
    table = measured("saturation")
    assert table.median("tidegate /v1/streams, memory", "tokens/s") > 8 * 1000


@needs_compiler
def test_batches_are_as_large_as_they_were_asked_for() -> None:
    """An event has one, four or eight tokens; what a reader that is behind gets is merged, and may be larger."""
    table = measured("batching", rate=100, seconds=1)
    sizes = [table.median(f"tidegate, batches of {size}", "tokens/event") for size in (1, 4, 8)]
    assert sizes[0] == 1
    assert sizes[1] > 3.2
    assert sizes[2] > 6.4


@needs_compiler
def test_compressed_events_are_a_fraction_of_plain_ones() -> None:
    """Of the same tokens; each read is made sure to be whole events."""
    table = measured("compression", rate=160)
    assert len(table.rows) == 6
    for row in table.rows:
        assert table.median(row, "tokens/s") > 0
        assert table.median(row, "p50 ms") > 0
    assert table.median("tidegate /v1/chat/completions, gzip", "saved %") > 80
    for row in ("tidegate /v1/streams, gzip", "tidegate, one stream for all, gzip"):
        assert table.median(row, "saved %") > 50


@needs_compiler
def test_after_a_storm_every_reader_is_live() -> None:
    """Each has had what came before, too, or the run fails."""
    table = measured("resume-storm", rate=5)
    assert 0 < table.median("tidegate", "all live s") < 30


@needs_compiler
def test_readers_that_stop_and_go_on_lose_nothing() -> None:
    """Which the run itself makes sure of."""
    assert any(re.search("each of its .* tokens once", note) for note in measured("slow-readers", readers=20).notes)


@needs_compiler
def test_a_file_is_compared_with_memory() -> None:
    """The same tokens through each; what stands on disk is divided by the events that are in it."""
    table = measured("stores")
    assert list(table.rows) == ["memory", "sqlite, normal", "sqlite, full"]
    assert 10 < table.median("sqlite, normal", "KB/1,000 tokens") < 10_000


@pytest.mark.skipif(shutil.which("chromium") is None, reason="the page is measured in Chromium")
def test_the_page_is_measured_by_the_shape_of_its_answer() -> None:
    """In seconds of the browser's main thread, of which script, style and layout are a part."""
    table = measured("page", rate=80)
    assert list(table.rows) == ["mixed", "paragraphs", "one paragraph", "code", "list", "table"]
    for row in table.rows:
        parts = sum(table.median(row, column) for column in ("script s", "style s", "layout s"))
        assert 0 < parts < table.median(row, "main thread s") < 30


def test_without_a_browser_the_page_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the error says what is missing."""
    monkeypatch.setenv("PATH", "")
    with pytest.raises(TidegateError, match="no `chromium` on the PATH"):
        measured("page")


def test_start_is_measured_from_exec_to_the_ready_line() -> None:
    """In seconds, with memory in megabytes."""
    table = measured("start")
    assert aimed("start", table)
    for row in table.rows:
        assert 0 < table.median(row, "ready s") < 30
        assert 10 < table.median(row, "resident MB") < 200


def test_kept_streams_are_divided_among_their_tokens() -> None:
    """The first and the last of them are there as a whole, or the run fails."""
    table = measured("kept", readers=60)
    assert aimed("kept", table)
    assert 1 < table.median("tidegate, memory", "bytes/token") < 1000
    assert table.median("tidegate, memory", "resident MB") > table.median("tidegate, memory", "MB when empty")


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_is_on_the_page_of_benchmarks(name: str) -> None:
    """With the command that runs it."""
    assert f"tidegate bench {name}" in (ROOT / "docs" / "benchmarks.md").read_text()
