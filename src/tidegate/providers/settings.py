"""One entry of `[[models]]`: the keys each provider takes. `provider` is the tag.

Times are in seconds, rates in tokens per second.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

Seconds = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1)]


class ModelBase(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="provider"):
    """What every model has. Beyond `max_concurrency` (0: no limit) generations wait, `max_queue` at the most."""

    name: Annotated[str, Meta(min_length=1, max_length=256)]
    max_concurrency: Count = 0
    max_queue: Count = 100
    can_continue: bool = False

    @property
    def concurrency(self) -> int:
        """How many generations are asked of the provider at once; 0: no limit."""
        return self.max_concurrency


class LlamaModel(ModelBase, frozen=True, kw_only=True, tag="llama"):
    """llama.cpp in a child process. `path`: a .gguf, empty for the packaged weights of SmolLM2.

    `parallel` generations run at once, each with `context` tokens.
    """

    path: str = ""
    parallel: Positive = 4
    context: Annotated[int, Meta(ge=256)] = 8192

    @property
    def concurrency(self) -> int:
        """No more than there are slots: whoever waits is `queued`, and told its place."""
        return min(self.max_concurrency or self.parallel, self.parallel)


class Upstream(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of several servers behind a model, drawn by `weight`."""

    base_url: str
    api_key_env: str = ""
    weight: Positive = 1


class OpenAIModel(ModelBase, frozen=True, kw_only=True, tag="openai"):
    """Any OpenAI-compatible server: either `base_url` or `upstreams`.

    `first_token_timeout` is that of each attempt: reasoning models are known to think for a minute and more.
    `stall_timeout` is the silence between tokens; keep-alive comments of the upstream do not count as tokens.
    `stream_options` is false for an upstream that refuses them; it is not asked for usage then.
    """

    base_url: str = ""
    api_key_env: str = ""
    upstreams: tuple[Upstream, ...] = ()
    upstream_model: str = ""
    connect_timeout: Seconds = 5.0
    first_token_timeout: Seconds = 120.0
    stall_timeout: Seconds = 30.0
    stream_options: bool = True


class ReplayModel(ModelBase, frozen=True, kw_only=True, tag="replay"):
    """Plays `text`, or the text in `file`, repeated or cut to `tokens` words with their space.

    `rate` 0 is as fast as it can.
    """

    text: str = ""
    file: str = ""
    tokens: Positive = 200
    rate: Annotated[float, Meta(ge=0)] = 20.0


class PythonModel(ModelBase, frozen=True, kw_only=True, tag="python"):
    """The user's own generator: `target` is `module:attribute`, or in Python the function itself.

    Typed `Any` because msgspec has no union of a text and a function; other values are refused on loading.
    """

    target: Any


ModelSettings = LlamaModel | OpenAIModel | ReplayModel | PythonModel
