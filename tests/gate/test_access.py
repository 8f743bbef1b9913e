from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tidegate.core.principal import Principal
from tidegate.gate.access import AccessMiddleware, public_path
from tidegate.observe.base import RequestDone

pytestmark = pytest.mark.anyio

SHARE = "share_" + "0123456789abcdef" * 4


async def no_content(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def test_request_done(exchange: Any, recorder: Any) -> None:
    """Every request is observed once, when its answer is over, without its query."""
    times = iter([10.0, 12.0, 12.5])
    app = AccessMiddleware(no_content, observer=recorder, clock=lambda: next(times))
    await exchange(app, method="POST", path="/v1/streams", query=b"access_token=secret")
    assert recorder.seen == [RequestDone(None, "POST", "/v1/streams", 204, 2.5, head_s=2.0)]
    assert "secret" not in repr(recorder.seen)


async def test_what_is_found_further_in(exchange: Any, recorder: Any) -> None:
    """The log has who has asked, from where, and for which stream."""

    async def streams(scope: Any, receive: Any, send: Any) -> None:
        scope["tidegate.principal"] = Principal("key:ci", frozenset())
        scope["tidegate.stream_id"] = "gen_1"
        scope["tidegate.route"] = SimpleNamespace(scope="read", path="/v1/streams/{stream_id}", local=False)
        await no_content(scope, receive, send)

    async def from_somewhere(scope: Any, receive: Any, send: Any) -> None:
        scope["client"] = ("10.0.0.7", 40000)
        await AccessMiddleware(streams, observer=recorder)(scope, receive, send)

    await exchange(from_somewhere)
    (done,) = recorder.seen
    assert (done.principal, done.address, done.stream, done.quiet) == ("key:ci", "10.0.0.7", "gen_1", False)


@pytest.mark.parametrize(("needed", "quiet"), [(None, True), ("read", False)])
async def test_quiet(exchange: Any, recorder: Any, needed: str | None, quiet: bool) -> None:
    """A route that is open to all is quiet: what asks for it all the time would drown the rest."""

    async def probe(scope: Any, receive: Any, send: Any) -> None:
        scope["tidegate.route"] = SimpleNamespace(scope=needed, path="/healthz", local=False)
        await no_content(scope, receive, send)

    await exchange(AccessMiddleware(probe, observer=recorder))
    assert [done.quiet for done in recorder.seen] == [quiet]


async def test_unanswered(exchange: Any, recorder: Any) -> None:
    """A request whose client left has no status; one that broke is observed and goes on breaking."""

    async def leave(scope: Any, receive: Any, send: Any) -> None:
        raise KeyError

    with pytest.raises(KeyError):
        await exchange(AccessMiddleware(leave, observer=recorder))
    assert [done.status for done in recorder.seen] == [None]


@pytest.mark.parametrize(
    ("path", "public"),
    [
        ("/s/TOKEN", "/s/***"),
        ("/llm/s/TOKEN", "/llm/s/***"),
        ("//s//TOKEN", "//s/***"),
        ("/s/TOKEN/more", "/s/***"),
        ("/v1/streams/gen_1/events?access_token=TOKEN", "/v1/streams/gen_1/events?***"),
        ("/v1/streams/gen_1/events", "/v1/streams/gen_1/events"),
        (f"/v1/streams/{SHARE}/events", "/v1/streams/share_***/events"),
        (f"/S/{SHARE}", "/S/share_***"),
        (f"/s/./{SHARE}", "/s/***"),
        (f"/{SHARE[:-20]}", "/share_***"),
        (f"/{SHARE.upper()}", "/SHARE_***"),
        ("/v1/topics/share_feed/events", "/v1/topics/share_feed/events"),
        ("/", "/"),
    ],
)
def test_share_tokens_are_masked(path: str, public: str) -> None:
    """A share token in a path is never told: not that of a shared view, wherever tidegate is mounted, nor any other."""
    assert public_path(path) == public


async def test_a_share_token_for_a_stream(exchange: Any, recorder: Any) -> None:
    """Nor is it told where it was taken for a stream."""

    async def streams(scope: Any, receive: Any, send: Any) -> None:
        scope["tidegate.stream_id"] = SHARE
        await no_content(scope, receive, send)

    await exchange(AccessMiddleware(streams, observer=recorder), path=f"/v1/streams/{SHARE}")
    assert SHARE not in repr(recorder.seen)
