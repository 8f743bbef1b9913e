"""URLs as they may be shown."""

from __future__ import annotations

import re

MASK = "***"

# Up to the last `@`: passwords that should have been percent-encoded have anything in them. A file has no user.
_USER = re.compile(r"^(?!sqlite:)([a-z][a-z0-9+.-]*://)?.*@", re.IGNORECASE | re.DOTALL)
_QUERY = re.compile(r"(?<=[?#]).+", re.DOTALL)


def shown_url(text: str) -> str:
    """The URL without its user, password, query and fragment, whether or not it has a scheme."""
    return _QUERY.sub(MASK, _USER.sub(rf"\1{MASK}@", text))
