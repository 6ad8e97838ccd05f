"""EndpointSlices beyond the first: hints, zones that come later, families, sizes; with the real API server."""

from typing import Any

from tests.component.controllers.world import World, simulated, world
from tests.exposition import read

from pybernetes.aio.clock import rfc3339
from pybernetes.api.types import core_v1, discovery_v1
from pybernetes.client.rest import STRATEGIC, key_of
from pybernetes.controllers._endpoints import TRIGGERED
from pybernetes.controllers._slices import filled
from pybernetes.controllers.endpointslice import endpoints
from pybernetes.controllers.runtime import Config

ONLY = ("endpointslice-controller", "serviceaccount-controller")
MODE = "service.kubernetes.io/topology-mode"


async def node(w: World, name: str, zone: str = "", ready: str = "True") -> None:
    await w.create(core_v1.Node, name, metadata={"labels": {"topology.kubernetes.io/zone": zone} if zone else {}})
    await report(w, name, ready)


async def report(w: World, name: str, ready: str) -> None:
    status = {"allocatable": {"cpu": "4"}, "conditions": [{"type": "Ready", "status": ready}]}
    await w.client.of(core_v1.Node).patch_raw(name, {"status": status}, STRATEGIC, subresource="status")


async def pod(w: World, number: int, node: str = "") -> None:
    """One that runs and is ready, with an address."""
    body: dict[str, Any] = {"containers": [{"name": "c", "image": "i"}]} | ({"nodeName": node} if node else {})
    made = await w.create(core_v1.Pod, f"p{number}", metadata={"labels": {"app": "web"}}, spec=body)
    address = f"10.1.{number // 250}.{number % 250 + 1}"
    status = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}],
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
