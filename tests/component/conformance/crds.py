"""Definitions for the behaviours of custom resources."""

import asyncio
from typing import Any

from tests.component.api import Api

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
OPEN = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def definition(plural: str, schema: dict[str, Any] | None = None, **version: Any) -> dict[str, Any]:
    """`<plural>.mygroup.example.com`, namespaced, in version v1."""
    kind = plural.title()[:-1]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.mygroup.example.com"},
        "spec": {
            "group": "mygroup.example.com",
            "scope": "Namespaced",
            "names": {"plural": plural, "singular": plural[:-1], "kind": kind, "listKind": f"{kind}List"},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema or OPEN},
                    **version,
                }
            ],
        },
    }


async def established(api: Api, crd: dict[str, Any]) -> dict[str, Any]:
    """Makes a definition and follows it until it is established, as the suite's helper does."""
    made = await api.ok("POST", CRDS, crd)
    name, at = made["metadata"]["name"], made["metadata"]["resourceVersion"]
    assert "status" in made
    seen = await api.watch(f"{CRDS}?watch=1&fieldSelector=metadata.name%3D{name}&resourceVersion={at}")
    while True:
        obj: dict[str, Any] = await seen.until("MODIFIED")
        true = {one["type"] for one in obj["status"]["conditions"] if one["status"] == "True"}
        if {"Established", "NamesAccepted"} <= true:
            return obj


async def gone(api: Api, path: str) -> None:
    """Waits until there is nothing."""
    for _ in range(1000):
        if (await api("GET", path))[0] == 404:
            return
        await asyncio.sleep(0)
    raise AssertionError(f"{path} is still there")
