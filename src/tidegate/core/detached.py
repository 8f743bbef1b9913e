"""Answers that go on after the application has returned, so that no coroutine waits for their end.

A server that can carry an answer on says so in the extension `DETACH` of the ASGI scope. The application then returns,
and each layer on the way out leaves what it has to do once the answer is over.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any

DETACH = "tidegate.detach"
"""The ASGI extension of a server that goes on with an answer when the application has returned."""

DETACHED = "tidegate.detached"
"""The key in an ASGI scope of the `Detached` of an answer that goes on."""

SPENT = frozenset(
    (
        "app",
        "asgi",
        DETACHED,
        "endpoint",
        "extensions",
        "headers",
        "http_version",
        "path_params",
        "query_string",
        "raw_path",
        "root_path",
        "router",
        "scheme",
        "server",
        "state",
        "subprotocols",
        "tidegate.headers",
        "tidegate.trace",
        "type",
    )
)
"""The parts of a scope that nothing reads once its answer is detached: 2 KB for each connection. The trace is in the
context, too, in which the answer ends."""

Scope = MutableMapping[str, Any]

Step = Callable[[Scope, Exception | None], Exception | None]
"""What a layer does at the end, with the request's scope and the error that has ended the answer. It returns that error
for outer layers, or another one, or None."""


class Detached:
    """An answer that goes on. At its `end` the steps run in the order in which the layers have returned."""

    __slots__ = ("_scope", "_steps")

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._steps: tuple[Step, ...] = ()

    def then(self, step: Step) -> None:
        """Adds the step of the next layer: best one that all answers share, with its data in the scope."""
        self._steps = (*self._steps, step)

    def end(self, error: Exception | None = None) -> None:
        """The answer is over, by an error or without. Harmless when repeated. Raises what no step has dealt with."""
        steps, self._steps = self._steps, ()
        for step in steps:
            try:
                error = step(self._scope, error)
            except Exception as another:
                error = another
        if error is not None and steps:
            raise error


def detach(scope: Scope) -> Detached | None:
    """Detaches the answer to this request; None where its server cannot go on with it.

    From here on the application has to return, and nothing on the way may wait or fail.
    """
    if DETACH not in (scope.get("extensions") or {}):
        return None
    scope[DETACHED] = detached = Detached(scope)
    return detached


def detached_of(scope: Scope) -> Detached | None:
    """The answer to this request that goes on, if it does."""
    return scope.get(DETACHED)


def forget_spent(scope: Scope) -> None:
    """Frees the parts of a scope that are `SPENT`. Refills the dict, since one does not shrink by deletions."""
    kept = {key: value for key, value in scope.items() if key not in SPENT}
    scope.clear()
    scope.update(kept)
