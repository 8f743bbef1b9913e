from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from eventually_kit import eventually
from routes_kit import client_of, code_of, error_of, events_of

from tidegate import Tidegate
from tidegate.core.events import GenerationRequest
from tidegate.errors import StreamNotFound
from tidegate.streams.snapshots import WholeStream

pytestmark = pytest.mark.anyio

ASKED = {"model": "tide", "prompt": "x"}
TYPES = ["started", "delta", "delta", "completed"]


async def answer(request: GenerationRequest) -> AsyncIterator[str]:
    if request.prompt == "fail":
        raise RuntimeError("broken")
    yield "ebb "
    yield "and flow"


def tide() -> Tidegate:
    return Tidegate(models={"tide": answer})


async def ended(client: httpx.AsyncClient) -> str:
    """The path of a stream that has ended."""
    return (await client.post("/v1/streams", json=ASKED)).headers["location"]


async def test_an_answer_is_whole_unless_it_is_to_be_streamed() -> None:
    """And says where it is to be found."""
    async with client_of(tide()) as client:
        whole = await client.post("/v1/streams", json=ASKED)
        assert (whole.status_code, whole.json()["status"], whole.json()["text"]) == (200, "completed", "ebb and flow")
        assert whole.headers["location"] == f"/v1/streams/{whole.headers['tidegate-stream']}"
        assert (await client.get(whole.headers["location"])).json() == whole.json()


@pytest.mark.parametrize("more", [{"background": True}, {"stream": True}, {"producer": "client"}])
async def test_what_a_failover_loses_at_once_can_be_started_again(
    more: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client does not repeat a call that it was told 404 for."""

    async def lost(*_: object, **__: object) -> None:
        raise StreamNotFound("there is no such stream")

    app = tide()
    monkeypatch.setattr(app.service, "whole", lost)
    monkeypatch.setattr(app.service, "follow", lost)
    async with client_of(app) as client:
        answer = await client.post("/v1/streams", json=more if "producer" in more else {**ASKED, **more})
    assert code_of(answer) == (503, "store_unavailable")
    assert "retry-after" in answer.headers


@pytest.mark.parametrize("more", [{"background": True}, {"producer": "client"}])
async def test_what_is_lost_before_its_log_is_read_can_be_started_again(
    more: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first bytes of the answer have not gone out."""

    async def lost(*_: object, **__: object) -> AsyncIterator[bytes]:
        raise StreamNotFound("there is no such stream")
        yield b""

    monkeypatch.setattr(WholeStream, "_pages", lost)
    async with client_of(tide()) as client:
        answer = await client.post("/v1/streams", json=more if "producer" in more else {**ASKED, **more})
    assert code_of(answer) == (503, "store_unavailable")


async def test_a_key_whose_stream_a_failover_has_lost_can_be_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The replica may have the key and not the stream: the producer is to repeat its call."""

    async def lost(*_: object, **__: object) -> None:
        raise StreamNotFound("there is no such stream")

    app = tide()
    async with client_of(app) as client:
        own = {"json": {"producer": "client"}, "headers": {"idempotency-key": "k"}}
        assert (await client.post("/v1/streams", **own)).status_code == 201
        monkeypatch.setattr(app.service.node.client_streams, "_renewed", lost)
        answer = await client.post("/v1/streams", **own)
    assert code_of(answer) == (503, "store_unavailable")


async def test_a_streamed_answer_is_its_events() -> None:
    """To its end, with the positions from which it can be taken up again."""
    async with client_of(tide()) as client:
        streamed = await client.post("/v1/streams", json={**ASKED, "stream": True})
        events = events_of(streamed)
        assert [event.event for event in events] == TYPES
        path = f"{streamed.headers['location']}/events"
        rest = events_of(await client.get(path, headers={"last-event-id": events[1].id}))
        assert [(event.event, event.id) for event in rest] == [(event.event, event.id) for event in events[2:]]


async def test_an_answer_in_the_background_is_waited_for_by_nobody() -> None:
    """It is there later."""
    async with client_of(tide()) as client:
        started = await client.post("/v1/streams", json={**ASKED, "background": True})
        assert started.status_code == 202

        async def completed() -> bool:
            return (await client.get(started.headers["location"])).json()["status"] == "completed"

        await eventually(completed)


async def test_where_nothing_follows_the_answer_is_empty() -> None:
    """204 has an `EventSource` stop; a cursor that makes no sense is refused."""
    async with client_of(tide()) as client:
        path = await ended(client)
        last = events_of(await client.get(f"{path}/events"))[-1].id
        assert (await client.get(f"{path}/events", params={"after": last})).status_code == 204
        assert (await client.get(f"{path}/events", params={"after": "x"})).status_code == 400


async def test_a_snapshot_stands_for_the_events_so_far() -> None:
    """The end follows all the same; `events=message` puts both under the default name."""
    async with client_of(tide()) as client:
        path = f"{await ended(client)}/events"
        assert [event.event for event in events_of(await client.get(f"{path}?snapshot=1"))] == ["snapshot", "completed"]
        assert {event.event for event in events_of(await client.get(f"{path}?events=message"))} == {"message"}
        refused = await client.get(f"{path}?snapshot=2")
        assert (refused.status_code, error_of(refused)["param"]) == (400, "snapshot")


async def test_a_failure_before_the_first_token_is_the_answers_own() -> None:
    """With the snapshot beside the error; streamed it is the last event."""
    async with client_of(tide()) as client:
        whole = await client.post("/v1/streams", json={**ASKED, "prompt": "fail"})
        assert whole.status_code >= 500
        assert (whole.json()["status"], whole.json()["id"]) == ("failed", whole.headers["tidegate-stream"])
        streamed = await client.post("/v1/streams", json={**ASKED, "prompt": "fail", "stream": True})
        assert [event.event for event in events_of(streamed)] == ["started", "failed"]


async def test_a_repeated_call_starts_nothing() -> None:
    """Its key leads to the first one's stream; with another body it is refused."""
    async with client_of(tide()) as client:
        key = {"idempotency-key": "k"}
        first, again = [await client.post("/v1/streams", json=ASKED, headers=key) for _ in range(2)]
        assert first.json() == again.json()
        other = await client.post("/v1/streams", json={**ASKED, "prompt": "y"}, headers=key)
        assert other.status_code == 409
        assert len((await client.get("/v1/streams")).json()["data"]) == 1


async def test_callers_fill_streams_of_their_own() -> None:
    """An append says where it stands; one at another place is told the right one."""
    async with client_of(Tidegate()) as client:
        opened = await client.post("/v1/streams", json={"producer": "client"})
        path, token = opened.headers["location"], opened.json()["lease"]["token"]
        events = [{"type": "delta", "data": {"text": "a"}}]
        wrong = await client.post(f"{path}/append", json={"lease": token, "expected_offset": 7, "events": events})
        assert (wrong.status_code, error_of(wrong)["offset"]) == (409, 1)
        done = await client.post(f"{path}/append", json={"lease": token, "expected_offset": 1, "events": events})
        assert done.json()["offset"] == 2
        cancelled = await client.post(f"{path}/cancel", json={"reason": "enough"})
        assert cancelled.json()["status"] == "cancelled"
        assert (await client.get(path)).json()["text"] == "a"


async def test_a_stream_that_is_deleted_is_not_there() -> None:
    """Neither by itself nor in the list."""
    async with client_of(tide()) as client:
        path = await ended(client)
        assert (await client.delete(path)).status_code == 204
        for gone in (path, f"{path}/events"):
            assert code_of(await client.get(gone)) == (404, "stream_not_found")
        assert (await client.get("/v1/streams")).json() == {"data": [], "has_more": False}
