"""The command line. Each command imports what it needs when it runs, so that the others start fast."""

from __future__ import annotations

import errno
import os
import re
import signal
import sys
import time
from collections.abc import Mapping
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from tidegate.core.api_key import key_in
from tidegate.core.principal import OF_OPERATORS, Scope
from tidegate.core.visible import visible_line
from tidegate.descriptors import open_standard_streams
from tidegate.errors import ConfigError, InUse, TidegateError

if TYPE_CHECKING:
    from tidegate.config import ServeSource, Settings

FAILED = 1
MISUSED = 2
INTERRUPTED = 130

CLIENT_KEY = "TIDEGATE_API_KEY"
"""The environment variable with the key of the clients."""

UNWRITABLE = (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""Why an output fails: its reader has left, which needs no words, or there is no place, or no disk, for it."""

_TTL = re.compile(r"([1-9][0-9]{0,5})([smhd])")
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

_FILE = click.option(
    "--config", "file", type=click.Path(path_type=Path), help="Settings; tidegate.toml where there is one."
)

_URL = click.option("--url", default="http://127.0.0.1:8000", show_default=True, help="The server.")

STATUSES = ("queued", "running", "completed", "cancelled", "failed")
"""What a stream may be; `core.fold`, which has them for the server, takes longer to import than all of this."""

_SCOPES = click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(get_args(Scope)),
    default=tuple(scope for scope in get_args(Scope) if scope not in OF_OPERATORS),
    show_default=True,
    help="What the holder may do; may be given again.",
)


def main() -> None:
    """The program's entry point: every expected failure becomes one line on stderr and an exit code."""
    open_standard_streams()
    _write_anything()
    try:
        code = commands.main(prog_name="tidegate", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except ConfigError as error:
        code = _complain(error, FAILED if isinstance(error, InUse) else MISUSED)
    except TidegateError as error:
        code = _complain(error, FAILED)
    except click.Abort:
        code = INTERRUPTED
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        # Output that is still buffered must not fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = FAILED
        if error.errno != errno.EPIPE:
            click.echo(f"tidegate: the output cannot be written: {error.strerror}", err=True)
    sys.exit(code)


def _write_anything() -> None:
    """Shows characters that the terminal's encoding lacks as escapes: a character must not end the program."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _complain(error: TidegateError, code: int) -> int:
    click.echo(f"tidegate: {visible_line(error.message)}", err=True)
    return code


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, no_args_is_help=True)
@click.version_option(package_name="tidegate", message="tidegate %(version)s")
def commands() -> None:
    """The streaming server for model output that does not break."""


@commands.command()
@click.option("--host", help="Address to listen on.  [127.0.0.1]")
@click.option("--port", type=int, help="TCP port; 0 takes a free one.  [8000]")
@_FILE
@click.option("--model", metavar="NAME|PATH.gguf", help="Serve only this model.")
@click.option("--upstream", metavar="URL", help="Serve the models that URL/models lists.")
@click.option("--store", metavar="URL", help="Where logs live: sqlite:////PATH, memory:// or redis://HOST:PORT/0")
@click.option("--workers", type=int, metavar="N", help="Processes on the port; more than one share a store.  [1]")
@click.option("--log-level", metavar="LEVEL", help="debug, info, warning or error.  [info]")
@click.option("--insecure-no-auth", is_flag=True, help="Listen beyond loopback although everyone may do everything.")
def serve(file: Path | None, model: str | None, upstream: str | None, insecure_no_auth: bool, **flags: Any) -> int:
    """Serve models, until SIGTERM or Ctrl-C.

    UPSTREAM_API_KEY holds the key for --upstream, if one is needed.
    """
    from tidegate import config

    # Whoever changes the configuration in this moment may say so before it can be heard.
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGHUP,))
    # An installed command imports from its own folder, but `python` models are in the working directory.
    sys.path.insert(0, str(Path.cwd()))
    source = config.ServeSource(
        file, os.environ, _overrides(flags), model=model, upstream=upstream, insecure=insecure_no_auth
    )
    settings = source.read()
    try:
        return _serve(settings, source)
    except ConfigError as error:
        raise source.located(error) from error


def _serve(settings: Settings, source: ServeSource) -> int:
    if settings.server.workers > 1:
        from tidegate.workers import parent

        return parent.run(settings, source)

    from tidegate import server

    return server.run(settings, source)


@commands.command("config")
@_FILE
def show_config(file: Path | None) -> None:
    """Print the effective configuration, secrets masked."""
    from tidegate import config

    click.echo(config.toml(config.masked(config.load(file, os.environ, {}))), nl=False)


@commands.command()
@click.argument("name")
@_SCOPES
def key(name: str, scopes: tuple[str, ...]) -> None:
    """Make an API key: prints it once, and the lines for the file."""
    from tidegate.config import new_key

    made, lines = new_key(name, scopes)
    click.echo(f"The key, shown only now:\n\n{made}\n\nFor tidegate.toml:\n\n{lines}", nl=False)


def _ttl_seconds(context: click.Context, option: click.Parameter, value: str) -> int:
    found = _TTL.fullmatch(value)
    if found is None:
        raise click.BadParameter(f"{value!r} is no duration such as 30s, 15m, 1h or 7d")
    return int(found[1]) * _UNIT_SECONDS[found[2]]


@commands.command()
@click.option("--sub", metavar="NAME", required=True, help="Whose token it is.")
@_SCOPES
@click.option("--ttl", default="1h", show_default=True, callback=_ttl_seconds, help="How long it is good for.")
@_FILE
def token(sub: str, scopes: tuple[str, ...], ttl: int, file: Path | None) -> None:
    """Mint a token with the configured secret (auth.jwt_secret_env), for the configured issuer and audience."""
    from tidegate import config
    from tidegate.gate.jwt.tokens import mint, secret_of

    settings, origins = config.read(file, os.environ, {})
    auth = settings.auth
    try:
        secret = secret_of(auth.jwt_secret_env, os.environ)
    except ConfigError as error:
        raise origins.located(error, settings) from error
    minted = mint(
        secret,
        sub=sub,
        scopes=dict.fromkeys(scopes),
        ttl_seconds=ttl,
        issuer=auth.issuer,
        audience=auth.audience,
        now=time.time(),
    )
    click.echo(minted)


@commands.command()
@click.argument("prompt", required=False)
@_URL
@click.option("--model", metavar="NAME", help="Who answers; the server's first model where there is none.")
def chat(prompt: str | None, url: str, model: str | None) -> int:
    """Talk with a model, or have PROMPT answered.

    What comes through a pipe is read, too: it is the question, or stands below PROMPT. Ctrl-C stops the answer, at an
    empty prompt it ends the program, as Ctrl-D does. An answer goes on across broken connections and restarts of the
    server. TIDEGATE_API_KEY holds the key, if one is needed; its scopes are generate, read and cancel.
    """
    from tidegate.client.terminal.chat_command import run

    try:
        return run(url, key_in(CLIENT_KEY, os.environ), prompt=prompt, model=model)
    except KeyboardInterrupt:
        return INTERRUPTED


@commands.command()
@_URL
@click.option("--status", type=click.Choice(STATUSES), help="Only those that are this.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="How many at the most.")
@click.option("--json", "as_json", is_flag=True, help="Print each as an object, as the server lists it.")
def streams(url: str, status: str | None, limit: int, as_json: bool) -> int:
    """List your streams, newest first.

    On a terminal with what was asked; elsewhere a line for each with tabs between id, status, model, the time it began
    (Unix seconds) and its tokens. TIDEGATE_API_KEY holds the key, if one is needed.
    """
    from tidegate.client.terminal.streams import run

    try:
        return run(url, key_in(CLIENT_KEY, os.environ), status=status, limit=limit, as_json=as_json)
    except KeyboardInterrupt:
        return INTERRUPTED


@commands.command()
@click.argument("stream", metavar="STREAM|TOPIC")
@_URL
@click.option("--after", metavar="CURSOR", help="Begin after this position.")
def tail(stream: str, url: str, after: str | None) -> int:
    """Follow a stream or a topic, across broken connections and restarts of the server.

    TIDEGATE_API_KEY holds the key, if one is needed. Control characters of what others wrote are shown as escapes,
    in a pipe too. A server that keeps its logs in memory only (memory://) has
    forgotten them after a restart.
    """
    from tidegate.client.terminal.tail import follow

    try:
        return follow(url, stream, after=after, api_key=key_in(CLIENT_KEY, os.environ))
    except KeyboardInterrupt:
        return INTERRUPTED


@commands.command()
@click.argument("url")
@click.option("--json", "as_json", is_flag=True, help="Print an object: url, findings, measured.")
def doctor(url: str, as_json: bool) -> int:
    """Examine a deployment: is it really streaming? Takes a minute at the most.

    Fills streams of its own through whatever stands in front of the server, and needs no model. TIDEGATE_API_KEY holds
    the key, if one is needed; its scopes are generate, read and cancel. No redirect is followed. Exit code: 0 where
    nothing is found, 1 where something is, 2 for a wrong URL or key.
    """
    from tidegate.client.doctor.command import run

    try:
        return run(url, key_in(CLIENT_KEY, os.environ), as_json=as_json)
    except KeyboardInterrupt:
        return INTERRUPTED


@commands.command()
@click.argument("scenario", required=False)
@click.option("--readers", type=click.IntRange(1, 20_000), help="Connections.")
@click.option(
    "--rate", type=click.FloatRange(0, 100_000), help="Tokens a second for each stream; 0: as fast as it can."
)
@click.option("--seconds", type=click.FloatRange(0.1, 600), help="How long a round is measured.")
@click.option("--rounds", type=click.IntRange(1, 100), help="Rounds of each contender, in turn.")
@click.option("--size", type=click.IntRange(0, 65536), help="Bytes of text in a token.")
@click.option("--json", "data", type=click.Path(path_type=Path), help="Write all rounds to this file.")
@click.option("--chart", type=click.Path(path_type=Path), help="Draw the medians into this file, as SVG.")
@click.option(
    "--baselines",
    type=click.Path(path_type=Path),
    default=Path("bench/baselines"),
    show_default=True,
    help="Sources of the servers to compare with, of a checkout; those that can be built take part.",
)
@click.option(
    "--python",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=Path(sys.executable),
    help="Interpreter with the packages of those that are written in Python.  [this one]",
)
def bench(
    scenario: str | None, data: Path | None, chart: Path | None, baselines: Path, python: Path, **changes: Any
) -> int:
    """Measure this machine. Without SCENARIO, list what can be measured."""
    from tidegate.bench.runs import SCENARIOS, run

    if scenario is None:
        for name, described in SCENARIOS.items():
            click.echo(f"{name:14}{described.summary}")
        return 0
    if scenario not in SCENARIOS:
        raise click.BadParameter(f"{scenario!r} is none of: {', '.join(SCENARIOS)}", param_hint="SCENARIO")
    changed = {key: value for key, value in changes.items() if value is not None}
    table = run(scenario, changed, baselines=baselines.absolute(), python=python.absolute())
    click.echo(table.text())
    if data is not None:
        data.write_bytes(table.json())
    if chart is not None:
        chart.write_text(table.chart(SCENARIOS[scenario].chart))
    return 0


def _overrides(flags: Mapping[str, Any]) -> dict[str, Any]:
    from tidegate.config import FLAGS

    return {setting: flags[flag.removeprefix("--").replace("-", "_")] for setting, flag in FLAGS.items()}
