from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Awaitable
from typing import Any

import pytest
from issuer_kit import Issuer, resolved, settle

from tidegate.core.principal import Principal
from tidegate.errors import ConfigError, IssuerUnavailable, Unauthenticated
from tidegate.gate.jwt.jwk import KeySet
from tidegate.gate.jwt.jwks import MAX_WAITING, IssuerKeys
from tidegate.gate.jwt.jwks_schedule import FRESH_SECONDS, KEEP_SECONDS

pytestmark = pytest.mark.anyio

MINUTE = 60


async def ready(*kids: str) -> Issuer:
    issuer = Issuer(*(kids or ("one",)))
    issuer.tokens.start()
    await settle()
    return issuer


def asking(issuer: Issuer, *tokens: str, account: str = "") -> list[asyncio.Task[Principal]]:
    async def ask(token: str) -> Principal:
        return await resolved(issuer.tokens.check(token, account))

    return [asyncio.create_task(ask(token)) for token in tokens]


async def outcome(asked: Awaitable[Principal]) -> str:
    try:
        return (await asked).name
    except (IssuerUnavailable, Unauthenticated) as error:
        return error.code


async def test_started() -> None:
    """With the keys there, a token is checked at once."""
    issuer = await ready()
    assert isinstance(issuer.tokens.check(issuer.token()), Principal)


async def test_first_use() -> None:
    """Without a start the first token fetches the keys, and those that come meanwhile share that."""
    issuer = Issuer("one")
    asked = asking(issuer, *[issuer.token()] * 100)
    assert {principal.name for principal in await asyncio.gather(*asked)} == {"jwt::anna"}
    assert len(issuer.fetches) == 1


async def test_refreshed_in_the_background() -> None:
    """Keys that are no longer fresh are used on at once, and fetched anew, once."""
    issuer = await ready()
    await issuer.clock.advance(FRESH_SECONDS)
    assert all(isinstance(issuer.tokens.check(issuer.token()), Principal) for _ in range(100))
    await settle()
    assert len(issuer.fetches) == 2
    assert isinstance(issuer.tokens.check(issuer.token()), Principal)
    await settle()
    assert len(issuer.fetches) == 2


async def test_a_withdrawn_key() -> None:
    """A key that the issuer no longer has is refused once the keys were fetched anew."""
    issuer = await ready()
    issuer.rotate("two")
    assert (await issuer.check(issuer.token("one"))).name == "jwt::anna"
    await issuer.check(issuer.token("two"))
    with pytest.raises(Unauthenticated):
        await issuer.check(issuer.token("one"))


async def test_rotation_under_load() -> None:
    """While the issuer changes its keys no request fails: neither with the old key, nor with the new one."""
    issuer = await ready()
    await issuer.clock.advance(1)
    asked = asking(issuer, *[issuer.token() for _ in range(100)])
    issuer.rotate("two")
    asked += asking(issuer, *[issuer.token() for _ in range(100)])
    await issuer.clock.advance(5)
    assert [await outcome(each) for each in asked] == ["jwt::anna"] * 200
    assert len(issuer.fetches) == 2


async def test_rotation_during_a_fetch() -> None:
    """What the issuer said before it made a key refuses nobody who holds a token of it."""
    issuer = await ready()
    await issuer.clock.advance(10)
    issuer.answers.clear()
    early = asking(issuer, issuer.token("unknown"))
    await settle()
    issuer.rotate("two")
    late = asking(issuer, issuer.token())
    await settle()
    issuer.answers.set()
    await settle()
    assert await outcome(early[0]) == "invalid_credentials"
    assert not late[0].done()
    await issuer.clock.advance(5)
    assert await outcome(late[0]) == "jwt::anna"
    assert len(issuer.fetches) == 3


async def test_an_unknown_key_is_refused() -> None:
    """By the next fetch that is allowed, five seconds after the one before, and not earlier."""
    issuer = await ready()
    (asked,) = asking(issuer, issuer.token("unknown"))
    await issuer.clock.advance(4.9)
    assert not asked.done()
    await issuer.clock.advance(0.1)
    assert await outcome(asked) == "invalid_credentials"
    assert [fetched - issuer.fetches[0] for fetched in issuer.fetches] == [0, 5]


async def test_a_wrong_signature_asks_nobody() -> None:
    """Where the key is known there is nothing to fetch: the token is refused at once."""
    issuer = await ready()
    await issuer.clock.advance(10)
    with pytest.raises(Unauthenticated, match="signature"):
        issuer.tokens.check(issuer.token() + "AA")
    await settle()
    assert len(issuer.fetches) == 1


async def test_the_same_keys_are_searched_once() -> None:
    """A fetch that brings nothing new costs those who wait for it no second look."""
    issuer = await ready()
    looked: list[KeySet] = []
    sought = asyncio.ensure_future(issuer.keys.seek(looked.append, seen=issuer.keys.current(), account=""))
    await issuer.clock.advance(5)
    assert await sought is None
    assert len(issuer.fetches) == 2
    assert looked == []


async def test_a_flood_of_unknown_keys() -> None:
    """Ten thousand made-up names in a minute are thirteen fetches for the issuer; a token of a real key passes."""
    issuer = await ready()
    token = issuer.token("unknown")
    asked: list[asyncio.Task[Principal]] = []
    for n in range(10_000):
        asked += asking(issuer, token, account=str(n % 10))
        await issuer.clock.advance(MINUTE / 10_000)
        if n == 5000:
            issuer.rotate("two")
            (real,) = asking(issuer, issuer.token())
    assert len(issuer.fetches) <= 13
    assert await outcome(real) == "jwt::anna"
    await issuer.clock.advance(5)
    assert {await outcome(each) for each in asked} == {"invalid_credentials"}


async def test_waiting_is_bounded() -> None:
    """Beyond a hundred of an account that wait, the next is told at once to try again."""
    issuer = await ready()
    asked = asking(issuer, *[issuer.token("unknown")] * (MAX_WAITING + 1))
    await settle()
    assert [each.done() for each in asked] == [False] * MAX_WAITING + [True]
    assert await outcome(asked[-1]) == "issuer_unavailable"
    await issuer.clock.advance(5)
    assert {await outcome(each) for each in asked[:-1]} == {"invalid_credentials"}
    assert await outcome(issuer.check(issuer.token("unknown"))) == "invalid_credentials"


async def test_a_flood_of_one_account_keeps_nobody_out() -> None:
    """However many made-up keys an account waits for, another's token of a new key passes."""
    issuer = await ready()
    flood = asking(issuer, *[issuer.token("unknown")] * 3000, account="address:192.0.2.1")
    issuer.rotate("two")
    (real,) = asking(issuer, issuer.token(), account="address:192.0.2.2")
    await issuer.clock.advance(5)
    assert await outcome(real) == "jwt::anna"
    assert {await outcome(each) for each in flood} == {"invalid_credentials", "issuer_unavailable"}


async def test_who_leaves_disturbs_nobody() -> None:
    """A request that is given up while it waits leaves the fetch to the others."""
    issuer = Issuer("one")
    issuer.answers.clear()
    gone, stays = asking(issuer, issuer.token(), issuer.token())
    await settle()
    gone.cancel()
    await settle()
    issuer.answers.set()
    assert await outcome(stays) == "jwt::anna"


async def test_an_outage() -> None:
    """While the issuer is down for ten minutes its keys work on; whether an unknown one is its own, nobody knows."""
    issuer = await ready()
    issuer.down = True
    asked: list[asyncio.Task[Principal]] = []
    for _ in range(10 * MINUTE):
        await issuer.clock.advance(1)
        assert isinstance(issuer.tokens.check(issuer.token()), Principal)
        asked += asking(issuer, issuer.token("unknown"))
    await issuer.clock.advance(MINUTE)
    assert {await outcome(each) for each in asked} == {"issuer_unavailable"}
    assert len(issuer.fetches) < 20
    issuer.down = False
    issuer.rotate("two")
    await issuer.clock.advance(MINUTE)
    assert await outcome(issuer.check(issuer.token())) == "jwt::anna"


async def test_an_outage_is_not_waited_for() -> None:
    """Once the next try is further away than a few seconds, the answer comes at once."""
    issuer = await ready()
    issuer.down = True
    for _ in range(4):
        await issuer.clock.advance(30)
        await outcome(issuer.check(issuer.token("unknown")))
    (asked,) = asking(issuer, issuer.token("unknown"))
    await settle()
    assert asked.done()
    assert await outcome(asked) == "issuer_unavailable"


async def test_the_end_of_an_outage_that_is_too_long() -> None:
    """After a day the old keys are trusted no more, until the issuer confirms them."""
    issuer = await ready()
    issuer.down = True
    await issuer.clock.advance(KEEP_SECONDS - 1)
    assert isinstance(issuer.tokens.check(issuer.token()), Principal)
    await issuer.clock.advance(1)
    assert await outcome(issuer.check(issuer.token())) == "issuer_unavailable"
    issuer.down = False
    await issuer.clock.advance(MINUTE)
    assert await outcome(issuer.check(issuer.token())) == "jwt::anna"


async def test_never_reached() -> None:
    """An issuer that was down from the start is tried again, ever more slowly, and the first answer heals all."""
    issuer = Issuer("one")
    issuer.down = True
    asked: list[asyncio.Task[Principal]] = []
    for _ in range(2 * 64):
        asked += asking(issuer, issuer.token())
        await issuer.clock.advance(0.5)
    assert {await outcome(each) for each in asked} == {"issuer_unavailable"}
    tries = [later - earlier for earlier, later in zip(issuer.fetches, issuer.fetches[1:], strict=False)]
    assert tries == [1, 2, 4, 8, 16, 32]
    issuer.down = False
    await issuer.clock.advance(MINUTE)
    assert await outcome(issuer.check(issuer.token())) == "jwt::anna"


async def test_a_malformed_document() -> None:
    """Counts as a failure: the old keys stay."""
    issuer = await ready()
    issuer.jwks = None  # type: ignore[assignment]
    await issuer.clock.advance(FRESH_SECONDS)
    token = issuer.token()
    assert isinstance(issuer.tokens.check(token), Principal)
    await settle()
    assert len(issuer.fetches) == 2
    assert isinstance(issuer.tokens.check(token), Principal)


async def test_an_emptied_key_set() -> None:
    """An issuer that withdraws all its keys is believed."""
    issuer = await ready()
    issuer.jwks = []
    await issuer.clock.advance(FRESH_SECONDS)
    issuer.tokens.start()
    await settle()
    assert await outcome(issuer.check(issuer.token())) == "invalid_credentials"


async def test_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """An outage is two lines in the log: its begin, with the reason, and its end."""
    caplog.set_level(logging.INFO, "tidegate.gate")
    issuer = await ready()
    issuer.down = True
    for _ in range(20):
        await issuer.clock.advance(FRESH_SECONDS)
        issuer.tokens.start()
    issuer.down = False
    for _ in range(3):
        await issuer.clock.advance(FRESH_SECONDS)
        issuer.tokens.start()
    await settle()
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "the keys of the issuer at auth.example.com cannot be fetched: answers 500"),
        ("INFO", "the keys of the issuer at auth.example.com can be fetched again"),
    ]


async def test_close() -> None:
    """Closing cancels the fetch, and who waits for it is told so."""
    before = asyncio.all_tasks()
    issuer = Issuer("one")
    issuer.answers.clear()
    (asked,) = asking(issuer, issuer.token())
    await settle()
    issuer.tokens.close()
    assert await outcome(asked) == "issuer_unavailable"
    await settle()
    assert asyncio.all_tasks() == before


async def test_close_before_a_planned_fetch() -> None:
    """Nor does a fetch begin that was only planned."""
    issuer = await ready()
    (asked,) = asking(issuer, issuer.token("unknown"))
    await settle()
    issuer.tokens.close()
    issuer.tokens.close()
    await issuer.clock.advance(10)
    assert await outcome(asked) == "issuer_unavailable"
    assert len(issuer.fetches) == 1


async def test_a_bug_in_fetching() -> None:
    """An error that nobody foresaw is reported, and leaves nobody waiting."""
    loop = asyncio.get_running_loop()
    reported: list[Any] = []
    before = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: reported.append(context["exception"]))

    async def broken() -> bytes:
        raise KeyError("bug")

    keys = IssuerKeys(broken, name="x")
    with pytest.raises(IssuerUnavailable):
        await keys.seek(lambda found: found, seen=None, account="")
    gc.collect()
    loop.set_exception_handler(before)
    assert [repr(error) for error in reported] == ["KeyError('bug')"]


async def test_at() -> None:
    """The keys are those at a URL, if that is one."""
    assert IssuerKeys.at("https://auth.example.com/jwks?p=1")
    with pytest.raises(ConfigError, match=r"auth\.jwks_url"):
        IssuerKeys.at("auth.example.com")
