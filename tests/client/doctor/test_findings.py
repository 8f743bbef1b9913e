from __future__ import annotations

from typing import Any, get_args

import pytest
from msgspec.structs import replace

from tidegate.client.doctor.finding import Code
from tidegate.client.doctor.findings import RULES, findings
from tidegate.client.doctor.fixes import FIXES
from tidegate.client.doctor.report import Report
from tidegate.client.doctor.seen import Delivery, Greeting, Handshakes, LongBody, Read, Seen, Watched
from tidegate.dialects.native_probe import Arrived

ARRIVED = Arrived(
    http_version="1.1",
    scheme="https",
    host="app.example.com",
    headers=["host"],
    address="192.0.2.1",
    time=0.0,
    body_bytes=2,
    max_body_bytes=1000,
    dropped=None,
)
GREETING = Greeting(arrived=ARRIVED, lost=(), clocks={"server": 0.0}, round_trip_s=0.02, unsure_s=1.0)
READ = Read(delays_s=(0.01,), late=False, at_end=True, encoding="", patience_s=3.0)
LATE = replace(READ, late=True)
DELIVERY = Delivery(plain=READ, gzip=replace(READ, encoding="gzip"), resumed=("delta", "completed"))
SHAKEN = Handshakes(socket_refused="", origin="https://app.example.com", origin_refused=())
EVENTS = Watched(what="event stream", watched_s=38.0)
SOCKET = Watched(what="WebSocket", watched_s=38.0)


def seen(**fields: Any) -> Seen:
    """What is seen of a good deployment but for these fields."""
    good: dict[str, Any] = {
        "https": True,
        "alpn": "h2",
        "greeting": GREETING,
        "delivery": DELIVERY,
        "watched": [EVENTS, SOCKET],
        "handshakes": SHAKEN,
        "long_body": LongBody(bytes=900, refused=""),
        "arrivals": 1,
    }
    return Seen(**{**good, **fields})


def greeting(**fields: Any) -> dict[str, Any]:
    return {"greeting": replace(GREETING, **fields)}


def codes(**fields: Any) -> list[str]:
    return [finding.code for finding in findings(seen(**fields))]


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    """And only then it is said that it streams."""
    assert codes() == []
    assert headline(seen()) == "https://h: nothing found; it streams."


def headline(looked: Seen) -> str:
    return Report("https://h", looked).text().partition("\n")[0]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"delivery": None, "unmeasured": {"event streams": "tidegate answers 429: full."}}, "event streams"),
        ({"watched": [], "unmeasured": {"silence": "no time was left"}}, "silence"),
        ({"watched": [EVENTS]}, "silence"),
        ({"handshakes": None, "unmeasured": {"WebSockets": "tidegate answers 503: draining"}}, "WebSockets"),
        ({"delivery": None, "watched": [], "unmeasured": {"the rest": "55 s were over"}}, "event streams, silence"),
        ({"greeting": None, "delivery": None, "watched": [], "handshakes": None}, "event streams, silence, WebSockets"),
    ],
)
def test_it_streams_only_where_that_was_measured(fields: dict[str, Any], words: str) -> None:
    """What was not is a finding, which says why and what to do."""
    looked = seen(**fields)
    (finding,) = findings(looked)
    assert finding.code == "unreachable"
    assert finding.message.startswith("Whether it streams is not known, since not all could be measured. ")
    assert all(why.rstrip(".") in finding.message for why in looked.unmeasured.values())
    assert "run the doctor again" in finding.fix
    assert headline(looked) == f"https://h: not all could be measured: {words}. Whether it streams is not known."


def test_what_other_findings_explain_is_told_in_the_headline_alone() -> None:
    """A call that failed has its own words, and so has what keeps everything away."""
    failed = seen(delivery=None, failed={"event streams": "answers 502"})
    assert "not all" not in findings(failed)[0].message
    assert headline(failed) == "https://h: 1 finding; not all could be measured: event streams."
    lost = seen(handshakes=None, blocked={"headers_lost": "No."})
    assert [finding.code for finding in findings(lost)] == ["headers_lost"]
    assert headline(lost) == "https://h: 1 finding; not all could be measured: WebSockets."
    assert headline(Seen(https=True, blocked={"host_refused": "No."})) == "https://h: 1 finding"


def test_one_reason_is_given_once() -> None:
    """For all that it has kept from being measured."""
    why = "tidegate answers 429: 1 generations of yours are live, which is the limit"
    looked = seen(delivery=None, watched=[], unmeasured={"event streams": why, "silence": why})
    assert findings(looked)[0].message.endswith(f" event streams and silence: {why}.")


def test_every_code_has_a_rule_and_a_fix() -> None:
    """With a line for each proxy."""
    every = list(get_args(Code))
    assert [list(RULES), list(FIXES)] == [every, every]
    proxies = {"nginx", "Caddy", "Traefik", "Cloudflare", "AWS ALB"}
    assert [code for code, fixes in FIXES.items() if not proxies <= set(fixes)] == []


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        ({"failed": {"silence": "answers 502"}}, "unreachable", "silence: the deployment answers 502."),
        ({"blocked": {"host_refused": "No."}}, "host_refused", "No."),
        (
            {"handshakes": replace(SHAKEN, origin_refused=("POST", "WebSocket"))},
            "origin_refused",
            "Refused with this origin: POST, WebSocket. tidegate sees the request at https://app.example.com.",
        ),
        (
            {"delivery": replace(DELIVERY, plain=LATE, gzip=LATE)},
            "buffered",
            "after 3.0 s. It came when the stream ended",
        ),
        ({"delivery": replace(DELIVERY, gzip=LATE)}, "compression_delays", "not for clients that accept gzip"),
        (
            {"delivery": replace(DELIVERY, plain=replace(LATE, encoding="gzip"), gzip=LATE)},
            "compression_delays",
            "although nobody asked for it",
        ),
        (
            {"watched": [EVENTS, replace(SOCKET, cut_after_s=20.04, silent_s=20.0)]},
            "idle_cut",
            "The WebSocket was cut after 20.0 s, when nothing had come for 20.0 s.",
        ),
        ({"watched": [replace(EVENTS, dead=True), SOCKET]}, "idle_cut", "The event stream was dead after 38.0 s"),
        (
            {"handshakes": replace(SHAKEN, socket_refused="answers 426: no.")},
            "no_websocket",
            "handshake answers 426: no.",
        ),
        (greeting(arrived=replace(ARRIVED, http_version="1.0")), "http10", "HTTP/1.0"),
        ({"alpn": ""}, "six_connections", "six connections"),
        ({"alpn": "http/1.1"}, "six_connections", "six connections"),
        (greeting(lost=("authorization", "last-event-id")), "headers_lost", "authorization, last-event-id."),
        ({"delivery": replace(DELIVERY, resumed=("started", "delta"))}, "no_resume", "from the start"),
        ({"delivery": replace(DELIVERY, resumed=("gap", "delta"))}, "no_resume", "its position is not known"),
        ({"long_body": LongBody(bytes=900, refused="answers 413: no.")}, "body_limit", "itself takes 1,000 (limits."),
        ({"arrivals": 2}, "post_retried", "arrived 2 times"),
        (greeting(clocks={"server": 120.2}), "clock", "that of the server is 120 s ahead"),
        (greeting(clocks={"server": 0.0, "Date header": -31.5}), "clock", "that of the Date header is 32 s behind"),
    ],
)
def test_a_fault_is_named(fields: dict[str, Any], code: str, words: str) -> None:
    """And nothing else, with what was seen of it."""
    (finding,) = findings(seen(**fields))
    assert finding.code == code
    assert words in finding.message
    assert finding.message.endswith(".")


@pytest.mark.parametrize(
    "fields",
    [
        {"https": False, "alpn": None},
        greeting(clocks={"server": 30.5}),
        greeting(clocks={"server": 60.0}, unsure_s=31.0),
        {"delivery": replace(DELIVERY, resumed=())},
    ],
)
def test_what_may_be_well_is_not_called_a_fault(fields: dict[str, Any]) -> None:
    """Plain http, a clock that may be right for all that is known, a replay that did not come."""
    assert codes(**fields) == []


def test_what_follows_from_a_fault_is_not_another() -> None:
    """A held-back event stream is not a dead one; compression cannot delay what is late anyway; and measurements fail
    on connections that are cut."""
    late = replace(DELIVERY, plain=LATE, gzip=LATE)
    assert codes(delivery=late, watched=[replace(EVENTS, dead=True), SOCKET]) == ["buffered"]
    assert codes(delivery=late, watched=[EVENTS, replace(SOCKET, dead=True)]) == ["buffered", "idle_cut"]
    cut = [replace(EVENTS, cut_after_s=1.0), SOCKET]
    assert codes(delivery=None, watched=cut, failed={"event streams": "breaks off"}) == ["idle_cut"]
