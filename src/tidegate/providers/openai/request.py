"""Makes the request body for an OpenAI-compatible upstream, and the one to retry with after a refusal. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

import msgspec

from tidegate.core.events import GenerationRequest
from tidegate.errors import UpstreamRefused

STREAMING = re.compile(r"(?<!up)(?<!down)stream(?!_)", re.IGNORECASE)
"""Matches "streaming" in a refusal's message, also in `InvokeModelWithResponseStream`, but not in `upstream` or
`stream_options`."""

OPTIONS = re.compile(r"stream_options|include_usage")

ANSWERABLE = frozenset({400, 405, 406, 415, 422, 501})
"""An upstream's statuses for a request that it rejected before any work."""


class Question(msgspec.Struct, frozen=True):
    """The body of a request to an upstream. Sampling parameters that are None are left out."""

    fields: dict[str, Any]

    @classmethod
    def of(
        cls, request: GenerationRequest, model: str, body: Mapping[str, object], *, stream_options: bool
    ) -> Question:
        """`body` is the operator's, and wins over what the request brings; `model` is the upstream's name for it."""
        sampling: dict[str, Any] = {
            "temperature": request.temperature,
            "top_p": request.top_p,
            # Newer upstreams refuse `max_tokens` besides, or instead of, `max_completion_tokens`.
            "max_tokens": None if "max_completion_tokens" in request.extra else request.max_tokens,
            "stop": request.stop or None,
            "seed": request.seed,
        }
        options = request.extra.get("stream_options")
        theirs = cast("dict[str, Any]", options) if isinstance(options, dict) else {}
        fields = {
            **request.extra.raw,
            **{name: value for name, value in sampling.items() if value is not None},
            **body,
            "model": model,
            "messages": request.raw_messages or request.messages,
            "stream": True,
            "stream_options": {**theirs, "include_usage": True},
        }
        if not stream_options:
            del fields["stream_options"]
        return cls(fields)

    @property
    def streamed(self) -> bool:
        return bool(self.fields["stream"])

    @property
    def has_options(self) -> bool:
        return "stream_options" in self.fields

    def encode(self) -> bytes:
        """The JSON that is sent."""
        return msgspec.json.encode(self.fields)

    def without(self, refused: UpstreamRefused) -> Question | None:
        """The question without what the refusal names, `stream_options` or streaming; None where it names neither.

        A refused request has caused no work, so it may be sent again.
        """
        if refused.theirs not in ANSWERABLE:
            return None
        fields = dict(self.fields)
        said = f"{refused.param} {refused.message}"
        if "stream_options" in fields and OPTIONS.search(said):
            del fields["stream_options"]
            return Question(fields)
        if fields["stream"] and STREAMING.search(said):
            fields.pop("stream_options", None)
            return Question({**fields, "stream": False})
        return None
