"""Deployments with one fault each, and some without: each fault is found, and nothing else is said."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pytest
from bad_nginx_kit import nginx
from bad_proxy_kit import LATER, RECONNECT, forgetful, refusing_once
from doctor_kit import PATIENCE, SETTINGS, codes, examined, only, server, with_server
from eventually_kit import eventually
from msgspec.structs import replace

from tidegate import Tidegate
from tidegate.client.doctor.caller import Caller
from tidegate.client.doctor.findings import findings
from tidegate.client.doctor.greeting import PROBE
from tidegate.client.doctor.own_stream import OwnStreams
from tidegate.config import AuthSettings, LimitSettings
from tidegate.gate.api_keys import ApiKey, key_sha256
from tidegate.http_client.errors import HttpError
from tidegate.http_client.tls import tls
from tidegate.routes.drops import AT_ONCE
from tidegate.stores.memory import MemoryStore
from tidegate.testing.server import serving

pytestmark = pytest.mark.anyio

KEY = "tg_doctors"
KEPT = replace(
    SETTINGS,
    auth=AuthSettings(keys=(ApiKey(name="doctor", sha256=key_sha256(KEY), scopes=("generate", "read", "cancel")),)),
)
SOON = replace(PATIENCE, event=1.0, still=1.0)
"""For events that never come."""

NO_WEBSOCKET = {"proxy_set_header Upgrade": '""', "proxy_set_header Connection": '""'}
SOCKETS_APART = (
    "location /v1/ws { proxy_pass http://tidegate; proxy_http_version 1.1; proxy_set_header Host $http_host; "
    "proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $upgrade; }"
)


@pytest.fixture(autouse=True)
def trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a test makes OpenSSL trust is not kept for the next one."""
    tls.cache_clear()
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)


async def test_nothing_is_said_of_a_plain_server() -> None:
    """Of one with limits as they are by default, neither."""
    async with server(replace(SETTINGS, limits=LimitSettings())) as url:
        seen = await examined(url)
    assert findings(seen) == []
    assert seen.unmeasured == {}
    assert {each.what for each in seen.watched} == {"event stream", "WebSocket"}
    assert seen.arrivals == 1


async def test_nothing_is_said_of_a_good_nginx(tmp_path: Path) -> None:
    """In front of a server with keys."""
    async with server(KEPT) as url, nginx(tmp_path, url) as front:
        seen = await examined(front, key=KEY)
    assert (findings(seen), seen.unmeasured) == ([], {})
    assert seen.delivery is not None
    assert seen.delivery.gzip.encoding == "gzip"


async def test_nothing_is_said_of_a_prefix(tmp_path: Path) -> None:
    """That a proxy strips."""
    async with server() as url, nginx(tmp_path, url, prefix="/llm") as front:
        seen = await examined(front)
    assert (findings(seen), seen.unmeasured) == ([], {})


@pytest.mark.parametrize(
    ("changed", "outside", "found"),
    [
        (NO_WEBSOCKET, "", {"no_websocket"}),
        ({"proxy_set_header Host": "app.example.com"}, "", {"host_refused"}),
        ({"proxy_set_header Host": "localhost"}, "", {"origin_refused"}),
        ({"proxy_http_version": "1.0"}, SOCKETS_APART, {"http10"}),
        ({"proxy_http_version": "1.0", **NO_WEBSOCKET}, "", {"http10", "no_websocket"}),
        ({"proxy_set_header Last-Event-ID": '""'}, "", {"headers_lost", "no_resume"}),
        ({"proxy_set_header Authorization": '""'}, "", {"headers_lost"}),
        ({"proxy_set_header traceparent": '""', "proxy_set_header Idempotency-Key": '""'}, "", {"headers_lost"}),
        ({"client_max_body_size": "1m"}, "", {"body_limit"}),
        ({"more_set_headers": "'Date: Sun, 29 Nov 2020 00:00:00 GMT'"}, "", {"clock"}),
    ],
)
async def test_a_directive_is_found(tmp_path: Path, changed: Mapping[str, str], outside: str, found: set[str]) -> None:
    """What it breaks is named, with nothing else but what follows from it."""
    async with server(KEPT) as url, nginx(tmp_path, url, changed=changed, outside=outside) as front:
        seen = await examined(front, key=KEY)
    assert codes(seen) == found
    assert not any("<" in finding.message for finding in findings(seen))


async def test_buffering_is_found(tmp_path: Path) -> None:
    """The events come when the stream ends. In HTTP/1.1 nginx passes each chunk on, whatever it is told to buffer."""
    outside = (
        "location ~ /events$ { proxy_pass http://tidegate; proxy_http_version 1.0; proxy_set_header Host $http_host; "
        "proxy_buffering on; proxy_ignore_headers X-Accel-Buffering; }"
    )
    async with server() as url, nginx(tmp_path, url, outside=outside) as front:
        seen = await examined(front, patience=SOON)
    # A WebSocket, whose events do come, is not given the time for that.
    assert codes(seen) - {"idle_cut"} == {"buffered"}
    assert "It came when the stream ended." in findings(seen)[0].message


async def test_compression_that_holds_back_is_found(tmp_path: Path) -> None:
    """By a reader that takes gzip, beside one that does not: what nginx buffers and compresses it does not flush."""
    changed = {
        "proxy_set_header Accept-Encoding": '""',
        "proxy_buffering": "on",
        "proxy_ignore_headers": "X-Accel-Buffering",
        "gzip": "on",
        "gzip_types": "text/event-stream",
        "gzip_proxied": "any",
    }
    async with server() as url, nginx(tmp_path, url, changed=changed) as front:
        seen = await examined(front, patience=replace(PATIENCE, event=6.0))
    assert codes(seen) == {"compression_delays"}


async def test_a_cut_after_three_seconds_is_found(tmp_path: Path) -> None:
    """On both transports, where heartbeats come less often."""
    rare = replace(SETTINGS, delivery=replace(SETTINGS.delivery, heartbeat_seconds=15))
    async with server(rare) as url, nginx(tmp_path, url, changed={"proxy_read_timeout": "3s"}) as front:
        seen = await examined(front, patience=replace(PATIENCE, watch=30.0))
    assert codes(seen) == {"idle_cut"}
    assert [each.cut_after_s is not None for each in seen.watched] == [True, True]


async def test_a_cut_between_the_pings_of_a_socket_is_found(tmp_path: Path) -> None:
    """Although heartbeats save the event stream: as 20 s are more than 15 and less than 30."""
    async with server() as url, nginx(tmp_path, url, changed={"proxy_read_timeout": "3s"}) as front:
        seen = await examined(front, patience=replace(PATIENCE, watch=4.0))
    assert codes(seen) == {"idle_cut"}
    assert {each.what: each.cut_after_s is not None for each in seen.watched} == {
        "event stream": False,
        "WebSocket": True,
    }


async def test_a_connection_that_died_without_a_word_is_found() -> None:
    """An event that is sent at the end does not come."""
    async with server() as url, forgetful(url, 1.0) as front:
        seen = await examined(front, patience=replace(PATIENCE, watch=2.0, still=1.0))
    assert codes(seen) == {"idle_cut"}
    assert [each.dead for each in seen.watched if each.what == "event stream"] == [True]


async def test_a_repeated_post_is_found(tmp_path: Path) -> None:
    """Although another node gets it the second time."""
    store = MemoryStore(max_generation_bytes=1 << 20)
    async with server(store=store) as near, server(store=store) as far:
        changed = {"proxy_next_upstream": "error timeout non_idempotent"}
        async with nginx(tmp_path, near, far, changed=changed) as front:
            seen = await examined(front)
    assert codes(seen) == {"post_retried"}
    assert seen.arrivals == 2


async def test_two_nodes_on_one_store_are_good(tmp_path: Path) -> None:
    """Where only what may be repeated is."""
    store = MemoryStore(max_generation_bytes=1 << 20)
    async with server(store=store) as near, server(store=store) as far, nginx(tmp_path, near, far) as front:
        assert findings(await examined(front)) == []


async def test_nodes_without_a_common_store_are_found(tmp_path: Path) -> None:
    """A reader that comes back finds another node, which knows nothing of its stream."""
    async with server() as near, server() as far, nginx(tmp_path, near, far) as front:
        assert codes(await examined(front)) == {"no_resume"}


async def test_a_cached_answer_is_no_resumption(tmp_path: Path) -> None:
    """The header arrives with a POST, but not where it is needed."""
    outside = (
        "location ~ /events$ { proxy_pass http://tidegate; proxy_http_version 1.1; proxy_buffering off; "
        'proxy_set_header Host $http_host; proxy_set_header Last-Event-ID ""; }'
    )
    async with server() as url, nginx(tmp_path, url, outside=outside) as front:
        assert codes(await examined(front)) == {"no_resume"}


async def test_a_clock_two_minutes_off_is_found() -> None:
    """The server's own, and that of the Date header."""
    async with server() as url:
        seen = await examined(url, clock=lambda: time.time() - 120)
    assert codes(seen) == {"clock"}
    assert "that of the server is 120 s ahead" in findings(seen)[0].message


@pytest.mark.parametrize(("tls_directives", "found"), [("http2 on;", set()), ("http2 off;", {"six_connections"})])
async def test_https_without_http2_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tls_directives: str, found: set[str]
) -> None:
    """And https with it is good, also for WebSockets."""
    from bad_nginx_kit import CERTIFICATE

    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    async with server() as url, nginx(tmp_path, url, tls=tls_directives) as front:
        seen = await examined(front)
    assert (codes(seen), seen.unmeasured) == (found, {})


async def test_a_certificate_that_nobody_trusts_is_found(tmp_path: Path) -> None:
    """As the reason why the deployment cannot be reached."""
    async with server() as url, nginx(tmp_path, url, tls="http2 on;") as front:
        seen = await examined(front)
    assert codes(seen) == {"unreachable"}
    assert "the TLS handshake failed: self-signed certificate; SSL_CERT_FILE" in findings(seen)[0].message


async def test_the_other_scheme_is_asked_for(tmp_path: Path) -> None:
    """Where TLS gets a request without it, and the other way round."""
    async with server() as url, nginx(tmp_path, url, tls="http2 on;") as front:
        for wrong, right in ((url.replace("http:", "https:"), "http"), (front.replace("https:", "http:"), "https")):
            (finding,) = findings(await examined(wrong))
            assert (finding.code, f"for {right}://?" in finding.message) == ("unreachable", True), finding.message


async def test_a_proxy_without_a_server_is_found(tmp_path: Path) -> None:
    """It answers, but tidegate does not."""
    async with nginx(tmp_path, "http://127.0.0.1:9") as front:
        seen = await examined(front)
    assert codes(seen) == {"unreachable"}
    assert "answers 502 (nginx/" in findings(seen)[0].message


async def test_a_host_that_is_not_listed_is_found() -> None:
    """By the name that the server is called by."""
    async with server(with_server(allowed_hosts=("app.example.com",))) as url:
        assert codes(await examined(url)) == set()
        assert codes(await examined(url.replace("127.0.0.1", "0.0.0.0"))) == {"host_refused"}


async def test_a_key_that_sockets_lose_is_found(tmp_path: Path) -> None:
    """The handshake passes, and its header authorization does not."""
    outside = SOCKETS_APART.replace("; }", '; proxy_set_header Authorization ""; }')
    async with server(KEPT) as url, nginx(tmp_path, url, outside=outside) as front:
        seen = await examined(front, key=KEY)
    assert codes(seen) == {"headers_lost"}
    assert "with WebSockets" in findings(seen)[0].message


async def test_where_limits_leave_no_room_it_is_not_said_to_stream() -> None:
    """Nor is the deployment said to be at fault: a limit is, and what to do is said."""
    async with server(replace(SETTINGS, limits=LimitSettings(concurrent_generations=1))) as url:
        own = OwnStreams(Caller(url, "", seconds=20.0, later=0))
        live = await own.open()
        async with live.kept():
            seen = await examined(url, patience=replace(PATIENCE, later=0, whole=60.0))
        await own.delete(20.0)
    finding = only(findings(seen))
    assert finding.code == "unreachable"
    assert "event streams and silence: tidegate answers 429: 1 generations of yours are live" in finding.message
    assert "after 429: wait until other answers have ended" in finding.fix


async def test_too_many_doctors_at_once_leave_posts_unmeasured() -> None:
    """The server answers in place of leaving one more request unanswered, which is no repetition and no fault."""
    async with server() as url:
        for _ in range(AT_ONCE):
            with suppress(HttpError):
                await Caller(url, "", seconds=PATIENCE.answer, later=0).post_once(PROBE, b'{"drop": "x"}', seconds=20)
        seen = await examined(url)
    assert (findings(seen), seen.arrivals) == ([], None)
    assert "unanswered at once" in seen.unmeasured["repeated POSTs"]


async def test_room_for_one_answer_is_enough() -> None:
    """Whoever is told to come back does: the second stream waits until the first has ended."""
    async with server(replace(SETTINGS, limits=LimitSettings(concurrent_generations=1))) as url:
        seen = await examined(url, patience=replace(PATIENCE, later=20))
    assert (findings(seen), seen.unmeasured) == ([], {})


@pytest.mark.parametrize(("ending", "answer"), [("/events", LATER), ("/events", RECONNECT), ("/ws", LATER)])
async def test_a_measurement_that_is_to_be_made_later_is(ending: str, answer: bytes) -> None:
    """Once, where a reader was told to come back."""
    async with server() as url, refusing_once(url, ending, answer) as front:
        seen = await examined(front)
    assert (findings(seen), seen.unmeasured) == ([], {})


async def test_a_server_that_stops_is_not_said_to_stream() -> None:
    """Nor to cut connections: it says why to readers and sockets before it closes them, when they come back, too."""
    app = Tidegate(SETTINGS)
    async with serving(app) as url:
        watching = asyncio.create_task(examined(url, patience=replace(PATIENCE, watch=20.0)))
        drained: list[object] = []
        carrying = lambda: [each for each in app.registry if list(each.readers) and each not in drained]  # noqa: E731
        for _ in range(2):
            await eventually(lambda: sorted(each.transport for each in carrying()) == ["sse", "websocket"], within=20)
            for connection in carrying():
                drained.append(connection)
                connection.drain("draining")
        seen = await watching
    await app.close()
    assert (codes(seen), seen.watched) == ({"unreachable"}, [])
    assert "silence: tidegate sent a reader away: it is about to stop" in only(findings(seen)).message
