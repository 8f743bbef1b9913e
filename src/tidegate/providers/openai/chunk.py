"""Takes apart one chunk of a chat completion, or a whole one. Pure: decoded JSON in, its parts out.

Each used field is read on its own, since servers differ in what they leave out and in how they encode the rest.
Unused fields are kept, by the object that they were in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NoReturn, cast

from tidegate.core import lenient_json
from tidegate.core.lenient_json import as_list, as_object
from tidegate.errors import UpstreamMalformed
from tidegate.providers.openai.calls import Fragment

Fields = Mapping[str, Any]
Kind = Literal["text", "refusal", "reasoning"]

SHOWN_BYTES = 100
"""How much of an unreadable value goes to the log."""

CHUNK_FIELDS = frozenset({"id", "object", "created", "model", "choices", "usage", "error", "obfuscation"})
"""Fields that tidegate sets itself or uses. `obfuscation` is padding for OpenAI's own chunks."""

CHOICE_FIELDS = frozenset({"index", "delta", "message", "text", "finish_reason", "finishReason", "usage", "error"})
DELTA_FIELDS = frozenset({"role", "content", "tool_calls", "function_call", "finish_reason"})
NO_IDS = ("null", "None", "")
CALL_FIELDS = frozenset({"index", "id", "function", "custom", "name", "arguments", "input"})
FINISH_FIELDS = ("finish_reason", "finishReason", "stop_reason", "done_reason")
REASONING_FIELDS = ("reasoning_content", "reasoning", "thinking")
REASONING_PARTS = frozenset({"thinking", "reasoning", "reasoning_text", "summary_text"})


class Chunk:
    """The parts of one chunk: `texts` in order, `calls`, and `finish`, the finish reason as it was sent.

    `usages` are objects that may count tokens; `errors` end the answer. `chunk`, `choice` and `delta` hold the other
    fields of these objects.
    """

    __slots__ = ("calls", "choice", "chunk", "delta", "errors", "finish", "index", "texts", "usages")

    def __init__(self, fields: Fields) -> None:
        self.index: int | None = None
        self.texts: list[tuple[Kind, str]] = []
        self.calls: list[Fragment] = []
        self.finish: object = None
        self.usages: list[object] = [fields.get("usage")]
        self.chunk = rest(fields, CHUNK_FIELDS)
        self.choice: dict[str, Any] = {}
        self.delta: dict[str, Any] = {}
        groq = as_object(fields.get("x_groq"))
        self.usages.append(groq.get("usage"))
        self.errors: list[object] = [fields.get("error"), groq.get("error")]

    @property
    def is_plain(self) -> bool:
        """Whether the chunk has a single text and nothing else but fields that hold for the whole answer."""
        return len(self.texts) == 1 and not (self.calls or self.finish or self.choice or self.delta or any(self.usages))


def read_chunk(fields: Fields, wanted: int | None, *, first: bool = False) -> Chunk:
    """The parts of a chunk's choice number `wanted`; of its first choice where that is None.

    Some servers end with the whole message besides an empty delta: the message counts only in the `first` chunk.

    One answer is one stream, so further choices (`n` above 1) are ignored. Raises `UpstreamMalformed` where a field
    that is needed cannot be read.
    """
    chunk = Chunk(fields)
    choices = list(_choices(fields.get("choices")))
    if wanted is None:
        wanted = min((index for index, _ in choices), default=None)
    for index, choice in choices:
        if index == wanted:
            chunk.index = index
            _read_choice(choice, chunk, first=first)
    return chunk


def is_chunk(fields: Fields) -> bool:
    """Whether an object is part of an answer, and not a keep-alive of the server's own kind."""
    return "choices" in fields or "usage" in fields


def rest(fields: Fields, used: frozenset[str]) -> dict[str, Any]:
    """The fields that are not `used`, without empty ones."""
    return {
        name: value
        for name, value in fields.items()
        if name not in used and value is not None and value != "" and value != [] and value != {}
    }


def unreadable(field: str, value: object) -> NoReturn:
    """Raises `UpstreamMalformed` for a field that is needed and cannot be read."""
    try:
        shown = lenient_json.dumps(value)[:SHOWN_BYTES]
    except (TypeError, ValueError, RecursionError):
        shown = b""
    raise UpstreamMalformed(
        f"The upstream sent a chunk whose `{field}` is not one of a chat completion.", field=field, value=shown
    )


def _choices(value: object) -> Iterator[tuple[int, Fields]]:
    for choice in _objects(value, "choices"):
        yield lenient_json.count(choice.get("index")) or 0, choice


def _objects(value: object, field: str) -> Iterator[Fields]:
    """The objects of an array, or a single object by itself. Texts and empty values are skipped."""
    for each in as_list(cast("object", value)) if isinstance(value, list) else (value,):
        if isinstance(each, dict):
            yield as_object(cast("object", each))
        elif each and not isinstance(each, str):
            unreadable(field, cast("object", value))


def _read_choice(choice: Fields, chunk: Chunk, *, first: bool) -> None:
    delta = _delta(choice, first=first)
    chunk.usages.append(choice.get("usage"))
    chunk.errors.append(choice.get("error"))
    chunk.choice = rest(choice, CHOICE_FIELDS)
    chunk.delta = rest(delta, DELTA_FIELDS)
    chunk.finish = next((found for place in (choice, delta) if (found := _finish(place)) is not None), None)
    _read_reasoning(delta, chunk)
    _read_content(delta.get("content"), chunk)
    if isinstance(refusal := delta.get("refusal"), str) and chunk.delta.pop("refusal", None):
        chunk.texts.append(("refusal", refusal))
    chunk.calls.extend(_fragments(delta))


def _delta(choice: Fields, *, first: bool) -> Fields:
    delta: object = choice.get("delta")
    if not delta and (first or delta is None):
        delta = choice.get("message")
    if delta is None or delta == {} or delta == [] or delta == "":
        return {"content": choice.get("text")}
    if isinstance(delta, str):
        return {"content": delta}
    if not isinstance(delta, dict):
        unreadable("choices.delta", delta)
    return as_object(cast("object", delta))


def _finish(fields: Fields) -> object:
    # vLLM sends `stop_reason` besides `finish_reason`: the stop text that was found.
    return next((found for name in FINISH_FIELDS if (found := fields.get(name)) or found == 0), None)


def _read_reasoning(delta: Fields, chunk: Chunk) -> None:
    for name in REASONING_FIELDS:
        value = delta.get(name)
        if isinstance(value, str) and value:
            chunk.texts.append(("reasoning", value))
            # Some proxies send the same text under two names.
            for other in REASONING_FIELDS:
                if isinstance(delta.get(other), str):
                    chunk.delta.pop(other, None)
            return


def _read_content(content: object, chunk: Chunk) -> None:
    if content in (None, "", {}, []) or content is False:
        return
    if isinstance(content, str):
        chunk.texts.append(("text", content))
    elif isinstance(content, int | float) and not isinstance(content, bool):
        chunk.texts.append(("text", str(content)))
    elif isinstance(content, list | dict):
        parts = as_list(cast("object", content)) or [cast("object", content)]
        if others := [part for part in parts if not _read_part(part, chunk)]:
            chunk.delta["content_parts"] = others
    else:
        unreadable("choices.delta.content", content)


def _read_part(part: object, chunk: Chunk) -> bool:
    """Reads one content part. Returns whether it was a text, of any kind."""
    if part is None:
        return True
    fields = as_object(part) or {"text": part}
    kind = fields.get("type")
    is_reasoning = isinstance(kind, str) and kind in REASONING_PARTS
    text = _text(fields.get("text") if fields.get("text") is not None or not is_reasoning else fields.get(str(kind)))
    if text is None:
        return False
    if text:
        chunk.texts.append(("reasoning" if is_reasoning else "text", text))
    return True


def _text(value: object) -> str | None:
    """The text of a part, which may have parts itself."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        return None
    pieces = [as_object(each).get("text", each) for each in as_list(cast("object", value))]
    return "".join(piece for piece in pieces if isinstance(piece, str))


def _fragments(delta: Fields) -> Iterator[Fragment]:
    calls = [_fragment(call) for call in _objects(delta.get("tool_calls"), "choices.delta.tool_calls")]
    yield from calls
    name, arguments = _named(as_object(delta.get("function_call")))
    # Some servers send the same call in the older form, too.
    if (name or arguments) and not calls:
        yield Fragment(0, "", name, arguments, {"type": "function_call"})


def _fragment(call: Fields) -> Fragment:
    name, arguments = _named(as_object(call.get("function")) or as_object(call.get("custom")) or call)
    extra = rest(call, CALL_FIELDS)
    if extra.get("type") == "function":
        del extra["type"]
    id = call.get("id") if call.get("id") not in NO_IDS else None
    known = lenient_json.mended(str(id)) if isinstance(id, str | int) and not isinstance(id, bool) else ""
    return Fragment(lenient_json.count(call.get("index")), known, name, arguments, extra)


def _named(fields: Fields) -> tuple[str, str]:
    name = fields.get("name")
    arguments: object = fields.get("arguments", fields.get("input"))
    if arguments is None:
        arguments = ""
    elif not isinstance(arguments, str):
        arguments = lenient_json.dumps(arguments).decode()
    return lenient_json.mended(name) if isinstance(name, str) else "", arguments
