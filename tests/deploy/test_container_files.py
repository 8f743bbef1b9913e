"""The Dockerfile and compose.yaml, read without Docker, and the programs that they start as far as they are here."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from chart_kit import DEPLOY, ROOT, load, tool
from dockerfile_kit import DOCKERFILE, environment, instructions, last, line_of, stages
from eventually_kit import eventually
from port_kit import free_port
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis_kit import SERVER

from tidegate import config

pytestmark = pytest.mark.anyio

STAGES = stages(DOCKERFILE.read_text())
COMPOSE = load(DEPLOY / "compose.yaml")
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
NODES = ("node-a", "node-b")
NGINX = DEPLOY / "nginx" / "nginx.conf"

ENDS_SECONDS = 5
"""So long after `drain_seconds` tidegate has ended, whatever hangs."""


@pytest.mark.parametrize("target", ["server", "with-model"])
def test_the_image_runs_as_a_user_without_rights(target: str) -> None:
    """By number, so that Kubernetes can tell that it is not root; signals reach tidegate, since no shell is between."""
    line = line_of(STAGES, target)
    assert last(line, "USER").text == "10001:10001"
    assert [*last(line, "ENTRYPOINT").exec_form, *last(line, "CMD").exec_form] == ["tidegate", "serve"]
    assert last(line, "STOPSIGNAL").text == "SIGTERM"
    assert last(line, "HEALTHCHECK").text.startswith("--interval=10s")


def test_the_image_has_no_model_unless_it_is_asked_for() -> None:
    """What is built without a target is the last stage, and llama.cpp and weights are in another one's line."""
    assert list(STAGES)[-1] == "server"
    needed = set[str]()
    waiting = {"server"}
    while waiting:
        name = waiting.pop()
        needed.add(name)
        waiting |= ({STAGES[name].base} & set(STAGES) | STAGES[name].copied_from) - needed
    assert needed == {"server", "runtime", "build", "python"}


def test_everything_in_the_image_is_pinned() -> None:
    """The base has a name and no `latest`, and pip is held by constraints.txt in every stage that installs."""
    (base,) = {stage.base for stage in STAGES.values()} - set(STAGES)
    assert base == "debian:bookworm-slim"
    for name, stage in STAGES.items():
        if any("pip --python" in step.text for step in stage.steps):
            assert environment(line_of(STAGES, name))["PIP_CONSTRAINT"] == "/source/constraints.txt"
    assert all(step.keyword != "ADD" for step in instructions(DOCKERFILE.read_text()))


def test_what_is_copied_is_let_through_and_nothing_else() -> None:
    """.dockerignore names what may enter: a key that lies about does not."""
    copied = {
        word
        for stage in STAGES.values()
        for step in stage.steps
        if step.keyword == "COPY" and "from" not in step.options
        for word in step.arguments.split()[:-1]
    }
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == copied
    assert all((ROOT / name).exists() for name in copied)


def test_what_git_ignores_does_not_enter() -> None:
    """What is made beside the sources that are copied, or installed there, stays behind."""
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    made = {path.rstrip("/") for path in ignored if path.startswith("clients/")}
    assert made
    assert {*made, "**/node_modules"} <= set((ROOT / ".dockerignore").read_text().splitlines())


@pytest.mark.skipif(tool("dockerfile") is None, reason="no reader of Dockerfiles; make kubernetes builds it")
@pytest.mark.parametrize("target", ["server", "with-model"])
def test_docker_takes_the_dockerfile(target: str) -> None:
    """Its own reader warns of nothing, and understands what these tests do."""
    program = tool("dockerfile")
    assert program
    done = subprocess.run([program, str(DOCKERFILE), target], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    image, line = json.loads(done.stdout), line_of(STAGES, target)
    assert image["User"] == last(line, "USER").text
    assert image["WorkingDir"] == last(line, "WORKDIR").text
    assert dict(each.split("=", 1) for each in image["Env"]) == environment(line)
    assert image["Entrypoint"] + image["Cmd"] == ["tidegate", "serve"]
    check = last(line, "HEALTHCHECK").arguments.removeprefix("CMD ")
    assert image["Healthcheck"]["Test"] == ["CMD", *json.loads(check)]
    assert list(image["Volumes"]) == [last(line, "VOLUME").text]


@pytest.mark.parametrize("name", NODES)
def test_a_node_has_settings_that_tidegate_takes(name: str, tmp_path: Path) -> None:
    """Out of its environment, with the page's file, which has models alone: a node on loopback needs no credentials."""
    file = tmp_path / "tidegate.toml"
    page = (ROOT / "docs" / "containers.md").read_text()
    file.write_text(page.partition("```toml\n# deploy/tidegate.toml\n")[2].partition("```")[0])
    environ = {**SERVICES[name]["environment"], "TIDEGATE_SERVER__PUBLIC_URL": "http://localhost:8080"}
    settings, _ = config.read(file, {key: str(value) for key, value in environ.items()}, {})
    config.refuse_unavailable(settings)
    config.refuse_exposed(settings, insecure=False)
    assert [model.name for model in settings.models] == ["gpt-4o-mini", "replay"]
    assert f"/run/secrets/{SERVICES[name]['secrets'][0]}" == settings.store.password_file
    assert _seconds(SERVICES[name]["stop_grace_period"]) > settings.server.drain_seconds + ENDS_SECONDS


def test_the_nodes_are_where_nginx_looks() -> None:
    """nginx.conf is mounted as it is: it and both nodes have one address together, and each node its port."""
    assert {SERVICES[name]["network_mode"] for name in (*NODES, "nginx")} == {"service:place"}
    ports = {SERVICES[name]["environment"]["TIDEGATE_SERVER__PORT"] for name in NODES}
    assert ports == {"8000", "8001"}
    assert "127.0.0.1:8080:8080" in SERVICES["place"]["ports"]


def test_nginx_looks_where_the_nodes_are() -> None:
    """Its upstreams and its own port are those of compose.yaml."""
    text = NGINX.read_text()
    assert set(re.findall(r"^\s*server 127\.0\.0\.1:(\d+)", text, re.MULTILINE)) == {"8000", "8001"}
    assert re.search(r"^\s*listen 8080;", text, re.MULTILINE)


def test_only_this_machine_reaches_what_is_published() -> None:
    """Redis and the nodes publish nothing, and Redis' network leads nowhere."""
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert set(published) == {"place"}
    assert all(port.startswith("127.0.0.1:") for port in published["place"])
    assert COMPOSE["networks"]["store"]["internal"] is True
    assert SERVICES["redis"]["networks"] == ["store"]


def test_no_secret_is_in_the_file() -> None:
    """The password comes from a file that git ignores, into files: it stands in no variable."""
    assert list(COMPOSE["secrets"]) == ["redis_password"]
    path = re.fullmatch(r"\$\{REDIS_PASSWORD_FILE:-\./(.+)\}", COMPOSE["secrets"]["redis_password"]["file"])
    assert path
    assert f"/deploy/{Path(path[1]).parent}/" in (ROOT / ".gitignore").read_text().split()


@pytest.mark.parametrize("name", list(SERVICES))
def test_a_service_may_do_nothing_that_it_needs_not(name: str) -> None:
    """Its files are read-only, it has no right of root, it is started again, and its image has a version."""
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["restart"] == "unless-stopped"
    assert re.fullmatch(r"tidegate:local|[\w./-]+:\d+\.\d+(\.\d+)?-alpine", service["image"])


def test_who_is_waited_for_says_when_it_is_ready() -> None:
    """nginx waits for healthy nodes, and nodes for a healthy Redis."""
    for service in SERVICES.values():
        for other, condition in service.get("depends_on", {}).items():
            if condition["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[other] or SERVICES[other]["image"] == "tidegate:local"
    assert SERVICES["nginx"]["depends_on"]["node-b"]["condition"] == "service_healthy"
    assert SERVICES["node-a"]["depends_on"]["redis"]["condition"] == "service_healthy"


@pytest.mark.skipif(tool("compose") is None, reason="no reader of compose files; make kubernetes builds it")
def test_compose_takes_the_file() -> None:
    """Its own reader finds every service, those of the telemetry stack too, and nothing against the schema."""
    program = tool("compose")
    assert program
    environ = {**os.environ, "GRAFANA_PASSWORD": "secret"}
    done = subprocess.run(
        [program, str(DEPLOY / "compose.yaml")], capture_output=True, text=True, check=False, env=environ
    )
    assert done.returncode == 0, done.stderr
    for name in (*SERVICES, *load(DEPLOY / "telemetry" / "compose.yaml")["services"]):
        assert f"\n  {name}:\n" in done.stdout


@pytest.fixture
def redis_of_compose(tmp_path: Path) -> Iterator[tuple[int, int]]:
    """The service's own entry point, which a shell runs over a real server: its process and its port."""
    secret = tmp_path / "redis_password"
    secret.write_text("s3cret-of-redis\n")
    port = free_port()
    changes = {
        "$$": "$",
        "/run/secrets/redis_password": str(secret),
        "redis-server -": f"{SERVER} - --port {port} --bind 127.0.0.1",
        "/data": str(tmp_path),
    }
    *shell, script = SERVICES["redis"]["entrypoint"]
    for said, here in changes.items():
        assert said in script
        script = script.replace(said, here)
    with subprocess.Popen([*shell, script], stdout=subprocess.DEVNULL) as process:
        yield process.pid, port
        process.kill()


async def test_redis_starts_as_it_is_told(redis_of_compose: tuple[int, int]) -> None:
    """It wants the password, which no list of processes shows, keeps what it has, and drops nothing."""
    process, port = redis_of_compose
    client = redis.Redis(port=port, password="s3cret-of-redis", retry=Retry(NoBackoff(), 0))

    def answers() -> bool:
        try:
            return client.ping()
        except redis.ConnectionError:
            return False

    await eventually(answers, within=20)
    wanted = {"appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction", "maxmemory": str(2**30)}
    assert {name: client.config_get(name)[name] for name in wanted} == wanted
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(port=port).ping()
    assert "s3cret" not in command_of(process)
    client.close()


def command_of(process: int) -> str:
    return Path(f"/proc/{process}/cmdline").read_text()


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+)s", text)
    assert found
    return float(found[1])
