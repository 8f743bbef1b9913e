"""Ways in which a connection ends before its answer does. Neither is an error that a client could be sent."""

from __future__ import annotations

TURNED_AWAY = "tidegate.turned_away"
"""The key of an ASGI scope that has the error if the connection is one too many: the only answer it is to get."""


REFUSED = "tidegate.refused"
"""The key of an ASGI scope that has the code of the error that its caller was answered with."""


class ClientDisconnected(Exception):
    """The client left while its request was being read: nobody is there to be answered."""


class ResponseAborted(Exception):
    """The answer failed after its head was sent, or must not begin. The connection must be aborted, or the client takes
    the answer for complete.

    The failure has been observed already; servers need not log it again.
    """
