"""One suite over all providers: what `providers/base.py` promises."""

from __future__ import annotations

import asyncio

import pytest
from eventually_kit import eventually
from provider_cases import CASES, Case

from tidegate.core.events import Completed, GenerationRequest, encode, one_line
from tidegate.errors import ProviderError
from tidegate.providers.base import Provider
from tidegate.testing.sink import RecordingSink

pytestmark = pytest.mark.anyio

PATIENCE = 10.0

every_provider = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
failing_provider = pytest.mark.parametrize(
    "case",
    [case for case in CASES.values() if case.failing],
    ids=[name for name, case in CASES.items() if case.failing],
)


async def answered(provider: Provider, request: GenerationRequest) -> RecordingSink:
    sink = RecordingSink()
    async with asyncio.timeout(PATIENCE):
        await provider.generate(request, sink)
    return sink


async def under_way(provider: Provider, request: GenerationRequest, sink: RecordingSink) -> asyncio.Task[None]:
    task = asyncio.create_task(provider.generate(request, sink))
    async with asyncio.timeout(PATIENCE):
        await sink.holds(3)
    return task


@every_provider
async def test_answer_is_whole_and_in_order(case: Case) -> None:
    """What the model says is emitted, all of it and in its order, before `generate` returns."""
    async with case.answers() as subject:
        sinks = [await answered(subject.provider, request) for request in subject.requests]
        assert all(sink.text for sink in sinks)
        assert not subject.texts or sorted(sink.text for sink in sinks) == sorted(subject.texts)


@every_provider
async def test_each_event_is_one_line(case: Case) -> None:
    """Whatever stands beside the text, and wherever it comes from, an event's JSON has no line break."""
    async with case.answers() as subject:
        for request in subject.requests:
            for event in (await answered(subject.provider, request)).events:
                encoded = encode(event)
                assert one_line(encoded) is encoded


@every_provider
async def test_nothing_follows_the_end(case: Case) -> None:
    """A provider says `Completed` once, as the last event, with usage that adds up; or it just returns."""
    async with case.answers() as subject:
        for request in subject.requests:
            sink = await answered(subject.provider, request)
            ends = [event for event in sink.events if isinstance(event, Completed)]
            assert len(ends) <= 1
            assert sink.dropped == 0
            for end in ends:
                assert end is sink.events[-1]
                assert end.usage.completion_tokens > 0
                assert end.usage.total_tokens == end.usage.prompt_tokens + end.usage.completion_tokens


@every_provider
async def test_concurrent_answers_do_not_mix(case: Case) -> None:
    """One provider fills several streams at once, each with its own answer."""
    async with case.answers() as subject:
        sinks = await asyncio.gather(*(answered(subject.provider, request) for request in subject.requests))
        assert all(sink.text for sink in sinks)
        assert not subject.texts or sorted(sink.text for sink in sinks) == sorted(subject.texts)


@every_provider
async def test_cancel_stops_the_work_within_a_second(case: Case) -> None:
    """A cancelled answer costs nothing more: `generate` has left, and its work has stopped, a second later."""
    async with case.endless() as subject:
        sink = RecordingSink()
        task = await under_way(subject.provider, subject.requests[0], sink)
        async with asyncio.timeout(1):
            task.cancel()
            await asyncio.wait([task])
            sink.end()
            await subject.stopped()
        assert task.cancelled()
        assert sink.completed is None


@every_provider
async def test_stream_that_ended_takes_nothing_more(case: Case) -> None:
    """A stream may end under its provider (too long, for one): that is no error of the provider's."""
    async with case.endless() as subject:
        sink = RecordingSink()
        task = await under_way(subject.provider, subject.requests[0], sink)
        sink.end()
        kept = list(sink.events)
        await eventually(lambda: sink.dropped or task.done(), within=PATIENCE)
        async with asyncio.timeout(PATIENCE):
            task.cancel()
            await asyncio.wait([task])
        assert task.cancelled() or task.exception() is None
        assert sink.events == kept


@failing_provider
async def test_failure_is_a_provider_error(case: Case) -> None:
    """What fails before the first token is raised with a type, and the stream has not been opened."""
    assert case.failing
    async with case.failing() as subject:
        sink = RecordingSink()
        with pytest.raises(ProviderError):
            await asyncio.wait_for(subject.provider.generate(subject.requests[0], sink), PATIENCE)
        assert not sink.is_open
        assert sink.events == []
