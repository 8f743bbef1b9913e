"""The files of the pages as they are sent: named by their content, compressed, with what they will import."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from functools import cache
from hashlib import blake2s
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import NamedTuple, Self

from tidegate.errors import NotFound

MEDIA_TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "html": "text/html; charset=utf-8",
}

_MODULE = re.compile(r'<script type="module" src="((?:\.\./)?web/)([\w-]+\.js)"')
_IMPORT = re.compile(r"^(?:import|export)\b[^'\"()]*?['\"]\./([\w-]+\.js)['\"];?$", re.MULTILINE)


class PageFile(NamedTuple):
    """One file: `etag` (RFC 9110, 8.8.3) changes with its content; `packed` is the content by gzip."""

    content: bytes
    packed: bytes
    media_type: str
    etag: str

    @classmethod
    def of(cls, content: bytes, media_type: str) -> Self:
        etag = f'W/"{blake2s(content, digest_size=12).hexdigest()}"'
        return cls(content, gzip.compress(content, mtime=0), media_type, etag)

    def is_known(self, if_none_match: str | None) -> bool:
        """Whether the client has this content already (RFC 9110, 13.1.2)."""
        return self.etag in [tag.strip() for tag in (if_none_match or "").split(",")]


@cache
def page_file(name: str) -> PageFile:
    """The file of this name. Raises `NotFound`."""
    found = _files().get(name)
    if found is None:
        raise NotFound("there is nothing at this path")
    content = found.read_bytes()
    kind = name.rpartition(".")[2]
    return PageFile.of(_with_preloads(content) if kind == "html" else content, MEDIA_TYPES[kind])


@cache
def _files() -> dict[str, Traversable]:
    """The pages' files by their names, and beside them the JavaScript client, which the pages load like anybody."""
    pages = files("tidegate.web")
    found = (entry for room in (pages, pages / "client") for entry in room.iterdir() if entry.is_file())
    return {entry.name: entry for entry in found if entry.name.rpartition(".")[2] in MEDIA_TYPES}


def _with_preloads(page: bytes) -> bytes:
    """The page, which names all modules it will need: else a browser finds an import only in what it has fetched."""
    text = page.decode()
    found = {prefix + name: None for prefix, top in _MODULE.findall(text) for name in _imported(top)}
    links = "".join(f'<link rel="modulepreload" href="{path}">' for path in found)
    return text.replace("</head>", f"{links}</head>", 1).encode()


def _imported(top: str) -> Iterator[str]:
    """The modules that a module imports, directly or not, each once."""
    seen = {top}
    waiting = [top]
    while waiting:
        for name in _IMPORT.findall(_files()[waiting.pop()].read_text("utf-8")):
            if name not in seen:
                seen.add(name)
                waiting.append(name)
                yield name
