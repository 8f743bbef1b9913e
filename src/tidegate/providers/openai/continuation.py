"""Continues an answer that has begun: the assistant's partial message comes last, for the model to complete.

llama.cpp continues an assistant's last message by default. vLLM needs two fields, which llama.cpp knows or ignores:
`continue_final_message`, and `add_generation_prompt` as false, since vLLM refuses both at once.
"""

from __future__ import annotations

from typing import Any

import msgspec

from tidegate.core.events import Completed, GenerationRequest, Message, Usage
from tidegate.core.opaque import as_json

FIELDS = {"continue_final_message": True, "add_generation_prompt": False}


def carried_on(request: GenerationRequest) -> GenerationRequest:
    """The request for the rest of an answer: with the text so far as a partial answer, and the tokens that are left.

    Servers do not say how many tokens a text had, so a piece counts as one, as everywhere. Where no token is left, the
    limit is 0, which must not be sent.
    """
    if request.carried is None or not request.carried.text:
        return request
    text, pieces = request.carried.text, request.carried.pieces
    partial = Message(role="assistant", content=text)
    raw = (*request.raw_messages, as_json(partial)) if request.raw_messages else ()
    extra: dict[str, Any] = {**request.extra.raw, **FIELDS}
    if isinstance(limit := request.extra.get("max_completion_tokens"), int):
        extra["max_completion_tokens"] = max(0, limit - pieces)
    return msgspec.structs.replace(
        request,
        messages=(*request.messages, partial),
        raw_messages=raw,
        max_tokens=None if request.max_tokens is None else max(0, request.max_tokens - pieces),
        extra=extra,
    )


def nothing_left(request: GenerationRequest) -> Completed | None:
    """The end of an answer that had reached its limit already; None if tokens are left."""
    if request.carried is None or request.max_tokens != 0:
        return None
    pieces = request.carried.pieces
    return Completed("length", Usage(0, pieces, pieces, estimated=True))


def whole_usage(request: GenerationRequest, usage: Usage) -> Usage:
    """The usage of the whole answer, from that of its second part, whose prompt held the first."""
    if request.carried is None:
        return usage
    pieces = request.carried.pieces
    prompt, completion = max(0, usage.prompt_tokens - pieces), usage.completion_tokens + pieces
    return Usage(prompt, completion, prompt + completion, estimated=True, details=usage.details)
