"""Serves the pages and their files, and the description of the API."""

from __future__ import annotations

from functools import lru_cache
from html import escape
from importlib.resources import files
from importlib.resources.abc import Traversable

from tidegate.core.topic import topic_id
from tidegate.errors import NotFound
from tidegate.routes.call import Call

MEDIA_TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "html": "text/html; charset=utf-8",
}

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
    content = _content("shared.html").replace(b'data-stream=""', b'data-stream="%b"' % escape(stream or "").encode())
    headers = {**PAGE_HEADERS, "cache-control": "no-store", "x-robots-tag": "noindex"}
    await call.answer(content, MEDIA_TYPES["html"], status=200 if stream else 404, headers=headers)


async def file(call: Call) -> None:
    """A style sheet, script or picture of the pages."""
    await _answer_file(call, call.params["file"])


async def openapi(call: Call) -> None:
    """The API, described for programs."""
    await call.answer(call.context.describe(), "application/json")


async def _answer_file(call: Call, name: str) -> None:
    await call.answer(_content(name), MEDIA_TYPES[name.rpartition(".")[2]], headers=PAGE_HEADERS)


@lru_cache
def _files() -> dict[str, Traversable]:
    """The pages' files by their names, and beside them the JavaScript client, which the pages load like anybody."""
    pages = files("tidegate.web")
    found = (entry for room in (pages, pages / "client") for entry in room.iterdir() if entry.is_file())
    return {entry.name: entry for entry in found if entry.name.rpartition(".")[2] in MEDIA_TYPES}


@lru_cache
def _content(name: str) -> bytes:
    if name not in _files():
        raise NotFound("there is nothing at this path")
    return _files()[name].read_bytes()
