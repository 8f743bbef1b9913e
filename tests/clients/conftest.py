"""The clients against real servers, and in a real browser."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# What the end-to-end tests have for servers and browsers is used here, too.
sys.path.append(str(Path(__file__).parents[1] / "e2e"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    # Playwright takes its time, and most tests have no page.
    from browser_kit import launched

    with launched() as chromium:
        yield chromium
