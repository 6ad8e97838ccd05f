"""EndpointSlices beyond the first: hints, zones that come later, families, sizes; with the real API server."""

from ipaddress import ip_network
from typing import Any

from tests.component.controllers.world import World, simulated, world
from tests.exposition import read

from pybernetes.aio.clock import rfc3339
from pybernetes.api.errors import Forbidden
from pybernetes.api.types import core_v1, discovery_v1
from pybernetes.apiserver.config import Config as ApiConfig
from pybernetes.client.rest import STRATEGIC, key_of
from pybernetes.controllers._endpoints import TRIGGERED
from pybernetes.controllers._slices import filled
from pybernetes.controllers.endpointslice import OURS, endpoints
from pybernetes.controllers.endpointslice_mirroring import SKIP
from pybernetes.controllers.runtime import Config

ONLY = ("endpointslice-controller", "serviceaccount-controller")
MODE = "service.kubernetes.io/topology-mode"


async def node(w: World, name: str, zone: str = "", ready: str = "True") -> None:
    await w.create(core_v1.Node, name, metadata={"labels": {"topology.kubernetes.io/zone": zone} if zone else {}})
    await report(w, name, ready)


async def report(w: World, name: str, ready: str) -> None:
    status = {"allocatable": {"cpu": "4"}, "conditions": [{"type": "Ready", "status": ready}]}
    await w.client.of(core_v1.Node).patch_raw(name, {"status": status}, STRATEGIC, subresource="status")


async def pod(w: World, number: int, node: str = "a1", addresses: tuple[str, ...] = (), **spec: Any) -> None:
    """One that runs and is ready, with an address."""
    body: dict[str, Any] = {"containers": [{"name": "c", "image": "i"}], "nodeName": node, **spec}
    made = await w.create(core_v1.Pod, f"p{number}", metadata={"labels": {"app": "web"}}, spec=body)
    addresses = addresses or (f"10.1.{number // 250}.{number % 250 + 1}",)
    status = {"phase": "Running", "podIP": addresses[0], "podIPs": [{"ip": address} for address in addresses],
              "conditions": [{"type": "Ready", "status": "True"}]}  # fmt: skip
    await w.client.of(core_v1.Pod).patch_raw(key_of(made), {"status": status}, STRATEGIC, subresource="status")


async def service(w: World, **spec: Any) -> None:
    await w.create(core_v1.Service, "web", spec={"selector": {"app": "web"}, "ports": [{"port": 80}], **spec})


async def slices(w: World) -> list[discovery_v1.EndpointSlice]:
    await w.clock.sleep(2)
    return list(await w.all(discovery_v1.EndpointSlice, labels="kubernetes.io/service-name=web"))


async def hints(w: World) -> list[str]:
    """Of the endpoints in the order of their addresses: `zone` or `zone/node`; empty without."""
    found = sorted((e.addresses[0], e) for s in await slices(w) for e in s.endpoints)
    said = []
    for _, endpoint in found:
        one = endpoint.hints or discovery_v1.EndpointHints()
        said.append("/".join([*(z.name for z in one.forZones), *(n.name for n in one.forNodes)]))
    return said


@simulated
async def test_topology_aware_hints_share_endpoints_after_cpus_and_their_coming_and_going_is_told():
    async with world(nodes=0, only=ONLY) as w:
        for name, zone in (("a1", "a"), ("b1", "b")):
            await node(w, name, zone)
        for number in range(4):
            await pod(w, number, "a1" if number < 3 else "b1")
        await service(w)
        assert await hints(w) == ["", "", "", ""]
        await w.patch(core_v1.Service, "web", {"metadata": {"annotations": {MODE: "Auto"}}})
        assert sorted(await hints(w)) == ["a", "a", "b", "b"]
        assert await w.events("web") == [
            "TopologyAwareHintsEnabled: Topology Aware Hints has been enabled, addressType: IPv4"
        ]
        await report(w, "b1", "False")
        assert await hints(w) == ["", "", "", ""]
        text = "Insufficient Node information: allocatable CPU or zone not specified on one or more nodes"
        assert f"TopologyAwareHintsDisabled: {text}, addressType: IPv4" in await w.events("web")
        await report(w, "b1", "True")
        assert sorted(await hints(w)) == ["a", "a", "b", "b"]
        await w.patch(core_v1.Service, "web", {"metadata": {"annotations": {MODE: None}}})
        assert await hints(w) == ["", "", "", ""]
        text = "TopologyAwareHintsDisabled: Topology Aware Hints has been disabled, addressType: IPv4"
        assert text in await w.events("web")


@simulated
async def test_traffic_distribution_hints_each_endpoint_at_its_zone_or_node():
    async with world(nodes=0, only=ONLY) as w:
        await node(w, "a1", "a")
        await node(w, "b1", "b")
        await pod(w, 0, "a1")
        await pod(w, 1, "b1")
        await service(w, trafficDistribution="PreferSameZone")
        assert await hints(w) == ["a", "b"]
        await w.patch(core_v1.Service, "web", {"spec": {"trafficDistribution": "PreferSameNode"}})
        assert await hints(w) == ["a/a1", "b/b1"]
        await w.patch(core_v1.Service, "web", {"spec": {"trafficDistribution": None}})
        assert await hints(w) == ["", ""]


@simulated
async def test_a_zone_that_a_node_gets_later_comes_into_the_slices():
    async with world(nodes=0, only=ONLY) as w:
        await node(w, "a1")
        await pod(w, 0, "a1")
        await service(w, trafficDistribution="PreferClose")
        (found,) = await slices(w)
        assert [(e.zone, e.hints) for e in found.endpoints] == [(None, None)]
        await w.patch(core_v1.Node, "a1", {"metadata": {"labels": {"topology.kubernetes.io/zone": "late"}}}, "")
        assert await hints(w) == ["late"]
        (found,) = await slices(w)
        assert [e.zone for e in found.endpoints] == ["late"]


@simulated
async def test_slices_have_as_many_endpoints_as_the_flag_says_and_one_change_writes_one():
    async with world(nodes=0, only=ONLY, config=Config(endpoints_per_slice=20)) as w:
        await node(w, "a1")
        for number in range(70):
            await pod(w, number)
        await service(w)
        found = await slices(w)
        assert sorted(len(s.endpoints) for s in found) == [10, 20, 20, 20]
        before = {s.metadata.name: s.metadata.resourceVersion for s in found}
        status = {"conditions": [{"type": "Ready", "status": "False"}]}
        await w.client.of(core_v1.Pod).patch_raw(
            key_of(await w.get(core_v1.Pod, "p33")), {"status": status}, STRATEGIC, subresource="status"
        )
        after = {s.metadata.name: s.metadata.resourceVersion for s in await slices(w)}
        assert sum(before[name] != after[name] for name in before) == 1
        await w.delete(core_v1.Pod, "p33", grace=0)
        shown = read(w.manager.metrics())
        name = "endpoint_slice_controller"
        assert sorted(len(s.endpoints) for s in await slices(w)) in ([9, 20, 20, 20], [10, 19, 20, 20])
        shown = read(w.manager.metrics())
        values = {one: shown[f"{name}_{one}"].series[f"{name}_{one}", ()] for one in
                  ("endpoints_desired", "num_endpoint_slices", "desired_endpoint_slices")}  # fmt: skip
        assert values == {"endpoints_desired": 69, "num_endpoint_slices": 4, "desired_endpoint_slices": 4}
        changes = {dict(labels)["operation"]: n for (_, labels), n in shown[f"{name}_changes"].series.items()}
        assert changes == {"create": 4, "update": 2}
        await w.delete(core_v1.Service, "web")
        await w.clock.sleep(1)
        shown = read(w.manager.metrics())
        assert shown[f"{name}_endpoints_desired"].series[f"{name}_endpoints_desired", ()] == 0


@simulated
async def test_a_write_says_when_what_it_answers_to_has_happened():
    async with world(nodes=0, only=(*ONLY, "endpoints-controller"), config=Config(endpoints_per_slice=2)) as w:
        await node(w, "a1")
        for number in range(4):
            await pod(w, number)
        await service(w)
        found = {s.metadata.name: s for s in await slices(w)}
        born = (await w.get(core_v1.Service, "web")).metadata.creationTimestamp
        assert {s.metadata.annotations[TRIGGERED] for s in found.values()} == {born}
        await w.clock.sleep(100)
        stamp = rfc3339(w.clock.now())
        ready = {"type": "Ready", "status": "False", "lastTransitionTime": stamp}
        await w.clock.sleep(3)
        await w.client.of(core_v1.Pod).patch_raw(
            key_of(await w.get(core_v1.Pod, "p3")), {"status": {"conditions": [ready]}}, STRATEGIC, subresource="status"
        )
        changed = [s for s in await slices(w) if s != found[s.metadata.name]]
        assert [s.metadata.annotations[TRIGGERED] for s in changed] == [stamp]
        assert (await w.get(core_v1.Endpoints, "web")).metadata.annotations[TRIGGERED] == stamp
        await w.patch(core_v1.Service, "web", {"metadata": {"labels": {"new": "label"}}})
        assert not any(TRIGGERED in s.metadata.annotations for s in await slices(w))  # nothing of a Pod is new


def test_each_family_has_endpoints_of_its_own_where_a_pod_has_such_an_address():
    spec = core_v1.ServiceSpec(clusterIP="None", ipFamilies=("IPv4", "IPv6"), ports=(core_v1.ServicePort(port=80),))
    web = core_v1.Service(spec=spec)
    listed = [
        core_v1.Pod(status=core_v1.PodStatus(podIPs=tuple(core_v1.PodIP(ip=ip) for ip in addresses)))
        for addresses in (("10.1.0.1", "fd00::1"), ("10.1.0.2",), ("fd00::3",))
    ]
    found = {
        family: [e.addresses[0] for ends in endpoints(web, listed, family, lambda node: None).values() for e in ends]
        for family in ("IPv4", "IPv6")
    }
    assert found == {"IPv4": ["10.1.0.1", "10.1.0.2"], "IPv6": ["fd00::1", "fd00::3"]}


DUAL = ApiConfig(service_networks=(ip_network("10.96.0.0/12"), ip_network("fd00:10::/108")))


async def by_family(w: World) -> dict[str, list[list[str]]]:
    """Addresses of each slice."""
    found: dict[str, list[list[str]]] = {}
    for one in await slices(w):
        found.setdefault(one.addressType, []).append([e.addresses[0] for e in one.endpoints])
    return {family: sorted(listed) for family, listed in found.items()}


@simulated
async def test_a_dual_stack_service_has_slices_of_both_families_and_endpoints_of_the_first():
    async with world(nodes=0, only=(*ONLY, "endpoints-controller"), api=DUAL) as w:
        await node(w, "a1")
        await pod(w, 0, addresses=("10.1.0.1", "fd00::1"))
        await pod(w, 1, addresses=("10.1.0.2",))
        await pod(w, 2, addresses=("fd00::3",))
        await service(w, ipFamilyPolicy="RequireDualStack", ipFamilies=["IPv6", "IPv4"])
        assert await by_family(w) == {"IPv4": [["10.1.0.1", "10.1.0.2"]], "IPv6": [["fd00::1", "fd00::3"]]}
        (subset,) = (await w.get(core_v1.Endpoints, "web")).subsets
        assert [at.ip for at in subset.addresses] == ["fd00::1", "fd00::3"]
        assert {s.metadata.labels.get("service.kubernetes.io/headless") for s in await slices(w)} == {None}


@simulated
async def test_a_service_that_becomes_dual_stack_and_single_again_gains_and_loses_slices():
    async with world(nodes=0, only=ONLY, api=DUAL) as w:
        await node(w, "a1")
        await pod(w, 0, addresses=("10.1.0.1", "fd00::1"))
        await service(w)
        assert await by_family(w) == {"IPv4": [["10.1.0.1"]]}
        first = {s.metadata.name for s in await slices(w)}
        await w.patch(core_v1.Service, "web", {"spec": {"ipFamilyPolicy": "PreferDualStack"}})
        assert await by_family(w) == {"IPv4": [["10.1.0.1"]], "IPv6": [["fd00::1"]]}
        await w.patch(core_v1.Service, "web", {"spec": {"ipFamilyPolicy": "SingleStack"}})
        assert await by_family(w) == {"IPv4": [["10.1.0.1"]]}
        assert {s.metadata.name for s in await slices(w)} == first


@simulated
async def test_a_family_without_endpoints_has_one_empty_slice_and_a_headless_service_says_so():
    async with world(nodes=0, only=ONLY, api=DUAL) as w:
        await node(w, "a1")
        await pod(w, 0)
        await service(w, clusterIP="None", ipFamilyPolicy="PreferDualStack")
        assert await by_family(w) == {"IPv4": [["10.1.0.1"]], "IPv6": [[]]}
        assert {s.metadata.labels["service.kubernetes.io/headless"] for s in await slices(w)} == {""}
        assert {s.addressType: [p.port for p in s.ports] for s in await slices(w)} == {"IPv4": [80], "IPv6": []}
        await pod(w, 1, addresses=("fd00::7",))
        assert await by_family(w) == {"IPv4": [["10.1.0.1"]], "IPv6": [["fd00::7"]]}


@simulated
async def test_dual_stack_slices_are_filled_apart_and_a_pod_that_goes_leaves_both_families():
    async with world(nodes=0, only=ONLY, api=DUAL, config=Config(endpoints_per_slice=2)) as w:
        await node(w, "a1")
        for number in range(3):
            await pod(w, number, addresses=(f"10.1.0.{number}", f"fd00::{number}"))
        await service(w, ipFamilyPolicy="RequireDualStack")
        assert {family: sorted(map(len, listed)) for family, listed in (await by_family(w)).items()} == {
            "IPv4": [1, 2],
            "IPv6": [1, 2],
        }
        await w.delete(core_v1.Pod, "p2", grace=0)
        assert await by_family(w) == {"IPv4": [["10.1.0.0", "10.1.0.1"]], "IPv6": [["fd00::0", "fd00::1"]]}


@simulated
async def test_topology_aware_hints_of_a_dual_stack_service_are_told_once_for_both_families():
    async with world(nodes=0, only=ONLY, api=DUAL) as w:
        for name, zone in (("a1", "a"), ("b1", "b")):
            await node(w, name, zone)
        for number in range(2):
            await pod(w, number, ("a1", "b1")[number], (f"10.1.0.{number}", f"fd00::{number}"))
        await service(w, ipFamilyPolicy="RequireDualStack")
        await w.patch(core_v1.Service, "web", {"metadata": {"annotations": {MODE: "Auto"}}})
        assert await hints(w) == ["a", "b", "a", "b"]
        await w.patch(core_v1.Service, "web", {"metadata": {"annotations": {MODE: None}}})
        assert await hints(w) == ["", "", "", ""]
        assert sorted(await w.events("web")) == [
            "TopologyAwareHintsDisabled: Topology Aware Hints has been disabled, addressType: IPv4",
            "TopologyAwareHintsEnabled: Topology Aware Hints has been enabled, addressType: IPv4",
        ]


@simulated
async def test_a_pod_whose_node_nobody_knows_is_left_out_until_the_node_is_there():
    """TestReconcileEndpointSlices... "pod with missing node" (kubernetes/kubernetes#113704)."""
    async with world(nodes=0, only=ONLY) as w:
        await node(w, "a1")
        await pod(w, 0)
        await pod(w, 1, "lost")
        await service(w)
        assert await by_family(w) == {"IPv4": [["10.1.0.1"]]}
        text = "Error updating Endpoint Slices for Service default/web: skipping Pod p1 for Service default/web: Node lost Not Found"
        assert f"FailedToUpdateEndpointSlices: {text}" in await w.events("web")
        await node(w, "lost")
        assert await by_family(w) == {"IPv4": [["10.1.0.1", "10.1.0.2"]]}


@simulated
async def test_a_service_that_publishes_what_is_not_ready_does_so_without_a_node_too():
    async with world(nodes=0, only=ONLY) as w:
        await pod(w, 0, "lost")
        await service(w, publishNotReadyAddresses=True)
        assert await by_family(w) == {"IPv4": [["10.1.0.1"]]}
        assert not any("FailedToUpdate" in text for text in await w.events("web"))


@simulated
async def test_slices_of_a_service_that_was_there_before_are_not_taken_over():
    """TestReconcileEndpointSlicesRecreation: "slice owned by other Service UID"."""
    async with world(nodes=0, only=ONLY) as w:
        await node(w, "a1")
        await pod(w, 0)
        labels = {"kubernetes.io/service-name": "web", "endpointslice.kubernetes.io/managed-by": OURS}
        owner = {"apiVersion": "v1", "kind": "Service", "name": "web", "uid": "another"}
        meta = {"labels": labels, "ownerReferences": [owner]}
        await w.create(discovery_v1.EndpointSlice, "old", addressType="IPv4", endpoints=[], metadata=meta)
        await service(w)
        (found,) = await slices(w)
        assert found.metadata.name != "old"
        assert [ref.uid for ref in found.metadata.ownerReferences] == [
            (await w.get(core_v1.Service, "web")).metadata.uid
        ]


@simulated
async def test_what_a_user_notes_at_a_slice_stays():
    async with world(nodes=0, only=ONLY) as w:
        await node(w, "a1")
        await service(w)
        (found,) = await slices(w)
        await w.patch(discovery_v1.EndpointSlice, found.metadata.name, {"metadata": {"annotations": {"mine": "yes"}}})
        await pod(w, 0)
        (found,) = await slices(w)
        assert len(found.endpoints) == 1
        assert found.metadata.annotations["mine"] == "yes"


@simulated
async def test_slices_of_a_service_that_waits_for_its_end_lose_pods_but_no_new_slices_are_made():
    async with world(nodes=0, only=ONLY, config=Config(endpoints_per_slice=1)) as w:
        await node(w, "a1")
        await pod(w, 0)
        await service(w)
        await w.patch(core_v1.Service, "web", {"metadata": {"finalizers": ["example.com/wait"]}})
        await w.delete(core_v1.Service, "web")
        await pod(w, 1)
        assert await by_family(w) == {"IPv4": [["10.1.0.1"]]}
        await w.delete(core_v1.Pod, "p0", grace=0)
        assert await by_family(w) == {"IPv4": [["10.1.0.2"]]}
        await w.patch(core_v1.Service, "web", {"metadata": {"finalizers": None}})


@simulated
async def test_refused_slices_are_told_of_in_an_event():
    async with world(nodes=0, only=ONLY) as w:
        w.wire.refuse = lambda request: (
            Forbidden("no more") if request.method == "POST" and request.path.endswith("/endpointslices") else None
        )
        await service(w)
        text = "Error updating Endpoint Slices for Service default/web: failed to create EndpointSlice for Service default/web: no more"
        assert f"FailedToUpdateEndpointSlices: {text}" in await w.events("web")
        w.wire.refuse = lambda request: None
        await w.until(lambda: there(w))
        w.expected_errors = errors(w)


async def there(w: World) -> bool:
    return len(await slices(w)) == 1


def errors(w: World) -> list[str]:
    """Of all loops, which a test expects."""
    counted = {name: loop.counters for name, loop in w.manager.loops.items()}
    return [f"{name}: {c.errors - c.races}" for name, c in counted.items() if c.errors > c.races]


@simulated
async def test_refused_endpoints_are_told_of_in_an_event():
    async with world(nodes=0, only=("endpoints-controller", "serviceaccount-controller")) as w:
        w.wire.refuse = lambda request: (
            Forbidden("no more") if request.method == "POST" and request.path.endswith("/endpoints") else None
        )
        await service(w)
        text = "FailedToCreateEndpoint: Failed to create endpoint for service default/web: no more"
        assert text in await w.events("web")
        w.wire.refuse = lambda request: None
        await w.until(lambda: w.there(core_v1.Endpoints, "web"))
        w.expected_errors = errors(w)


@simulated
async def test_services_are_counted_by_their_traffic_distribution():
    name = "endpoint_slice_controller_services_count_by_traffic_distribution"

    def counted(w: World) -> dict[str, float]:
        series = read(w.manager.metrics())[name].series
        return {dict(labels)["traffic_distribution"]: n for (_, labels), n in series.items()}

    async with world(nodes=0, only=ONLY) as w:
        await service(w, trafficDistribution="PreferClose")
        await w.clock.sleep(1)
        assert counted(w) == {"PreferClose": 1}
        await w.patch(core_v1.Service, "web", {"spec": {"trafficDistribution": "PreferSameNode"}})
        await w.clock.sleep(1)
        assert counted(w) == {"PreferClose": 0, "PreferSameNode": 1}
        await w.delete(core_v1.Service, "web")
        await w.clock.sleep(1)
        assert counted(w) == {"PreferClose": 0, "PreferSameNode": 0}


@simulated
async def test_the_annotation_comes_before_the_traffic_distribution_and_leaves_it_its_hints():
    """Test_TransitionsForTrafficDistribution."""
    async with world(nodes=0, only=ONLY) as w:
        await node(w, "a1", "a")
        await node(w, "b1", "b")
        for number in range(3):
            await pod(w, number, "a1")
        await service(w)
        for change, found in (
            ({"spec": {"trafficDistribution": "PreferClose"}}, ["a", "a", "a"]),
            ({"metadata": {"annotations": {MODE: "Auto"}}}, None),
            ({"spec": {"trafficDistribution": None}}, None),
            ({"metadata": {"annotations": {MODE: None}}}, ["", "", ""]),
            ({"spec": {"trafficDistribution": "PreferSameNode"}}, ["a/a1", "a/a1", "a/a1"]),
            ({"metadata": {"annotations": {MODE: "Disabled"}}}, ["a/a1", "a/a1", "a/a1"]),
        ):
            await w.patch(core_v1.Service, "web", change)
            assert sorted(await hints(w)) == (found or ["", "", ""]), change


@simulated
async def test_changes_of_pods_that_come_close_together_are_one_where_the_flag_asks_for_it():
    """TestPodUpdatesBatching, TestPodAddsBatching, TestPodDeleteBatching."""
    only = (*ONLY, "endpoints-controller")
    for period, writes in ((0.0, 3), (1.0, 1)):
        async with world(
            nodes=0, only=only, config=Config(slice_batch_period=period, endpoint_batch_period=period)
        ) as w:
            await node(w, "a1")
            await service(w)
            await w.clock.sleep(5)
            w.wire.writes.clear()
            for number in range(3):
                await pod(w, number)
                await w.clock.sleep(0.2)
            await w.clock.sleep(5)
            patched = [one for one in w.wire.writes if one.startswith("PATCH")]
            for what in ("/endpoints/", "/endpointslices/"):
                assert len([one for one in patched if what in one]) == writes
            (found,) = await slices(w)
            assert len(found.endpoints) == 3


@simulated
async def test_a_service_that_names_another_host_has_no_endpoints_until_it_does_not():
    """TestExternalNameToClusterIPTransition, TestSyncServiceExternalNameType."""
    async with world(nodes=0, only=(*ONLY, "endpoints-controller")) as w:
        await node(w, "a1")
        await pod(w, 0)
        await service(w, type="ExternalName", externalName="example.com")
        assert await slices(w) == []
        assert not await w.there(core_v1.Endpoints, "web")
        await w.patch(core_v1.Service, "web", {"spec": {"type": "ClusterIP", "externalName": None}})
        assert await by_family(w) == {"IPv4": [["10.1.0.1"]]}
        labels = (await w.get(core_v1.Endpoints, "web")).metadata.labels
        assert "service.kubernetes.io/headless" not in labels


MIRROR = ("endpointslice-mirroring-controller", "serviceaccount-controller")
MIRRORING = "endpoint_slice_mirroring_controller"


async def unselecting(w: World, **endpoints: Any) -> None:
    await w.create(core_v1.Service, "web", spec={"ports": [{"port": 80}]})
    await w.create(core_v1.Endpoints, "web", **endpoints)


def subset(ports: dict[str, int], *ips: str, waiting: tuple[str, ...] = ()) -> dict[str, Any]:
    listed = [{"name": name, "port": number, "protocol": "TCP"} for name, number in ports.items()]
    found: dict[str, Any] = {"ports": listed, "addresses": [{"ip": ip} for ip in ips]}
    return found | ({"notReadyAddresses": [{"ip": ip} for ip in waiting]} if waiting else {})


@simulated
async def test_subsets_are_mirrored_in_their_canonical_form_one_slice_a_family_and_port_set():
    """TestReconcile of mirroring: "2 subset, different port and same address", "dual stack addresses", "2 not ready"."""
    async with world(nodes=0, only=MIRROR) as w:
        await unselecting(w, subsets=[subset({"http": 80}, "10.0.0.1"), subset({"https": 443}, "10.0.0.1")])
        (found,) = await slices(w)
        assert sorted(port.port or 0 for port in found.ports) == [80, 443]
        listed = [subset({"http": 80}, "10.0.0.1", "fd00::1", waiting=("10.0.0.2",)), subset({"b": 3000}, "10.0.0.9")]
        await w.patch(core_v1.Endpoints, "web", {"subsets": listed})
        found_by = {(s.addressType, s.ports[0].name): s for s in await slices(w)}
        ready = {key: [(e.addresses[0], e.conditions.ready) for e in s.endpoints] for key, s in found_by.items()}
        assert ready == {
            ("IPv4", "http"): [("10.0.0.1", True), ("10.0.0.2", False)],
            ("IPv6", "http"): [("fd00::1", True)],
            ("IPv4", "b"): [("10.0.0.9", True)],
        }


@simulated
async def test_a_mirror_has_the_labels_and_annotations_of_its_endpoints_and_goes_with_them():
    """TestReconcile of mirroring: "Annotations other than last-applied-configuration should get correctly mirrored"."""
    async with world(nodes=0, only=MIRROR) as w:
        applied = "kubectl.kubernetes.io/last-applied-configuration"
        meta = {
            "labels": {"tier": "x"},
            "annotations": {"foo": "bar", applied: "{}", TRIGGERED: "2026-01-01T00:00:00Z"},
        }
        await unselecting(w, subsets=[subset({"http": 80}, "10.0.0.1")], metadata=meta)
        (found,) = await slices(w)
        assert found.metadata.annotations == {"foo": "bar"}
        assert found.metadata.labels["tier"] == "x"
        await w.patch(core_v1.Endpoints, "web", {"metadata": {"annotations": {"foo": None}, "labels": {"tier": "y"}}})
        (found,) = await slices(w)
        assert (found.metadata.annotations, found.metadata.labels["tier"]) == ({}, "y")
        await w.patch(core_v1.Endpoints, "web", {"metadata": {"labels": {SKIP: "true"}}})
        assert await slices(w) == []
        await w.patch(core_v1.Endpoints, "web", {"metadata": {"labels": {SKIP: "false"}}})
        assert len(await slices(w)) == 1
        await w.patch(core_v1.Service, "web", {"spec": {"selector": {"app": "web"}}})
        assert await slices(w) == []
        await w.patch(core_v1.Service, "web", {"spec": {"selector": None}})
        assert len(await slices(w)) == 1
        await w.delete(core_v1.Endpoints, "web")
        assert await slices(w) == []


@simulated
async def test_addresses_beyond_the_most_of_a_subset_are_not_mirrored_and_an_event_says_so():
    """TestReconcile of mirroring: "1 exceeding maxEndpointsPerSubset"."""
    async with world(nodes=0, only=MIRROR, config=Config(mirrored_per_subset=2)) as w:
        listed = [subset({"http": 80}, "10.0.0.1", "10.0.0.2"), subset({"b": 3000}, "10.0.1.1", "10.0.1.2", "10.0.1.3")]
        await unselecting(w, subsets=listed)
        assert sorted(len(s.endpoints) for s in await slices(w)) == [2, 2]
        text = "A max of 2 addresses can be mirrored to EndpointSlices per Endpoints subset. 1 addresses were skipped"
        assert await w.events("web") == [f"TooManyAddressesToMirror: {text}"]
        shown = read(w.manager.metrics())

        def value(name: str, *labels: tuple[str, str]) -> float:
            return shown[f"{MIRRORING}_{name.removesuffix('_sum')}"].series[f"{MIRRORING}_{name}", tuple(labels)]

        assert [value(name) for name in ("endpoints_desired", "num_endpoint_slices", "desired_endpoint_slices")] == [
            4,
            2,
            2,
        ]
        sums = [value(f"{name}_per_sync_sum") for name in ("endpoints_added", "endpoints_removed", "addresses_skipped")]
        assert sums[0] == 4
        assert sums[1] == 0
        assert sums[2] >= 1
        assert value("changes", ("operation", "create")) == 2
        await w.delete(core_v1.Endpoints, "web")
        await w.clock.sleep(1)
        shown = read(w.manager.metrics())
        assert value("endpoints_desired") == 0
        assert value("changes", ("operation", "delete")) == 2


def test_one_of_a_thousand_endpoints_that_changes_touches_one_slice():
    def endpoint(number: int, *, ready: bool = True) -> discovery_v1.Endpoint:
        conditions = discovery_v1.EndpointConditions(ready=ready)
        return discovery_v1.Endpoint(addresses=(f"10.{number // 250}.{number % 250}.1",), conditions=conditions)

    listed = [endpoint(number) for number in range(1000)]
    there = [discovery_v1.EndpointSlice(endpoints=content or ()) for _, content in filled([], listed)]
    assert [len(found.endpoints) for found in there] == [100] * 10
    listed[500] = endpoint(500, ready=False)
    assert sum(found is None or found.endpoints != content for found, content in filled(there, listed)) == 1
    assert sum(found is None or found.endpoints != content for found, content in filled(there, listed[1:])) == 2
    assert sum(found is None or found.endpoints != new for found, new in filled(there, [*listed, endpoint(1000)])) == 2
