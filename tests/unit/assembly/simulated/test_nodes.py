"""Simulated nodes: they register and live, their Pods run and end, and a refused write is made again."""

from tests.unit.assembly.simulated.worlds import World, simulated

from pybernetes.api.objects import Key
from pybernetes.api.types import coordination_v1, core_v1
from pybernetes.assembly.simulated.description import LABEL
from pybernetes.client.rest import STRATEGIC
from pybernetes.wire.http import Request


@simulated
async def test_nodes_register_ready_and_say_that_they_are_simulated(w: World) -> None:
    nodes = (await w.client.of(core_v1.Node).list()).items
    assert [node.metadata.name for node in nodes] == ["one", "two"]
    for node in nodes:
        assert node.metadata.labels[LABEL] == "true"
        assert node.status.nodeInfo is not None
        assert node.status.nodeInfo.containerRuntimeVersion == "simulated://1"
        assert node.status.declaredFeatures == ("RestartAllContainersOnContainerExits",)
        assert {c.type for c in node.status.conditions if c.status == "True"} == {"Ready"}
    addresses = {a.address for node in nodes for a in node.status.addresses if a.type == "InternalIP"}
    assert addresses == {"198.18.0.1", "198.18.0.2"}


@simulated
async def test_leases_are_renewed_every_ten_seconds(w: World) -> None:
    leases = w.client.of(coordination_v1.Lease)
    first = (await leases.get(Key("kube-node-lease", "one"))).spec
    await w.clock.sleep(30)
    last = (await leases.get(Key("kube-node-lease", "one"))).spec
    assert first is not None
    assert last is not None
    assert first.renewTime == "2026-01-01T00:00:00.000000Z"
    assert last.renewTime == "2026-01-01T00:00:30.000000Z"


@simulated
async def test_a_node_that_was_deleted_comes_back_with_the_next_heartbeat(w: World) -> None:
    await w.client.of(core_v1.Node).delete("two")
    await w.clock.sleep(310)
    assert (await w.client.of(core_v1.Node).get("two")).status.conditions


@simulated
async def test_pods_run_with_an_address_each_and_only_on_their_node(w: World) -> None:
    for name in ("a", "b"):
        await w.pod(name)
    await w.pod("elsewhere", nodeName="unknown")
    await w.clock.sleep(1)
    a, b = await w.get("a"), await w.get("b")
    assert (a.status.phase, a.status.hostIP) == ("Running", "198.18.0.1")
    assert a.status.podIP
    assert a.status.podIP != b.status.podIP
    assert (await w.get("elsewhere")).status.phase == "Pending"


@simulated
async def test_a_deleted_pod_is_gone_and_a_finished_one_stays_finished(w: World) -> None:
    await w.pod("gone")
    await w.pod("finished")
    await w.clock.sleep(1)
    pods = w.client.of(core_v1.Pod)
    await pods.patch_raw(Key("default", "finished"), {"status": {"phase": "Succeeded"}}, subresource="status")
    await pods.delete(Key("default", "gone"))
    await w.clock.sleep(1)
    assert [(p.metadata.name, p.status.phase) for p in (await pods.list()).items] == [("finished", "Succeeded")]


@simulated
async def test_a_refused_status_is_written_again(w: World) -> None:
    failures = 2

    def refuse(request: Request) -> bool:
        nonlocal failures
        if request.method == "PATCH" and "/pods/" in request.target and failures:
            failures -= 1
            return True
        return False

    w.refuse = refuse
    await w.pod("late")
    await w.clock.sleep(0.5)
    assert (await w.get("late")).status.phase == "Pending"
    await w.clock.sleep(3)
    assert (await w.get("late")).status.phase == "Running"


@simulated
async def test_a_running_pod_that_was_written_off_is_ready_again_after_a_heartbeat(w: World) -> None:
    await w.pod("p")
    await w.clock.sleep(1)
    off = {"status": {"conditions": [{"type": "Ready", "status": "False"}]}}
    pods = w.client.of(core_v1.Pod)
    await pods.patch_raw(Key("default", "p"), off, STRATEGIC, subresource="status")
    address = (await w.get("p")).status.podIP
    await w.clock.sleep(11)
    pod = await w.get("p")
    assert {c.type: c.status for c in pod.status.conditions}["Ready"] == "True"
    assert pod.status.podIP == address


@simulated
async def test_a_server_that_is_away_is_waited_for(w: World) -> None:
    w.refuse = lambda request: request.method in ("PUT", "POST", "PATCH")
    await w.clock.sleep(60)
    w.refuse = lambda request: False
    await w.clock.sleep(12)
    lease = await w.client.of(coordination_v1.Lease).get(Key("kube-node-lease", "one"))
    assert lease.spec is not None
    assert lease.spec.renewTime > "2026-01-01T00:01:00"
