"""The configuration: its shape, where it comes from, and how it is shown."""

from __future__ import annotations

from tidegate.config.checks import is_loopback, refuse_exposed, refuse_unavailable
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
from tidegate.config.sources import load

__all__ = [
    "AuthSettings",
    "DeliverySettings",
    "LimitSettings",
    "ObservabilitySettings",
    "ServerSettings",
    "Settings",
    "StoreSettings",
    "is_loopback",
    "load",
    "masked",
    "refuse_exposed",
    "refuse_unavailable",
    "toml",
]
