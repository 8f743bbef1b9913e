"""docs/systemd.md against the files that its commands change."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from tidegate.cli import commands

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "systemd.md").read_text()
UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)


def block(having: str) -> str:
    """The only block of commands that has these words."""
    [only] = [each for each in BLOCK.findall(PAGE) if having in each]
    return only


def test_every_block_is_a_shell_script() -> None:
    """They are there to be run, in their order."""
    blocks = BLOCK.findall(PAGE)
    assert len(blocks) > 10
    for script in blocks:
        subprocess.run(["/bin/sh", "-n"], input=script.encode(), check=True)


@pytest.mark.parametrize("unit", UNITS, ids=[each.name for each in UNITS])
def test_what_a_unit_reads_is_what_the_page_makes(unit: Path) -> None:
    """The command, the settings, the environment and the password stand where the unit looks for them."""
    said = [line for line in unit.read_text().splitlines() if not line.startswith("#")]
    paths = re.findall(r"/(?:etc|opt)/tidegate[\w./-]*", "\n".join(said))
    assert len(paths) > 2
    assert [path for path in paths if path.removesuffix("/bin/tidegate") not in PAGE] == []


def test_the_key_is_where_the_page_takes_it_from() -> None:
    """The third line of what `tidegate key` prints; the lines for the file come last."""
    lines = CliRunner().invoke(commands, ["key", "app"]).output.split("\n")
    assert "sed -n 3p" in PAGE
    assert re.fullmatch(r"\S{40,}", lines[2])
    table = lines.index("[[auth.keys]]")
    assert all(" = " in line for line in filter(None, lines[table + 1 :]))


def test_nginx_gets_debians_places_and_words(tmp_path: Path) -> None:
    """The page's commands still find in the shipped files what they change, for nginx 1.22 under Debian's own unit."""
    shutil.copytree(ROOT / "deploy" / "nginx", tmp_path / "deploy" / "nginx")
    (tmp_path / "etc" / "nginx" / "conf.d").mkdir(parents=True)
    script = block("/etc/nginx/nginx.conf").replace("> /etc/", "> etc/").partition("nginx -t")[0]
    subprocess.run(["/bin/sh", "-e"], input=script.encode(), cwd=tmp_path, check=True)
    conf, tls = ((tmp_path / "etc" / "nginx" / name).read_text() for name in ("nginx.conf", "tls.conf"))
    said = [line.strip() for line in conf.splitlines() if not line.strip().startswith("#")]
    assert {"user www-data;", "pid /run/nginx.pid;", "include tls.conf;", "include conf.d/*.conf;"} <= set(said)
    logs = [line.split()[1] for line in said if line.startswith(("error_log", "access_log"))]
    assert logs
    assert all(path.startswith("/var/log/nginx/") for path in logs)
    assert not [line for line in said if "_temp_path" in line or line.startswith("listen")]
    assert re.search(r"^listen 443 ssl http2;", tls, re.MULTILINE)
    assert not re.search(r"^(http2 on|listen .*8443)", tls, re.MULTILINE)
