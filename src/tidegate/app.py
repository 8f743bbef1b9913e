"""The composition root: the only place where settings, store, models, engine, routes and gate are put together."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cache, partial
from secrets import randbits
from time import CLOCK_BOOTTIME, clock_gettime, monotonic, time
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.types import ASGIApp, Receive, Scope, Send

from tidegate.config import (
    AuthSettings,
    Changes,
    LimitSettings,
    ServerSettings,
    Settings,
    ignored,
    key_changes,
    merged,
    store_options,
)
from tidegate.core.batching import BatchPolicy
from tidegate.core.bucket import Buckets
from tidegate.core.steady import SteadyClock
from tidegate.delivery.broadcast import Broadcasts
from tidegate.dialects.native_socket_events import SocketDialects
from tidegate.errors import ConfigError, Draining
from tidegate.gate.access import AccessMiddleware
from tidegate.gate.api_keys import ApiKeys
from tidegate.gate.auth import Authenticator, AuthMiddleware
from tidegate.gate.connections import Connections, ConnectionsMiddleware
from tidegate.gate.cors import CorsMiddleware
from tidegate.gate.failures import FailureMiddleware
from tidegate.gate.host import HostMiddleware
from tidegate.gate.jwt.jwks import IssuerKeys
from tidegate.gate.jwt.tokens import Tokens, secret_of
from tidegate.gate.leaving import LeavingMiddleware
from tidegate.gate.limits import MINUTE, LimitMiddleware
from tidegate.gate.origin import OriginMiddleware, Origins
from tidegate.gate.request_id import RequestIdMiddleware
from tidegate.gate.response_headers import ResponseHeadersMiddleware
from tidegate.gate.security_headers import SecurityHeadersMiddleware
from tidegate.gate.trace import TraceMiddleware
from tidegate.observe.base import Observer
from tidegate.observe.gauges import Reading
from tidegate.observe.logging import LoggingObserver
from tidegate.observe.metrics.appends import Appends
from tidegate.observe.metrics.deliveries import Deliveries
from tidegate.observe.metrics.meter import Meter
from tidegate.observe.metrics.observer import MetricsObserver
from tidegate.observe.metrics.series import Series
from tidegate.observe.refusals import Refusals
from tidegate.observe.tee import Tee
from tidegate.providers.settings import ModelSettings, PythonModel
from tidegate.routes.call import Context
from tidegate.routes.nodes import Nodes
from tidegate.routes.readings import readings
from tidegate.routes.router import router
from tidegate.routes.table import ROUTES
from tidegate.routes.withdrawal import Withdrawal
from tidegate.serving.registry import Registry
from tidegate.stores import STORES, traits_of
from tidegate.stores.base import Store
from tidegate.stores.cluster import Cluster
from tidegate.streams.observed_store import ObservedStore
from tidegate.streams.provider_factory import ProviderFactory
from tidegate.streams.quotas import Quotas
from tidegate.streams.served_models import PreparedModels, ServedModels
from tidegate.streams.service import Service

if TYPE_CHECKING:
    from tidegate.observe.otel.telemetry import Telemetry

logger = logging.getLogger("tidegate.server")

SWEEP_SECONDS = 60.0
"""The time between two sweeps for what has outlived its retention; a sweep of 10,000 streams takes milliseconds."""


Middleware = Callable[[ASGIApp], ASGIApp]

EMBEDDED = Settings(server=ServerSettings(allowed_hosts=("*",)), models=())
"""The settings inside another application, which checks the Host header and names the models itself."""


class Tidegate:
    """tidegate as an ASGI application, served by `tidegate serve` or mounted into another application.

        streams = Tidegate(models={"agent": answer})
        app = FastAPI(lifespan=streams.lifespan)
        app.mount("/llm", streams)

    `models` adds `python` models to those of the settings: functions `async def answer(request)` that yield text or
    events. Without `lifespan` the application starts with its first request, and streams that are live when the process
    ends are not ended. Several applications over one `store` are nodes: each serves all streams. Raises `ConfigError`.
    """

    detaches = True
    """It may return before an answer is over (`core/detached.py`). An application around this one does not say so; a
    subclass says so for itself."""

    def __init__(
        self,
        settings: Settings = EMBEDDED,
        *,
        models: Mapping[str, Callable[..., Any]] | None = None,
        observer: Observer | None = None,
        store: Store | None = None,
    ) -> None:
        self._own = [PythonModel(name=name, target=target) for name, target in (models or {}).items()]
        self.meter = meter = Meter()
        self.scrape: Callable[[], Awaitable[Sequence[Series]]] = self._alone
        """Reads what `/metrics` shows. One of several workers sets it, since a scrape answers for all of them."""
        self._name = name = f"node_{randbits(64):016x}"
        self._telemetry = telemetry = _telemetry(settings.observability.otlp_endpoint, name, self.series)
        observers = [observer or LoggingObserver(), MetricsObserver(meter)]
        self.observer = observer = Tee(observers if telemetry is None else [*observers, telemetry.observer])
        appends = Appends()
        now = SteadyClock(time, _elapsed)
        store = store or _store(settings, now)
        store = ObservedStore(store, meter, appends, observer.observe_store if observer.observes_stores else None)
        cluster = store.join(name, settings.store.lease_seconds)
        limits = _limits(settings.limits, cluster)
        origins = Origins(settings.server.allowed_origins, settings.server.public_url)
        self._models = ServedModels(ProviderFactory(observer), self._all_models(settings))
        meter.serve(self._models.upstreams)
        self.service = _service(settings, store, cluster, self._models, limits.tokens, observer, now, meter)
        self.registry = Registry(send_away=self.service.readers.send_away, now=time, random_bits=randbits)
        self.connections = Connections(settings.limits.connections_per_principal, Refusals(observer))
        self._settings = settings
        self._tokens = _tokens(settings.auth)
        self._authenticator = Authenticator(
            ApiKeys(settings.auth.keys), self._tokens, self.service.shares, origins, failures=limits.failures
        )
        self._withdrawal = Withdrawal(self.service, self.registry, self._authenticator.now)
        self._reloading = asyncio.Lock()
        self._routes = _routed(
            settings,
            self.service,
            self.registry,
            self._withdrawal,
            Nodes(cluster, self.registry, self.service),
            self.connections,
            limits,
            self._authenticator,
            observer,
            (lambda: self.scrape()) if settings.observability.metrics else None,
            {transport: Deliveries(meter, appends, transport) for transport in ("sse", "websocket")},
        )
        self._app = _gated(
            self._opened, settings, self.service, self.connections, origins, observer, sampled=telemetry is not None
        )
        self._sweeper: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            self._start_sweeping()
            await self._app(scope, receive, send)
        else:
            # `tidegate serve` has no lifespan, and serves nothing that needs Starlette's router.
            from starlette.routing import Router

            await Router(lifespan=self.lifespan)(scope, receive, send)

    async def start(self) -> None:
        """Opens the store and starts every model. Raises `ConfigError` where one of them cannot start."""
        self._start_sweeping()
        if self._tokens is not None:
            self._tokens.start()
        await self._open()
        await self.service.start_models()

    async def reload(self, settings: Settings) -> Changes:
        """Takes over the models and `auth.keys` of other settings while it runs: all of them or, if it raises, none.

        What runs goes on with what it has begun with. Raises `ConfigError` where a new model cannot start or nobody
        would have to say who it is any more, and `Draining`.
        """
        async with self._reloading:
            return self.take(await self.prepare(settings))

    async def prepare(self, settings: Settings) -> Prepared:
        """The first half of `reload`: makes and starts what is new, beside what is served. Raises as that does.

        What it returns is for `take`, or else has to be dropped.
        """
        running = self._settings
        later = merged(running, settings)
        models = await self._models.prepare(self._all_models(later))
        if self.service.draining:
            await models.drop()
            raise Draining("this server is about to stop, and takes over no settings")
        return Prepared(later, models, ignored(running, settings))

    def take(self, prepared: Prepared) -> Changes:
        """The second half of `reload`: in one step, so that no call is between the earlier settings and these."""
        changes = Changes(
            self._models.take(prepared.models), key_changes(self._settings, prepared.settings), prepared.ignored
        )
        self._settings = prepared.settings
        self.meter.serve(self._models.upstreams)
        self._authenticator.change(ApiKeys(prepared.settings.auth.keys))
        self._withdrawal.look_at_all()
        return changes

    async def drain(self) -> None:
        """Refuses new streams, gives live ones `server.drain_seconds` to finish, then sends readers away.

        Several workers drain together.
        """
        server = self._settings.server
        await self.service.drain(server.drain_seconds, siblings=server.workers - 1)

    def readings(self) -> Iterator[Reading]:
        """The present values of the gauges; see `Gauges`."""
        return readings(self.service, self.registry)

    def series(self) -> Sequence[Series]:
        """All that this process has measured."""
        return self.meter.series(self.readings())

    async def _alone(self) -> Sequence[Series]:
        return self.series()

    async def flush(self) -> None:
        """Sends what is pending of telemetry, for a few seconds at the most; called after `close`."""
        if self._telemetry is not None:
            await self._telemetry.close()

    async def close(self) -> None:
        """Stops everything at once."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        if self._tokens is not None:
            self._tokens.close()
        self._withdrawal.close()
        await self.service.close()
        await self._models.close()

    @asynccontextmanager
    async def lifespan(self, app: object) -> AsyncGenerator[None]:
        """Starts, and at the end drains and closes; for the `lifespan` argument of the application around this one."""
        await self.start()
        try:
            yield
        finally:
            await self.drain()
            await self.close()
            await self.flush()

    def _all_models(self, settings: Settings) -> Sequence[ModelSettings]:
        return [*settings.models, *self._own]

    # A plain function, since a coroutine would stay in memory for as long as the answer takes.
    def _opened(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        return (self._routes if self.service.is_open else self._open_first)(scope, receive, send)

    async def _open_first(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._open()
        await self._routes(scope, receive, send)

    async def _open(self) -> None:
        if not self.service.is_open:
            await self.service.open()
            # Calls for operators, telemetry, and what other nodes say of this one have its name.
            logger.info("this is %s", self._name)

    def _start_sweeping(self) -> None:
        if self._sweeper is None:
            if self._telemetry is not None:
                self._telemetry.start()
            self._sweeper = asyncio.get_running_loop().create_task(self._sweep())

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            await self.service.expire(self._settings.store.retention_seconds)


def _telemetry(endpoint: str, node: str, series: Callable[[], Sequence[Series]]) -> Telemetry | None:
    """What sends to the OTLP endpoint, None if none is configured."""
    if not endpoint:
        return None
    # Imported only where it is configured: it takes a third of a second.
    from importlib.metadata import version

    from tidegate.observe.otel.telemetry import Telemetry

    return Telemetry(endpoint, node=node, version=version("tidegate"), series=series)


def _tokens(auth: AuthSettings) -> Tokens | None:
    """The checker of JWTs, None if none are configured. Raises `ConfigError` where the secret is missing or unfit."""
    if not (auth.jwt_secret_env or auth.jwks_url):
        return None
    return Tokens(
        secret=secret_of(auth.jwt_secret_env, os.environ) if auth.jwt_secret_env else None,
        keys=IssuerKeys.at(auth.jwks_url) if auth.jwks_url else None,
        issuer=auth.issuer,
        audience=auth.audience,
    )


class Prepared(msgspec.Struct, frozen=True):
    """Settings that `Tidegate.take` can take over at once, and what it will not."""

    settings: Settings
    models: PreparedModels
    ignored: tuple[str, ...]


class Limits(msgspec.Struct, frozen=True):
    """What each account may use in a minute; None where there is no limit.

    `failures` limits calls with invalid credentials, by address.
    """

    requests: Buckets | None
    tokens: Buckets | None
    failures: Buckets | None


def _limits(limits: LimitSettings, cluster: Cluster) -> Limits:
    requests, tokens = limits.requests_per_minute, limits.tokens_per_minute
    return Limits(
        cluster.buckets("requests", requests / MINUTE, limits.burst) if requests else None,
        cluster.buckets("tokens", tokens / MINUTE, tokens) if tokens else None,
        cluster.buckets("failures", requests / MINUTE, limits.burst) if requests else None,
    )


def _service(
    settings: Settings,
    store: Store,
    cluster: Cluster,
    models: ServedModels,
    tokens: Buckets | None,
    observer: Observer,
    now: Callable[[], float],
    meter: Meter,
) -> Service:
    quotas = Quotas(
        cluster,
        generations=settings.limits.concurrent_generations,
        readers=settings.limits.readers_per_principal,
        tokens=tokens,
        clock=monotonic,
    )
    return Service(
        store,
        cluster,
        models,
        observer=observer,
        lease_seconds=settings.store.lease_seconds,
        quotas=quotas,
        max_message_bytes=settings.limits.max_message_bytes,
        now=now,
        meter=meter,
    )


def _elapsed() -> float:
    """Seconds since the machine was started, sleep included where that is known."""
    return clock_gettime(CLOCK_BOOTTIME) if sys.platform == "linux" else monotonic()


def _store(settings: Settings, now: Callable[[], float]) -> Store:
    """The store of the settings; without a URL one in memory, since an embedding application has named no file."""
    url, problem = settings.store.url, None
    traits = traits_of(url)
    if traits is None:
        problem = f"this version has no store {url.partition(':')[0]}://, only {', '.join(STORES)}"
    elif url:
        problem = traits.problem(url)
    if traits is None or problem is not None:
        raise ConfigError(f"store.url: {problem}")
    return traits.open(url, store_options(settings, now))


def _routed(
    settings: Settings,
    service: Service,
    registry: Registry,
    withdrawal: Withdrawal,
    nodes: Nodes,
    connections: Connections,
    limits: Limits,
    authenticator: Authenticator,
    observer: Observer,
    scrape: Callable[[], Awaitable[Sequence[Series]]] | None,
    deliveries: Mapping[str, Deliveries],
) -> ASGIApp:
    delivery = settings.delivery
    context = Context(
        service=service,
        authenticator=authenticator,
        registry=registry,
        withdrawal=withdrawal,
        nodes=nodes,
        connections=connections,
        heartbeat_seconds=delivery.heartbeat_seconds,
        max_connection_seconds=delivery.max_connection_seconds,
        buffer_bytes=delivery.send_buffer_bytes,
        compression=delivery.compression,
        broadcasts=Broadcasts(delivery.heartbeat_seconds),
        socket_dialects=SocketDialects(),
        requests=limits.requests,
        observer=observer,
        scrape=scrape,
        sse=deliveries["sse"],
        websocket=deliveries["websocket"],
        max_body_bytes=settings.limits.max_body_bytes,
        request_timeout_seconds=settings.limits.request_timeout_seconds,
        batch=BatchPolicy(delivery.batch_max_tokens, int(delivery.batch_max_delay_ms)),
        public_url=settings.server.public_url,
        describe=_describe,
    )
    guard: list[Middleware] = [
        partial(AuthMiddleware, authenticator=authenticator),
        partial(LimitMiddleware, requests=limits.requests, tokens=limits.tokens),
        partial(ConnectionsMiddleware, connections=connections),
    ]
    return router(ROUTES, context, partial(_behind, guard))


@cache
def _describe() -> bytes:
    # Imported on first use, since only programs and the page at /docs ask for it.
    from tidegate.routes.openapi import document

    return document(ROUTES)


def _gated(
    app: ASGIApp,
    settings: Settings,
    service: Service,
    connections: Connections,
    origins: Origins,
    observer: Observer,
    *,
    sampled: bool,
) -> ASGIApp:
    """The application behind the middlewares that every request passes; access is checked once the route is known."""
    server = settings.server
    gate: list[Middleware] = [
        ResponseHeadersMiddleware,
        partial(LeavingMiddleware, is_leaving=lambda: service.draining),
        RequestIdMiddleware,
        partial(TraceMiddleware, sampled=sampled),
        partial(AccessMiddleware, observer=observer, connections=connections),
        partial(FailureMiddleware, observer=observer),
        SecurityHeadersMiddleware,
        partial(HostMiddleware, allowed_hosts=server.allowed_hosts, public_url=server.public_url),
        partial(CorsMiddleware, origins=origins, max_age=settings.delivery.cors_max_age),
        partial(OriginMiddleware, origins=origins),
    ]
    return _behind(gate, app)


def _behind(gate: Sequence[Middleware], app: ASGIApp) -> ASGIApp:
    """The application behind the gate, whose first middleware is the outermost."""
    for middleware in reversed(gate):
        app = middleware(app)
    return app
