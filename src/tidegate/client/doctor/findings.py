"""What is wrong with a deployment, by what was seen of it. Pure; each rule says one thing, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tidegate.client.doctor.finding import Code, Finding
from tidegate.client.doctor.fixes import AGAIN, fix_of
from tidegate.client.doctor.lacking import unexplained
from tidegate.client.doctor.seen import Read, Seen, Watched

CLOCK_SECONDS = 30.0
"""How far clocks may differ before tokens are refused that are still valid, or not valid any more."""

STARTED = "started"


def findings(seen: Seen) -> list[Finding]:
    """All faults, in the order of the contract."""
    return [Finding(code, message, _fix(code, seen)) for code, message in _said(seen)]


def _fix(code: Code, seen: Seen) -> str:
    if code != "unreachable" or not unexplained(seen):
        return fix_of(code)
    return f"{fix_of(code)}\n{AGAIN}" if seen.failed else AGAIN


def _said(seen: Seen) -> Iterator[tuple[Code, str]]:
    for code, rule in RULES.items():
        if message := seen.blocked.get(code) or rule(seen):
            yield code, message


def _unreachable(seen: Seen) -> str:
    return " ".join(filter(None, (_failed(seen), _unmeasured(seen))))


def _failed(seen: Seen) -> str:
    if not seen.failed or _idle_cut(seen):
        # A connection that is cut early may be one that a measurement was made on.
        return ""
    failed = "; ".join(f"{what}: the deployment {said.rstrip('.')}" for what, said in seen.failed.items())
    return f"Some calls were not answered, though others were. {failed}."


def _unmeasured(seen: Seen) -> str:
    missing = unexplained(seen)
    if not missing:
        return ""
    reasons = {why: " and ".join(what for what, said in missing.items() if said == why) for why in missing.values()}
    told = "; ".join(f"{what}: {why.rstrip('.')}" if why else what for why, what in reasons.items())
    return f"Whether it streams is not known, since not all could be measured. {told}."


def _host_refused(_: Seen) -> str:
    return ""


def _origin_refused(seen: Seen) -> str:
    shaken = seen.handshakes
    if shaken is None or not shaken.origin_refused:
        return ""
    arrived = seen.greeting.arrived if seen.greeting is not None else None
    sees = f" tidegate sees the request at {arrived.scheme}://{arrived.host}." if arrived is not None else ""
    refused = ", ".join(shaken.origin_refused)
    return f"Pages at {shaken.origin} are taken for another site's. Refused with this origin: {refused}.{sees}"


def _buffered(seen: Seen) -> str:
    plain = _plain(seen)
    if plain is None or not plain.late or plain.encoding:
        return ""
    return f"Events do not arrive as they are sent: {_lateness(plain)} Something in between buffers answers."


def _compression_delays(seen: Seen) -> str:
    plain = _plain(seen)
    if plain is None or seen.delivery is None:
        return ""
    if plain.late and plain.encoding:
        return (
            f"Events are compressed ({plain.encoding}) although nobody asked for it, and held back: {_lateness(plain)}"
        )
    gzip = seen.delivery.gzip
    if not gzip.late or plain.late:
        return ""
    return f"Events arrive at once as they are, but not for clients that accept gzip, as browsers do: {_lateness(gzip)}"


def _plain(seen: Seen) -> Read | None:
    return None if seen.delivery is None else seen.delivery.plain


def _lateness(read: Read) -> str:
    then = "It came when the stream ended." if read.at_end else "It did not come when the stream ended, either."
    return f"one that the server had sent had not come after {read.patience_s:.1f} s. {then}"


def _idle_cut(seen: Seen) -> str:
    plain = _plain(seen)
    held_back = plain is not None and plain.late
    return " ".join(filter(None, (_cut(each, held_back=held_back) for each in seen.watched)))


def _cut(watched: Watched, *, held_back: bool) -> str:
    if watched.cut_after_s is not None:
        return (
            f"The {watched.what} was cut after {watched.cut_after_s:.1f} s, when nothing had come for "
            f"{watched.silent_s:.1f} s."
        )
    if watched.dead and not (held_back and watched.what != "WebSocket"):
        return (
            f"The {watched.what} was dead after {watched.watched_s:.1f} s: it seemed open, but nothing came any more."
        )
    return ""


def _no_websocket(seen: Seen) -> str:
    shaken = seen.handshakes
    if shaken is None or not shaken.socket_refused:
        return ""
    return f"WebSockets do not pass: the handshake {shaken.socket_refused.rstrip('.')}."


def _http10(seen: Seen) -> str:
    if seen.greeting is None or seen.greeting.arrived.http_version != "1.0":
        return ""
    return (
        "Requests arrive at tidegate in HTTP/1.0, which has no kept connections, no WebSockets, and no way to tell the "
        "end of an answer from a broken connection."
    )


def _six_connections(seen: Seen) -> str:
    if not seen.https or seen.alpn in (None, "h2"):
        return ""
    return (
        "Browsers do not get HTTP/2 here, and open six connections to a host in HTTP/1.1: the seventh tab that follows "
        "a stream waits for one of the others."
    )


def _headers_lost(seen: Seen) -> str:
    if seen.greeting is None or not seen.greeting.lost:
        return ""
    return f"Headers do not arrive at tidegate: {', '.join(seen.greeting.lost)}."


def _no_resume(seen: Seen) -> str:
    if seen.delivery is None:
        return ""
    kinds = seen.delivery.resumed
    if STARTED in kinds:
        return "A reader that comes back with last-event-id gets everything again from the start."
    if "gap" in kinds:
        return "A reader that comes back with last-event-id is told that its position is not known."
    return ""


def _body_limit(seen: Seen) -> str:
    body = seen.long_body
    if body is None or not body.refused or seen.greeting is None:
        return ""
    allowed = seen.greeting.arrived.max_body_bytes
    return (
        f"A body of {body.bytes:,} bytes does not pass: the deployment {body.refused.rstrip('.')}. tidegate itself "
        f"takes {allowed:,} (limits.max_body_bytes)."
    )


def _post_retried(seen: Seen) -> str:
    if seen.arrivals is None or seen.arrivals < 2:
        return ""
    return (
        f"One POST that was not answered arrived {seen.arrivals} times: something in between repeats it, and a "
        "generation would be started, and paid for, as often."
    )


def _clock(seen: Seen) -> str:
    if seen.greeting is None:
        return ""
    slack = CLOCK_SECONDS + seen.greeting.unsure_s
    off = [_off(whose, seconds) for whose, seconds in seen.greeting.clocks.items() if abs(seconds) > slack]
    return (
        f"Clocks differ from this machine's, and tokens allow for {CLOCK_SECONDS:g} s: {', '.join(off)}." if off else ""
    )


def _off(whose: str, seconds: float) -> str:
    return f"that of the {whose} is {abs(seconds):.0f} s {'ahead' if seconds > 0 else 'behind'}"


RULES: dict[Code, Callable[[Seen], str]] = {
    "unreachable": _unreachable,
    "host_refused": _host_refused,
    "origin_refused": _origin_refused,
    "buffered": _buffered,
    "compression_delays": _compression_delays,
    "idle_cut": _idle_cut,
    "no_websocket": _no_websocket,
    "http10": _http10,
    "six_connections": _six_connections,
    "headers_lost": _headers_lost,
    "no_resume": _no_resume,
    "body_limit": _body_limit,
    "post_retried": _post_retried,
    "clock": _clock,
}
"""For each code the rule that says its message, which is empty where there is nothing to say."""
