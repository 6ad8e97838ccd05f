"""Namespaces that go with what is in them: upstream's apimachinery/namespace.go, with the controllers on virtual time."""

import pytest
from tests.component.controllers.world import World, simulated, world

from pybernetes.api.types import core_v1

POD = {"containers": [{"name": "c", "image": "i"}]}


async def absent(w: World, kind: type, name: str, namespace: str = "") -> bool:
    return not await w.there(kind, name, namespace)


async def namespace_of(w: World, name: str = "nsdel") -> None:
    await w.create(core_v1.Namespace, name)
    await w.until(lambda: w.there(core_v1.ServiceAccount, "default", name))


@pytest.mark.conformance(
    "[sig-api-machinery] Namespaces [Serial] should ensure that all pods are removed when a namespace is deleted [Conformance]"
)
@simulated
async def test_pods_go_with_their_namespace():
    async with world() as w:
        await namespace_of(w)
        await w.create(core_v1.Pod, "test-pod", "nsdel", spec=POD)

        async def running() -> bool:
            return (await w.get(core_v1.Pod, "test-pod", "nsdel")).status.phase == "Running"

        await w.until(running)
        await w.delete(core_v1.Namespace, "nsdel", "")
        await w.until(lambda: absent(w, core_v1.Namespace, "nsdel"), 120)
        await namespace_of(w)
        assert await w.all(core_v1.Pod, "nsdel") == ()


@pytest.mark.conformance(
    "[sig-api-machinery] Namespaces [Serial] should ensure that all services are removed when a namespace is deleted "
    "[Conformance]"
)
@simulated
async def test_services_go_with_their_namespace():
    async with world(nodes=0) as w:
        await namespace_of(w)
        ports = [{"port": 80, "targetPort": 80}]
        await w.create(core_v1.Service, "test-service", "nsdel", spec={"selector": {"foo": "bar"}, "ports": ports})
        await w.delete(core_v1.Namespace, "nsdel", "")
        await w.until(lambda: absent(w, core_v1.Namespace, "nsdel"), 120)
        await namespace_of(w)
        assert await w.all(core_v1.Service, "nsdel") == ()


@pytest.mark.conformance(
    "[sig-api-machinery] OrderedNamespaceDeletion namespace deletion should delete pod first [Conformance]"
)
@simulated
async def test_pods_go_before_anything_else():
    async with world() as w:
        await namespace_of(w)
        finalizers = {"finalizers": ["e2e.example.com/finalizer"]}
        await w.create(core_v1.Pod, "held", "nsdel", metadata=finalizers, spec=POD)
        await w.create(core_v1.ConfigMap, "kept", "nsdel")
        await w.delete(core_v1.Namespace, "nsdel", "")

        async def marked() -> bool:
            return (await w.get(core_v1.Pod, "held", "nsdel")).metadata.deletionTimestamp is not None

        await w.until(marked)
        await w.clock.sleep(30)
        namespace = await w.get(core_v1.Namespace, "nsdel", "")
        conditions = {c.type: c.status for c in namespace.status.conditions}
        assert namespace.status.phase == "Terminating"
        assert {"NamespaceDeletionContentFailure", "NamespaceContentRemaining"} <= set(conditions)
        assert conditions["NamespaceContentRemaining"] == "True"
        assert (await w.get(core_v1.ConfigMap, "kept", "nsdel")).metadata.deletionTimestamp is None
        await w.patch(core_v1.Pod, "held", {"metadata": {"finalizers": None}}, "nsdel")
        await w.until(lambda: absent(w, core_v1.Namespace, "nsdel"), 120)
