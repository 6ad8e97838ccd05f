"""ResourceClaims that Pods ask for by template, reservations that end, with the real API server."""

from typing import Any

from tests.component.controllers.world import World, controllers, simulated, template, world
from tests.exposition import read

from pybernetes.api.errors import ApiError, Forbidden, InternalError
from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1
from pybernetes.api.types.resource_v1 import ResourceClaim, ResourceClaimTemplate
from pybernetes.wire.http import Request

ASKED = {"devices": {"requests": [{"name": "gpu", "exactly": {"deviceClassName": "gpu"}}]}}
ALLOCATED = {
    "devices": {
        "results": [{"request": "gpu", "driver": "d.example.com", "pool": "p", "device": "gpu-0"}],
    }
}
FINALIZER = "resource.kubernetes.io/delete-protection"


async def claim_template(w: World, name: str = "gpus") -> None:
    spec = {"metadata": {"labels": {"made": "yes"}, "annotations": {"why": "test"}}, "spec": ASKED}
    await w.create(ResourceClaimTemplate, name, spec=spec)


async def pod(w: World, name: str = "p", node: str = "", **asked: Any) -> core_v1.Pod:
    spec = template()["spec"] | {"resourceClaims": [{"name": "gpu", **asked}], "restartPolicy": "Never"}
    spec |= {"nodeName": node} if node else {"schedulingGates": [{"name": "test/wait"}]}
    return await w.create(core_v1.Pod, name, spec=spec)


async def claims(w: World) -> list[ResourceClaim]:
    return list(await w.all(ResourceClaim))


async def allocate(w: World, name: str, *users: core_v1.Pod) -> None:
    meta = {"finalizers": [FINALIZER]}
    await w.patch(ResourceClaim, name, {"metadata": meta})
    reserved = [{"resource": "pods", "name": p.metadata.name, "uid": p.metadata.uid} for p in users]
    status = {"allocation": ALLOCATED, "reservedFor": reserved}
    await w.client.of(ResourceClaim).patch_raw(Key("default", name), {"status": status}, subresource="status")


async def finish(w: World, name: str) -> None:
    await w.client.of(core_v1.Pod).patch_raw(
        Key("default", name), {"status": {"phase": "Succeeded"}}, subresource="status"
    )


@simulated
async def test_a_claim_is_made_of_its_template_and_named_in_the_pod():
    async with world(nodes=0) as w:
        await claim_template(w)
        made = await pod(w, resourceClaimTemplateName="gpus")
        await w.clock.sleep(2)
        (claim,) = await claims(w)
        assert claim.metadata.name.startswith("p-gpu-")
        assert len(claim.metadata.name) == len("p-gpu-") + 5
        assert claim.metadata.annotations == {"why": "test", "resource.kubernetes.io/pod-claim-name": "gpu"}
        assert claim.metadata.labels == {"made": "yes"}
        (owner,) = claim.metadata.ownerReferences
        assert (owner.kind, owner.uid, owner.controller, owner.blockOwnerDeletion) == (
            "Pod",
            made.metadata.uid,
            True,
            True,
        )
        told = await w.get(core_v1.Pod, "p")
        (status,) = told.status.resourceClaimStatuses
        assert (status.name, status.resourceClaimName) == ("gpu", claim.metadata.name)
        (writer,) = (one for one in told.metadata.managedFields if one.subresource == "status")
        assert (writer.manager, writer.operation) == ("ResourceClaimController", "Apply")
        await w.delete(core_v1.Pod, "p", grace=0)
        await w.clock.sleep(5)
        assert await claims(w) == []


@simulated
async def test_long_names_are_both_cut():
    async with world(nodes=0) as w:
        await claim_template(w)
        spec = template()["spec"] | {"schedulingGates": [{"name": "test/wait"}]}
        spec |= {"resourceClaims": [{"name": "c" * 40, "resourceClaimTemplateName": "gpus"}]}
        await w.create(core_v1.Pod, "p" * 80, spec=spec)
        await w.clock.sleep(2)
        (claim,) = await claims(w)
        assert claim.metadata.name[:-5] == "p" * (80 * 57 // 122) + "-" + "c" * (40 * 57 // 122)


@simulated
async def test_a_template_that_comes_late_is_waited_for():
    async with world(nodes=0) as w:
        await pod(w, resourceClaimTemplateName="gpus")
        await w.clock.sleep(20)
        told = [e for e in await w.events("p") if e.startswith("FailedResourceClaimCreation")]
        why = 'resource claim template "gpus": resourceclaimtemplate.resource.k8s.io "gpus" not found'
        assert told == [f"FailedResourceClaimCreation: PodResourceClaim gpu: {why}"]
        await claim_template(w)
        await w.clock.sleep(1)
        assert len(await claims(w)) == 1


@simulated
async def test_a_claim_whose_pod_could_not_be_told_is_found_again():
    async with world(nodes=0, only=("*", "-resourceclaim")) as w:
        await claim_template(w)

        def refuse(request: Request) -> ApiError | None:
            return InternalError("not now") if request.method == "PATCH" and "/pods/p/status" in request.path else None

        first = controllers(w, "resourceclaim", _refusing(w, refuse))
        await pod(w, resourceClaimTemplateName="gpus")
        await w.clock.sleep(20)
        assert len(await claims(w)) == 1
        assert (await w.get(core_v1.Pod, "p")).status.resourceClaimStatuses == ()
        first.cancel()
        second = controllers(w, "resourceclaim")
        await w.clock.sleep(5)
        (claim,) = await claims(w)
        (status,) = (await w.get(core_v1.Pod, "p")).status.resourceClaimStatuses
        assert status.resourceClaimName == claim.metadata.name
        second.cancel()


def _refusing(w: World, refuse: Any) -> Any:
    w.wire.refuse = refuse
    return w.wire


@simulated
async def test_a_claim_that_somebody_deletes_is_made_anew():
    async with world(nodes=0) as w:
        await claim_template(w)
        await pod(w, resourceClaimTemplateName="gpus")
        await w.clock.sleep(2)
        (old,) = await claims(w)
        await w.delete(ResourceClaim, old.metadata.name)
        await w.clock.sleep(5)
        (new,) = await claims(w)
        assert new.metadata.uid != old.metadata.uid
        (status,) = (await w.get(core_v1.Pod, "p")).status.resourceClaimStatuses
        assert status.resourceClaimName == new.metadata.name


@simulated
async def test_the_last_pod_that_ends_frees_a_shared_claim_and_its_devices():
    async with world(nodes=0) as w:
        await w.create(ResourceClaim, "shared", spec=ASKED)
        first = await pod(w, "first", resourceClaimName="shared")
        second = await pod(w, "second", resourceClaimName="shared")
        await allocate(w, "shared", first, second)
        await w.clock.sleep(2)
        await finish(w, "first")
        await w.clock.sleep(2)
        (claim,) = await claims(w)
        assert [user.name for user in claim.status.reservedFor] == ["second"]
        assert claim.status.allocation is not None
        await w.delete(core_v1.Pod, "second", grace=0)
        await w.clock.sleep(2)
        (claim,) = await claims(w)
        assert (claim.status.reservedFor, claim.status.allocation, claim.metadata.finalizers) == ((), None, ())


@simulated
async def test_a_pod_that_ends_loses_the_claim_that_was_made_for_it():
    async with world(nodes=0) as w:
        await claim_template(w)
        made = await pod(w, resourceClaimTemplateName="gpus")
        await w.clock.sleep(2)
        await allocate(w, (await claims(w))[0].metadata.name, made)
        await w.clock.sleep(2)
        assert len(await claims(w)) == 1
        await finish(w, "p")
        await w.clock.sleep(2)
        assert await claims(w) == []


@simulated
async def test_a_claim_is_reserved_for_a_pod_that_no_scheduler_bound():
    async with world(nodes=0) as w:
        await w.create(core_v1.Node, "node-1", "")
        await w.create(ResourceClaim, "mine", spec=ASKED)
        await allocate(w, "mine")
        made = await pod(w, node="node-1", resourceClaimName="mine")
        await w.clock.sleep(2)
        (claim,) = await claims(w)
        assert [user.uid for user in claim.status.reservedFor] == [made.metadata.uid]


@simulated
async def test_a_deleted_claim_that_nobody_uses_goes():
    async with world(nodes=0) as w:
        await w.create(ResourceClaim, "unused", spec=ASKED)
        await allocate(w, "unused")
        await w.delete(ResourceClaim, "unused")
        await w.clock.sleep(2)
        assert await claims(w) == []


@simulated
async def test_a_claim_of_old_that_has_no_note_is_found_by_its_name():
    async with world(nodes=0, only=("*", "-resourceclaim")) as w:
        await claim_template(w)
        made = await pod(w, resourceClaimTemplateName="gpus")
        owner = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": made.metadata.uid, "controller": True}
        await w.create(ResourceClaim, "p-gpu", spec=ASKED, metadata={"ownerReferences": [owner]})
        running = controllers(w, "resourceclaim")
        await w.clock.sleep(5)
        assert [claim.metadata.name for claim in await claims(w)] == ["p-gpu"]
        (status,) = (await w.get(core_v1.Pod, "p")).status.resourceClaimStatuses
        assert status.resourceClaimName == "p-gpu"
        running.cancel()


@simulated
async def test_claims_that_are_made_and_that_cannot_be_are_counted_and_told():
    async with world(nodes=0) as w:
        await claim_template(w)

        def refuse(request: Request) -> ApiError | None:
            return (
                Forbidden("exceeded quota") if request.method == "POST" and "/resourceclaims" in request.path else None
            )

        w.wire.refuse = refuse
        await pod(w, resourceClaimTemplateName="gpus")
        await w.clock.sleep(0.1)
        w.wire.refuse = lambda request: None
        await w.clock.sleep(20)
        assert len(await claims(w)) == 1
        told = "FailedResourceClaimCreation: PodResourceClaim gpu: create ResourceClaim : exceeded quota"
        assert told in await w.events("p")
        name = "dynamic_resource_allocation_resourceclaim_creates_total"
        counted = read(w.manager.metrics())[name].series
        assert counted[name, (("status", "success"), ("admin_access", "false"))] == 1
        assert counted[name, (("status", "failure"), ("admin_access", "false"))] >= 1
        counters = w.manager.loops["resourceclaim-controller"].counters
        counters.errors = counters.races  # failures were the point


@simulated
async def test_a_claim_with_as_many_users_as_there_may_be_gets_no_more():
    async with world(nodes=0) as w:
        await w.create(core_v1.Node, "node-1", "")
        await w.create(ResourceClaim, "mine", spec=ASKED)
        users = [{"resource": "pods", "apiGroup": "example.com", "name": f"u{n}", "uid": f"u{n}"} for n in range(256)]
        status = {"allocation": ALLOCATED, "reservedFor": users}
        await w.client.of(ResourceClaim).patch_raw(Key("default", "mine"), {"status": status}, subresource="status")
        await pod(w, node="node-1", resourceClaimName="mine")
        await w.clock.sleep(20)
        assert len((await claims(w))[0].status.reservedFor) == 256


@simulated
async def test_claims_are_counted_by_what_they_are():
    async with world(nodes=0) as w:
        await claim_template(w)
        await w.create(ResourceClaim, "mine", spec=ASKED)
        await allocate(w, "mine")
        extended = {"annotations": {"resource.kubernetes.io/extended-resource-claim": "true"}}
        await w.create(ResourceClaim, "extended", spec=ASKED, metadata=extended)
        await pod(w, resourceClaimTemplateName="gpus")
        await w.clock.sleep(5)
        name = "dynamic_resource_allocation_resource_claims"
        counted = read(w.manager.metrics())[name].series
        assert {tuple(dict(labels).values()): value for (_, labels), value in counted.items()} == {
            ("true", "false", ""): 1,
            ("false", "false", "extended_resource"): 1,
            ("false", "false", "resource_claim_template"): 1,
        }
