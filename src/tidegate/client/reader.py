"""Reads one stream or topic over as many connections as it takes. What both faces have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

from tidegate.client import paths
from tidegate.client.calls import MAX_ANSWER_BYTES, Calls, new_key, rest
from tidegate.client.no_answer import NoAnswer
from tidegate.client.offline import Offline
from tidegate.client.refusal import unlike_completed
from tidegate.client.session import TERMINAL_EVENTS, Asked, Event, Session
from tidegate.client.wire import Request
from tidegate.client.words import as_table, joined
from tidegate.core.sse import Decoder
from tidegate.errors import Conflict, InvalidValue, TidegateError, UpstreamMalformed

EVENT_STREAM = "text/event-stream"

State = Literal["connecting", "streaming", "reconnecting", "offline", "ended"]


class Detail(NamedTuple):
    """Why a connection was lost, and in how many seconds the next is made; None where there is nothing to say."""

    delay: float | None = None
    error: TidegateError | None = None


NOTHING = Detail()

OnState = Callable[[State, Detail], None]


class Reader:
    """The events of a stream, or of a topic, by `next`. `on_state` is told what becomes of the connection.

    Who has got an event sets `handed`: until then the same one is the next, whatever has interrupted its way.
    """

    def __init__(
        self, calls: Calls, name: str, *, is_topic: bool = False, after: str | None = None, on_state: OnState | None
    ) -> None:
        self.name = name
        self.handed: Event | None = None
        self._after = after or ""
        self._calls = calls
        self._is_topic = is_topic
        self._on_state = on_state
        self._line = calls.wire.line()
        self._session = Session(
            is_topic=is_topic, after=after, attempts=calls.attempts, max_delay=calls.max_delay, random=calls.random
        )
        self._decoder = Decoder()
        self._is_connected = False
        self._events: Iterator[Event] = iter(())
        self._pieces: dict[int, str] = {}
        self._is_rest = bool(after)

    @property
    def cursor(self) -> str:
        """The position after the last event that was handed over."""
        return self._after if self.handed is None else self.handed.cursor

    async def start(self, body: Mapping[str, Any], key: str | None) -> None:
        """Starts a stream, to read it: while its id is unknown the call is repeated with the same key."""
        request = self._calls.request(
            "POST", paths.STREAMS, {**body, "stream": True}, accept=EVENT_STREAM, key=new_key() if key is None else key
        )
        try:
            self._tell("connecting")
            head = await self._calls.repeated(
                self._line, lambda: self._calls.answer(self._line, request), on_failure=self._tell_failure
            )
            self.name = head.fields.get("tidegate-stream", "")
            if not self.name:
                raise UpstreamMalformed("the server did not say the id of the stream")
        except BaseException:
            self._line.close()
            raise
        self._session.ask()
        if head.has_events:
            self._session.answered(head)
            self._begin()
        else:
            # With `background` there is an id, and no event yet.
            self._line.release()

    async def ready(self) -> None:
        """Waits for the first event, which is still the next one. Raises as `next`."""
        await self.next()

    async def next(self) -> Event | None:
        """The next event, whatever breaks before it; None at the end, or once it is closed.

        Raises `Offline`, after which the next call tries anew; and the server's refusal.
        """
        if self._session.offline:
            self._session.wake()
        try:
            while not self._line.closed:
                if self._session.shown is self.handed:
                    next(self._events, None)
                event = self._session.shown
                if event is not None and event is not self.handed:
                    self._note(event)
                    return event
                if self._session.ended:
                    self._tell("ended")
                    break
                await self._go_on()
        except BaseException:
            self._leave()
            raise
        self.close()
        return None

    async def text(self) -> str:
        """The whole text, once the stream has ended. Raises as `next`, and where it has not completed, or was left."""
        if self._is_topic:
            raise InvalidValue("a topic has no end, and so no whole text")
        while (event := await self.next()) is not None:
            self.handed = event
        if not self._session.ended:
            raise Conflict("the stream was left before its end, so that its whole text is not known")
        end = self.handed
        if end is None or end.type not in TERMINAL_EVENTS:
            return await self._kept_text()
        if end.type != "completed":
            raise unlike_completed(end.type, end.data)
        return await self._kept_text() if self._is_rest else joined(self._pieces.values())

    async def _kept_text(self) -> str:
        """The text as the server has it: not all of it has come here."""
        found = await self._calls.value(dict[str, Any], "GET", paths.stream(self.name))
        if found.get("status") != "completed":
            raise unlike_completed(str(found.get("status")), found)
        return _text(found)

    def close(self) -> None:
        """Ends the reading, and wakes who waits for an event."""
        self._line.close()

    async def _go_on(self) -> None:
        """Connects, or reads on, or waits until it is time to connect again."""
        try:
            if not self._is_connected:
                await self._connect()
            elif self._session.leaving:
                await self._lost(None)
            else:
                chunk = await self._line.read(self._session.silence)
                if not chunk:
                    raise NoAnswer("the connection was closed")
                self._events = _events_in(chunk, self._decoder, self._session)
        except NoAnswer as error:
            if not self._line.closed:
                await self._lost(error)

    async def _connect(self) -> None:
        self._tell("connecting")
        head = await self._calls.send(self._line, self._request(self._session.ask()), self._session.silence)
        verdict = self._session.answered(head)
        if verdict == "events":
            self._begin()
        elif verdict != "ended":
            error = self._calls.refusal(head, await rest(self._line))
            if verdict == "refused":
                raise error
            await self._lost(error)

    def _request(self, asked: Asked) -> Request:
        path = paths.topic(self.name, "/events") if self._is_topic else paths.stream(self.name, "/events")
        query = {"after": asked.after or None, "snapshot": 1 if asked.snapshot else None}
        return self._calls.request("GET", path, query=query, accept=EVENT_STREAM)

    def _begin(self) -> None:
        self._decoder = Decoder(max_event_bytes=MAX_ANSWER_BYTES, on_comment=self._session.comment)
        self._is_connected = True
        self._tell("streaming")

    async def _lost(self, error: TidegateError | None) -> None:
        """Waits until it is time for the next connection. Raises `Offline` where there is none."""
        self._leave()
        delay = self._session.lost()
        if delay is None:
            assert error is not None, "only failures lead offline"
            self._tell("offline", Detail(error=error))
            raise Offline(error.message, cursor=self.cursor) from error
        self._tell("reconnecting", Detail(delay, error))
        await self._line.wait(delay)

    def _leave(self) -> None:
        self._is_connected = False
        self._events = iter(())
        self._line.release()

    def _note(self, event: Event) -> None:
        """Keeps the text, under the event's number: what is noted again after an interruption is there once."""
        number = self._session.counts.events
        if event.type == "delta":
            self._pieces[number] = _text(event.data)
        elif event.type == "snapshot":
            self._pieces, self._is_rest = {number: _text(event.data)}, False

    def _tell_failure(self, delay: float, error: TidegateError) -> None:
        self._tell("reconnecting", Detail(delay, error))

    def _tell(self, state: State, detail: Detail = NOTHING) -> None:
        if self._on_state is not None:
            self._on_state(state, detail)


def _events_in(chunk: bytes, decoder: Decoder, session: Session) -> Iterator[Event]:
    """The events in a chunk, one by one, so that the session's position is that of what was handed on."""
    messages = decoder.feed(chunk)
    if decoder.retry_ms is not None:
        session.retry(decoder.retry_ms)
    for message in messages:
        event = session.event(message.event, message.data, message.id if message.own_id else None)
        if event is not None:
            yield event


def _text(data: object) -> str:
    text = as_table(data).get("text")
    return text if isinstance(text, str) else ""
