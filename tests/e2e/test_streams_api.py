"""The native calls over real connections."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from api_kit import call, fetch

from tidegate import Tidegate
from tidegate.config import AuthSettings, DeliverySettings, LimitSettings, Settings, StoreSettings
from tidegate.core.sse import ServerSentEvent
from tidegate.errors import ProviderError
from tidegate.gate.api_keys import ApiKey, key_sha256
from tidegate.providers.settings import PythonModel, ReplayModel
from tidegate.testing.server import serving

pytestmark = pytest.mark.anyio

HELLO = {"model": "hello", "prompt": "hi"}


async def hello(request: Any) -> AsyncIterator[str]:
    yield "Hello"
    yield " world"


async def hang(request: Any) -> AsyncIterator[str]:
    yield "Well"
    await asyncio.Event().wait()


async def silent(request: Any) -> AsyncIterator[str]:
    await asyncio.Event().wait()
    yield ""


async def broken(request: Any) -> AsyncIterator[str]:
    yield "a"
    raise ProviderError("it broke")


async def flood(request: Any) -> AsyncIterator[str]:
    yield "x" * 2000


MODELS = tuple(PythonModel(name=f.__name__, target=f) for f in (hello, hang, silent, broken, flood))


@asynccontextmanager
async def served(**sections: Any) -> AsyncIterator[str]:
    app = Tidegate(Settings(models=(*MODELS, ReplayModel(name="replay", rate=0, tokens=20)), **sections))
    async with serving(app) as url:
        yield url
        await app.close()


async def started(url: str, **changes: object) -> str:
    status, headers, _ = await fetch(f"{url}/v1/streams", "POST", {**HELLO, "background": True, **changes})
    assert status == 202
    return url + headers["location"]


async def events_of(stream: str, query: str = "", headers: dict[str, str] | None = None) -> list[ServerSentEvent]:
    async with asyncio.timeout(10), call(f"{stream}/events{query}", headers=headers) as answer:
        assert answer.status == 200
        return [event async for event in answer.events()]


async def test_a_streamed_answer_is_its_events() -> None:
    """Headers say that it streams and where it is; the events are `started`, the pieces, the end."""
    async with served() as url, call(f"{url}/v1/streams", "POST", {**HELLO, "stream": True}) as answer:
        assert answer.status == 200
        assert answer.headers["content-type"] == "text/event-stream"
        assert answer.headers["cache-control"] == "no-cache, no-transform"
        assert answer.headers["x-accel-buffering"] == "no"
        assert answer.headers["location"] == f"/v1/streams/{answer.headers['tidegate-stream']}"
        events = [event async for event in answer.events()]
        assert [event.event for event in events] == ["started", "delta", "delta", "completed"]
        assert [event.id.split("-")[1] for event in events] == ["1", "2", "3", "4"]
        assert answer.decoder.retry_ms == 1000


async def test_a_whole_answer_is_its_snapshot() -> None:
    """`stream` defaults to false: one JSON object at the end."""
    async with served() as url:
        status, headers, snapshot = await fetch(f"{url}/v1/streams", "POST", HELLO)
    assert status == 200
    assert (snapshot["status"], snapshot["text"], snapshot["finish_reason"]) == ("completed", "Hello world", "stop")
    assert snapshot["id"] == headers["tidegate-stream"]
    assert snapshot["ended_at"] >= snapshot["created_at"]


async def test_a_background_answer_is_there_at_once_and_goes_on_alone() -> None:
    """202 with the snapshot, then it is followed like any other."""
    async with served() as url:
        stream = await started(url, metadata={"k": "v"})
        events = await events_of(stream)
        _, _, snapshot = await fetch(stream)
    assert events[-1].event == "completed"
    assert (snapshot["text"], snapshot["metadata"]) == ("Hello world", {"k": "v"})


async def test_the_first_bytes_go_out_before_the_provider_has_answered() -> None:
    """A model that is silent delays neither the headers nor the first comment nor `started`."""
    async with (
        served() as url,
        call(f"{url}/v1/streams", "POST", {"model": "silent", "prompt": "x", "stream": True}) as a,
    ):
        async with asyncio.timeout(2):
            assert a.status == 200
            chunks = a.chunks()
            first = await anext(chunks)
            assert first == b"retry: 1000\n: heartbeat=15\n\n"
            assert b"event: started" in await anext(chunks)


async def test_silence_is_filled_with_comments() -> None:
    """After `heartbeat_seconds` without an event a comment goes out, and no event is invented."""
    async with served(delivery=DeliverySettings(heartbeat_seconds=0.05)) as url:
        stream = await started(url, model="hang")
        async with asyncio.timeout(5), call(f"{stream}/events") as answer:
            seen = b""
            async for chunk in answer.chunks():
                seen += chunk
                if seen.count(b": heartbeat\n\n") >= 3:
                    break
            assert len(answer.decoder.feed(seen)) == 2


async def test_the_header_is_stronger_than_the_query() -> None:
    """`Last-Event-ID`, else `?after=`, else the beginning."""
    async with served() as url:
        stream = await started(url)
        ids = [event.id for event in await events_of(stream)]
        assert [event.id for event in await events_of(stream, f"?after={ids[1]}")] == ids[2:]
        header = {"last-event-id": ids[2]}
        assert [event.id for event in await events_of(stream, f"?after={ids[0]}&snapshot=1", header)] == ids[3:]


async def test_polyfills_say_in_the_query_what_they_had_last() -> None:
    """`?lastEventId=` is for those that cannot set the header: newer than the `?after=` that they began with."""
    async with served() as url:
        stream = await started(url)
        ids = [event.id for event in await events_of(stream)]
        assert [event.id for event in await events_of(stream, f"?lastEventId={ids[1]}")] == ids[2:]
        assert [event.id for event in await events_of(stream, "?lastEventId=")] == ids
        both = f"?after={ids[0]}&lastEventId={ids[1]}"
        assert [event.id for event in await events_of(stream, both)] == ids[2:]
        assert [event.id for event in await events_of(stream, both, {"last-event-id": ids[2]})] == ids[3:]
        assert (await fetch(f"{stream}/events?lastEventId={ids[-1]}"))[0] == 204


@pytest.mark.parametrize("path", ["/v1/streams/{id}/events", "/v1/topics/room/events"])
async def test_a_position_is_said_once(path: str) -> None:
    """Two headers, or two parameters, are a mistake as any other malformed position."""
    async with served() as url:
        stream = await started(url)
        cursor = (await events_of(stream))[0].id
        target = url + path.format(id=stream.rpartition("/")[2])
        twice = {"last-event-id": f"{cursor}\r\nLast-Event-ID: {cursor}"}
        status, _, body = await fetch(target, headers=twice)
        assert (status, body["error"]["param"]) == (400, "Last-Event-ID")
        for query in (f"?lastEventId={cursor}&lastEventId={cursor}", "?lastEventId=x"):
            status, _, body = await fetch(target + query)
            assert (status, body["error"]["param"]) == (400, "lastEventId")


async def test_after_the_end_there_is_nothing() -> None:
    """Asking again with the last cursor answers 204, which makes `EventSource` stop."""
    async with served() as url:
        stream = await started(url)
        last = (await events_of(stream))[-1].id
        for target, headers in ((f"{stream}/events?after={last}", {}), (f"{stream}/events", {"last-event-id": last})):
            assert (await fetch(target, headers=headers))[0] == 204


@pytest.mark.parametrize("cursor", ["zzzz-1", "own-999"])
async def test_a_position_that_is_not_kept_is_a_gap(cursor: str) -> None:
    """Foreign and future cursors answer 200 with a `gap` first, then what follows it."""
    async with served() as url:
        stream = await started(url)
        own = (await events_of(stream))[0].id.split("-")[0]
        asked = cursor.replace("own", own)
        gap, *rest = await events_of(stream, f"?after={asked}")
        assert gap.event == "gap"
        assert json.loads(gap.data) == {"from": asked, "to": gap.id}
        assert [event.id for event in rest] == [event.id for event in await events_of(stream, f"?after={gap.id}")]
        assert rest[-1].event == "completed"


async def test_a_snapshot_stands_for_the_events_so_far() -> None:
    """`?snapshot=1`: one event with everything and its cursor, then what follows, the end included."""
    async with served() as url:
        stream = await started(url)
        ids = [event.id for event in await events_of(stream)]
        first, *rest = await events_of(stream, "?snapshot=1")
        assert (first.event, first.id) == ("snapshot", ids[2])
        assert json.loads(first.data)["text"] == "Hello world"
        assert [event.id for event in rest] == ids[3:]


async def test_events_can_all_be_messages() -> None:
    """`?events=message` puts the type into the data, for clients that only have `onmessage`."""
    async with served() as url:
        events = await events_of(await started(url), "?events=message")
        assert {event.event for event in events} == {"message"}
        assert [json.loads(event.data)["type"] for event in events] == ["started", "delta", "delta", "completed"]


async def test_a_cancel_answers_with_the_end() -> None:
    """200 with status and cursor once the stream has ended; again, the same answer."""
    async with served() as url:
        stream = await started(url, model="hang")
        first = await fetch(f"{stream}/cancel", "POST", {"reason": "bored"})
        again = await fetch(f"{stream}/cancel", "POST")
        end = (await events_of(stream))[-1]
    assert first[0] == again[0] == 200
    assert first[2] == again[2] == {"status": "cancelled", "cursor": end.id}
    data = json.loads(end.data)
    assert (data["by"], data["reason"]) == ("client", "bored")


async def test_a_deleted_stream_is_gone() -> None:
    """204, its readers see an end, and then nobody finds it."""
    async with served() as url:
        stream = await started(url, model="hang")
        reading = asyncio.create_task(events_of(stream))
        async with call(f"{stream}/events") as attached:
            await anext(attached.chunks())
            assert (await fetch(stream, "DELETE"))[0] == 204
        assert (await reading)[-1].event == "cancelled"
        for method, path in (("GET", ""), ("GET", "/events"), ("POST", "/cancel"), ("DELETE", "")):
            status, _, body = await fetch(stream + path, method)
            assert (status, body["error"]["code"]) == (404, "stream_not_found")


async def test_a_failure_is_an_event_to_readers_and_a_status_to_who_waits() -> None:
    """The stream ends `failed`; the whole answer has the failure's status, and what had been said."""
    async with served() as url:
        body = {"model": "broken", "prompt": "x"}
        status, headers, snapshot = await fetch(f"{url}/v1/streams", "POST", body)
        events = await events_of(f"{url}{headers['location']}")
    assert status == 502
    assert (snapshot["status"], snapshot["text"]) == ("failed", "a")
    assert snapshot["error"]["code"] == "provider_error"
    assert snapshot["error"]["request_id"] == headers["x-request-id"]
    assert json.loads(events[-1].data)["error"]["message"] == "it broke"


@pytest.mark.parametrize(
    "body", [{**HELLO, "model": "hang"}, {**HELLO, "model": "hang", "stream": True, "on_disconnect": "cancel"}]
)
async def test_an_answer_that_nobody_waits_for_is_cancelled(body: dict[str, object]) -> None:
    """A whole call that hangs up, and a stream with `cancel`, stop the provider."""
    async with served() as url:
        async with call_started(url, body) as _:
            pass
        async with asyncio.timeout(5):
            while (await fetch(f"{url}/v1/streams?status=cancelled"))[2]["data"] == []:
                pass
        _, _, page = await fetch(f"{url}/v1/streams")
    assert page["data"][0]["status"] == "cancelled"


@asynccontextmanager
async def call_started(url: str, body: dict[str, object]) -> AsyncIterator[None]:
    """A call that is cut once its generation runs."""
    waiting = asyncio.create_task(fetch(f"{url}/v1/streams", "POST", body))
    async with asyncio.timeout(5):
        while not (await fetch(f"{url}/v1/streams?status=running"))[2]["data"]:
            pass
    yield
    waiting.cancel()
    await asyncio.wait([waiting])


async def test_the_list_goes_back_page_by_page() -> None:
    """Newest first, no text, `before` and `limit`."""
    async with served() as url:
        made = [(await started(url)).rpartition("/")[2] for _ in range(3)]
        _, _, first = await fetch(f"{url}/v1/streams?limit=2")
        _, _, second = await fetch(f"{url}/v1/streams?limit=2&before={made[1]}")
    assert [item["id"] for item in first["data"]] == [made[2], made[1]]
    assert first["has_more"]
    assert "text" not in first["data"][0]
    assert ([item["id"] for item in second["data"]], second["has_more"]) == ([made[0]], False)


@pytest.mark.parametrize("store", ["memory://", "sqlite:///FOLDER/list.db"])
async def test_the_list_has_short_questions(store: str, tmp_path: Path) -> None:
    """Of live streams and ended ones; where it is long, or there is none, there is no such member."""
    asked = ["Why?", "天\x1b空", "x" * 3000, "x" * 5000]
    async with served(store=StoreSettings(url=store.replace("FOLDER", str(tmp_path)))) as url:
        for question in asked:
            await fetch(f"{url}/v1/streams", "POST", {**HELLO, "prompt": question})
        await fetch(f"{url}/v1/streams", "POST", {"producer": "client"})
        await fetch(f"{url}/v1/streams", "POST", {"model": "hang", "prompt": "Live?", "background": True})
        _, _, listed = await fetch(f"{url}/v1/streams")
    assert [item.get("question") for item in listed["data"]] == ["Live?", None, None, *reversed(asked[:3])]
    assert ["question" in item for item in listed["data"]] == [True, False, False, True, True, True]


async def test_a_repeated_request_with_its_key_is_not_paid_for_twice() -> None:
    """The same key and body lead to the same stream, streamed or not; another body is a conflict."""
    async with served() as url:
        key = {"idempotency-key": "k-1"}
        first = await fetch(f"{url}/v1/streams", "POST", HELLO, key)
        again = await fetch(f"{url}/v1/streams", "POST", {"prompt": "hi", "model": "hello"}, key)
        other = await fetch(f"{url}/v1/streams", "POST", {**HELLO, "prompt": "ho"}, key)
        bad = await fetch(f"{url}/v1/streams", "POST", HELLO, {"idempotency-key": "a b"})
        _, _, page = await fetch(f"{url}/v1/streams")
    assert first[2] == again[2]
    assert (other[0], other[2]["error"]["code"]) == (409, "idempotency_mismatch")
    assert (bad[0], bad[2]["error"]["param"]) == (400, "Idempotency-Key")
    assert len(page["data"]) == 1


async def test_bad_input_is_a_typed_error_and_changes_nothing() -> None:
    """Each mistake gets its status, its code and, where there is one, the parameter's name."""
    async with served(limits=LimitSettings(max_body_bytes=500)) as url:
        stream = await started(url)
        before = await fetch(f"{url}/v1/streams")
        post, json_type = f"{url}/v1/streams", {"content-type": "application/json"}
        mistakes: list[tuple[str, str, object, dict[str, str], int, str, str | None]] = [
            (post, "POST", b"{", json_type, 400, "invalid_json", None),
            (post, "POST", b"", json_type, 400, "invalid_json", None),
            (post, "POST", {**HELLO, "x": 1}, {}, 400, "unknown_field", "x"),
            (post, "POST", {**HELLO, "temperature": 9}, {}, 400, "invalid_value", "temperature"),
            (post, "POST", {**HELLO, "prompt": "x" * 500}, {}, 413, "body_too_large", None),
            (post, "POST", b"model=hello", {"content-type": "text/plain"}, 415, "unsupported_media_type", None),
            (post, "POST", {**HELLO, "model": "no"}, {}, 404, "model_not_found", "model"),
            (post, "POST", {**HELLO, "stream": True}, {"last-event-id": "!"}, 400, "malformed_cursor", "Last-Event-ID"),
            (f"{stream}/events?after=x", "GET", None, {}, 400, "malformed_cursor", "after"),
            (f"{stream}/events?after=a-1&after=a-2", "GET", None, {}, 400, "invalid_value", "after"),
            (f"{stream}/events?snapshot=2", "GET", None, {}, 400, "invalid_value", "snapshot"),
            (f"{stream}/events?events=all", "GET", None, {}, 400, "invalid_value", "events"),
            (f"{stream}/cancel", "POST", {"why": "x"}, {}, 400, "unknown_field", "why"),
            (f"{url}/v1/streams?limit=0", "GET", None, {}, 400, "invalid_value", "limit"),
            (f"{url}/v1/streams?status=odd", "GET", None, {}, 400, "invalid_value", "status"),
            (f"{url}/v1/streams?before=gen_0", "GET", None, {}, 404, "stream_not_found", None),
            (f"{url}/v1/streams/gen_0/events", "GET", None, {}, 404, "stream_not_found", None),
            (f"{url}/v1/nothing", "GET", None, {}, 404, "not_found", None),
            (f"{url}/v1/streams", "PATCH", None, {}, 405, "method_not_allowed", None),
        ]
        for target, method, body, headers, status, code, param in mistakes:
            got = await fetch(target, method, body, headers)
            error = got[2]["error"]
            assert (got[0], error["code"], error["param"]) == (status, code, param), (target, body)
            assert error["request_id"] == got[1]["x-request-id"]
        after = await fetch(f"{url}/v1/streams")
        assert [item["id"] for item in after[2]["data"]] == [item["id"] for item in before[2]["data"]]


async def test_keys_open_what_their_scopes_allow_and_nothing_of_others() -> None:
    """401 without a good key, 403 without the scope, 404 for another's stream; the token may stand in an SSE query."""
    names = {"all": ("generate", "read", "cancel"), "other": ("generate", "read", "cancel"), "reader": ("read",)}
    keys = tuple(ApiKey(name=n, sha256=key_sha256(f"secret-{n}"), scopes=scopes) for n, scopes in names.items())

    def bearer(name: str) -> dict[str, str]:
        return {"authorization": f"Bearer secret-{name}"}

    async with served(auth=AuthSettings(keys=keys)) as url:
        for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic x"}):
            status, answer, body = await fetch(f"{url}/v1/streams", "POST", HELLO, headers)
            assert (status, body["error"]["code"]) == (401, "invalid_credentials")
            assert answer["www-authenticate"] == "Bearer"
        assert (await fetch(f"{url}/v1/streams", "POST", HELLO, bearer("reader")))[0] == 403
        status, headers, _ = await fetch(f"{url}/v1/streams", "POST", HELLO, bearer("all"))
        assert status == 200
        stream = url + headers["location"]
        for name in ("other", "reader"):
            assert (await fetch(stream, headers=bearer(name)))[0] == 404
        assert (await fetch(f"{stream}/cancel", "POST", headers=bearer("reader")))[0] == 403
        assert (await events_of(stream, "?access_token=secret-all"))[-1].event == "completed"
        assert (await fetch(f"{stream}?access_token=secret-all"))[0] == 401
        for path in ("/healthz", "/readyz", "/openapi.json"):
            assert (await fetch(url + path))[0] == 200


async def test_probes_tell_life_from_readiness() -> None:
    """A draining server is alive and not ready, and refuses new generations with 503 and when to come back."""
    app = Tidegate(Settings(models=MODELS))
    async with serving(app) as url:
        assert (await fetch(f"{url}/readyz"))[2] == {"status": "ready"}
        await app.drain()
        assert (await fetch(f"{url}/healthz"))[0] == 200
        status, headers, _ = await fetch(f"{url}/readyz")
        assert (status, headers["retry-after"]) == (503, "5")
        status, _, body = await fetch(f"{url}/v1/streams", "POST", HELLO)
        assert (status, body["error"]["code"]) == (503, "draining")
        await app.close()


async def test_the_pages_come_with_their_guards() -> None:
    """The page loads nothing from elsewhere, is nobody's frame, and tells nobody where it was."""
    async with served() as url:
        for path, media in (("/", "text/html"), ("/docs", "text/html"), ("/web/tidegate.js", "text/javascript")):
            async with call(url + path) as answer:
                assert answer.status == 200
                assert answer.headers["content-type"].startswith(media)
                assert "default-src 'self'" in answer.headers["content-security-policy"]
                assert answer.headers["referrer-policy"] == "no-referrer"
        for path in ("/web/../app.py", "/web/%2e%2e%2fapp.py", "/web/__init__.py", "/web/"):
            assert (await fetch(url + path))[0] == 404


async def test_a_client_keeps_its_request_id() -> None:
    """A valid `x-request-id` comes back, another one is replaced."""
    async with served() as url:
        assert (await fetch(f"{url}/healthz", headers={"x-request-id": "mine-1"}))[1]["x-request-id"] == "mine-1"
        assert (await fetch(f"{url}/healthz", headers={"x-request-id": "no spaces"}))[1]["x-request-id"].startswith(
            "req_"
        )


@pytest.mark.parametrize("path", ["/v1/streams", "/v1/chat/completions"])
async def test_too_long(path: str) -> None:
    """An answer beyond `max_generation_bytes` is the request's own fault: 413, and nothing to be repeated."""
    body = {"model": "flood", "messages": [{"role": "user", "content": "x"}]}
    async with served(limits=LimitSettings(max_generation_bytes=1000)) as url:
        status, headers, answer = await fetch(url + path, "POST", body)
        assert (status, headers["x-should-retry"]) == (413, "false")
        assert (answer["error"]["type"], answer["error"]["code"]) == ("invalid_request_error", "too_long")
        _, _, made = await fetch(f"{url}/v1/streams", "POST", {"producer": "client"})
        events = [{"type": "delta", "data": {"text": "x" * 2000}}]
        appended = {"lease": made["lease"]["token"], "expected_offset": 1, "events": events}
        status, _, answer = await fetch(f"{url}/v1/streams/{made['id']}/append", "POST", appended)
        assert (status, answer["error"]["type"], answer["error"]["code"]) == (413, "invalid_request_error", "too_long")
        ended = (await fetch(f"{url}/v1/streams/{made['id']}"))[2]
        assert (ended["status"], ended["error"]["type"]) == ("failed", "invalid_request_error")


async def test_what_can_be_no_id_names_no_stream() -> None:
    """It is refused as an unknown id is, whichever call it comes in, and gets into no header."""
    async with served() as url:
        for id in ("gen_%E2%80%A6", "gen_%0D%0Ax%3A1", "gen_%C3%A9", "%00"):
            for path in ("", "/events", "/events?snapshot=1", "/events?after=a-1", "/readers"):
                status, _, answer = await fetch(f"{url}/v1/streams/{id}{path}")
                assert (status, answer["error"]["code"]) == (404, "stream_not_found"), (id, path)
