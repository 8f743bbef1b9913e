"""What Redis needs so that our promises hold, as INFO tells it: managed services close CONFIG; whose keys it holds."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping

from tidegate.errors import ConfigError
from tidegate.stores.redis.keys import LAYOUT, Keys
from tidegate.stores.redis.link.connecting import facts_of
from tidegate.stores.redis.link.shards import OPEN_SECONDS, Shards

OLDEST = (6, 2)
"""The first version that has all commands that are used."""

logger = logging.getLogger("tidegate.stores")


async def check(shards: Shards) -> None:
    """Logs what the operator should change. Raises `ConfigError` where Redis is too old, and `StoreUnavailable`."""
    found = [facts_of(info) for info in await shards.servers()]
    for facts in found:
        check_version(facts)
    for warning in dict.fromkeys(warning for facts in found for warning in warnings(facts)):
        logger.warning("%s", warning)


def check_version(facts: Mapping[str, str]) -> None:
    """Raises `ConfigError` where the server is too old. `facts` are what INFO says."""
    version = facts.get("redis_version", "0.0")
    major, minor = (int(part) for part in version.split(".")[:2])
    if (major, minor) < OLDEST:
        problem = f"Redis {version} is too old: {OLDEST[0]}.{OLDEST[1]} is the oldest that will do, or Valkey"
        raise ConfigError(f"store.url: {problem}", key=("store", "url"), problem=problem)


def warnings(facts: Mapping[str, str]) -> Iterator[str]:
    """What the operator should change, and why."""
    policy = facts.get("maxmemory_policy", "noeviction")
    if facts.get("maxmemory", "0") != "0" and policy != "noeviction":
        yield f"Redis forgets live streams when its memory is full ({policy}): set its maxmemory-policy to noeviction"
    if facts.get("aof_enabled") == "0":
        yield (
            "Redis keeps no append-only file: a restart loses what came after its last snapshot, or everything; set "
            "its appendonly to yes"
        )


async def check_layout(shards: Shards, keys: Keys, *, keep_ms: int) -> None:
    """Notes the layout of the keys where nobody has. Raises `ConfigError` where other nodes have another one."""
    await shards.ask(keys.layout, ("SET", keys.layout, LAYOUT, "NX", "PX", keep_ms), within=OPEN_SECONDS)
    found = await shards.ask(keys.layout, ("GET", keys.layout), within=OPEN_SECONDS)
    if found != b"%d" % LAYOUT:
        problem = (
            f"the keys are those of another version of tidegate (their layout is {found.decode()}, this one has "
            f"{LAYOUT}): use that version, or give this one another prefix"
        )
        raise ConfigError(f"store.prefix: {problem}", key=("store", "prefix"), problem=problem)
