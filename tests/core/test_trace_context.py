from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.core.trace_context import TraceContext, sent_trace

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"

simple_keys = st.from_regex(r"[a-z][a-z0-9_*/-]{0,20}", fullmatch=True)
tenant_keys = st.from_regex(r"[a-z0-9][a-z0-9_*/-]{0,20}@[a-z][a-z0-9_*/-]{0,13}", fullmatch=True)
state_values = st.from_regex(r"[ -+\--<>-~]{0,20}[!-+\--<>-~]", fullmatch=True)
members = st.builds("{}={}".format, simple_keys | tenant_keys, state_values)


def parsed(parent: str, *states: str) -> TraceContext | None:
    return sent_trace([(b"traceparent", parent.encode()), *((b"tracestate", state.encode()) for state in states)])


def state_of(*states: str) -> str:
    found = parsed(PARENT, *states)
    assert found is not None
    return found.state


def test_parent() -> None:
    """A valid `traceparent` is a span of somebody else's trace."""
    assert sent_trace([(b"accept", b"*/*"), (b"traceparent", PARENT.encode())]) == TraceContext(TRACE, SPAN, 1)


@given(
    st.binary(min_size=24, max_size=24).filter(lambda entropy: any(entropy[:16]) and any(entropy[16:])),
    st.sampled_from([0, 1]),
    st.lists(members, max_size=10),
)
def test_a_span_survives_the_wire(entropy: bytes, flags: int, states: list[str]) -> None:
    """What is sent to an upstream is what it reads."""
    span = TraceContext(entropy[:16].hex(), entropy[16:].hex(), flags, ",".join(states))
    assert parsed(span.header(), span.state) == span


@given(st.text() | st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}.{0,3}"))
def test_whatever_is_sent_what_goes_on_is_valid(parent: str) -> None:
    """No `traceparent` of a client's breaks a request, nor comes out as anything but a valid one of version 00."""
    span = sent_trace([(b"traceparent", parent.encode("utf-8", "replace"))])
    assert span is None or parsed(span.header()) == span


@given(st.lists(st.binary(max_size=40) | members.map(str.encode), max_size=5))
def test_whatever_is_sent_as_state_is_safe_in_a_header(states: list[bytes]) -> None:
    """What goes on of `tracestate` is visible ASCII and spaces, and means the same when it is read again."""
    span = sent_trace([(b"traceparent", PARENT.encode()), *((b"tracestate", state) for state in states)])
    assert span is not None
    assert span.state.isascii()
    assert span.state.isprintable()
    assert state_of(span.state) == span.state


@pytest.mark.parametrize(
    "parent",
    [
        "",
        PARENT.upper(),
        PARENT[:-1],
        PARENT + "-00",
        PARENT + "0",
        PARENT + "\n",
        f"ff-{TRACE}-{SPAN}-01",
        f"0-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[:-1]}g-{SPAN}-01",
        f"00-{TRACE}{SPAN}-01",
        f"cc-{TRACE}-{SPAN}-0",
        f"cc-{TRACE}-{SPAN}-01.more",
        f"{PARENT},{PARENT}",
    ],
)
def test_invalid(parent: str) -> None:
    """What is not exactly a `traceparent` is as good as none, and takes `tracestate` with it."""
    assert parsed(parent, "a=1") is None


def test_repeated() -> None:
    """Of two parents neither is the one."""
    assert sent_trace([(b"traceparent", PARENT.encode())] * 2) is None


def test_none() -> None:
    """A state without a parent says nothing."""
    assert sent_trace([(b"tracestate", b"a=1")]) is None


@pytest.mark.parametrize("rest", ["", "-", "-what-the-future-will-be-like"])
def test_later_versions(rest: str) -> None:
    """Of a later version the fields of this one are read, and it is handed on as this one."""
    span = parsed(f"cc-{TRACE}-{SPAN}-01{rest}")
    assert span is not None
    assert span.header() == PARENT


def test_white_space_around_the_parent() -> None:
    """White space around a field's value is not part of it (RFC 9110, 5.5)."""
    assert parsed(f" {PARENT}\t") == parsed(PARENT)


@pytest.mark.parametrize(("sent", "kept"), [("00", "00"), ("01", "01"), ("ff", "01"), ("fe", "00"), ("03", "01")])
def test_flags(sent: str, kept: str) -> None:
    """Whether a trace is sampled is handed on; flags that are not defined are not."""
    span = parsed(f"00-{TRACE}-{SPAN}-{sent}")
    assert span is not None
    assert span.header() == f"00-{TRACE}-{SPAN}-{kept}"


@pytest.mark.parametrize(
    ("states", "kept"),
    [
        ([], ""),
        ([""], ""),
        (["a=1"], "a=1"),
        (["a=1,b=2", "c=3"], "a=1,b=2,c=3"),
        (["a=1 \t , \t b=2", "", ",", "c=3\t"], "a=1,b=2,c=3"),
        (["1a@b=x y"], "1a@b=x y"),
        (["a= 1"], "a= 1"),
        (["a" * 256 + "=1"], "a" * 256 + "=1"),
        ([f"{'t' * 241}@{'v' * 14}=1"], f"{'t' * 241}@{'v' * 14}=1"),
        (["a=" + "x" * 256], "a=" + "x" * 256),
        ([f"a{n}=1" for n in range(32)], ",".join(f"a{n}=1" for n in range(32))),
        (["a=" + "x" * 253, "b=" + "x" * 254], f"a={'x' * 253},b={'x' * 254}"),
    ],
)
def test_state(states: list[str], kept: str) -> None:
    """`tracestate` is handed on, its fields combined in their order."""
    assert state_of(*states) == kept


@pytest.mark.parametrize(
    "state",
    [
        *["a", "=1", "a=", "A=1", "1a=1", "a b=1", "a=1=2", "a=\x00", "a=ü", "a.b=1", "a=1;b=2", "a=1\r\nx: y"],
        *["@a=1", "a@=1", "a@1=1", "a@b@c=1", "a" * 257 + "=1", "t" * 242 + "@v=1", "t@" + "v" * 15 + "=1"],
        "a=" + "x" * 257,
        ",".join(f"a{n}=1" for n in range(32)),
        "a=" + "x" * 254 + ",b=" + "x" * 249,
    ],
)
def test_unfit_state(state: str) -> None:
    """A state that is malformed or too long is dropped as a whole; the trace goes on."""
    assert state_of("ok=1", state) == ""


def test_child() -> None:
    """A child is another span of the same trace, with the same flags and state."""
    span = TraceContext(TRACE, SPAN, 1, "a=1").child(bytes(range(1, 9)))
    assert span == TraceContext(TRACE, "0102030405060708", 1, "a=1", SPAN)


def test_start() -> None:
    """A new trace has random ids, and nobody has asked for it to be sampled."""
    span = TraceContext.start(bytes(range(24)))
    assert span.header() == "00-000102030405060708090a0b0c0d0e0f-1011121314151617-00"
    assert parsed(span.header()) == span
