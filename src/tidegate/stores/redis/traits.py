"""What the Redis store says about itself, without importing the client."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

import msgspec

from tidegate.stores.redis.url import described, parse
from tidegate.stores.traits import Options, Traits

if TYPE_CHECKING:
    from tidegate.stores.redis.store import RedisStore


def _problem(url: str) -> str | None:
    try:
        parse(url)
    except ValueError as error:
        return str(error)
    if find_spec("redis") is None:
        return "the client is not installed: pip install 'tidegate[redis]'"
    return None


def _opened(url: str, options: Options) -> RedisStore:
    from tidegate.stores.redis.store import RedisSettings, RedisStore

    place = msgspec.structs.replace(parse(url), password_file=options.password_file, ca_file=options.ca_file)
    settings = RedisSettings(
        prefix=options.prefix,
        max_generation_bytes=options.max_generation_bytes,
        max_stored_bytes=options.max_stored_bytes,
        max_stored_bytes_each=options.max_stored_bytes_each or STORED_BYTES_EACH,
        topic_history=options.topic_history,
        retention_seconds=options.retention_seconds,
        patience_seconds=options.patience_seconds,
    )
    return RedisStore(place, settings, now=options.now)


STORED_BYTES_EACH = 1 << 30
"""What one caller may have kept, as on a disk: Redis is sized by its operator, who sets `store.max_bytes`, too."""

TRAITS = Traits(problem=_problem, open=_opened, place=described, shared=True)
