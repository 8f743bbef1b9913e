"""What an observer of a whole application is told."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from api_kit import fetch

from tidegate import Tidegate
from tidegate.config import Settings, StoreSettings
from tidegate.core.trace_context import current_trace
from tidegate.observe.base import GenerationEnded, Occurrence, RequestDone, StoreCall, UpstreamAttempt
from tidegate.providers.settings import OpenAIModel
from tidegate.testing.server import serving
from tidegate.testing.upstream import FakeUpstream, chat

pytestmark = pytest.mark.anyio

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
ASKED = {"model": "m", "prompt": "q"}


class Keeps:
    """Keeps what it is told, with the span in which a request was answered; then it raises, as nobody should."""

    def __init__(self) -> None:
        self.seen: list[Occurrence] = []
        self.stored: list[StoreCall] = []
        self.request_span = ""

    def observe(self, occurrence: Occurrence) -> None:
        self.seen.append(occurrence)
        trace = current_trace.get()
        if isinstance(occurrence, RequestDone) and trace is not None:
            assert trace.parent_id == SPAN
            self.request_span = trace.span_id
        raise RuntimeError("broken")

    def observe_store(self, call: StoreCall) -> None:
        self.stored.append(call)
        raise RuntimeError("broken")


@pytest.fixture
async def upstream() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream(chat("hello")) as upstream:
        yield upstream


async def test_an_attempt_at_an_upstream_is_a_span_of_its_generation(upstream: FakeUpstream) -> None:
    """What the upstream gets as its parent, the observer is told of, with the spans of generation and request above it.

    An observer that raises changes nothing: the answer is whole.
    """
    kept = Keeps()
    model = OpenAIModel(name="m", base_url=upstream.url)
    app = Tidegate(Settings(store=StoreSettings(url="memory://"), models=(model,)), observer=kept)
    async with serving(app) as base:
        headers = {"traceparent": f"00-{TRACE}-{SPAN}-01"}
        status, _, body = await fetch(f"{base}/v1/streams", "POST", ASKED, headers=headers)
        assert (status, body["text"]) == (200, "hello")
    await app.close()
    (attempt,) = (each for each in kept.seen if isinstance(each, UpstreamAttempt))
    assert (attempt.model, attempt.outcome, attempt.code) == ("m", "answered", None)
    assert f"http://{attempt.upstream}/v1" == upstream.url
    assert attempt.span is not None
    (ended,) = (each for each in kept.seen if isinstance(each, GenerationEnded))
    assert ended.span is not None
    assert (attempt.span.trace_id, attempt.span.parent_id) == (TRACE, ended.span.span_id)
    assert ended.span.parent_id == kept.request_span
    assert upstream.requests[0].headers["traceparent"] == attempt.span.header()
    operations = [call.operation for call in kept.stored if call.operation in ("create", "mark_running", "append")]
    assert operations[0] == "create"
    assert set(operations) == {"create", "append"}
    assert {call.store for call in kept.stored} == {"memory"}
