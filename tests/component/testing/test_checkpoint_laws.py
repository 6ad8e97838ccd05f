"""Laws of checkpoints: whatever was written before and since, the state is the one that was taken, and all who watch know it."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.component.testing.manifests import deployment
from tests.component.testing.test_checkpoint import DEFINITION, MAPS, SHOPS, decided, shop, values

from pybernetes.aio.simulation import run_simulated
from pybernetes.api.errors import ApiError
from pybernetes.client.informer import Informers
from pybernetes.client.rest import Target
from pybernetes.testing import Checkpoint, Cluster

NAMES = st.sampled_from("abc")
NUMBERS = st.integers(0, 3)
SERVICES = "/api/v1/namespaces/default/services"
MERGE = {"content-type": "application/merge-patch+json"}
WATCHED = (
    Target("", "v1", "configmaps", "ConfigMap", True),
    Target("", "v1", "services", "Service", True),
    Target("", "v1", "namespaces", "Namespace", False),
    Target("", "v1", "serviceaccounts", "ServiceAccount", True),
    Target("networking.k8s.io", "v1", "ipaddresses", "IPAddress", False),
    Target("example.com", "v1", "shops", "Shop", True),
)

Op = tuple[str, str, int]
OPS = st.tuples(
    st.sampled_from(
        ["map", "map", "unmap", "hold", "service", "unserve", "namespace", "shop", "define", "undefine", "take", "back"]
    ),
    NAMES,
    NUMBERS,
)


class World:
    """A cluster, and what was taken of it."""

    def __init__(self, cluster: Cluster) -> None:
        self.c = cluster
        self.taken: list[Checkpoint] = []

    async def do(self, op: Op) -> None:
        """One step; what is refused is no matter."""
        kind, name, number = op
        with suppress(ApiError):
            await getattr(self, f"_{kind}")(name, number)

    async def _map(self, name: str, number: int) -> None:
        change = {"data": {"x": str(number)}}
        try:
            await self.c.raw("PATCH", f"{MAPS}/{name}", change, headers=MERGE)
        except ApiError:
            await self.c.raw("POST", MAPS, {"metadata": {"name": name}, **change})

    async def _unmap(self, name: str, number: int) -> None:
        await self.c.raw("DELETE", f"{MAPS}/{name}")

    async def _hold(self, name: str, number: int) -> None:
        finalizers = ["example.com/hold"] if number % 2 else None
        await self.c.raw("PATCH", f"{MAPS}/{name}", {"metadata": {"finalizers": finalizers}}, headers=MERGE)

    async def _service(self, name: str, number: int) -> None:
        spec: dict[str, Any] = {"ports": [{"port": 80}]}
        if number % 2:
            spec |= {"type": "NodePort", "ports": [{"port": 80, "nodePort": 30000 + number}]}
        await self.c.raw("POST", SERVICES, {"metadata": {"name": name}, "spec": spec})

    async def _unserve(self, name: str, number: int) -> None:
        await self.c.raw("DELETE", f"{SERVICES}/{name}")

    async def _namespace(self, name: str, number: int) -> None:
        path = "/api/v1/namespaces"
        if number:
            await self.c.raw("POST", path, {"metadata": {"name": name}})
        else:
            await self.c.raw("DELETE", f"{path}/{name}")

    async def _shop(self, name: str, number: int) -> None:
        if number:
            await self.c.raw("POST", SHOPS, {**shop(name), "spec": {"x": number}})
        else:
            await self.c.raw("DELETE", f"{SHOPS}/{name}")

    async def _define(self, name: str, number: int) -> None:
        await self.c.apply(DEFINITION)

    async def _undefine(self, name: str, number: int) -> None:
        await self.c.raw("DELETE", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/shops.example.com")

    async def _take(self, name: str, number: int) -> None:
        await self.c.advance(0)  # a definition that is going goes on going in a state that is put back
        self.taken.append(await self.c.checkpoint())

    async def _back(self, name: str, number: int) -> None:
        if not self.taken:
            return
        state = self.taken[number % len(self.taken)]
        before = await self.c.running.store.revision()
        changes = await self.c.restore(state)
        assert await values(self.c) == {stored.key: stored.value for stored in state.items}
        assert await self.c.running.store.revision() >= before + changes


async def listed(c: Cluster, target: Target) -> dict[tuple[str, str], tuple[str, str]]:
    """What there is: key to uid and revision."""
    try:
        items = (await c.raw("GET", target.path(None)))["items"]
    except ApiError:
        return {}  # its definition is gone
    metas = [item["metadata"] for item in items]
    return {(m.get("namespace", ""), m["name"]): (m["uid"], m["resourceVersion"]) for m in metas}


async def agree(c: Cluster, informers: Informers) -> None:
    """Every informer has what a list shows. One whose resource is gone keeps what it had: there is nothing to ask."""
    for target in WATCHED:
        there = await listed(c, target)
        seen = {
            (obj.metadata.namespace or "", obj.metadata.name): (obj.metadata.uid, obj.metadata.resourceVersion)
            for obj in informers.metadata(target).cache
        }
        if there or target.group != "example.com":
            assert seen == there, target.plural


def with_cluster(work: Callable[[Cluster], Coroutine[Any, Any, None]], **options: Any) -> None:
    async def main() -> None:
        async with Cluster(**options) as c:
            await work(c)

    run_simulated(main(), 1)


@settings(max_examples=30)
@given(st.lists(OPS, min_size=8, max_size=40))
def test_a_state_that_is_put_back_is_the_one_that_was_taken_and_all_who_watch_see_it(ops: list[Op]):
    async def work(c: Cluster) -> None:
        world, informers = World(c), Informers(c.client())
        for target in WATCHED:
            informers.metadata(target)
        following = asyncio.create_task(informers.run())
        for op in (*ops, ("back", "a", 0)):
            await world.do(op)
        await c.advance(minutes=5)
        await agree(c, informers)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)

    with_cluster(work, nodes=0, controllers=("serviceaccount-controller",), scheduler=False)


@settings(max_examples=10)
@given(st.lists(st.tuples(NAMES, NUMBERS, st.integers(0, 40)), min_size=1, max_size=4), st.integers(0, 10))
def test_a_settled_state_stays_settled_whatever_was_under_way(
    deployments: list[tuple[str, int, int]], between: int
) -> None:
    async def work(c: Cluster) -> None:
        for name in "ab":
            await c.apply(deployment(name, 2))
            await c.wait(f"deployment/{name}", "condition=Available")
        await c.advance(60)
        state = await c.checkpoint()
        for name, replicas, turns in deployments:
            await c.apply(deployment(name, replicas))
            for _ in range(turns):
                await asyncio.sleep(0)
        await c.advance(between)
        await c.restore(state)
        assert await values(c) == {stored.key: stored.value for stored in state.items}
        with c.audit.recording() as calls:
            await c.advance(minutes=2)
        assert decided(calls) == []

    with_cluster(work, nodes=2)


@pytest.mark.parametrize("count", [2500, 12000])
def test_more_changes_than_watchers_are_sent_at_once_are_seen_as_well(count: int):
    async def work(c: Cluster) -> None:
        state, informers = await c.checkpoint(), Informers(c.client())
        maps = informers.metadata(WATCHED[0])
        following = asyncio.create_task(informers.run())
        for number in range(count):
            await c.raw("POST", MAPS, {"metadata": {"name": f"m{number}"}})
        full = await c.checkpoint()
        for goal in (state, full):
            assert await c.restore(goal) == count
            await c.advance(60)
            assert len(maps.cache) == len((await c.raw("GET", "/api/v1/configmaps"))["items"])
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)

    with_cluster(work, nodes=0, controllers=(), scheduler=False)
