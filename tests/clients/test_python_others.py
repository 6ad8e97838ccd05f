"""kubernetes-asyncio, kr8s and lightkube: the other Python clients that people use."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, aclosing
from typing import Any

import kr8s.asyncio
import kubernetes_asyncio
import lightkube
import pytest
from kr8s.asyncio.objects import ConfigMap, Deployment, Pod, new_class
from kubernetes_asyncio.client.exceptions import ApiException
from lightkube.core.exceptions import ApiError
from lightkube.generic_resource import async_load_in_cluster_generic_resources, create_namespaced_resource
from lightkube.models.core_v1 import Container, PodSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.apiextensions_v1 import CustomResourceDefinition
from lightkube.resources.apps_v1 import Deployment as LightDeployment
from lightkube.resources.core_v1 import ConfigMap as LightMap
from lightkube.resources.core_v1 import Pod as LightPod
from lightkube.types import PatchType

from tests.clients.conftest import Cluster
from tests.clients.test_kubectl_changes import DEPLOYMENT
from tests.clients.test_kubectl_shows import CRD

pytestmark = [
    pytest.mark.filterwarnings("ignore:Kubernetes version v1.37.0 is not supported:UserWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
"""What kr8s says of every server newer than itself; it leaves connections of watches to the collector."""


@pytest.fixture
async def asyncio_api(cluster: Cluster) -> AsyncIterator[kubernetes_asyncio.client.ApiClient]:
    async with await kubernetes_asyncio.config.new_client_from_config(str(cluster.kubeconfig)) as api:
        yield api


async def test_kubernetes_asyncio_reads_writes_and_watches(asyncio_api: Any, namespace: str):
    core = kubernetes_asyncio.client.CoreV1Api(asyncio_api)
    body = {"metadata": {"name": "one"}, "data": {"a": "b"}}
    made = await core.create_namespaced_config_map(namespace, body)
    seen = []
    async with kubernetes_asyncio.watch.Watch() as watch:
        version = made.metadata.resource_version
        await core.patch_namespaced_config_map("one", namespace, {"data": {"c": "d"}})
        await core.delete_namespaced_config_map("one", namespace)
        listing = core.list_namespaced_config_map
        async for event in watch.stream(listing, namespace, resource_version=version, timeout_seconds=10):
            seen.append((event["type"], event["object"].metadata.name))
            if len(seen) == 2:
                break
    assert seen == [("MODIFIED", "one"), ("DELETED", "one")]
    with pytest.raises(ApiException) as missing:
        await core.read_namespaced_config_map("one", namespace)
    assert missing.value.status == 404


async def test_kubernetes_asyncio_dynamic_client_applies(asyncio_api: Any, namespace: str):
    found = await kubernetes_asyncio.dynamic.DynamicClient(asyncio_api)
    deployments = await found.resources.get(api_version="apps/v1", kind="Deployment")
    applied = await deployments.server_side_apply(namespace=namespace, body=DEPLOYMENT, field_manager="me")
    assert applied.spec.replicas == 2
    listed = await deployments.get(namespace=namespace)
    assert [item.metadata.name for item in listed.items] == ["web"]


@pytest.fixture
async def kr8s_api(cluster: Cluster, namespace: str) -> AsyncIterator[kr8s.asyncio.Api]:
    yield await kr8s.asyncio.api(kubeconfig=str(cluster.kubeconfig), namespace=namespace)
    gc.collect()  # of what it leaves behind, here and not in the test after


async def test_kr8s_makes_scales_waits_and_deletes(kr8s_api: kr8s.asyncio.Api, namespace: str):
    api = kr8s_api
    assert (await api.version())["minor"] == "37"
    web = await Deployment({**DEPLOYMENT, "metadata": {"name": "web", "namespace": namespace}}, api=api)
    await web.create()
    await web.wait("condition=Available", timeout=20)
    await web.scale(1)
    assert web.replicas == 1
    pods = [pod async for pod in api.get("pods", namespace=namespace, label_selector="app=web")]
    assert pods
    assert all(isinstance(pod, Pod) for pod in pods)
    made = await ConfigMap({"metadata": {"name": "one", "namespace": namespace}, "data": {"a": "b"}}, api=api)
    await made.create()
    await made.patch({"data": {"a": "c"}})
    await made.label({"x": "y"})
    again = await ConfigMap.get("one", namespace=namespace, api=api)
    assert (again.data.a, again.labels["x"]) == ("c", "y")
    await made.delete()
    assert not await made.exists()
    with pytest.raises(kr8s.NotFoundError):
        await ConfigMap.get("one", namespace=namespace, api=api, timeout=0.1)


async def test_kr8s_watches(kr8s_api: kr8s.asyncio.Api, namespace: str):
    api = kr8s_api
    seen = []

    async def look() -> None:
        async with aclosing(api.watch("configmaps", namespace=namespace)) as events:
            async for event, obj in events:
                seen.append((event, obj.name))
                if obj.name == "new":
                    return

    looking = asyncio.create_task(look())
    made = await ConfigMap({"metadata": {"name": "new", "namespace": namespace}}, api=api)
    await made.create()
    await asyncio.wait_for(looking, 20)
    assert ("ADDED", "new") in seen
    assert new_class("Widget", "example.com/v1", asyncio=True).endpoint == "widgets"


@pytest.fixture
def light(cluster: Cluster, namespace: str) -> Iterator[Callable[[str], lightkube.Client]]:
    """Makes lightkube's clients, each with its name as field manager."""
    config = lightkube.KubeConfig.from_file(str(cluster.kubeconfig))
    with ExitStack() as opened:
        yield lambda name: opened.enter_context(
            lightkube.Client(config=config, namespace=namespace, field_manager=name)
        )


def test_lightkube_reads_writes_waits_and_watches(light: Callable[[str], lightkube.Client]):
    client = light("me")
    made = client.create(LightMap(metadata=ObjectMeta(name="one"), data={"a": "b"}))
    assert made.metadata is not None
    patched = client.patch(LightMap, "one", {"data": {"c": "d"}}, patch_type=PatchType.MERGE)
    assert patched.data == {"a": "b", "c": "d"}
    pod = LightPod(metadata=ObjectMeta(name="pod"), spec=PodSpec(containers=[Container(name="web", image="web:1")]))
    client.create(pod)
    ready = client.wait(LightPod, "pod", for_conditions=["Ready"])
    assert ready.status is not None
    assert ready.status.phase == "Running"
    for event, found in client.watch(LightMap, resource_version=made.metadata.resourceVersion, server_timeout=10):
        assert (event, found.metadata and found.metadata.name) == ("MODIFIED", "one")
        break
    names = [one.metadata.name for one in client.list(LightMap, chunk_size=1) if one.metadata]
    assert names == ["kube-root-ca.crt", "one"]
    client.delete(LightMap, "one")
    with pytest.raises(ApiError, match='configmaps "one" not found'):
        client.get(LightMap, "one")


def test_lightkube_applies_and_conflicts(light: Callable[[str], lightkube.Client]):
    first, second = light("first"), light("second")
    first.apply(LightMap(metadata=ObjectMeta(name="one"), data={"a": "b"}))
    with pytest.raises(ApiError, match=r'conflict with "first": \.data\.a'):
        second.apply(LightMap(metadata=ObjectMeta(name="one"), data={"a": "c"}))
    taken = second.apply(LightMap(metadata=ObjectMeta(name="one"), data={"a": "c"}), force=True)
    assert taken.data == {"a": "c"}
    scale = LightDeployment.Scale
    first.create(LightDeployment.from_dict(DEPLOYMENT))
    grown = first.patch(scale, "web", {"spec": {"replicas": 3}}, patch_type=PatchType.MERGE)
    assert grown.spec is not None
    assert grown.spec.replicas == 3


async def test_lightkube_generic_resources(cluster: Cluster, light: Callable[[str], lightkube.Client]):
    client = light("me")
    group = "lightkube.example.com"
    definition = {**CRD, "metadata": {"name": f"cakes.{group}"}}
    definition["spec"] = {**CRD["spec"], "group": group, "names": {"kind": "Cake", "plural": "cakes"}}  # type: ignore[dict-item]
    client.create(CustomResourceDefinition.from_dict(definition))
    try:
        client.wait(CustomResourceDefinition, f"cakes.{group}", for_conditions=["Established"])
        cakes = create_namespaced_resource(group, "v1", "Cake", "cakes")
        made = client.create(cakes(metadata=ObjectMeta(name="one"), spec={"ovens": 2}))
        assert made.spec == {"ovens": 2, "flour": "rye"}
        status = client.patch(cakes.Status, "one", {"status": {"warm": True}}, patch_type=PatchType.MERGE)
        assert status.status == {"warm": True}
        config = lightkube.KubeConfig.from_file(str(cluster.kubeconfig))
        async with lightkube.AsyncClient(config=config) as found:
            await async_load_in_cluster_generic_resources(found)
        assert [one.metadata.name for one in client.list(cakes) if one.metadata] == ["one"]
    finally:
        client.delete(CustomResourceDefinition, f"cakes.{group}")
