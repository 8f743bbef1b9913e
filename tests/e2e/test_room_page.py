"""A room in a real browser: several people, each with a browser of their own, and the model."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from browser_kit import refused, visitor
from cable import laid
from held_kit import HELD_MODEL, hold
from playwright.sync_api import Browser, Locator, Page, WebSocketRoute, expect
from restart_kit import Restartable

WORDS = " ".join(f"w{number}" for number in range(1, 101))
MODEL = f"""
[[models]]
name = "replay"
provider = "replay"
text = "{WORDS}"
tokens = 100
rate = 30
"""
IN_MEMORY = '[store]\nurl = "memory://"\n' + MODEL
SLOW = IN_MEMORY.replace("rate = 30", "rate = 5")
KEYS = """
[[auth.keys]]
name = "ada"
sha256 = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
scopes = ["generate", "read", "cancel", "publish", "subscribe"]

[[auth.keys]]
name = "ben"
sha256 = "fcde2b2edba56bf408601fb721fe9b5c338d10ee429ea04fae5511b68fbf8fb9"
scopes = ["subscribe", "publish"]
"""

UNREACHABLE = ("CONNECTION_RESET", "CONNECTION_REFUSED", "CONNECTION_CLOSED", "EMPTY_RESPONSE", "SOCKET_NOT_CONNECTED")

Enter = Callable[..., Page]


def out_of_reach(url: str) -> list[str]:
    """What the console says of a WebSocket that cannot be opened there."""
    socket = f"WebSocket connection to '{url.replace('http', 'ws')}/v1/ws' failed: "
    steps = ("Error in connection establishment", "Error during WebSocket handshake")
    return [socket, *(f"{socket}{step}: net::ERR_{reason}" for step in steps for reason in UNREACHABLE)]


@pytest.fixture
def enter(browser: Browser, complaints: list[str]) -> Iterator[Enter]:
    """`enter(url, name, key="")` is the page of somebody new, who has come into the room."""
    with ExitStack() as stack:

        def come(url: str, name: str, *, key: str = "") -> Page:
            page = stack.enter_context(visitor(browser, complaints))
            page.goto(url + "/room/lobby")
            page.get_by_label("Your name").fill(name)
            page.get_by_role("button", name="Continue").click()
            if key:
                page.get_by_label("API key", exact=True).fill(key)
                page.get_by_role("button", name="Continue").click()
            expect(page.locator("#presence")).to_contain_text("here")
            return page

        yield come


def say(page: Page, text: str) -> None:
    page.get_by_label("Your message").fill(text)
    page.get_by_label("Your message").press("Enter")


def said(page: Page) -> list[str]:
    """Every message on the page, in its order."""
    return page.locator("#log .words").all_text_contents()


def answer(page: Page) -> Locator:
    return page.locator(".answer").last


def status(page: Page) -> Locator:
    return page.locator(".status").last


def presence(page: Page) -> Locator:
    return page.locator("#presence")


def expect_said(page: Page, *texts: str) -> None:
    # Who was away for long tries again after 12 seconds at the most.
    expect(page.locator("#log .words")).to_have_text(list(texts), timeout=20_000)


def expect_whole(page: Page) -> None:
    """The answer is on the page, as the model has given it."""
    expect(status(page)).to_have_text("100 tokens", timeout=20_000)
    assert answer(page).text_content() == WORDS


def test_all_read_the_same_in_the_same_order(enter: Enter, server: Callable[[str], str]) -> None:
    """What three people say at the same time stands in one order, on every page, with who has said it."""
    url = server(IN_MEMORY)
    pages = [enter(url, name) for name in ("Ada", "Ben", "Cleo")]
    for round in range(5):
        for page in pages:
            say(page, f"{pages.index(page)} {round}")
    for page in pages:
        expect(page.locator("#log .words")).to_have_count(15)
    assert said(pages[0]) == said(pages[1]) == said(pages[2])
    assert [text for text in said(pages[0]) if text.startswith("1")] == [f"1 {round}" for round in range(5)]
    names = set(pages[2].locator("#log .byline strong").all_text_contents())
    assert names == {"Ada", "Ben", "You"}


def test_an_answer_is_seen_by_all_as_it_grows(enter: Enter, server: Callable[[str], str], tmp_path: Path) -> None:
    """Whoever asks, it is one stream, which everybody reads to its end."""
    go_on = hold(tmp_path, WORDS)
    url = server(IN_MEMORY + HELD_MODEL)
    pages = [enter(url, name) for name in ("Ada", "Ben", "Cleo")]
    say(pages[1], "@held, go on")
    for page in pages:
        expect(answer(page)).to_have_text(re.compile("w10 $"))
    go_on()
    for page in pages:
        expect_whole(page)
        expect_said(page, "@held, go on")
    expect(pages[0].locator(".answered .byline")).to_contain_text("held asked by Ben", use_inner_text=True)
    assert len(httpx.get(f"{url}/v1/streams").json()["data"]) == 1


def test_the_model_is_told_the_conversation(enter: Enter, server: Callable[[str], str], tmp_path: Path) -> None:
    """Who has said what, its own answers among it; the button asks as well as the name does."""
    (tmp_path / "echo.py").write_text(
        "async def answer(request):\n    yield ' / '.join(f'{m.role}: {m.content}' for m in request.messages)\n"
    )
    store = '[store]\nurl = "memory://"\n'
    url = server(store + '[[models]]\nname = "echo"\nprovider = "python"\ntarget = "echo:answer"\n')
    ada, ben = enter(url, "Ada"), enter(url, "Ben")
    say(ada, "one")
    expect_said(ben, "one")
    ben.get_by_label("Your message").fill("two")
    ben.get_by_role("button", name="Ask").click()
    first = "user: Ada: one\nBen: two"
    expect(answer(ada)).to_have_text(re.compile("two$"))
    assert answer(ada).text_content() == first
    say(ada, "@echo three")
    expect(ben.locator(".answer")).to_have_count(2)
    expect(answer(ben)).to_have_text(re.compile("three$"))
    assert answer(ben).text_content() == f"{first} / assistant: {first} / user: Ada: @echo three"


def test_who_was_cut_off_misses_nothing(
    enter: Enter, server: Callable[[str], str], complaints: list[str], tmp_path: Path
) -> None:
    """What was said meanwhile comes once, and in its place; what was typed meanwhile goes out once."""
    go_on = hold(tmp_path, WORDS)
    url = server(IN_MEMORY + HELD_MODEL)
    with laid(url) as wire:
        complaints += out_of_reach(wire.url)
        ada, ben = enter(url, "Ada"), enter(wire.url, "Ben")
        say(ada, "before")
        say(ada, "@held go on")
        expect(answer(ben)).to_have_text(re.compile("w10 $"))
        wire.cut()
        expect(status(ben)).to_have_text("Reconnecting")
        expect(presence(ada)).to_contain_text("1 here", timeout=20_000)
        say(ada, "meanwhile")
        say(ben, "from afar")
        expect(ben.locator("#outbox .status")).to_have_text("Sending")
        expect_said(ada, "before", "@held go on", "meanwhile")
        go_on()
        wire.mend()
        for page in (ada, ben):
            expect_said(page, "before", "@held go on", "meanwhile", "from afar")
            expect_whole(page)
        expect(ben.locator("#outbox li")).to_have_count(0)
        expect(presence(ben)).to_have_text("2 here: Ada, Ben")


def test_a_message_whose_answer_was_lost_is_there_once(enter: Enter, server: Callable[[str], str]) -> None:
    """A call that a break left without an answer is made again, and counted once."""
    ada = enter(server(IN_MEMORY), "Ada")
    calls: list[object] = []

    def lose_the_first_answer(near: WebSocketRoute) -> None:
        far = near.connect_to_server()

        def sent(message: str | bytes) -> None:
            call = json.loads(message)
            if call.get("data", {}).get("kind") == "text":
                calls.append(call["id"])
            far.send(message)

        def answered(message: str | bytes) -> None:
            if calls == [json.loads(message).get("id")]:
                near.close(code=3000)
            else:
                near.send(message)

        near.on_message(sent)
        far.on_message(answered)

    ada.route_web_socket(re.compile("/v1/ws"), lose_the_first_answer)
    ada.reload()
    expect(presence(ada)).to_have_text("1 here: Ada")
    say(ada, "once")
    say(ada, "then")
    expect_said(ada, "once", "then")
    expect(ada.locator("#outbox li")).to_have_count(0)
    assert calls[:1] * 2 == [call for call in calls if call == calls[0]]


def test_who_comes_late_reads_it_all(enter: Enter, server: Callable[[str], str]) -> None:
    """The history, the answers that have ended, and the one that is running, though whoever asked has left."""
    url = server(IN_MEMORY)
    ada = enter(url, "Ada")
    say(ada, "@replay first")
    expect_whole(ada)
    say(ada, "@replay second")
    expect(ada.locator(".answer")).to_have_count(2)
    expect(answer(ada)).to_contain_text("w5 ")
    ada.goto("about:blank")
    ben = enter(url, "Ben")
    expect_said(ben, "@replay first", "@replay second")
    assert ben.locator(".answer").first.text_content() == WORDS
    expect(answer(ben)).to_contain_text("w10 ")
    expect_whole(ben)


def test_an_answer_outlives_its_stream(enter: Enter, server: Callable[[str], str]) -> None:
    """Once it has ended it is part of the conversation, for as long as that is kept."""
    url = server(IN_MEMORY.replace("rate = 30", "rate = 0"))
    ada = enter(url, "Ada")
    say(ada, "@replay go on")
    expect_whole(ada)
    cleo = enter(url, "Cleo")
    expect_whole(cleo)
    (stream,) = httpx.get(f"{url}/v1/streams").json()["data"]
    httpx.delete(f"{url}/v1/streams/{stream['id']}").raise_for_status()
    expect_whole(enter(url, "Ben"))


def test_a_refresh_in_mid_answer_keeps_the_room(enter: Enter, server: Callable[[str], str]) -> None:
    """Name, conversation and answer are there again, and who asked can still stop it."""
    ada = enter(server(SLOW), "Ada")
    say(ada, "@replay go on")
    expect(answer(ada)).to_contain_text("w5")
    ada.reload()
    expect_said(ada, "@replay go on")
    expect(answer(ada)).to_contain_text("w5")
    expect(presence(ada)).to_have_text("1 here: Ada")
    ada.get_by_role("button", name="Stop").click()
    expect(status(ada)).to_contain_text("Stopped")


def test_only_who_asked_may_stop(enter: Enter, server: Callable[[str], str]) -> None:
    """It ends for all, with what had come."""
    url = server(SLOW)
    ada, ben = enter(url, "Ada"), enter(url, "Ben")
    say(ada, "@replay go on")
    expect(answer(ben)).to_contain_text("w5")
    expect(ben.get_by_role("button", name="Stop")).to_have_count(0)
    ada.get_by_role("button", name="Stop").click()
    for page in (ada, ben):
        expect(status(page)).to_contain_text("Stopped")
    assert answer(ada).text_content() == answer(ben).text_content()
    expect(ada.get_by_role("button", name="Stop")).to_have_count(0)


def test_who_is_here_follows_who_comes_and_leaves(enter: Enter, server: Callable[[str], str]) -> None:
    """The server counts, and the names are those they gave themselves; a new name is everybody's to see."""
    url = server(IN_MEMORY)
    ada = enter(url, "Ada")
    expect(presence(ada)).to_have_text("1 here: Ada")
    ben = enter(url, "Ben")
    for page in (ada, ben):
        expect(presence(page)).to_have_text("2 here: Ada, Ben")
    ben.get_by_role("button", name="Your name: Ben").click()
    ben.get_by_label("Your name", exact=True).fill("Benedict")
    ben.get_by_role("button", name="Continue").click()
    expect(presence(ada)).to_have_text("2 here: Ada, Benedict")
    ben.goto("about:blank")
    expect(presence(ada)).to_have_text("1 here: Ada")


def test_the_room_outlives_the_server(enter: Enter, complaints: list[str], tmp_path: Path) -> None:
    """After a crash everybody comes back by themselves; the answer says that it was interrupted."""
    hold(tmp_path, WORDS)
    with Restartable(tmp_path, '[store]\nurl = "sqlite:///room.db"\n' + MODEL + HELD_MODEL) as server:
        complaints += out_of_reach(server.url)
        ada, ben = enter(server.url, "Ada"), enter(server.url, "Ben")
        say(ada, "before")
        say(ada, "@held go on")
        expect(answer(ben)).to_have_text(re.compile("w10 $"))
        server.restart()
        for page in (ada, ben):
            expect(status(page)).to_contain_text("Failed", timeout=20_000)
            expect(presence(page)).to_have_text("2 here: Ada, Ben", timeout=20_000)
        assert answer(ada).text_content() == answer(ben).text_content()
        say(ben, "@replay again")
        for page in (ada, ben):
            expect(page.locator(".answer")).to_have_count(2)
            expect_whole(page)
            expect_said(page, "before", "@held go on", "@replay again")


def test_people_with_keys_read_each_others_answers(
    enter: Enter, server: Callable[[str], str], complaints: list[str]
) -> None:
    """A stream is its owner's: who asked shares it with the room, and nothing else of theirs."""
    complaints += [refused(401, "Unauthorized"), refused(403, "Forbidden")]
    url = server(IN_MEMORY + KEYS)
    ada, ben = enter(url, "Ada", key="foo"), enter(url, "Ben", key="bar")
    expect(presence(ada)).to_have_text("2 here: Ada, Ben")
    say(ben, "hello")
    expect_said(ada, "hello")
    expect(ben.get_by_role("button", name="Ask")).to_have_count(0)
    say(ada, "@replay go on")
    expect(answer(ben)).to_contain_text("w5 ")
    for page in (ada, ben):
        expect_whole(page)
    assert ada.locator(".said .byline").first.get_attribute("title") == "key:ben"
    ben.get_by_role("button", name="Sign out").click()
    expect(ben.get_by_role("dialog")).to_be_visible()
    expect(ben.locator("#log li")).to_have_count(0)
    expect(presence(ada)).to_have_text("1 here: Ada", timeout=20_000)


def test_a_refusal_that_comes_after_the_key_asks_for_no_other(
    enter: Enter, server: Callable[[str], str], complaints: list[str]
) -> None:
    """A socket that was opened before the key was given is opened again with it, and nobody is asked twice."""
    complaints += [refused(401, "Unauthorized")]
    ada = enter(server(IN_MEMORY + KEYS), "Ada", key="foo")
    sockets: list[WebSocketRoute] = []

    def hold_the_first(near: WebSocketRoute) -> None:
        if sockets:
            near.connect_to_server()
        sockets.append(near)

    ada.route_web_socket(re.compile("/v1/ws"), hold_the_first)
    ada.context.clear_cookies()
    ada.reload()
    ada.get_by_label("API key", exact=True).fill("foo")
    ada.get_by_role("button", name="Continue").click()
    expect(ada.get_by_role("dialog")).to_be_hidden()
    sockets[0].close(code=4401, reason="no credentials")
    expect(presence(ada)).to_have_text("1 here: Ada")
    expect(ada.get_by_role("dialog")).to_be_hidden()
    expect(ada.get_by_role("button", name="Sign out")).to_be_visible()


def published(url: str, **headers: str) -> list[dict[str, Any]]:
    """What the topic holds, by whoever may read it."""
    found: list[dict[str, Any]] = []
    events = f"{url}/v1/topics/lobby/events?after=earliest"
    with suppress(httpx.ReadTimeout), httpx.stream("GET", events, headers=headers, timeout=0.3) as answer:
        for line in answer.iter_lines():
            data = json.loads(line[6:]) if line.startswith("data: ") else {}
            if isinstance(data.get("data"), dict):
                found.append(data["data"])
    return found


def publish(url: str, data: dict[str, Any], **headers: str) -> None:
    httpx.post(f"{url}/v1/topics/lobby/messages", json={"data": data}, headers=headers).raise_for_status()


def test_a_message_lends_nobody_the_credentials_of_a_page(
    enter: Enter, server: Callable[[str], str], complaints: list[str]
) -> None:
    """A stream that a message names is not read as the page's user, nor told to the room, whatever it copies."""
    complaints += [refused(401, "Unauthorized")]
    url = server(IN_MEMORY.replace("rate = 30", "rate = 0") + KEYS)
    as_ada, as_ben = ({"authorization": f"Bearer {key}"} for key in ("foo", "bar"))
    private = httpx.post(
        f"{url}/v1/streams", json={"model": "replay", "prompt": "x"}, headers=as_ada, timeout=20
    ).json()
    ada = enter(url, "Ada", key="foo")
    member = published(url, **as_ben)[0]["member"]
    for token in ("", "foo", " ", f"share_{'0' * 64}"):
        forged = {"kind": "answer", "stream": private["id"], "model": "replay", "token": token}
        publish(url, {**forged, "member": member, "name": "Ada"}, **as_ben)
    expect(ada.locator(".answered .status")).to_contain_text(["not shared"] * 3 + ["no longer knows"])
    publish(url, {"kind": "answered", "stream": private["id"], "turn": {"status": "live"}}, **as_ben)
    say(ada, "after all")
    expect_said(ada, "after all")
    assert ada.get_by_role("button", name="Stop").count() == 0
    assert ada.locator(".answer", has_text="w1").count() == 0
    assert not [each for each in published(url, **as_ben) if each["kind"] == "answered" and "member" in each]


def test_who_copies_a_member_is_not_that_member(
    enter: Enter, server: Callable[[str], str], complaints: list[str]
) -> None:
    """Another one's words stand under a line of their own, and another one's goodbye sends nobody away."""
    complaints += [refused(401, "Unauthorized"), refused(403, "Forbidden")]
    url = server(IN_MEMORY + KEYS)
    as_ben = {"authorization": "Bearer bar"}
    ada, ben = enter(url, "Ada", key="foo"), enter(url, "Ben", key="bar")
    say(ada, "mine")
    expect_said(ben, "mine")
    (own,) = [each for each in published(url, **as_ben) if each["kind"] == "text"]
    publish(url, {**own, "text": "forged"}, **as_ben)
    publish(url, {"kind": "bye", "member": own["member"], "name": "Ada"}, **as_ben)
    for page in (ada, ben):
        expect_said(page, "mine", "forged")
        assert page.locator("#log .byline").evaluate_all("lines => lines.map((line) => line.title)") == [
            "key:ada",
            "key:ben",
        ]
        assert page.locator("#log .own").count() == (1 if page is ada else 0)
    say(ben, "still here")
    expect_said(ada, "mine", "forged", "still here")
    expect(presence(ben)).to_have_text("2 here: Ada, Ben")


def test_where_all_are_anonymous_only_the_tab_knows_what_is_its_own(enter: Enter, server: Callable[[str], str]) -> None:
    """There a message can copy everything: nothing is asked, told or stopped on its word, also after a refresh."""
    url = server(IN_MEMORY.replace("rate = 30", "rate = 0"))
    ada = enter(url, "Ada")
    say(ada, "@replay go on")
    expect_whole(ada)
    (own,) = [each for each in published(url) if each["kind"] == "text"]
    other = httpx.post(f"{url}/v1/streams", json={"model": "replay", "prompt": "x"}).json()["id"]
    forged = {"kind": "answer", "stream": other, "model": "replay", "token": "", "member": own["member"], "name": "Ada"}
    publish(url, {**own, "text": "@replay forged"})
    publish(url, forged)
    expect(ada.locator(".status")).to_have_count(2)
    for _ in range(2):
        expect(ada.locator("#log .own")).to_have_text([re.compile("go on$")])
        expect(ada.locator(".answered .byline").last).to_contain_text("asked by Ada")
        ada.reload()
    assert [each["stream"] for each in published(url) if each["kind"] == "answered"] != [other]
    assert len(httpx.get(f"{url}/v1/streams").json()["data"]) == 2


def test_words_bring_no_markup_of_their_own(enter: Enter, server: Callable[[str], str]) -> None:
    """Whatever is published to the topic, by whatever program, is text, or nothing."""
    url = server(IN_MEMORY)
    ada = enter(url, '<i>"Ada"</i>')
    say(ada, "<img src=x onerror=alert(1)>\n**two** lines")
    for data in (None, 7, [], {"kind": "text"}, {"kind": "text", "text": {"a": 1}, "name": 5}, {"kind": "odd"}):
        httpx.post(f"{url}/v1/topics/lobby/messages", json={"data": data}).raise_for_status()
    ben = enter(url, "Ben")
    expect_said(ben, "<img src=x onerror=alert(1)>\n**two** lines", "", "")
    expect(ben.locator("#log .byline strong").first).to_have_text('<i>"Ada"</i>')
    assert ben.locator("#log img, #log i").count() == 0


def test_a_screen_reader_hears_the_others(enter: Enter, server: Callable[[str], str]) -> None:
    """Each message with its author, but not one's own, and not what was said before one came."""
    url = server(IN_MEMORY)
    ada = enter(url, "Ada")
    say(ada, "early")
    expect_said(ada, "early")
    ben = enter(url, "Ben")
    say(ada, "late")
    expect(ben.locator("#announcer")).to_contain_text("Ada: late")
    expect(ben.locator("#announcer")).not_to_contain_text("early")
    expect(ada.locator("#announcer")).not_to_contain_text("late")


def test_a_room_fits_a_phone(enter: Enter, server: Callable[[str], str]) -> None:
    """Nothing hangs over at 375 pixels, not even a long word or a long name."""
    ada = enter(server(IN_MEMORY.replace(WORDS, "y" * 200)), "N" * 40)
    ada.set_viewport_size({"width": 375, "height": 700})
    say(ada, "@replay " + "z" * 200)
    expect(status(ada)).to_have_text("100 tokens", timeout=20_000)
    assert ada.evaluate("document.documentElement.scrollWidth") == 375


def test_a_room_needs_no_place_of_its_own(server: Callable[[str], str], browser: Browser) -> None:
    """Its addresses are those of the application that is mounted somewhere, and so is its socket's."""
    url = server(IN_MEMORY)
    opened: list[str] = []
    with visitor(browser, ()) as page:
        page.route(re.compile("/llm/"), lambda route: route.continue_(url=route.request.url.replace("/llm/", "/")))
        page.route_web_socket(re.compile("."), lambda near: opened.append(near.url))
        page.goto(url + "/llm/room/lobby")
        page.get_by_label("Your name").fill("Ada")
        page.get_by_role("button", name="Continue").click()
        expect(page.get_by_role("button", name="Ask")).to_be_visible()
        assert page.evaluate("document.querySelector('.brand').href") == f"{url}/llm/"
    assert opened == [f"{url.replace('http', 'ws')}/llm/v1/ws"]


def test_a_room_has_a_topics_name(server: Callable[[str], str]) -> None:
    """What cannot be a topic cannot be a room."""
    url = server(IN_MEMORY)
    assert httpx.get(f"{url}/room/a:b.c-d_e").status_code == 200
    answer = httpx.get(f"{url}/room/not%20one")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_value")
