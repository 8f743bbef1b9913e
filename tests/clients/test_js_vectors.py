"""The JavaScript client and the vectors that every client must pass."""

from __future__ import annotations

import json

import pytest
from node_kit import ROOT, run


@pytest.mark.parametrize("name", ["sse", "backoff", "session"])
def test_the_javascript_client_passes_every_vector(name: str) -> None:
    """It decodes, waits and decides as the clients in other languages do, wherever the bytes are cut."""
    vectors = json.loads((ROOT / f"conformance/{name}.json").read_text())
    assert run(f"{name}.mjs") == str(len(vectors))
