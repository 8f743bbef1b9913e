"""A whole answer of the deployment, and who has given it: tidegate, or something in front of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeVar

import msgspec

from tidegate.client.words import as_table, error_fields, parsed, quoted
from tidegate.core.url import shown_url
from tidegate.errors import Unavailable
from tidegate.http_client.errors import MalformedResponse

T = TypeVar("T")


class Answer(NamedTuple):
    """Status, headers by their names in lower case, and body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_tidegates(self) -> bool:
        """Whether this is an error in tidegate's own words: each has the id of its request."""
        return "request_id" in as_table(as_table(parsed(self.body)).get("error"))

    @property
    def code(self) -> str:
        """The code of tidegate's error; empty for anything else."""
        return error_fields(self.body).get("code", "") if self.is_tidegates else ""

    @property
    def is_of_a_proxy(self) -> bool:
        """Whether something else than tidegate has answered. Our own proxies say `unavailable` in tidegate's shape."""
        return not self.is_tidegates or self.code == Unavailable.code

    @property
    def said(self) -> str:
        """The answer in words, to go after a subject."""
        location = self.headers.get("location")
        if 300 <= self.status < 400 and location:
            return f"redirects to {shown_url(location)}"
        if self.is_tidegates:
            return f"answers {self.status}: {error_fields(self.body).get('message') or self.code}"
        by = self.headers.get("server", "")
        said = f"answers {self.status}{f' ({by})' if by else ''}"
        # The pages that proxies answer with say no more than the status.
        return said if self._is_page or not self.body else f"{said}: {quoted(self.body)}"

    @property
    def _is_page(self) -> bool:
        return self.headers.get("content-type", "").lower().startswith("text/html")


def decoded(answer: Answer, kind: type[T]) -> T:
    """The answer's body, of this type. Raises `MalformedResponse` where it is anything else, whatever that is."""
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise MalformedResponse("answers with something else than tidegate's JSON") from None
