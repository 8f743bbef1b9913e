"""Targets of requests in every form."""

from __future__ import annotations

import pytest

from tidegate.serving.request_target import origin_form, path_of

HOST = [(b"host", b"other.example"), (b"accept", b"*/*")]


@pytest.mark.parametrize(
    ("target", "path", "host"),
    [
        (b"http://localhost/v1/ws", b"/v1/ws", b"localhost"),
        (b"http://localhost:8000/a?b=http://c/", b"/a?b=http://c/", b"localhost:8000"),
        (b"HTTPS://[::1]:8000/", b"/", b"[::1]:8000"),
        (b"ws://localhost/v1/ws", b"/v1/ws", b"localhost"),
        (b"http://localhost", b"/", b"localhost"),
        (b"http://localhost?a=b", b"/?a=b", b"localhost"),
        (b"http://localhost/a#b", b"/a", b"localhost"),
        (b"http://ann:secret@localhost:80/a@b", b"/a@b", b"localhost:80"),
    ],
)
def test_an_absolute_target_is_a_path_on_the_host_that_it_names(target: bytes, path: bytes, host: bytes) -> None:
    """Whatever Host says."""
    assert origin_form(target, HOST, "1.1") == (path, [(b"host", host), (b"accept", b"*/*")])


@pytest.mark.parametrize("target", [b"/", b"//localhost/a", b"/a?b=http://c/", b"*", b"http:///a", b"localhost:80"])
def test_any_other_target_stays_as_it_is(target: bytes) -> None:
    """Host counts for it, and so does what is wrong with it."""
    assert origin_form(target, HOST, "1.1") == (target, HOST)


def test_who_sends_no_host_is_given_none() -> None:
    """A request of HTTP/1.1 without one stays wrong (RFC 9112, 3.2)."""
    assert origin_form(b"http://localhost/", [], "1.1") == (b"/", [])


def test_who_need_not_send_a_host_is_judged_by_its_target() -> None:
    """Before HTTP/1.1 nobody has to: an absolute target names it all the same."""
    assert origin_form(b"http://evil.example/", [], "1.0") == (b"/", [(b"host", b"evil.example")])


@pytest.mark.parametrize("target", [b"/v1%2fws", b"/v1%2Fws?a=b", b"/%2f"])
def test_an_encoded_slash_divides_nothing(target: bytes) -> None:
    """Such a path is none of ours."""
    assert path_of(target) is None


def test_a_path_is_decoded_once() -> None:
    """What is encoded twice stays encoded; what follows the question mark is not looked at."""
    assert path_of(b"/a%20b%252fc?d=%2f") == "/a b%2fc"
