"""tidegate: every answer of a model is a log on the server, followed by any number of readers.

For applications that embed it: `Tidegate`, its `Settings`, and the events that a `python` model may yield.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tidegate.app import Tidegate
    from tidegate.config import Settings
    from tidegate.core.events import Completed, Delta, GenerationRequest, Message, Reasoning, ToolCall, Usage
    from tidegate.errors import TidegateError

__all__ = [
    "Completed",
    "Delta",
    "GenerationRequest",
    "Message",
    "Reasoning",
    "Settings",
    "Tidegate",
    "TidegateError",
    "ToolCall",
    "Usage",
]

_HOMES = {"Tidegate": "app", "Settings": "config", "TidegateError": "errors"}


def __getattr__(name: str) -> Any:
    # Imported on first use, since `tidegate tail` and the model's child process need no server.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"tidegate.{_HOMES.get(name, 'core.events')}"), name)
