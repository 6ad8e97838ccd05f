"""CustomResourceDefinitions by chance, good ones, for the API server's soak."""

import random
from collections.abc import Iterator, Sequence
from typing import Any

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_SCALARS: Sequence[dict[str, Any]] = (
    {"type": "string"}, {"type": "string", "maxLength": 5, "minLength": 1}, {"type": "string", "pattern": "^(a+)+$"},
    {"type": "string", "enum": ["a", "b"]}, {"type": "string", "format": "date-time"}, {"type": "string", "default": "x"},
    {"type": "string", "nullable": True}, {"type": "integer", "minimum": 0}, {"type": "integer", "format": "int32"},
    {"type": "number", "multipleOf": 0.1}, {"type": "number", "maximum": 5, "exclusiveMaximum": True}, {"type": "boolean", "default": True},
    {"x-kubernetes-int-or-string": True}, {"type": "string", "format": "byte"}, {"type": "string", "format": "duration"},
    {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    {"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True},
    {"x-kubernetes-preserve-unknown-fields": True},
)  # fmt: skip


def structural(rng: random.Random, depth: int = 3) -> dict[str, Any]:
    """A structural schema."""
    chance = rng.random()
    if depth == 0 or chance < 0.4:
        return dict(rng.choice(_SCALARS))
    if chance < 0.7:
        made: dict[str, Any] = {
            "type": "object",
            "properties": {name: structural(rng, depth - 1) for name in ("a", "b", "spec")},
        }
        return {**made, "required": ["a"]} if rng.random() < 0.3 else made
    if chance < 0.8:
        return {"type": "object", "additionalProperties": structural(rng, depth - 1)}
    if chance < 0.9:
        item = {
            "type": "object",
            "properties": {"name": {"type": "string", "default": "x"}, "v": structural(rng, depth - 1)},
        }
        return {"type": "array", "items": item, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
    made = {"type": "array", "items": structural(rng, depth - 1)}
    return {**made, "maxItems": 2} if rng.random() < 0.5 else made


def definitions(rng: random.Random) -> Iterator[dict[str, Any]]:
    """A few definitions: with and without status and scale, namespaced and not, one of several versions."""
    for number, (scope, versions) in enumerate((("Namespaced", 1), ("Cluster", 1), ("Namespaced", 2))):
        plural = f"things{number}"
        made = []
        for version in range(versions):
            size = {"type": "integer", "minimum": 0}
            spec = {"type": "object", "properties": {"size": size, "list": structural(rng), "a": structural(rng)}}
            status = {
                "type": "object",
                "properties": {"n": {"type": "integer"}},
                "x-kubernetes-preserve-unknown-fields": True,
            }
            properties = {"spec": spec, "status": status, "odd": structural(rng)}
            scale = {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.n"}
            made.append(
                {
                    "name": f"v{version + 1}",
                    "served": True,
                    "storage": version == 0,
                    "schema": {"openAPIV3Schema": {"type": "object", "properties": properties}},
                    "subresources": {"status": {}, "scale": scale} if rng.random() < 0.7 else {},
                    "additionalPrinterColumns": [{"name": "Spec", "type": "string", "jsonPath": ".spec"}],
                }
            )
        names = {"plural": plural, "kind": f"Thing{number}"}
        yield {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{plural}.soak.example.com"},
            "spec": {"group": "soak.example.com", "scope": scope, "names": names, "versions": made},
        }
