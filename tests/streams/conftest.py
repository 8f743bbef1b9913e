from __future__ import annotations

import pytest
from engine_kit import Engine


@pytest.fixture
def engine() -> Engine:
    return Engine()
