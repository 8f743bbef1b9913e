"""Relays answers of any server that speaks OpenAI's chat completions, streamed where the server can."""

from __future__ import annotations

import functools
import logging
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NoReturn
from urllib.parse import quote, unquote

from tidegate.core.events import GenerationRequest
from tidegate.core.lenient_json import as_object
from tidegate.errors import (
    ConfigError,
    ProviderError,
    UpstreamMalformed,
    UpstreamRefused,
)
from tidegate.http_client.connection import ClientConnection
from tidegate.http_client.endpoint import Endpoint
from tidegate.http_client.pool import ConnectionPool
from tidegate.providers.base import Sink
from tidegate.providers.keys import keys_of
from tidegate.providers.openai.answer import UpstreamAnswer
from tidegate.providers.openai.chunks import ChunkReader
from tidegate.providers.openai.continuation import carried_on, nothing_left, whole_usage
from tidegate.providers.openai.errors import redacted, refusal_in_body
from tidegate.providers.openai.request import Question
from tidegate.providers.settings import OpenAIModel
from tidegate.providers.tracing import tracing_lines
from tidegate.providers.upstream import connect_upstream, request_head

SECRET_NAME = re.compile(r"key|token|secret|sig|pass|auth|code|cred", re.IGNORECASE)
"""Matches the names of a URL's secret parameters. `api-version` is none, and occurs in many messages."""

PLACEHOLDERS = frozenset(
    {"ollama", "lm-studio", "unused", "none", "None", "dummy", "test", "empty", "EMPTY", "sk-none"}
)
"""Common keys for servers that need none. They are not redacted, since such words are frequent in errors."""

logger = logging.getLogger("tidegate.providers")


@dataclass(slots=True)
class Target:
    """An upstream that is ready for requests; their head is made once. `name` is its host, and port if not the default.

    `refuses_options`: whether the upstream was found to refuse `stream_options`.
    """

    name: str
    pool: ConnectionPool
    head: bytes
    secrets: tuple[str, ...]
    refuses_options: bool = False


class OpenAIProvider:
    """Relays chat completions of one model from one upstream, its `base_url`.

    `api_key` stands in for the variable or file that the settings name. `body` is merged into every request and wins
    over what the request brings. `random_bytes` makes ids for tool calls that come without one.
    """

    def __init__(
        self,
        model: OpenAIModel,
        *,
        api_key: str | None = None,
        body: Mapping[str, object] = {},
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._model = model
        self._api_key = api_key
        self._body = body
        self._random_bytes = random_bytes
        self._target: Target

    async def start(self) -> None:
        """Raises `ConfigError` where the upstream or its key is missing or unusable."""
        key = keys_of(self._model, os.environ)[0] if self._api_key is None else self._api_key
        try:
            endpoint = Endpoint.parse(self._model.base_url)
            head = request_head(endpoint, "/chat/completions", key)
        except ConfigError as error:
            self._wrong(error.message)
        pool = ConnectionPool(functools.partial(connect_upstream, endpoint, self._model.connect_timeout))
        self._target = Target(endpoint.authority, pool, head, secrets(key, endpoint))

    async def generate(self, request: GenerationRequest, sink: Sink) -> None:
        """Relays one answer; see `Provider.generate`."""
        request = carried_on(request)
        if (end := nothing_left(request)) is not None:
            sink.emit([end])
            return
        target, connection = self._target, await self._connect()
        question = self._question(request, target)
        while (again := await self._ask(target, connection, question, request, sink)) is not None:
            question, connection = again, await target.pool.take()
        self._learn(target, request, question)
        target.pool.give_back(connection)

    async def _ask(
        self, target: Target, connection: ClientConnection, question: Question, request: GenerationRequest, sink: Sink
    ) -> Question | None:
        """Sends the question over the connection and relays its answer. Returns a question to ask instead, or None.

        Raises `ProviderError`.
        """
        payload = question.encode()
        answer = None
        try:
            answer = UpstreamAnswer(
                connection,
                sink,
                ChunkReader(
                    lambda said: refusal_in_body(said, target.secrets),
                    lambda: request.prompt_tokens,
                    lambda usage: whole_usage(request, usage),
                    make_id=lambda: f"call_{self._random_bytes(12).hex()}",
                ),
                first_token_timeout=self._model.first_token_timeout,
                stall_timeout=self._model.stall_timeout,
                secrets=target.secrets,
            )
            connection.send(b"%b%d\r\n%b\r\n%b" % (target.head, len(payload), tracing_lines(), payload), answer)
            await answer.relay()
        except BaseException as error:
            # A closed connection is what stops the work upstream.
            connection.abort()
            if isinstance(error, ProviderError):
                self._note(target, error)
            # An answer that has begun is not repeated: it would be in the log twice, and be paid for twice.
            fresh = answer is not None and not answer.begun
            if fresh and isinstance(error, UpstreamRefused) and (again := question.without(error)) is not None:
                return again
            raise
        return None

    def _question(self, request: GenerationRequest, target: Target) -> Question:
        model = self._model.upstream_model or self._model.name
        return Question.of(
            request, model, self._body, stream_options=self._model.stream_options and not target.refuses_options
        )

    def _learn(self, target: Target, request: GenerationRequest, asked: Question) -> None:
        """Remembers that the upstream refuses `stream_options`, unless the client had set options of its own."""
        own = as_object(request.extra.get("stream_options")).keys() - {"include_usage"}
        if asked.streamed and not asked.has_options and not own:
            if self._model.stream_options and not target.refuses_options:
                logger.warning(
                    "model %r: its upstream takes no stream_options; set stream_options = false", self._model.name
                )
            target.refuses_options = True

    async def close(self) -> None:
        """Closes the connections that were kept for later generations."""
        self._target.pool.close()

    async def _connect(self) -> ClientConnection:
        try:
            return await self._target.pool.take()
        except ProviderError as error:
            # Only a failed connection is certain to have started no work.
            error.unasked = True
            self._note(self._target, error)
            raise

    def _note(self, target: Target, error: ProviderError) -> None:
        """Logs which upstream has failed, which clients are not told. Omits its message, which may quote the prompt."""
        fields = {
            "model": self._model.name,
            "upstream": target.name,
            "status": error.status,
            "code": error.code,
            "cause": None if error.__cause__ is None else repr(error.__cause__),
        }
        if isinstance(error, UpstreamMalformed) and error.field is not None:
            value = error.value.decode("utf-8", "replace")
            fields |= {"field": error.field, "value": redacted(value, target.secrets)}
        logger.warning("upstream failed", extra={"fields": fields})

    def _wrong(self, what: str) -> NoReturn:
        raise ConfigError(f"model {self._model.name!r}: {what}")


def secrets(key: str, endpoint: Endpoint) -> tuple[str, ...]:
    """The secrets to redact from messages, in all forms that an upstream may echo; the longest first."""
    password = endpoint.credentials.partition(":")[2]
    fields = (part.partition("=") for part in endpoint.query.split("&"))
    values = [value for name, _, value in fields if SECRET_NAME.search(name)]
    found = {key, endpoint.credentials, endpoint.basic, password, quote(password), *values, *map(unquote, values)}
    return tuple(sorted((secret for secret in found if secret and secret not in PLACEHOLDERS), key=len, reverse=True))
