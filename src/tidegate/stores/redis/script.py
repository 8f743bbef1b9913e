"""Lua scripts: what Redis does in one step."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha1
from importlib import resources

Argument = str | bytes | int | float

Command = tuple[Argument, ...]


class Script:
    """One script of the folder `scripts`, by its name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.text = (resources.files("tidegate.stores.redis") / "scripts" / f"{name}.lua").read_text()
        # Redis names scripts so; the digest protects nothing.
        self._digest = sha1(self.text.encode(), usedforsecurity=False).hexdigest()
        SCRIPTS.append(self)

    def __call__(self, keys: Sequence[str], *arguments: Argument) -> Command:
        """The command that runs the script. All keys are on one server."""
        return ("EVALSHA", self._digest, len(keys), *keys, *arguments)


SCRIPTS: list[Script] = []
"""All scripts that have been made: each connection makes them known to its server."""
