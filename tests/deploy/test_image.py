"""The steps of the Dockerfile in a bare Debian, and what they make as a container (`make container`).

It needs root, a tree of Debian and some minutes; `DEBIAN_TREE` names the tree.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from chart_kit import Resource, helm, resources, tool
from chart_kit import container as container_of
from dockerfile_kit import ROOT, line_of
from eventually_kit import eventually
from image_kit import Builder, Container, Image
from redis_kit import SERVER

DEBIAN = os.environ.get("DEBIAN_TREE", "")

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not DEBIAN, reason="no DEBIAN_TREE; make container makes one"),
]

MB = 1_000_000
LARGEST_BYTES = {"server": 130 * MB, "with-model": 500 * MB}
"""What the image may add to Debian's own, unpacked."""

SECONDS = 60.0

KEY = "tg_" + "k" * 43
SHA256 = hashlib.sha256(KEY.encode()).hexdigest()
PASSWORD = "s3cret-of-redis"
CONFIG = """
[[models]]
name = "replay"
provider = "replay"
tokens = 60
rate = 20.0

[[auth.keys]]
name = "ci"
sha256 = "%s"
scopes = ["generate", "read", "cancel"]
"""

POD_IP = "10.244.1.7"
VALUES = """
redis:
  url: redis://127.0.0.1:6379/0
  existingSecret: redis
config:
  models: [{name: replay, provider: replay, tokens: 60, rate: 20.0}]
  auth:
    keys: [{name: ci, sha256: %s, scopes: [generate, read, cancel, metrics]}]
# There is no Service here: its port has to be the pod's own.
service: {port: 8000}
test: {existingSecret: doctor}
"""

ASK = """
import http.client, json, sys
host, path, body = sys.argv[1], sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else None
c = http.client.HTTPConnection(host, 8000, timeout=60)
headers = {"authorization": "Bearer %s", "content-type": "application/json"}
c.request("POST" if body else "GET", path, body, headers)
answer = c.getresponse()
print(answer.status, answer.read().decode())
"""

FETCH = """
import http.client, json, sys
c = http.client.HTTPConnection("127.0.0.1", 8000, timeout=60)
def get(name):
    c.request("GET", "/web/" + name)
    return c.getresponse().read().decode()
print(json.dumps({name: get(name) for name in sys.argv[1:]}))
"""


@pytest.fixture(scope="module")
def builder() -> Iterator[Builder]:
    # Not in pytest's own folder, which it keeps for a while.
    folder = Path(tempfile.mkdtemp(prefix="tidegate-image-"))
    builder = Builder(Path(DEBIAN), folder)
    try:
        yield builder
    finally:
        builder.close()
        shutil.rmtree(folder)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "etc"
    path.mkdir()
    (path / "tidegate.toml").write_text(CONFIG % SHA256)
    return path


def image_of(builder: Builder, target: str) -> Image:
    return Image(builder.build(target), line_of(builder.stages, target))


def ask(container: Container, path: str, body: object = None, *, host: str = "127.0.0.1") -> tuple[int, str]:
    """The status and the body of a call from inside the container, with the key."""
    answer = container.run("python", "-c", ASK % KEY, host, path, *([json.dumps(body)] if body else []))
    assert answer.returncode == 0, answer.stderr
    status, _, text = answer.stdout.partition(" ")
    return int(status), text


def begin(container: Container) -> str:
    """A stream that takes some seconds."""
    status, text = ask(container, "/v1/streams", {"model": "replay", "prompt": "tides", "background": True})
    assert status == 202
    return json.loads(text)["id"]


def end_of(container: Container, stream: str) -> str:
    """How the stream has ended, by the log of a container that ends by itself."""
    said, _ = container.process.communicate(timeout=SECONDS)
    assert container.process.returncode == 0, said
    lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    (end,) = [each for each in lines if each["message"] == "generation ended" and each["stream"] == stream]
    return end["status"]


@pytest.mark.parametrize("target", ["server", "with-model"])
def test_the_image_is_small(builder: Builder, target: str) -> None:
    """What it adds to Debian's own stays below its bound, and it has neither pip nor a compiler nor a cache."""
    image = image_of(builder, target)
    added = {stage.name: builder.bytes_of(stage.name) for stage in image.line}
    shown = ", ".join(f"{name} {size / MB:.1f} MB" for name, size in added.items())
    sys.stdout.write(f"{target}: {sum(added.values()) / MB:.1f} MB ({shown})\n")
    assert sum(added.values()) < LARGEST_BYTES[target]
    found = [path for name in ("pip", "gcc", "curl") for path in image.tree.glob(f"*/**/bin/{name}")]
    assert found == []
    assert not any((image.tree / "var/lib/apt/lists").iterdir())


def test_the_image_refuses_to_be_open(builder: Builder, tmp_path: Path) -> None:
    """It listens on all addresses, so without credentials configured it says what is missing, and ends with code 2."""
    with image_of(builder, "server").running(tmp_path) as container:
        said, _ = container.process.communicate(timeout=SECONDS)
    assert container.process.returncode == 2
    assert "no authentication: add [[auth.keys]]" in said


async def test_a_container_drains(builder: Builder, tmp_path: Path, config: Path) -> None:
    """As a user without rights, over files that it cannot write: it is healthy, and SIGTERM lets an answer finish."""
    image = image_of(builder, "server")
    with image.running(tmp_path, mounted={"/etc/tidegate": config}) as container:
        await eventually(lambda: container.is_healthy, within=SECONDS)
        assert container.user == (10001, 10001)
        assert container.run("touch", "/opt/tidegate/here").returncode != 0
        assert container.run("touch", "/var/lib/tidegate/here").returncode == 0
        stream = begin(container)
        os.kill(container.pid, signal.SIGTERM)
        await eventually(lambda: ask(container, "/readyz")[0] == 503, within=SECONDS)
        assert container.is_healthy
        assert json.loads(ask(container, f"/v1/streams/{stream}")[1])["status"] == "running"
        assert end_of(container, stream) == "completed"
    assert (tmp_path / "state" / "tidegate.db").stat().st_uid == 10001


async def test_the_pages_have_all_their_files(builder: Builder, tmp_path: Path, config: Path) -> None:
    """The client's scripts too, which a checkout has elsewhere; of its package for npm the image has nothing else."""
    web = ROOT / "src" / "tidegate" / "web"
    files = [path for kind in ("*.css", "*.svg", "*.js", "client/*.js") for path in web.glob(kind)]
    image = image_of(builder, "server")
    with image.running(tmp_path, mounted={"/etc/tidegate": config}) as container:
        await eventually(lambda: container.is_healthy, within=SECONDS)
        answer = container.run("python", "-c", FETCH, *(path.name for path in files))
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout) == {path.name: path.read_text() for path in files}
    (client,) = image.tree.glob("opt/tidegate/lib/python3*/site-packages/tidegate/web/client")
    assert {path.suffix for path in client.iterdir()} == {".js"}


async def test_a_container_that_cannot_answer_is_not_healthy(builder: Builder, tmp_path: Path, config: Path) -> None:
    """A stopped process answers nothing: the check fails by itself, and needs no proxy's word."""
    image = image_of(builder, "server")
    with image.running(tmp_path, mounted={"/etc/tidegate": config}) as container:
        await eventually(lambda: container.is_healthy, within=SECONDS)
        os.kill(container.pid, signal.SIGSTOP)
        assert not container.is_healthy


async def test_a_second_signal_ends_a_container_at_once(builder: Builder, tmp_path: Path, config: Path) -> None:
    """Although it is process 1, which no signal ends that it does not catch."""
    image = image_of(builder, "server")
    with image.running(tmp_path, mounted={"/etc/tidegate": config}) as container:
        await eventually(lambda: container.is_healthy, within=SECONDS)
        stream = begin(container)
        os.kill(container.pid, signal.SIGTERM)
        await eventually(lambda: ask(container, "/readyz")[0] == 503, within=SECONDS)
        os.kill(container.pid, signal.SIGTERM)
        said, _ = container.process.communicate(timeout=SECONDS)
        assert container.process.returncode == 1
        assert stream in said
        assert "completed" not in said


async def test_the_model_answers(builder: Builder, tmp_path: Path, config: Path) -> None:
    """The image with the model has all that llama.cpp needs: it answers, without anything fetched."""
    file = config / "tidegate.toml"
    _, _, auth = file.read_text().partition("[[auth.keys]]")
    file.write_text(f'[[models]]\nname = "smollm2"\nprovider = "llama"\n\n[[auth.keys]]{auth}')
    image = image_of(builder, "with-model")
    with image.running(tmp_path, mounted={"/etc/tidegate": config}) as container:
        await eventually(lambda: container.is_healthy, within=SECONDS)
        body = {"model": "smollm2", "messages": [{"role": "user", "content": "Name three rivers."}], "max_tokens": 12}
        status, text = ask(container, "/v1/chat/completions", body)
        assert status == 200, text
        assert json.loads(text)["choices"][0]["message"]["content"].strip()


@pytest.mark.skipif(tool("helm") is None, reason="no helm; make kubernetes builds it")
async def test_a_pod_of_the_chart_serves_and_drains(builder: Builder, tmp_path: Path) -> None:
    """With the arguments, the variables and the files that Helm renders, on a Redis with a password: Kubernetes' probes
    and Prometheus are answered at the pod's own address."""
    found, files = release(tmp_path)
    pod = container_of(found["Deployment"])
    async with running_pod(builder, tmp_path, pod, files) as container:
        assert ask(container, "/metrics", host=POD_IP)[0] == 200
        stream = begin(container)
        os.kill(container.pid, signal.SIGTERM)
        await eventually(lambda: probed(container, pod["readinessProbe"]["httpGet"]["path"]) == 503, within=SECONDS)
        assert probed(container, pod["livenessProbe"]["httpGet"]["path"]) == 200
        assert end_of(container, stream) == "completed"


@pytest.mark.skipif(tool("helm") is None, reason="no helm; make kubernetes builds it")
async def test_helm_test_examines_the_pod(builder: Builder, tmp_path: Path) -> None:
    """The doctor, with the arguments that Helm renders, in the same image: it calls by the Service's name, with a key
    that may do what a client does, and finds nothing."""
    found, files = release(tmp_path)
    (test,) = found["Pod"]["spec"]["containers"]
    assert [each["name"] for each in test["env"]] == ["TIDEGATE_API_KEY"]
    (image_of(builder, "server").tree / "etc" / "hosts").write_text(
        f"{POD_IP} {found['Service']['metadata']['name']}\n"
    )
    async with running_pod(builder, tmp_path, container_of(found["Deployment"]), files) as container:
        done = container.run("env", f"TIDEGATE_API_KEY={KEY}", container.image.command[0], *test["args"])
        assert done.returncode == 0, done.stdout + done.stderr


@asynccontextmanager
async def running_pod(
    builder: Builder, folder: Path, pod: Resource, files: Mapping[str, Path]
) -> AsyncGenerator[Container]:
    """A pod with a Redis beside it, once its probes have been answered."""
    environ = {each["name"]: each["value"].replace("$(POD_IP)", POD_IP) for each in pod["env"] if "value" in each}
    image = image_of(builder, "server")
    with image.running(folder, *pod["args"], mounted=files, environ=environ, address=POD_IP) as container:
        await eventually(lambda: container.has_begun, within=SECONDS)
        with container.beside(SERVER, "--requirepass", PASSWORD, "--save", "", "--dir", str(folder)):
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                path = pod[probe]["httpGet"]["path"]
                await eventually(lambda path=path: probed(container, path) == 200, within=SECONDS)
            yield container


def probed(container: Container, path: str) -> int:
    """What a probe of the pod's address gets; 0 while nobody listens there."""
    try:
        return ask(container, path, host=POD_IP)[0]
    except (AssertionError, ProcessLookupError):
        return 0


def release(folder: Path) -> tuple[dict[str, Resource], dict[str, Path]]:
    """What Helm renders, by kind, and the folders that Kubernetes would mount into its pod, readable for its group."""
    values = folder / "values.yaml"
    values.write_text(VALUES % SHA256)
    done = helm("template", "release", ".", "--values", str(values))
    assert done.returncode == 0, done.stderr
    found = {each["kind"]: each for each in resources(done.stdout)}
    files = {"/etc/tidegate/config": folder / "config", "/etc/tidegate/redis": folder / "redis"}
    for path in files.values():
        path.mkdir()
    (folder / "config" / "tidegate.toml").write_text(found["ConfigMap"]["data"]["tidegate.toml"])
    password = folder / "redis" / "password"
    password.write_text(PASSWORD)
    password.chmod(0o440)
    os.chown(password, 0, found["Deployment"]["spec"]["template"]["spec"]["securityContext"]["fsGroup"])
    mounts = container_of(found["Deployment"])["volumeMounts"]
    assert {each["mountPath"] for each in mounts} == {*files, "/tmp"}
    return found, files
