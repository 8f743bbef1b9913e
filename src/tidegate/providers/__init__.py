"""Providers fill generations. A table of import strings opens them by name, so that only what is used is imported."""

from __future__ import annotations

PROVIDERS = {
    "llama": "tidegate.providers.llama.provider:LlamaProvider",
    "openai": "tidegate.providers.openai.provider:OpenAIProvider",
    "python": "tidegate.providers.python:PythonProvider",
    "replay": "tidegate.providers.replay:ReplayProvider",
}
"""Each class is constructed with the `[[models]]` entry it serves: `Provider(model: ModelSettings)`. Where an entry has
several upstreams, there is one for each of them."""
