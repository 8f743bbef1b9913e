"""Serves the pages and their files, and the description of the API."""

from __future__ import annotations

from html import escape

from tidegate.core.topic import topic_id
from tidegate.delivery.compression import accepts_gzip
from tidegate.routes.call import Call
from tidegate.routes.page_files import MEDIA_TYPES, page_file

# The pages have no inline script or style, load nothing from elsewhere and cannot be framed; `x-frame-options` says the
# last to old browsers. Windows that open them, or that they open, cannot reach into them.
PAGE_HEADERS = {
    "content-security-policy": "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-cache",
}


async def chat(call: Call) -> None:
    """The chat page."""
    await _answer_file(call, "index.html")


async def docs(call: Call) -> None:
    """The API, described for people."""
    await _answer_file(call, "docs.html")


async def room(call: Call) -> None:
    """The page of a room, which is a topic of that name."""
    topic_id(call.params["name"])
    await _answer_file(call, "room.html")


async def answer_shared(call: Call, stream: str | None) -> None:
    """The page of one shared stream, whose id is put into it; without one it says that its link is not valid."""
    named = b'data-stream="%b"' % escape(stream or "").encode()
    content = page_file("shared.html").content.replace(b'data-stream=""', named)
    headers = {**PAGE_HEADERS, "cache-control": "no-store", "x-robots-tag": "noindex"}
    await call.answer(content, MEDIA_TYPES["html"], status=200 if stream else 404, headers=headers)


async def file(call: Call) -> None:
    """A style sheet, script or picture of the pages."""
    await _answer_file(call, call.params["file"])


async def openapi(call: Call) -> None:
    """The API, described for programs."""
    await call.answer(call.context.describe(), "application/json")


async def _answer_file(call: Call, name: str) -> None:
    found = page_file(name)
    headers = {**PAGE_HEADERS, "etag": found.etag, "vary": "accept-encoding"}
    if found.is_known(call.header(b"if-none-match")):
        await call.answer_empty(status=304, headers=headers)
    elif accepts_gzip(call.header(b"accept-encoding")):
        await call.answer(found.packed, found.media_type, headers={**headers, "content-encoding": "gzip"})
    else:
        await call.answer(found.content, found.media_type, headers=headers)
