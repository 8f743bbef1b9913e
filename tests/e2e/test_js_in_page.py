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


BEGIN = """async () => {
    const { startStream } = await import('/web/tidegate.js');
    window.seen = [];
    const onEvent = ({ cursor }) => window.seen.push(cursor);
    startStream({ model: 'replay', prompt: 'Hello' }, { base: location.origin, remember: 'here', onEvent });
}"""

GO_ON = """async () => {
    const { followStream, remembered } = await import('/web/tidegate.js');
    const { id, cursor } = remembered('here');
    const seen = [];
    const onEvent = (event) => seen.push(event.cursor);
    await followStream(id, { base: location.origin, remember: 'here', onEvent });
    return { cursor, seen };
}"""


AT_PLACES = """async () => {
    const { listStreams } = await import('/web/tidegate.js');
    const places = [undefined, '', '/', '.', new URL(location.origin)];
    return Promise.all(places.map(async (base) => (await listStreams({ base })).data.length));
}"""


def test_a_page_says_where_the_server_is(server: Callable[[str], str], browser: Browser) -> None:
    """As it says any other address: whole, or from where the page is, which is what counts if it says nothing."""
    with visitor(browser, []) as page:
        page.goto(f"{server(CONFIG)}/docs")
        assert page.evaluate(AT_PLACES) == [0, 0, 0, 0, 0]


def test_a_tab_remembers_where_it_was(server: Callable[[str], str], browser: Browser) -> None:
    """After a refresh the reader goes on after the last event that the page was shown."""
    with visitor(browser, []) as page:
        page.goto(f"{server(CONFIG)}/docs")
        page.evaluate(BEGIN)
        page.wait_for_function("() => window.seen.length > 5")
        page.reload()
        after = page.evaluate(GO_ON)
        offsets = [int(cursor.split("-")[1]) for cursor in (after["cursor"], *after["seen"])]
        assert offsets == sorted(set(offsets))
        assert offsets[0] > 5
        assert offsets[-1] == 62
