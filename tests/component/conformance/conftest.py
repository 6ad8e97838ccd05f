"""A real API server for the conformance behaviours, and the generic cycle that many of them share."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.component import api as component


class Api(component.Api):
    """Speaks to the server's pipeline as a cluster administrator."""

    async def cycle(self, resources: str, obj: dict[str, Any], *, status: dict[str, Any] | None = None) -> None:
        """The generic cycle of "should support ... API operations" on a collection path (within its namespace, if any).

        Discovery, create, get, list by label, watch, patch, update, status where `status` is a value for it, delete,
        deletecollection.
        """
        version, plural = _split(resources)
        found = await self.ok("GET", version)
        names = {row["name"]: row for row in found["resources"]}
        assert plural in names, sorted(names)
        labels = {"test": "cycle"}
        given = {**obj, "metadata": {**obj["metadata"], "labels": {**obj["metadata"].get("labels", {}), **labels}}}
        made = await self.ok("POST", resources, given)
        name = made["metadata"]["name"]
        one = f"{resources}/{name}"
        got = await self.ok("GET", one)
        assert got == made, "get answers what create did"
        listed = await self.ok("GET", f"{resources}?labelSelector=test%3Dcycle")
        assert [item["metadata"]["name"] for item in listed["items"]] == [name]
        if names[plural]["namespaced"]:
            everywhere = await self.ok("GET", f"{version}/{plural}?labelSelector=test%3Dcycle")
            assert name in [item["metadata"]["name"] for item in everywhere["items"]]
        start = listed["metadata"]["resourceVersion"]
        seen = await self.watch(f"{resources}?watch=1&labelSelector=test%3Dcycle&resourceVersion={start}")
        patched = await self.ok("PATCH", one, {"metadata": {"annotations": {"patched": "true"}}})
        assert patched["metadata"]["annotations"]["patched"] == "true"
        assert (await seen.until("MODIFIED"))["metadata"]["annotations"]["patched"] == "true"
        patched["metadata"]["annotations"]["updated"] = "true"
        updated = await self.ok("PUT", one, patched)
        assert (
            updated["metadata"]["annotations"] | {"updated": "true", "patched": "true"}
            == updated["metadata"]["annotations"]
        )
        assert (await seen.until("MODIFIED"))["metadata"]["annotations"]["updated"] == "true"
        if status is not None:
            await self._status(one, status)
        await self.ok("DELETE", one)
        assert (await seen.until("DELETED"))["metadata"]["name"] == name
        assert (await self("GET", one))[0] == 404
        await self.ok("POST", resources, given)
        await self.ok("DELETE", f"{resources}?labelSelector=test%3Dcycle")
        assert (await self.ok("GET", f"{resources}?labelSelector=test%3Dcycle"))["items"] == []

    async def _status(self, one: str, status: dict[str, Any]) -> None:
        assert (await self.ok("GET", f"{one}/status"))["metadata"]
        patched = await self.ok("PATCH", f"{one}/status", {"status": status})
        assert patched["status"] | status == patched["status"]
        patched["metadata"].setdefault("annotations", {})["status"] = "updated"
        updated = await self.ok("PUT", f"{one}/status", patched)
        assert updated["metadata"]["annotations"]["status"] == "updated"
        assert updated["status"] == patched["status"]


def _split(resources: str) -> tuple[str, str]:
    """`/apis/apps/v1/namespaces/n/deployments` to (`/apis/apps/v1`, `deployments`)."""
    path, _, plural = resources.rpartition("/")
    return path.partition("/namespaces/")[0], plural


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with component.serving(Api) as made:
        yield made
