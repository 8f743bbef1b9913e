"""The files of deploy/systemd: what they say, and what systemd says of them where it is installed."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tidegate.cli import MISUSED, commands
from tidegate.config.settings import ServerSettings, StoreSettings
from tidegate.notify import END_SECONDS
from tidegate.providers.llama.process import LOAD_SECONDS
from tidegate.workers.crew import FEWEST_ROUNDS, NOTE_SECONDS

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / "deploy" / "systemd"
UNITS = sorted(FOLDER.glob("*.service"))
COMMAND = "/opt/tidegate/current/bin/tidegate"
SECTIONS = {"Unit", "Service", "Install"}
OWN = {"Description", "After", "ExecStart", "StateDirectory", "StateDirectoryMode", "LoadCredential", "Environment"}
"""What differs between one process with a file and a node on Redis."""


def settings(unit: Path) -> Iterator[tuple[str, str, str]]:
    """Section, name and value of each line that says something (systemd.syntax(7)); none goes on in the next one."""
    section = ""
    for line in unit.read_text().splitlines():
        if heading := re.fullmatch(r"\[(\w+)\]", line):
            section = heading[1]
        elif line and not line.startswith("#"):
            found = re.fullmatch(r"([A-Z]\w+)=(.*[^\\])?", line)
            assert found is not None, line
            yield section, found[1], found[2] or ""


def values(unit: Path, name: str) -> list[str]:
    return [value for _, each, value in settings(unit) if each == name]


def value(unit: Path, name: str) -> str:
    [only] = values(unit, name)
    return only


@pytest.fixture(params=UNITS, ids=[each.name for each in UNITS])
def unit(request: pytest.FixtureRequest) -> Path:
    return request.param


def test_there_is_one_for_a_process_and_one_for_a_node() -> None:
    """A single process keeps its logs in a file, nodes share a Redis."""
    assert [each.name for each in UNITS] == ["tidegate.service", "tidegate@.service"]


def test_a_unit_has_nothing_but_settings_in_sections(unit: Path) -> None:
    """The parts that systemd does not know would be passed over in silence."""
    assert {section for section, _, _ in settings(unit)} == SECTIONS


def test_both_are_hardened_alike() -> None:
    """They differ in where logs are, and in what follows from that."""
    process, node = ([each for each in settings(unit) if each[1] not in OWN] for unit in UNITS)
    assert process == node
    assert len(process) > 30


def test_a_unit_starts_a_command_that_there_is(unit: Path) -> None:
    """With options that `tidegate serve` takes."""
    program, name, *arguments = value(unit, "ExecStart").replace("%i", "8000").split()
    assert program == COMMAND
    command = commands.commands[name]
    options, rest, _ = command.make_parser(command.make_context(name, [])).parse_args(arguments)
    assert options["file"] == "/etc/tidegate/tidegate.toml"
    assert rest == []


def test_a_reload_needs_nothing_that_a_small_system_lacks(unit: Path) -> None:
    """A bare Debian has a shell, and no program `kill`."""
    assert value(unit, "ExecReload") == "/bin/sh -c 'kill -HUP \"$MAINPID\"'"


def test_a_stop_is_given_the_time_that_it_takes(unit: Path) -> None:
    """The default drain and what follows it; a longer one asks for more by itself."""
    assert int(value(unit, "TimeoutStopSec")) >= ServerSettings().drain_seconds + END_SECONDS
    # Workers are stopped by their parent.
    assert value(unit, "KillMode") == "mixed"


def test_a_start_is_given_the_time_that_it_takes(unit: Path) -> None:
    """It is tidegate that says that a model takes too long, and which."""
    assert int(value(unit, "TimeoutStartSec")) > LOAD_SECONDS


def test_a_faulty_configuration_is_not_tried_again(unit: Path) -> None:
    """All else that ends the process is."""
    assert value(unit, "Restart") == "always"
    assert value(unit, "StartLimitIntervalSec") == "0"
    assert value(unit, "RestartPreventExitStatus") == str(MISUSED)


def test_the_watchdog_lets_the_parent_replace_a_worker_first(unit: Path) -> None:
    """Workers that hang are found by notes, of which some fit into the watchdog's time."""
    assert int(value(unit, "WatchdogSec")) >= FEWEST_ROUNDS * NOTE_SECONDS
    assert value(unit, "Type") == "notify"


def test_the_password_of_redis_is_a_credential() -> None:
    """It is in no environment, and in no file that the service's user owns."""
    node = FOLDER / "tidegate@.service"
    name, _, path = value(node, "LoadCredential").partition(":")
    assert path.startswith("/etc/tidegate/")
    assert f"TIDEGATE_STORE__PASSWORD_FILE=%d/{name}" in values(node, "Environment")
    assert "password_file" in StoreSettings.__struct_fields__


def test_the_file_of_one_process_is_in_its_state_directory() -> None:
    """Nobody else may read it: prompts and answers are in it."""
    process = FOLDER / "tidegate.service"
    assert "XDG_STATE_HOME=%S" in values(process, "Environment")
    assert value(process, "StateDirectory") == "tidegate"
    assert value(process, "StateDirectoryMode") == "0700"


@pytest.fixture
def installed(tmp_path: Path) -> list[str]:
    """The units as on a machine where the command is there."""
    command = tmp_path / "tidegate"
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    for unit in UNITS:
        (tmp_path / unit.name).write_text(unit.read_text().replace(COMMAND, str(command)))
    return [str(tmp_path / unit.name) for unit in UNITS]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_takes_the_units_without_a_word(installed: list[str]) -> None:
    """`systemd-analyze verify` knows every setting, and finds nothing."""
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *installed], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
