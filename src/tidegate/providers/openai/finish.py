"""Translates the finish reasons of many servers. Pure."""

from __future__ import annotations

from typing import Literal, cast

from tidegate.core.events import FinishReason
from tidegate.core.lenient_json import as_object

Ending = FinishReason | Literal["failed"]

GOING_ON = frozenset(
    {"", "null", "none", "unspecified", "unknown", "in_progress", "running", "generating", "continue", "not_finished"}
)
"""Values that some servers send while the answer continues."""

LENGTH = frozenset(
    {
        *(
            "length",
            "limit",
            "max_tokens",
            "max_length",
            "max_new_tokens",
            "max_output_tokens",
            "max_completion_tokens",
        ),
        *("model_length", "token_limit", "context_length", "context_window", "context_length_exceeded", "truncated"),
        *("model_context_window_exceeded", "context_window_exceeded", "token_limit_reached", "incomplete"),
        *("length_limit", "max_context_length", "error_limit"),
    }
)

TOOL_CALLS = frozenset({"tool_calls", "tool_call", "tool_use", "function_call", "function_calls", "tools"})

FILTERED = frozenset(
    {
        *("content_filter", "content_filtered", "content_policy", "content_policy_violation", "filter", "filtered"),
        *("safety", "image_safety", "refusal", "recitation", "language", "blocklist", "prohibited_content", "spii"),
        *("image_prohibited_content", "image_recitation", "sensitive", "moderation", "flagged", "guardrail"),
        *("guardrail_intervened", "error_toxic", "user_safety", "safety_filter", "blocked", "policy_violation"),
    }
)

FAILED = ("abort", "error", "cancel", "fail", "timeout", "timed_out", "interrupt", "malformed", "insufficient")
"""Parts of reasons for an answer that was given up: `abort`, `user_cancelled`, `network_error`, `ERROR_LIMIT`,
`MALFORMED_FUNCTION_CALL`, DeepSeek's `insufficient_system_resource`."""

UNEXPECTED = frozenset({"unexpected_tool_call", "too_many_tool_calls", "no_image", "image_other", "load", "unload"})
"""Other reasons for a failed answer: Gemini's, and Ollama's for a model that was loaded and not asked."""


NUMBERS: dict[int, Ending] = {1: "stop", 2: "length", 3: "content_filter", 4: "content_filter"}
"""Gemini's enumeration, which some gateways pass on as numbers."""


def ending(reason: object) -> Ending | None:
    """What a finish reason means; None while the answer continues. Unknown words mean `stop`."""
    if isinstance(reason, dict):
        reason = as_object(cast("object", reason)).get("type", as_object(cast("object", reason)).get("reason"))
    if isinstance(reason, int) and not isinstance(reason, bool):
        return NUMBERS.get(reason)
    if not isinstance(reason, str):
        return None
    word = reason.strip().lower().replace("-", "_").replace(" ", "_").removeprefix("finish_reason_")
    if word in GOING_ON:
        return None
    if word in FILTERED:
        return "content_filter"
    if word in LENGTH:
        return "length"
    if word in UNEXPECTED or any(part in word for part in FAILED):
        return "failed"
    return "tool_calls" if word in TOOL_CALLS else "stop"
