"""Whatever an upstream sends: any JSON in any field, cut anywhere, broken off anywhere."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
from behaviour_ends import FAILED_WORDS, FINISH_WORDS
from behaviour_outcome import Outcome, relayed
from hypothesis import given, settings
from hypothesis import strategies as st

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"

TYPED = {"upstream_aborted", "upstream_empty", "upstream_interrupted", "upstream_malformed", "upstream_refused"}

texts = st.one_of(st.text(max_size=8), st.text(st.characters(categories=["Cs", "Ll"]), max_size=4))
anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), texts, st.just(10**400)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
going_on = st.sampled_from([None, "", "null", "FINISH_REASON_UNSPECIFIED"])
finishes = st.one_of(going_on, st.sampled_from([word for word, _ in FINISH_WORDS]), st.sampled_from(FAILED_WORDS))


def mostly(usual: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(usual, usual, usual, anything)


calls = st.fixed_dictionaries(
    {},
    optional={
        "index": mostly(st.integers(0, 2)),
        "id": mostly(st.sampled_from(["a", "b", ""])),
        "type": mostly(st.just("function")),
        "function": mostly(
            st.fixed_dictionaries(
                {}, optional={"name": mostly(st.sampled_from(["f", "g"])), "arguments": mostly(texts)}
            )
        ),
    },
)
deltas = st.fixed_dictionaries(
    {},
    optional={
        "role": mostly(st.just("assistant")),
        "content": mostly(texts),
        "reasoning_content": mostly(texts),
        "refusal": mostly(texts),
        "tool_calls": mostly(st.lists(calls, max_size=3)),
        "function_call": mostly(calls),
        "annotations": anything,
    },
)
choices = st.fixed_dictionaries(
    {"delta": st.one_of(deltas, st.none()), "finish_reason": finishes},
    optional={"index": st.sampled_from([0, None, "0"]), "logprobs": anything, "usage": anything},
)
usages = st.fixed_dictionaries(
    {}, optional={name: mostly(st.integers(0, 9)) for name in ("prompt_tokens", "completion_tokens")}
)
chunks = st.fixed_dictionaries(
    {"choices": st.lists(choices, min_size=1, max_size=1)},
    optional={"usage": mostly(usages), "id": anything, "created": anything, "service_tier": anything},
)
broken = st.fixed_dictionaries(
    {"choices": anything}, optional={"error": anything, "object": anything, "usage": anything}
)
reads = st.lists(st.integers(0, 4000), max_size=6)


def block(chunk: Any, *, ascii: bool) -> bytes:
    return b"data: " + json.dumps(chunk, ensure_ascii=ascii).encode("utf-8", "surrogatepass") + b"\n\n"


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


def told(runner: asyncio.Runner, body: bytes, cuts: list[int]) -> Outcome:
    edges = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    return runner.run(relayed(HEAD, *(body[a:b] for a, b in itertools.pairwise(edges))))


@settings(max_examples=150)
@given(sent=st.lists(chunks, max_size=6), cuts=reads, done=st.booleans(), ascii=st.booleans())
def test_nothing_is_a_success_that_the_upstream_calls_a_failure(
    runner: asyncio.Runner, sent: list[dict[str, Any]], cuts: list[int], done: bool, ascii: bool
) -> None:
    """Any JSON stands in the fields beside: the last finish reason decides, and every answer has a typed end."""
    body = b"".join(block(chunk, ascii=ascii) for chunk in sent) + (b"data: [DONE]\n\n" if done else b"")
    found = told(runner, body, cuts)
    words = [chunk["choices"][0]["finish_reason"] for chunk in sent]
    last = next((word for word in reversed(words) if word not in (None, "", "null", "FINISH_REASON_UNSPECIFIED")), None)
    if found.error is not None:
        assert found.error[0] in TYPED
    else:
        assert last not in FAILED_WORDS
        assert last is not None or done
    assert found == told(runner, body, [])


@settings(max_examples=150)
@given(
    sent=st.lists(st.one_of(chunks, broken, anything), max_size=5),
    cuts=reads,
    length=st.integers(0, 2000),
    noise=st.binary(max_size=6),
)
def test_whatever_comes_and_breaks_off_has_a_typed_end(
    runner: asyncio.Runner, sent: list[Any], cuts: list[int], length: int, noise: bytes
) -> None:
    """Never an exception of another kind, never an answer without an end, the same wherever it is cut."""
    body = (b"".join(block(chunk, ascii=True) for chunk in sent) + noise)[:length]
    found = told(runner, body, cuts)
    assert found.error is None or found.error[0] in TYPED
    assert found == told(runner, body, [])
