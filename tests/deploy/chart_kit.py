"""The Helm chart, its files, and what Helm makes of them where there is one (`make kubernetes` builds it)."""

from __future__ import annotations

import copy
import os
import runpy
import subprocess
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft7Validator, Draft202012Validator

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "helm" / "tidegate"
BIN = Path(os.environ.get("KUBERNETES_BIN") or Path.home() / ".cache" / "tidegate" / "kubernetes-bin")

VALUE_SETS = ("least", "all", "none")

Resource = dict[str, Any]


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def tool(name: str) -> str | None:
    """A program that `make kubernetes` has built. What is on the PATH may be of any version."""
    built = BIN / name
    return str(built) if os.access(built, os.X_OK) else None


def merged(below: Any, above: Any) -> Any:
    """Values over others, as Helm lays them."""
    if not (isinstance(below, Mapping) and isinstance(above, Mapping)):
        return copy.deepcopy(above)
    return {
        key: merged(below[key], above[key]) if key in below and key in above else copy.deepcopy({**below, **above}[key])
        for key in {**below, **above}
    }


def values(name: str) -> dict[str, Any]:
    """The chart's values with those of a file of `ci`."""
    return merged(load(CHART / "values.yaml"), load(CHART / "ci" / f"{name}.yaml"))


SHIPPED = ("argocd/application.yaml", "kustomize/base/values.yaml")
"""What an operator copies, with values for the chart, and fills in."""

_FILL_IN = "FILL-IN"


def shipped(name: str) -> str:
    """The text of a file that is copied."""
    return (DEPLOY / name).read_text()


def filled_in(text: str) -> str:
    """The same with the hash of a key, as `tidegate key` prints it."""
    assert text.count(_FILL_IN) == 1
    return text.replace(_FILL_IN, "1" * 64)


def given(text: str) -> dict[str, Any]:
    """The chart's values with those of a file that is copied."""
    found = yaml.safe_load(text)
    if found.get("kind") == "Application":
        found = found["spec"]["source"]["helm"]["valuesObject"]
    return merged(load(CHART / "values.yaml"), found)


def values_schema() -> Draft7Validator:
    return Draft7Validator(load(CHART / "values.schema.json"))


def settings_schema() -> dict[str, Any]:
    """What deploy/helm/schema.py would write."""
    return runpy.run_path(str(DEPLOY / "helm" / "schema.py"))["settings_schema"]()


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = tool("helm")
    assert program
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False, cwd=CHART)


@cache
def _template(arguments: Sequence[str]) -> str:
    done = helm("template", "release", ".", "--namespace", "chat", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def rendered(name: str, *settings: str) -> dict[str, Resource]:
    """What the chart makes of the values of `ci/NAME.yaml` and `key=value` settings, by kind."""
    text = _template(("--values", f"ci/{name}.yaml", *(word for each in settings for word in ("--set", each))))
    return {each["kind"]: each for each in resources(text)}


def resources(text: str) -> list[Resource]:
    return [each for each in yaml.safe_load_all(text) if each]


def container(deployment: Resource) -> Resource:
    (one,) = deployment["spec"]["template"]["spec"]["containers"]
    return one


def configuration(found: Mapping[str, Resource]) -> dict[str, Any]:
    return tomllib.loads(found["ConfigMap"]["data"]["tidegate.toml"])


def definition(kind: str) -> Draft202012Validator:
    """The schema of a resource that is not Kubernetes' own. Keys that it does not have are refused, as kubectl does."""
    crd = load(BIN / f"{kind.lower()}.yaml")
    (version,) = [each for each in crd["spec"]["versions"] if each["storage"]]
    return Draft202012Validator(_strict(version["schema"]["openAPIV3Schema"]))


def _strict(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    known = {key: _strict(value) for key, value in schema.items()}
    if "properties" in known and not known.get("x-kubernetes-preserve-unknown-fields"):
        known.setdefault("additionalProperties", False)
    if known.get("x-kubernetes-int-or-string"):
        known.pop("type", None)
    return known
