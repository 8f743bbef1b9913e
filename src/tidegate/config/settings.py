"""The settings: one frozen object for the whole configuration. docs/configuration.md says what each key does.

Times are in seconds and sizes in bytes unless the name says otherwise.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from tidegate.gate.api_keys import ApiKey
from tidegate.providers.settings import MAX_SECONDS, Count, LlamaModel, ModelSettings, Positive, Seconds

SecondsOrZero = Annotated[float, Meta(ge=0, le=MAX_SECONDS)]

Workers = Annotated[int, Meta(ge=1, le=256)]
"""More than processors gain nothing, and few machines have so many: a slip of 1000 would start as many processes."""


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[server]`: where the server listens, and its public name. `public_url` is kept without its last slash."""

    host: Annotated[str, Meta(min_length=1)] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8000
    public_url: str = ""
    drain_seconds: SecondsOrZero = 30
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ("127.0.0.1",)
    workers: Workers = 1


class StoreSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[store]`: where logs are kept, and for how long."""

    url: str = ""
    password_file: str = ""
    ca_file: str = ""
    prefix: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,64}$")] = "tidegate"
    max_bytes: Count = 0
    synchronous: Literal["normal", "full"] = "normal"
    retention_seconds: SecondsOrZero = 86400
    topic_history: Positive = 1000
    lease_seconds: Seconds = 5
    patience_seconds: SecondsOrZero = 30


class AuthSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[auth]`: who may call. Without keys and tokens everyone may, as `anonymous`. Hashes are in lower case."""

    keys: tuple[ApiKey, ...] = ()
    jwt_secret_env: str = ""
    jwks_url: str = ""
    issuer: str = ""
    audience: str = ""


class LimitSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[limits]`: what one caller may ask for."""

    requests_per_minute: Count = 600
    burst: Positive = 60
    tokens_per_minute: Count = 0
    concurrent_generations: Count = 100
    readers_per_principal: Count = 100
    connections: Count = 0
    connections_per_principal: Count = 200
    max_buffered_bytes: Positive = 268435456
    max_stored_bytes_per_principal: Positive = 1073741824
    max_generation_bytes: Positive = 16777216
    max_body_bytes: Positive = 16777216
    max_message_bytes: Positive = 1048576
    max_header_bytes: Positive = 65536
    request_timeout_seconds: Seconds = 30


class DeliverySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[delivery]`: how events travel to readers."""

    heartbeat_seconds: Seconds = 15
    ws_ping_seconds: Seconds = 30
    ws_idle_seconds: Seconds = 60
    ws_probe_seconds: Seconds = 10
    ws_probes: Positive = 3
    batch_max_tokens: Positive = 1
    batch_max_delay_ms: Count = 0
    compression: bool = True
    max_connection_seconds: SecondsOrZero = 0
    send_buffer_bytes: Positive = 65536
    cors_max_age: Count = 600


class ObservabilitySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[observability]`: what the server says about itself."""

    otlp_endpoint: str = ""
    log_format: Literal["auto", "text", "json"] = "auto"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    metrics: bool = True


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole configuration. Without `models` the embedded model is served."""

    server: ServerSettings = ServerSettings()
    store: StoreSettings = StoreSettings()
    models: tuple[ModelSettings, ...] = (LlamaModel(name="smollm2"),)
    auth: AuthSettings = AuthSettings()
    limits: LimitSettings = LimitSettings()
    delivery: DeliverySettings = DeliverySettings()
    observability: ObservabilitySettings = ObservabilitySettings()
