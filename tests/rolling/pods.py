"""The pods of a deployment: `tidegate serve`, each in a process of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, Process
from pathlib import Path

from endpoints import Service
from port_kit import free_port
from update_calls import BROKEN, Line
from update_plan import Plan

SERVE = (sys.executable, "-c", "from tidegate.cli import main; main()", "serve", "--config", "tidegate.toml", "--port")

START_SECONDS = 60.0


class Pod:
    """One server, with a folder of its own."""

    def __init__(self, name: str, folder: Path, config: str) -> None:
        self.name = name
        self.port = free_port()
        self.code: int | None = None
        self.drained = 0.0
        """How many seconds passed between SIGTERM and the end."""
        self._folder = folder / name
        self._folder.mkdir(parents=True)
        (self._folder / "tidegate.toml").write_text(config)
        self._process: Process | None = None

    async def start(self, probe: float) -> None:
        """Starts the server, and asks every `probe` seconds until it says that it is ready."""
        with self._log.open("wb") as log:
            process = self._process = await asyncio.create_subprocess_exec(
                *("setpriv", "--pdeathsig", "KILL", *SERVE, str(self.port)),
                stdout=DEVNULL,
                stderr=log,
                cwd=self._folder,
                env={**os.environ, "XDG_STATE_HOME": str(self._folder)},
            )
        async with asyncio.timeout(START_SECONDS):
            while not await self._is_ready():
                assert process.returncode is None, self._log.read_text()
                await asyncio.sleep(probe)

    async def stop(self, grace: float) -> None:
        """SIGTERM, and SIGKILL once the grace is over."""
        loop = asyncio.get_running_loop()
        since, process = loop.time(), self._process
        assert process is not None
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(grace):
                self.code = await process.wait()
        except TimeoutError:
            self.code = await self.kill()
        self.drained = loop.time() - since

    async def kill(self) -> int:
        """SIGKILL, unless it has ended already; answers the exit code."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
        return 0 if self._process is None else await self._process.wait()

    @property
    def _log(self) -> Path:
        return self._folder / "stderr"

    async def _is_ready(self) -> bool:
        line = Line(lambda: self.port)
        try:
            return (await line.call("GET", "/readyz"))[0] == 200
        except BROKEN:
            return False
        finally:
            line.close()


class Deployment:
    """Pods behind a service. They are replaced with `maxSurge` 1 and `maxUnavailable` 0: a new pod is started; once it
    is ready, it is an endpoint and an old one stops, and the next pod is started without waiting for the old one."""

    def __init__(self, plan: Plan, service: Service, folder: Path, config: str) -> None:
        self.pods: list[Pod] = []
        self._plan = plan
        self._service = service
        self._folder = folder
        self._config = config

    async def start(self) -> None:
        """Starts the first version."""
        await asyncio.gather(*(self._add(f"v1-{number}") for number in range(self._plan.replicas)))

    async def update(self) -> None:
        """Replaces all pods by those of the second version."""
        async with asyncio.TaskGroup() as stopping:
            for number, pod in enumerate(tuple(self.pods)):
                await self._add(f"v2-{number}")
                await asyncio.sleep(self._plan.min_ready)
                stopping.create_task(self._stop(pod))

    async def stop(self) -> None:
        """Ends what is left."""
        await asyncio.gather(*(pod.kill() for pod in self.pods))

    async def _add(self, name: str) -> None:
        pod = Pod(name, self._folder, self._config)
        self.pods.append(pod)
        await pod.start(self._plan.probe)
        self._service.add(pod.port)

    async def _stop(self, pod: Pod) -> None:
        async with asyncio.TaskGroup() as both:
            both.create_task(self._remove(pod))
            await asyncio.sleep(self._plan.pre_stop)
            await pod.stop(self._plan.grace)

    async def _remove(self, pod: Pod) -> None:
        await asyncio.sleep(self._plan.lag)
        self._service.remove(pod.port)
