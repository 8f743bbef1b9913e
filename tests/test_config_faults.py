"""Faults of the configuration that no file shows: what is named is not there, or not fit."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from cli_kit import Run

from tidegate.stores.sqlite.file import DatabaseFile

FAST = '[[models]]\nname = "fast"\nprovider = "replay"\n'
OPENAI = '[[models]]\nname = "o"\nprovider = "openai"\n'
ONE = f'{OPENAI}base_url = "http://127.0.0.1:9/v1"\n'
LLAMA = '[[models]]\nname = "l"\nprovider = "llama"\n'
PYTHON = '[[models]]\nname = "p"\nprovider = "python"\n'
CANARY = "canary-hunter2"

Serve = Callable[..., tuple[int, str]]


@pytest.fixture
def serve(tidegate: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Serve:
    """Runs `tidegate serve` in this process, in a folder with this `tidegate.toml`: exit code and errors."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    # The command puts the user's folder before the others.
    monkeypatch.setattr(sys, "path", sys.path[:])

    def run(text: str, *flags: str, environ: Mapping[str, str] = {}) -> tuple[int, str]:
        Path("tidegate.toml").write_text(text)
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        code, out, err = tidegate("serve", *flags)
        assert out == ""
        return code, err

    return run


def assert_named(outcome: tuple[int, str], key: str, source: str, problem: str) -> None:
    """One line: the key, its value, where it stands, and what is wrong with it."""
    code, err = outcome
    assert err.startswith(f"tidegate: {key} ({source}): "), err
    assert problem in err
    assert err.count("\n") == 1
    assert code == 2


@pytest.mark.parametrize(
    ("text", "key", "problem"),
    [
        (f'{FAST}file = "/nope"', "models.0.file = '/nope'", "No such file or directory"),
        (f'{FAST}file = "/"', "models.0.file = '/'", "Is a directory"),
        (f'{FAST}file = "/dev/null"', "models.0.file = '/dev/null'", "no words"),
        (f'{FAST}file = "a\\u0000"', r"models.0.file = 'a\x00'", "cannot be read"),
        (f'{FAST}text = " "', "models.0.text = ' '", "no words"),
        (f'{FAST}{LLAMA}path = "/nope.gguf"', "models.1.path = '/nope.gguf'", "No such file or directory"),
        (f'{LLAMA}path = "/"', "models.0.path = '/'", "Is a directory"),
        (f'{LLAMA}path = "tidegate.toml"', "models.0.path = 'tidegate.toml'", "not a .gguf file"),
        (f'{LLAMA}path = "a\\u0000"', r"models.0.path = 'a\x00'", "cannot be read"),
        (f'{PYTHON}target = "nomodule.x:y"', "models.0.target = 'nomodule.x:y'", "no module 'nomodule'"),
        (f'{PYTHON}target = "os:nope"', "models.0.target = 'os:nope'", "no attribute 'nope'"),
        (f'{PYTHON}target = "os:sep"', "models.0.target = 'os:sep'", "cannot be called"),
        (f'{PYTHON}target = ":x"', "models.0.target = ':x'", "module:attribute"),
        (f'{ONE}api_key_env = "NOT_SET"', "models.0.api_key_env = 'NOT_SET'", "no such variable"),
        (f'{ONE}api_key_env = "BLANK"', "models.0.api_key_env = 'BLANK'", "or an empty one"),
        (
            f'{ONE}api_key_env = "BROKEN"',
            "models.0.api_key_env = 'BROKEN'",
            "the key in BROKEN cannot stand in a header",
        ),
        (
            f'{OPENAI}upstreams = [{{base_url = "http://x"}}, {{base_url = "http://y", api_key_file = "/nope"}}]',
            "models.0.upstreams.1.api_key_file = '/nope'",
            "No such file or directory",
        ),
        (f'{ONE}api_key_file = "/"', "models.0.api_key_file = '/'", "it is no file"),
        (f'{ONE}api_key_file = "/dev/null"', "models.0.api_key_file = '/dev/null'", "it is no file"),
        (
            f'{ONE}api_key_file = "./tidegate.toml"',
            "models.0.api_key_file = './tidegate.toml'",
            "cannot stand in a head",
        ),
        (
            f'{OPENAI}upstreams = [{{base_url = "http://x"}}, {{base_url = "http://y", api_key_env = "NOT_SET"}}]',
            "models.0.upstreams.1.api_key_env = 'NOT_SET'",
            "no such variable",
        ),
        (f'{FAST}[auth]\njwt_secret_env = "NOT_SET"', "auth.jwt_secret_env = 'NOT_SET'", "no such variable"),
        (f'{FAST}[auth]\njwt_secret_env = "BROKEN"', "auth.jwt_secret_env = 'BROKEN'", "at least 32 bytes"),
        (f'{FAST}[server]\nhost = "0.0.0.0"', "server.host = '0.0.0.0'", "no authentication"),
        (f'{FAST}[store]\nurl = "sqlite:////no/x.db"', "store.url = 'sqlite:////no/x.db'", "no directory /no"),
        (f'{FAST}[store]\nurl = "sqlite:////"', "store.url = 'sqlite:////'", "expected sqlite:///relative.db"),
        (f'{FAST}[store]\nurl = "sqlite:////dev"', "store.url = 'sqlite:////dev'", "is a directory"),
        (
            f'{FAST}[store]\nurl = "sqlite:///tidegate.toml"',
            "store.url = 'sqlite:///tidegate.toml'",
            "no SQLite database",
        ),
    ],
)
def test_what_shows_only_in_use_is_named_like_the_rest(serve: Serve, text: str, key: str, problem: str) -> None:
    """Key, value and file, exit code 2, and no secret: as for what is plainly wrong."""
    outcome = serve(text, "--port", "0", environ={"BLANK": " \n", "BROKEN": f"{CANARY}\nx"})
    assert_named(outcome, key, "tidegate.toml", problem)
    assert CANARY not in outcome[1]


@pytest.mark.parametrize("store", ["", "memory://", "sqlite:///a.db"])
def test_several_workers_need_a_store_that_they_can_share(serve: Serve, store: str) -> None:
    """One that only a single process can have is refused before anything is begun; a single worker may have it."""
    flags = ("--port", "0", *(("--store", store) if store else ()))
    outcome = serve(FAST, "--workers", "3", *flags)
    assert_named(outcome, "server.workers = 3", "--workers", "name one by --store redis://HOST:PORT/0")
    assert not list(Path.cwd().glob("a.db*"))


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("models.0.file", "/nope", "No such file"),
        ("auth.jwt_secret_env", "NOT_SET", "no such variable"),
        ("server.host", "192.0.2.1", "not an address of this machine"),
        ("server.host", "a" * 70, "it is no host name"),
        ("store.url", "sqlite:////no/x.db", "no directory /no"),
        ("store.url", "redis://u:hunter2@h/zero", "a database is a number"),
        ("observability.otlp_endpoint", "u:hunter2@h", "expected an absolute http or https URL"),
        ("server.workers", "2", "share: name one by --store redis://HOST:PORT/0, or leave it at 1"),
        ("store.password_file", "/nope", "No such file"),
        ("store.ca_file", "/nope", "No such file"),
    ],
)
def test_what_the_environment_sets_is_named_with_its_variable(serve: Serve, key: str, value: str, problem: str) -> None:
    """Whether it is unfit, or not in this version, where going on without it would be unsafe."""
    variable = "TIDEGATE_" + key.upper().replace(".", "__")
    code, err = serve(FAST, "--port", "0", "--insecure-no-auth", environ={variable: value})
    assert code == 2
    assert err.startswith(f"tidegate: {key} = ")
    assert f" ({variable}): " in err
    assert problem in err
    assert "hunter2" not in err
    assert value in err or "hunter2" in value


@pytest.mark.parametrize(
    ("flags", "key", "problem"),
    [
        (("--model", "/nope.gguf"), "models.0.path = '/nope.gguf' (--model)", "No such file"),
        (("--host", "192.0.2.1", "--insecure-no-auth"), "server.host = '192.0.2.1' (--host)", "not an address of this"),
        (
            ("--store", "sqlite:////no/x.db"),
            "store.url = 'sqlite:////no/x.db' (--store)",
            "there is no directory /no for the store: make it (mkdir -p /no), or name another",
        ),
        (("--store", "sqlite:///a%00b"), "store.url = 'sqlite:///a%00b' (--store)", "expected sqlite:///relative.db"),
        (
            ("--store", "redis+sentinel://a:1,b:2"),
            "store.url = 'redis+sentinel://a:1,b:2' (--store)",
            "the name of the service follows",
        ),
        (("--host", "\udcff", "--insecure-no-auth"), r"server.host = '\udcff' (--host)", "expected text in UTF-8"),
    ],
)
def test_what_a_flag_sets_is_named_with_the_flag(serve: Serve, flags: tuple[str, ...], key: str, problem: str) -> None:
    """The file is not blamed for it."""
    code, err = serve("", "--port", "0", *flags)
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith(f"tidegate: {key}: ")
    assert problem in err


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody else has."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def test_a_port_in_use_is_named_with_where_it_stands(serve: Serve, taken: int) -> None:
    """Exit code 1: it would be right for one server, so it is not wrong configuration."""
    code, err = serve(f"{FAST}[server]\nport = {taken}")
    assert code == 1
    assert err.startswith(f"tidegate: server.port = {taken} (tidegate.toml): port {taken} on 127.0.0.1 is in use: ")


def test_a_store_in_use_is_named_with_how_to_have_another(serve: Serve, tmp_path: Path) -> None:
    """Exit code 1, as for a port: a second server needs `--store`, and is told so."""
    file = DatabaseFile(tmp_path / "logs.db", synchronous="normal", create_parents=False)
    file.open()
    code, err = serve("", "--port", "0", "--store", "sqlite:///logs.db", "--config", "tidegate.toml")
    file.close()
    assert code == 1
    assert f"logs.db is in use by process {os.getpid()}: stop that, or name another file" in err
    assert "by --store sqlite:////PATH" in err


def test_a_mistyped_model_is_told_before_the_port_and_the_store_are(serve: Serve, taken: int) -> None:
    """Whoever starts a second server with a typing error learns of that first."""
    _, err = serve("", "--port", str(taken), "--store", "sqlite:////no/x.db", "--model", "/nope.gguf")
    assert "/nope.gguf" in err


def test_a_module_that_cannot_be_imported_is_named_with_its_error(serve: Serve) -> None:
    """The words of its exception come along, on the same line and without control characters."""
    Path("broken_module.py").write_text(r'raise ValueError("first\x1b[31m\nsecond")')
    code, err = serve(f'{PYTHON}target = "broken_module:x"', "--port", "0")
    assert code == 2
    assert err == (
        "tidegate: models.0.target = 'broken_module:x' (tidegate.toml): "
        r"importing broken_module raised ValueError: first\x1b[31m\nsecond" + "\n"
    )


@pytest.mark.parametrize(
    ("text", "begins"),
    [
        ('[[server]]\nhost = "x"', "server = tables (tidegate.toml): expected a table"),
        (f"a = {'[' * 3000}{']' * 3000}", "tidegate.toml is not TOML: "),
        (f"[limits]\nburst = {'9' * 5000}", "tidegate.toml is not TOML: "),
        (
            f"[limits]\nburst = {'9' * 40}",
            f"limits.burst = {'9' * 40} (tidegate.toml): expected `int` <= 9007199254740991",
        ),
        (
            "[store]\nretention_seconds = 1e300",
            "store.retention_seconds = 1e+300 (tidegate.toml): expected `float` <= ",
        ),
        ("[limits]\nburst = 1979-05-27", "limits.burst = datetime.date(1979, 5, 27) (tidegate.toml): expected `int`"),
        (
            '[[auth.keys]]\nname = "a b"\nsha256 = ""',
            "auth.keys.0.name = 'a b' (tidegate.toml): expected 1 to 64 letters, ",
        ),
        (
            '[[auth.keys]]\nname = "a"\nsha256 = "0a"',
            "auth.keys.0.sha256 = *** (tidegate.toml): expected 64 hex digits",
        ),
        (
            f'{OPENAI}base_url = "http://é/v1"',
            "models.0.base_url = 'http://é/v1' (tidegate.toml): expected an absolute",
        ),
        (f'{ONE}api = "responses"', "models.0.api = 'responses' (tidegate.toml): this version does not have this yet"),
        (
            f'{OPENAI}upstreams = [{{base_url = "http://x", upstream_model = "y"}}]',
            "models.0.upstreams.0.upstream_model = 'y' (tidegate.toml): this version does not have this yet",
        ),
        (
            '[[models]]\nname = "c"\nprovider = "anthropic"\nbase_url = "https://api.example.com"\nmax_tokens = 5',
            "models.0.provider = 'anthropic' (tidegate.toml): not in this version yet",
        ),
        (
            '[[models]]\nname = "c"\nprovider = "anthropic"',
            "models.0.base_url (tidegate.toml): expected an absolute http",
        ),
    ],
)
def test_what_no_setting_can_be_is_one_line(serve: Serve, text: str, begins: str) -> None:
    """Structures, sizes and kinds that a parser stumbles over are no tracebacks."""
    code, err = serve(text, "--port", "0")
    assert err.startswith(f"tidegate: {begins}"), err
    assert (code, err.count("\n")) == (2, 1)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("TIDEGATE_MODELS__" + "9" * 5000 + "__NAME", "x", "unknown key"),
        ("TIDEGATE_MODELS__0__0", "x", "unknown key"),
        ("TIDEGATE_SERVER__ALLOWED_HOSTS", "[" * 10_000, "recursion"),
        ("TIDEGATE_SERVER__ALLOWED_HOSTS", "[\udcff", "utf-8"),
        ("TIDEGATE_AUTH__ISSUER", "\udcff", "expected text in UTF-8"),
        ("TIDEGATE_SERVER__PORT", "", "expected `int`"),
        ("TIDEGATE_SERVER__HOST", "", "length >= 1"),
    ],
)
def test_variables_that_no_setting_can_be_are_one_line(serve: Serve, name: str, value: str, said: str) -> None:
    """Bytes that are not UTF-8, nesting without end, and indices of any length are errors that name the variable."""
    code, err = serve(FAST, environ={name: value})
    assert (code, err.count("\n")) == (2, 1)
    assert f"({name}): " in err
    assert said in err
