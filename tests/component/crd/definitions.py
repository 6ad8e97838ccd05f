"""Definitions to give to an API server, and what speaks to it."""

from collections.abc import Callable
from typing import Any

from tests.component import api

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
Obj = dict[str, Any]


class Api(api.Api):
    """Speaks to the pipeline as an administrator, about definitions too."""

    async def define(self, crd: Obj) -> Obj:
        """A definition, once it is established."""
        await self.ok("POST", CRDS, crd)
        return await self.established(crd["metadata"]["name"])

    async def established(self, name: str) -> Obj:
        async def asked() -> Any:
            crd = await self.ok("GET", f"{CRDS}/{name}")
            return crd if is_true(crd, "Established") else None

        found: Obj = await self.until(asked)
        return found

    async def change(self, name: str, change: Callable[[Obj], None]) -> Obj:
        """Changes the spec of a definition and waits until it is served so."""
        crd = await self.ok("GET", f"{CRDS}/{name}")
        change(crd["spec"])
        before = self.server.catalog.changes
        crd = await self.ok("PUT", f"{CRDS}/{name}", crd)

        async def asked() -> bool:
            return self.server.catalog.changes > before

        await self.until(asked)
        return crd


def is_true(crd: Obj, kind: str) -> bool:
    conditions = crd.get("status", {}).get("conditions") or []
    return any(one["type"] == kind and one["status"] == "True" for one in conditions)


def crd_of(properties: Obj | None = None, *, scope: str = "Namespaced", root: Obj | None = None, **version: Any) -> Obj:
    """`widgets.example.com` with these properties in one version."""
    schema = {"type": "object", "properties": properties or {}, **(root or {})}
    return {
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com",
            "scope": scope,
            "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wd"], "categories": ["all"]},
            "versions": [
                {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}, **version}
            ],
        },
    }


WIDGETS = "/apis/example.com/v1/namespaces/default/widgets"


def widget(name: str = "one", **fields: Any) -> Obj:
    return {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name}, **fields}
