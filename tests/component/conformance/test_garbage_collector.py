"""The garbage collector: upstream's test/e2e/apimachinery/garbage_collector.go."""

from typing import Any

import pytest
from tests.component.conformance.e2e import APPS, CORE, PODS, Workloads, controller_of, template, workloads
from tests.component.controllers.world import simulated

RCS = f"{CORE}/replicationcontrollers"
DEPLOYMENTS = f"{APPS}/deployments"
SETS = f"{APPS}/replicasets"
COLLECTOR = "[sig-api-machinery] Garbage collector "


async def owner_rc(k: Workloads, name: str, replicas: int) -> Any:
    labels = {"gctest": name}
    spec = {"replicas": replicas, "selector": labels, "template": template(labels, "nginx", "nginx")}
    return await k.made(
        RCS, {"kind": "ReplicationController", "apiVersion": "v1", "metadata": {"name": name}, "spec": spec}
    )


async def owner_deployment(k: Workloads) -> Any:
    """With the ReplicaSet that it makes."""
    labels = {"gctest": "simpletest.deployment"}
    spec = {"replicas": 2, "selector": {"matchLabels": labels}, "strategy": {"type": "RollingUpdate"}}
    pods = template(labels, "nginx", "nginx")
    made = await k.made(
        DEPLOYMENTS, {"metadata": {"name": "simpletest.deployment"}, "spec": {**spec, "template": pods}}
    )
    await k.poll(lambda: k.items(SETS), seconds=60, every=0.5)
    return made


async def all_made(k: Workloads, name: str) -> None:
    async def right() -> bool:
        rc = await k.ok("GET", f"{RCS}/{name}")
        return bool(rc["status"]["replicas"] == rc["spec"]["replicas"])

    await k.poll(right, seconds=30, every=5)


async def delete(k: Workloads, path: str, obj: Any, policy: str) -> None:
    options = {"propagationPolicy": policy, "preconditions": {"uid": obj["metadata"]["uid"]}}
    code, answer = await k("DELETE", f"{path}/{obj['metadata']['name']}", options)
    assert code == (202 if policy == "Foreground" else 200), answer


async def left(k: Workloads, *paths: str) -> list[int]:
    """How many there are of each kind."""
    return [len(await k.items(path)) for path in paths]


@pytest.mark.conformance(COLLECTOR + "should delete pods created by rc when not orphaning [Conformance]")
@simulated
async def test_the_pods_of_a_controller_go_with_it_also_before_all_are_made():
    async with workloads() as k:
        rc = await owner_rc(k, "simpletest.rc", 10)
        await k.poll(lambda: k.items(PODS), seconds=30, every=5)
        await delete(k, RCS, rc, "Background")

        async def gone() -> bool:
            return await left(k, RCS, PODS) == [0, 0]

        await k.poll(gone, seconds=60, every=5)


@pytest.mark.conformance(COLLECTOR + "should orphan pods created by rc if delete options say so [Conformance] [Serial]")
@simulated
async def test_the_pods_of_a_controller_stay_when_they_are_orphaned():
    async with workloads() as k:
        rc = await owner_rc(k, "simpletest.rc", 100)
        await all_made(k, "simpletest.rc")
        await delete(k, RCS, rc, "Orphan")

        async def gone() -> bool:
            return await left(k, RCS) == [0]

        await k.poll(gone, seconds=120, every=5)
        await k.sleep(30)
        assert await left(k, PODS) == [100]
        assert {controller_of(pod) for pod in await k.items(PODS)} == {None}


@pytest.mark.conformance(COLLECTOR + "should delete RS created by deployment when not orphaning [Conformance]")
@simulated
async def test_a_deployment_takes_its_sets_and_their_pods_along():
    async with workloads() as k:
        await delete(k, DEPLOYMENTS, await owner_deployment(k), "Background")

        async def gone() -> bool:
            return await left(k, DEPLOYMENTS, SETS, PODS) == [0, 0, 0]

        await k.poll(gone, seconds=60, every=0.5)


@pytest.mark.conformance(
    COLLECTOR + "should orphan RS created by deployment when deleteOptions.PropagationPolicy is Orphan [Conformance]"
)
@simulated
async def test_the_sets_of_a_deployment_stay_when_they_are_orphaned():
    async with workloads() as k:
        await delete(k, DEPLOYMENTS, await owner_deployment(k), "Orphan")
        await k.sleep(30)
        assert await left(k, DEPLOYMENTS, SETS, PODS) == [0, 1, 2]
        assert [controller_of(rs) for rs in await k.items(SETS)] == [None]


@pytest.mark.conformance(
    COLLECTOR
    + "should keep the rc around until all its pods are deleted if the deleteOptions says so [Conformance] [Serial]"
)
@simulated
async def test_a_controller_that_is_deleted_in_the_foreground_goes_last():
    async with workloads() as k:
        rc = await owner_rc(k, "simpletest.rc", 100)
        await all_made(k, "simpletest.rc")
        await delete(k, RCS, rc, "Foreground")

        async def gone() -> bool:
            return not await k.there(f"{RCS}/simpletest.rc")

        await k.poll(gone, seconds=60, every=0.05)
        assert await left(k, PODS) == [0]


@pytest.mark.conformance(
    COLLECTOR
    + "should not delete dependents that have both valid owner and owner that's waiting for dependents to be deleted"
    " [Conformance] [Serial]"
)
@simulated
async def test_a_pod_with_an_owner_left_stays_without_the_one_that_waits_for_its_pods():
    async with workloads() as k:
        first = await owner_rc(k, "simpletest-rc-to-be-deleted", 100)
        second = await owner_rc(k, "simpletest-rc-to-stay", 0)
        await all_made(k, "simpletest-rc-to-be-deleted")
        ref = {"apiVersion": "v1", "kind": "ReplicationController", "name": "simpletest-rc-to-stay"}
        patch = {"metadata": {"ownerReferences": [{**ref, "uid": second["metadata"]["uid"]}]}}
        for pod in (await k.items(PODS))[:50]:
            await k.ok("PATCH", f"{PODS}/{pod['metadata']['name']}", patch)
        await delete(k, RCS, first, "Foreground")

        async def gone() -> bool:
            return not await k.there(f"{RCS}/simpletest-rc-to-be-deleted")

        await k.poll(gone, seconds=90, every=5)
        pods = await k.items(PODS)
        assert len(pods) == 50
        for pod in pods:
            assert "deletionTimestamp" not in pod["metadata"]
            assert [ref["uid"] for ref in pod["metadata"]["ownerReferences"]] == [second["metadata"]["uid"]]


@pytest.mark.conformance(COLLECTOR + "should not be blocked by dependency circle [Conformance]")
@simulated
async def test_a_circle_of_owners_goes_with_any_of_them():
    async with workloads() as k:
        spec = template({}, "nginx", "nginx")["spec"]
        pods = [await k.made(PODS, {"metadata": {"name": f"pod{n}"}, "spec": spec}) for n in (1, 2, 3)]
        for pod, owner in ((1, 3), (2, 1), (3, 2)):
            uid = pods[owner - 1]["metadata"]["uid"]
            ref = {"apiVersion": "v1", "kind": "Pod", "name": f"pod{owner}", "uid": uid}
            refs = [{**ref, "controller": True, "blockOwnerDeletion": True}]
            await k.ok("PATCH", f"{PODS}/pod{pod}", {"metadata": {"ownerReferences": refs}})
        await delete(k, PODS, pods[0], "Foreground")

        async def gone() -> bool:
            return await left(k, PODS) == [0]

        await k.poll(gone, seconds=90, every=5)
