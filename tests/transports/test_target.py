"""Targets of requests in every form."""

from __future__ import annotations

import pytest

from tidegate.transports.target import origin_form

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
    assert origin_form(target, HOST) == (path, [(b"host", host), (b"accept", b"*/*")])


@pytest.mark.parametrize("target", [b"/", b"//localhost/a", b"/a?b=http://c/", b"*", b"http:///a", b"localhost:80"])
def test_any_other_target_stays_as_it_is(target: bytes) -> None:
    """Host counts for it, and so does what is wrong with it."""
    assert origin_form(target, HOST) == (target, HOST)


def test_who_sends_no_host_is_given_none() -> None:
    """A request of HTTP/1.1 without one stays wrong (RFC 9112, 3.2)."""
    assert origin_form(b"http://localhost/", []) == (b"/", [])
