"""Descriptions: upstream's sentences about types and fields, read from the package kubernetes-validate where it is installed.

They are not ours, so they are not in our tables (extra `docs`). Without the package nothing has a description.
"""

import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from pybernetes.api import facts


@cache
def _definitions() -> dict[str, Any]:
    spec = importlib.util.find_spec("kubernetes_validate")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        path = Path(folder) / "kubernetes-json-schema" / f"v{facts.RELEASE}.0-local" / "_definitions.json"
        if path.is_file():
            found: dict[str, Any] = orjson.loads(path.read_bytes())["$defs"]
            return {name: _kept(schema) for name, schema in found.items()}
    return {}


def _kept(schema: dict[str, Any]) -> dict[str, Any]:
    fields = {name: field.get("description", "") for name, field in schema.get("properties", {}).items()}
    return {
        "description": schema.get("description", ""),
        "fields": fields,
        "unions": schema.get("x-kubernetes-unions"),
    }


def of_type(name: str) -> str:
    """What is said of a type, empty where nothing is."""
    text: str = _definitions().get(name, {}).get("description", "")
    return text


def of_field(type_name: str, field: str) -> str:
    """What is said of a field of a type, empty where nothing is."""
    text: str = _definitions().get(type_name, {}).get("fields", {}).get(field, "")
    return text


def unions(type_name: str) -> Any:
    """x-kubernetes-unions of a type; None where it has none."""
    return _definitions().get(type_name, {}).get("unions")
