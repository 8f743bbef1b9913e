"""What an operator reads of a Redis that refuses commands."""

from __future__ import annotations

import pytest
from redis.exceptions import ResponseError
from redis_kit import RedisServer
from redis_store_kit import begun, redis_store, said

from tidegate.errors import StoreUnavailable
from tidegate.stores.redis.link.refusals import FULL, MOST_REASONS, SILENCE_SECONDS, Refusals


@pytest.mark.anyio
async def test_a_full_redis_is_said_once_for_all_streams(
    redis_url: str, redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Not once for each append, which are many a second; and what to do about it, not a script's line."""
    store = redis_store(redis_url)
    await store.open()
    caplog.clear()
    fences = [await begun(store, stream) for stream in ("gen_1", "gen_2")]
    with redis_server.client() as client:
        client.config_set("maxmemory", 1)
        try:
            for fence in 2 * fences:
                with pytest.raises(StoreUnavailable):
                    await said(store, fence, 1, "x")
        finally:
            client.config_set("maxmemory", 0)
    assert caplog.messages == [f"Redis refused a command: {FULL}"]
    await store.close()


def test_a_refusal_that_lasts_is_said_again(caplog: pytest.LogCaptureFixture) -> None:
    """Each of its own, once a minute; however many different ones there are, memory is bounded."""
    refusals = Refusals()
    for now in (0.0, SILENCE_SECONDS - 1, SILENCE_SECONDS):
        for reason in ("one", "another"):
            refusals.tell(ResponseError(reason), now)
    assert len(caplog.messages) == 4
    for number in range(3 * MOST_REASONS):
        refusals.tell(ResponseError(f"stream {number}"), 0.0)
    assert len(refusals._said) <= MOST_REASONS
