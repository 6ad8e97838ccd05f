"""Leases by which API servers are known, and their end; Leases of Nodes that are gone."""

from pybernetes.api.types import coordination_v1, core_v1, meta_v1
from pybernetes.apiserver.config import Config
from pybernetes.apiserver.identity import LABEL, name_of
from pybernetes.testing import Cluster
from pybernetes.testing.virtual import simulated

HOST = "one.example.com"


async def leases(cluster: Cluster, namespace: str = "kube-system") -> dict[str, coordination_v1.Lease]:
    found = await cluster.client().of(coordination_v1.Lease).list(namespace)
    return {lease.metadata.name: lease for lease in found.items}


def test_the_name_is_that_of_the_host():
    assert name_of("localhost") == name_of("localhost")
    assert name_of("localhost") != name_of("other")
    assert len(name_of("localhost")) == len("apiserver-") + 26


@simulated
async def test_a_server_tells_that_it_is_there_and_renews_that():
    async with Cluster(nodes=0, controllers=(), api=Config(identity=HOST)) as cluster:
        await cluster.advance(seconds=1)
        first = (await leases(cluster))[name_of(HOST)]
        assert first.metadata.labels == {LABEL: "kube-apiserver", "kubernetes.io/hostname": HOST}
        assert first.spec.leaseDurationSeconds == 3600
        assert first.spec.holderIdentity.startswith(name_of(HOST) + "_")
        await cluster.advance(seconds=10)
        second = (await leases(cluster))[name_of(HOST)]
        assert second.spec.renewTime > first.spec.renewTime
        assert second.spec.holderIdentity == first.spec.holderIdentity


@simulated
async def test_leases_of_servers_that_are_gone_are_removed():
    async with Cluster(nodes=0, controllers=(), api=Config(identity=HOST)) as cluster:
        gone = coordination_v1.LeaseSpec(
            holderIdentity="x", leaseDurationSeconds=3600, renewTime="2020-01-01T00:00:00.000000Z"
        )
        for name, labels in (("apiserver-old", {LABEL: "kube-apiserver"}), ("somebody-else", {LABEL: "another"})):
            meta = meta_v1.ObjectMeta(name=name, namespace="kube-system", labels=labels)
            await cluster.client().of(coordination_v1.Lease).create(coordination_v1.Lease(metadata=meta, spec=gone))
        await cluster.advance(seconds=3620)
        assert set(await leases(cluster)) == {name_of(HOST), "somebody-else"}


@simulated
async def test_a_cluster_that_asked_for_none_has_none():
    async with Cluster(nodes=0, controllers=()) as cluster:
        await cluster.advance(seconds=60)
        assert await leases(cluster) == {}


@simulated
async def test_the_lease_of_a_node_goes_with_the_node():
    async with Cluster(nodes=0) as cluster:
        client = cluster.client()
        meta = meta_v1.ObjectMeta(name="n")
        node = await client.of(core_v1.Node).create(core_v1.Node(metadata=meta))
        ref = meta_v1.OwnerReference(apiVersion="v1", kind="Node", name="n", uid=node.metadata.uid)
        meta = meta_v1.ObjectMeta(name="n", namespace="kube-node-lease", ownerReferences=(ref,))
        await client.of(coordination_v1.Lease).create(coordination_v1.Lease(metadata=meta))
        await cluster.advance(seconds=10)
        assert set(await leases(cluster, "kube-node-lease")) == {"n"}
        await client.of(core_v1.Node).delete("n")
        await cluster.advance(seconds=10)
        assert await leases(cluster, "kube-node-lease") == {}
