"""The files of the chart, of Argo CD and kustomize, read without the programs that they are for."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import chart_kit
import msgspec
import pytest
from chart_kit import CHART, DEPLOY, ROOT, VALUE_SETS, load, values
from yamllint import linter
from yamllint.config import YamlLintConfig

from tidegate.config.settings import Settings

LINT = YamlLintConfig(
    "{extends: default, rules: {line-length: {max: 120}, document-start: disable, braces: {max-spaces-inside: 0}, "
    "comments: {min-spaces-from-content: 1}}}"
)
FILES = [
    DEPLOY / "compose.yaml",
    *sorted(path for folder in ("argocd", "kustomize") for path in (DEPLOY / folder).rglob("*.yaml")),
    *sorted(path for path in CHART.rglob("*.yaml") if "templates" not in path.parts),
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(DEPLOY).as_posix())
def test_a_file_is_good_yaml(path: Path) -> None:
    """yamllint finds nothing."""
    assert [str(each) for each in linter.run(path.read_text(), LINT)] == []


def test_the_versions_agree() -> None:
    """The chart installs the version that it lies beside, and so does the image say of itself."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert load(CHART / "Chart.yaml")["appVersion"] == version
    assert f'org.opencontainers.image.version="{version}"' in (ROOT / "Dockerfile").read_text()


def test_the_settings_in_the_schema_are_those_of_tidegate() -> None:
    """So Helm refuses a key of `config` that tidegate does not have. `deploy/helm/schema.py` writes them anew."""
    assert load(CHART / "values.schema.json")["$defs"] == chart_kit.settings_schema()


@pytest.mark.parametrize("name", VALUE_SETS)
def test_values_fit_their_schema(name: str) -> None:
    """The chart's own, with the least that has to be given, with every switch on, and with every switch off."""
    assert [error.message for error in chart_kit.values_schema().iter_errors(values(name))] == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"replica": 3},
        {"replicas": "three"},
        {"config": {"server": {"drain": 3}}},
        {"config": {"server": {"port": 80}}},
        {"config": {"store": {"url": "redis://elsewhere"}}},
        {"config": {"models": [{"name": "a", "provider": "openai", "rate": 3}]}},
        {"config": {"models": [{"provider": "replay"}]}},
        {"redis": {"url": "redis://user:secret@redis:6379/0"}},
        {"redis": {"url": "memory://"}},
        {"termination": {"preStopSeconds": 0}},
        {"secretEnv": [{"name": "A B", "secret": "a", "key": "b"}]},
        {"secretFiles": ["A/B"]},
    ],
    ids=str,
)
def test_wrong_values_do_not_fit(wrong: dict[str, Any]) -> None:
    """A key that does not exist, one that the chart sets itself, a password in the open: each is refused by Helm."""
    assert list(chart_kit.values_schema().iter_errors(chart_kit.merged(values("least"), wrong)))


def test_every_value_is_in_the_schema_and_explained() -> None:
    """values.yaml has each key of the schema, and docs/kubernetes.md has a row for each."""
    page = (ROOT / "docs" / "kubernetes.md").read_text()

    def keys(schema: dict[str, Any], at: str = "") -> set[str]:
        found = set[str]()
        for name, below in schema.get("properties", {}).items():
            found |= keys(below, f"{at}{name}.") or {f"{at}{name}"}
        return found

    schema = load(CHART / "values.schema.json")
    known = keys(schema) - {"global"}
    given = set[str]()
    for key in known:
        value = load(CHART / "values.yaml")
        for part in key.split("."):
            assert part in value, key
            value = value[part]
        given.add(key)
    assert given == known
    assert {key for key in known if f"`{key}`" not in page} == set()


@pytest.mark.parametrize("name", ["least", "all"])
def test_the_settings_are_some_that_tidegate_takes(name: str) -> None:
    """`config` is tidegate.toml: it becomes settings."""
    msgspec.convert(values(name)["config"], Settings)


def test_the_application_installs_the_chart() -> None:
    """From the folder where it lies."""
    assert ROOT / load(DEPLOY / "argocd" / "application.yaml")["spec"]["source"]["path"] == CHART


@pytest.mark.parametrize("name", chart_kit.SHIPPED)
def test_what_is_copied_fits_once_it_is_filled_in(name: str) -> None:
    """Helm refuses the hash that is still to be filled in, and nothing else."""
    text = chart_kit.shipped(name)
    (fault,) = chart_kit.values_schema().iter_errors(chart_kit.given(text))
    assert list(fault.absolute_path) == ["config", "auth", "keys", 0, "sha256"]
    assert not list(chart_kit.values_schema().iter_errors(chart_kit.given(chart_kit.filled_in(text))))


@pytest.mark.parametrize("name", chart_kit.SHIPPED)
def test_what_is_copied_can_be_scraped(name: str) -> None:
    """Prometheus is given a Secret's key, and tidegate knows one that may ask for metrics, and for nothing else."""
    values = chart_kit.given(chart_kit.shipped(name))
    assert values["serviceMonitor"]["enabled"]
    assert values["serviceMonitor"]["existingSecret"]
    assert [each["scopes"] for each in values["config"]["auth"]["keys"]] == [["metrics"]]


def test_the_base_of_kustomize_is_the_chart() -> None:
    """Nothing of it is written a second time: the base renders the chart."""
    base = DEPLOY / "kustomize" / "base"
    kustomization = load(base / "kustomization.yaml")
    (chart,) = kustomization["helmCharts"]
    assert (base / kustomization["helmGlobals"]["chartHome"] / chart["name"]).resolve() == CHART
    assert base / chart["valuesFile"] == DEPLOY / "kustomize/base/values.yaml"


def test_the_notes_name_commands_that_exist() -> None:
    """What is printed after an installation can be typed."""
    notes = (CHART / "templates" / "NOTES.txt").read_text()
    assert set(re.findall(r"^ +(?:\S+=\S+ )*(\w+) ", notes, re.MULTILINE)) <= {"kubectl", "helm", "tidegate"}
