"""The configuration: its settings, their sources, and how they are shown."""

from __future__ import annotations

from tidegate.config.changes import Changes, ignored, key_changes, merged
from tidegate.config.keys import new_key
from tidegate.config.models import behind, only, upstream_url
from tidegate.config.origins import Origins
from tidegate.config.refusals import refuse_exposed, refuse_unavailable, refuse_unusable
from tidegate.config.reloads import Reloads
from tidegate.config.serve_source import ServeSource
from tidegate.config.settings import (
    AuthSettings,
    DeliverySettings,
    LimitSettings,
    ObservabilitySettings,
    ServerSettings,
    Settings,
    StoreSettings,
)
from tidegate.config.show import masked, toml
from tidegate.config.sources import FLAGS, load, read
from tidegate.config.store_options import store_options
from tidegate.config.store_url import with_state_store

__all__ = [
    "FLAGS",
    "AuthSettings",
    "Changes",
    "DeliverySettings",
    "LimitSettings",
    "ObservabilitySettings",
    "Origins",
    "Reloads",
    "ServeSource",
    "ServerSettings",
    "Settings",
    "StoreSettings",
    "behind",
    "ignored",
    "key_changes",
    "load",
    "masked",
    "merged",
    "new_key",
    "only",
    "read",
    "refuse_exposed",
    "refuse_unavailable",
    "refuse_unusable",
    "store_options",
    "toml",
    "upstream_url",
    "with_state_store",
]
