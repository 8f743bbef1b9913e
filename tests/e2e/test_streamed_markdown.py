"""The Markdown of an answer that comes in pieces, in a real browser."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser_kit import visitor
from playwright.sync_api import Browser, Page, expect

from tidegate.testing.process import running

SCRIPT = (Path(__file__).parent / "js" / "streamed.js").read_text()
CODE = "".join(f"line {number}\n" for number in range(200))
SERVER = f"""
[store]
url = "memory://"
[[models]]
name = "replay"
provider = "replay"
text = {json.dumps(f"```py{chr(10)}{CODE}```")}
rate = 0
tokens = 401
"""

# What Markdown is made of, its marks in halves and in the wrong places, too.
PARTS = (
    *("a", "b c", "word ", " ", "   ", "\t", "\n", "\n", "\n\n", "\r\n", "é", "潮。", "😀", "5", ".", ")", "|", "<b>"),
    *("- ", "-", "1.", "2. ", "12", "+", "+ ", "  - ", "    1. ", "#", "# ", "## x #", "```", "``", "`", "~~~", "~"),
    *("***", "**", "*", "* ", "_", "---", "- - -", "**a", "b**", "*a*", "`c`", "x " * 600, "```py\n", "\n```\n"),
    *("> ", ">", "> - ", "[", "]", "](", "[a](https://b.c)", "![", ")", "\\", "\\|", "https://", "www.", "d.e/f"),
    *("| a | b |\n", "|---|:-:|\n", "|-", "==", "===\n", "[ ] ", "[x] ", "- [", "x" * 1100, "if x: # y\n", '"""'),
    *("&amp;", "~~", "    ", "<https://a>", "\x1b\u202e"),
)
WORDS = ("tide ", "gate ", "and ", "water ", "sand ", "harbour ", "lamp ", "**bold** ", "`code` ", "*so* ")
WORD_COUNT = 3000


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    path: Path = tmp_path_factory.mktemp("markdown")
    (path / "tidegate.toml").write_text(SERVER)
    with running("--config", str(path / "tidegate.toml"), cwd=path) as process:
        assert process.ready, process.stderr()
        yield process.url


@pytest.fixture(scope="module")
def page(browser: Browser, url: str) -> Iterator[Page]:
    with visitor(browser, ()) as page:
        page.goto(url)
        page.evaluate(f"async () => {{ {SCRIPT} }}")
        yield page


def stream(page: Page, pieces: list[str], *, compare: bool = False) -> dict[str, Any]:
    """Shows the pieces one after the other; `compare`: and all that has come at once beside each."""
    found = page.evaluate("([pieces, compare]) => stream(pieces, compare)", [pieces, compare])
    assert "problem" not in found, found
    return found


@pytest.mark.parametrize("seed", range(8))
def test_what_is_streamed_is_what_is_shown_at_once(page: Page, seed: int) -> None:
    """After every piece the nodes are those of the text so far, wherever it is cut; closed blocks are not touched."""
    chance = random.Random(seed)
    for _ in range(150):
        text = "".join(chance.choices(PARTS, k=chance.randint(1, 25)))
        stream(page, cut(text, chance), compare=True)


def cut(text: str, chance: random.Random) -> list[str]:
    pieces: list[str] = []
    while text:
        size = chance.choice((1, 1, 2, 3, 8, 700))
        pieces.append(text[:size])
        text = text[size:]
    return pieces


def lines(each: int, before: str, after: str) -> list[str]:
    """So many words to a line, with something before and after them."""
    words = [WORDS[number % 7] for number in range(WORD_COUNT)]
    return [
        (before if number % each == 0 else "") + word + (after if number % each == each - 1 else "")
        for number, word in enumerate(words)
    ]


SHAPES = {
    "paragraph": [WORDS[number % 10] for number in range(WORD_COUNT)],
    "bold that is never closed": ["**", *(WORDS[number % 7] for number in range(WORD_COUNT))],
    "paragraphs": lines(50, "", "\n\n"),
    "code": ["```py\n", *lines(8, "", "\n"), "```"],
    "list": lines(9, "- ", "\n"),
    "nested list": lines(9, "   - ", "\n"),
    "one item": ["1. ", *(WORDS[number % 10] for number in range(WORD_COUNT))],
    "table": ["| a | b |\n|---|---|\n", *lines(8, "| ", "|\n")],
    "table whose last row was none": ["| a | b |\n|---|---|\n", *lines(30, "| ", "|\n"), "-", "--"],
    "headings": lines(12, "## ", "\n"),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_long_answer_is_written_once(page: Page, shape: str) -> None:
    """Of 3,000 words in as many pieces each goes into the page once, or a few times where marks are still open."""
    found = stream(page, SHAPES[shape])
    assert found["length"] > 10_000
    assert found["written"] < 2 * found["length"]


def test_bold_that_closes_late_is_made_once(page: Page) -> None:
    """What stood there as text until then is written a second time, and that is all."""
    found = stream(page, ["**", *SHAPES["paragraphs"][1:50:2], "x**", *SHAPES["one item"][1:]])
    assert found["written"] < 2 * found["length"]


def meanwhile(page: Page, text: str, more: str, act: str, look: str) -> Any:
    """Shows a text, does something in the page, and looks there when as much more has come in small pieces."""
    return page.evaluate(
        f"([before, after]) => meanwhile([before], after, (node) => {{ {act} }}, (node) => {look})",
        [text, [more[at : at + 3] for at in range(0, len(more), 3)]],
    )


def test_many_changes_are_painted_once(page: Page) -> None:
    """What changes before the next picture is in one picture, and nothing is left out of the last."""
    painted = page.evaluate("""async () => {
        const { Painter } = await import(new URL('web/painter.js', document.baseURI));
        let state = 0;
        const painted = [];
        await new Promise((done) => {
            const painter = new Painter(() => {
                painted.push(state);
                if (painted.length === 2) done();
                for (let times = 0; times < 100; times += 1, painter.ask()) state += 1;
            });
            painter.ask();
        });
        return painted;
    }""")
    assert painted == [0, 100]


LIVE = {
    "a paragraph": ("The tide comes in", " and **goes** out again over `sand`. " * 40),
    "bold": ("A **bold tide comes in** an", "d goes [out](https://a.b) again. " * 40),
    "code": ("```js\nconst a = 1;\nthe tide comes in", " again\nreturn 'b';" * 40),
    "an item": ("- a\n- b\n  - the tide comes in", " again\n  - and out\n" * 20),
    "a quote": ("> - a\n>\n> the tide comes in", " again\n> and out" * 20),
    "a table": ("| a | b |\n|---|---|\n| the tide comes in", " again | c |\n| and *out* | d" * 20),
}


@pytest.mark.parametrize("place", LIVE)
def test_a_selection_in_what_is_being_written_stays(page: Page, place: str) -> None:
    """What a reader has selected in the last line of an answer is still selected when it has gone on."""
    text, more = LIVE[place]
    assert meanwhile(page, text, more, "select(node, 'tide comes')", "String(getSelection())") == "tide comes"


WIDE = {
    "pre": ("```\n" + "x" * 500, "y\n" * 50),
    ".table": ("| a |" + " b |" * 9 + "\n|---|" + "---|" * 9 + "\n|" + " wide enough |" * 9, " c |\n| d | e" * 20),
}


@pytest.mark.parametrize("name", WIDE)
def test_what_is_moved_sideways_stays_there(page: Page, name: str) -> None:
    """Code and tables that a reader has moved stay where they are, while they are written."""
    look = f"node.querySelector('{name}').scrollLeft"
    assert meanwhile(page, *WIDE[name], f"{look} = 120", look) == 120


LONG_TABLE = "| number | words |\n|---|--:|\n" + "".join(f"| {n} | {'word ' * (n % 9)} |\n" for n in range(250))
SHOWN = """async (text) => {
    const { Markdown } = await import(new URL('web/markdown.js', document.baseURI));
    const node = document.createElement('div');
    node.className = 'answer';
    document.querySelector('main').replaceChildren(node);
    new Markdown(node).show(text);
}"""
ALIGNED = """() => {
    const widths = ({ rows }) => [...rows[0].cells].map((cell) => cell.getBoundingClientRect().width).join();
    return new Set([...document.querySelectorAll('.answer table')].map(widths)).size === 1;
}"""


def test_a_long_table_is_one_for_its_reader_and_several_for_the_browser(browser: Browser, url: str) -> None:
    """So a row costs what the last hundred do; all columns are as wide as the first ones, also on a turned phone."""
    with visitor(browser, ()) as page:
        page.goto(url)
        page.evaluate(SHOWN, LONG_TABLE)
        for width in (1000, 390):
            page.set_viewport_size({"width": width, "height": 700})
            page.wait_for_function(ALIGNED)
        answer = page.locator(".answer")
        lengths = "(node) => [...node.querySelectorAll('table')].map(({ rows }) => rows.length)"
        assert answer.evaluate(lengths) == [101, 100, 50]
        expect(answer.get_by_role("table")).to_have_count(1)
        expect(answer.get_by_role("row")).to_have_count(251)
        expect(answer.get_by_role("cell", name="249", exact=True)).to_have_count(1)


def test_a_long_table_is_one_on_paper(browser: Browser, url: str) -> None:
    """No script runs between a page and its print: its columns are as wide all the way down by themselves."""
    with visitor(browser, ()) as page:
        page.goto(url)
        page.evaluate("() => { window.ResizeObserver = class { observe() {} }; }")
        page.evaluate(SHOWN, LONG_TABLE)
        page.emulate_media(media="print")
        assert page.evaluate(ALIGNED)


HOSTILE = (
    "<script>globalThis.hacked = 1</script><img src=x onerror=hacked=1><svg onload=hacked=1>\n\n<style>*{}",
    "[a](javascript:hacked=1) [b](JavaScript&colon;hacked=1) [c](data:text/html,<script>) <javascript:x>",
    '[a](https://a.b" onclick="hacked=1) ![b](https://evil.example/pixel.png) ![c](x.png "onload=hacked=1")',
    'https://a.b/"onmouseover="hacked=1\n\n```"><script>hacked=1</script>\n</code></pre><script>hacked=1</script>',
    "| <b>a</b> | b |\n|---|---|\n| <script>hacked=1</script> | [x](javascript:hacked=1) |",
    "\x00\x1b[2J\u202etxt.exe\u2066 &#x202e; &#0;",
    *(">" * 10_000, "> " * 5_000 + "x", "- " * 10_000 + "x", "[" * 100_000, "*" * 100_000, "`" * 100_000),
    *("**a " * 30_000, "[a](" * 40_000, "x" * 200_000, "word " * 40_000, "```\n" + "(" * 200_000),
    *("|" * 100_000, "|a" * 5_000 + "\n" + "|-" * 5_000 + "\n|b" * 1_000),
    "\n".join("  " * depth + "- a" for depth in range(500)),
)


@pytest.mark.parametrize("size", [1 << 20, 50_000])
def test_a_hostile_answer_is_text(page: Page, size: int) -> None:
    """At once or in pieces: nothing of it runs, leads anywhere but to pages, asks the network, or nests without end."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for text in HOSTILE:
        pieces = [text[at : at + size] for at in range(0, len(text), size)]
        found = page.evaluate("(pieces) => meanwhile([], pieces, () => {}, suspects)", pieces)
        assert found["found"] == []
        assert found["deepest"] < 70
        assert not {"\x1b", "\x00", "\u202e", "\u2066"} & set(found["text"])
    assert page.evaluate("globalThis.hacked") is None
    assert asked == []


def test_code_is_copied_from_wherever_it_is_read(browser: Browser, url: str) -> None:
    """The button stays in sight in a long block, works by the keyboard, and says that it has copied, for a moment."""
    with visitor(browser, (), permissions=("clipboard-read", "clipboard-write")) as page:
        page.goto(url)
        page.get_by_label("Your message").fill("Code")
        page.keyboard.press("Enter")
        expect(page.get_by_text("line 199", exact=True)).to_be_visible()
        page.get_by_text("line 100", exact=True).scroll_into_view_if_needed()
        copy = page.locator(".code").get_by_role("button")
        expect(copy).to_be_in_viewport()
        copy.focus()
        page.keyboard.press("Enter")
        expect(copy).to_have_text("Copied")
        expect(copy).to_have_text("Copy")
        assert page.evaluate("navigator.clipboard.readText()") == CODE.rstrip("\n")
        expect(page.get_by_role("group", name="Code, py")).to_be_visible()
