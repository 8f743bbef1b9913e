"""Fills a stream from outside the server: from an agent, a batch job, or a model in another process."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Annotated, Any, Self

import msgspec
from msgspec import Meta

from tidegate.client.http import FAILURES, bearer, connection_to, endpoint_at
from tidegate.client.session import TRANSIENT_STATUSES
from tidegate.client.words import error_fields, quoted, reason
from tidegate.core.backoff import Backoff
from tidegate.core.recall import recall
from tidegate.errors import Fenced, StreamEnded, TidegateError, UpstreamMalformed, UpstreamUnreachable

PATIENCE_SECONDS = 60.0
"""How long an append is repeated: a server restarts in a few seconds, and the lease has long run out by then."""

LEASE_SECONDS = 5.0
"""A server's default, until the server has told its own."""

TIMEOUT_SECONDS = 10.0
"""For one answer: an append waits for nothing but the server's disk."""

MAX_ANSWER_BYTES = 32 * 1024 * 1024
"""A snapshot has all of the stream's text, which the server limits to 16 MiB by default."""

KINDS: dict[str, type[TidegateError]] = {kind.code: kind for kind in (Fenced, StreamEnded)}
"""The refusals that a producer can act on, by code."""


class _Lease(msgspec.Struct):
    token: str
    seconds: Annotated[float, Meta(gt=0)]


class _Opened(msgspec.Struct):
    id: str
    offset: int
    text: str
    lease: _Lease | None


class Producer:
    """One stream that this program fills.

        with Producer("http://127.0.0.1:8000", key="report-17") as stream:
            stream.say("Once upon a time")
            stream.complete()

    `key` names the work: a program that crashed and starts again with the same key gets the same stream, with the
    `text` so far, and continues at the end of the log. An instance that still runs is fenced. An append is repeated
    until the server has acknowledged it, for `patience` seconds. Where appends are further apart than `lease_seconds`,
    call `renew` in between.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str,
        metadata: Mapping[str, str] = {},
        api_key: str = "",
        patience: float = PATIENCE_SECONDS,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        endpoint = endpoint_at(url)
        self._connection = connection_to(endpoint, TIMEOUT_SECONDS)
        self._in_use = False
        self._prefix = endpoint.prefix
        self._headers = {"content-type": "application/json", **bearer(api_key)}
        self._patience = patience
        self._sleep = sleep
        self._clock = clock
        self.lease_seconds = LEASE_SECONDS
        opened = _opened(
            self._call("/v1/streams", {"producer": "client", "metadata": metadata}, {"idempotency-key": key})
        )
        self.id = opened.id
        self.text = opened.text
        self.ended = opened.lease is None
        if opened.lease is not None:
            self.lease_seconds = opened.lease.seconds
        self._token = opened.lease.token if opened.lease is not None else ""
        self._offset = opened.offset

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the stream if it has not ended: as completed, or as failed if an exception passes."""
        if not self.ended and not isinstance(error, Fenced | StreamEnded | UpstreamUnreachable):
            if kind is None:
                self.complete()
            elif issubclass(kind, Exception):
                self.fail(kind.__name__)
        self.close()

    def close(self) -> None:
        """Closes the connection, and leaves the stream as it is."""
        self._connection.close()

    def say(self, text: str) -> None:
        """Appends a piece of text; raises as `send`, with `Fenced` when this instance may no longer fill the stream."""
        self.send([{"type": "delta", "data": {"text": text}}])
        self.text += text

    def send(self, events: list[dict[str, Any]]) -> None:
        """Appends events, `{"type", "data"}` each, together; an empty list only renews the lease.

        Raises `StreamEnded`, `Fenced`, or `UpstreamUnreachable` after `patience` seconds.
        """
        body = {"lease": self._token, "expected_offset": self._offset, "events": events}
        self._call(f"/v1/streams/{self.id}/append", body, {})
        self._offset += len(events)

    def renew(self) -> None:
        """Renews the lease: this program is still at work."""
        self.send([])

    def complete(self, finish_reason: str = "stop") -> None:
        """Ends the stream as completed."""
        self.send([{"type": "completed", "data": {"finish_reason": finish_reason}}])
        self.ended = True

    def fail(self, message: str, *, code: str = "producer_failed") -> None:
        """Ends the stream as failed."""
        error = {"type": "server_error", "code": code, "message": message}
        self.send([{"type": "failed", "data": {"error": error}}])
        self.ended = True

    def _call(self, path: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> bytes:
        """Posts until there is an answer. Repeating is safe: the server does not take the same append twice."""
        backoff = Backoff(random.random)
        give_up = self._clock() + self._patience
        while True:
            try:
                return self._post(path, body, headers)
            except UpstreamUnreachable:
                # The retry has to come before the lease runs out.
                delay = min(backoff.failed(), self.lease_seconds / 2)
                if self._clock() + delay > give_up:
                    raise
                self._sleep(delay)

    def _post(self, path: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> bytes:
        try:
            fields = {**self._headers, **headers}
            self._connection.request("POST", self._prefix + path, msgspec.json.encode(body), fields)
            response = self._connection.getresponse()
            answer = response.read(MAX_ANSWER_BYTES)
        except FAILURES as error:
            self._connection.close()
            if self._in_use:
                # A kept connection may have been closed meanwhile, which does not mean that the server is unreachable.
                self._in_use = False
                return self._post(path, body, headers)
            raise UpstreamUnreachable(f"the server cannot be reached: {reason(error)}") from error
        self._in_use = True
        if response.status in TRANSIENT_STATUSES:
            raise UpstreamUnreachable(f"the server answered {response.status}")
        if not 200 <= response.status < 300:
            raise _refusal(response.status, answer)
        return answer


def _opened(answer: bytes) -> _Opened:
    try:
        return msgspec.json.decode(answer, type=_Opened)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise UpstreamMalformed(f"the server did not answer with a stream: {quoted(answer)}") from error


def _refusal(status: int, answer: bytes) -> TidegateError:
    error = error_fields(answer)
    code, message = error.get("code"), error.get("message") or f"the server answered {status}"
    if code is None:
        return TidegateError(message)
    kind = KINDS.get(code)
    return kind(message) if kind is not None else recall(error.get("type", TidegateError.type), code, message)
