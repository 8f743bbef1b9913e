from __future__ import annotations

import pytest

from tidegate.config import AuthSettings, Changes, LimitSettings, Settings
from tidegate.core.difference import Difference
from tidegate.errors import ConfigError, InUse, StoreUnavailable, TidegateError
from tidegate.gate.api_keys import ApiKey
from tidegate.providers.llama.lane_words import LanePlace
from tidegate.providers.settings import LlamaModel, OpenAIModel, PythonModel, Upstream
from tidegate.workers.messages import (
    Drop,
    Failed,
    Listen,
    Message,
    Prepare,
    Prepared,
    Ready,
    Setup,
    Take,
    Taken,
    decoded,
    encoded,
    failed,
)

SETTINGS = Settings(
    models=(
        LlamaModel(name="l", path="/\udcff.gguf"),
        PythonModel(name="p", target="agents:answer"),
        OpenAIModel(name="o", upstreams=(Upstream(base_url="http://127.0.0.1:9/v1", weight=2),)),
    ),
    auth=AuthSettings(keys=(ApiKey(name="k", sha256="0" * 64, scopes=("read",)),)),
    limits=LimitSettings(connections=7),
)


@pytest.mark.parametrize(
    "message",
    [
        Setup(1, SETTINGS, [[3], [4, 5]], {"l": LanePlace(9, "key")}, {"o": ("sk-1", "")}),
        Listen([0, 2]),
        Ready(),
        Failed("x", "y"),
        Prepare(3, SETTINGS, {"l": LanePlace(9, "key")}, {"o": ("sk-1", "")}),
        Prepared(3, Failed("x", "y", ("models", "l"), "z")),
        Take(),
        Taken(Changes(models=Difference(added=("l",)), ignored=("server.port",))),
        Drop(),
    ],
)
def test_a_message_arrives_as_it_was_sent(message: Message) -> None:
    """On one line, with every setting, also a path whose bytes are no text."""
    line = encoded(message)
    assert line.count(b"\n") == 1
    assert decoded(line) == message


@pytest.mark.parametrize(
    "error",
    [
        ConfigError("models.x.path: no", key=("models", "x", "path"), problem="no"),
        InUse("another has it", key=("store", "url")),
        StoreUnavailable("it is away"),
    ],
)
def test_an_error_is_the_same_to_the_parent(error: TidegateError) -> None:
    """Its class decides the exit code, and its key is what the parent adds the source of the value to."""
    message = decoded(encoded(failed(error)))
    assert isinstance(message, Failed)
    found = message.error
    assert found.message == error.message
    assert isinstance(found, ConfigError) == isinstance(error, ConfigError)
    assert isinstance(found, InUse) == isinstance(error, InUse)
    if isinstance(error, ConfigError) and isinstance(found, ConfigError):
        assert (found.key, found.problem) == (error.key, error.problem)
