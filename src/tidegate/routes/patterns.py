"""Paths of requests, and the patterns of those that have parameters: `/v1/streams/{id}`."""

from __future__ import annotations

import re

from starlette.types import Scope

_PARAMETER = re.compile(r"\{(\w+)(:path)?\}")


def pattern_of(path: str) -> re.Pattern[str]:
    """The pattern that a whole path has to match. A parameter is one segment; with `:path` it may have slashes."""
    found, end = "", 0
    for parameter in _PARAMETER.finditer(path):
        name, slashes = parameter.groups()
        found += re.escape(path[end : parameter.start()]) + f"(?P<{name}>{'.*' if slashes else '[^/]+'})"
        end = parameter.end()
    return re.compile(found + re.escape(path[end:]))


def path_below(scope: Scope) -> str:
    """The path of a request without `root_path`, below which the application is mounted."""
    path, root = scope["path"], scope.get("root_path", "")
    if not root or not path.startswith(root):
        return path
    below = path[len(root) :]
    return below if below[:1] in ("", "/") else path
