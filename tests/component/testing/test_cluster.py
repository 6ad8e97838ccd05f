"""A cluster inside a test: Deployments reach their Pods on simulated nodes, and it stops clean."""

import asyncio

import pytest

from pybernetes.api.types import apps_v1, core_v1, meta_v1
from pybernetes.assembly.cluster import until
from pybernetes.testing import ClosedClusterError, Cluster


def deployment(name: str, replicas: int) -> apps_v1.Deployment:
    labels = {"app": name}
    template = core_v1.PodTemplateSpec(
        metadata=meta_v1.ObjectMeta(labels=labels),
        spec=core_v1.PodSpec(containers=(core_v1.Container(name="main", image="web"),)),
    )
    return apps_v1.Deployment(
        metadata=meta_v1.ObjectMeta(name=name, namespace="default"),
        spec=apps_v1.DeploymentSpec(
            replicas=replicas, selector=meta_v1.LabelSelector(matchLabels=labels), template=template
        ),
    )


async def test_a_deployment_becomes_available_over_several_nodes():
    async with Cluster(nodes=2) as cluster:
        client = cluster.client()
        await client.of(apps_v1.Deployment).create(deployment("web", 4))
        await until(
            client, apps_v1.Deployment, lambda found: any(d.status.availableReplicas == 4 for d in found), "available"
        )
        pods = (await client.of(core_v1.Pod).list("default")).items
        assert {pod.spec.nodeName for pod in pods} == {"node-1", "node-2"}
        assert all(pod.status.phase == "Running" for pod in pods)


async def test_deleting_the_owner_deletes_what_it_owns():
    async with Cluster() as cluster:
        client = cluster.client()
        await client.of(apps_v1.Deployment).create(deployment("web", 2))
        await until(client, core_v1.Pod, lambda pods: len(pods) == 2, "two Pods", namespace="default")
        await client.raw("DELETE", "/apis/apps/v1/namespaces/default/deployments/web")
        await until(client, core_v1.Pod, lambda pods: not pods, "no Pods", namespace="default")


async def test_clusters_stop_clean_and_leave_no_task():
    before = len(asyncio.all_tasks())
    for _ in range(3):
        async with Cluster(serve=True) as cluster:
            assert cluster.kubeconfig().exists()
    assert len(asyncio.all_tasks()) == before


async def test_a_closed_cluster_says_so():
    cluster = Cluster()
    with pytest.raises(ClosedClusterError, match="async with"):
        cluster.client()
