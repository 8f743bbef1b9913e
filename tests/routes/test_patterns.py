from __future__ import annotations

import pytest

from tidegate.routes.patterns import path_below, pattern_of


@pytest.mark.parametrize(
    ("pattern", "path", "found"),
    [
        ("/v1/streams/{id}", "/v1/streams/gen_1", {"id": "gen_1"}),
        ("/v1/streams/{id}", "/v1/streams/gen_1/events", None),
        ("/v1/streams/{id}", "/v1/streams/", None),
        ("/v1/streams/{id}/events", "/v1/streams/gen_1/events", {"id": "gen_1"}),
        ("/v1/streams/{id}/events", "/v1/streams/gen_1/events/", None),
        ("/v1/models/{id:path}", "/v1/models/openai/gpt", {"id": "openai/gpt"}),
        ("/v1/models/{id:path}", "/v1/models", None),
        ("/a.b/{id}", "/aXb/1", None),
        ("/{one}/{other}", "/1/2", {"one": "1", "other": "2"}),
    ],
)
def test_a_pattern_matches_whole_paths(pattern: str, path: str, found: dict[str, str] | None) -> None:
    """A parameter is one segment, unless it may have slashes; everything else stands for itself."""
    match = pattern_of(pattern).fullmatch(path)
    assert (None if match is None else match.groupdict()) == found


@pytest.mark.parametrize(
    ("path", "root_path", "below"),
    [
        ("/v1/streams", "", "/v1/streams"),
        ("/llm/v1/streams", "/llm", "/v1/streams"),
        ("/llm", "/llm", ""),
        ("/llmv1/streams", "/llm", "/llmv1/streams"),
        ("/v1/streams", "/llm", "/v1/streams"),
    ],
)
def test_a_mounted_application_sees_the_path_below_its_own(path: str, root_path: str, below: str) -> None:
    """Whether or not the server has left the prefix in the path; a longer name is no prefix."""
    assert path_below({"path": path, "root_path": root_path}) == below
