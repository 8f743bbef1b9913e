"""The pages' texts: each has its Chinese line, and no line is left over."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from importlib.resources import files

import pytest

from tidegate.routes.openapi import codes

WEB = {entry.name: entry.read_text("utf-8") for entry in files("tidegate.web").iterdir() if entry.is_file()}
CLIENT = {
    entry.name: entry.read_text("utf-8")
    for entry in files("tidegate.web").joinpath("client").iterdir()
    if entry.name.endswith(".js")
}
OWN_CODE = re.compile(r"""(?:BROKEN =|\bcode:|\bcode =) '(\w+)'""")
LOOKED_UP = re.compile(r"""(?<![\w.$])t\(\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")?""")
LINE = re.compile(r"""^  (?:(\w+)|'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"):\s+(?:'|")(.*)(?:'|"),$""", re.MULTILINE)
NAME = re.compile(r"\{\w+\}")
COMMENT = re.compile(r"/\*.*?\*/|^[ ]*//[^\n]*$", re.DOTALL | re.MULTILINE)
SAID_IN = ("aria-label", "placeholder", "title", "content")


class Marked(HTMLParser):
    """Collects what elements with `data-t` say: around their children, and in attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: set[str] = set()
        self._open: list[bool] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = dict(attrs)
        marked = "data-t" in said
        if marked:
            self.texts |= {text for name in SAID_IN if (text := said.get(name))}
        if tag not in {"meta", "link", "img", "input", "path", "rect"}:
            self._open.append(marked)

    def handle_endtag(self, tag: str) -> None:
        if tag not in {"path", "rect"}:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        text = " ".join(data.split())
        if text and self._open and self._open[-1]:
            self.texts.add(text)


def unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def in_scripts() -> set[str]:
    scripts = (COMMENT.sub("", text) for name, text in WEB.items() if name.endswith(".js") and name != "language.js")
    return {unescaped(one or other) for script in scripts for one, other in LOOKED_UP.findall(script)}


def in_html() -> set[str]:
    found = Marked()
    for name, text in WEB.items():
        if name.endswith(".html"):
            found.feed(text)
    return found.texts


def lines() -> dict[str, str]:
    found = LINE.findall(WEB["chinese.js"])
    return {unescaped(bare or one or other): unescaped(chinese) for bare, one, other, chinese in found}


def test_every_text_is_looked_up_as_it_is() -> None:
    """A text that is put together before it is looked up would be in no list."""
    assert "" not in in_scripts()


def test_every_text_has_a_chinese_line() -> None:
    """Whoever reads Chinese reads no English."""
    assert sorted((in_scripts() | in_html()) - lines().keys()) == []


def test_no_chinese_line_is_left_over() -> None:
    """What no page says needs no line."""
    assert sorted(lines().keys() - in_scripts() - in_html()) == []


def test_a_chinese_line_has_the_same_values() -> None:
    """Whatever stands for a name in one language does in the other."""
    odd = {text for text, chinese in lines().items() if sorted(NAME.findall(text)) != sorted(NAME.findall(chinese))}
    assert odd == set()


def test_every_code_has_words_for_people() -> None:
    """A page says of each error of the server, and of the client's own, what it means for its reader."""
    told = set(re.findall(r"^  (\w+): t\(", WEB["failures.js"], re.MULTILINE))
    scripts = [text for name, text in CLIENT.items() if name.endswith(".js")]
    own = {code for script in scripts for code in OWN_CODE.findall(script)}
    assert own > {"connection_broken", "malformed_answer"}
    assert ({answered["code"] for answered in codes()} | own) - told == set()


@pytest.mark.parametrize("name", [name for name in WEB if name.endswith(".html")])
def test_a_page_is_shown_in_its_theme_and_language_at_once(name: str) -> None:
    """Nothing is painted before the theme is set, and the page is translated: no flash of another one."""
    head = WEB[name].partition("</head>")[0]
    order = [head.index(part) for part in ("theme.js", "theme.css", "translated.js")]
    assert order == sorted(order)
    assert re.search(r'<script type="module" src="[./]*web/translated\.js" blocking="render">', head)
    assert head.index("translated.js") < head.rindex("<script")
