"""How long the doctor waits for what."""

from __future__ import annotations

import msgspec


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """Times in seconds.

    `answer` is for one call, `body` for one with a long body. `event` is for an event that is in the log: networks are
    faster, and who buffers is not. `watch` is how long silent connections are watched: longer than the 30 s after which
    the server pings a WebSocket, so that one is found that was cut after 20 s. `still` is for an event after that.
    `again` is how long a proxy may refuse everything that has taken its servers for dead, as nginx does for 10 s, and
    up to two more. `later` is how often a call is made again, after a second at the most, that a limit or a server that
    stops has refused with a time to come back. `whole` is for all of this. Where it was cut short, the streams are
    deleted within the `farewell`.
    """

    answer: float = 8.0
    body: float = 20.0
    event: float = 3.0
    watch: float = 36.0
    still: float = 3.0
    again: float = 13.5
    later: int = 5
    whole: float = 55.0
    farewell: float = 4.0
