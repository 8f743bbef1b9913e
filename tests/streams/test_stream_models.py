from __future__ import annotations

import asyncio

import pytest
from engine_kit import Scripted, request

from tidegate.core.events import Delta, GenerationRequest
from tidegate.core.request_id import current_request_id
from tidegate.errors import ConfigError, ProviderError
from tidegate.providers.base import Sink
from tidegate.streams.models import MOST_NAMES, Model, offer
from tidegate.streams.started_provider import StartedProvider
from tidegate.testing.sink import RecordingSink

pytestmark = pytest.mark.anyio


async def hello(request: GenerationRequest, sink: Sink) -> None:
    sink.emit([Delta("hello")])


class Starting(Scripted):
    """A provider whose starts wait until `ready`, and fail with `error` where there is one."""

    def __init__(self) -> None:
        super().__init__(hello)
        self.ready = asyncio.Event()
        self.starts = 0
        self.error: ConfigError | None = None
        self.request_ids: list[str | None] = []

    async def start(self) -> None:
        self.starts += 1
        self.request_ids.append(current_request_id.get())
        await self.ready.wait()
        if self.error is not None:
            raise self.error


def model_of(provider: Scripted) -> Model:
    return Model("m", StartedProvider(provider), max_concurrency=0, max_queue=0)


async def test_a_provider_is_started_once_for_all_who_wait() -> None:
    """One that gives up does not take the start from the others."""
    provider = Starting()
    model, sink = model_of(provider), RecordingSink()
    first, second = (asyncio.create_task(model.generate(request(), sink)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    provider.ready.set()
    await second
    assert (provider.starts, sink.text) == (1, "hello")


async def test_a_start_is_nothing_of_the_request_that_came_first() -> None:
    """What it begins, a process say, outlives that request, and must not log its id for ever."""
    provider = Starting()
    provider.ready.set()
    current_request_id.set("req_1")
    await model_of(provider).start()
    assert provider.request_ids == [None]


async def test_a_start_that_failed_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    """The client learns that it failed, and not what the operator's files are called; the log does."""
    provider, sink = Starting(), RecordingSink()
    provider.ready.set()
    provider.error = ConfigError("the file secret.gguf is missing")
    model = model_of(provider)
    with pytest.raises(ProviderError, match="'m' cannot be started") as raised:
        await model.generate(request(), sink)
    assert "secret" not in raised.value.message
    assert "secret.gguf" in caplog.text
    provider.error = None
    await model.generate(request(), sink)
    assert (provider.starts, sink.text) == (2, "hello")


async def test_only_what_was_started_is_closed() -> None:
    """A provider that nobody needed holds nothing; one that was closed starts anew."""
    provider = Starting()
    provider.ready.set()
    model = model_of(provider)
    await model.close()
    assert not provider.closed
    await model.start()
    await model.close()
    assert provider.closed
    await model.start()
    assert provider.starts == 2


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ((), "there are none"),
        (("a", "b"), "there are a, b"),
        (("x" * 100,), f"there are {'x' * 64}"),
        (tuple("abcdefghijkl"), f"there are {', '.join('abcdefghij')} and {12 - MOST_NAMES} more"),
    ],
)
def test_an_offer_is_short(names: tuple[str, ...], said: str) -> None:
    """Enough to see a typo."""
    assert offer(names) == said
