"""A node is lost, and five minutes later its Pods are elsewhere: on virtual time that takes a moment.

`pip install pybernetes pytest`, then `pytest`.
"""

from pybernetes.api.objects import Object
from pybernetes.testing import Cluster, simulated

SHOP = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "shop"},
    "spec": {
        "replicas": 3,
        "selector": {"matchLabels": {"app": "shop"}},
        "template": {
            "metadata": {"labels": {"app": "shop"}},
            "spec": {"containers": [{"name": "web", "image": "shop"}]},
        },
    },
}


async def ready_on(cluster: Cluster) -> list[str]:
    """The nodes of the Pods that are Ready and stay."""
    pods: list[Object] = (await cluster.raw("GET", "/api/v1/namespaces/default/pods"))["items"]
    return sorted(
        pod["spec"]["nodeName"]
        for pod in pods
        if "deletionTimestamp" not in pod["metadata"]
        and any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"]["conditions"])
    )


@simulated(seed=7)
async def test_pods_of_a_lost_node_run_elsewhere_after_five_minutes() -> None:
    async with Cluster(nodes=2) as cluster:
        await cluster.apply(SHOP)
        await cluster.wait("deployment/shop", "condition=Available")
        assert set(await ready_on(cluster)) == {"node-1", "node-2"}

        await cluster.node("node-1").fail()
        await cluster.advance(minutes=4)  # 40 s until the node counts as lost, then 300 s of patience
        await cluster.wait("node/node-1", "condition=Ready=Unknown")
        assert len(await ready_on(cluster)) < 3

        await cluster.advance(minutes=3)
        assert await ready_on(cluster) == ["node-2"] * 3
