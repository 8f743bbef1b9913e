"""What `tidegate.client` offers, and what it costs to import."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys

import pytest

import tidegate.client
from tidegate.client import AsyncClient, AsyncProducer, AsyncStream, Client, Producer, Stream, TidegateError

HEAVY = {"uvloop", "starlette", "uvicorn", "websockets", "click", "tidegate.app", "tidegate.config", "tidegate.streams"}


def names(kind: type) -> dict[str, list[str]]:
    """The public members, and the parameters of those that are called."""
    found = {name: member for name, member in inspect.getmembers(kind) if not name.startswith("_")}
    return {
        name: [str(each).partition(" ->")[0] for each in inspect.signature(member).parameters.values()]
        for name, member in found.items()
        if inspect.isfunction(member)
    } | {name: [] for name, member in found.items() if not inspect.isfunction(member)}


def test_the_names_are_these() -> None:
    """Other programs rely on them."""
    assert tidegate.client.__all__ == sorted(
        [
            *(
                "Client",
                "Stream",
                "Producer",
                "AsyncClient",
                "AsyncStream",
                "AsyncProducer",
                "Event",
                "State",
                "Detail",
            ),
            *("TidegateError", "Offline", "InvalidRequest", "Unauthenticated", "Forbidden", "NotFound", "Conflict"),
            *("RateLimited", "Unavailable", "Fenced", "StreamEnded"),
        ]
    )
    assert all(getattr(tidegate.client, name) is not None for name in tidegate.client.__all__)
    with pytest.raises(AttributeError, match="Cleint"):
        _ = tidegate.client.Cleint  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("blocking", "awaiting"), [(Client, AsyncClient), (Stream, AsyncStream), (Producer, AsyncProducer)]
)
def test_both_faces_have_the_same_names(blocking: type, awaiting: type) -> None:
    """With the same parameters: who knows one knows the other."""
    theirs = {name: [each.replace("Async", "") for each in what] for name, what in names(awaiting).items()}
    assert theirs == names(blocking)


def test_errors_are_below_one() -> None:
    """Who catches that one has them all."""
    errors = [getattr(tidegate.client, name) for name in tidegate.client.__all__]
    found = [kind for kind in errors if inspect.isclass(kind) and issubclass(kind, Exception)]
    assert all(issubclass(kind, TidegateError) for kind in found)
    assert len(found) == 11


@pytest.mark.parametrize(("name", "also"), [("Client", {"asyncio", "httptools"}), ("AsyncClient", set[str]())])
def test_a_client_imports_no_server(name: str, also: set[str]) -> None:
    """Nor does a program that blocks load what awaits."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", f"from tidegate.client import {name}"],
        capture_output=True,
        text=True,
        check=True,
    )
    modules = set(re.findall(r"^import time: +\d+ \| +\d+ \| +(\S+)$", done.stderr, re.MULTILINE))
    assert "tidegate.client.session" in modules
    assert not modules & (HEAVY | also)
