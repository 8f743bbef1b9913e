"""What the doctor says of nginx and Caddy, as they are shipped."""

from __future__ import annotations

import time

import pytest
from pair_kit import KEY
from way_kit import Stack

from tidegate.client.doctor.examination import examine
from tidegate.client.doctor.findings import findings
from tidegate.client.doctor.patience import Patience
from tidegate.http_client.tls import tls

pytestmark = pytest.mark.anyio

PATIENT = Patience(answer=20.0, body=30.0, event=20.0, watch=0.1, still=20.0, again=20.0, whole=120.0, farewell=10.0)
"""Waits for long where what is waited for comes at once."""


async def test_the_doctor_finds_no_fault(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """With TLS, below the prefix; there is nothing that it could not measure, and a POST arrives once."""
    monkeypatch.setenv("SSL_CERT_FILE", str(stack.front.authority))
    tls.cache_clear()
    try:
        seen = await examine(f"{stack.front.tls_url}/llm", KEY, PATIENT, time.time)
    finally:
        tls.cache_clear()
    assert (findings(seen), seen.unmeasured) == ([], {})
    assert (seen.alpn, seen.arrivals) == ("h2", 1)
