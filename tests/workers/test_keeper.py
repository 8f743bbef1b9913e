from __future__ import annotations

import asyncio
import logging
import signal

import pytest
from eventually_kit import eventually
from worker_kit import Worker

from tidegate.config import Changes, Settings
from tidegate.core import restarts
from tidegate.errors import ConfigError, TidegateError
from tidegate.observe.metrics.series import Series
from tidegate.workers import crew
from tidegate.workers.crew import Crew, patience_of
from tidegate.workers.messages import Prepare
from tidegate.workers.process import WorkerProcess

pytestmark = pytest.mark.anyio


class Workers:
    """A crew of two, whose workers are launched while `failure` is None."""

    def __init__(self, patience: int = 0) -> None:
        self.launched: list[list[Worker]] = [[], []]
        self.failure: TidegateError | None = None
        self.answers = True
        self.crew = Crew(2, self.launch, patience)

    async def launch(self, number: int) -> WorkerProcess:
        if self.failure is not None:
            raise self.failure
        self.launched[number].append(Worker())
        self.launched[number][-1].answers = self.answers
        return self.launched[number][-1]  # type: ignore[return-value]


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Workers:
    monkeypatch.setattr(restarts, "DELAYS", (0.0, 0.001))
    return Workers()


async def test_what_has_died_is_started_again(workers: Workers, caplog: pytest.LogCaptureFixture) -> None:
    """Meanwhile the other one takes its connections, and afterwards each its own again."""
    await workers.crew.start()
    workers.launched[0][0].die(-11)
    await eventually(lambda: len(workers.launched[0]) == 2)
    await eventually(lambda: workers.launched[1][0].told == [[1, 0], [1]])
    assert "worker 0, pid 1, died with exit code -11" in caplog.text
    await workers.crew.close()


async def test_a_death_takes_nothing_from_the_counts(workers: Workers) -> None:
    """They are those of all workers, of the dead ones too, before they are replaced and afterwards; gauges are not."""

    async def scraped() -> dict[str, float]:
        return {each.metric: each.value for each in await workers.crew.scrape()}

    await workers.crew.start()
    first, second = workers.launched[0][0], workers.launched[1][0]
    first.measured = [Series("tidegate_gaps_total", (), 2), Series("tidegate_topics", (), 5)]
    second.measured = [Series("tidegate_gaps_total", (), 3), Series("tidegate_topics", (), 7)]
    assert await scraped() == {"tidegate_gaps_total": 5, "tidegate_topics": 12}
    workers.failure = ConfigError("away")
    first.die(-9)
    assert await scraped() == {"tidegate_gaps_total": 5, "tidegate_topics": 7}
    workers.failure = None
    await eventually(lambda: len(workers.launched[0]) == 2)
    workers.launched[0][1].measured = [Series("tidegate_gaps_total", (), 1), Series("tidegate_topics", (), 1)]
    assert await scraped() == {"tidegate_gaps_total": 6, "tidegate_topics": 8}
    await workers.crew.close()


async def test_what_is_served_no_more_is_forgotten_with_its_last_worker(workers: Workers) -> None:
    """The dead would keep it for ever. While one of the living counts it the dead do, too: counters do not fall."""

    def measured(**models: int) -> list[Series]:
        return [Series("tidegate_tokens_total", (model, "completion"), value) for model, value in models.items()]

    async def scraped() -> dict[str, float]:
        return {each.labels[0]: each.value for each in await workers.crew.scrape()}

    await workers.crew.start()
    for number in range(2):
        workers.launched[number][0].measured = measured(removed=2, kept=3)
    for number in range(2):
        workers.launched[number][0].die(-9)
    await eventually(lambda: [len(each) for each in workers.launched] == [2, 2])
    assert await scraped() == {"removed": 4, "kept": 6}, "the new ones have not said anything yet"
    first, second = workers.launched[0][1], workers.launched[1][1]
    first.measured = measured(kept=0)
    assert await scraped() == {"removed": 4, "kept": 6}
    second.measured = measured(removed=0, kept=0)
    assert await scraped() == {"removed": 4, "kept": 6}
    second.measured = measured(kept=0)
    assert await scraped() == {"kept": 6}
    second.measured = measured(removed=1, kept=0)
    assert await scraped() == {"removed": 1, "kept": 6}, "it is served again, and counted anew"
    await workers.crew.close()


async def test_one_that_cannot_be_started_again_is_tried_again(
    workers: Workers, caplog: pytest.LogCaptureFixture
) -> None:
    """For as long as it takes; what it fails with is logged, and the others go on."""
    await workers.crew.start()
    workers.failure = ConfigError("the model is away")
    workers.launched[1][0].die(1)
    await eventually(lambda: caplog.text.count("worker 1 cannot be started again: the model is away") > 2)
    assert workers.launched[0][0].told[-1] == [0, 1]
    workers.failure = None
    await eventually(lambda: len(workers.launched[1]) == 2)
    await workers.crew.close()


async def test_whoever_cannot_start_at_all_fails_for_all(workers: Workers) -> None:
    """With the error that it had."""
    workers.failure = ConfigError("no such model", key=("models", "m", "path"))
    with pytest.raises(ConfigError, match="no such model"):
        await workers.crew.start()
    await workers.crew.close()


@pytest.mark.parametrize(("codes", "code"), [((0, 0), 0), ((0, 1), 1), ((-9, 0), 1)])
async def test_all_are_stopped_and_none_comes_back(workers: Workers, codes: tuple[int, int], code: int) -> None:
    """The exit code is 0 if each has ended in order; one that has ended leaves its connections to the other."""
    await workers.crew.start()
    workers.crew.stop()
    ending = asyncio.create_task(workers.crew.ended())
    first, second = workers.launched[0][0], workers.launched[1][0]
    assert (first.stopped, second.stopped) == (1, 1)
    first.die(codes[0])
    await eventually(lambda: second.told == [[1, 0]])
    second.die(codes[1])
    assert await ending == code
    assert [len(each) for each in workers.launched] == [1, 1]


async def test_one_that_is_about_to_come_back_is_not_waited_for(
    workers: Workers, caplog: pytest.LogCaptureFixture
) -> None:
    """Where it was dead when all were stopped there is nothing to drain, and nothing that failed."""
    caplog.set_level(logging.ERROR)
    await workers.crew.start()
    workers.failure = ConfigError("away")
    workers.launched[0][0].die(-9)
    await eventually(lambda: "cannot be started again" in caplog.text)
    workers.crew.stop()
    workers.launched[1][0].die(0)
    assert await workers.crew.ended() == 0


async def test_all_take_other_settings_over_or_none(workers: Workers) -> None:
    """Where one cannot get ready, all of them forget what they have got ready for."""
    await workers.crew.start()
    first, second = workers.launched[0][0], workers.launched[1][0]
    second.fault = ConfigError("the file is gone", key=("models", "m", "api_key_file"))
    with pytest.raises(ConfigError, match="the file is gone"):
        await workers.crew.prepare(Prepare(1, Settings()))
    assert (first.orders, second.orders) == (["prepare", "drop"], ["prepare", "drop"])
    second.fault, later = None, Settings()
    ready = await workers.crew.prepare(Prepare(2, later))
    assert await workers.crew.take(ready, later) == Changes(ignored=("server.port",))
    assert (first.orders[2:], second.orders[2:]) == (["prepare", "take"], ["prepare", "take"])
    assert list(workers.crew.outdated(later)) == []
    await workers.crew.close()


async def test_one_that_hangs_holds_up_no_change(workers: Workers, caplog: pytest.LogCaptureFixture) -> None:
    """It is ended like one that died: a key that leaked and was withdrawn must not go on working."""
    await workers.crew.start()
    hanging, other = workers.launched[0][0], workers.launched[1][0]
    hanging.hangs = True
    assert await workers.crew.prepare(Prepare(1, Settings())) == [other]
    assert (hanging.orders, other.orders) == (["prepare", "abort"], ["prepare"])
    assert "a worker, pid 1, hangs, and is ended: the others change over" in caplog.messages
    await eventually(lambda: len(workers.launched[0]) == 2)
    await workers.crew.close()


async def test_where_all_hang_nothing_changes(workers: Workers) -> None:
    """They may hang at a module of a new model, and only for a while: what they have begun is not lost for that."""
    await workers.crew.start()
    both = [workers.launched[number][0] for number in (0, 1)]
    for each in both:
        each.hangs = True
    with pytest.raises(TidegateError, match="no worker answers"):
        await workers.crew.prepare(Prepare(1, Settings()))
    assert [each.orders for each in both] == [["prepare", "drop"]] * 2
    await workers.crew.close()


async def test_a_dead_worker_holds_up_no_change(workers: Workers) -> None:
    """It is not asked; who comes in its place meanwhile is known by its earlier settings."""
    await workers.crew.start()
    workers.launched[0][0].die(-9)
    later = Settings()
    ready = await workers.crew.prepare(Prepare(1, later))
    assert ready == workers.launched[1]
    await eventually(lambda: len(workers.launched[0]) == 2)
    await workers.crew.take(ready, later)
    assert list(workers.crew.outdated(later)) == workers.launched[0][1:]
    await workers.crew.close()


async def test_one_that_hangs_is_replaced_where_systemd_watches(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is asked to say where first, then killed; the other one is left alone."""
    monkeypatch.setattr(restarts, "DELAYS", (0.0, 0.001))
    monkeypatch.setattr(crew, "NOTE_SECONDS", 0.001)
    workers = Workers(patience=3)
    await workers.crew.start()
    hanging = workers.launched[0][0]
    hanging.answers = False
    await eventually(lambda: len(workers.launched[0]) == 2)
    assert hanging.signals == [signal.SIGABRT, signal.SIGKILL]
    assert workers.launched[1][0].signals == []
    assert "worker 0, pid 1, hangs, and is ended" in caplog.messages
    await workers.crew.close()


async def test_the_next_one_is_not_blamed_for_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes in the place of one that hung may miss as many notes, and then is asked first, too."""
    monkeypatch.setattr(restarts, "DELAYS", (0.0, 0.001))
    monkeypatch.setattr(crew, "NOTE_SECONDS", 0.001)
    workers = Workers(patience=3)
    await workers.crew.start()
    workers.answers = False
    workers.launched[0][0].answers = False
    await eventually(lambda: len(workers.launched[0]) > 2)
    assert [each.signals for each in workers.launched[0][:2]] == [[signal.SIGABRT, signal.SIGKILL]] * 2
    await workers.crew.close()


async def test_one_that_misses_less_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy worker may be late once; without a watchdog it may be so for ever, e.g. in a debugger."""
    monkeypatch.setattr(crew, "NOTE_SECONDS", 0.001)
    workers = Workers()
    await workers.crew.start()
    worker, rounds = workers.launched[0][0], 0

    async def measure() -> list[Series]:
        nonlocal rounds
        rounds += 1
        return []

    monkeypatch.setattr(worker, "measure", measure)
    worker.answers = False
    await eventually(lambda: rounds > 10)
    assert worker.signals == []
    await workers.crew.close()


def test_patience_is_as_long_as_the_watchdogs() -> None:
    """And never so short that one late answer counts."""
    assert [patience_of(seconds) for seconds in (0, 1, 15, 30, 31)] == [0, 3, 3, 6, 7]
