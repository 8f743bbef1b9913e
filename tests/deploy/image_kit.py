"""The image of the Dockerfile without Docker: its steps in a bare Debian, and its program as a container would have it.

Each stage is a layer over what it stands on (overlayfs), so that what a stage adds can be weighed. A container is the
program in its own mount, process and network namespaces, as the user of the image, over a tree that cannot be written.
All of it needs root.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from dockerfile_kit import DOCKERFILE, ROOT, Instruction, Stage, environment, last, line_of, stages

SHELL_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
PASSED_ON = ("PIP_INDEX_URL", "PIP_CERT", "http_proxy", "https_proxy", "no_proxy")
"""What the machine's network needs. Docker passes on proxies, too."""

FROM_THE_MACHINE = ("/etc/resolv.conf", "/etc/hosts", "/etc/ssl/certs/ca-certificates.crt")
"""Laid over the tree's own while a step runs, for the machine's network. Docker does the same with the first two."""


@dataclass
class Builder:
    """Builds stages over the `debian` tree, in a `folder` that it leaves mounted until `close`."""

    debian: Path
    folder: Path
    stages: dict[str, Stage] = field(default_factory=lambda: stages(DOCKERFILE.read_text()))
    _mounted: list[Path] = field(default_factory=list)

    def build(self, name: str) -> Path:
        """The tree of a stage, built once."""
        tree = self.folder / name / "tree"
        if tree in self._mounted:
            return tree
        stage = self.stages[name]
        for other in (stage.base, *sorted(stage.copied_from)):
            if other in self.stages:
                self.build(other)
        self._mount(name, tree)
        for count, step in enumerate(stage.steps):
            self._do(step, tree, [*line_of(self.stages, name)[:-1], Stage(name, stage.base, stage.steps[:count])])
        return tree

    def bytes_of(self, name: str) -> int:
        """What the files of a stage take, without those that it stands on."""
        files = (path for path in (self.folder / name / "layer").rglob("*") if not path.is_symlink() and path.is_file())
        return sum(path.stat().st_size for path in files)

    def close(self) -> None:
        for tree in reversed(self._mounted):
            subprocess.run(["umount", str(tree)], check=True)

    def _mount(self, name: str, tree: Path) -> None:
        line = line_of(self.stages, name)
        for each in ("layer", "work", "tree"):
            (self.folder / name / each).mkdir(parents=True)
        lower = ":".join([str(self.folder / stage.name / "layer") for stage in line[-2::-1]] + [str(self.debian)])
        layers = f"lowerdir={lower},upperdir={self.folder / name / 'layer'},workdir={self.folder / name / 'work'}"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", layers, str(tree)], check=True)
        self._mounted.append(tree)

    def _do(self, step: Instruction, tree: Path, before: list[Stage]) -> None:
        """Carries out a step, in the environment and the folder that what stands `before` it has set."""
        workdir = last(before, "WORKDIR", Instruction("WORKDIR", "/")).text
        if step.keyword == "RUN":
            self._run(step.text, tree, workdir, environment(before))
        elif step.keyword == "COPY":
            self._copy(step, tree, workdir)
        elif step.keyword == "WORKDIR":
            (tree / step.text.lstrip("/")).mkdir(parents=True, exist_ok=True)

    def _run(self, text: str, tree: Path, workdir: str, environ: Mapping[str, str]) -> None:
        passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        script = f'{_laid_over(tree)}\nexec chroot {tree} env -C {workdir} sh -c "$0"'
        command = ["unshare", "--mount", "--pid", "--fork", "sh", "-euc", script, text]
        done = subprocess.run(
            command, env={**SHELL_ENVIRONMENT, **passed, **environ}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{text}\n{done.stdout[-4000:]}{done.stderr[-4000:]}"

    def _copy(self, step: Instruction, tree: Path, workdir: str) -> None:
        *sources, target = step.arguments.split()
        origin = self.build(step.options["from"]) if "from" in step.options else ROOT
        place = tree / os.path.join(workdir, target).lstrip("/")
        for source in sources:
            path = origin / source.lstrip("/")
            if path.is_dir():
                ignored = shutil.ignore_patterns("__pycache__") if origin is ROOT else None
                shutil.copytree(path, place, symlinks=True, dirs_exist_ok=True, ignore=ignored)
            else:
                shutil.copy2(path, place / path.name if target.endswith("/") else place)


def _laid_over(tree: Path) -> str:
    """The lines of a shell that mount what Docker gives to every container, and this machine's way to the network."""
    lines = [f"mount -t proc proc {tree}/proc", f"mount --rbind /dev {tree}/dev"]
    there = [path for path in FROM_THE_MACHINE if os.path.exists(path)]
    lines += [f"[ ! -e {tree}{path} ] || mount --bind {path} {tree}{path}" for path in there]
    return "\n".join(lines)


def _enter(tree: Path, root: Path, binds: Mapping[str, Path], address: str) -> str:
    """The lines of a shell that make `root` the root, the `tree` that cannot be written, and run what follows there."""
    return "\n".join(
        [
            "ip link set lo up",
            *([f"ip address add {address}/32 dev lo"] if address else []),
            f"mount --bind {tree} {root}",
            f"mount -o remount,bind,ro {root}",
            *(f"mount --bind {path} {root}{place}" for place, path in binds.items()),
            f"mount -t tmpfs tmpfs {root}/tmp",
            f"mount -t proc proc {root}/proc",
            f"mount --rbind /dev {root}/dev",
            f"cd {root}",
            "pivot_root . mnt",
            "umount -l /mnt",
            'exec "$@"',
        ]
    )


@dataclass
class Container:
    """A program of an image that runs, alone with its loopback."""

    process: subprocess.Popen[str]
    image: Image
    environ: Mapping[str, str]

    @property
    def pid(self) -> int:
        """The program's number on the machine; to itself it is 1. Raises `ProcessLookupError` where it is none."""
        if not (children := self._children()):
            raise ProcessLookupError("it has not begun, or has ended")
        return children[0]

    @property
    def has_begun(self) -> bool:
        return bool(self._children())

    def _children(self) -> list[int]:
        return [
            int(each) for each in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        ]

    @property
    def user(self) -> tuple[int, int]:
        """Whose process it is: user and group."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        ids = {line.split()[0]: line.split()[1] for line in status.splitlines() if line.startswith(("Uid", "Gid"))}
        return int(ids["Uid:"]), int(ids["Gid:"])

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """A command inside it, as `docker exec` does."""
        enter = ["nsenter", f"--target={self.pid}", "--all", *self.image.as_user]
        return subprocess.run([*enter, *command], capture_output=True, text=True, check=False, env=self.environ)

    @contextmanager
    def beside(self, *command: str) -> Iterator[None]:
        """Runs a program of the machine in the container's network, as another container of a pod would be."""
        with subprocess.Popen(
            ["nsenter", f"--target={self.pid}", "--net", *command], stdout=subprocess.DEVNULL
        ) as process:
            try:
                yield
            finally:
                process.kill()

    @property
    def is_healthy(self) -> bool:
        try:
            return self.run(*self.image.health).returncode == 0
        except ProcessLookupError:
            return False


@dataclass(frozen=True)
class Image:
    """What a stage says of itself, and its tree."""

    tree: Path
    line: Sequence[Stage]

    @property
    def environ(self) -> dict[str, str]:
        return environment(list(self.line))

    @property
    def health(self) -> list[str]:
        return Instruction("CMD", last(list(self.line), "HEALTHCHECK").arguments.removeprefix("CMD ")).exec_form

    @property
    def command(self) -> list[str]:
        return last(list(self.line), "ENTRYPOINT").exec_form + last(list(self.line), "CMD").exec_form

    @property
    def as_user(self) -> list[str]:
        """What a command is put behind, to be run as the user of the image, without any right of root."""
        user, _, group = last(list(self.line), "USER").text.partition(":")
        workdir = last(list(self.line), "WORKDIR").text
        dropped = ["--clear-groups", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]
        return ["setpriv", f"--reuid={user}", f"--regid={group}", *dropped, "env", "-C", workdir]

    @contextmanager
    def running(
        self,
        folder: Path,
        *arguments: str,
        mounted: Mapping[str, Path] | None = None,
        environ: Mapping[str, str] | None = None,
        address: str = "",
    ) -> Iterator[Container]:
        """Runs its command over a tree that cannot be written, with a state directory and /tmp in `folder`.

        `arguments` stand in place of its own, `environ` is laid over its own, and `mounted` over its folders. It has an
        `address` beside that of loopback.
        """
        root = folder / "root"
        root.mkdir(exist_ok=True)
        places = {**self._volume(folder), **(mounted or {})}
        for place in places:
            (self.tree / place.lstrip("/")).mkdir(parents=True, exist_ok=True)
        whole = {**self.environ, **(environ or {})}
        command = self.command if not arguments else [self.command[0], *arguments]
        spaces = ["unshare", "--mount", "--pid", "--net", "--fork", "--kill-child"]
        process = subprocess.Popen(
            [*spaces, "sh", "-euc", _enter(self.tree, root, places, address), "sh", *self.as_user, *command],
            env=whole,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        with process:
            try:
                yield Container(process, self, whole)
            finally:
                process.kill()

    def _volume(self, folder: Path) -> dict[str, Path]:
        """Where its volume is, and what stands for it: made anew, it has the owner of what it lies over."""
        volume, state = last(list(self.line), "VOLUME").text, folder / "state"
        owner = (self.tree / volume.lstrip("/")).stat()
        state.mkdir(mode=0o700, exist_ok=True)
        os.chown(state, owner.st_uid, owner.st_gid)
        return {volume: state}
