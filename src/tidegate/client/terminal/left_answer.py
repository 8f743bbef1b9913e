"""Has an answer cancelled that nobody waits for any more."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from tidegate.client import Client, TidegateError

LEAVE_SECONDS = 2.0
"""Who ends the program waits for no longer than this: the server gives an answer without readers up by itself."""


class LeftAnswer:
    """Cancels the answer to the call that was made with this body and this key; `id` is empty if it was not told.

    The same call, made again, leads to it, also where the first one is still on its way, or was lost.
    """

    def __init__(self, client: Client, body: Mapping[str, Any], key: str, id: str) -> None:
        self.is_cancelled = False
        self._client = client
        self._body = body
        self._key = key
        self._id = id
        self._thread = threading.Thread(target=self._cancel, daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Returns when the server has cancelled it, or cannot be told, or after a moment."""
        self._thread.join(LEAVE_SECONDS)

    def _cancel(self) -> None:
        try:
            self._client.cancel(self._id or self._found())
        except TidegateError:
            return
        self.is_cancelled = True

    def _found(self) -> str:
        with self._client.start(self._body, key=self._key) as stream:
            return stream.id
