"""How large a rolling update is, and how its pods and clients behave."""

from __future__ import annotations

import msgspec


class Plan(msgspec.Struct, frozen=True):
    """So many `streams` are live at all times, each with so many `readers`, while `replicas` pods are replaced.

    `rate` is that of all models, in tokens per second. An answer that can go on elsewhere has `tokens`, one that cannot
    has `short` ones, so that it ends within the drain. `pre_stop` is the time between a pod's removal from the service
    and its SIGTERM, `lag` the time that the removal takes: both begin together. `probe` is the time between two
    readiness probes, `min_ready` how long a new pod has to be ready before an old one stops, `grace` what a pod that
    stops is given, `lease` the server's `lease_seconds`.
    """

    streams: int = 200
    readers: int = 5
    replicas: int = 3
    rate: float = 4.0
    tokens: int = 120
    short: int = 60
    pre_stop: float = 5.0
    lag: float = 2.0
    probe: float = 1.0
    min_ready: float = 0.0
    grace: float = 45.0
    lease: float = 5.0

    @property
    def pause(self) -> float:
        """The model's own pause between two tokens, in seconds."""
        return 1 / self.rate

    def text(self, tokens: int) -> str:
        """What a stream with so many tokens says: each word is its own number."""
        return " ".join(f"w{number}" for number in range(tokens))


CONFIG = """
[server]
drain_seconds = 30
[store]
url = "{url}"
prefix = "rolling"
lease_seconds = {plan.lease}
[limits]
requests_per_minute = 0
readers_per_principal = 0
concurrent_generations = 0
connections_per_principal = 0
[[models]]
name = "goes-on"
provider = "replay"
text = "{text}"
tokens = {plan.tokens}
rate = {plan.rate}
can_continue = true
[[models]]
name = "upstream"
provider = "openai"
base_url = "{upstream}"
can_continue = true
[[models]]
name = "stays"
provider = "replay"
text = "{short}"
tokens = {plan.short}
rate = {plan.rate}
"""


def config(plan: Plan, url: str, upstream: str) -> str:
    """The configuration of every pod."""
    return CONFIG.format(
        plan=plan, url=url, upstream=upstream, text=plan.text(plan.tokens), short=plan.text(plan.short)
    )
