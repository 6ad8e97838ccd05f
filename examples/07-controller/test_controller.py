"""The controller on virtual time: what takes minutes on a clock takes milliseconds, and a seed repeats the run.

`pip install pybernetes pytest`, then `pytest`.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from controller import NAME, Owners

from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1
from pybernetes.testing import Cluster, simulated

ME = "owners"


@asynccontextmanager
async def running(cluster: Cluster) -> AsyncIterator[None]:
    task = asyncio.create_task(Owners(cluster.client(agent=ME)).run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def namespace(name: str, **labels: str) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


async def owner(cluster: Cluster, name: str) -> str:
    found = await cluster.client().of(core_v1.ConfigMap).get(Key(name, NAME))
    return found.data["team"]


@simulated(seed=1)
async def test_it_follows_the_label() -> None:
    async with Cluster(nodes=0) as cluster, running(cluster):
        await cluster.apply([namespace("shop", team="red"), namespace("plain")])
        await cluster.advance(1)
        assert await owner(cluster, "shop") == "red"

        await cluster.apply(namespace("shop", team="blue"))
        await cluster.advance(1)
        assert await owner(cluster, "shop") == "blue"

        await cluster.apply(namespace("shop"))
        await cluster.wait(f"configmap/{NAME}", "delete", namespace="shop")


@simulated(seed=1)
async def test_it_mends_what_others_do_to_its_map() -> None:
    async with Cluster(nodes=0) as cluster, running(cluster):
        await cluster.apply(namespace("shop", team="red"))
        await cluster.advance(1)
        await cluster.raw("DELETE", f"/api/v1/namespaces/shop/configmaps/{NAME}")
        await cluster.advance(1)
        assert await owner(cluster, "shop") == "red"


@simulated(seed=1)
async def test_it_comes_back_after_errors_and_writes_no_more_than_it_must() -> None:
    async with Cluster(nodes=0) as cluster, running(cluster):
        refusals = cluster.faults.add(verb="create", resource="configmaps", agent=ME, error="InternalError", times=3)
        await cluster.apply(namespace("shop", team="red"))
        await cluster.advance(minutes=5)
        assert refusals.hits == 3
        assert await owner(cluster, "shop") == "red"
        cluster.audit.assert_count(4, verb="create", resource="configmaps", agent=ME)
        cluster.audit.assert_count(1, verb="create", resource="configmaps", agent=ME, code=201)
