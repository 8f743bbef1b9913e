"""An OpenAI-compatible server that goes on from a partial answer."""

from __future__ import annotations

import asyncio

from update_plan import Plan

from tidegate.testing.upstream import DONE, End, FakeUpstream, Head, Request, Script, Send, Tokens, chunk, usage


class Upstream(FakeUpstream):
    """Says the plan's text at the plan's rate, from where the last message by the assistant stops."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(models=("upstream",))
        self._plan = plan

    async def _answer(self, request: Request, gone: asyncio.Future[float]) -> Script:
        if request.method == "GET":
            return await super()._answer(request, gone)
        last = request.json["messages"][-1]
        said = len(last["content"].split()) if last["role"] == "assistant" else 0
        texts = [f"{' ' if number else ''}w{number}" for number in range(self._plan.tokens)][said:]
        tokens = Tokens(texts, self._plan.pause)
        return [Head(), tokens, Send(chunk({}, "stop")), Send(usage(1, len(texts))), DONE, End()]
