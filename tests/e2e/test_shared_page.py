"""The shared view in a real browser: somebody who has a link, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest
from browser_kit import refused
from cable import laid
from page_kit import WORDS, Site, Told, answer, ask, expect_end, reader, said, site, status
from playwright.sync_api import Browser, Page, expect

KEY = """
[[auth.keys]]
name = "me"
sha256 = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
scopes = ["generate", "read", "cancel"]
"""
OWNER = {"authorization": "Bearer foo"}
STANDINGS = """
globalThis.standings = [];
new MutationObserver(() => {
  const said = document.querySelector('.said')?.textContent;
  if (said && said !== standings.at(-1)) standings.push(said);
}).observe(document, { subtree: true, childList: true, characterData: true });
"""
"""How the answer is said to stand, one after the other."""

WHOLE = re.compile(r"^(fast|told|slow) · 100 tokens · \d+\.\d s")


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("site"), KEY) as found:
        yield found


@pytest.fixture
def guest(browser: Browser, complaints: list[str]) -> Iterator[Page]:
    with reader(browser, complaints) as page:
        yield page


def start(here: Site, told: Told | None = None, *, model: str = "fast") -> str:
    """The id of a new stream of the owner."""
    messages = [
        {"role": "system", "content": "Nobody else's business."},
        {"role": "user", "content": told.question if told else "Why is the sea salty?"},
    ]
    body = {"model": "told" if told else model, "messages": messages, "background": True}
    return httpx.post(f"{here.url}/v1/streams", json=body, headers=OWNER).raise_for_status().json()["id"]


def share(here: Site, stream: str, **options: object) -> str:
    """A link to it, as a path."""
    made = httpx.post(f"{here.url}/v1/streams/{stream}/share", json=options, headers=OWNER)
    return "/s/" + made.raise_for_status().json()["token"]


def test_who_has_the_link_reads_the_question_and_along(guest: Page, here: Site) -> None:
    """The answer grows below its question, under the name of its model; it can be copied, and that is all."""
    told = here.told()
    guest.goto(here.url + share(here, start(here, told)))
    told.say(WORDS[:50])
    expect(answer(guest)).to_have_text(WORDS[:50].strip())
    expect(guest.locator(".question")).to_have_text(f"You: {told.question}")
    expect(guest.locator("#about")).to_contain_text("told · ")
    expect(guest).to_have_title(f"{told.question} · tidegate")
    expect(guest.locator("body")).not_to_contain_text("Nobody else's business.")
    told.end(WORDS[50:])
    expect(status(guest)).to_have_text(WHOLE)
    guest.get_by_role("button", name="Copy").click()
    assert guest.evaluate("navigator.clipboard.readText()") == WORDS
    assert guest.locator("button:visible").count() == 1
    assert guest.get_by_role("textbox").count() == 0


def test_reasoning_is_folded_and_calls_are_a_line(guest: Page, here: Site) -> None:
    """What the model did besides answering can be looked at, and does not stand in the way."""
    told = here.told()
    guest.goto(here.url + share(here, start(here, told)))
    told.end(("thought", "Rivers."), ("call", 0, "c1", "tide", '{"port": "Brest"}'), "Salt.")
    expect(answer(guest)).to_have_text("Salt.")
    expect(guest.get_by_text("Rivers.")).to_be_hidden()
    expect(guest.get_by_text("tide", exact=True)).to_be_visible()


def test_the_token_stays_where_it_is(guest: Page, here: Site) -> None:
    """It is in the address of the page and in the header of its calls, and nowhere else."""
    path = share(here, start(here))
    token = path.rpartition("/")[2]
    asked: list[str] = []
    guest.on("request", lambda request: asked.append(request.url))
    with guest.expect_request("**/events?snapshot=1") as followed:
        guest.goto(here.url + path)
    expect(status(guest)).to_have_text(WHOLE)
    assert followed.value.headers["authorization"] == f"Bearer {token}"
    assert [address for address in asked if token in address] == [here.url + path]
    held = "JSON.stringify([{ ...sessionStorage }, { ...localStorage }, document.cookie, document.body.outerHTML])"
    assert token not in guest.evaluate(held)


def test_a_refresh_in_mid_answer_finds_all_of_it(guest: Page, here: Site) -> None:
    """The page keeps nothing and needs nothing: it begins with the answer so far, which is being written."""
    guest.add_init_script(STANDINGS)
    told = here.told()
    guest.goto(here.url + share(here, start(here, told)))
    told.say("One ")
    expect(answer(guest)).to_have_text("One")
    guest.reload()
    expect(answer(guest)).to_have_text("One")
    assert guest.evaluate("standings") == ["Writing"]
    told.end("two.")
    expect(answer(guest)).to_have_text("One two.")


def test_a_broken_connection_is_mended(guest: Page, here: Site) -> None:
    """It is counted down, can be tried at once, and every word comes once."""
    told = here.told()
    with laid(here.url) as wire:
        guest.goto(wire.url + share(here, start(here, told)))
        told.say("One ")
        expect(answer(guest)).to_have_text("One")
        wire.cut()
        expect(said(guest)).to_have_text(re.compile(r"^The connection is gone. Trying again in \d s$"))
        guest.get_by_role("button", name="Try now").click()
        wire.mend()
        expect(said(guest)).to_have_text("Writing")
        told.end("two.")
        expect(answer(guest)).to_have_text("One two.")


def test_what_something_else_answers_says_nothing_of_the_link(guest: Page, here: Site, complaints: list[str]) -> None:
    """A page of a proxy in place of the answer is told from a refusal, and the server is asked again."""
    complaints += [refused(403, "Forbidden"), refused(404, "Not Found")]
    told = here.told()
    statuses = [200, 403, 404]
    guest.route("**/events*", lambda route: route.fulfill(status=statuses.pop(), content_type="text/html"), times=3)
    guest.goto(here.url + share(here, start(here, told)))
    told.end("One")
    for _ in range(3):
        expect(guest.locator("#notice")).to_contain_text("Something")
        guest.get_by_role("button", name="Try again").click()
    expect(answer(guest)).to_have_text("One")
    expect(guest.locator("#notice")).to_be_hidden()


def test_a_link_that_is_taken_back_leaves_what_was_read(guest: Page, here: Site, complaints: list[str]) -> None:
    """Who reads along is told and keeps what had come; who comes again gets nothing."""
    complaints += [refused(401, "Unauthorized"), refused(404, "Not Found")]
    told = here.told()
    stream = start(here, told)
    guest.goto(here.url + share(here, stream))
    told.say("One ")
    expect(answer(guest)).to_have_text("One")
    httpx.delete(f"{here.url}/v1/streams/{stream}/share", headers=OWNER).raise_for_status()
    expect(said(guest)).to_have_text("This link is no longer valid. This is what had arrived.")
    expect(answer(guest)).to_have_text("One")
    expect(guest.locator("#announcer")).to_contain_text("This link is no longer valid.")
    assert httpx.get(f"{here.url}/v1/streams/{stream}", headers=OWNER).json()["status"] == "running"
    guest.reload()
    expect(guest.get_by_role("heading", name="This link is not valid, or no longer")).to_be_visible()
    expect(answer(guest)).to_have_count(0)


def test_a_link_that_runs_out_is_said_to_have(guest: Page, here: Site, complaints: list[str]) -> None:
    """An open connection does not outlive it."""
    complaints.append(refused(401, "Unauthorized"))
    told = here.told()
    guest.goto(here.url + share(here, start(here, told), ttl_seconds=2))
    told.say("One ")
    expect(said(guest)).to_contain_text("This link is no longer valid.")


def test_an_invented_link_shows_nothing(guest: Page, here: Site, complaints: list[str]) -> None:
    """404, in words for people; nobody stores or indexes it."""
    complaints.append(refused(404, "Not Found"))
    response = guest.goto(here.url + "/s/share_" + "0" * 64)
    assert response is not None
    assert response.status == 404
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-robots-tag"] == "noindex"
    expect(guest.get_by_role("heading", name="This link is not valid, or no longer")).to_be_visible()
    expect(guest.locator("#shared")).to_be_hidden()


def test_an_end_is_said_in_words(guest: Page, here: Site) -> None:
    """That the owner stopped it, or that the model failed: a guest is offered nothing to do about it."""
    told = here.told()
    stream = start(here, told)
    guest.goto(here.url + share(here, stream))
    told.say("One ")
    expect(answer(guest)).to_have_text("One")
    httpx.post(f"{here.url}/v1/streams/{stream}/cancel", headers=OWNER).raise_for_status()
    expect(said(guest)).to_have_text("Stopped")
    other = here.told()
    guest.goto(here.url + share(here, start(here, other)))
    other.say("One ", ("fail",))
    expect(said(guest)).to_have_text("The answer was cut off: the model failed.")
    expect(guest.get_by_role("button", name="Retry")).to_be_hidden()


def test_who_comes_late_begins_at_the_top(guest: Page, here: Site) -> None:
    """The page neither runs to the end of a long answer, nor has a screen reader say all of it."""
    told = here.told()
    stream = start(here, told)
    told.end("\n\n".join(WORDS.split()))
    guest.clock.install()
    guest.goto(here.url + share(here, stream))
    expect(status(guest)).to_contain_text("100 tokens")
    assert guest.evaluate("scrollY") == 0
    assert guest.locator("#announcer p").count() == 0
    expect(guest.get_by_role("button", name="Latest")).to_be_visible()


def test_its_addresses_are_relative(guest: Page, here: Site) -> None:
    """It works wherever the application is mounted, and leads to that place's chat."""
    guest.route(re.compile("/llm/"), lambda route: route.continue_(url=route.request.url.replace("/llm/", "/")))
    guest.goto(f"{here.url}/llm{share(here, start(here))}")
    expect(status(guest)).to_have_text(WHOLE)
    assert guest.evaluate("document.querySelector('.brand').href") == f"{here.url}/llm/"


def test_all_of_the_guests_read_the_same(guest: Page, browser: Browser, here: Site) -> None:
    """Who is signed in to the server, and who is not, see one page."""
    told = here.told()
    path = share(here, start(here, told))
    guest.context.add_cookies([{"name": "tidegate_token", "value": "foo", "url": here.url}])
    with reader(browser, []) as other:
        for page in (guest, other):
            page.goto(here.url + path)
        told.end(WORDS)
        for page in (guest, other):
            expect(answer(page)).to_have_text(WORDS)


def test_an_answer_has_one_link_until_it_is_taken_back(guest: Page, here: Site, complaints: list[str]) -> None:
    """Asked for again, also after a refresh, it is the same; its owner reads whom it leads anywhere."""
    complaints += [refused(401, "Unauthorized"), refused(404, "Not Found")]
    guest.context.add_cookies([{"name": "tidegate_token", "value": "foo", "url": here.url}])
    guest.goto(here.url)
    ask(guest, model="fast")
    expect_end(guest)
    links: list[str] = []
    for _ in range(2):
        guest.get_by_role("button", name="Share").click()
        expect(guest.locator("#link-text")).to_contain_text(
            "It has been copied. Only this machine can open this address"
        )
        links.append(guest.locator("#link").inner_text())
        guest.reload()
    guest.get_by_role("button", name="Share").click()
    guest.get_by_role("button", name="Stop sharing").click()
    expect(guest.locator("#link-box")).to_be_hidden()
    guest.get_by_role("button", name="Share").click()
    # While it is hidden it has what it said of the link that was taken back.
    expect(guest.locator("#link-box")).to_be_visible()
    expect(guest.locator("#link-text")).to_contain_text("Whoever has this link can read this answer until")
    assert links[0] == links[1] != guest.locator("#link").inner_text()
