from __future__ import annotations

import asyncio
import time
from pathlib import Path

import msgspec
import pytest

from tidegate.core.events import Carried, Completed, Content, Delta, GenerationRequest, Message, Usage
from tidegate.errors import ConfigError
from tidegate.providers.replay import BURST, TEXT, ReplayProvider
from tidegate.providers.settings import ReplayModel
from tidegate.testing.sink import RecordingSink

pytestmark = pytest.mark.anyio

REQUEST = GenerationRequest(
    model="replay", messages=(Message(role="system", content="Be brief."), Message(role="user", content="How are you?"))
)


class Time:
    """A clock that only sleeping moves; `lag` is how much later than asked a sleeper wakes."""

    def __init__(self, lag: float = 0.0) -> None:
        self.now = 100.0
        self.lag = lag

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.now += seconds + self.lag
        await asyncio.sleep(0)


class TimedSink(RecordingSink):
    """Notes when each event came."""

    def __init__(self, time: Time) -> None:
        super().__init__()
        self.times: list[float] = []
        self._time = time

    def emit(self, events: list[Content | Completed]) -> None:  # type: ignore[override]
        super().emit(events)
        self.times += [self._time.now - 100.0] * len(events)


def model(**settings: object) -> ReplayModel:
    return ReplayModel(name="replay", **settings)  # type: ignore[arg-type]


async def played(settings: ReplayModel, request: GenerationRequest = REQUEST, lag: float = 0.0) -> TimedSink:
    clock = Time(lag)
    provider = ReplayProvider(settings, clock=clock.clock, sleep=clock.sleep)
    await provider.start()
    sink = TimedSink(clock)
    await provider.generate(request, sink)
    await provider.close()
    return sink


@pytest.mark.parametrize(
    ("text", "tokens", "expected"),
    [
        ("a b c", 3, ["a", " b", " c"]),
        ("a b c", 2, ["a", " b"]),
        ("a b c", 7, ["a", " b", " c", " a", " b", " c", " a"]),
        ("  a\n\nb\tc \n", 4, ["a", "\n\nb", "\tc", " a"]),
        ("word", 3, ["word", " word", " word"]),
        ("høy  vann", 2, ["høy", "  vann"]),
    ],
)
async def test_tokens_are_words_with_the_space_before_them(text: str, tokens: int, expected: list[str]) -> None:
    """The text is cut, or begun again, to exactly so many words; its own spacing stays."""
    sink = await played(model(text=text, tokens=tokens))
    assert [event.text for event in sink.events if isinstance(event, Delta)] == expected


async def test_without_a_text_it_speaks_of_tides() -> None:
    """A model with nothing but a name has something to say, the same each time."""
    first, second = await played(model()), await played(model())
    assert first.text == second.text
    assert first.text.startswith(TEXT)
    assert len(first.text.split()) == 200


async def test_end_has_exact_usage() -> None:
    """Words of the prompt and words said: counted, not estimated."""
    sink = await played(model(text="a b", tokens=5))
    assert sink.completed == Completed("stop", Usage(5, 5, 10))


@pytest.mark.parametrize(("max_tokens", "count", "reason"), [(2, 2, "length"), (5, 5, "stop"), (9, 5, "stop")])
async def test_max_tokens_cuts(max_tokens: int, count: int, reason: str) -> None:
    """A request for fewer tokens than there are gets fewer, and is told why."""
    request = GenerationRequest(model="replay", messages=REQUEST.messages, max_tokens=max_tokens)
    sink = await played(model(text="a b", tokens=5), request)
    assert len(sink.text.split()) == count
    assert sink.completed
    assert sink.completed.finish_reason == reason
    assert sink.completed.usage == Usage(5, count, 5 + count)


@pytest.mark.parametrize("rate", [0.5, 3.0, 20.0, 1000.0])
async def test_rate_is_exact(rate: float) -> None:
    """Token `i` comes at `i / rate`, the thousandth as precisely as the first, and each by itself."""
    sink = await played(model(tokens=1000, rate=rate))
    assert sink.times[:-1] == pytest.approx([i / rate for i in range(1000)], abs=1e-6)
    assert set(sink.batches) == {1}


async def test_late_tokens_come_together_and_the_rate_holds() -> None:
    """A process that wakes up late catches up at once instead of falling behind for ever."""
    sink = await played(model(tokens=1000, rate=100.0), lag=0.035)
    late = [at - i / 100 for i, at in enumerate(sink.times[:-1])]
    assert min(late) >= 0
    assert max(late) <= 0.035 + 1e-6
    assert max(sink.batches) > 1


async def test_long_delay_is_made_up_in_bursts() -> None:
    """However late, no emit is larger than a burst."""
    sink = await played(model(tokens=1000, rate=100.0), lag=2.0)
    assert max(sink.batches) == BURST
    assert len(sink.text.split()) == 1000


async def test_real_clock() -> None:
    """With the real clock 100 tokens at 500 a second take 198 ms at the least."""
    provider = ReplayProvider(model(tokens=100, rate=500))
    await provider.start()
    begin = time.monotonic()
    await provider.generate(REQUEST, RecordingSink())
    assert time.monotonic() - begin >= 0.197


async def test_without_a_rate_it_bursts_at_no_delay() -> None:
    """Rate 0 is as fast as it can, in bursts."""
    sink = await played(model(tokens=1000, rate=0))
    assert max(sink.times) == 0
    assert sink.batches[:2] == [BURST, BURST]
    assert len(sink.text.split()) == 1000


async def test_store_that_is_full_stops_it() -> None:
    """As fast as it can is as fast as the store can: it waits for room between bursts."""
    room = asyncio.Event()

    class FullSink(RecordingSink):
        async def room(self) -> None:
            if self.batches:
                await room.wait()

    provider = ReplayProvider(model(tokens=1000, rate=0))
    await provider.start()
    sink = FullSink()
    task = asyncio.create_task(provider.generate(REQUEST, sink))
    await sink.holds(1)
    for _ in range(10):
        await asyncio.sleep(0)
    assert sink.batches == [BURST]
    room.set()
    await task
    assert len(sink.text.split()) == 1000


async def test_loop_has_its_turns_while_it_bursts() -> None:
    """A generation at full speed keeps nobody else from running."""
    provider = ReplayProvider(model(tokens=10_000, rate=0))
    await provider.start()
    task = asyncio.create_task(provider.generate(REQUEST, RecordingSink()))
    turns = 0
    while not task.done():
        turns += 1
        await asyncio.sleep(0)
    assert turns >= 10_000 // BURST


async def test_request_is_accepted_before_the_first_token() -> None:
    """Nothing can go wrong any more, so the answer's head may go out at once."""
    provider = ReplayProvider(model(), sleep=lambda _: asyncio.Event().wait())  # type: ignore[arg-type,return-value]
    await provider.start()
    sink = RecordingSink()
    task = asyncio.create_task(provider.generate(REQUEST, sink))
    await asyncio.sleep(0)
    assert sink.is_open
    assert sink.events == []
    task.cancel()
    await asyncio.wait([task])


async def test_text_of_a_file(tmp_path: Path) -> None:
    """A file's text is played as it is written."""
    path = tmp_path / "tide.md"
    path.write_text("# Ebb\n\nand flød\n", "utf-8")
    sink = await played(model(file=str(path), tokens=4))
    assert sink.text == "# Ebb\n\nand flød"


def assert_names(error: ConfigError, key: str, value: str) -> None:
    assert error.param == key
    for part in ("'replay'", key, repr(value)):
        assert part in error.message


def test_text_and_file_are_refused() -> None:
    """Of two texts none is the obvious one."""
    with pytest.raises(ConfigError, match="together with text") as refused:
        ReplayProvider(model(text="a", file="b.txt"))
    assert_names(refused.value, "file", "b.txt")


async def test_missing_file_is_refused(tmp_path: Path) -> None:
    """A wrong path is found at start, with the model, the key and the value."""
    path = str(tmp_path / "nothing.txt")
    with pytest.raises(ConfigError, match="cannot be read: No such file") as refused:
        await ReplayProvider(model(file=path)).start()
    assert_names(refused.value, "file", path)


async def test_unreadable_file_is_refused(tmp_path: Path) -> None:
    """So is what is no file."""
    with pytest.raises(ConfigError, match="cannot be read: Is a directory") as refused:
        await ReplayProvider(model(file=str(tmp_path))).start()
    assert_names(refused.value, "file", str(tmp_path))


async def test_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    """Text is UTF-8; anything else is found at start, not by a reader."""
    path = tmp_path / "latin.txt"
    path.write_bytes(b"ebb and fl\xf8d")
    with pytest.raises(ConfigError, match="not UTF-8") as refused:
        await ReplayProvider(model(file=str(path))).start()
    assert_names(refused.value, "file", str(path))


@pytest.mark.parametrize("text", [" \n ", "\t"])
async def test_text_without_words_is_refused(text: str, tmp_path: Path) -> None:
    """There is nothing to play."""
    with pytest.raises(ConfigError, match="no words") as refused:
        await ReplayProvider(model(text=text)).start()
    assert_names(refused.value, "text", text)
    path = tmp_path / "empty.txt"
    path.write_text(text)
    with pytest.raises(ConfigError, match="no words") as refused:
        await ReplayProvider(model(file=str(path))).start()
    assert_names(refused.value, "file", str(path))


TIDES = model(text="one two three four", tokens=8, rate=0)


@pytest.mark.parametrize(
    ("stop", "said"),
    [
        (("three",), ["one", " two", " "]),
        ((" three",), ["one", " two"]),
        (("o th", "zzz"), ["one", " tw"]),
        (("four", "wo"), ["one", " t"]),
        (("o",), []),
        (("four one",), ["one", " two", " three", " "]),
        (("four two",), ["one", " two", " three", " four", " one", " two", " three", " four"]),
        (("",), ["one", " two", " three", " four", " one", " two", " three", " four"]),
    ],
)
async def test_stop(stop: tuple[str, ...], said: list[str]) -> None:
    """The answer ends before the first stop text that comes, however many tokens that spans."""
    sink = await played(TIDES, msgspec.structs.replace(REQUEST, stop=stop))
    *deltas, end = sink.events
    assert [delta.text for delta in deltas if isinstance(delta, Delta)] == said
    assert end == Completed("stop", Usage(5, len(said), 5 + len(said)))


async def test_stop_and_max_tokens() -> None:
    """Whichever comes first ends the answer, and says so; a text that is only begun within the limit is no stop."""
    for limit, said, reason in ((2, "one two", "length"), (3, "one two", "stop"), (8, "one two", "stop")):
        sink = await played(TIDES, msgspec.structs.replace(REQUEST, stop=(" three",), max_tokens=limit))
        end = sink.events[-1]
        assert "".join(delta.text for delta in sink.events if isinstance(delta, Delta)) == said
        assert isinstance(end, Completed)
        assert end.finish_reason == reason


async def test_carried_on_to_its_stop() -> None:
    """An answer that is carried on ends where it would have ended, also in the middle of a token."""
    whole = await played(TIDES, msgspec.structs.replace(REQUEST, stop=("hree",)))
    for pieces in range(4):
        said = "".join(delta.text for delta in whole.events[:pieces] if isinstance(delta, Delta))
        request = msgspec.structs.replace(REQUEST, stop=("hree",), carried=Carried(said, pieces))
        assert (await played(TIDES, request)).events == whole.events[pieces:]
