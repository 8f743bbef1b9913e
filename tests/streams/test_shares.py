from __future__ import annotations

from hashlib import sha256

import pytest

from tidegate.core.events import Started
from tidegate.core.principal import Principal
from tidegate.errors import StreamNotFound
from tidegate.stores.memory import MemoryStore
from tidegate.stores.records import Share, StreamRecord
from tidegate.streams.shares import Shares, is_share_token

pytestmark = pytest.mark.anyio


class World:
    """Shares over a memory store, at a time that a test sets, with bits that count up from `0xabc`."""

    def __init__(self) -> None:
        self.now = 1000.00049
        self._next = 0xABB
        self.store = MemoryStore(max_generation_bytes=1000, now=lambda: self.now)
        self.shares = Shares(self.store, now=lambda: self.now, random_bits=self._bits)

    async def add(self, stream: str) -> None:
        record = StreamRecord(id=stream, owner="anna", model="m", created_at=1.0)
        await self.store.create(record, [Started(stream, "m", 1.0)])

    def _bits(self, count: int) -> int:
        assert count == 256
        self._next += 1
        return self._next


@pytest.fixture
async def world() -> World:
    world = World()
    await world.add("gen_1")
    await world.add("gen_2")
    return world


async def test_a_token_is_256_bits_and_says_when_it_expires(world: World) -> None:
    """It is told with its end, to the millisecond."""
    assert await world.shares.share("gen_1", 60) == ("share_" + "0" * 61 + "abc", 1060.0)


async def test_the_store_has_the_hash_alone(world: World) -> None:
    """Whoever reads the store learns no token."""
    token, expires_at = await world.shares.share("gen_1", 60)
    digest = sha256(token.encode()).digest()
    assert await world.store.shared(digest) == Share(digest, "gen_1", expires_at)


async def test_its_holder_reads_one_stream(world: World) -> None:
    """The principal has a name that tells its token from others and does not tell the token, and no account."""
    token, expires_at = await world.shares.share("gen_1", 60)
    name = f"share:{sha256(token.encode()).hexdigest()}"
    expected = Principal(name, frozenset({"read"}), "", "gen_1", expires_at)
    assert await world.shares.holder(token) == expected


async def test_it_expires(world: World) -> None:
    """From its last millisecond on nobody reads by it."""
    token, expires_at = await world.shares.share("gen_1", 60)
    world.now = expires_at - 0.001
    assert await world.shares.holder(token) is not None
    world.now = expires_at
    assert await world.shares.holder(token) is None


async def test_revoking_ends_all_tokens_of_the_stream_and_no_others(world: World) -> None:
    """Whoever made them need not know them."""
    first, second, other = [(await world.shares.share(stream, 60))[0] for stream in ("gen_1", "gen_1", "gen_2")]
    assert len({first, second, other}) == 3
    await world.shares.revoke("gen_1")
    assert [await world.shares.holder(token) for token in (first, second)] == [None, None]
    assert await world.shares.holder(other) is not None


async def test_a_token_is_forgotten_with_its_stream(world: World) -> None:
    """It leads nowhere once the stream is gone."""
    token, _ = await world.shares.share("gen_1", 60)
    await world.store.forget("gen_1")
    assert await world.shares.holder(token) is None


async def test_what_is_not_there_cannot_be_shared(world: World) -> None:
    """An unknown stream is said to be unknown."""
    with pytest.raises(StreamNotFound):
        await world.shares.share("gen_none", 60)
    with pytest.raises(StreamNotFound):
        await world.shares.revoke("gen_none")


MALFORMED = [
    "share_",
    "share_" + "0" * 63,
    "share_" + "0" * 65,
    "share_" + "0" * 64 + "\n",
    "share_" + "G" * 64,
    "share_" + "ABCDEF" + "0" * 58,
    "share_" + "٣" * 64,
    "share_\udc80",
]


@pytest.mark.parametrize("token", MALFORMED)
async def test_what_is_malformed_is_a_share_token_without_a_holder(world: World, token: str) -> None:
    """It is refused as what it means to be, and is never taken for somebody without credentials."""
    assert is_share_token(token)
    assert world.shares.is_one(token)
    assert await world.shares.holder(token) is None


@pytest.mark.parametrize("text", ["", "share", "SHARE_" + "0" * 64, "sk-share_", " share_" + "0" * 64, "0" * 64])
async def test_other_credentials_are_no_share_tokens(world: World, text: str) -> None:
    """They are left to whoever knows them."""
    assert not is_share_token(text)
    assert await world.shares.holder(text) is None


async def test_what_was_never_made_has_no_holder(world: World) -> None:
    """A token that was guessed is as good as none."""
    await world.shares.share("gen_1", 60)
    assert await world.shares.holder("share_" + "0" * 64) is None
