"""A real browser, with pages that have nothing to complain about."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from playwright.sync_api import Browser, Page, expect, sync_playwright

WITHOUT = (
    # Every window would load two pages of its own for suggestions, which take as long as a page of ours.
    *("WebUIOmniboxPopup", "WebUIOmniboxAimPopup"),
    # Chromium heeds only the last such list, and Playwright's has these.
    *("AvoidUnnecessaryBeforeUnloadCheckSync", "DestroyProfileOnBrowserClose", "HttpsUpgrades", "PaintHolding"),
    *("ThirdPartyStoragePartitioning", "AvoidCorsURLLoaderRestartOnRedirect", "PreconnectToSearch"),
)
"""What Chromium has, and tests do not want."""

ARGUMENTS = (
    f"--disable-features={','.join(WITHOUT)}",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

PATIENCE_MS = 15_000
"""How long a page may take for anything, on a machine that has much else to do."""

UNREACHABLE = re.compile(r"^Failed to load resource: net::ERR_")


def refused(status: int, reason: str) -> str:
    """What the console says of such an answer."""
    return f"Failed to load resource: the server responded with a status of {status} ({reason})"


@contextmanager
def launched() -> Iterator[Browser]:
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        yield chromium
        chromium.close()


@contextmanager
def visitor(browser: Browser, complaints: Sequence[str], *, permissions: Sequence[str] = ()) -> Iterator[Page]:
    """The page of somebody new: no cookie, nothing stored.

    Its console must stay empty, besides `complaints` and connections that failed: no error, no violation of the
    content security policy.
    """
    context = browser.new_context(viewport={"width": 1000, "height": 700}, permissions=list(permissions))
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    found: list[str] = []
    page.on("console", lambda message: found.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: found.append(str(error)))
    yield page
    context.close()
    assert [text for text in found if not UNREACHABLE.match(text) and text not in complaints] == []
