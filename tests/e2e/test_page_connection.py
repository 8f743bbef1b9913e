"""The chat page when its connection or its server goes away: what it says, and that it comes back whole."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import pytest
from browser_kit import refused
from cable import Cable, laid
from page_kit import (
    MODELS,
    MODULE,
    Site,
    Told,
    answer,
    ask,
    expect_whole,
    last_turn,
    reader,
    said,
    site,
)
from playwright.sync_api import Browser, Page, Route, expect
from restart_kit import Restartable


@pytest.fixture
def page(browser: Browser, complaints: list[str]) -> Iterator[Page]:
    with reader(browser, complaints) as page:
        yield page


@pytest.fixture
def cable() -> Iterator[Callable[[str], Cable]]:
    """Lays cables to the URLs of servers."""
    with ExitStack() as stack:
        yield lambda url: stack.enter_context(laid(url))


def begin(page: Page, url: str, told: Told) -> None:
    """Opens the page, asks, and waits for the first word."""
    page.goto(url)
    ask(page, told.question, model="told")
    told.say("One ")
    expect(answer(page)).to_have_text("One")


def test_a_network_that_was_gone_for_ten_seconds_is_found_at_once(
    page: Page, here: Site, cable: Callable[[str], Cable]
) -> None:
    """The page counts down to each try, and asks whether the server is back; the answer has every word once."""
    told = here.told()
    wire = cable(here.url)
    begin(page, wire.url, told)
    wire.cut()
    expect(page).to_have_title(re.compile("^◌ Reconnecting"))
    told.say("two ")
    expect(said(page)).to_have_text(re.compile(r"^The connection is gone\. Trying again in \d s$"))
    expect(page.get_by_role("button", name="Try now")).to_be_visible()
    page.wait_for_event("requestfailed", lambda request: request.url.endswith("/healthz"))
    page.wait_for_event("requestfailed", lambda request: request.url.endswith("/healthz"))
    wire.mend()
    expect(answer(page)).to_have_text("One two")
    expect(said(page)).to_have_text("Writing")
    expect(page.locator("#announcer")).to_contain_text("Connected again.")
    told.end("three")
    expect_whole(page, here.url, "One two three")


def test_it_goes_on_at_once_when_its_reader_wants_it(page: Page, here: Site, cable: Callable[[str], Cable]) -> None:
    """*Try now* does not wait for the countdown, and the focus has a place when the button is gone."""
    told = here.told()
    wire = cable(here.url)
    begin(page, wire.url, told)
    page.route("**/healthz", lambda route: route.abort())
    wire.cut()
    again = page.get_by_role("button", name="Try now")
    expect(again).to_be_visible()
    again.focus()
    wire.mend()
    again.press("Enter")
    expect(said(page)).to_have_text("Writing")
    expect(page.get_by_label("Your message")).to_be_focused()
    told.end("two")
    expect_whole(page, here.url, "One two")


@pytest.mark.parametrize("refreshed", [False, True])
def test_what_is_stopped_without_a_connection_is_settled_later(
    page: Page, here: Site, cable: Callable[[str], Cable], refreshed: bool
) -> None:
    """It is stopped at once for its reader, and on the server when that is back; then its words are shown."""
    told = here.told()
    wire = cable(here.url)
    begin(page, wire.url, told)
    page.get_by_role("button", name="What just happened").click()
    wire.cut()
    stream = last_turn(page)["id"]
    told.say("two ")
    here.wait_for("One two ", stream)
    page.get_by_role("button", name="Stop").click()
    expect(said(page)).to_have_text("Stopped")
    expect(page.locator("#lines .line").last).to_have_text("Stopped")
    expect(answer(page)).to_have_text("One")
    assert here.snapshot(stream)["status"] == "running"
    page.route("**/cancel", lambda route: route.abort())
    wire.mend()
    if refreshed:
        page.reload()
    page.unroute("**/cancel")
    expect(answer(page)).to_have_text("One two")
    expect(said(page)).to_have_text("Stopped")
    if not refreshed:
        expect(page.locator("#verdict")).to_have_text("Word for word what the server has.")
    turn, snapshot = last_turn(page), here.snapshot(stream)
    assert (turn["status"], turn["text"]) == (snapshot["status"], snapshot["text"]) == ("cancelled", "One two ")


def test_after_five_failures_it_is_offline_and_still_comes_back(
    page: Page, here: Site, cable: Callable[[str], Cable]
) -> None:
    """It waits 3 s at the most until then, keeps what has come, asks no more, and goes on when the server is there."""
    told = here.told()
    wire = cable(here.url)
    page.clock.install()
    page.add_init_script("Math.random = () => 0.999")
    begin(page, wire.url, told)
    page.route("**/healthz", lambda route: route.abort())
    wire.cut()
    expect(page).to_have_title(re.compile("^◌ Reconnecting"))
    tries: list[str] = []
    page.on("requestfailed", lambda request: tries.append(request.url) if "/events" in request.url else None)
    gone = re.compile("^The server cannot be reached. What has arrived is safe")
    waits: set[str] = set()
    for _ in range(60):
        waits |= set(re.findall(r"in (\d+) s", said(page).text_content() or ""))
        # The page's clock stands still while the network, which has its own, refuses a try.
        with suppress(AssertionError):
            expect(said(page)).to_have_text(gone, timeout=300)
            break
        page.clock.run_for(1000)
    expect(said(page)).to_have_text(gone)
    assert len(tries) == 4
    assert max(waits) == "3"
    expect(answer(page)).to_have_text("One")
    told.end("two")
    wire.mend()
    page.unroute("**/healthz")
    page.clock.run_for(6000)
    page.clock.resume()
    expect_whole(page, here.url, "One two")


def test_a_server_that_is_killed_and_started_again_ends_the_answer_truthfully(page: Page, tmp_path: Path) -> None:
    """What it had brought stays, how it ended is said, and the reader may have it go on."""
    (tmp_path / "told.py").write_text(MODULE)
    told = Told(tmp_path, "it")
    config = f'[store]\nurl = "sqlite:///log.db"\nlease_seconds = 1\n{MODELS}'
    with Restartable(tmp_path, config) as server:
        begin(page, server.url, told)
        told.say("two ")
        expect(answer(page)).to_have_text("One two")
        server.restart()
        expect(said(page)).to_have_text(
            "The answer was cut off: the server stopped in the middle of it.", timeout=30_000
        )
        turn = last_turn(page)
        assert (turn["status"], turn["text"], turn["code"]) == ("failed", "One two ", "interrupted")
        with page.expect_request("**/v1/streams") as sent:
            page.get_by_role("button", name="Continue").click()
        assert sent.value.post_data_json["messages"][-1] == {"role": "assistant", "content": "One two "}


def test_a_server_that_forgot_the_stream_is_said(
    page: Page, here: Site, cable: Callable[[str], Cable], complaints: list[str], tmp_path: Path
) -> None:
    """What had come stays, and the question can be asked again."""
    complaints.append(refused(404, "Not Found"))
    with site(tmp_path) as before:
        wire = cable(before.url)
        page.goto(wire.url)
        ask(page, model="slow")
        expect(answer(page)).to_contain_text("w5")
        wire.cut()
        wire.target = here.url
        wire.mend()
        expect(said(page)).to_contain_text("The server no longer knows this answer.")
        expect(answer(page)).to_contain_text("w5")
    page.get_by_role("button", name="Retry").click()
    expect(said(page)).to_have_text("Writing")
    expect(page.locator(".turn")).to_have_count(1)


def test_a_refusal_says_why_and_is_tried_again(page: Page, complaints: list[str], tmp_path: Path) -> None:
    """The page says what stands in the way and when it tries again, and then does so by itself."""
    complaints.append(refused(429, "Too Many Requests"))
    with site(tmp_path, concurrent_generations=1) as here:
        first, second = here.told(), here.told()
        stream = here.post("v1/streams", {"model": "told", "prompt": first.question, "background": True})["id"]
        page.goto(here.url)
        ask(page, second.question, model="told")
        expect(said(page)).to_have_text(
            re.compile(r"^Too many of your answers are being written\. .* Trying again in \d+ s$")
        )
        here.post(f"v1/streams/{stream}/cancel", {})
        second.end("One")
        expect_whole(page, here.url, "One")


def test_a_page_that_comes_too_soon_gets_its_models_later(page: Page, complaints: list[str], tmp_path: Path) -> None:
    """It says what stands in the way, and asks again when it may."""
    complaints.append(refused(429, "Too Many Requests"))
    with site(tmp_path, requests_per_minute=30, burst=1) as here:

        def spend(route: Route) -> None:
            httpx.get(f"{here.url}/v1/models")
            route.continue_()

        page.route("**/v1/models", spend, times=1)
        page.goto(here.url)
        expect(page.locator("#notice")).to_contain_text("That was too often for this server.")
        expect(page.get_by_label("Model")).to_have_value("told")
        expect(page.locator("#notice")).to_be_hidden()


def test_a_refusal_in_mid_answer_does_not_end_it(page: Page, here: Site, complaints: list[str]) -> None:
    """Whatever stands in the way passes, perhaps: the reader, or a refresh, has the answer followed again."""
    complaints.append(refused(403, "Forbidden"))
    body = {"error": {"message": "no", "type": "permission_error", "code": "missing_scope", "request_id": "x"}}
    told = here.told()
    begin(page, here.url, told)
    page.route("**/events*", lambda route: route.fulfill(status=403, json=body), times=2)
    page.reload()
    expect(said(page)).to_have_text("This key does not allow that.")
    # Until the second refusal has come, its words are those of the first.
    with page.expect_response("**/events*"):
        page.get_by_role("button", name="Try again").click()
    expect(said(page)).to_have_text("This key does not allow that.")
    page.reload()
    told.end("two")
    expect_whole(page, here.url, "One two")


def test_what_a_proxy_says_meanwhile_ends_no_answer(page: Page, here: Site, complaints: list[str]) -> None:
    """Its pages in place of the answer are a broken connection like any other."""
    complaints.append(refused(404, "Not Found"))
    told = here.told()
    begin(page, here.url, told)
    statuses = [200, 404]
    page.route("**/events*", lambda route: route.fulfill(status=statuses.pop(), content_type="text/html"), times=2)
    page.get_by_role("button", name="What just happened").click()
    page.get_by_role("button", name="Cut the connection").click()
    told.end("two")
    expect_whole(page, here.url, "One two")
    assert statuses == []


def test_many_live_conversations_leave_connections_for_calls(page: Page, here: Site) -> None:
    """A browser makes six to a host over HTTP/1.1: of many answers at once some come over a WebSocket."""
    all_told = [here.told() for _ in range(7)]
    page.goto(here.url)
    for told in all_told:
        page.get_by_role("button", name="New conversation").click()
        ask(page, told.question, model="told")
        told.say("One ")
        expect(answer(page)).to_have_text("One")
    page.get_by_role("button", name="Stop").click()
    expect(said(page)).to_have_text("Stopped")


def test_who_answers_in_place_of_the_server_is_not_taken_for_it(page: Page, here: Site, complaints: list[str]) -> None:
    """A refusal that is not the server's says so, and not that nobody was there."""
    complaints.append(refused(404, "Not Found"))
    page.route("**/v1/models", lambda route: route.fulfill(status=404, json={"detail": "x"}), times=1)
    page.goto(here.url)
    expect(page.locator("#notice")).to_contain_text("Something else has answered in place of the server.")
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_label("Model")).to_have_value("told")
