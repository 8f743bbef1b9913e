"""Fixtures of the tests that have a real proxy before two real servers: one stack for each of nginx and Caddy."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from front_kit import FRONTS
from pair_kit import pair
from port_kit import free_port
from way_kit import Stack


@pytest.fixture(scope="session", params=list(FRONTS))
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp(request.param)
    port = free_port()
    with (
        pair(folder, f"http://127.0.0.1:{port}/llm") as nodes,
        FRONTS[request.param](folder, nodes.addresses, port) as front,
    ):
        yield Stack(front, nodes)
