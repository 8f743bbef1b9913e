"""URLs of SQLite files."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote, unquote, urlsplit


def sqlite_url(path: Path) -> str:
    """The URL of a file: three slashes before a relative path, four with an absolute one."""
    return f"sqlite:///{quote(str(path))}"


def sqlite_path(url: str) -> Path:
    """The file of a `sqlite` URL. Raises `ValueError` where it names none."""
    parts = urlsplit(url)
    path = unquote(parts.path[1:])
    if parts.netloc or parts.query or parts.fragment or not path or path.endswith("/") or "\0" in path:
        raise ValueError("expected sqlite:///relative.db or sqlite:////absolute.db")
    return Path(path)


def sqlite_problem(url: str) -> str | None:
    """What is wrong with the URL; None if nothing is."""
    try:
        sqlite_path(url)
    except ValueError as error:
        return str(error)
    return None
