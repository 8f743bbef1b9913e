"""Models behind any server that speaks OpenAI's chat completions, always asked to stream."""

from __future__ import annotations

import functools
import logging
import os
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import quote, unquote

import msgspec

from tidegate.core.api_key import key_in
from tidegate.core.events import GenerationRequest
from tidegate.errors import ConfigError, ProviderError, UpstreamTimeout, UpstreamUnreachable
from tidegate.providers.base import Sink
from tidegate.providers.openai_answer import Answer
from tidegate.providers.openai_chunks import ChunkReader
from tidegate.providers.openai_continue import carried_on, nothing_left, whole_usage
from tidegate.providers.openai_errors import refusal_in_stream
from tidegate.providers.settings import OpenAIModel, Upstream
from tidegate.providers.upstream import Endpoint, connect, tracing_lines
from tidegate.providers.upstream_connection import UpstreamConnection
from tidegate.providers.upstream_pool import UpstreamPool

logger = logging.getLogger("tidegate.providers")


@dataclass(frozen=True, slots=True)
class Target:
    """One upstream, ready to be asked: its request head is made once. `name` is its host, and its port if need be."""

    name: str
    pool: UpstreamPool
    head: bytes
    secrets: tuple[str, ...]
    weight: int


class OpenAIProvider:
    """Relays chat completions of one model from `base_url`, or from `upstreams` drawn by weight.

    `api_key` stands in for the variables named in the settings. `body` is merged into every request and wins
    over what the request brings. `random` draws from [0, 1), `random_bytes` the spans of the calls.
    """

    def __init__(
        self,
        model: OpenAIModel,
        *,
        api_key: str | None = None,
        body: Mapping[str, object] = {},
        random: Callable[[], float] = random.random,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._model = model
        self._api_key = api_key
        self._body = body
        self._random = random
        self._random_bytes = random_bytes
        self._targets: list[Target] = []

    async def start(self) -> None:
        """Raises `ConfigError` where an upstream or its key is missing or unusable."""
        model = self._model
        if bool(model.base_url) == bool(model.upstreams):
            self._wrong("needs either base_url or upstreams")
        upstreams = model.upstreams or (Upstream(base_url=model.base_url, api_key_env=model.api_key_env),)
        self._targets = [self._target(upstream) for upstream in upstreams]

    async def generate(self, request: GenerationRequest, sink: Sink) -> None:
        """Relays one answer; see `Provider.generate`."""
        request = carried_on(request)
        if (end := nothing_left(request)) is not None:
            sink.emit([end])
            return
        payload = msgspec.json.encode(self._payload(request))
        target, connection = await self._connect()
        try:
            answer = Answer(
                connection,
                sink,
                ChunkReader(
                    lambda data: refusal_in_stream(data, target.secrets),
                    lambda: request.prompt_tokens,
                    lambda usage: whole_usage(request, usage),
                ),
                first_token_timeout=self._model.first_token_timeout,
                stall_timeout=self._model.stall_timeout,
                secrets=target.secrets,
            )
            tracing = tracing_lines(self._random_bytes)
            connection.send(b"%b%d\r\n%b\r\n%b" % (target.head, len(payload), tracing, payload), answer)
            await answer.relay()
        except BaseException as error:
            # A closed connection is what stops the work upstream.
            connection.abort()
            if isinstance(error, ProviderError):
                self._note(target, error)
            raise
        target.pool.give_back(connection)

    async def close(self) -> None:
        """Closes the connections that were kept for later generations."""
        for target in self._targets:
            target.pool.close()

    async def _connect(self) -> tuple[Target, UpstreamConnection]:
        # Only a failed connection is certain to have started no work, so only then is another upstream asked.
        failed: ProviderError = UpstreamUnreachable("No upstream is configured.")
        for target in drawn(self._targets, self._random):
            try:
                return target, await target.pool.take()
            except (UpstreamUnreachable, UpstreamTimeout) as error:
                self._note(target, error)
                failed = error
        raise failed

    def _note(self, target: Target, error: ProviderError) -> None:
        """Says which upstream has failed, which clients are not told; its own words may quote the prompt."""
        fields = {
            "model": self._model.name,
            "upstream": target.name,
            "status": error.status,
            "code": error.code,
            "cause": None if error.__cause__ is None else repr(error.__cause__),
        }
        logger.warning("upstream failed", extra={"fields": fields})

    def _payload(self, request: GenerationRequest) -> dict[str, Any]:
        sampling: dict[str, Any] = {
            "temperature": request.temperature,
            "top_p": request.top_p,
            # Newer upstreams refuse `max_tokens` beside, or in place of, the name that the client has used.
            "max_tokens": None if "max_completion_tokens" in request.extra else request.max_tokens,
            "stop": request.stop or None,
            "seed": request.seed,
        }
        return {
            **request.extra,
            **{name: value for name, value in sampling.items() if value is not None},
            **self._body,
            "model": self._model.upstream_model or self._model.name,
            "messages": request.raw_messages or request.messages,
            "stream": True,
            "stream_options": {"include_usage": True},
        }

    def _target(self, upstream: Upstream) -> Target:
        key = self._key(upstream)
        try:
            endpoint = Endpoint.parse(upstream.base_url)
            head = endpoint.request_head("/chat/completions", key)
        except ConfigError as error:
            self._wrong(error.message)
        pool = UpstreamPool(functools.partial(connect, endpoint, self._model.connect_timeout))
        return Target(endpoint.authority, pool, head, secrets(key, endpoint), upstream.weight)

    def _key(self, upstream: Upstream) -> str:
        if self._api_key is not None or not upstream.api_key_env:
            return self._api_key or ""
        try:
            key = key_in(upstream.api_key_env, os.environ)
        except ConfigError as error:
            self._wrong(error.message)
        if not key:
            self._wrong(f"has api_key_env = {upstream.api_key_env!r}, which is not set in the environment")
        return key

    def _wrong(self, what: str) -> NoReturn:
        raise ConfigError(f"model {self._model.name!r}: {what}")


def drawn(targets: Sequence[Target], random: Callable[[], float]) -> Iterator[Target]:
    """All targets once, each time drawn by weight from those that are left."""
    left = list(targets)
    while left:
        point = random() * sum(target.weight for target in left)
        position = 0
        while position < len(left) - 1 and point >= left[position].weight:
            point -= left[position].weight
            position += 1
        yield left.pop(position)


def secrets(key: str, endpoint: Endpoint) -> tuple[str, ...]:
    """What must not appear in any message, in the forms an upstream may echo; the longest first."""
    password = endpoint.credentials.partition(":")[2]
    values = [part.partition("=")[2] for part in endpoint.query.split("&")]
    found = {key, endpoint.credentials, endpoint.basic, password, quote(password), *values, *map(unquote, values)}
    return tuple(sorted((secret for secret in found if secret), key=len, reverse=True))
