"""The openai provider against a scripted upstream, on the loops of the standard library and of uvloop."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any

import pytest
from pause_kit import pause

from tidegate.core.events import Completed, Content, Delta, GenerationRequest, Message, Usage
from tidegate.core.request_id import current_request_id
from tidegate.core.trace_context import TraceContext, current_trace
from tidegate.errors import (
    ConfigError,
    ProviderError,
    UpstreamInterrupted,
    UpstreamMalformed,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from tidegate.http_client.endpoint import Endpoint
from tidegate.providers.openai.provider import OpenAIProvider
from tidegate.providers.settings import OpenAIModel
from tidegate.testing.sink import RecordingSink
from tidegate.testing.upstream import (
    DONE,
    KEEP_ALIVE,
    End,
    FakeUpstream,
    Hang,
    Head,
    NeverRead,
    Pause,
    Raw,
    Reply,
    Reset,
    Script,
    Send,
    Tokens,
    Wait,
    chat,
    chunk,
    event,
    usage,
)

pytestmark = pytest.mark.anyio

REQUEST = GenerationRequest(model="m", messages=(Message(role="user", content="12345678"),))


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


@asynccontextmanager
async def running(provider: OpenAIProvider) -> AsyncGenerator[OpenAIProvider]:
    await provider.start()
    try:
        yield provider
    finally:
        await provider.close()


def provider_of(url: str, **settings: Any) -> AbstractAsyncContextManager[OpenAIProvider]:
    return running(OpenAIProvider(OpenAIModel(name="m", base_url=url, **settings)))


async def relayed(*scripts: Script, **settings: Any) -> tuple[RecordingSink, BaseException | None]:
    """Plays the script as one answer: the sink, and what `generate` raised."""
    sink = RecordingSink()
    async with FakeUpstream(*scripts) as upstream, asyncio.timeout(30):
        async with provider_of(upstream.url, **settings) as provider:
            try:
                await provider.generate(REQUEST, sink)
            except ProviderError as error:
                return sink, error
        await upstream.closed()
    return sink, None


# What is asked


async def test_the_request_is_a_streamed_chat_completion() -> None:
    """Sampling parameters that are set are sent, with the upstream's name of the model; others are left to it."""
    request = GenerationRequest(
        model="m",
        messages=(Message(role="system", content="s"), Message(role="user", content="ü")),
        temperature=0.0,
        top_p=0.5,
        max_tokens=9,
        stop=("x",),
        seed=0,
        extra={"tools": [{"type": "function"}], "stream": False, "model": "other"},
    )
    async with FakeUpstream(chat("a")) as upstream, provider_of(upstream.url, upstream_model="theirs") as provider:
        await provider.generate(request, RecordingSink())
        await provider.generate(REQUEST, RecordingSink())
    assert upstream.requests[0].path == "/v1/chat/completions"
    assert upstream.requests[0].json == {
        "model": "theirs",
        "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "ü"}],
        "temperature": 0.0,
        "top_p": 0.5,
        "max_tokens": 9,
        "stop": ["x"],
        "seed": 0,
        "tools": [{"type": "function"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert upstream.requests[1].json.keys() == {"model", "messages", "stream", "stream_options"}


async def test_the_token_limit_goes_upstream_under_one_name() -> None:
    """A client that says `max_completion_tokens` gets no `max_tokens` added, which newer upstreams refuse."""
    extra = {"max_completion_tokens": 9}
    async with FakeUpstream(chat("a")) as upstream, provider_of(upstream.url) as provider:
        await provider.generate(GenerationRequest(model="m", messages=(), max_tokens=9, extra=extra), RecordingSink())
    assert upstream.requests[0].json["max_completion_tokens"] == 9
    assert "max_tokens" not in upstream.requests[0].json


async def test_what_the_client_sent_goes_upstream_as_it_was_sent() -> None:
    """Messages keep their nulls and unknown fields; `metadata` and the client's own `stream_options` go along."""
    messages = ({"role": "assistant", "content": None, "audio": {"id": "a"}}, {"role": "user", "content": "hi", "x": 1})
    extra = {"metadata": {"k": "v"}, "stream_options": {"include_usage": False, "x": 1}, "logprobs": True}
    request = GenerationRequest(model="m", messages=(), raw_messages=messages, extra=extra)
    async with FakeUpstream(chat("a")) as upstream, provider_of(upstream.url) as provider:
        await provider.generate(request, RecordingSink())
    sent = upstream.requests[0].json
    assert sent["messages"] == list(messages)
    assert (sent["metadata"], sent["logprobs"]) == ({"k": "v"}, True)
    assert sent["stream_options"] == {"include_usage": True, "x": 1}


async def test_stream_options_can_be_turned_off() -> None:
    """An upstream that refuses them is never sent any."""
    async with FakeUpstream(chat("a")) as upstream, provider_of(upstream.url, stream_options=False) as provider:
        await provider.generate(REQUEST, RecordingSink())
    assert "stream_options" not in upstream.requests[0].json


NO_OPTIONS = Reply(400, {"error": {"message": "Unknown field: stream_options"}})


async def test_an_upstream_that_refuses_stream_options_is_remembered(caplog: pytest.LogCaptureFixture) -> None:
    """The second request is asked without them at once, and the log says which setting spares the first try."""
    async with FakeUpstream([NO_OPTIONS], chat("a")) as upstream, provider_of(upstream.url) as provider:
        await provider.generate(REQUEST, RecordingSink())
        await provider.generate(REQUEST, RecordingSink())
    assert ["stream_options" in request.json for request in upstream.requests] == [True, False, False]
    assert "stream_options = false" in caplog.text


async def test_asking_for_usage_is_what_we_ask_for_ourselves() -> None:
    """A client that sends `include_usage` alone is no reason to ask the next one twice."""
    own = GenerationRequest(model="m", messages=(), extra={"stream_options": {"include_usage": True}})
    async with FakeUpstream([NO_OPTIONS], chat("a")) as upstream, provider_of(upstream.url) as provider:
        await provider.generate(own, RecordingSink())
        await provider.generate(own, RecordingSink())
    assert ["stream_options" in request.json for request in upstream.requests] == [True, False, False]


async def test_a_clients_own_stream_options_do_not_turn_them_off_for_others() -> None:
    """Whoever sends options that are refused pays for the second try, and nobody else."""
    own = GenerationRequest(model="m", messages=(), extra={"stream_options": {"x": 1}})
    async with FakeUpstream([NO_OPTIONS], chat("a")) as upstream, provider_of(upstream.url) as provider:
        await provider.generate(own, RecordingSink())
        await provider.generate(REQUEST, RecordingSink())
    assert ["stream_options" in request.json for request in upstream.requests] == [True, False, True]


async def test_a_refusal_for_another_reason_is_not_asked_again() -> None:
    """A refused prompt is refused once, whatever the word `stream` has to do with it."""
    for status, message in ((429, "streams are busy"), (400, "upstream is bad"), (401, "no stream_options for you")):
        sink, error = await relayed([Reply(status, {"error": {"message": message}})])
        assert isinstance(error, UpstreamRefused)
        assert not sink.is_open


async def test_the_operators_body_wins_over_the_requests() -> None:
    """What the server adds to every request cannot be changed by a client."""
    async with FakeUpstream(chat("a")) as upstream:
        model = OpenAIModel(name="m", base_url=upstream.url)
        extra = {"cache_prompt": False, "min_p": 0.1}
        async with running(OpenAIProvider(model, api_key="given", body={"cache_prompt": True})) as provider:
            await provider.generate(GenerationRequest(model="m", messages=(), extra=extra), RecordingSink())
    assert upstream.requests[0].json["cache_prompt"] is True
    assert upstream.requests[0].json["min_p"] == 0.1
    assert upstream.requests[0].headers["authorization"] == "Bearer given"


async def test_the_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable is read at the start; a line break at its end is no part of the key."""
    monkeypatch.setenv("SOME_KEY", "sk-from-env\n")
    async with FakeUpstream(chat("a")) as upstream, provider_of(upstream.url, api_key_env="SOME_KEY") as provider:
        await provider.generate(REQUEST, RecordingSink())
    assert upstream.requests[0].headers["authorization"] == "Bearer sk-from-env"


async def test_each_call_says_which_span_asks() -> None:
    """Calls over one connection carry the ids of their own requests and spans; a call without a request has none."""
    trace = TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", 1, "a=1")
    carried = ("x-request-id", "traceparent", "tracestate")
    async with FakeUpstream(chat("a")) as upstream, provider_of(upstream.url) as provider:

        async def call(request_id: str, trace: TraceContext) -> None:
            current_request_id.set(request_id)
            current_trace.set(trace)
            await provider.generate(REQUEST, RecordingSink())

        await asyncio.create_task(call("req_1", trace))
        await asyncio.create_task(call("req_2", TraceContext("1" * 32, "2" * 16, 0)))
        await provider.generate(REQUEST, RecordingSink())
    assert [tuple(map(request.headers.get, carried)) for request in upstream.requests] == [
        ("req_1", trace.header(), "a=1"),
        ("req_2", f"00-{'1' * 32}-{'2' * 16}-00", None),
        (None, None, None),
    ]
    assert all(request.json["stream"] for request in upstream.requests)


# What is answered


async def test_an_answer_is_relayed_to_its_end() -> None:
    """Every token once, in order, then the finish reason and the upstream's usage."""
    sink, error = await relayed(chat("Grü", "ße", " \U0001f30a", finish_reason="length"))
    assert error is None
    assert sink.text == "Grüße \U0001f30a"
    assert sink.events[-1] == Completed("length", Usage(7, 3, 10))


async def test_all_events_of_one_read_are_emitted_together() -> None:
    """A burst of tokens is one append and wakes the readers once."""
    burst = b"".join(chunk({"content": text}) for text in "abcdefgh") + chunk({}, "stop") + usage(1, 8)
    sink, _ = await relayed([Head(), Send(burst + b"data: [DONE]\n\n"), End()])
    assert sink.batches == [9]


async def test_the_sink_is_opened_when_the_upstream_accepts() -> None:
    """Before the first token, but not before the upstream's 2xx."""
    accept, go_on = asyncio.Event(), asyncio.Event()

    class Opening(RecordingSink):
        def opened(self) -> None:
            super().opened()
            opened.set()

    opened = asyncio.Event()
    async with (
        FakeUpstream([Wait(accept), Head(), Wait(go_on), *chat("a")[1:]]) as upstream,
        provider_of(upstream.url) as provider,
        asyncio.timeout(10),
    ):
        sink = Opening()
        task = asyncio.create_task(provider.generate(REQUEST, sink))
        await upstream.received()
        assert not sink.is_open
        accept.set()
        await opened.wait()
        assert sink.events == []
        go_on.set()
        await task
    assert sink.text == "a"


async def test_concurrent_generations_do_not_mix() -> None:
    """One instance serves many requests at once, each over its own connection."""
    texts = [f"answer {number} " for number in range(20)]
    async with (
        FakeUpstream(*(chat(*[text] * 5, delay=0.001) for text in texts)) as upstream,
        provider_of(upstream.url) as provider,
        asyncio.timeout(20),
    ):
        sinks = [RecordingSink() for _ in texts]
        await asyncio.gather(*(provider.generate(REQUEST, sink) for sink in sinks))
    assert sorted(sink.text for sink in sinks) == sorted(text * 5 for text in texts)
    assert upstream.connections == len(texts)


TAIL = [Send(chunk({"content": "b"}, "stop"))]


@pytest.mark.parametrize(
    "ending",
    [
        [Send(usage(7, 2)), End()],
        [Send(usage(7, 2)), Reset()],
        [Send(usage(7, 2)), DONE, Hang()],
        [Pause(0.05), Send(usage(7, 2)), DONE, End()],
    ],
    ids=["no [DONE]", "reset", "connection stays open", "usage comes late"],
)
@pytest.mark.parametrize("chunked", [True, False])
async def test_a_finish_reason_is_an_end_however_the_server_leaves(ending: Script, *, chunked: bool) -> None:
    """The usage after the finish reason is waited for; a missing `[DONE]` or a rude close is forgiven."""
    sink, error = await relayed([Head(chunked=chunked), Tokens(["a"]), *TAIL, *ending])
    assert error is None
    assert sink.events == [Delta("a"), Delta("b"), Completed("stop", Usage(7, 2, 9))]


async def test_usage_that_never_comes_is_estimated_soon() -> None:
    """A server that finishes and then stays silent, without usage, delays the end by no more than a stall."""
    sink, error = await relayed([Head(), Tokens(["a"]), *TAIL, Hang()], stall_timeout=0.2)
    assert error is None
    assert sink.completed == Completed("stop", Usage(2, 2, 4, estimated=True))


async def test_late_usage_is_waited_for_while_the_connection_shows_that_it_comes() -> None:
    """Each keep-alive starts the wait anew, and so does each piece of text."""
    waiting = [step for _ in range(3) for step in (Pause(0.1), KEEP_ALIVE)]
    pieces = [step for text in "cd" for step in (Pause(0.12), Send(chunk({"content": text}, "stop")))]
    script = [Head(), Tokens(["a"]), *TAIL, *pieces, *waiting, Send(usage(7, 2)), DONE, End()]
    sink, error = await relayed(script, stall_timeout=1)
    assert error is None
    assert sink.events[-1] == Completed("stop", Usage(7, 2, 9))
    assert sink.text == "abcd"


async def test_a_pause_of_the_server_is_no_silence_of_the_upstream() -> None:
    """What came while our own process slept is read before the stall timer's verdict."""
    sent, go_on = asyncio.Event(), asyncio.Event()

    class Watching(RecordingSink):
        def emit(self, events: Sequence[Content | Completed]) -> None:
            super().emit(events)
            sent.set()

    sink = Watching()
    script = [Head(), Tokens(["a"]), Wait(go_on), *chat("b")[2:]]
    async with FakeUpstream(script) as upstream, provider_of(upstream.url, stall_timeout=0.3) as provider:
        task = asyncio.create_task(provider.generate(REQUEST, sink))
        await sent.wait()
        # Past the deadline, with what the upstream sends due right after.
        pause(0.8)
        go_on.set()
        await task
    assert sink.text == "ab"


async def test_a_model_that_only_says_that_it_is_busy_has_stalled() -> None:
    """Fields beside no text are no tokens."""
    busy = [step for _ in range(40) for step in (Send(chunk({"status": "busy"})), Pause(0.05))]
    sink, error = await relayed([Head(), Tokens(["a"]), *busy], stall_timeout=0.3)
    assert isinstance(error, UpstreamTimeout)
    assert sink.text == "a"


async def test_keep_alives_after_the_end_do_not_hold_it_up_for_ever() -> None:
    """An upstream that has finished, and counts nothing, is not waited for as long as it breathes."""
    breathing = [step for _ in range(100) for step in (KEEP_ALIVE, Pause(0.05))]
    sink, error = await relayed([Head(), Tokens(["a"]), *TAIL, *breathing], stall_timeout=0.3)
    assert error is None
    assert sink.completed == Completed("stop", Usage(2, 2, 4, estimated=True))


async def test_what_was_counted_before_a_failure_is_told() -> None:
    """Usage that the upstream has sent stands, whatever becomes of the answer."""
    counting = Send(event({"choices": [{"index": 0, "delta": {"content": "a"}}], "usage": {"completion_tokens": 1}}))
    sink, error = await relayed([Head(), counting, Send(event({"error": "out of memory"})), Hang()])
    assert isinstance(error, UpstreamRefused)
    assert sink.usage == Usage(2, 1, 3, estimated=True)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(400, b'{"error":{"message":"mod\xe8le"}}'),
        Reply(429, {}, {"retry-after": "Mon, 01 Jan 99999999999 00:00:00 GMT"}),
        Reply(500, b"[" * 60_000),
        Reply(503, b'{"error": ' + b"9" * 5000 + b"}"),
    ],
)
async def test_no_refusal_leaves_an_answer_without_an_end(reply: Reply) -> None:
    """Bytes that nobody expects, in body and headers, are a refusal all the same."""
    _, error = await relayed([reply])
    assert isinstance(error, UpstreamRefused)


# What goes wrong


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 503])
async def test_a_refusal_keeps_its_status_and_words(status: int) -> None:
    """Nothing is opened: the client gets the upstream's status, message and wait."""
    body = {"error": {"message": "No.", "type": "their_type", "code": "their_code", "param": "p"}}
    sink, error = await relayed([Reply(status, body, {"retry-after": "7"})])
    assert isinstance(error, UpstreamRefused)
    assert (error.status, error.message, error.type, error.code) == (status, "No.", "their_type", "their_code")
    assert error.retry_after == 7
    assert not sink.is_open


@pytest.mark.parametrize(
    "rest",
    [[Send(b"x" * 200_000), Hang()], [Send(b'{"error'), Reset()], [Send(b'{"error'), End()]],
    ids=["endless", "reset", "cut"],
)
async def test_a_refusal_counts_even_if_its_body_does_not_come(rest: Script) -> None:
    """The status says most of it: a body that is too long or breaks off changes nothing."""
    sink, error = await relayed([Raw(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 10000000\r\n\r\n"), *rest])
    assert isinstance(error, UpstreamRefused)
    assert error.status == 403
    assert not sink.is_open


async def test_keys_never_reach_a_message() -> None:
    """An upstream that echoes the key or the URL's credentials is not quoted on that."""
    body = {"error": {"message": "key topsecret99 of hunter2hunter2 is bad (dXNlcjpodW50ZXIyaHVudGVyMg==)"}}
    async with FakeUpstream([Reply(401, body)]) as upstream:
        url = upstream.url.replace("//", "//user:hunter2hunter2@")
        async with running(OpenAIProvider(OpenAIModel(name="m", base_url=url), api_key="topsecret99")) as provider:
            with pytest.raises(UpstreamRefused) as raised:
                await provider.generate(REQUEST, RecordingSink())
    assert raised.value.message == "key [redacted] of [redacted] is bad ([redacted])"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_redirects_are_not_followed(status: int) -> None:
    """A key must not be sent to where an answer points."""
    sink, error = await relayed([Reply(status, b"", {"location": "http://127.0.0.1:1/"})])
    assert isinstance(error, UpstreamMalformed)
    assert not sink.is_open


@pytest.mark.parametrize(
    "script",
    [
        [Reply(200, b"{oops")],
        [Reply(200, b"<html>", {"content-type": "text/html"})],
        [Head(headers={"content-encoding": "gzip"}), End()],
    ],
    ids=["json", "html", "gzip"],
)
async def test_what_is_no_event_stream_is_malformed_before_anything_opens(script: Script) -> None:
    """A server that answers with something else is found out while the answer can still be an HTTP error."""
    sink, error = await relayed(script)
    assert isinstance(error, UpstreamMalformed)
    assert not sink.is_open


@pytest.mark.parametrize("ending", [End(), Reset()])
@pytest.mark.parametrize("chunked", [True, False])
async def test_an_answer_that_breaks_off_is_interrupted(ending: End | Reset, *, chunked: bool) -> None:
    """The end of the body without a finish reason is a failure; the tokens before it are kept."""
    sent = asyncio.Event()

    class Watching(RecordingSink):
        def emit(self, events: Sequence[Content | Completed]) -> None:
            super().emit(events)
            sent.set()

    sink = Watching()
    script = [Head(chunked=chunked), Tokens(["a"]), Wait(sent), ending]
    async with FakeUpstream(script) as upstream, provider_of(upstream.url) as provider:
        with pytest.raises(UpstreamInterrupted):
            await provider.generate(REQUEST, sink)
    assert sink.events == [Delta("a")]


async def test_an_error_in_the_stream_is_the_upstreams() -> None:
    """What breaks in mid-answer keeps the upstream's words."""
    sink, error = await relayed([Head(), Tokens(["a"]), Send(event({"error": {"message": "CUDA"}})), Hang()])
    assert isinstance(error, UpstreamRefused)
    assert error.message == "CUDA"
    assert sink.text == "a"


async def test_a_chunk_that_is_none_is_malformed(caplog: pytest.LogCaptureFixture) -> None:
    """Broken JSON ends the answer, after the tokens before it; the log has its beginning, the client its kind."""
    sink, error = await relayed([Head(), Tokens(["a"]), Send(b"data: {oops" + b"x" * 999 + b"\n\n"), Hang()])
    assert isinstance(error, UpstreamMalformed)
    assert "oops" not in error.message
    assert sink.text == "a"
    fields = vars(caplog.records[-1])["fields"]
    assert (fields["field"], fields["value"]) == ("data", "{oops" + "x" * 95)


async def test_an_upstream_that_does_not_answer_times_out() -> None:
    """Neither a silent upstream nor one that does not even read holds a client for longer than the timeout."""
    for script in ([NeverRead()], [Hang()]):
        sink, error = await relayed(script, first_token_timeout=0.05)
        assert isinstance(error, UpstreamTimeout)
        assert not sink.is_open


ALIVE = [step for _ in range(400) for step in (Pause(0.01), KEEP_ALIVE, Send(chunk({"content": ""})))]


async def test_signs_of_life_are_no_first_token() -> None:
    """Comments and empty chunks hide no dead model."""
    sink, error = await relayed([Head(), *ALIVE], first_token_timeout=0.1)
    assert isinstance(error, UpstreamTimeout)
    assert sink.events == []


async def test_signs_of_life_are_no_tokens() -> None:
    """Silence between tokens over the stall timeout ends the answer, whatever else the upstream sends."""
    sink, error = await relayed([Head(), Tokens(["a", "b"]), *ALIVE], stall_timeout=0.1)
    assert isinstance(error, UpstreamTimeout)
    assert sink.text == "ab"


FLOODS = {
    "comments": b": ka\n\n",
    "blank lines": b"\n",
    "empty events": b"data:\n\n",
    "no events": b"data: {}\n\n",
    "empty chunks": b'data: {"choices":[]}\n\n',
    "one endless line": b"x",
}


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS)
async def test_a_flood_holds_up_nobody_and_ends_on_time(flood: bytes) -> None:
    """However fast an upstream sends what is no token, others have their turns, and the stall timeout its way."""
    steps = [Send(flood * (200_000 // len(flood))) for _ in range(1000)]
    loop, gaps, over = asyncio.get_running_loop(), list[float](), asyncio.Event()

    async def look() -> None:
        while not over.is_set():
            begun = loop.time()
            await asyncio.sleep(0.001)
            gaps.append(loop.time() - begun)

    looking = asyncio.create_task(look())
    sink, error = await relayed([Head(), Tokens(["a"]), *steps], stall_timeout=0.3)
    over.set()
    await looking
    assert isinstance(error, UpstreamTimeout | UpstreamMalformed)
    assert sink.text == "a"
    # Of a flood that is taken in one turn they would see the end alone.
    assert len(gaps) > 3, gaps


async def test_bytes_without_a_token_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an upstream may send of comments is bounded, however much time it has."""
    monkeypatch.setattr("tidegate.providers.openai.answer.MAX_IDLE_BYTES", 1000)
    alive = [KEEP_ALIVE] * 50
    sink, error = await relayed(
        [Head(), *alive, Tokens(["a"]), *alive, Tokens(["b"]), Pause(0.05), *alive, *alive, Hang()]
    )
    assert isinstance(error, UpstreamMalformed)
    assert sink.text == "ab"


async def test_an_answer_of_blanks_is_malformed() -> None:
    """What may still become JSON or an event stream is not waited for for ever."""
    _, error = await relayed([Head(), *[Send(b" " * 1000)] * 100, Hang()], first_token_timeout=5)
    assert isinstance(error, UpstreamMalformed)


async def test_a_loop_that_is_always_late_is_no_excuse(monkeypatch: pytest.MonkeyPatch) -> None:
    """A timer that came late once looks again; it does not do so for ever."""
    monkeypatch.setattr("tidegate.core.pause.LATE_SECONDS", 0.01)
    over = asyncio.Event()

    async def hog() -> None:
        while not over.is_set():
            pause(0.03)
            await asyncio.sleep(0)

    hogging = asyncio.create_task(hog())
    _, error = await relayed([Head(), Tokens(["a"]), Hang()], stall_timeout=0.05)
    over.set()
    await hogging
    assert isinstance(error, UpstreamTimeout)


async def test_tokens_put_the_timeout_off() -> None:
    """A long answer is no stalled one: only the silence counts."""
    sink, error = await relayed(chat(*["a"] * 20, delay=0.1), stall_timeout=1.5, first_token_timeout=1.5)
    assert error is None
    assert len(sink.text) == 20


async def test_a_sink_that_fails_ends_the_generation() -> None:
    """A fault on our side is never passed off as a complete answer."""

    class Broken(RecordingSink):
        def emit(self, events: Sequence[Content | Completed]) -> None:
            if len(events) > 1:
                raise RuntimeError("broken")

    burst = Send(chunk({"content": "a"}) + chunk({"content": "b"}, "stop"))
    async with FakeUpstream([Head(), burst, Hang()]) as upstream, provider_of(upstream.url) as provider:
        with pytest.raises(RuntimeError, match="broken"):
            await provider.generate(REQUEST, Broken())


# How it is stopped, and slowed down


@pytest.mark.parametrize(
    "script",
    [[NeverRead()], [Hang()], [Head(), Hang()], [Head(), Tokens(["a"]), Hang()], chat(*"a" * 1000, delay=0.01)],
)
async def test_cancelling_closes_the_upstream_connection(script: Script) -> None:
    """Whether it waits or streams, the upstream learns at once, and not at its end, that nobody listens."""
    async with FakeUpstream(script) as upstream, provider_of(upstream.url) as provider, asyncio.timeout(30):
        sink = RecordingSink()
        task = asyncio.create_task(provider.generate(REQUEST, sink))
        if isinstance(script[0], NeverRead):
            await upstream.accepted()
        else:
            await upstream.received()
        if any(isinstance(step, Tokens) for step in script):
            await sink.holds(1)
        cancelled = asyncio.get_running_loop().time()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert task.cancelled()
        if not isinstance(script[0], NeverRead):
            assert await upstream.closed() - cancelled < 5


class NarrowSink(RecordingSink):
    """Takes nothing more after its first batch, until it is widened."""

    def __init__(self) -> None:
        super().__init__()
        self.wide = asyncio.Event()

    @property
    def full(self) -> bool:
        return bool(self.events) and not self.wide.is_set()

    async def room(self) -> None:
        await self.wide.wait()


async def test_a_full_sink_slows_the_upstream_down() -> None:
    """Reading stops, so TCP holds the upstream back; once there is room the rest comes, and no clock has run."""
    text = "x" * 1000
    async with (
        FakeUpstream(chat(*[text] * 20_000), [Head(), Tokens(["a"]), Hang()]) as upstream,
        provider_of(upstream.url, stall_timeout=1.5) as provider,
        asyncio.timeout(60),
    ):
        sink = NarrowSink()
        task = asyncio.create_task(provider.generate(REQUEST, sink))
        await sink.holds(1)
        held = len(sink.events)
        # Another answer stalls meanwhile: it is a silence as long as that which must not count.
        with pytest.raises(UpstreamTimeout):
            await provider.generate(REQUEST, RecordingSink())
        assert len(sink.events) - held < 2000
        assert not task.done()
        sink.wide.set()
        await task
    assert len(sink.text) == 20_000 * 1000
    assert sink.completed is not None


async def test_a_full_sink_can_be_cancelled() -> None:
    """Waiting for room does not keep the upstream's connection."""
    script = chat(*["x" * 1000] * 20_000)
    async with FakeUpstream(script) as upstream, provider_of(upstream.url) as provider, asyncio.timeout(30):
        sink = NarrowSink()
        task = asyncio.create_task(provider.generate(REQUEST, sink))
        await sink.holds(1)
        cancelled = asyncio.get_running_loop().time()
        task.cancel()
        assert await upstream.closed() - cancelled < 5
        with suppress(asyncio.CancelledError):
            await task


# Which upstream is asked


@pytest.fixture
def dead_url() -> Iterator[str]:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}/v1"


async def test_a_dead_upstream_is_unreachable(dead_url: str) -> None:
    """With no other to ask, the client is told, without the host."""
    async with provider_of(dead_url) as provider:
        with pytest.raises(UpstreamUnreachable) as raised:
            await provider.generate(REQUEST, RecordingSink())
    assert "127.0.0.1" not in raised.value.message


async def test_the_log_says_which_upstream_failed(dead_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """With its cause, but not with its words, which may quote the prompt."""
    refused = Reply(429, {"error": {"message": "no 12345678", "code": "busy"}})
    async with FakeUpstream([refused]) as upstream:
        for url in (dead_url, upstream.url):
            async with provider_of(url) as provider:
                with pytest.raises(ProviderError):
                    await provider.generate(REQUEST, RecordingSink())
    said: list[Any] = [vars(record)["fields"] for record in caplog.records]
    dead, alive = (Endpoint.parse(url).authority for url in (dead_url, upstream.url))
    assert [(each["model"], each["upstream"], each["status"], each["code"]) for each in said] == [
        ("m", dead, 502, "upstream_unreachable"),
        ("m", alive, 429, "busy"),
    ]
    assert "ConnectionRefusedError" in said[0]["cause"]
    assert "12345678" not in repr(said)
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


async def test_only_a_failed_connection_has_asked_nobody(dead_url: str) -> None:
    """A request that was sent may have been paid for: its failure does not say that another one may be asked."""
    async with FakeUpstream([Reply(503)], [Reset()]) as upstream, provider_of(upstream.url) as provider:
        for _ in range(2):
            with pytest.raises(ProviderError) as raised:
                await provider.generate(REQUEST, RecordingSink())
            assert not raised.value.unasked
    async with provider_of(dead_url) as provider:
        with pytest.raises(UpstreamUnreachable) as raised:
            await provider.generate(REQUEST, RecordingSink())
        assert raised.value.unasked


# How it is configured


async def test_an_unusable_upstream_is_a_configuration_error() -> None:
    """It is told at the start, with the model's name, not at the first request."""
    with pytest.raises(ConfigError, match="'bad'"):
        await OpenAIProvider(OpenAIModel(name="bad", base_url="a/v1")).start()


@pytest.mark.parametrize("value", [None, "", " \n"])
async def test_a_key_that_is_not_set_is_a_configuration_error(
    value: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message names the model and the variable."""
    monkeypatch.delenv("MISSING_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("MISSING_KEY", value)
    with pytest.raises(ConfigError, match=r"'m'.*MISSING_KEY"):
        await OpenAIProvider(OpenAIModel(name="m", base_url="http://a/v1", api_key_env="MISSING_KEY")).start()
