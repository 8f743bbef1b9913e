"""The settings of one entry of `[[models]]`, by provider; `provider` is the tag.

Times are in seconds, rates in tokens per second. What has no effect yet is refused by `config.refuse_unavailable`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from tidegate.errors import ConfigError

MAX_SECONDS = 1e9
"""31 years: no timer of any system overflows."""

MAX_COUNT = 2**53 - 1
"""The largest integer that every JSON parser and every column of SQLite can hold."""

Seconds = Annotated[float, Meta(gt=0, le=MAX_SECONDS)]
Count = Annotated[int, Meta(ge=0, le=MAX_COUNT)]
Positive = Annotated[int, Meta(ge=1, le=MAX_COUNT)]
Api = Literal["chat", "responses"]


class ModelBase(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="provider"):
    """The settings of every model. Beyond `max_concurrency` (0: no limit), up to `max_queue` generations wait."""

    name: Annotated[str, Meta(min_length=1, max_length=256)]
    max_concurrency: Count = 0
    max_queue: Count = 100
    can_continue: bool = False

    @property
    def concurrency(self) -> int:
        """How many generations the provider runs at once; 0: no limit."""
        return self.max_concurrency


class LlamaModel(ModelBase, frozen=True, kw_only=True, tag="llama"):
    """llama.cpp in a child process. `path`: a .gguf, empty for the packaged weights of SmolLM2.

    `parallel` generations run at once, each with `context` tokens.
    """

    path: str = ""
    parallel: Annotated[int, Meta(ge=1, le=1024)] = 4
    context: Annotated[int, Meta(ge=256, le=1 << 24)] = 8192

    @property
    def concurrency(self) -> int:
        """No more than there are slots: a generation that waits is then `queued`, and its reader is told its place."""
        return min(self.max_concurrency or self.parallel, self.parallel)


class SharedLlamaModel(LlamaModel, frozen=True, kw_only=True, tag="llama"):
    """A llama model that another process of this machine runs for several: no file has this one.

    `port` is where that process gives out turns, `key` shows that one may have them.
    """

    port: int
    key: str


class Upstream(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One of several servers behind a model, drawn by `weight`. Settings that are None are the model's."""

    base_url: str
    api_key_env: str = ""
    api_key_file: str = ""
    weight: Positive = 1
    upstream_model: str | None = None
    connect_timeout: Seconds | None = None
    first_token_timeout: Seconds | None = None
    attempts_timeout: Seconds | None = None
    stall_timeout: Seconds | None = None
    max_concurrency: Count | None = None
    max_queue: Count | None = None
    can_continue: bool | None = None
    stream_options: bool | None = None
    api: Api | None = None


class RemoteModel(ModelBase, frozen=True, kw_only=True):
    """The settings that models on other servers have in common.

    `first_token_timeout` limits each attempt, `attempts_timeout` all attempts together, and `stall_timeout` the silence
    between tokens, among which the upstream's keep-alive comments do not count.
    """

    base_url: str = ""
    api_key_env: str = ""
    api_key_file: str = ""
    upstream_model: str = ""
    connect_timeout: Seconds = 5.0
    first_token_timeout: Seconds = 120.0
    attempts_timeout: Seconds = 300.0
    stall_timeout: Seconds = 30.0


class OpenAIModel(RemoteModel, frozen=True, kw_only=True, tag="openai"):
    """Any OpenAI-compatible server: either `base_url` or `upstreams`.

    `stream_options` is false for an upstream that refuses them; it is then not asked for usage. `api` is which of its
    two APIs is called.
    """

    upstreams: tuple[Upstream, ...] = ()
    stream_options: bool = True
    api: Api = "chat"

    def by_upstream(self) -> Sequence[tuple[OpenAIModel, int]]:
        """The model once for each of its upstreams, with the upstream's weight.

        Raises `ConfigError` where there is not either `base_url` or `upstreams`.
        """
        if bool(self.base_url) == bool(self.upstreams):
            raise ConfigError(f"model {self.name!r}: needs either base_url or upstreams")
        if self.base_url:
            return ((self, 1),)
        return tuple((self._at(each), each.weight) for each in self.upstreams)

    def _at(self, upstream: Upstream) -> OpenAIModel:
        return msgspec.structs.replace(
            self,
            base_url=upstream.base_url,
            api_key_env=upstream.api_key_env,
            api_key_file=upstream.api_key_file,
            upstreams=(),
        )


class KeyedOpenAIModel(OpenAIModel, frozen=True, kw_only=True, tag="openai"):
    """A model whose keys another process has read for several, in the order of its upstreams: no file has this one."""

    keys: tuple[str, ...]


class AnthropicModel(RemoteModel, frozen=True, kw_only=True, tag="anthropic"):
    """Any server that speaks Anthropic's messages: `base_url` is without `/v1`.

    `max_tokens` is the default for requests that set none, since that API requires it.
    """

    max_tokens: Positive = 4096


class ReplayModel(ModelBase, frozen=True, kw_only=True, tag="replay"):
    """Plays `text`, or the text in `file`, repeated or cut to `tokens` words with their space.

    `rate` 0 plays as fast as possible.
    """

    text: str = ""
    file: str = ""
    tokens: Positive = 200
    rate: Annotated[float, Meta(ge=0)] = 20.0


class PythonModel(ModelBase, frozen=True, kw_only=True, tag="python"):
    """The user's own generator: `target` is `module:attribute`, or in Python the function itself.

    Typed `Any` because msgspec has no union of `str` and a function; other values are refused on loading.
    """

    target: Any


ModelSettings = LlamaModel | OpenAIModel | AnthropicModel | ReplayModel | PythonModel


def of_provider(model: ModelSettings) -> ModelSettings:
    """The settings that its provider is made of; what differs besides concerns its queue and its takeover alone."""
    return msgspec.structs.replace(model, max_concurrency=0, max_queue=0, can_continue=False)


def unusable(model: ModelBase, key: str, value: object, problem: str) -> ConfigError:
    """The error for a setting whose fault shows only when it is used."""
    message = f"model {model.name!r}: {key} = {value!r}: {problem}"
    return ConfigError(message, param=key, key=("models", model.name, *key.split(".")), problem=problem)
