from __future__ import annotations

from typing import Any

import pytest

from tidegate.core.events import GenerationRequest, Message
from tidegate.errors import UpstreamRefused
from tidegate.providers.llama.limits import extra_of, is_shaped


def ask(*, stop: tuple[str, ...] = (), **extra: Any) -> GenerationRequest:
    return GenerationRequest(model="m", messages=(Message(role="user", content="x"),), stop=stop, extra=extra)


def schema(**fields: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"schema": fields}}


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {"type": "string"}
    for _ in range(depth):
        value = {"items": value}
    return value


TOO_MUCH: dict[str, dict[str, Any]] = {
    "enum": {"response_format": schema(enum=[f"a{number}" for number in range(501)])},
    "branches": {"response_format": schema(anyOf=[{"enum": list(range(30))} for _ in range(30)])},
    "properties": {"response_format": schema(properties={f"p{number}": {} for number in range(501)})},
    "depth": {"response_format": schema(**nested(40))},
    "size": {"response_format": schema(const="x" * 70_000)},
    "items": {"response_format": schema(type="array", maxItems=100_000)},
    "length": {"tools": [{"type": "function", "function": {"parameters": {"minLength": 1e300}}}] * 2},
    "optional letters": {"response_format": schema(pattern="^" + "a?" * 100 + "$")},
    "a quantity": {"response_format": schema(pattern="^a{1,5000}$")},
    "a long pattern": {"response_format": schema(pattern="a" * 300)},
    "tools": {
        "tools": [{"type": "function", "function": {"name": f"f{n}", "description": "x" * 300}} for n in range(300)]
    },
    "template": {"chat_template_kwargs": {"x": "y" * 70_000}},
    "choice": {"tool_choice": "x" * 70_000},
    "biases": {"logit_bias": {str(number): 1 for number in range(2000)}},
    "no end": {"max_completion_tokens": -1},
    "no number": {"max_completion_tokens": "many"},
    "stops": {"stop": tuple(f"s{number}" for number in range(100))},
    "a long stop": {"stop": ("x" * 5000,)},
}


@pytest.mark.parametrize("fields", TOO_MUCH.values(), ids=TOO_MUCH)
def test_what_would_take_too_long_is_refused(fields: dict[str, Any]) -> None:
    """As a 400 that names the field."""
    with pytest.raises(UpstreamRefused) as refused:
        extra_of(ask(**fields))
    assert (refused.value.status, refused.value.code, refused.value.retryable) == (400, "invalid_value", False)
    assert refused.value.param == next(iter(fields))


def test_what_people_write_is_passed_on() -> None:
    """A dozen tools, an invoice, a list of countries; and nothing that only llama.cpp would know."""
    invoice = schema(
        type="object",
        required=["lines"],
        properties={
            "country": {"enum": [f"country {number}" for number in range(200)]},
            "date": {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"},
            "lines": {"type": "array", "maxItems": 100, "items": {"type": "object", "properties": {"text": {}}}},
        },
    )
    parameters = {"type": "object", "properties": {f"p{number}": {"type": "string"} for number in range(8)}}
    tools = [{"type": "function", "function": {"name": f"f{number}", "parameters": parameters}} for number in range(12)]
    asked = {"response_format": invoice, "tools": tools, "logit_bias": {"2": -100}, "max_completion_tokens": 9}
    theirs = {"grammar": "root ::= x", "n_probs": 10_000, "samplers": [], "id_slot": 0, "n_predict": -1, "n_keep": -1}
    assert extra_of(ask(**asked, **theirs, cache_prompt=False, tool_choice=None)) == asked


def test_what_has_to_be_compiled_is_told_apart() -> None:
    """Plain answers never wait for it."""
    assert not is_shaped(extra_of(ask(temperature=1, logit_bias={"2": 1}, tools=[], response_format={"type": "text"})))
    for shaped in ({"response_format": {"type": "json_object"}}, {"tools": [{}]}, {"chat_template_kwargs": {"a": 1}}):
        assert is_shaped(extra_of(ask(**shaped)))
