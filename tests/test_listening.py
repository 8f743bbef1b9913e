from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterator

import pytest

from tidegate.config import ServerSettings
from tidegate.errors import InUse, TidegateError
from tidegate.listening import address_of, bind, bind_each, close_all, give_up_on_the_lost


@pytest.mark.parametrize(
    ("host", "url"),
    [("127.0.0.1", "http://127.0.0.1:{}/"), ("::1", "http://[::1]:{}/"), ("0.0.0.0", "http://127.0.0.1:{}/")],
)
def test_the_address_can_be_opened_in_a_browser(host: str, url: str) -> None:
    """IPv6 addresses stand in brackets, and nobody can open 0.0.0.0."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        assert address_of(ServerSettings(host=host), [listening]) == url.format(port)


def test_localhost_has_one_port_for_all_its_addresses() -> None:
    """Port 0 takes one that is free, the same for IPv4 and IPv6."""
    sockets = bind("localhost", 0)
    try:
        assert len({each.getsockname()[1] for each in sockets}) == 1
    finally:
        for each in sockets:
            each.close()


def test_an_address_of_another_machine_cannot_be_listened_on() -> None:
    """The message says which."""
    with pytest.raises(TidegateError, match=r"cannot listen on 192\.0\.2\.1, port 0"):
        bind("192.0.2.1", 0)


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux has it")
def test_the_kernel_gives_up_on_clients_that_are_lost() -> None:
    """What nobody acknowledges for four heartbeats ends the connection, and one with nothing to send is asked."""
    (listening,) = bind("127.0.0.1", 0)
    give_up_on_the_lost([listening], 15)
    listening.setblocking(True)
    listening.listen()
    with listening, socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 60_000
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60


def test_one_port_can_be_bound_once_for_each_worker() -> None:
    """The kernel gives each of them connections, and keeps those of one that does not accept them now."""
    groups = bind_each("127.0.0.1", 0, 3)
    port = groups[0][0].getsockname()[1]
    clients: list[socket.socket] = []
    for (listening,) in groups:
        listening.listen(256)
    try:
        clients += [socket.create_connection(("127.0.0.1", port)) for _ in range(120)]
        waiting = Counter(number for number, (listening,) in enumerate(groups) for _ in accepted(listening))
        assert sum(waiting.values()) == 120
        assert min(waiting[number] for number in range(3)) > 10
    finally:
        close_all([*clients, *(listening for (listening,) in groups)])


def accepted(listening: socket.socket) -> Iterator[socket.socket]:
    """Accepts, and hangs up on, all that wait."""
    while True:
        try:
            client, _ = listening.accept()
        except BlockingIOError:
            return
        client.close()
        yield client


def test_a_second_server_does_not_join_the_port() -> None:
    """It would get every other connection, though both may be of one user, and both share their ports."""
    groups = bind_each("127.0.0.1", 0, 2)
    port = groups[0][0].getsockname()[1]
    try:
        for (listening,) in groups:
            listening.listen()
        for times in (1, 2):
            with pytest.raises(InUse):
                bind_each("127.0.0.1", port, times)
        with pytest.raises(InUse):
            bind("127.0.0.1", port)
    finally:
        close_all([listening for (listening,) in groups])
