"""What Helm and kustomize make of the files, held to the newest Kubernetes that there are schemas for.

It needs the programs that `make kubernetes` builds, and is skipped where they are not.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import chart_kit
import kubernetes_validate
import pytest
import yaml
from chart_kit import DEPLOY, VALUE_SETS, Resource, configuration, container, rendered, tool

from tidegate import config
from tidegate.config.settings import Settings
from tidegate.core.principal import OF_OPERATORS
from tidegate.errors import HostNotAllowed
from tidegate.gate.host import HostMiddleware
from tidegate.routes.table import ROUTES

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(tool("helm") is None, reason="no helm; make kubernetes builds it"),
]

OF_OTHERS = {"ServiceMonitor", "HTTPRoute", "Application"}
SCRAPED = ("serviceMonitor.enabled=true", "serviceMonitor.existingSecret=prometheus")
JWKS = "config.auth.jwks_url=https://id.example.com/jwks"
UNMEASURED = "config.observability.metrics=false"

ENDS_SECONDS = 5
"""So long after `drain_seconds` tidegate has ended, whatever hangs."""


async def reached(*_: object) -> None:
    """An application behind the gate."""


def settings_of(found: dict[str, Resource], tmp_path: Path) -> Settings:
    """What tidegate reads in such a pod, from its file and its environment, with the secrets' files in place."""
    text = found["ConfigMap"]["data"]["tidegate.toml"].replace("/etc/tidegate/", f"{tmp_path}/")
    file = tmp_path / "tidegate.toml"
    file.write_text(text)
    environ = {each["name"]: each["value"] for each in container(found["Deployment"])["env"] if "value" in each}
    ours = {name: value.replace("$(POD_IP)", "10.244.1.7") for name, value in environ.items() if "__" in name}
    settings, _ = config.read(file, ours, {})
    config.refuse_unavailable(settings)
    config.refuse_exposed(settings, insecure=False)
    return settings


def hold(resource: Resource) -> None:
    """Raises where a resource is not what its kind may be."""
    if resource["kind"] in OF_OTHERS:
        chart_kit.definition(resource["kind"]).validate(resource)
    else:
        kubernetes_validate.validate(resource, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize("name", VALUE_SETS)
def test_helm_finds_no_fault(name: str) -> None:
    """`helm lint --strict`, with the least that has to be given, with every switch on, and with every switch off."""
    done = chart_kit.helm("lint", "--strict", ".", "--values", f"ci/{name}.yaml")
    assert done.returncode == 0, done.stdout
    assert "[WARNING]" not in done.stdout


@pytest.mark.parametrize("name", VALUE_SETS)
def test_what_helm_renders_is_kubernetes(name: str) -> None:
    """Each resource has the keys that its kind has in the newest Kubernetes, and no others."""
    for resource in rendered(name).values():
        hold(resource)
        assert resource["metadata"]["namespace"] == "chat"
        assert resource["metadata"]["name"].startswith("stream" if name == "none" else "release-tidegate")


@pytest.mark.parametrize("name", ["on", "1"])
def test_a_release_may_have_any_name(name: str) -> None:
    """One that YAML would take for a truth or a number as well: in a label it is a text."""
    done = chart_kit.helm("template", name, ".", "--values", "ci/all.yaml", "--set-string", f"nameOverride={name}")
    assert done.returncode == 0, done.stderr
    for resource in chart_kit.resources(done.stdout):
        hold(resource)


def test_a_key_too_many_is_found() -> None:
    """The check itself can fail: of Kubernetes' own kinds, and of others'."""
    found = rendered("all")
    for resource, part in (
        (found["NetworkPolicy"], found["NetworkPolicy"]["spec"]),
        (found["ServiceMonitor"], found["ServiceMonitor"]["spec"]["endpoints"][0]),
    ):
        hold(resource)
        part["ingres"] = []
        with pytest.raises(Exception, match="ingres"):
            hold(resource)
        del part["ingres"]


def test_each_switch_brings_what_it_says() -> None:
    """With all on every kind is there; with all off there is what is needed."""
    needed = {"ConfigMap", "Deployment", "Service", "Pod"}
    optional = {
        "HorizontalPodAutoscaler",
        "HTTPRoute",
        "Ingress",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "ServiceAccount",
        "ServiceMonitor",
    }
    assert set(rendered("all")) == needed | optional
    assert set(rendered("none")) == needed
    assert set(rendered("least")) == needed | {"NetworkPolicy", "PodDisruptionBudget", "ServiceAccount"}
    assert rendered("none")["Deployment"]["spec"]["template"]["spec"]["serviceAccountName"] == "default"


@pytest.mark.parametrize("name", VALUE_SETS)
def test_tidegate_takes_the_configuration(name: str, tmp_path: Path) -> None:
    """The file says what the values say, and `tidegate serve` has nothing against it."""
    found = rendered(name)
    settings = settings_of(found, tmp_path)
    given = chart_kit.values(name)
    assert settings.server.port == container(found["Deployment"])["ports"][0]["containerPort"]
    assert settings.server.host == given["config"]["server"]["host"]
    assert settings.server.drain_seconds == given["config"]["server"]["drain_seconds"]
    assert settings.store.url == given["redis"]["url"]
    assert configuration(found)["models"] == given["config"]["models"]
    assert bool(settings.store.password_file) == bool(given["redis"]["existingSecret"])


async def test_a_pod_answers_to_its_names_and_its_own_address(tmp_path: Path) -> None:
    """Kubernetes' probes and Prometheus ask by the pod's address, clients by the names of the ingress."""
    server = settings_of(rendered("all"), tmp_path).server
    gate = HostMiddleware(reached, allowed_hosts=server.allowed_hosts, public_url=server.public_url)

    async def ask(host: str) -> None:
        scope = {"type": "http", "http_version": "1.1", "headers": [(b"host", host.encode())]}
        await gate(scope, None, None)  # type: ignore[arg-type]

    for host in ("10.244.1.7:8000", "chat.example.org", "chat.example.net", "release-tidegate.chat.svc:80"):
        await ask(host)
    with pytest.raises(HostNotAllowed):
        await ask("10.244.1.8:8000")


@pytest.mark.parametrize("name", VALUE_SETS)
def test_a_pod_has_the_time_to_drain(name: str, tmp_path: Path) -> None:
    """From its deletion: the sleep in which balancers hear of it, the drain, tidegate's own deadline, and more."""
    found = rendered(name)
    pod = found["Deployment"]["spec"]["template"]["spec"]
    sleep = container(found["Deployment"])["lifecycle"]["preStop"]["sleep"]["seconds"]
    drain = settings_of(found, tmp_path).server.drain_seconds
    margin = chart_kit.values(name)["termination"]["marginSeconds"]
    assert margin > 0
    assert pod["terminationGracePeriodSeconds"] == sleep + drain + ENDS_SECONDS + margin


@pytest.mark.parametrize(("drain", "period"), [(0, 60), (60, 75), (86400, 1800)])
def test_nodes_are_taken_away_one_after_the_other(drain: int, period: int) -> None:
    """The next one when the last one has drained, or as late as the autoscaler can be told."""
    found = rendered("all", f"config.server.drain_seconds={drain}")["HorizontalPodAutoscaler"]
    assert found["spec"]["behavior"]["scaleDown"]["policies"] == [{"type": "Pods", "value": 1, "periodSeconds": period}]


def test_an_update_never_has_fewer_nodes() -> None:
    """One more first, which has to be ready for a while; a disruption takes one at a time."""
    spec = rendered("least")["Deployment"]["spec"]
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert spec["minReadySeconds"] > 0
    assert spec["replicas"] == 2
    assert "replicas" not in rendered("all")["Deployment"]["spec"]
    assert rendered("least")["PodDisruptionBudget"]["spec"]["maxUnavailable"] == 1


def test_another_configuration_is_another_pod() -> None:
    """And nothing else is: more nodes are no reason to replace those that run."""

    def checksum(*settings: str) -> str:
        return rendered("least", *settings)["Deployment"]["spec"]["template"]["metadata"]["annotations"][
            "checksum/config"
        ]

    assert checksum() == checksum("replicas=5")
    assert checksum() != checksum("config.limits.burst=61")


def test_a_pod_may_do_nothing_that_a_server_needs_not() -> None:
    """It is no root, writes nowhere but to /tmp, and has no right of root and no key of Kubernetes."""
    found = rendered("least")
    for pod in (found["Deployment"]["spec"]["template"]["spec"], found["Pod"]["spec"]):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == 10001
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        (one,) = pod["containers"]
        assert one["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert [each["mountPath"] for each in one["volumeMounts"] if not each.get("readOnly")] == ["/tmp"]
    assert found["ServiceAccount"]["automountServiceAccountToken"] is False


def test_probes_ask_what_they_mean() -> None:
    """Alive is not ready: a Redis that is away starts no pod anew, and takes it out of the Service at last."""
    probes = container(rendered("least")["Deployment"])
    assert probes["startupProbe"]["httpGet"]["path"] == probes["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert probes["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_secrets_are_named_and_not_held() -> None:
    """Passwords and keys come from Secrets that exist, into variables and files that the settings name."""
    found = rendered("all")
    assert "Secret" not in found
    one = container(found["Deployment"])
    named = {each["name"] for each in one["env"] if "valueFrom" in each and "secretKeyRef" in each["valueFrom"]}
    assert named == {"UPSTREAM_API_KEY", "TIDEGATE_JWT_SECRET"}
    mounted = {each["mountPath"] for each in one["volumeMounts"]}
    assert {"/etc/tidegate/redis", "/etc/tidegate/secrets/tidegate-upstreams"} <= mounted
    store = configuration(found)["store"]
    projected = {
        item["path"]
        for volume in found["Deployment"]["spec"]["template"]["spec"]["volumes"]
        for source in volume.get("projected", {}).get("sources", [])
        for item in source["secret"]["items"]
    }
    assert {Path(store["password_file"]).name, Path(store["ca_file"]).name} == projected
    (endpoint,) = found["ServiceMonitor"]["spec"]["endpoints"]
    assert endpoint["authorization"]["credentials"] == {"name": "tidegate-prometheus", "key": "key"}


def test_the_parts_find_each_other() -> None:
    """Selectors have the pods' labels, and the test's pod is no node."""
    found = rendered("all")
    labels = found["Deployment"]["spec"]["template"]["metadata"]["labels"].items()
    selectors: list[dict[str, Any]] = [
        found["Service"]["spec"]["selector"],
        found["Deployment"]["spec"]["selector"]["matchLabels"],
        found["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        found["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
    ]
    for selector in selectors:
        assert selector.items() <= labels
        assert not selector.items() <= found["Pod"]["metadata"]["labels"].items()
    assert (
        found["ServiceMonitor"]["spec"]["selector"]["matchLabels"].items()
        <= found["Service"]["metadata"]["labels"].items()
    )
    assert found["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"] == found["Deployment"]["metadata"]["name"]
    let_in = found["NetworkPolicy"]["spec"]["ingress"][0]["from"][-1]["podSelector"]["matchLabels"]
    assert let_in.items() <= found["Pod"]["metadata"]["labels"].items()


def test_nobody_else_talks_to_a_pod() -> None:
    """Prometheus is let in where it is to come, the Collector is let out to where it is configured; nothing is open."""
    least, whole = rendered("least")["NetworkPolicy"]["spec"], rendered("all")["NetworkPolicy"]["spec"]
    for policy in (least, whole):
        assert policy["policyTypes"] == ["Ingress", "Egress"]
        assert all(rule.get("from") and rule.get("ports") for rule in policy["ingress"])
        assert all(rule.get("to") and rule.get("ports") for rule in policy["egress"])
    namespaces = [
        peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
        for peer in whole["ingress"][0]["from"][:-1]
    ]
    assert namespaces == ["ingress-nginx", "monitoring"]
    assert len(least["ingress"][0]["from"]) == 2
    ports = [{port["port"] for port in rule["ports"]} for rule in whole["egress"]]
    assert ports == [{53}, {6379}, {443}, {4318}, {8000}]
    assert [{port["port"] for port in rule["ports"]} for rule in least["egress"]] == [{53}, {6379}, {443}]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (("redis.url=",), "redis.url is needed"),
        (("config.models=null",), "config.models is empty"),
        (("config.auth=null",), "config.auth is empty"),
        (("ingress.enabled=true", "ingress.hosts={a.example}"), "config.server.trusted_proxies is needed"),
        (("ingress.enabled=true", "config.server.trusted_proxies={10.0.0.0/8}"), "ingress.hosts is empty"),
        (("httpRoute.enabled=true", "config.server.trusted_proxies={10.0.0.0/8}"), "httpRoute.parentRefs is empty"),
        (("serviceMonitor.enabled=true",), "serviceMonitor.existingSecret is needed"),
        (SCRAPED, "config.auth.keys has no key with the scope metrics"),
        ((*SCRAPED, JWKS), "config.auth.keys has no key with the scope metrics"),
        ((*SCRAPED, "config.auth.keys[0].scopes={metrics}", UNMEASURED), "config.observability.metrics is false"),
    ],
    ids=lambda each: each if isinstance(each, str) else None,
)
def test_what_cannot_work_is_refused_in_words(settings: tuple[str, ...], said: str) -> None:
    """Before anything is in the cluster, with what to do."""
    words = [word for each in settings for word in ("--set", each)]
    done = chart_kit.helm("template", "release", ".", "--values", "ci/least.yaml", *words)
    assert done.returncode != 0
    assert said in done.stderr


def test_whoever_may_do_everything_may_scrape() -> None:
    """`admin` includes `metrics`, so the chart takes such a key for Prometheus' own."""
    assert "ServiceMonitor" in rendered("least", *SCRAPED, "config.auth.keys[0].scopes={admin}")


@pytest.mark.parametrize("name", chart_kit.SHIPPED)
def test_what_is_copied_is_taken(name: str, tmp_path: Path) -> None:
    """Once it is filled in, Helm renders it, and tidegate starts with it."""
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(chart_kit.given(chart_kit.filled_in(chart_kit.shipped(name)))))
    done = chart_kit.helm("template", "release", ".", "--values", str(file))
    assert done.returncode == 0, done.stderr
    settings = settings_of({each["kind"]: each for each in chart_kit.resources(done.stdout)}, tmp_path)
    assert any("metrics" in key.scopes for key in settings.auth.keys)


@pytest.mark.parametrize("prefix", ["", "/llm"])
def test_a_route_leads_nobody_to_what_is_for_operators(prefix: str) -> None:
    """Of the rules that fit a path the one with the longest counts; it has a backend for all that is for others."""
    rules = rendered("all", f"httpRoute.path={prefix or '/'}")["HTTPRoute"]["spec"]["rules"]
    for route in ROUTES:
        assert bool(backends(rules, prefix + route.path)) == (route.scope not in OF_OPERATORS), route.path
    assert backends(rules, f"{prefix}/metricsque")


def backends(rules: list[Resource], path: str) -> list[Resource]:
    """Where a Gateway sends a path, by rules that match whole parts of it."""
    prefixes = {match["path"]["value"]: rule.get("backendRefs", []) for rule in rules for match in rule["matches"]}
    fitting = [prefix for prefix in prefixes if f"{path}/".startswith(f"{prefix.rstrip('/')}/")]
    return prefixes[max(fitting, key=len)]


def test_the_defaults_alone_say_what_is_missing() -> None:
    """Nobody installs a server without Redis by accident."""
    done = chart_kit.helm("template", "release", ".")
    assert "redis.url is needed" in done.stderr


def test_the_application_is_one() -> None:
    """It has the keys that Argo CD's definition has."""
    hold(chart_kit.load(DEPLOY / "argocd" / "application.yaml"))


@pytest.mark.skipif(tool("kustomize") is None, reason="no kustomize; make kubernetes builds it")
def test_the_overlay_builds(tmp_path: Path) -> None:
    """The real kustomize renders the chart by the real Helm, and changes what the overlay says."""
    helm, kustomize = tool("helm"), tool("kustomize")
    assert helm
    assert kustomize
    for folder in ("helm", "kustomize"):
        shutil.copytree(DEPLOY / folder, tmp_path / folder)
    copied = tmp_path / "kustomize" / "base" / "values.yaml"
    copied.write_text(chart_kit.filled_in(copied.read_text()))
    done = subprocess.run(
        [kustomize, "build", "--enable-helm", f"--helm-command={helm}", "overlays/production"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path / "kustomize",
        env=os.environ,
    )
    assert done.returncode == 0, done.stderr
    found = {each["kind"]: each for each in chart_kit.resources(done.stdout)}
    for resource in found.values():
        hold(resource)
        assert resource["metadata"]["namespace"] == "chat"
    assert found["Deployment"]["spec"]["replicas"] == 3
    assert container(found["Deployment"])["image"] == "registry.example.com/tidegate:0.1.0"
    spread = found["Deployment"]["spec"]["template"]["spec"]["topologySpreadConstraints"]
    assert [each["whenUnsatisfiable"] for each in spread] == ["DoNotSchedule", "ScheduleAnyway"]
