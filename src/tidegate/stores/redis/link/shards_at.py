"""The shards of a place, by its kind."""

from __future__ import annotations

from functools import partial

from tidegate.stores.redis.link.cluster import ClusterShards
from tidegate.stores.redis.link.one_shard import OneShard, first, master
from tidegate.stores.redis.link.shards import Shards
from tidegate.stores.redis.url import Place


def shards_at(place: Place) -> Shards:
    """The shards of a place, which are not open yet."""
    if place.kind == "cluster":
        return ClusterShards(place)
    return OneShard(place, partial(master, place) if place.kind == "sentinel" else partial(first, place))
