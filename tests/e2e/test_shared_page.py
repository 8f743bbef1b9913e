"""The shared view in a real browser: somebody who has a link, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from browser_kit import refused, visitor
from cable import laid
from held_kit import HELD_MODEL, hold
from playwright.sync_api import Browser, Locator, Page, expect

WORDS = " ".join(f"w{number}" for number in range(1, 101))
SERVER = f"""
[[models]]
name = "replay"
provider = "replay"
text = "{WORDS}"
tokens = 100
rate = 30

[[auth.keys]]
name = "me"
sha256 = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
scopes = ["generate", "read", "cancel"]
"""
SLOW = SERVER.replace("rate = 30", "rate = 5")
AT_ONCE = SERVER.replace("rate = 30", "rate = 0")
OWNER = {"authorization": "Bearer foo"}


@pytest.fixture
def guest(browser: Browser, complaints: list[str]) -> Iterator[Page]:
    with visitor(browser, complaints) as page:
        yield page


def start(url: str, **options: object) -> str:
    """The id of a new stream of the owner."""
    body = {"model": "replay", "prompt": "Go on", "background": True, **options}
    return httpx.post(f"{url}/v1/streams", json=body, headers=OWNER).raise_for_status().json()["id"]


def share(url: str, stream: str, **options: object) -> str:
    """A link to it, as a path."""
    answer = httpx.post(f"{url}/v1/streams/{stream}/share", json=options, headers=OWNER)
    return "/s/" + answer.raise_for_status().json()["token"]


def answer(page: Page) -> Locator:
    return page.locator(".answer")


def status(page: Page) -> Locator:
    return page.locator(".status")


def expect_whole(page: Page) -> None:
    expect(status(page)).to_have_text(re.compile(r"^100 tokens · \d+\.\d s$"), timeout=20_000)
    assert answer(page).text_content() == WORDS


def test_who_has_the_link_reads_along(guest: Page, server: Callable[[str], str], tmp_path: Path) -> None:
    """The answer grows to its end, under the name of its model, and can be read only."""
    go_on = hold(tmp_path, WORDS)
    url = server(SERVER + HELD_MODEL)
    guest.goto(url + share(url, start(url, model="held")))
    expect(answer(guest)).to_have_text(re.compile("w10 $"))
    expect(guest.locator("#about")).to_contain_text("held · ")
    go_on()
    expect_whole(guest)
    assert guest.get_by_role("button").count() == 0
    assert guest.get_by_role("textbox").count() == 0


def test_the_token_stays_where_it_is(guest: Page, server: Callable[[str], str]) -> None:
    """It is in the address of the page and in the header of its calls, and nowhere else."""
    url = server(AT_ONCE)
    path = share(url, start(url))
    token = path.rpartition("/")[2]
    asked: list[str] = []
    guest.on("request", lambda request: asked.append(request.url))
    with guest.expect_request("**/events?snapshot=1") as followed:
        guest.goto(url + path)
    expect_whole(guest)
    assert followed.value.headers["authorization"] == f"Bearer {token}"
    assert [address for address in asked if token in address] == [url + path]
    held = "JSON.stringify([{ ...sessionStorage }, { ...localStorage }, document.cookie, document.body.outerHTML])"
    assert token not in guest.evaluate(held)


def test_a_refresh_in_mid_answer_finds_all_of_it(guest: Page, server: Callable[[str], str]) -> None:
    """The page keeps nothing and needs nothing: it begins with the answer so far."""
    url = server(SERVER)
    guest.goto(url + share(url, start(url)))
    for word in ("w10 ", "w40 "):
        expect(answer(guest)).to_contain_text(word)
        guest.reload()
        expect(answer(guest)).to_contain_text(word, timeout=1000)
    expect_whole(guest)


def test_a_broken_connection_is_mended(guest: Page, server: Callable[[str], str], tmp_path: Path) -> None:
    """As on the chat page: it is said, and every word comes once."""
    go_on = hold(tmp_path, WORDS)
    url = server(SERVER + HELD_MODEL)
    with laid(url) as wire:
        guest.goto(wire.url + share(url, start(url, model="held")))
        expect(answer(guest)).to_contain_text("w10 ")
        wire.cut()
        expect(status(guest)).to_have_text("Reconnecting")
        wire.mend()
        expect(status(guest)).to_have_text("Answering")
        go_on()
        expect_whole(guest)


def test_a_link_that_is_taken_back_leaves_what_was_read(
    guest: Page, server: Callable[[str], str], complaints: list[str]
) -> None:
    """Who reads along is told and keeps what had come; who comes again gets nothing."""
    complaints += [refused(401, "Unauthorized"), refused(404, "Not Found")]
    url = server(SLOW)
    stream = start(url)
    guest.goto(url + share(url, stream))
    expect(answer(guest)).to_contain_text("w5")
    httpx.delete(f"{url}/v1/streams/{stream}/share", headers=OWNER).raise_for_status()
    expect(status(guest)).to_have_text("This link is no longer valid. This is what had arrived.")
    expect(answer(guest)).to_contain_text("w5")
    expect(guest.locator("#announcer")).to_contain_text("This link is no longer valid.")
    assert httpx.get(f"{url}/v1/streams/{stream}", headers=OWNER).json()["status"] == "running"
    guest.reload()
    expect(guest.get_by_role("heading", name="This link is not valid, or no longer")).to_be_visible()
    expect(answer(guest)).to_have_count(0)


def test_a_link_that_runs_out_is_said_to_have(guest: Page, server: Callable[[str], str], complaints: list[str]) -> None:
    """An open connection does not outlive it."""
    complaints.append(refused(401, "Unauthorized"))
    url = server(SLOW)
    guest.goto(url + share(url, start(url), ttl_seconds=2))
    expect(answer(guest)).to_contain_text("w2")
    expect(status(guest)).to_contain_text("This link is no longer valid.")


def test_an_invented_link_shows_nothing(guest: Page, server: Callable[[str], str], complaints: list[str]) -> None:
    """404, in words for people; nobody stores or indexes it."""
    complaints.append(refused(404, "Not Found"))
    response = guest.goto(server(AT_ONCE) + "/s/share_" + "0" * 64)
    assert response is not None
    assert response.status == 404
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-robots-tag"] == "noindex"
    expect(guest.get_by_role("heading", name="This link is not valid, or no longer")).to_be_visible()
    expect(guest.locator("#shared")).to_be_hidden()


def test_an_end_is_said_with_its_reason(guest: Page, server: Callable[[str], str]) -> None:
    """A guest learns that the owner stopped it, and is offered nothing to do about it."""
    url = server(SLOW)
    stream = start(url)
    guest.goto(url + share(url, stream))
    expect(answer(guest)).to_contain_text("w2")
    httpx.post(f"{url}/v1/streams/{stream}/cancel", headers=OWNER).raise_for_status()
    expect(status(guest)).to_contain_text("Stopped")
    expect(guest.get_by_role("button")).to_have_count(0)


def test_who_comes_late_begins_at_the_top(guest: Page, server: Callable[[str], str]) -> None:
    """The page neither runs to the end of a long answer, nor has a screen reader say all of it."""
    text = r"\n\n".join(f"w{number}" for number in range(1, 101))
    url = server(AT_ONCE.replace(WORDS, text))
    guest.clock.install()
    guest.goto(url + share(url, start(url)))
    expect(status(guest)).to_contain_text("100 tokens")
    assert guest.evaluate("scrollY") == 0
    assert guest.locator("#announcer p").count() == 0
    expect(guest.get_by_role("button", name="Latest")).to_be_visible()


def test_its_addresses_are_relative(guest: Page, server: Callable[[str], str]) -> None:
    """It works wherever the application is mounted, and leads to that place's chat."""
    guest.route(re.compile("/llm/"), lambda route: route.continue_(url=route.request.url.replace("/llm/", "/")))
    url = server(AT_ONCE)
    guest.goto(url + "/llm" + share(url, start(url)))
    expect_whole(guest)
    assert guest.evaluate("document.querySelector('.brand').href") == f"{url}/llm/"


def test_all_of_the_guests_read_the_same(browser: Browser, server: Callable[[str], str]) -> None:
    """Who is signed in to the server, and who is not, see one page."""
    url = server(SERVER)
    path = share(url, start(url))
    with ExitStack() as stack:
        guests = [stack.enter_context(visitor(browser, ())) for _ in range(2)]
        guests[0].context.add_cookies([{"name": "tidegate_token", "value": "foo", "url": url}])
        for page in guests:
            page.goto(url + path)
        for page in guests:
            expect_whole(page)
