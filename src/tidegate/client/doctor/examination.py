"""Makes all measurements, side by side, within a minute."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from tidegate.client.doctor import alpn, delivery, drop, greeting, handshakes, long_body
from tidegate.client.doctor.caller import Caller, pause_told, why
from tidegate.client.doctor.lacking import EVENT_STREAMS, SILENCE, THE_REST, WEBSOCKETS
from tidegate.client.doctor.own_stream import OwnStreams
from tidegate.client.doctor.patience import Patience
from tidegate.client.doctor.seen import Greeting, Seen
from tidegate.client.doctor.trouble import Blocked, SentAway, Unanswered, Unmeasured
from tidegate.client.doctor.watch import watch
from tidegate.errors import ConfigError, UpstreamMalformed
from tidegate.http_client.errors import HttpError

Making = Callable[[], Coroutine[Any, Any, Any]]
"""Makes a measurement, each time that it is called."""

SLACK_SECONDS = 2.0
"""What the steps around the watch take on a slow network."""

ROUND_TRIPS = 4
"""An event that is in the log takes half a round trip; a connection that has lost a packet takes three more."""

NOT_SHARED = (
    "A stream that had just been started was not known to whoever got the next request: the nodes behind this URL do "
    "not share one store."
)


async def examine(url: str, api_key: str, patience: Patience, clock: Callable[[], float]) -> Seen:
    """What is seen of the deployment at this URL. `clock` is in Unix seconds. The doctor's own streams are deleted.

    Raises `ConfigError` where the URL or the key is not right.
    """
    caller = Caller(url, api_key, seconds=patience.answer, later=patience.later)
    own = OwnStreams(caller)
    examination = _Examination(caller, own, patience)
    try:
        await examination.make(clock)
    finally:
        with suppress(Unmeasured, Unanswered):
            await own.delete(patience.farewell)
    return examination.seen


class _Examination:
    def __init__(self, caller: Caller, own: OwnStreams, patience: Patience) -> None:
        self.seen = Seen(https=caller.endpoint.scheme == "https")
        self._caller = caller
        self._own = own
        self._patience = patience
        # Of what is measured side by side.
        self._end = asyncio.get_running_loop().time() + patience.whole - patience.again - SLACK_SECONDS

    async def make(self, clock: Callable[[], float]) -> None:
        """Makes the measurements, as long as there is time."""
        try:
            async with asyncio.timeout(self._patience.whole):
                await self._make(clock)
        except TimeoutError:
            self.seen.unmeasured[THE_REST] = f"{self._patience.whole:g} s were over"

    async def _make(self, clock: Callable[[], float]) -> None:
        await self._look("greeting", "tidegate", lambda: greeting.greet(self._caller, clock))
        if self.seen.greeting is None:
            return
        await self._side_by_side(self.seen.greeting)
        # A proxy may take its servers for dead after this, so it is the last, and nothing is left to be cleared up.
        await self._made("clearing up", lambda: self._own.delete(self._patience.farewell))
        again, answer = self._patience.again, self._patience.answer
        counting = lambda: drop.count_arrivals(self._caller, again=again, seconds=answer)  # noqa: E731
        await self._look("arrivals", "repeated POSTs", counting)

    async def _side_by_side(self, greeted: Greeting) -> None:
        caller, own, patience, answer = self._caller, self._own, self._patience, self._patience.answer
        on_the_way = ROUND_TRIPS * greeted.round_trip_s
        event, still = patience.event + on_the_way, patience.still + on_the_way
        end = self._end - still
        looks: list[tuple[str, str, Making]] = [
            ("delivery", EVENT_STREAMS, lambda: delivery.measure(caller, own, patience=event, end=answer)),
            (
                "watched",
                SILENCE,
                lambda: watch(caller, own, seconds=patience.watch, end=end, patience=still, answer=answer),
            ),
            ("handshakes", WEBSOCKETS, lambda: handshakes.shake_hands(caller, answer)),
            (
                "long_body",
                "long bodies",
                lambda: long_body.send_long(caller, greeted.arrived.max_body_bytes, patience.body),
            ),
        ]
        if self.seen.https:
            looks.append(("alpn", "HTTP/2", lambda: alpn.chosen(caller.endpoint, answer)))
        try:
            async with asyncio.TaskGroup() as group:
                for look in looks:
                    group.create_task(self._look(*look))
        except ExceptionGroup as failed:
            # Not `except*`, which puts what is raised in it into a group of its own.
            misused = failed.subgroup(ConfigError)
            raise (misused.exceptions[0] if misused is not None else failed) from None

    async def _look(self, field: str, what: str, make: Making) -> None:
        """Keeps a measurement in this field of what is seen."""
        made = await self._made(what, make)
        if made is not None:
            setattr(self.seen, field, made)

    async def _twice(self, make: Making) -> Any:
        """A measurement. Where a limit has refused a call of it, it is made again, once, if there is time."""
        try:
            return await make()
        except (Unanswered, SentAway) as refused:
            pause = refused.after_s if isinstance(refused, SentAway) else pause_told(refused.answer)
            if pause is None or pause > self._end - asyncio.get_running_loop().time():
                raise
        await asyncio.sleep(pause)
        return await make()

    async def _made(self, what: str, make: Making) -> Any:
        """A measurement; None where it could not be made, and why is kept. Raises `ConfigError`."""
        try:
            return await self._twice(make)
        except Blocked as blocked:
            self.seen.blocked[blocked.code] = blocked.message
        except Unmeasured as reason:
            self.seen.unmeasured[what] = str(reason)
        except Unanswered as refused:
            self._refused(what, refused)
        except HttpError as error:
            self.seen.failed[what] = why(error)
        except UpstreamMalformed as error:
            self.seen.failed[what] = f"answers what tidegate does not: {error}"
        return None

    def _refused(self, what: str, refused: Unanswered) -> None:
        answer = refused.answer
        if answer.code == "missing_scope":
            raise ConfigError(f"the key in TIDEGATE_API_KEY is not enough for {what}: the server {answer.said}")
        if answer.code == "stream_not_found":
            self.seen.blocked["no_resume"] = NOT_SHARED
            return
        if answer.is_of_a_proxy:
            self.seen.failed[what] = answer.said
        else:
            self.seen.unmeasured[what] = f"tidegate {answer.said}"
