"""Calls to one server: their requests, and how often they are repeated. What both faces have in common."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any, TypeVar
from urllib.parse import urlencode

import msgspec

from tidegate.client.head import Head
from tidegate.client.no_answer import NoAnswer
from tidegate.client.offline import Offline
from tidegate.client.refusal import refusal
from tidegate.client.wire import Line, Request, Wire
from tidegate.client.words import quoted
from tidegate.core.api_key import fit_key
from tidegate.core.backoff import MAX_DELAY, Backoff
from tidegate.errors import InvalidValue, NotFound, TidegateError, UpstreamMalformed

ANSWER_SECONDS = 30.0
"""For the head of an answer, and for each read of its body. A cancel waits for the lease, and 2 s."""

REFUSAL_SECONDS = 5.0
"""For the whole body of a refusal, which is small, and only says more than the status does."""

MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""A snapshot has all of a stream's text, which the server limits to 16 MiB by default, and its escapes."""

MAX_REFUSAL_BYTES = 65536

Result = TypeVar("Result")

Credential = str | Callable[[], str]
"""A key, or a function that returns the one that is valid now: it is asked before each try."""

AsyncCredential = Credential | Callable[[], Awaitable[str]]


_KEY = re.compile(r"[!-~]{1,255}")


class Calls:
    """Makes calls over lines of `wire`. `attempts` tries after a failure may fail in a row, None without end."""

    def __init__(
        self,
        wire: Wire,
        key: AsyncCredential,
        *,
        attempts: int | None,
        max_delay: float = MAX_DELAY,
        random: Callable[[], float],
    ) -> None:
        self.wire = wire
        self.attempts = attempts
        self.max_delay = max_delay
        self.random = random
        self._key = _fit_credential(key) if isinstance(key, str) else key

    def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, object] = {},
        accept: str = "application/json",
        key: str | None = None,
    ) -> Request:
        """A request, still without the API key. What is None in `query` is left out; `key` is its Idempotency-Key."""
        asked = urlencode({name: value for name, value in query.items() if value is not None}, errors="replace")
        fields = {"accept": accept}
        if key is not None:
            fields["idempotency-key"] = _fit(key)
        if body is not None:
            fields["content-type"] = "application/json"
        content = None if body is None else encoded(body)
        return Request(method, path + (f"?{asked}" if asked else ""), fields, content)

    def with_attempts(self, attempts: int | None) -> Calls:
        return Calls(self.wire, self._key, attempts=attempts, max_delay=self.max_delay, random=self.random)

    def refusal(self, head: Head, body: bytes) -> TidegateError:
        """The error for an answer that is not what was asked for."""
        return refusal(head, body, has_key=bool(self._key))

    async def send(self, line: Line, request: Request, seconds: float) -> Head:
        """Sends a request with the key that is valid now. Raises as `Line.send`."""
        key = self._key if isinstance(self._key, str) else self._key()
        key = _fit_credential(key if isinstance(key, str) else await key)
        fields = {**request.fields, "authorization": f"Bearer {key}"} if key else request.fields
        return await line.send(request._replace(fields=fields), seconds)

    async def answer(self, line: Line, request: Request, seconds: float = ANSWER_SECONDS) -> Head:
        """The head of a successful answer. Raises `NoAnswer`, or the server's own error."""
        head = await self.send(line, request, seconds)
        if not head.is_success:
            raise self.refusal(head, await rest(line))
        return head

    async def repeated(
        self,
        line: Line,
        once: Callable[[], Coroutine[Any, Any, Result]],
        *,
        max_delay: float = MAX_DELAY,
        on_failure: Callable[[float, TidegateError], None] | None = None,
    ) -> Result:
        """What `once` returns, which is tried again where that may help; `on_failure` is told before each wait.

        Raises `Offline` where there has been no answer, and the server's own error where there was one.
        """
        backoff = Backoff(self.random, attempts=self.attempts, max_delay=min(self.max_delay, max_delay))
        while True:
            try:
                return await once()
            except TidegateError as error:
                line.release()
                if line.closed or not error.retryable:
                    raise
                delay = backoff.failed(error.retry_after or 0.0)
                if delay is None and isinstance(error, NoAnswer):
                    raise Offline(error.message) from error
                if delay is None:
                    raise
                if on_failure is not None:
                    on_failure(delay, error)
            await line.wait(delay)

    async def value(
        self, kind: type[Result], method: str, path: str, body: Mapping[str, Any] | None = None, **how: Any
    ) -> Result:
        """The value in an answer. Raises as `repeated`, and `UpstreamMalformed` where it is none of this `kind`."""
        line = self.wire.line()
        try:
            return await self.repeated(line, lambda: self.once(line, kind, self.request(method, path, body, **how)))
        finally:
            line.release()

    async def delete(self, path: str) -> None:
        """Makes a call after which there is nothing at the path. Raises as `repeated`."""
        line, request = self.wire.line(), self.request("DELETE", path)
        failures: list[TidegateError] = []
        try:
            await self.repeated(
                line, lambda: self.answer(line, request), on_failure=lambda _, error: failures.append(error)
            )
            await rest(line)
        except NotFound:
            # The try before, whose answer was lost, has done it.
            if not failures:
                raise
        finally:
            line.release()

    async def once(self, line: Line, kind: type[Result], request: Request, seconds: float = ANSWER_SECONDS) -> Result:
        """The value in the answer to one try. Raises as `answer`, and `UpstreamMalformed`."""
        await self.answer(line, request, seconds)
        content = await whole(line, seconds)
        try:
            return msgspec.json.decode(content, type=kind)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise UpstreamMalformed(
                f"the server answered with something else than was asked for: {quoted(content)}"
            ) from error


async def whole(line: Line, seconds: float) -> bytes:
    """The whole body of an answer. Raises `NoAnswer`, and `UpstreamMalformed` for one that is too large."""
    content = bytearray()
    while chunk := await line.read(seconds):
        content += chunk
        if len(content) > MAX_ANSWER_BYTES:
            raise UpstreamMalformed(f"the server answered with more than {MAX_ANSWER_BYTES} bytes")
    return bytes(content)


async def rest(line: Line) -> bytes:
    """The beginning of the body of a refusal; what breaks off is left out, since the status is known."""
    content = bytearray()
    until = time.monotonic() + REFUSAL_SECONDS
    with suppress(NoAnswer):
        while len(content) < MAX_REFUSAL_BYTES and (chunk := await line.read(max(0.001, until - time.monotonic()))):
            content += chunk
    line.release()
    return bytes(content)


def _fit_credential(key: str) -> str:
    return fit_key(key, "the API key")


def _fit(key: str) -> str:
    if _KEY.fullmatch(key) is None:
        raise InvalidValue("a key has 1 to 255 visible characters of ASCII", param="key")
    return key


def encoded(body: Mapping[str, Any]) -> bytes:
    """The body as JSON. Raises `InvalidValue`."""
    try:
        return msgspec.json.encode(body)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidValue(f"this cannot be sent as JSON: {error}") from error


def new_key() -> str:
    """An Idempotency-Key that nobody else has."""
    return secrets.token_urlsafe(16)
