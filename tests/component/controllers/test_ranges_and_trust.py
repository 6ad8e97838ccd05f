"""Ranges of Services, the API server's trust bundle, and how long kubelets keep what they read."""

from types import SimpleNamespace
from typing import cast

import pytest
from tests.component.controllers.world import World, authority, simulated, world
from tests.exposition import read

from pybernetes.api.errors import Forbidden
from pybernetes.api.types import core_v1
from pybernetes.api.types.certificates_v1 import ClusterTrustBundle
from pybernetes.api.types.meta_v1 import ObjectMeta
from pybernetes.api.types.networking_v1 import IPAddress, ServiceCIDR, ServiceCIDRSpec
from pybernetes.controllers.kube_apiserver_serving_clustertrustbundle_publisher import SIGNER, name_of
from pybernetes.controllers.runtime import Context
from pybernetes.controllers.service_cidrs import _may_go
from pybernetes.controllers.ttl import ANNOTATION, _Size


async def service_range(w: World, name: str, *cidrs: str) -> None:
    where = "/apis/networking.k8s.io/v1/servicecidrs"
    await w.client.raw("POST", where, {"metadata": {"name": name}, "spec": {"cidrs": cidrs}})
    await w.clock.sleep(2)


async def service(w: World, name: str, address: str) -> None:
    await w.create(core_v1.Service, name, spec={"clusterIP": address, "ports": [{"port": 80}]})


def ready(cidr: ServiceCIDR) -> tuple[str, str, str]:
    (c,) = cidr.status.conditions
    assert c.type == "Ready"
    return c.status, c.reason, c.message


@simulated
async def test_a_new_range_is_protected_and_ready_and_addresses_come_from_it():
    async with world(nodes=0) as w:
        await service_range(w, "more", "172.30.0.0/24")
        found = await w.get(ServiceCIDR, "more", "")
        assert found.metadata.finalizers == ("networking.k8s.io/service-cidr-finalizer",)
        assert ready(found) == ("True", "", "Kubernetes Service CIDR is ready")
        await service(w, "web", "172.30.0.7")
        assert await w.there(IPAddress, "172.30.0.7", "")
        default = await w.get(ServiceCIDR, "kubernetes", "")
        assert ready(default)[::2] == ("True", "Kubernetes default Service CIDR is ready")
        assert default.metadata.finalizers == found.metadata.finalizers


@pytest.mark.parametrize(
    ("others", "ips", "goes"),
    [
        ([], [], True),
        ([], ["192.168.0.24"], False),
        ([], ["192.168.1.24"], True),
        ([], ["192.168.0.0"], True),
        ([], ["192.168.0.255"], True),
        ([], ["2001:db2::"], True),
        ([], ["2001:db2::ffff:ffff:ffff:ffff"], False),
        ([("192.168.0.0/24", "2001:db2::/64")], ["192.168.0.23"], True),
        ([("192.168.0.0/26", "2001:db2::/64")], ["192.168.0.23"], True),
        ([("192.168.0.0/28", "2001:db2::/64")], ["192.168.0.23"], False),
        ([("192.168.0.0/16", "2001:db2::/64")], ["192.168.0.23"], True),
        ([("192.168.255.0/26", "2001:db2::/64")], ["192.168.0.1"], False),
        ([("192.168.0.0/16", "2001:db2::/48")], ["2001:db2::1"], True),
        ([("192.168.255.0/26", "2001:db2:a:b::/64")], ["2001:db2::1"], False),
        ([("192.168.0.0/24",), ("2001:db2::/64",)], ["192.168.0.1", "2001:db2::1"], True),
    ],
)
def test_a_range_may_go_when_no_address_in_use_is_left_without_one(others, ips, goes):
    """TestController_canDeleteCIDR, TestControllerSync."""

    def of(name: str, cidrs: tuple[str, ...]) -> ServiceCIDR:
        return ServiceCIDR(metadata=ObjectMeta(name=name), spec=ServiceCIDRSpec(cidrs=cidrs))

    labels = {"ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io"}
    one = of("one", ("192.168.0.0/24", "2001:db2::/64"))
    there = {
        ServiceCIDR: [one, *(of(f"other-{n}", cidrs) for n, cidrs in enumerate(others))],
        IPAddress: [IPAddress(metadata=ObjectMeta(name=ip, labels=labels)) for ip in ips],
    }
    assert _may_go(one, cast(Context, SimpleNamespace(cache=there.__getitem__))) == goes


@simulated
async def test_a_range_whose_status_cannot_be_written_says_so():
    async with world(nodes=0, only=("service-cidrs-controller", "serviceaccount-controller")) as w:
        w.wire.refuse = lambda request: (
            Forbidden("no") if request.method == "PATCH" and request.path.endswith("/more/status") else None
        )
        await service_range(w, "more", "172.30.0.0/24")
        text = "KubernetesServiceCIDRError: The ServiceCIDR Status can not be set to Ready=True"
        assert text in await w.events("more")
        w.wire.refuse = lambda request: None
        await w.clock.sleep(70)
        assert ready(await w.get(ServiceCIDR, "more", ""))[0] == "True"
        counted = {name: loop.counters for name, loop in w.manager.loops.items()}
        w.expected_errors = [f"{n}: {c.errors - c.races}" for n, c in counted.items() if c.errors > c.races]


@simulated
async def test_a_range_stays_while_addresses_of_it_would_be_left_without_one():
    async with world(nodes=0) as w:
        await service_range(w, "more", "172.30.0.0/24")
        await service(w, "web", "172.30.0.7")
        await w.delete(ServiceCIDR, "more", "")
        await w.clock.sleep(60)
        why = "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR"
        assert ready(await w.get(ServiceCIDR, "more", "")) == ("False", "Terminating", why)
        await w.delete(core_v1.Service, "web")
        await w.clock.sleep(15)
        assert not await w.there(ServiceCIDR, "more", "")


@simulated
async def test_a_range_goes_when_another_holds_it_whole_but_not_before_all_servers_know():
    async with world(nodes=0) as w:
        await service_range(w, "small", "172.30.0.0/24")
        await service(w, "web", "172.30.0.7")
        await w.delete(ServiceCIDR, "small", "")
        await w.clock.sleep(20)
        assert await w.there(ServiceCIDR, "small", "")
        await service_range(w, "large", "172.30.0.0/16")
        assert not await w.there(ServiceCIDR, "small", "")
        await service_range(w, "again", "172.30.0.0/24")
        await w.delete(ServiceCIDR, "again", "")
        await w.clock.sleep(8)
        assert await w.there(ServiceCIDR, "again", "")
        await w.clock.sleep(4)
        assert not await w.there(ServiceCIDR, "again", "")


@simulated
async def test_the_authorities_of_the_api_server_are_published_once():
    async with world(nodes=0) as w:
        await w.clock.sleep(2)
        (bundle,) = await w.all(ClusterTrustBundle, None)
        assert bundle.metadata.name == name_of(authority().pem)
        assert bundle.metadata.name.startswith("kubernetes.io:kube-apiserver-serving:")
        assert bundle.spec.trustBundle == authority().pem.decode()
        spec = {"signerName": SIGNER, "trustBundle": authority().pem.decode()}
        await w.create(ClusterTrustBundle, "kubernetes.io:kube-apiserver-serving:old", "", spec=spec)
        await w.clock.sleep(2)
        assert [b.metadata.name for b in await w.all(ClusterTrustBundle, None)] == [bundle.metadata.name]
        await w.delete(ClusterTrustBundle, bundle.metadata.name, "")
        await w.clock.sleep(2)
        assert [b.metadata.name for b in await w.all(ClusterTrustBundle, None)] == [bundle.metadata.name]


@simulated
async def test_looks_at_the_published_authorities_are_counted():
    async with world(nodes=0) as w:
        await w.clock.sleep(2)
        name = "clustertrustbundle_publisher_sync"
        found = read(w.manager.metrics())
        assert found[f"{name}_total"].series[f"{name}_total", (("code", "200"),)] >= 1
        assert found[f"{name}_duration_seconds"].series[f"{name}_duration_seconds_count", (("code", "200"),)] >= 1


@simulated
async def test_kubelets_are_told_how_long_they_may_keep_what_they_read():
    async with world() as w:
        await w.clock.sleep(5)
        for name in ("node-1", "node-2"):
            assert (await w.get(core_v1.Node, name, "")).metadata.annotations[ANNOTATION] == "0"
        for number in range(99):
            await w.create(core_v1.Node, f"more-{number}", "")
        await w.clock.sleep(5)
        found = {n.metadata.annotations[ANNOTATION] for n in await w.all(core_v1.Node, None)}
        assert found == {"15"}
        for number in range(11):
            await w.delete(core_v1.Node, f"more-{number}", "")
        await w.clock.sleep(5)
        found = {n.metadata.annotations[ANNOTATION] for n in await w.all(core_v1.Node, None)}
        assert found == {"15"}  # 90 are neither too many for one step nor too few for the other
        await w.delete(core_v1.Node, "more-11", "")
        await w.clock.sleep(5)
        found = {n.metadata.annotations[ANNOTATION] for n in await w.all(core_v1.Node, None)}
        assert found == {"0"}


def test_the_steps_of_a_growing_and_shrinking_cluster():
    size = _Size()
    seen = []
    for nodes in (100, 101, 500, 501, 5000, 1800, 1799, 900, 90, 89):
        size.moves(nodes)
        seen.append(size.step)
    assert seen == [0, 1, 1, 2, 4, 4, 3, 3, 1, 0]
