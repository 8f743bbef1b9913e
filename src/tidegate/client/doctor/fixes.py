"""What to change for each finding, in tidegate and in what usually stands in front of it. `docs/doctor.md` has the same
lines."""

from __future__ import annotations

from collections.abc import Mapping

from tidegate.client.doctor.finding import Code

FIXES: Mapping[Code, Mapping[str, str]] = {
    "unreachable": {
        "tidegate": "is it running, and does its own address answer /healthz?",
        "nginx": "`proxy_pass http://127.0.0.1:8000;` has to name that address; the error log says why it fails.",
        "Caddy": "`reverse_proxy 127.0.0.1:8000`, likewise.",
        "Traefik": "`loadBalancer.servers[].url`, likewise; the dashboard shows whether the server is up.",
        "Cloudflare": "an error 52x means that the origin does not answer: check the DNS record or the tunnel.",
        "AWS ALB": "the target group's health check is GET /readyz, and the security group lets the balancer in.",
    },
    "host_refused": {
        "tidegate": 'set `server.public_url = "https://NAME"`, or put the name into `server.allowed_hosts`.',
        "nginx": "`proxy_set_header Host $http_host;`",
        "Caddy": "no `header_up Host`: the client's own is passed on.",
        "Traefik": "`passHostHeader: true`, the default.",
        "Cloudflare": "no Origin Rule that overrides the Host header.",
        "AWS ALB": "`routing.http.preserve_host_header.enabled` is true.",
    },
    "origin_refused": {
        "tidegate": "set `server.public_url` to the URL in browsers; pages of other sites need `allowed_origins`.",
        "nginx": "`proxy_set_header Host $http_host; proxy_set_header X-Forwarded-Proto $scheme;`",
        "Caddy": "no `header_up Host` and no `header_up Origin`: both are passed on as they are.",
        "Traefik": "`passHostHeader: true`, and no headers middleware that changes Origin.",
        "Cloudflare": "no Origin Rule or Transform Rule that changes Host or Origin.",
        "AWS ALB": "`routing.http.preserve_host_header.enabled` is true.",
    },
    "buffered": {
        "nginx": "`proxy_buffering off;`, and no `proxy_ignore_headers X-Accel-Buffering;`",
        "Caddy": "passes event streams on at once by itself: no `response_buffers`, and no `flush_interval` above 0.",
        "Traefik": "no `buffering` middleware on this router.",
        "Cloudflare": "turn Response Buffering off, and let no Worker read the whole body before it answers.",
        "AWS ALB": "does not buffer: look at CloudFront or a WAF in front of it, Lambda or a sidecar behind it.",
    },
    "compression_delays": {
        "nginx": "`gzip off;` in this location: tidegate compresses event streams itself, and flushes each event.",
        "Caddy": "`encode` must leave out `text/event-stream`: name the types that it is for by `match`.",
        "Traefik": "`excludedContentTypes: [text/event-stream]` in the `compress` middleware.",
        "Cloudflare": "a Compression Rule that disables compression for `text/event-stream`.",
        "AWS ALB": "does not compress: in CloudFront, turn `Compress objects automatically` off for this path.",
    },
    "idle_cut": {
        "tidegate": "where nothing else helps, `delivery.heartbeat_seconds` and `ws_ping_seconds` of half that time.",
        "nginx": "`proxy_read_timeout 1h; proxy_send_timeout 1h;`",
        "Caddy": "no `stream_timeout`, no `read_timeout` in `transport http`, no `timeouts { write … }` in `servers`.",
        "Traefik": "`respondingTimeouts.readTimeout: 0` and `writeTimeout: 0` at the entry point.",
        "Cloudflare": "cuts after 120 s of silence, which heartbeats prevent: look at what is behind it.",
        "AWS ALB": "`idle_timeout.timeout_seconds` of 60 to 74, less than the 75 s that tidegate keeps connections.",
    },
    "no_websocket": {
        "nginx": "`proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $upgrade;`, and outside "
        "`map $http_upgrade $upgrade { default upgrade; '' ''; }`",
        "Caddy": "passes them by itself: no `header_up -Upgrade`, and no `handle` that leaves /v1/ws out.",
        "Traefik": "passes them by itself: no headers middleware that removes Upgrade or Connection.",
        "Cloudflare": "turn Network > WebSockets on.",
        "AWS ALB": "the target group's protocol version is HTTP1.",
    },
    "http10": {
        "nginx": '`proxy_http_version 1.1; proxy_set_header Connection "";`, for WebSockets as in no_websocket.',
        "Caddy": "speaks HTTP/1.1: look at what is between it and tidegate.",
        "Traefik": "speaks HTTP/1.1: look at what is between it and tidegate.",
        "Cloudflare": "speaks HTTP/1.1: look at what is between it and tidegate.",
        "AWS ALB": "speaks HTTP/1.1: look at what is between it and tidegate.",
    },
    "six_connections": {
        "nginx": "`listen 443 ssl; http2 on;`",
        "Caddy": "HTTP/2 is on by default: `protocols h1 h2 h3` under `servers`, if that is set.",
        "Traefik": "`alpnProtocols: [h2, http/1.1]` in the TLS options, the default.",
        "Cloudflare": "turn Speed > Protocol Optimization > HTTP/2 on.",
        "AWS ALB": "an HTTPS listener, and `routing.http2.enabled` is true.",
    },
    "headers_lost": {
        "nginx": '`proxy_pass_request_headers on;`, and no `proxy_set_header NAME "";` for these.',
        "Caddy": "no `header_up -NAME` for these.",
        "Traefik": "no headers middleware with an empty `customRequestHeaders` entry for these.",
        "Cloudflare": "no Transform Rule that removes these.",
        "AWS ALB": "an authenticate action replaces credentials: leave it out for /v1/.",
    },
    "no_resume": {
        "tidegate": "nodes behind one URL need one `store.url`, redis://…; memory:// and sqlite:// are for one node.",
        "nginx": "`proxy_cache off;` and `proxy_set_header Last-Event-ID $http_last_event_id;`",
        "Caddy": "no `header_up -Last-Event-ID`, and no cache.",
        "Traefik": "no middleware that removes Last-Event-ID, and no cache.",
        "Cloudflare": "a Cache Rule that bypasses /v1/, and no Transform Rule that removes Last-Event-ID.",
        "AWS ALB": "passes it on: look at a CloudFront in front of it, whose policy must forward Last-Event-ID.",
    },
    "body_limit": {
        "tidegate": "what it takes is `limits.max_body_bytes`, 16 MiB by default; proxies should let as much pass.",
        "nginx": "`client_max_body_size 16m;`",
        "Caddy": "`request_body { max_size 16MiB }`, or none.",
        "Traefik": "`maxRequestBodyBytes: 16777216` in the `buffering` middleware, or better none of it.",
        "Cloudflare": "a WAF rule or Worker refuses it: plans allow 100 MB and more.",
        "AWS ALB": "a rule of AWS WAF on the size of bodies; Lambda targets take 1 MB.",
    },
    "post_retried": {
        "nginx": "`proxy_next_upstream error timeout;` without `non_idempotent`.",
        "Caddy": "no `lb_retry_match` that has POST.",
        "Traefik": "no `retry` middleware on this router.",
        "Cloudflare": "no Worker that repeats a fetch of a POST.",
        "AWS ALB": "does not repeat a POST: look at a mesh or sidecar behind it.",
    },
    "clock": {
        "tidegate": "`timedatectl set-ntp true` on the machine with the server, and on this one.",
        "nginx": "where only the Date header is off, it is the clock of the machine with the proxy.",
        "Caddy": "likewise.",
        "Traefik": "likewise.",
        "Cloudflare": "its clocks are right: look at your own machines.",
        "AWS ALB": "its clocks are right: look at your own machines.",
    },
}

AGAIN = "\n".join(
    (
        "after 429: wait until other answers have ended, or give the doctor a key of its own: each has its `limits`.",
        "after 503: tidegate starts, stops or has lost its store: GET /readyz says which, and its log why.",
        "then run the doctor again: until it has measured this, nobody knows.",
    )
)
"""What to do where it is a limit, or the server's state, that keeps something from being measured."""


def fix_of(code: Code) -> str:
    """What to change, a line for each place."""
    return "\n".join(f"{place}: {words}" for place, words in FIXES[code].items())
