from __future__ import annotations

from typing import Any

import pytest

from tidegate.core.detached import DETACH, SPENT, Detached, detach, detached_of, forget_spent


def scope_of(**more: Any) -> dict[str, Any]:
    return {"extensions": {DETACH: {}}, "path": "/x", **more}


def test_an_answer_is_detached_only_where_its_server_goes_on_with_it() -> None:
    """Under any other server the application has to stay until its answer is over."""
    able: dict[str, Any] = scope_of()
    assert detach(able) is not None
    assert detached_of(able) is not None
    for unable in ({}, {"extensions": None}, {"extensions": {"tidegate.wire": object()}}):
        assert detach(unable) is None
        assert detached_of(unable) is None


def test_the_layers_end_it_in_the_order_in_which_they_have_returned() -> None:
    """Each is given what the one before it has made of the error, and the scope of the request; once."""
    seen: list[tuple[str, str, Exception | None]] = []
    broken, worse = ValueError(), KeyError()
    detached = Detached(scope_of())
    detached.then(lambda scope, error: seen.append(("inner", scope["path"], error)) or worse)
    detached.then(lambda scope, error: seen.append(("outer", scope["path"], error)))
    detached.end(broken)
    detached.end(broken)
    assert seen == [("inner", "/x", broken), ("outer", "/x", worse)]


def test_a_step_that_fails_keeps_none_from_its_own() -> None:
    """What counts a connection must not depend on what writes its last byte."""
    seen: list[Exception | None] = []
    bug = RuntimeError("a bug")

    def fails(scope: Any, error: Exception | None) -> Exception | None:
        raise bug

    detached = Detached(scope_of())
    detached.then(fails)
    detached.then(lambda _, error: seen.append(error))
    detached.end()
    assert seen == [bug]


def test_an_error_that_no_layer_deals_with_is_raised() -> None:
    """It is not lost."""
    detached = Detached(scope_of())
    detached.then(lambda _, error: error)
    with pytest.raises(ValueError, match="nobody"):
        detached.end(ValueError("nobody"))


def test_what_is_spent_is_forgotten_in_place() -> None:
    """The server has the same dict, which does not keep the size that it had."""
    scope: dict[str, Any] = {**dict.fromkeys(SPENT, "spent"), "path": "/x", "tidegate.request_id": "req_1"}
    forget_spent(scope)
    assert scope == {"path": "/x", "tidegate.request_id": "req_1"}
