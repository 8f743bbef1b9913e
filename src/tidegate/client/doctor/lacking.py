"""What has to be measured before anybody can say that a deployment streams. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from tidegate.client.doctor.seen import Seen

EVENT_STREAMS, SILENCE, WEBSOCKETS = "event streams", "silence", "WebSockets"
THE_REST = "the rest"


def lacking(seen: Seen) -> Mapping[str, str]:
    """What of it was not measured, and why; empty where that is told by other findings."""
    if seen.greeting is None and seen.blocked:
        return {}
    measured = {
        EVENT_STREAMS: seen.delivery is not None,
        SILENCE: _is_silence_measured(seen),
        WEBSOCKETS: seen.handshakes is not None,
    }
    return {what: _why(seen, what) for what, is_measured in measured.items() if not is_measured}


def _is_silence_measured(seen: Seen) -> bool:
    """Whether both transports were watched; a WebSocket that was refused cannot be."""
    refused = seen.handshakes is None or bool(seen.handshakes.socket_refused)
    return len(seen.watched) == 2 or (refused and bool(seen.watched))


def _why(seen: Seen, what: str) -> str:
    return seen.unmeasured.get(what) or seen.unmeasured.get(THE_REST, "")


def unexplained(seen: Seen) -> Mapping[str, str]:
    """What of it was not measured, with the reason, where no call failed and nothing that was found is that reason."""
    return {what: why for what, why in lacking(seen).items() if what not in seen.failed and (why or not seen.blocked)}
