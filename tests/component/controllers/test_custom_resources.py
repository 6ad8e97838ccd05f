"""Controllers meet custom resources that appear while they run: garbage, namespaces, quotas."""

from typing import Any

import orjson
import pytest
from tests.component.controllers.world import World, simulated, world

from pybernetes.api.errors import Forbidden, NotFound
from pybernetes.api.types import core_v1

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
CRD = {
    "metadata": {"name": "widgets.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "widgets", "kind": "Widget"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}


async def send(w: World, method: str, path: str, body: Any = None) -> Any:
    headers = {"content-type": "application/json"} if body is not None else {}
    response = await w.client.send(method, path, headers=headers, body=orjson.dumps(body) if body is not None else b"")
    return orjson.loads(response.body) if isinstance(response.body, bytes) else None


async def defined(w: World) -> None:
    await send(w, "POST", CRDS, CRD)

    async def served() -> bool:
        crd = await send(w, "GET", f"{CRDS}/widgets.example.com")
        return any(c["type"] == "Established" and c["status"] == "True" for c in crd["status"].get("conditions") or ())

    await w.until(served)


def path(namespace: str = "default", name: str = "") -> str:
    return f"/apis/example.com/v1/namespaces/{namespace}/widgets" + (f"/{name}" if name else "")


def widget(name: str, **metadata: Any) -> dict[str, Any]:
    return {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name, **metadata}}


async def gone(w: World, where: str) -> bool:
    try:
        await send(w, "GET", where)
    except NotFound:
        return True
    return False


@simulated
async def test_what_a_custom_object_owns_goes_with_it_and_the_other_way_round():
    async with world(nodes=0) as w:
        await w.clock.sleep(5)
        await defined(w)
        owner = await send(w, "POST", path(), widget("owner"))
        reference = {"apiVersion": "example.com/v1", "kind": "Widget", "name": "owner", "uid": owner["metadata"]["uid"]}
        await w.create(core_v1.ConfigMap, "owned", metadata={"ownerReferences": [reference]})
        holder = await w.create(core_v1.ConfigMap, "holder")
        backwards = {"apiVersion": "v1", "kind": "ConfigMap", "name": "holder", "uid": holder.metadata.uid}
        await send(w, "POST", path(), widget("held", ownerReferences=[backwards]))
        await w.clock.sleep(60)
        assert await w.there(core_v1.ConfigMap, "owned")
        await send(w, "DELETE", path(name="owner"))
        await w.delete(core_v1.ConfigMap, "holder")

        async def both() -> bool:
            return not await w.there(core_v1.ConfigMap, "owned") and await gone(w, path(name="held"))

        await w.until(both)


@simulated
async def test_a_namespace_takes_its_custom_objects_along():
    async with world(nodes=0) as w:
        await defined(w)
        await w.create(core_v1.Namespace, "going")
        await send(w, "POST", path("going"), widget("one"))
        await w.delete(core_v1.Namespace, "going", "")
        await w.gone(core_v1.Namespace, "going", "")
        assert await gone(w, path("going", "one"))


@simulated
async def test_a_quota_counts_custom_objects():
    async with world(nodes=0) as w:
        await w.clock.sleep(5)
        await defined(w)
        name = "count/widgets.example.com"
        body = {"metadata": {"name": "few"}, "spec": {"hard": {name: "1"}}}
        await send(w, "POST", "/api/v1/namespaces/default/resourcequotas", body)

        async def ready() -> bool:
            quota = await w.get(core_v1.ResourceQuota, "few")
            return bool(quota.status.used)

        await w.until(ready, seconds=400)
        await send(w, "POST", path(), widget("one"))
        with pytest.raises(Forbidden, match=f"exceeded quota: few, requested: {name}=1, used: {name}=1"):
            await send(w, "POST", path(), widget("two"))
