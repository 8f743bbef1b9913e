from __future__ import annotations

import re
import stat
import tomllib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from tidegate.config import (
    Settings,
    load,
    masked,
    refuse_exposed,
    refuse_unavailable,
    toml,
    with_state_store,
)
from tidegate.config.sources import FLAGS
from tidegate.errors import ConfigError
from tidegate.gate.api_keys import ApiKey
from tidegate.providers.settings import (
    LlamaModel,
    ModelBase,
    ModelSettings,
    OpenAIModel,
    PythonModel,
    ReplayModel,
    Upstream,
)
from tidegate.stores.sqlite.url import sqlite_path

DOCUMENT = Path(__file__).parents[1] / "docs" / "configuration.md"
DIGEST = "0123456789abcdef" * 4


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction]
    monkeypatch.chdir(tmp_path)


def from_text(text: str, environ: Mapping[str, str] | None = None, **overrides: object) -> Settings:
    path = Path("given.toml")
    path.write_text(text)
    return load(path, environ or {}, overrides)


def refused(text: str = "", environ: Mapping[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        from_text(text, environ)
    return caught.value.message


def test_without_anything_there_is_the_embedded_model_on_loopback() -> None:
    """No file, no variable, no flag: the documented defaults."""
    settings = load(None, {}, {})
    assert settings == Settings()
    assert settings.models == (LlamaModel(name="smollm2"),)
    assert (settings.server.host, settings.server.port) == ("127.0.0.1", 8000)


def test_flags_win_over_the_environment_and_that_over_the_file() -> None:
    """Later sources win, key by key."""
    text = "[server]\nport = 1\nhost = 'localhost'\ndrain_seconds = 1"
    environ = {"TIDEGATE_SERVER__PORT": "2", "TIDEGATE_SERVER__DRAIN_SECONDS": "2"}
    server = from_text(text, environ, **{"server.port": 3, "server.host": None}).server
    assert (server.port, server.drain_seconds, server.host) == (3, 2, "localhost")


def test_the_file_in_the_working_directory_is_the_default() -> None:
    """`tidegate.toml` is read without being named, if it is there; a byte order mark does no harm."""
    Path("tidegate.toml").write_bytes(b"\xef\xbb\xbf[server]\nport = 9")
    assert load(None, {}, {}).server.port == 9


def test_a_named_file_that_is_missing_is_an_error() -> None:
    """Nobody names a file that should be ignored."""
    with pytest.raises(ConfigError, match=r"nowhere\.toml: No such file"):
        load(Path("nowhere.toml"), {}, {})


def test_a_file_that_is_not_toml_is_named_with_the_line() -> None:
    """A slip of the pen is found without searching."""
    assert refused("[server\n").startswith("given.toml is not TOML: ")
    assert "line 2" in refused("[server]\nport =\n")


def test_variables_without_two_underscores_are_not_configuration() -> None:
    """`TIDEGATE_API_KEY` and the like belong to others."""
    environ = {"TIDEGATE_API_KEY": "x", "TIDEGATE_": "x", "SERVER__PORT": "1", "TIDEGATEX__Y": "1"}
    assert load(None, environ, {}) == Settings()


def test_variables_take_the_type_of_their_key() -> None:
    """Numbers, truths, texts that look like numbers, lists with commas, lists as JSON."""
    settings = load(
        None,
        {
            "TIDEGATE_DELIVERY__COMPRESSION": "false",
            "TIDEGATE_DELIVERY__HEARTBEAT_SECONDS": "0.5",
            "TIDEGATE_AUTH__AUDIENCE": "12",
            "TIDEGATE_SERVER__ALLOWED_HOSTS": "a.example, b.example",
            "TIDEGATE_SERVER__TRUSTED_PROXIES": '["10.0.0.0/8"]',
            "TIDEGATE_AUTH__KEYS": f'[{{"name": "ci", "sha256": "{DIGEST}", "scopes": ["read"]}}]',
        },
        {},
    )
    assert settings.delivery.compression is False
    assert settings.delivery.heartbeat_seconds == 0.5
    assert settings.auth.audience == "12"
    assert settings.server.allowed_hosts == ("a.example", "b.example")
    assert settings.server.trusted_proxies == ("10.0.0.0/8",)
    assert settings.auth.keys[0].name == "ci"


def test_variables_reach_into_lists_by_index() -> None:
    """An entry can be changed, the default one too, and the next can be added, whatever the order."""
    environ = {
        "TIDEGATE_MODELS__0__PARALLEL": "2",
        "TIDEGATE_MODELS__1__TEXT": "7",
        "TIDEGATE_MODELS__1__NAME": "r",
        "TIDEGATE_MODELS__1__PROVIDER": "replay",
    }
    expected = (LlamaModel(name="smollm2", parallel=2), ReplayModel(name="r", text="7"))
    assert load(None, environ, {}).models == expected


def test_every_provider_is_read_with_its_own_keys() -> None:
    """`provider` decides what an entry may hold."""
    settings = from_text("""
        [[models]]
        name = "a"
        provider = "openai"
        upstreams = [{base_url = "http://one/v1"}, {base_url = "http://two/v1", weight = 3}]
        [[models]]
        name = "b"
        provider = "python"
        target = "mypackage.agents:answer"
    """)
    upstreams = (Upstream(base_url="http://one/v1"), Upstream(base_url="http://two/v1", weight=3))
    assert settings.models == (
        OpenAIModel(name="a", upstreams=upstreams),
        PythonModel(name="b", target="mypackage.agents:answer"),
    )


def test_spellings_are_unified() -> None:
    """No trailing slash after the public URL, and hashes in lower case."""
    key = f"[[auth.keys]]\nname = 'ci'\nsha256 = '{DIGEST.upper()}'\nscopes = ['read']"
    settings = from_text(f"[server]\npublic_url = 'https://app.example.com/llm/'\n{key}")
    assert settings.server.public_url == "https://app.example.com/llm"
    assert settings.auth.keys[0].sha256 == DIGEST


REPLAY = "[[models]]\nname = 'a'\nprovider = 'replay'\n"
OPENAI = "[[models]]\nname = 'a'\nprovider = 'openai'\n"
KEY = "[[auth.keys]]\nname = '{}'\nsha256 = '{}'\nscopes = {}\n"


@pytest.mark.parametrize(
    ("text", "begins", "ends"),
    [
        ("[server]\nport = 70000", "server.port = 70000", "expected `int` <= 65535"),
        ("[server]\nport = '8000'", "server.port = '8000'", "expected `int`, got `str`"),
        ("[server]\nport = true", "server.port = True", "expected `int`, got `bool`"),
        ("[server]\nprt = 1", "server.prt = 1", "workers"),
        ("[server]\nhost = ''", "server.host = ''", ">= 1"),
        ("[server]\npublic_url = 'app.example.com'", "server.public_url = 'app.example.com'", "fragment"),
        ("[server]\npublic_url = 'https://x/?a=b'", "server.public_url = ", "fragment"),
        ("[server]\npublic_url = 'https://例え.jp/x'", "server.public_url = ", "fragment"),
        ("[server]\nallowed_hosts = ['https://x']", "server.allowed_hosts.0 = 'https://x'", "or *"),
        ("[server]\nallowed_origins = ['x']", "server.allowed_origins.0 = 'x'", "or *"),
        ("[server]\ntrusted_proxies = ['proxy']", "server.trusted_proxies.0 = 'proxy'", "or *"),
        ("server = 5", "server = 5", "expected a table, got `int`"),
        ("surver = 5", "surver = 5", "observability"),
        ("[store]\nurl = 'mysql://h/db'", "store.url = 'mysql://h/db'", "or nothing"),
        ("[store]\nurl = 'redis://u:hunter2@h:x'", "store.url = 'redis://***@h:x'", "HOST or HOST:PORT"),
        (
            "[store]\nurl = 'redis://u:hunter2@h/0'\npassword_file = '/p'",
            "store.password_file = '/p'",
            "give it in one place",
        ),
        ("[store]\nsynchronous = 'off'", "store.synchronous = 'off'", "one of normal, full"),
        ("[store]\nlease_seconds = 0", "store.lease_seconds = 0", "> 0.0"),
        ("[delivery]\nbatch_max_tokens = 0", "delivery.batch_max_tokens = 0", ">= 1"),
        ("[delivery]\nheartbeat_seconds = nan", "delivery.heartbeat_seconds = nan", "finite number"),
        ("[observability]\nlog_format = 'xml'", "observability.log_format = 'xml'", "one of auto, text, json"),
        ("[observability]\nlog_level = 'x'", "observability.log_level = 'x'", "debug, info, warning, error"),
        ("models = []", "models = []", "at least one model"),
        ("models = [5]", "models.0 = 5", "expected a table, got `int`"),
        ("[[models]]\nname = 'a'", "models.0.provider", "one of llama, openai, anthropic, replay, python"),
        ("[[models]]\nprovider = 'llama'", "models.0.name", "missing"),
        ("[[models]]\nname = 'a'\nprovider = 'gemini'", "models.0.provider = 'gemini'", "anthropic, replay, python"),
        (REPLAY + REPLAY.replace("'a'", "'b'") + "rate = -1", "models.1.rate = -1", ">= 0.0"),
        (REPLAY + "rate = inf", "models.0.rate = inf", "finite number"),
        (REPLAY + "parallel = 4", "models.0.parallel = 4", "rate"),
        (REPLAY + "text = 'a'\nfile = 'b'", "models.0.file = 'b'", "either text or file"),
        (REPLAY + REPLAY, "models.1.name = 'a'", "is also that of models.0"),
        (OPENAI, "models.0.base_url", "either base_url or upstreams"),
        (OPENAI + "base_url = 'upstream:80'", "models.0.base_url = 'upstream:80'", "https URL in ASCII"),
        (OPENAI + "upstreams = [{base_url = 'x'}]", "models.0.upstreams.0.base_url = 'x'", "https URL in ASCII"),
        (OPENAI + "base_url = 'http://x:99999'", "models.0.base_url = 'http://x:99999'", "https URL in ASCII"),
        ("[[models]]\nname = 'a'\nprovider = 'python'\ntarget = 'x'", "models.0.target = 'x'", "module:attribute"),
        ("[[models]]\nname = 'a'\nprovider = 'python'\ntarget = 5", "models.0.target = 5", "expected `str`"),
        (KEY.format("a", DIGEST, "['reed']"), "auth.keys.0.scopes.0 = 'reed'", "subscribe, metrics, admin"),
        (KEY.format("a", DIGEST, "[]"), "auth.keys.0.scopes = []", "subscribe, metrics, admin"),
        (KEY.format("a", DIGEST, "['read']") * 2, "auth.keys.1.name = 'a'", "is also that of auth.keys.0"),
    ],
)
def test_what_is_wrong_is_named_with_key_value_and_file(text: str, begins: str, ends: str) -> None:
    """One line says which key, what it is, where it stands and what would be right."""
    message = refused(text)
    assert message.startswith(f"{begins}"), message
    assert " (given.toml): " in message
    assert message.endswith(ends)
    assert "\n" not in message


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("TIDEGATE_SERVER__PORT", "x", "server.port = 'x' (TIDEGATE_SERVER__PORT): expected `int`, got `str`"),
        ("TIDEGATE_SERVER__PORT", "70000", "server.port = '70000' (TIDEGATE_SERVER__PORT): expected `int` <= 65535"),
        ("TIDEGATE_SERVR__PORT", "1", "servr.port = '***' (TIDEGATE_SERVR__PORT): unknown key"),
        ("TIDEGATE_SERVER__PORT__X", "1", "server.port.x = '***' (TIDEGATE_SERVER__PORT__X): unknown key"),
        ("TIDEGATE_MODELS__X__RATE", "1", "models.x.rate = '***' (TIDEGATE_MODELS__X__RATE): unknown key"),
        (
            "TIDEGATE_MODELS__3__NAME",
            "a",
            "models.3 (TIDEGATE_MODELS__3__NAME): there are only 1 entries before it",
        ),
        ("TIDEGATE_STORE__URL", "x", "store.url = 'x' (TIDEGATE_STORE__URL): expected memory://"),
    ],
)
def test_what_is_wrong_is_named_with_the_variable(name: str, value: str, message: str) -> None:
    """An unknown variable under the prefix is an error, like a wrong value, and its name is in the message."""
    assert refused("", {name: value}).startswith(message)


def test_a_variable_below_something_that_is_no_table_is_an_error() -> None:
    """What the file broke is not hidden by the environment."""
    message = refused("server = 5", {"TIDEGATE_SERVER__PORT": "1"})
    assert message == "server = 5 (given.toml): expected a table"


def test_what_is_wrong_is_named_with_the_flag() -> None:
    """A flag's value is checked like any other."""
    with pytest.raises(ConfigError, match=re.escape("server.port = 70000 (--port): expected `int` <= 65535")):
        load(None, {}, {"server.port": 70000})
    assert all(key in dict(documented()) for key in FLAGS)


CANARY = "tg_canary-hunter2"


@pytest.mark.parametrize(
    ("text", "environ"),
    [
        (f"[auth]\njwt_secret = '{CANARY}'", {}),
        (f"[auth]\njwt_secret_env = '{CANARY}'", {}),
        (f"[auth]\nkeys = ['{CANARY}']", {}),
        (f"[auth]\nkeys = '{CANARY}'", {}),
        (KEY.format("a", CANARY, "['read']"), {}),
        (KEY.format("a", DIGEST, "['read']") + f"key = '{CANARY}'", {}),
        (OPENAI + f"base_url = 'http://x'\napi_key = '{CANARY}'", {}),
        (OPENAI + f"base_url = 'http://x'\napi_key_env = '{CANARY}'", {}),
        (OPENAI + f"upstreams = [{{base_url = 'http://x', api_key = '{CANARY}'}}]", {}),
        (f"[store]\nurl = 'mysql://u:{CANARY}@h/0'", {}),
        (OPENAI + f"base_url = 'ftp://u:{CANARY}@h/0?a={CANARY}'", {}),
        (f"[store]\nurl = 'redis://u:{CANARY}/x@h:1/0'", {}),
        (f"[store]\nurl = 'redis://u:x#{CANARY}@h:1/0'", {}),
        (f"[store]\nurl = 'mysql://{CANARY}@h/0'", {}),
        (f"[auth]\njwks_url = ['https://u:{CANARY}@h/']", {}),
        (OPENAI + f"base_url = 'u:{CANARY}@h/v1?key={CANARY}'", {}),
        (OPENAI + f"apikey = '{CANARY}'", {}),
        ("", {"TIDEGATE_STORE__PASS": CANARY}),
        ("", {"TIDEGATE_AUTH__KEYS": CANARY}),
        ("", {"TIDEGATE_AUTH__KEYS": f"[{CANARY}"}),
        ("", {"TIDEGATE_AUTH__KEYS__0__SHA256": CANARY}),
    ],
)
def test_errors_show_no_secret(text: str, environ: Mapping[str, str]) -> None:
    """A secret that was put in the wrong place does not end up in a terminal or a log."""
    assert CANARY not in refused(text, environ)


@pytest.mark.parametrize("url", ["", "memory://", "sqlite:///tidegate.db", "sqlite:////var/lib/tidegate.db"])
def test_memory_and_files_are_stores_there_are(url: str) -> None:
    """Named, or by default."""
    refuse_unavailable(from_text(f"[store]\nurl = '{url}'"))


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///", "sqlite://host/a.db", "sqlite:///a.db?mode=ro", "sqlite:///a/"]
)
def test_a_sqlite_url_names_one_file(url: str) -> None:
    """A host, options or nothing at all is refused with the two forms that there are."""
    assert "sqlite:///relative.db or sqlite:////absolute.db" in refused(f"[store]\nurl = '{url}'", {})


def test_without_a_store_logs_live_in_the_users_state_directory(tmp_path: Path) -> None:
    """`tidegate serve` keeps what it has said; the directory is the user's alone, and a store that is named is kept."""
    settings = with_state_store(Settings(), {"XDG_STATE_HOME": str(tmp_path / "state dir")})
    assert sqlite_path(settings.store.url) == tmp_path / "state dir" / "tidegate" / "tidegate.db"
    assert stat.S_IMODE((tmp_path / "state dir" / "tidegate").stat().st_mode) == 0o700
    named = from_text("[store]\nurl = 'memory://'")
    assert with_state_store(named, {}) == named


def test_a_state_directory_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    """With the two ways out."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"another place by --store sqlite:////PATH, or --store memory://"):
        with_state_store(Settings(), {"XDG_STATE_HOME": str(tmp_path / "file")})


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "tide.example"])
def test_a_host_others_can_reach_needs_authentication(host: str) -> None:
    """Refused without keys, unless it is meant so."""
    settings = from_text(f"[server]\nhost = '{host}'")
    with pytest.raises(ConfigError, match=re.escape(f"server.host = '{host}'")):
        refuse_exposed(settings, insecure=False)
    refuse_exposed(settings, insecure=True)
    for auth in (
        KEY.format("a", DIGEST, "['read']"),
        "[auth]\njwt_secret_env = 'SECRET'",
        "[auth]\njwks_url = 'https://issuer.example/jwks'",
    ):
        refuse_exposed(from_text(f"[server]\nhost = '{host}'\n{auth}"), insecure=False)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_needs_no_authentication(host: str) -> None:
    """Only this machine reaches it."""
    refuse_exposed(from_text(f"[server]\nhost = '{host}'"), insecure=False)


def test_the_shown_configuration_can_be_read_again() -> None:
    """`tidegate config` prints TOML that means the same, whatever the texts hold."""
    text = 'a "quoted" \\ text\nwith\tcontrol \x00\x7f and 😀'
    settings = msgspec.structs.replace(
        Settings(),
        models=(
            ReplayModel(name="r", text=text, rate=1e-7),
            OpenAIModel(name="o", upstreams=(Upstream(base_url="http://one/v1"), Upstream(base_url="http://two/v1"))),
        ),
    )
    assert from_text(toml(masked(settings))) == settings
    assert from_text(toml(masked(Settings()))) == Settings()


def test_the_shown_configuration_has_no_secrets() -> None:
    """Passwords are masked, hashes are cut to their first 8 digits, names of variables stay."""
    settings = from_text(
        "[store]\nurl = 'redis://u:hunter2@h/0'\n[observability]\notlp_endpoint = 'http://u:hunter2@h'\n"
        + KEY.format("ci", DIGEST, "['read']")
        + OPENAI
        + "base_url = 'http://u:hunter2@x/v1?key=hunter2'\napi_key_env = 'UPSTREAM_API_KEY'\n"
        + OPENAI.replace("'a'", "'b'")
        + "upstreams = [{base_url = 'http://u:hunter2@x/v1?key=hunter2'}]"
    )
    shown = toml(masked(settings))
    assert "hunter2" not in shown
    assert DIGEST[:9] not in shown
    assert DIGEST[:8] in shown
    assert "UPSTREAM_API_KEY" in shown


def test_a_function_is_shown_by_its_name() -> None:
    """A target given in Python is a function; `masked` names it."""
    settings = Settings(models=(PythonModel(name="agent", target=from_text),))
    assert masked(settings)["models"][0]["target"] == f"{__name__}:from_text"


def documented() -> Iterator[tuple[str, str]]:
    """Key and default of every row of the tables in the documentation."""
    section = ""
    for line in DOCUMENT.read_text().splitlines():
        heading = re.fullmatch(r"## `(\[+)([a-z.]+)\]+`(?: with `provider = \"(\w+)\"`)?.*", line)
        if heading:
            section = heading[2] + (f"[{heading[3]}]" if heading[3] else "")
        row = re.match(r"\| `(\w+)` \| (.*?) \|", line)
        if row:
            yield f"{section}.{row[1]}", row[2].strip("`")


def parsed() -> dict[str, Any]:
    """Key and default of every key of the structs."""
    keys = fields("auth.keys", ApiKey) | fields("models.upstreams", Upstream) | fields("models", ModelBase)
    keys["models.provider"] = msgspec.NODEFAULT
    for section in msgspec.structs.fields(Settings):
        if section.name != "models":
            kind: type[msgspec.Struct] = section.default.__class__
            keys |= fields(section.name, kind)
    del keys["auth.keys"]  # a table of its own
    models: Any = get_args(ModelSettings)
    for model in models:
        keys |= fields(f"models[{model.__struct_config__.tag}]", model, but=ModelBase.__struct_fields__)
    return keys


def fields(section: str, struct: type[msgspec.Struct], but: Collection[str] = ()) -> dict[str, Any]:
    return {
        f"{section}.{field.name}": field.default for field in msgspec.structs.fields(struct) if field.name not in but
    }


def test_every_key_is_documented_with_its_default_and_every_documented_key_is_parsed() -> None:
    """docs/configuration.md and the structs say the same."""
    keys = parsed()
    written = dict(documented())
    assert set(written) == set(keys)
    for key, default in written.items():
        if keys[key] in (msgspec.NODEFAULT, None):
            assert default == ("required" if keys[key] is msgspec.NODEFAULT else "the model's"), key
        else:
            assert tomllib.loads(f"x = {default}") == msgspec.json.decode(msgspec.json.encode({"x": keys[key]})), key
