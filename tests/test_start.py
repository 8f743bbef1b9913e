"""What a server that is ready has imported: whoever starts it waits for each module."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tidegate.testing.process import TIDEGATE, running

CONFIG = """
[store]
url = "{store}"
[[models]]
name = "replay"
provider = "replay"
"""

NOT_ASKED_FOR = {
    "websockets",
    "uvicorn.protocols.websockets.websockets_sansio_impl",
    "starlette.routing",
    "starlette.requests",
    "importlib.metadata",
    "http.client",
    "cryptography",
    "jwt",
    "xllamacpp",
    "tidegate.http_client.connection",
    "tidegate.providers.llama.provider",
    "tidegate.providers.openai.provider",
    "tidegate.providers.python",
    "tidegate.client.http",
    "tidegate.testing.process",
}


def imported_by_start(folder: Path, store: str) -> set[str]:
    config = folder / "tidegate.toml"
    config.write_text(CONFIG.format(store=store))
    command = (TIDEGATE[0], "-X", "importtime", *TIDEGATE[1:], "serve", "--port", "0")
    with running("--config", str(config), command=command, cwd=folder) as server:
        assert server.ready
        lines = server.stderr()
    return set(re.findall(r"^import time: +\d+ \| +\d+ \| +(\S+)$", lines, re.MULTILINE))


@pytest.mark.parametrize("store", ["memory://", "sqlite:///logs.db"])
def test_what_is_not_configured_is_not_imported(tmp_path: Path, store: str) -> None:
    """A server with a `replay` model has no upstream, no issuer and no socket yet: nothing for them is loaded."""
    modules = imported_by_start(tmp_path, store)
    assert {"tidegate.app", "tidegate.providers.replay"} < modules
    assert not modules & NOT_ASKED_FOR
    assert ("sqlite3" in modules) == store.startswith("sqlite")
