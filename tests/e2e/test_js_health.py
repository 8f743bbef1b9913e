"""The JavaScript client in a page that somebody looks at."""

from __future__ import annotations

from collections.abc import Callable

from browser_kit import visitor
from cable import laid
from playwright.sync_api import Browser, Request

CONFIG = """
[[models]]
name = "replay"
provider = "replay"
tokens = 60
rate = 60
"""

FOLLOW = """async () => {
    const { startStream } = await import('/web/tidegate.js');
    window.states = [];
    window.text = '';
    const onEvent = ({ data }) => { window.text += data.text ?? ''; };
    const onState = (state) => window.states.push(state);
    // Nothing is tried again without a sign that the server is there.
    startStream({ model: 'replay', prompt: 'Hello' }, { base: location.origin, attempts: 0, onEvent, onState });
}"""


def test_a_visible_page_notices_that_the_network_is_back(server: Callable[[str], str], browser: Browser) -> None:
    """A cut connection makes no `online` event: the page asks `/healthz` alone, until there is an answer."""
    asked: list[str] = []

    def note(request: Request) -> None:
        asked.append(request.url.removeprefix(cable.url))

    with laid(server(CONFIG)) as cable, visitor(browser, []) as page:
        page.goto(f"{cable.url}/docs")
        page.evaluate(FOLLOW)
        page.wait_for_function("() => window.text.length > 20")
        cable.cut()
        page.wait_for_function("() => window.states.at(-1) === 'offline'")
        page.on("request", note)
        page.wait_for_event("requestfailed", lambda request: request.url.endswith("/healthz"))
        assert {path for path in asked if path.startswith(("/v1/streams", "/healthz"))} == {"/healthz"}
        cable.mend()
        page.wait_for_function("() => window.states.at(-1) === 'ended'")
        assert page.evaluate("window.states").count("offline") == 1
