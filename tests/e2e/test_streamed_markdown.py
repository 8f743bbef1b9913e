"""The Markdown of an answer that comes in pieces, in a real browser."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browser_kit import visitor
from playwright.sync_api import Browser, Page

SCRIPT = (Path(__file__).parent / "js" / "streamed.js").read_text()
SERVER = '[[models]]\nname = "replay"\nprovider = "replay"\n'

# What Markdown is made of, its marks in halves and in the wrong places, too.
PARTS = (
    *(
        "a",
        "b c",
        "word ",
        " ",
        "   ",
        "\t",
        "\n",
        "\n",
        "\n\n",
        "\r\n",
        "é",
        "潮。",
        "😀",
        "5",
        ".",
        ")",
        "|",
        "<b>",
        "&amp;",
    ),
    *(
        "- ",
        "-",
        "1.",
        "2. ",
        "12",
        "+",
        "+ ",
        "  - ",
        "    1. ",
        "#",
        "# ",
        "## x #",
        "```",
        "``",
        "`",
        "~~~",
        "~",
        "~~",
    ),
    *(
        "***",
        "**",
        "*",
        "* ",
        "_",
        "---",
        "- - -",
        "**a",
        "b**",
        "*a*",
        "`c`",
        "x " * 600,
        "```py\n",
        "\n```\n",
        "    ",
    ),
    *(
        "> ",
        ">",
        "> - ",
        "[",
        "]",
        "](",
        "[a](https://b.c)",
        "![",
        ")",
        "\\",
        "\\|",
        "https://",
        "www.",
        "d.e/f",
        "<https://a>",
    ),
    *(
        "| a | b |\n",
        "|---|:-:|\n",
        "|-",
        "==",
        "===\n",
        "[ ] ",
        "[x] ",
        "- [",
        "x" * 1100,
        "if x: # y\n",
        '"""',
        "\x1b\u202e",
    ),
)
WORDS = ("tide ", "gate ", "and ", "water ", "sand ", "harbour ", "lamp ", "**bold** ", "`code` ", "*so* ")
WORD_COUNT = 3000


@pytest.fixture
def page(browser: Browser, server: Callable[[str], str]) -> Iterator[Page]:
    with visitor(browser, ()) as page:
        page.goto(server(SERVER))
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
    found = stream(page, ["**", *SHAPES["code"][1:-1], "x**", *SHAPES["one item"][1:]])
    assert found["written"] < 3 * found["length"]
