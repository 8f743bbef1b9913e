"""A stack for each file of this folder, which `make telemetry` runs: what one sends fires no alert of another."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import stack_kit


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def programs() -> None:
    assert not stack_kit.missing(), f"not in {stack_kit.BIN}: {stack_kit.missing()}; make telemetry builds them"


@pytest.fixture(scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[stack_kit.Stack]:
    async with stack_kit.running(tmp_path_factory.mktemp("stack")) as stack:
        yield stack
