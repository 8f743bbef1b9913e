"""A room in a real browser: several people, each with a browser of their own, and the model."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cable import laid
from lobby_kit import Room, expect_said, expect_whole, opened, out_of_reach, presence, said, say
from page_kit import MODELS, MODULE, WORDS, Site, Told, answer, reader, site, status
from page_kit import said as standing
from playwright.sync_api import Browser, Route, expect
from restart_kit import Restartable

ECHO = """
[[models]]
name = "echo"
provider = "python"
target = "echo:answer"
"""
ECHO_MODULE = "async def answer(request):\n    yield ' / '.join(f'{m.role}: {m.content}' for m in request.messages)\n"


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    (folder / "echo.py").write_text(ECHO_MODULE)
    with site(folder, ECHO) as found:
        yield found


@pytest.fixture
def room(here: Site, browser: Browser, complaints: list[str]) -> Iterator[Room]:
    with opened(here.url, browser, complaints) as room:
        yield room


def test_all_read_the_same_in_the_same_order(room: Room) -> None:
    """What three people say at the same time stands in one order, on every page, with who has said it."""
    pages = [room.enter(name) for name in ("Ada", "Ben", "Cleo")]
    for round in range(5):
        for page in pages:
            say(page, f"{pages.index(page)} {round}")
    for page in pages:
        expect(page.locator("#log .speech")).to_have_count(15)
    assert said(pages[0]) == said(pages[1]) == said(pages[2])
    assert [text for text in said(pages[0]) if text.startswith("1")] == [f"1 {round}" for round in range(5)]
    names = set(pages[2].locator("#log .byline strong").all_text_contents())
    assert names == {"Ada", "Ben", "You"}


def test_an_answer_is_seen_by_all_as_it_grows(room: Room, here: Site) -> None:
    """Whoever asks, it is one stream, which everybody reads to its end; who asked may stop it, and nobody else."""
    told = here.told()
    ada, ben = room.enter("Ada"), room.enter("Ben")
    before = len(httpx.get(f"{here.url}/v1/streams").json()["data"])
    say(ben, f"@told, {told.question}")
    told.say("One ")
    for page in (ada, ben):
        expect_said(page, f"@told {told.question}")
        expect(answer(page)).to_have_text("One")
    expect(ada.locator(".answered .byline")).to_contain_text("told asked by Ben", use_inner_text=True)
    expect(ada.get_by_role("button", name="Stop")).to_have_count(0)
    ben.get_by_role("button", name="Stop").click()
    for page in (ada, ben):
        expect(standing(page)).to_have_text("Stopped")
        expect(answer(page)).to_have_text("One")
    expect(ben.get_by_role("button", name="Stop")).to_have_count(0)
    assert len(httpx.get(f"{here.url}/v1/streams").json()["data"]) == before + 1


def test_the_model_hears_what_it_is_asked(room: Room) -> None:
    """By the button, by its name or by the keyboard: the questions and its answers, without names and greetings."""
    ada, ben = room.enter("Ada"), room.enter("Ben")
    say(ada, "hello Ben")
    expect_said(ben, "hello Ben")
    ben.get_by_label("Model").select_option("echo")
    ben.get_by_label("Your message").fill("one?")
    ben.get_by_role("button", name="Ask").click()
    expect(answer(ada)).to_have_text("user: one?")
    expect(standing(ada)).to_be_hidden()
    say(ada, "what a question")
    say(ada, "@echo: two?")
    expect(ben.locator(".answer")).to_have_count(2)
    expect(answer(ben)).to_have_text("user: one? / assistant: user: one? / user: two?")
    expect_said(ben, "hello Ben", "@echo one?", "what a question", "@echo two?")
    ben.get_by_label("Your message").fill("three?")
    ben.get_by_label("Your message").press("Control+Enter")
    expect(answer(ada)).to_have_text(re.compile("user: three[?]$"))
    expect(ada.locator("body")).not_to_contain_text("assistant: hello")


@pytest.mark.parametrize(
    ("typed", "shown", "heard"),
    [
        ("@model and rivers?", "@echo and rivers?", "and rivers?"),
        ("@model，河流呢？", "@echo 河流呢？", "河流呢？"),
        ("Ben, would @echo know?", "Ben, would @echo know?", "Ben, would @echo know?"),
        ("And what says (@model)?", "And what says (@echo)?", "And what says (@echo)?"),
    ],
)
def test_a_model_is_asked_wherever_it_is_named(room: Room, typed: str, shown: str, heard: str) -> None:
    """By its own name, or as `@model`, which is the chosen one; an address that looks like it is none."""
    ada = room.enter("Ada")
    ada.get_by_label("Model").select_option("echo")
    say(ada, "write to ben@echo or @model.example, @models")
    say(ada, typed)
    expect(answer(ada)).to_have_text(f"user: {heard}")
    expect_said(ada, "write to ben@echo or @model.example, @models", shown)


def test_who_was_cut_off_misses_nothing(room: Room, here: Site, complaints: list[str]) -> None:
    """What was said meanwhile comes once, and in its place; what was typed meanwhile goes out once."""
    told = here.told()
    with laid(here.url) as wire:
        complaints.append(out_of_reach(wire.url))
        ada, ben = room.enter("Ada"), room.enter("Ben", url=wire.url)
        say(ada, "before")
        say(ada, f"@told {told.question}")
        told.say("One ")
        expect(answer(ben)).to_have_text("One")
        wire.cut()
        expect(ben.locator("#notice")).to_contain_text(re.compile(r"The connection is gone. Trying again in \d s"))
        expect(presence(ben)).to_have_text("Reconnecting")
        expect(presence(ada)).to_contain_text("1 here", timeout=20_000)
        say(ada, "meanwhile")
        say(ben, "from afar")
        expect(ben.locator("#outbox .status")).to_have_text("Sending")
        expect_said(ada, "before", f"@told {told.question}", "meanwhile")
        told.end("two")
        ben.locator("#notice").get_by_role("button", name="Try now").click()
        wire.mend()
        for page in (ada, ben):
            expect_said(page, "before", f"@told {told.question}", "meanwhile", "from afar")
            expect_whole(page, "One two")
        expect(ben.locator("#notice")).to_be_hidden()
        expect(ben.locator("#outbox li")).to_have_count(0)
        expect(presence(ben)).to_have_text("2 here: Ada, Ben")


def test_a_message_whose_answer_was_lost_is_there_once(room: Room) -> None:
    """A call that a break left without an answer is made again, counted once, and keeps its place."""
    ada = room.enter("Ada")
    keys: list[str] = []

    def lose_the_first_answer(route: Route) -> None:
        keys.append(route.request.headers["idempotency-key"])
        answer = route.fetch()
        if len(keys) == 1:
            route.abort("connectionreset")
        else:
            route.fulfill(response=answer)

    ada.route("**/messages", lose_the_first_answer)
    say(ada, "once")
    say(ada, "then")
    expect_said(ada, "once", "then")
    expect(ada.locator("#outbox li")).to_have_count(0)
    assert keys[0] == keys[1] != keys[2]


def test_a_message_that_gets_no_answer_holds_up_none_for_ever(room: Room) -> None:
    """A call into silence is given up and made again; what was said after it follows in its order."""
    ada = room.enter("Ada", ready=lambda page: page.clock.install())
    held: list[Route] = []
    ada.route("**/messages", lambda route: held.append(route), times=1)
    for text in ("one", "two", "three"):
        say(ada, text)
    expect(ada.locator("#outbox .status")).to_have_text(["Sending"] * 3)
    ada.clock.run_for(12_000)
    expect_said(ada, "one", "two", "three")
    expect(ada.locator("#outbox li")).to_have_count(0)
    assert len(held) == 1


def test_who_comes_late_reads_it_all(room: Room, here: Site) -> None:
    """The history, the answers that have ended, and the one that is running, though whoever asked has left."""
    told = here.told()
    ada = room.enter("Ada")
    say(ada, "@fast first")
    expect_whole(ada)
    say(ada, f"@told {told.question}")
    told.say("One ")
    expect(answer(ada)).to_have_text("One")
    ada.goto("about:blank")
    ben = room.enter("Ben")
    expect_said(ben, "@fast first", f"@told {told.question}")
    assert ben.locator(".answer").first.text_content() == WORDS
    expect(answer(ben)).to_have_text("One")
    told.end("two")
    expect_whole(ben, "One two")


def test_an_answer_outlives_its_stream(room: Room, here: Site) -> None:
    """Once it has ended it is part of the conversation, for as long as that is kept."""
    ada = room.enter("Ada")
    say(ada, "@fast go on")
    expect_whole(ada)
    stream = httpx.get(f"{here.url}/v1/streams").json()["data"][0]["id"]
    expect_whole(room.enter("Cleo"))
    httpx.delete(f"{here.url}/v1/streams/{stream}").raise_for_status()
    expect_whole(room.enter("Ben"))


def test_a_refresh_in_mid_answer_keeps_the_room(room: Room, here: Site) -> None:
    """Name, conversation, answer and what was being typed are there again, and who asked can still stop it."""
    told = here.told()
    ada = room.enter("Ada")
    say(ada, f"@told {told.question}")
    told.say("One ")
    expect(answer(ada)).to_have_text("One")
    ada.get_by_label("Your message").fill("half a thought")
    ada.reload()
    expect_said(ada, f"@told {told.question}")
    expect(answer(ada)).to_have_text("One")
    expect(ada.get_by_label("Your message")).to_have_value("half a thought")
    expect(presence(ada)).to_have_text("1 here: Ada")
    ada.get_by_role("button", name="Stop").press("Enter")
    expect(standing(ada)).to_have_text("Stopped")
    expect(ada.get_by_label("Your message")).to_be_focused()


def test_who_does_not_want_a_name_yet_is_asked_once(here: Site, browser: Browser, complaints: list[str]) -> None:
    """Also after a refresh; the way to choose one stays."""
    with reader(browser, complaints) as page:
        page.goto(f"{here.url}/room/unnamed")
        page.get_by_role("button", name="Not now").click()
        page.reload()
        expect(page.locator("#notice")).to_contain_text("Choose a name to come in.")
        expect(page.get_by_role("dialog")).to_be_hidden()
        page.get_by_role("button", name="Choose it").click()
        page.get_by_label("Your name").fill("Ada")
        page.get_by_role("button", name="Continue").click()
        expect(page.locator("#presence")).to_have_text("1 here: Ada")
        expect(page.locator("#notice")).to_be_hidden()


def test_a_refresh_comes_back_to_the_newest_message(room: Room, here: Site) -> None:
    """Also where an answer before it is longer than it seemed while it was out of sight."""
    told = here.told()
    ada = room.enter("Ada", viewport={"width": 800, "height": 700})
    say(ada, f"@told {told.question}")
    told.end("\n\n".join([WORDS * 5] * 3))
    expect(standing(ada)).to_have_text("")
    say(ada, "after it")
    expect_said(ada, f"@told {told.question}", "after it")
    ada.reload()
    expect_said(ada, f"@told {told.question}", "after it")
    # Out of sight the answer would be taken for shorter than the window is high.
    ada.wait_for_function(
        "() => scrollY > innerHeight && scrollY + innerHeight >= document.documentElement.scrollHeight - 1"
    )


def test_who_is_here_follows_who_comes_and_leaves(room: Room) -> None:
    """The server counts, and the names are those they gave themselves; a new name is everybody's to see."""
    ada = room.enter("Ada")
    expect(presence(ada)).to_have_text("1 here: Ada")
    ben = room.enter("Ben")
    for page in (ada, ben):
        expect(presence(page)).to_have_text("2 here: Ada, Ben")
    ben.get_by_role("button", name="Your name: Ben").click()
    ben.get_by_label("Your name", exact=True).fill("Benedict")
    ben.get_by_role("button", name="Continue").click()
    expect(presence(ada)).to_have_text("2 here: Ada, Benedict")
    ben.goto("about:blank")
    expect(presence(ada)).to_have_text("1 here: Ada")


def test_the_room_outlives_the_server(browser: Browser, complaints: list[str], tmp_path: Path) -> None:
    """After a crash everybody comes back by themselves; the answer says in words that it was cut off."""
    (tmp_path / "told").mkdir()
    (tmp_path / "told.py").write_text(MODULE)
    told = Told(tmp_path, "once")
    on_disk = '[store]\nurl = "sqlite:///room.db"\n' + MODELS
    with Restartable(tmp_path, on_disk) as server, opened(server.url, browser, complaints) as room:
        complaints.append(out_of_reach(server.url))
        ada, ben = room.enter("Ada"), room.enter("Ben")
        say(ada, "before")
        say(ada, f"@told {told.question}")
        told.say("One ")
        expect(answer(ben)).to_have_text("One")
        server.restart()
        for page in (ada, ben):
            expect(standing(page)).to_have_text(
                "The answer was cut off: the server stopped in the middle of it.", timeout=20_000
            )
            expect(answer(page)).to_have_text("One")
            expect(presence(page)).to_have_text("2 here: Ada, Ben", timeout=20_000)
        say(ben, "@fast again")
        for page in (ada, ben):
            expect(page.locator(".answer")).to_have_count(2)
            expect_whole(page)
            expect_said(page, "before", f"@told {told.question}", "@fast again")


def test_where_all_are_anonymous_only_the_tab_knows_what_is_its_own(room: Room, here: Site) -> None:
    """There a message can copy everything: nothing is asked, told or stopped on its word, also after a refresh."""
    ada = room.enter("Ada")
    say(ada, "@fast go on")
    expect_whole(ada)
    (own,) = [each for each in room.published() if each["kind"] == "text"]
    other = httpx.post(f"{here.url}/v1/streams", json={"model": "fast", "prompt": "x"}).json()["id"]
    before = len(httpx.get(f"{here.url}/v1/streams").json()["data"])
    forged = {"kind": "answer", "stream": other, "model": "fast", "token": "", "member": own["member"], "name": "Ada"}
    room.publish({**own, "text": "forged"})
    room.publish(forged)
    expect(ada.locator(".status")).to_have_count(2)
    for _ in range(2):
        expect(ada.locator("#log .own")).to_have_text([re.compile("go on$")])
        expect(ada.locator(".answered .byline").last).to_contain_text("asked by Ada")
        ada.reload()
    assert [each["stream"] for each in room.published() if each["kind"] == "answered"] != [other]
    assert len(httpx.get(f"{here.url}/v1/streams").json()["data"]) == before


def test_words_bring_no_markup_of_their_own(room: Room) -> None:
    """Whatever is published to the topic, by whatever program, is text, or nothing."""
    ada = room.enter('<i>"Ada"</i>')
    say(ada, "<img src=x onerror=alert(1)>\n**two** lines")
    odd = {"kind": "text", "text": {"a": 1}, "to": ["x"], "name": 5}
    for data in (None, 7, [], {"kind": "text", "to": "<b>x</b>"}, odd, {"kind": "odd"}):
        room.publish(data)
    ben = room.enter("Ben")
    expect_said(ben, "<img src=x onerror=alert(1)>\n**two** lines", "@<b>x</b>", "")
    expect(ben.locator("#log .byline strong")).to_have_text(['<i>"Ada"</i>', "Somebody", "Somebody"])
    assert ben.locator("#log img, #log i, #log b").count() == 0
    room.publish({"kind": "text", "name": "\u202eecilA", "text": "\u202ekrow", "to": "\u202ex"})
    expect(ben.locator("#log .speech").last).to_have_text("@\ufffdx \ufffdkrow")
    expect(ben.locator("#log .byline strong").last).to_have_text("\ufffdecilA")


def test_no_message_closes_a_room(room: Room) -> None:
    """An end of an answer may say anything: what is no error's code, reason or count is not taken for one."""
    answered = {"kind": "answer", "model": "m", "name": "Eve", "question": "1", "token": ""}
    ends: list[dict[str, object]] = [
        {"status": "failed", "error": "odd", "code": "constructor"},
        {"status": "failed", "error": "odd", "code": {"a": 1}},
        {"status": "completed", "text": "x", "reason": "constructor"},
        {"status": "completed", "text": "x", "usage": {"completion_tokens": {"a": 1}}},
        {"status": "completed", "text": "x", "usage": {"completion_tokens": -5}},
        {"status": "toString"},
    ]
    for number, turn in enumerate(ends):
        stream = f"gen_{number:032}"
        room.publish({**answered, "stream": stream})
        room.publish({"kind": "answered", "stream": stream, "turn": turn})
    room.publish({"kind": "text", "id": "2", "name": "Ben", "text": "anybody here?"})
    ada = room.enter("Ada")
    say(ada, "hello")
    expect_said(ada, "anybody here?", "hello")
    said = ada.locator(".answered .status")
    expect(said).to_contain_text(["Odd.", "Odd.", "m", "m", "m", "no longer knows"])
    for word in ("native code", "NaN", "object", "-5"):
        expect(ada.locator("#log")).not_to_contain_text(word)


def test_a_stream_is_followed_once_whatever_names_it(room: Room, here: Site) -> None:
    """However many messages name one stream, a page has one socket; each of them shows the answer in the end."""
    told = here.told()
    stream = here.post("v1/streams", {"model": "told", "prompt": told.question, "background": True})["id"]
    for _ in range(12):
        room.publish({"kind": "answer", "stream": stream, "model": "told", "name": "Eve"})
    sockets: list[str] = []
    ada = room.enter("Ada", ready=lambda page: page.on("websocket", lambda socket: sockets.append(socket.url)))
    told.say("One ")
    expect(answer(ada)).to_have_text("One")
    expect(standing(ada.locator(".answered").first)).to_have_text("Goes on once newer answers have ended")
    told.end("two")
    expect(ada.locator(".answer")).to_have_text(["One two"] * 12)
    assert len(sockets) == 1


def test_a_room_that_gets_no_socket_goes_without(room: Room) -> None:
    """Where something in between lets no WebSocket through, the room comes over plain HTTP, and so do the answers."""
    refusing = "WebSocket = class { constructor() { setTimeout(() => this.onclose({ code: 1006 })); } close() {} }"
    ada = room.enter("Ada", ready=lambda page: page.add_init_script(refusing))
    say(ada, "@fast go on")
    expect_whole(ada)
    ada.reload()
    expect_said(ada, "@fast go on")


def test_an_open_room_does_not_grow_for_ever(room: Room) -> None:
    """It keeps as many entries and names as its topic does messages."""
    ada = room.enter("Ada")
    known = ada.evaluate("""async () => {
        const { Talk } = await import('/web/talk.js');
        const talk = new Talk();
        for (let n = 0; n < 1200; n += 1) {
            talk.take({ kind: 'text', text: `${n}`, member: `${n}`, name: '', from: 'anonymous', at: n });
        }
        return [talk.entries.length, talk.entries[0].text, talk._members.size];
    }""")
    assert known == [1000, "200", 1000]


def test_a_screen_reader_hears_the_others(room: Room) -> None:
    """Each message with its author, but not one's own, and not what was said before one came."""
    ada = room.enter("Ada")
    say(ada, "early")
    expect_said(ada, "early")
    ben = room.enter("Ben")
    say(ada, "late")
    expect(ben.locator("#announcer")).to_contain_text("Ada: late")
    expect(ben.locator("#announcer")).not_to_contain_text("early")
    expect(ada.locator("#announcer")).not_to_contain_text("late")


def test_what_is_typed_in_a_room_is_kept(room: Room) -> None:
    """Over a refresh; once it is sent, no other tab offers it any more."""
    page = room.enter("Ada")
    page.get_by_label("Your message").fill("half a thought")
    page.reload()
    expect(page.get_by_label("Your message")).to_have_value("half a thought")
    other = page.context.new_page()
    other.goto(page.url)
    expect(other.get_by_label("Your message")).to_have_value("half a thought")
    say(page, "a whole one")
    expect_said(page, "a whole one")
    other.reload()
    expect(other.get_by_label("Your message")).to_have_value("")


def test_a_room_fits_a_phone(room: Room, here: Site) -> None:
    """Nothing hangs over at 320 pixels, not even a long word or a long name, and a finger finds every button."""
    told = here.told()
    phone = {"viewport": {"width": 320, "height": 640}, "has_touch": True, "is_mobile": True}
    ada = room.enter("N" * 40, **phone)
    say(ada, f"@told {'z' * 200} {told.question}")
    told.end("y" * 200)
    expect(status(ada)).to_contain_text("tokens")
    assert ada.evaluate("document.documentElement.scrollWidth") == 320
    sizes = ada.locator(".bar button:visible, .composer button:visible").evaluate_all(
        "all => all.map((each) => Math.min(each.offsetWidth, each.offsetHeight))"
    )
    assert min(sizes) >= 40


def test_others_are_invited_and_other_rooms_are_named(room: Room, here: Site) -> None:
    """The address can be copied, with a word where it is nobody else's; a name as people write it leads to a room."""
    ada = room.enter("Ada")
    ada.get_by_role("button", name="Rooms").click()
    dialog = ada.get_by_role("dialog")
    expect(dialog).to_contain_text("Only this machine can open this address")
    dialog.get_by_role("button", name="Copy").click()
    expect(dialog).to_contain_text("It has been copied.")
    assert ada.evaluate("navigator.clipboard.readText()") == f"{here.url}/room/{room.name}"
    other = dialog.get_by_label("Go to another room")
    other.fill("茶")
    other.press("Enter")
    expect(dialog.get_by_role("alert")).to_contain_text("letters from a to z")
    other.fill("Café  time!")
    other.press("Enter")
    expect(ada).to_have_url(f"{here.url}/room/Cafe-time")
    expect(ada.get_by_role("heading", name="Cafe-time")).to_be_visible()
    expect(presence(ada)).to_contain_text("1 here")
    ada.get_by_role("link", name="tidegate, the chat page").click()
    expect(ada).to_have_url(f"{here.url}/")


def test_a_room_needs_no_place_of_its_own(here: Site, browser: Browser) -> None:
    """Its addresses are those of the application that is mounted somewhere, and so is its socket's."""
    sockets: list[str] = []
    with reader(browser, []) as page:
        page.route(re.compile("/llm/"), lambda route: route.continue_(url=route.request.url.replace("/llm/", "/")))
        page.route_web_socket(re.compile("."), lambda near: sockets.append(near.url))
        page.goto(here.url + "/llm/room/lobby")
        page.get_by_label("Your name").fill("Ada")
        page.get_by_role("button", name="Continue").click()
        expect(page.get_by_role("button", name="Ask")).to_be_visible()
        assert page.evaluate("document.querySelector('.brand').href") == f"{here.url}/llm/"
    assert {*sockets} == {f"{here.url.replace('http', 'ws')}/llm/v1/ws"}


def test_a_room_has_a_topics_name(here: Site) -> None:
    """What cannot be a topic cannot be a room."""
    assert httpx.get(f"{here.url}/room/a:b.c-d_e").status_code == 200
    refusal = httpx.get(f"{here.url}/room/not%20one")
    assert (refusal.status_code, refusal.json()["error"]["code"]) == (400, "invalid_value")
