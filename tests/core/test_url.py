from __future__ import annotations

import pytest

from tidegate.core.url import shown_url


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://u:p@h:1/0", "redis://***@h:1/0"),
        ("redis://p@h/0", "redis://***@h/0"),
        ("redis://u:p/p@h/0", "redis://***@h/0"),
        ("redis://u:p#p@h/0", "redis://***@h/0"),
        ("redis://u:p@p@h/0", "redis://***@h/0"),
        ("https://h/v1?key=p#p", "https://h/v1?***"),
        ("https://h/v1#p", "https://h/v1#***"),
        ("u:p@h/v1?key=p", "***@h/v1?***"),
        ("https://h/v1", "https://h/v1"),
        ("sqlite:////home/a@b/x.db", "sqlite:////home/a@b/x.db"),
        ("debug", "debug"),
    ],
)
def test_a_url_is_shown_without_what_may_be_secret(url: str, shown: str) -> None:
    """Wherever a password or a key stands, and however it is spelled; what is no URL stays."""
    assert shown_url(url) == shown
