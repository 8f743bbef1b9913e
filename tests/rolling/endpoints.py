"""A service of Kubernetes: a new connection goes to one of its endpoints, and stays there whatever becomes of them."""

from __future__ import annotations

from random import Random


class Service:
    """The endpoints, by their ports. Like kube-proxy's rules it decides where a connection goes when it is made, and
    carries none of its bytes."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._endpoints: list[int] = []

    def add(self, port: int) -> None:
        self._endpoints.append(port)

    def remove(self, port: int) -> None:
        self._endpoints.remove(port)

    def pick(self) -> int:
        """The endpoint of a new connection."""
        return self._random.choice(self._endpoints)
