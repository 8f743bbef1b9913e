"""tidegate inside a FastAPI application: run with `uvicorn fastapi_app:app`, open http://127.0.0.1:8000/llm/."""

import asyncio
from collections.abc import AsyncIterator

from fastapi import FastAPI

from tidegate import GenerationRequest, Tidegate


async def answer(request: GenerationRequest) -> AsyncIterator[str]:
    for word in f"You said: {request.prompt}".split(" "):
        yield word + " "
        await asyncio.sleep(0.05)


streams = Tidegate(models={"agent": answer})
app = FastAPI(lifespan=streams.lifespan)
app.mount("/llm", streams)
