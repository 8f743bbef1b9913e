"""llama.cpp's own HTTP API, as the server of one model."""

from __future__ import annotations

from tidegate.providers.openai.provider import OpenAIProvider
from tidegate.providers.settings import OpenAIModel

FIRST_TOKEN_SECONDS = 600.0
"""For one prompt, since prompts are processed one at a time: 8,192 tokens take SmolLM2 a minute on two cores."""

STALL_SECONDS = 120.0
"""Between tokens, while batches of another prompt are being processed."""

BODY = {"return_progress": True, "n": 1}
"""Progress is written after each batch of the prompt: only so does llama.cpp notice that a connection was closed.
`n` is 1, since one generation takes one slot."""


async def upstream_at(address: str, api_key: str, name: str) -> OpenAIProvider:
    """The provider that sends requests to the process at `address`, which is `http://127.0.0.1:PORT`."""
    settings = OpenAIModel(
        name=name,
        base_url=f"{address}/v1",
        first_token_timeout=FIRST_TOKEN_SECONDS,
        stall_timeout=STALL_SECONDS,
    )
    upstream = OpenAIProvider(settings, api_key=api_key, body=BODY)
    await upstream.start()
    return upstream
