"""Simulated nodes fall silent without power, boot again, and are told apart from real ones."""

from tests.unit.assembly.simulated.worlds import World, main, simulated, state, world

from pybernetes.aio.simulation import run_simulated
from pybernetes.api.objects import Key, User
from pybernetes.api.types import coordination_v1, core_v1
from pybernetes.client.rest import Client
from pybernetes.client.transport import direct


async def renewed(w: World, node: str = "one") -> str:
    lease = await w.client.of(coordination_v1.Lease).get(Key("kube-node-lease", node))
    return lease.spec.renewTime


@simulated
async def test_a_node_without_power_says_nothing_and_what_ran_there_stays_as_it_was(w: World) -> None:
    await w.pod(rules={"run-seconds": "5"})
    await w.clock.sleep(1)
    await w.nodes.agents["one"].fail()
    before, written = await renewed(w), len(w.writes)
    await w.delete()
    await w.pod("new")
    await w.clock.sleep(60)
    assert await renewed(w) == before
    assert not [write for write in w.writes[written:] if "/two" not in write]
    assert ((await w.get()).status.phase, (await w.get("new")).status.phase) == ("Running", "Pending")
    assert await renewed(w, "two") > before


@simulated
async def test_a_node_that_boots_again_starts_its_pods_anew(w: World) -> None:
    await w.pod()
    await w.pod("once", restartPolicy="Never")
    await w.pod("deleted")
    await w.clock.sleep(1)
    agent, address = w.nodes.agents["one"], (await w.get()).status.podIP
    await agent.fail()
    await w.delete("deleted")
    await w.pod("new")
    await w.clock.sleep(100)
    await agent.recover()
    await w.clock.sleep(1)
    told = main(await w.get())
    assert (state(told), told.restartCount, told.lastState.terminated.exitCode, told.lastState.terminated.reason) == (
        "running", 1, 255, "Unknown",
    )  # fmt: skip
    assert (await w.get()).status.podIP not in ("", address)
    assert (await w.get("once")).status.phase == "Failed"
    assert (await w.get("new")).status.phase == "Running"
    assert await w.names() == ["new", "once", "p"]
    assert "SandboxChanged: Pod sandbox changed, it will be killed and re-created." in await w.events()
    assert "Rebooted: Node one has been rebooted, boot id: one-2" in await w.events("one")
    assert (await w.client.of(core_v1.Node).get("one")).status.nodeInfo.bootID == "one-2"


@simulated
async def test_pods_that_were_taken_away_meanwhile_are_forgotten(w: World) -> None:
    await w.pod()
    await w.clock.sleep(1)
    agent = w.nodes.agents["one"]
    await agent.fail()
    await agent.fail()
    await w.delete(grace=0)
    await w.clock.sleep(1)
    assert agent.table.pods == {}
    await agent.recover()
    await agent.recover()
    await w.clock.sleep(20)
    assert await renewed(w) > "2026-01-01T00:00:12"


@simulated
async def test_what_others_made_of_a_nodes_status_is_put_right(w: World) -> None:
    nodes = w.client.of(core_v1.Node)
    lost = {"status": {"conditions": [{"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown"}]}}
    await nodes.patch_raw("one", lost, "application/strategic-merge-patch+json", subresource="status")
    await w.clock.sleep(11)
    ready = next(c for c in (await nodes.get("one")).status.conditions if c.type == "Ready")
    assert (ready.status, ready.reason, ready.message) == (
        "True", "KubeletReady", "kubelet is posting ready status",
    )  # fmt: skip
    assert "NodeReady: Node one status is now: NodeReady" in await w.events("one")


@simulated
async def test_a_cordon_is_told(w: World) -> None:
    await w.client.of(core_v1.Node).patch_raw("one", {"spec": {"unschedulable": True}})
    await w.clock.sleep(11)
    assert "NodeNotSchedulable: Node one status is now: NodeNotSchedulable" in await w.events("one")


@simulated
async def test_heartbeats_are_spread_and_a_node_at_rest_writes_its_lease_alone(w: World) -> None:
    await w.pod()
    await w.clock.sleep(20)
    w.writes.clear()
    await w.clock.sleep(60)
    assert {write.rpartition("/")[0] for write in w.writes} == {
        "PUT /apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
    }
    assert len(w.writes) == 12
    assert await renewed(w, "one") != await renewed(w, "two")


def test_nodes_write_as_themselves_where_they_are_told_to() -> None:
    async def story() -> None:
        async with world(nodes=()) as w:
            users = []

            def client_of(name: str) -> Client:
                user = User(f"system:node:{name}", groups=("system:nodes", "system:authenticated"))
                send = direct(w.server.handler, user)

                async def noted(request):
                    users.append(user.name)
                    return await send(request)

                return Client(noted, clock=w.clock)

            w.start(["one", "two"], client_of=client_of)
            await w.clock.sleep(1)
            await w.pod()
            await w.clock.sleep(1)
            await w.delete()
            await w.clock.sleep(1)
            assert await w.names() == []
            assert set(users) == {"system:node:one", "system:node:two"}
            assert w.writes == ["POST /api/v1/nodes"] * 2  # as whoever sets up machines

    run_simulated(story())
