"""A connection to the server that failed, or broke."""

from __future__ import annotations

from ssl import SSLCertVerificationError

from tidegate.client.words import reason
from tidegate.errors import ConfigError, TidegateError, UpstreamUnreachable


class NoAnswer(UpstreamUnreachable):
    """There is no answer, or not all of it: an error of this client, and none that a server has sent."""


def no_answer(said: str, error: Exception) -> TidegateError:
    """The error for a connection that failed: `said`, and why.

    Where that is the server's certificate, another try would not help, and the error is a `ConfigError`.
    """
    if isinstance(error, SSLCertVerificationError) or isinstance(error.__cause__, SSLCertVerificationError):
        return ConfigError(f"{said}: {reason(error)}; SSL_CERT_FILE can name the file of an authority of your own")
    return NoAnswer(f"{said}: {reason(error)}")
