"""The pages' files: names of contents, compression, and what is fetched before it is imported."""

from __future__ import annotations

import gzip
import re

import pytest

from tidegate.errors import NotFound
from tidegate.routes.page_files import page_file

PAGES = ["index.html", "room.html", "shared.html", "docs.html"]


def preloads(page: str) -> list[str]:
    return re.findall(r'modulepreload" href="(?:\.\./)?web/([\w-]+\.js)"', page_file(page).content.decode())


@pytest.mark.parametrize("page", PAGES)
def test_a_page_names_every_module_that_its_scripts_import(page: str) -> None:
    """The browser fetches all of them at once, instead of finding each in the one that imports it."""
    named = preloads(page)
    assert named
    assert len(named) == len(set(named))
    scripts = re.findall(r'type="module" src="(?:\.\./)?web/([\w-]+\.js)"', page_file(page).content.decode())
    for name in [*named, *scripts]:
        source = page_file(name).content.decode()
        for needed in re.findall(r"^(?:import|\}) .*?from '\./([\w-]+\.js)'", source, re.MULTILINE):
            assert needed in named or needed in scripts, f"{name} imports {needed}"


def test_what_is_imported_when_it_is_needed_is_not_fetched_before() -> None:
    """Readers of English do not fetch the Chinese texts."""
    assert "chinese.js" not in preloads("index.html")


def test_a_file_is_known_by_its_content() -> None:
    """A client that has it is told so, however many contents it names."""
    found = page_file("chat.js")
    assert found.is_known(found.etag)
    assert found.is_known(f'"other", {found.etag}')
    assert not found.is_known(None)
    assert not found.is_known('"other"')
    assert page_file("view.js").etag != found.etag


def test_a_file_is_compressed_once() -> None:
    """What goes over the wire is the file, and less than half of it."""
    found = page_file("chat.js")
    assert gzip.decompress(found.packed) == found.content
    assert len(found.packed) < len(found.content) / 2


def test_only_files_of_the_pages_are_served() -> None:
    """Neither modules of Python nor the package's own description are."""
    for name in ("__init__.py", "package.json", "../app.py", "client", ""):
        with pytest.raises(NotFound):
            page_file(name)
