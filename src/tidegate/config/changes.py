"""What later settings change in a server that runs: its models and API keys. All else takes a restart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from tidegate.config.origins import wrong
from tidegate.config.refusals import asks_who
from tidegate.config.settings import Settings
from tidegate.core.difference import Difference, difference


class Changes(msgspec.Struct, frozen=True):
    """What has changed, by name. `ignored` are the keys of settings that differ and take a restart."""

    models: Difference = Difference()
    keys: Difference = Difference()
    ignored: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The changes in one line."""
        said = [*_said("models", self.models), *_said("keys", self.keys)]
        return "; ".join(said) or "no model and no key has changed"


def merged(running: Settings, later: Settings) -> Settings:
    """The settings that run, with the models and keys of the later ones.

    Raises `ConfigError` where nobody would have to say who it is any more: a file that was emptied by mistake must not
    open the server to everyone.
    """
    auth = msgspec.structs.replace(running.auth, keys=later.auth.keys)
    if asks_who(running.auth) and not asks_who(auth):
        raise wrong(
            ("auth", "keys"), later.auth.keys, "the last key is gone: to let everyone in, the server must be restarted"
        )
    return msgspec.structs.replace(running, models=later.models, auth=auth)


def key_changes(running: Settings, later: Settings) -> Difference:
    """Which of `[[auth.keys]]` differ."""
    before, after = ({key.name: key for key in each.auth.keys} for each in (running, later))
    return difference(before, after)


def ignored(running: Settings, later: Settings) -> tuple[str, ...]:
    """The keys of the settings that differ, but for models and keys."""
    return tuple(_differing("", _fixed(running), _fixed(later)))


def _fixed(settings: Settings) -> dict[str, Any]:
    auth = msgspec.structs.replace(settings.auth, keys=())
    fixed = msgspec.structs.asdict(msgspec.structs.replace(settings, models=(), auth=auth))
    return {name: section for name, section in fixed.items() if isinstance(section, msgspec.Struct)}


def _differing(prefix: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    for name, value in before.items():
        if isinstance(value, msgspec.Struct):
            inner = (msgspec.structs.asdict(each) for each in (value, after[name]))
            yield from _differing(f"{prefix}{name}.", *inner)
        elif value != after[name]:
            yield prefix + name


def _said(what: str, found: Difference) -> Iterator[str]:
    for how, names in (("added", found.added), ("changed", found.changed), ("removed", found.removed)):
        if names:
            yield f"{what} {how}: {', '.join(names)}"
