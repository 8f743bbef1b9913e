#!/usr/bin/env python
"""Writes tidegate's settings into the chart's values.schema.json: `.venv/bin/python deploy/helm/schema.py`.

So Helm refuses a key of `config` that does not exist before anything is in the cluster. The rest of the file is written
by hand. A test fails when the settings have changed since.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from tidegate.config.settings import Settings

FILE = Path(__file__).parent / "tidegate" / "values.schema.json"

SET_BY_THE_CHART = {"ServerSettings": {"port"}, "StoreSettings": {"url", "password_file", "ca_file"}}

LEFT_OUT = {"title", "description", "default"}


def settings_schema() -> dict[str, Any]:
    """The definitions of the settings, without what the chart sets itself."""
    definitions = bare(msgspec.json.schema(Settings)["$defs"])
    for name, keys in SET_BY_THE_CHART.items():
        for key in keys:
            del definitions[name]["properties"][key]
    models = definitions["Settings"]["properties"]["models"]
    models["items"] = by_provider(models["items"]["discriminator"]["mapping"])
    # An empty one is refused by the templates, in words.
    models.pop("minItems", None)
    return definitions


def bare(schema: Any) -> Any:
    """The schema without words; `properties` keeps names that look like them."""
    if isinstance(schema, list):
        return [bare(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: {name: bare(each) for name, each in value.items()} if key in ("properties", "$defs") else bare(value)
        for key, value in schema.items()
        if key not in LEFT_OUT
    }


def by_provider(kinds: dict[str, str]) -> dict[str, Any]:
    """A model's schema, of which only the one of its provider complains."""
    return {
        "type": "object",
        "required": ["name", "provider"],
        "properties": {"provider": {"enum": sorted(kinds)}},
        "allOf": [
            {"if": {"properties": {"provider": {"const": provider}}}, "then": {"$ref": place}}
            for provider, place in kinds.items()
        ],
    }


if __name__ == "__main__":
    whole = json.loads(FILE.read_text())
    whole["$defs"] = settings_schema()
    FILE.write_text(json.dumps(whole, indent=2) + "\n")
