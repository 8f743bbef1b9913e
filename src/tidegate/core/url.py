"""Checks URLs, and masks them for display."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit

MASK = "***"

# Up to the last `@`, since a password that was not percent-encoded may have any character. A file has no user.
_USER = re.compile(r"^(?!sqlite:)([a-z][a-z0-9+.-]*://)?.*@", re.IGNORECASE | re.DOTALL)
_QUERY = re.compile(r"(?<=[?#]).+", re.DOTALL)

# A URL stands in headers and request lines, and is ASCII (RFC 3986, 2).
_ASCII = re.compile(r"[!-~]+")


def shown_url(text: str) -> str:
    """The URL without its user, password, query and fragment, whether or not it has a scheme."""
    return _QUERY.sub(MASK, _USER.sub(rf"\1{MASK}@", text))


def split_url(url: str) -> SplitResult | None:
    """The parts of a URL, or None if it is invalid."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises where it is not a number up to 65535
    except ValueError:
        return None
    return parts


def host_and_port(url: str) -> str:
    """The host and port of an http or https URL, e.g. `api.example.com:443`; empty if it is invalid."""
    parts = split_url(url)
    if parts is None or not parts.hostname:
        return ""
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{host}:{parts.port or (443 if parts.scheme == 'https' else 80)}"


def is_http(url: str) -> bool:
    """Whether the URL is absolute, http or https, and ASCII."""
    parts = split_url(url)
    return (
        parts is not None
        and parts.scheme in ("http", "https")
        and bool(parts.hostname)
        and _ASCII.fullmatch(url) is not None
    )


def is_plain_http(url: str) -> bool:
    """Whether the URL is as `is_http` wants it, and has no user, query or fragment."""
    return is_http(url) and not set("@?#").intersection(url)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the host. Names other than `localhost` are not looked up."""
    from ipaddress import ip_address

    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def with_scheme(text: str) -> str:
    """The text with `http://` before it where it begins with a host of this machine, which needs no scheme."""
    parts = split_url(f"http://{text}")
    return f"http://{text}" if parts is not None and is_loopback(parts.hostname or "") else text
