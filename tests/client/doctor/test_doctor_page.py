from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import msgspec

from tidegate.client.doctor.finding import Code
from tidegate.client.doctor.fixes import FIXES
from tidegate.config import DeliverySettings
from tidegate.dialects.native_probe import Arrived
from tidegate.server import KEEP_ALIVE_SECONDS

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "doctor.md").read_text("utf-8")
PROXIES = (DOCS / "reverse-proxy.md").read_text("utf-8")
KUBERNETES = (DOCS / "kubernetes.md").read_text("utf-8")
SECTIONS: dict[str, str] = dict(re.findall(r"^## `(\w+)`\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))


def test_every_code_has_a_section() -> None:
    """Which says what it means, how it is found, and what to change, in the words of the command."""
    assert list(SECTIONS) == list(get_args(Code))
    for code, text in SECTIONS.items():
        assert "**Found by**: " in text
        assert re.findall(r"^- \*\*(.+?)\*\*: (.+)$", text, re.MULTILINE) == list(FIXES[code].items())


def test_every_field_of_a_probe_is_told() -> None:
    """And none that there is not."""
    table = PAGE.partition("| field | |")[2].partition("\n\n")[0]
    told = {
        name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1] if "|" in row else "")
    }
    assert told == {field.name for field in msgspec.structs.fields(Arrived)}


def test_amazons_balancer_is_told_one_time() -> None:
    """It outlasts what is silent by two heartbeats or pings, and gives connections up before tidegate does."""
    least, most, kept = map(int, re.findall(r"\d+", FIXES["idle_cut"]["AWS ALB"]))
    (chosen,) = map(int, re.findall(r"idle_timeout\.timeout_seconds=(\d+)", KUBERNETES))
    assert re.findall(r"(\d+) s that tidegate keeps connections", PROXIES) == [str(KEEP_ALIVE_SECONDS)]
    assert kept == KEEP_ALIVE_SECONDS
    delivery = DeliverySettings()
    assert 2 * max(delivery.heartbeat_seconds, delivery.ws_ping_seconds) <= least <= chosen <= most < kept


def test_cloudflares_patience_is_told_in_one_number() -> None:
    """In the command, and on the page on proxies."""
    assert re.findall(r"(\d+) s", FIXES["idle_cut"]["Cloudflare"]) == re.findall(r"after (\d+) s without", PROXIES)
