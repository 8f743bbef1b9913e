"""The findings and measurements as JSON, and in words for a terminal."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tidegate.client.doctor.finding import Finding
from tidegate.client.doctor.findings import findings
from tidegate.client.doctor.lacking import lacking, unexplained
from tidegate.client.doctor.seen import Greeting, Read, Seen, Watched
from tidegate.core.visible import visible_line

NAMES_WIDTH = 22


class Report:
    """What is reported of the deployment at a URL."""

    def __init__(self, url: str, seen: Seen) -> None:
        self.url = url
        self.findings = findings(seen)
        self.measured = measured(seen)
        self._headline = _headline(seen, self.findings)

    def json(self) -> str:
        """An object; characters beyond ASCII, and so all that steer a terminal, are escapes."""
        found = [{"code": each.code, "message": each.message, "fix": each.fix} for each in self.findings]
        return json.dumps({"url": self.url, "findings": found, "measured": self.measured}, indent=2)

    def text(self) -> str:
        """Findings with what to change, then the measurements. Each line is safe for a terminal."""
        lines = [f"{self.url}: {self._headline}"]
        for finding in self.findings:
            lines += ["", f"{finding.code}: {finding.message}"]
            lines += [f"    {line}" for line in finding.fix.splitlines()]
        lines += ["", "Measured:"] if self.measured else []
        lines += [f"    {name:{NAMES_WIDTH}}{_shown(value)}" for name, value in self.measured.items()]
        return "\n".join(visible_line(line) for line in lines)


def measured(seen: Seen) -> dict[str, Any]:
    """What was measured, by name."""
    found: dict[str, Any] = {}
    if seen.https and seen.alpn is not None:
        found["alpn"] = seen.alpn
    if seen.greeting is not None:
        found |= _greeted(seen.greeting)
    if seen.delivery is not None:
        found |= {"event_delays_ms": _delays(seen.delivery.plain), "gzip_delays_ms": _delays(seen.delivery.gzip)}
        found["gzip_encoding"] = seen.delivery.gzip.encoding
    if seen.watched:
        found["silence"] = [_silence(each) for each in seen.watched]
    if seen.long_body is not None:
        found["body_bytes"] = seen.long_body.bytes
    if seen.arrivals is not None:
        found["post_arrivals"] = seen.arrivals
    if seen.unmeasured:
        found["not_measured"] = seen.unmeasured
    return found


def _greeted(greeting: Greeting) -> dict[str, Any]:
    arrived = greeting.arrived
    return {
        "http_version": arrived.http_version,
        "seen_as": f"{arrived.scheme}://{arrived.host}",
        "address": arrived.address,
        "headers": arrived.headers,
        "round_trip_ms": _ms(greeting.round_trip_s),
        "clocks_ahead_s": {whose: round(seconds, 1) for whose, seconds in greeting.clocks.items()},
        "max_body_bytes": arrived.max_body_bytes,
    }


def _delays(read: Read) -> list[float]:
    return [_ms(seconds) for seconds in read.delays_s]


def _silence(watched: Watched) -> dict[str, Any]:
    cut = watched.cut_after_s
    return {
        "what": watched.what,
        "watched_s": round(watched.watched_s, 1),
        "cut_after_s": None if cut is None else round(cut, 1),
    }


def _ms(seconds: float) -> float:
    return round(1000 * seconds, 1)


def _headline(seen: Seen, found: Sequence[Finding]) -> str:
    if not found:
        return "nothing found; it streams."
    count = f"{len(found)} {'finding' if len(found) == 1 else 'findings'}"
    missing = lacking(seen)
    if not missing:
        return count
    unmeasured = f"not all could be measured: {', '.join(missing)}"
    if len(found) == 1 and unexplained(seen) and not seen.failed:
        return f"{unmeasured}. Whether it streams is not known."
    return f"{count}; {unmeasured}."


def _shown(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
