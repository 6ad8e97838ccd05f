"""The garbage collector, case by case of upstream's integration tests (test/integration/garbagecollector)."""

from typing import Any

import pytest
from tests.component.controllers.world import World, simulated, world

from pybernetes.api.types import core_v1, rbac_v1

CM, ROLE = core_v1.ConfigMap, rbac_v1.ClusterRole
MINE = "example.com/mine"


def ref(owner: Any, *, blocks: bool = False, **changed: str) -> dict[str, Any]:
    meta, kind = owner.metadata, type(owner).__name__
    version = "v1" if isinstance(owner, CM) else "rbac.authorization.k8s.io/v1"
    found = {"apiVersion": version, "kind": kind, "name": meta.name, "uid": meta.uid, "blockOwnerDeletion": blocks}
    return {**found, **changed}


async def made(
    w: World, name: str, *refs: dict[str, Any], namespace: str = "default", finalizers: tuple[str, ...] = ()
) -> CM:
    meta = {"ownerReferences": list(refs), "finalizers": list(finalizers)}
    return await w.create(CM, name, namespace, metadata=meta)


async def there(w: World, namespace: str = "default") -> list[str]:
    await w.clock.sleep(5)
    return [one.metadata.name for one in await w.all(CM, namespace) if one.metadata.name != "kube-root-ca.crt"]


async def let_go(w: World, name: str) -> None:
    await w.patch(CM, name, {"metadata": {"finalizers": None}})


@simulated
async def test_what_names_an_owner_that_never_was_goes():
    async with world(nodes=0) as w:
        owner = await made(w, "owner")
        await made(w, "child", ref(owner, name="nobody", uid="00000000-0000-0000-0000-000000000000"))
        assert await there(w) == ["owner"]


@simulated
async def test_an_owner_that_waits_is_struck_out_where_another_one_stays():
    async with world(nodes=0) as w:
        waiting, solid = await made(w, "waiting"), await made(w, "solid")
        await made(w, "child", ref(waiting, blocks=True), ref(solid, blocks=True))
        await w.delete(CM, "waiting", propagation="Foreground")
        assert await there(w) == ["child", "solid"]
        (left,) = (await w.get(CM, "child")).metadata.ownerReferences
        assert left.name == "solid"


@pytest.mark.parametrize("blocks", [False, True])
def test_only_a_dependent_that_blocks_holds_a_foreground_deletion(blocks: bool):
    @simulated
    async def run() -> None:
        async with world(nodes=0) as w:
            owner = await made(w, "owner")
            await made(w, "free", ref(owner))
            await made(w, "held", ref(owner, blocks=blocks), finalizers=(MINE,))
            await w.delete(CM, "owner", propagation="Foreground")
            assert await there(w) == (["held", "owner"] if blocks else ["held"])
            assert (await w.get(CM, "held")).metadata.deletionTimestamp
            await let_go(w, "held")
            assert await there(w) == []

    run()


@simulated
async def test_a_second_deletion_of_what_somebody_holds_changes_nothing():
    async with world(nodes=0) as w:
        await made(w, "held", finalizers=(MINE,))
        for policy in ("Foreground", "Background", "Foreground"):
            await w.delete(CM, "held", propagation=policy)
            assert await there(w) == ["held"]
        assert (await w.get(CM, "held")).metadata.finalizers == (MINE,)
        await let_go(w, "held")
        assert await there(w) == []


@simulated
async def test_an_owner_in_another_namespace_is_none():
    async with world(nodes=0) as w:
        await w.create(core_v1.Namespace, "far")
        owner = await made(w, "owner")
        for number in range(3):
            await made(w, f"near-{number}", ref(owner))
            await made(w, f"far-{number}", ref(owner), namespace="far")
        await w.clock.sleep(30)
        assert await there(w) == ["near-0", "near-1", "near-2", "owner"]
        assert await there(w, "far") == []
        named = f"[v1/ConfigMap, namespace: far, name: owner, uid: {owner.metadata.uid}]"
        told = f'OwnerRefInvalidNamespace: ownerRef {named} does not exist in namespace "far"'
        assert told in await w.events("far-0", "far")


@simulated
async def test_a_cluster_wide_object_with_a_namespaced_owner_stays():
    async with world(nodes=0) as w:
        owner = await made(w, "owner")
        await w.create(ROLE, "child", "", metadata={"namespace": "", "ownerReferences": [ref(owner)]})
        await w.clock.sleep(5)
        named = f"[v1/ConfigMap, namespace: , name: owner, uid: {owner.metadata.uid}]"
        assert f'OwnerRefInvalidNamespace: ownerRef {named} does not exist in namespace ""' in await w.events("child")
        await w.delete(CM, "owner")
        await w.clock.sleep(30)
        assert await w.there(ROLE, "child", "")


@pytest.mark.parametrize("policy", ["Background", "Foreground"])
def test_what_a_cluster_wide_object_owns_goes_with_it(policy: str):
    @simulated
    async def run() -> None:
        async with world(nodes=0) as w:
            owner = await w.create(ROLE, "owner", "", metadata={"namespace": ""})
            child = await made(w, "child", ref(owner, blocks=True))
            await made(w, "grandchild", ref(child, blocks=True))
            await w.delete(ROLE, "owner", "", propagation=policy)
            assert await there(w) == []
            assert not await w.there(ROLE, "owner", "")

    run()


@simulated
async def test_two_that_own_each_other_do_not_hold_each_other():
    async with world(nodes=0) as w:
        first = await made(w, "first")
        second = await made(w, "second", ref(first, blocks=True))
        await w.patch(CM, "first", {"metadata": {"ownerReferences": [ref(second, blocks=True)]}})
        await w.delete(CM, "first", propagation="Foreground")
        assert await there(w) == []


@simulated
async def test_a_dependent_that_is_to_let_its_own_go_does():
    async with world(nodes=0) as w:
        owner = await made(w, "owner")
        middle = await made(w, "middle", ref(owner), finalizers=("orphan",))
        await made(w, "last", ref(middle))
        await w.delete(CM, "owner")
        assert await there(w) == ["last"]
        assert (await w.get(CM, "last")).metadata.ownerReferences == ()
