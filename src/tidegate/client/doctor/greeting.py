"""The first probe: whether tidegate answers at the URL at all, and what of a request arrives there."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime

from tidegate.client.doctor.answer import Answer, decoded
from tidegate.client.doctor.caller import Caller, why
from tidegate.client.doctor.seen import Greeting
from tidegate.client.doctor.trouble import Blocked
from tidegate.core.url import shown_url
from tidegate.dialects.native_probe import Arrived
from tidegate.errors import ConfigError
from tidegate.http_client.errors import ClosedUnanswered, HttpError, MalformedResponse

PROBE = "/v1/probe"
DATE = "Date header"
SERVER = "server"

WRONG_KEY = (401, 403)
NO_TIDEGATE = (200, 204, 401, 404, 405, 410)
"""Statuses that say that something else lives at the URL, if tidegate has not sent them."""


async def greet(caller: Caller, clock: Callable[[], float]) -> Greeting:
    """What arrives at tidegate. `clock` is in Unix seconds.

    Raises `ConfigError` where URL or key are not right, and `Blocked` where the deployment keeps everything away.
    """
    sent = _headers()
    began = clock()
    try:
        answer = await caller.post(PROBE, {}, sent)
    except HttpError as error:
        asked = _asked_for_tls(caller, isinstance(error, ClosedUnanswered | MalformedResponse))
        raise Blocked("unreachable", _sentence(f"{shown_url(caller.url)} {why(error)}{asked}")) from error
    ended = clock()
    arrived = await _arrived(answer, caller)
    middle, unsure = (began + ended) / 2, (ended - began) / 2
    clocks = {SERVER: arrived.time - middle}
    if (date := _date(answer.headers)) is not None:
        clocks[DATE] = date - middle
    lost = [name for name in (*caller.credentials, *sent) if name not in arrived.headers]
    return Greeting(arrived=arrived, lost=lost, clocks=clocks, round_trip_s=ended - began, unsure_s=unsure + 1)


def _headers() -> dict[str, str]:
    """A header of each kind that something in tidegate depends on."""
    name = secrets.token_hex(8)
    return {
        "last-event-id": "doctor-1",
        "idempotency-key": f"doctor-{name}",
        "tidegate-on-disconnect": "keep",
        "x-request-id": f"doctor-{name}",
        "traceparent": f"00-{secrets.token_hex(16)}-{name}-00",
        "x-stainless-retry-count": "0",
    }


async def _arrived(answer: Answer, caller: Caller) -> Arrived:
    if answer.status == 200:
        try:
            return decoded(answer, Arrived)
        except MalformedResponse:
            raise _no_tidegate(answer, caller) from None
    if not answer.is_of_a_proxy:
        raise await _refused(answer, caller)
    if 300 <= answer.status < 400:
        raise ConfigError(
            f"{shown_url(caller.url)} {answer.said}: give that place as the URL, without {PROBE}. Redirects are not "
            "followed, so that the key goes nowhere else"
        )
    if answer.status in NO_TIDEGATE:
        raise _no_tidegate(answer, caller)
    asked = _asked_for_tls(caller, answer.status == 400 and b"https" in answer.body.lower())
    raise Blocked("unreachable", _sentence(f"Something in front of tidegate {answer.said}{asked}"))


async def _refused(answer: Answer, caller: Caller) -> Exception:
    """What it means that tidegate itself has refused the probe."""
    where, said = shown_url(caller.url), answer.said
    if answer.code == "host_not_allowed":
        return Blocked("host_refused", _sentence(f"tidegate {said}"))
    if answer.status in WRONG_KEY and caller.credentials:
        if await _is_as_without_key(answer, caller):
            return Blocked(
                "headers_lost", "The header authorization does not arrive: tidegate says that it got no key."
            )
        return ConfigError(f"{where} {said} The key in TIDEGATE_API_KEY is not the right one")
    if answer.status in WRONG_KEY:
        return ConfigError(f"{where} {said} Put a key into TIDEGATE_API_KEY")
    if answer.status in (404, 405):
        return ConfigError(
            f"{where} {said}: the tidegate there is older than this command, or the path of the URL wrong"
        )
    return Blocked("unreachable", _sentence(f"tidegate {said}"))


async def _is_as_without_key(answer: Answer, caller: Caller) -> bool:
    try:
        return (await caller.post(PROBE, {}, with_key=False)).said == answer.said
    except HttpError:
        return False


def _asked_for_tls(caller: Caller, seems_so: bool) -> str:
    """What to add where a server of TLS seems to have got a request without it."""
    return "; is it a port for https://?" if seems_so and caller.endpoint.scheme == "http" else ""


def _sentence(words: str) -> str:
    return words if words.endswith((".", "?")) else f"{words}."


def _no_tidegate(answer: Answer, caller: Caller) -> ConfigError:
    return ConfigError(f"{shown_url(caller.url)} is not where tidegate answers: POST {PROBE} {answer.said}")


def _date(headers: Mapping[str, str]) -> float | None:
    try:
        return parsedate_to_datetime(headers["date"]).timestamp()
    except (KeyError, ValueError):
        return None
