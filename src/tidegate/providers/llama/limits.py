"""Limits what a request may ask of llama.cpp besides its messages: fields, sizes, and slow grammars. Pure.

llama.cpp turns a schema into a grammar and, for each token, tries the whole vocabulary at all positions where the
grammar may be. Both take longer with more alternatives at one position, and with more repetitions. Measured on two
busy cores: an `enum` of 300 takes 0.6 s, of 1,000 2 s, of 5,000 20 s; a pattern of 200 optional letters minutes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

import msgspec

from tidegate.core.events import GenerationRequest
from tidegate.errors import UpstreamRefused

PASSED_ON = frozenset(
    {
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "response_format",
        "max_completion_tokens",
        "frequency_penalty",
        "presence_penalty",
        "logit_bias",
        "top_k",
        "min_p",
        "repeat_penalty",
        "reasoning_format",
        "chat_template_kwargs",
    }
)
"""The fields beyond the common parameters that are passed on. llama.cpp takes many more: which slot to use, grammars in
its own syntax, counts of probabilities, lists of samplers."""

SHAPING = ("response_format", "tools", "chat_template_kwargs")
"""Fields that llama.cpp compiles or runs before it answers."""

MAX_BYTES = 65_536
"""The size of each field; a dozen tools have a tenth of this."""

MAX_DEPTH = 32
"""Schemas that people write are some ten levels deep; llama.cpp descends by recursion."""

MAX_ALTERNATIVES = 500
"""Entries of `enum`, `anyOf`, `oneOf`, `allOf` and properties, in a whole field: about a second of work."""

MAX_REPEATS = 2000
"""The sum of all `minItems`, `maxLength` and the like; llama.cpp itself refuses larger ones."""

MAX_PATTERN = 256
"""Characters of all patterns."""

MAX_QUANTIFIERS = 16
"""Quantifiers, and `|`, in all patterns: each may double the positions where the grammar may be."""

MAX_QUANTITY = 100
"""The largest number in a pattern's `{m,n}`."""

MAX_STOPS = 64
MAX_STOP_BYTES = 4096
"""Each stop text is searched for after every token; OpenAI takes four."""

MAX_BIASES = 1024
"""OpenAI's limit, too; all are applied for every token."""

_REPEATS = frozenset({"minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"})
_CHOICES = frozenset({"enum", "anyOf", "oneOf", "allOf", "properties", "prefixItems", "required"})
_QUANTIFIER = re.compile(r"[?*+|]|\{(\d*),?(\d*)\}")


def extra_of(request: GenerationRequest) -> dict[str, Any]:
    """The fields of the request's `extra` to pass on. Raises `UpstreamRefused`, a 400, where one is too large."""
    extra: dict[str, Any] = {}
    for name in PASSED_ON & request.extra.raw.keys():
        # Checked before decoding: a megabyte may take a second.
        if len(request.extra.raw[name]) > MAX_BYTES:
            raise _refused(name, f"has more than {MAX_BYTES} bytes")
        if (value := request.extra[name]) is not None:
            _check_field(name, value)
            extra[name] = value
    if len(request.stop) > MAX_STOPS or sum(len(each.encode()) for each in request.stop) > MAX_STOP_BYTES:
        raise _refused("stop", f"has more than {MAX_STOPS} texts or {MAX_STOP_BYTES} bytes")
    return extra


def is_shaped(extra: Mapping[str, Any]) -> bool:
    """Whether llama.cpp has to compile something before it answers."""
    return any(extra.get(name) not in (None, [], {}, {"type": "text"}) for name in SHAPING)


def too_slow(extra: Mapping[str, Any]) -> UpstreamRefused:
    """The error for a request within the limits that took too long all the same."""
    name = next((name for name in SHAPING if name in extra), "response_format")
    return _refused(name, "takes this model too long to follow")


def _check_field(name: str, value: Any) -> None:
    if name == "max_completion_tokens" and (type(value) is not int or value < 1):
        raise _refused(name, "is no positive number")
    if name == "logit_bias" and isinstance(value, dict | list) and len(cast("list[Any]", value)) > MAX_BIASES:
        raise _refused(name, f"has more than {MAX_BIASES} entries")
    if len(msgspec.json.encode(value)) > MAX_BYTES:
        raise _refused(name, f"has more than {MAX_BYTES} bytes")
    if name in SHAPING:
        _check_shape(name, value)


def _check_shape(name: str, value: Any) -> None:
    alternatives = repeats = 0
    patterns: list[str] = []
    for key, each in _pairs(name, value):
        if key in _CHOICES and isinstance(each, list | dict):
            alternatives += len(cast("list[Any]", each))
        elif key in _REPEATS and isinstance(each, int | float):
            repeats += min(abs(each), MAX_REPEATS + 1)
        elif key == "pattern" and isinstance(each, str):
            patterns.append(each)
    if alternatives > MAX_ALTERNATIVES:
        raise _refused(name, f"has more than {MAX_ALTERNATIVES} alternatives and properties")
    if repeats > MAX_REPEATS:
        raise _refused(name, f"has more than {MAX_REPEATS} repetitions")
    _check_patterns(name, "".join(patterns))


def _check_patterns(name: str, text: str) -> None:
    if len(text) > MAX_PATTERN:
        raise _refused(name, f"has patterns of more than {MAX_PATTERN} characters")
    quantities = [int(number) for found in _QUANTIFIER.finditer(text) for number in found.groups() if number]
    if len(_QUANTIFIER.findall(text)) > MAX_QUANTIFIERS or max(quantities, default=0) > MAX_QUANTITY:
        raise _refused(name, f"has patterns of more than {MAX_QUANTIFIERS} quantifiers, or one above {MAX_QUANTITY}")


def _pairs(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """All keys with their values, level by level."""
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        pairs = [pair for each in level if isinstance(each, dict) for pair in cast("dict[str, Any]", each).items()]
        yield from pairs
        items = [item for each in level if isinstance(each, list) for item in cast("list[Any]", each)]
        level = [each for each in (*items, *(each for _, each in pairs)) if isinstance(each, dict | list)]
    if level:
        raise _refused(name, f"is nested more than {MAX_DEPTH} deep")


def _refused(name: str, what: str) -> UpstreamRefused:
    return UpstreamRefused(
        f"`{name}` {what}: this model does not take that.",
        type="invalid_request_error",
        code="invalid_value",
        param=name,
        status=400,
    )
