"""How a connection may end before its answer does. Neither is an error that a client could be told of."""

from __future__ import annotations

TURNED_AWAY = "tidegate.turned_away"
"""Where in an ASGI scope the error is, if the connection that it came by is one too many: all it is to be told."""


REFUSED = "tidegate.refused"
"""Where in an ASGI scope the code of the error is that its caller was answered with."""


class ClientDisconnected(Exception):
    """The client left while its request was read: nobody is there to be answered."""


class ResponseAborted(Exception):
    """The answer broke after its head was sent. The connection must break too, or the client takes it for whole.

    What went wrong has been observed already; servers need not log it again.
    """
