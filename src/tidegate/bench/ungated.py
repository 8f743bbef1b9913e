"""The server without its gate: the application is called directly, and everyone may do everything.

    python -m tidegate.bench.ungated --config FILE

Only the benchmark of the gate uses it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Sequence
from pathlib import Path

from starlette.types import ASGIApp, Receive, Scope, Send

from tidegate import app, config, server
from tidegate.core.principal import ANONYMOUS
from tidegate.gate.route_policy import PRINCIPAL


def main() -> None:
    # The one function by which the application adds all of its middlewares.
    app._behind = _nothing_before  # pyright: ignore[reportPrivateUsage]
    sys.exit(server.run(config.load(Path(sys.argv[-1]), os.environ, {"server.port": 0})))


def _nothing_before(gate: Sequence[app.Middleware], guarded: ASGIApp) -> ASGIApp:
    def call(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        scope[PRINCIPAL] = ANONYMOUS
        return guarded(scope, receive, send)

    return call


if __name__ == "__main__":
    main()
