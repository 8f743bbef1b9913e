"""Shares one stream with others: its share tokens, and the page that a token leads to."""

from __future__ import annotations

from tidegate.dialects import native_share
from tidegate.routes.call import Call
from tidegate.routes.pages import answer_shared


async def share(call: Call) -> None:
    """Answers with a token that lets anybody read the stream, and with the URL of its page."""
    wanted = native_share.parse(await call.small_body())
    stream = call.stream()
    token, expires_at = await call.service.share(stream, call.principal, wanted.ttl_seconds)
    await call.answer_json(native_share.Shared(token, f"{call.url}/s/{token}", expires_at))


async def unshare(call: Call) -> None:
    """Revokes all tokens of the stream."""
    await call.service.unshare(call.stream(), call.principal)
    await call.answer_empty()


async def show(call: Call) -> None:
    """The page of one shared stream; 404 where the token is not, or no longer, valid."""
    holder = await call.service.shares.holder(call.params["token"])
    if holder is None:
        call.context.authenticator.failed(call.address_account)
    await answer_shared(call, None if holder is None else holder.stream)
