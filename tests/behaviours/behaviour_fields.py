"""Fields that are missing, of another type, or broken."""

from __future__ import annotations

from behaviour import DONE, HELLO, STOP, USAGE, Behaviour, bare, chunk, data, said, stream, text

MALFORMED = ("upstream_malformed", 502)
HALVES = (
    b'{"choices":[{"index":0,"delta":{"content":"a\\ud83d"}}]}',
    b'{"choices":[{"index":0,"delta":{"content":"\\ude00b"}}]}',
)
LOGPROBS = {"content": [{"token": "Hi", "logprob": -0.1, "bytes": None, "top_logprobs": []}]}
CITATION = [{"type": "url_citation", "url_citation": {"url": "https://example.com"}}]


def spoilt(**fields: object) -> bytes:
    """A chunk with a text, and these fields in place of the usual ones."""
    return data({**said({"content": "a"}), **fields})


FIELDS = [
    *[
        Behaviour(f"{name} is {value!r}", stream(spoilt(**{name: value}), STOP), text="a")
        for name, value in [
            *[
                ("id", None),
                ("id", 5),
                ("created", None),
                ("created", 1.5),
                ("created", "now"),
                ("model", []),
                ("object", 7),
            ],
            *[("usage", None), ("usage", []), ("usage", "none"), ("error", None), ("error", {})],
        ]
    ],
    *[
        Behaviour(f"index is {index!r}", stream(chunk({"content": "a"}, index=index), STOP), text="a")
        for index in (None, "0", 0.0, [], "x")
    ],
    Behaviour("no index", stream(data({"choices": [{"delta": {"content": "a"}}]}), STOP), text="a"),
    Behaviour(
        "logprobs is false", stream(chunk({"content": "a"}, logprobs=False), STOP), text="a", choice={"logprobs": False}
    ),
    Behaviour("a single choice", stream(data({"choices": {"delta": {"content": "a"}}}), STOP), text="a"),
    Behaviour("choices is null", stream(spoilt(choices=None), HELLO, STOP), text="Hello"),
    Behaviour(
        "choices is a number", stream(HELLO, spoilt(choices=1)), text="Hello", error=MALFORMED, usage=None, pieces=2
    ),
    Behaviour("delta is null", stream(data({"choices": [{"index": 0, "delta": None}]}), HELLO, STOP), text="Hello"),
    Behaviour("delta is a text", stream(data({"choices": [{"index": 0, "delta": "a"}]}), STOP), text="a"),
    Behaviour(
        "message in place of delta",
        stream(data({"choices": [{"index": 0, "message": {"content": "a"}}]}), STOP),
        text="a",
    ),
    Behaviour("text in place of delta", stream(data({"choices": [{"index": 0, "text": "a"}]}), STOP), text="a"),
    Behaviour("content is a number", stream(chunk({"content": 5}), STOP), text="5"),
    Behaviour(
        "content is true", stream(HELLO, chunk({"content": True})), text="Hello", error=MALFORMED, usage=None, pieces=2
    ),
    Behaviour("content is an object", stream(chunk({"content": {"type": "text", "text": "a"}}), STOP), text="a"),
    Behaviour(
        "content in parts",
        stream(
            chunk({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]}),
            chunk({"content": ["The ", {"type": "text", "text": "answer"}]}),
            STOP,
        ),
        text="The answer",
        reasoning="hm",
        main=True,
    ),
    Behaviour(
        "parts of other kinds",
        stream(chunk({"content": [{"type": "reference", "reference_ids": [1]}, {"type": "text", "text": "a"}]}), STOP),
        text="a",
        message={"content_parts": [{"type": "reference", "reference_ids": [1]}]},
    ),
    Behaviour(
        "reasoning_content",
        stream(chunk({"reasoning_content": "hm"}), HELLO, STOP),
        text="Hello",
        reasoning="hm",
        main=True,
    ),
    Behaviour(
        "reasoning, twice",
        stream(chunk({"reasoning": "hm", "reasoning_content": "hm"}), HELLO, STOP),
        text="Hello",
        reasoning="hm",
    ),
    Behaviour(
        "reasoning_details",
        stream(chunk({"reasoning": "hm", "reasoning_details": [{"index": 0, "type": "t", "text": "hm"}]}), HELLO, STOP),
        text="Hello",
        reasoning="hm",
        message={"reasoning_details": [{"index": 0, "type": "t", "text": "hm"}]},
    ),
    Behaviour(
        "a refusal",
        stream(chunk({"refusal": "I "}), chunk({"refusal": "cannot."}), STOP),
        refusal="I cannot.",
        main=True,
    ),
    Behaviour(
        "logprobs",
        stream(chunk({"content": "Hi"}, logprobs=LOGPROBS), STOP),
        text="Hi",
        choice={"logprobs": LOGPROBS},
        main=True,
    ),
    Behaviour(
        "logprobs of minus infinity",
        stream(
            data(b'{"choices":[{"index":0,"delta":{"content":"a"},"logprobs":{"content":[{"logprob":-Infinity}]}}]}'),
            STOP,
        ),
        text="a",
        choice={"logprobs": {"content": [{"logprob": -9999.0}]}},
    ),
    Behaviour(
        "annotations",
        stream(HELLO, chunk({"annotations": CITATION}), STOP),
        text="Hello",
        message={"annotations": CITATION},
        main=True,
    ),
    Behaviour(
        "citations in every chunk",
        stream(*(data({**said({"content": c}), "citations": ["u"]}) for c in "ab"), STOP),
        text="ab",
        head={"citations": ["u"]},
    ),
    Behaviour(
        "a fingerprint and a tier",
        stream(data({**said({"content": "a"}), "system_fingerprint": "fp", "service_tier": "x"}), STOP),
        text="a",
        head={"system_fingerprint": "fp", "service_tier": "x"},
    ),
    Behaviour(
        "a fingerprint that comes last",
        stream(HELLO, data({**said({}, "stop"), "timings": {"n": 1}})),
        text="Hello",
        head={"timings": {"n": 1}},
    ),
    Behaviour(
        "a text that stopped it",
        stream(HELLO, chunk({}, "stop", stop_reason="###")),
        text="Hello",
        choice={"stop_reason": "###"},
    ),
    Behaviour(
        "NaN beside the text",
        stream(data(b'{"x":NaN,"choices":[{"index":0,"delta":{"content":"a"}}]}'), STOP),
        text="a",
    ),
    Behaviour(
        "1e400 beside the text",
        stream(data(b'{"x":1e400,"choices":[{"index":0,"delta":{"content":"a"}}]}'), STOP),
        text="a",
    ),
    # Blocks
    Behaviour(
        "empty data",
        stream(text("Hel"), b"data:\n\n", b"event: ping\ndata: \n\n", text("lo"), STOP),
        text="Hello",
        main=True,
    ),
    Behaviour(
        "events without data",
        stream(text("Hel"), b"event: ping\n\n", b"id: 7\n\n", b"retry: 5\n\n", text("lo"), STOP),
        text="Hello",
    ),
    Behaviour(
        "pings with data",
        stream(text("Hel"), b'event: ping\ndata: {"type":"ping"}\n\n', data([]), text("lo"), STOP),
        text="Hello",
    ),
    Behaviour("comments", stream(text("Hel"), b": OPENROUTER PROCESSING\n\n", text("lo"), STOP), text="Hello"),
    Behaviour("CRLF", bare((HELLO + STOP + USAGE + DONE).replace(b"\n", b"\r\n")), text="Hello"),
    Behaviour(
        "no space after the colon", bare((HELLO + STOP + USAGE + DONE).replace(b"data: ", b"data:")), text="Hello"
    ),
    Behaviour("a byte order mark", bare(b"\xef\xbb\xbf", HELLO, STOP, USAGE, DONE), text="Hello"),
    Behaviour(
        "ids and event names",
        stream(b"id: 1\nevent: message\n" + HELLO, b"id: 2\nevent: chunk\n" + text("!"), STOP),
        text="Hello!",
    ),
    Behaviour(
        "several lines of data",
        stream(b'data: {"choices":[{"index":0,\ndata: "delta":{"content":"a"}}]}\n\n', STOP),
        text="a",
    ),
    Behaviour(
        "what is not JSON", stream(HELLO, b"data: {oops\n\n"), text="Hello", error=MALFORMED, usage=None, pieces=2
    ),
    # Characters
    Behaviour("a character in two halves", stream(*map(data, HALVES), STOP), text="a\U0001f600b", main=True),
    Behaviour("half a character, then none", stream(data(HALVES[0]), text("b"), STOP), text="a\ufffdb"),
    Behaviour("half a character at the end", stream(data(HALVES[0]), STOP), text="a\ufffd"),
    Behaviour("the second half alone", stream(data(HALVES[1]), STOP), text="\ufffdb"),
    Behaviour(
        "Latin-1",
        stream(data('{"choices":[{"index":0,"delta":{"content":"caf\xe9"}}]}'.encode("latin-1")), STOP),
        text="caf\ufffd",
    ),
    Behaviour(
        "a tab in a text", stream(data(b'{"choices":[{"index":0,"delta":{"content":"a\tb"}}]}'), STOP), text="a\tb"
    ),
    Behaviour(
        "quotes, backslashes and U+2028",
        stream(text('say "h\\i"', "\n", "\u2028", "\0", '"content":"x"'), STOP),
        text='say "h\\i"\n\u2028\0"content":"x"',
    ),
    Behaviour(
        "the text is also elsewhere",
        stream(*(data({**said({"content": c}), "model": c, "x": {"content": c}}) for c in "aab"), STOP),
        text="aab",
        head={"x": {"content": "b"}},
    ),
    Behaviour(
        "pings that are no JSON",
        stream(text("Hel"), b"event: ping\ndata: ping\n\n", text("lo"), STOP, b"data: bye\n\n"),
        text="Hello",
    ),
    Behaviour(
        "pings with a message",
        stream(
            data({"type": "ping", "message": "working"}), data({"object": "status", "message": "loading"}), HELLO, STOP
        ),
        text="Hello",
    ),
    Behaviour("content is false", stream(chunk({"content": False}), HELLO, STOP), text="Hello"),
    Behaviour("choices is a text", stream(HELLO, STOP, data({"choices": "", "usage": None})), text="Hello"),
    Behaviour(
        "progress before the text",
        stream(*(data({**said(), "prompt_progress": {"n": n}}) for n in (1, 2)), HELLO, STOP),
        text="Hello",
        head={"prompt_progress": {"n": 2}},
    ),
    Behaviour(
        "only an image",
        bare(chunk({"images": [{"url": "x"}]}), DONE),
        message={"images": [{"url": "x"}]},
        usage=None,
        pieces=0,
    ),
]
