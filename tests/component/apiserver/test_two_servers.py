"""Two API servers on one etcd: each sees what the other writes, in order, and neither gives away what the other has."""

import asyncio
import ipaddress
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from tests.component.api import Api
from tests.etcd_servers import Servers, etcd, needs_etcd

from pybernetes.apiserver import kubernetes_service, service_claims
from pybernetes.apiserver.config import Config, Times
from pybernetes.store import factory
from pybernetes.store.protocol import Revision, Store
from pybernetes.testing import Cluster
from pybernetes.testing.options import OptionsByName
from pybernetes.wire.pki.keys import new_rsa_key

pytestmark = needs_etcd
MAPS = "/api/v1/namespaces/default/configmaps"
SERVICES = "/api/v1/namespaces/default/services"
_KEY = new_rsa_key()


@pytest.fixture
def servers() -> Iterator[Servers]:
    with etcd() as running:
        yield running


@asynccontextmanager
async def two(servers: Servers, prefix: str = "/registry", **config: Any) -> AsyncIterator[tuple[Api, Api]]:
    """Both are started at the same moment, on a part of etcd that is empty: clusters of an API server alone."""
    async with AsyncExitStack() as opened:
        made = []
        for number in (1, 2):
            store = await factory("etcd").open(servers.location(prefix=prefix))
            opened.push_async_callback(store.close)
            api = Config(**{"signing_key": _KEY, "advertise_address": f"192.0.2.{number}", **config})
            parts: OptionsByName = {"nodes": 0, "controllers": (), "scheduler": False, "serve": False}
            made.append(Cluster(**parts, store=store, api=api, seed=number))
        one, other = await asyncio.gather(*map(opened.enter_async_context, made))
        yield Api(one.running.plane.api), Api(other.running.plane.api)


async def test_each_sees_the_writes_of_the_other_in_order(servers: Servers) -> None:
    async with two(servers) as (one, other):
        begin = (await one.ok("GET", MAPS))["metadata"]["resourceVersion"]
        watches = [await api.watch(f"{MAPS}?watch=1&resourceVersion={begin}") for api in (one, other)]

        async def write(api: Api, near: Api, who: str) -> None:
            for number in range(40):
                made = await api.made(MAPS, {"metadata": {"name": f"{who}-{number}"}})
                # Who was answered by one server finds it at the other, at once, by every road.
                assert await near.ok("GET", f"{MAPS}/{who}-{number}") == made
                listed = await near.ok("GET", MAPS)
                assert f"{who}-{number}" in {item["metadata"]["name"] for item in listed["items"]}
                await near.ok("DELETE", f"{MAPS}/{who}-{number}")

        await asyncio.gather(write(one, other, "a"), write(other, one, "b"))
        async with asyncio.timeout(10):
            seen = [[await watch.next() for _ in range(160)] for watch in watches]
        assert seen[0] == seen[1]
        revisions = [int(obj["metadata"]["resourceVersion"]) for _, obj in seen[0]]
        assert revisions == sorted(set(revisions))
        for watch in watches:
            await watch.close()


async def test_what_both_change_only_one_of_them_may(servers: Servers) -> None:
    async with two(servers) as (one, other):
        await one.made(MAPS, {"metadata": {"name": "a"}, "data": {"n": "0"}})
        for turn in range(10):
            old = await one.ok("GET", f"{MAPS}/a")
            answers = await asyncio.gather(
                one("PUT", f"{MAPS}/a", {**old, "data": {"n": f"{turn}-one"}}),
                other("PUT", f"{MAPS}/a", {**old, "data": {"n": f"{turn}-other"}}),
            )
            assert sorted(code for code, _ in answers) == [200, 409]
            assert next(answer for code, answer in answers if code == 409)["reason"] == "Conflict"
        answers = await asyncio.gather(*(api("POST", MAPS, {"metadata": {"name": "b"}}) for api in (one, other)))
        assert sorted(code for code, _ in answers) == [201, 409]


async def test_no_cluster_ip_and_no_node_port_is_given_twice(servers: Servers) -> None:
    tight = {"service_networks": (ipaddress.ip_network("10.96.0.0/28"),), "node_ports": range(30000, 30012)}
    async with two(servers, **tight) as (one, other):

        async def make(api: Api, name: str) -> Any:
            return await api.made(
                SERVICES, {"metadata": {"name": name}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}}
            )

        made = await asyncio.gather(
            *(make(api, f"s{n}-{who}") for n in range(5) for who, api in (("a", one), ("b", other)))
        )
        assert len({service["spec"]["clusterIP"] for service in made}) == 10
        assert len({service["spec"]["ports"][0]["nodePort"] for service in made}) == 10
        taken = made[0]["spec"]["ports"][0]["nodePort"]
        wanted = {"type": "NodePort", "ports": [{"port": 80, "nodePort": taken}]}
        for api in (one, other):
            faults = await api.faults("POST", SERVICES, {"metadata": {"name": "again"}, "spec": wanted})
            assert "provided port is already allocated" in faults[0]


async def test_addresses_that_come_and_go_at_both_are_never_shared(servers: Servers) -> None:
    tight = {"service_networks": (ipaddress.ip_network("10.96.0.0/28"),), "node_ports": range(30000, 30010)}
    async with two(servers, **tight) as (one, other):
        refused = 0

        async def come_and_go(number: int) -> None:
            nonlocal refused
            chance = random.Random(number)
            for turn in range(12):
                api, name = (one, other)[chance.randrange(2)], f"s{number}-{turn}"
                spec = {"type": chance.choice(["ClusterIP", "NodePort"]), "ports": [{"port": 80}]}
                code, _ = await api("POST", SERVICES, {"metadata": {"name": name}, "spec": spec})
                refused += code != 201
                if code == 201:  # for a moment too short to be seen by the other, or long enough
                    await asyncio.sleep(chance.choice([0, 0.02]))
                    await (one, other)[chance.randrange(2)].ok("DELETE", f"{SERVICES}/{name}")

        async def look() -> None:
            while True:
                for api in (one, other):
                    services = (await api.ok("GET", SERVICES))["items"]
                    addresses = [service["spec"]["clusterIP"] for service in services]
                    ports = [port.get("nodePort") for service in services for port in service["spec"]["ports"]]
                    assert len(addresses) == len(set(addresses))
                    assert len([p for p in ports if p]) == len({p for p in ports if p})

        async with asyncio.TaskGroup() as group:
            looking = group.create_task(look())
            async with asyncio.TaskGroup() as working:
                for number in range(16):
                    working.create_task(come_and_go(number))
            looking.cancel()
        assert refused < 16 * 12 / 2, "most found an address"

        async def left() -> list[str]:
            listed = await one.ok("GET", "/apis/networking.k8s.io/v1/ipaddresses")
            ports = (await one.server.storage.store.range(service_claims.PORTS)).items
            return [item["metadata"]["name"] for item in listed["items"]] + [stored.key for stored in ports]

        async with asyncio.timeout(30):  # nothing leaks: it is a minute until somebody would look for that
            while await left() != ["10.96.0.1"]:
                await asyncio.sleep(0.05)


async def test_a_list_begun_at_one_goes_on_at_the_other(servers: Servers) -> None:
    async with two(servers) as (one, other):
        for number in range(5):
            await one.made(MAPS, {"metadata": {"name": f"m{number}"}})
        first = await one.ok("GET", f"{MAPS}?limit=3")
        await other.ok("DELETE", f"{MAPS}/m4")
        second = await other.ok("GET", f"{MAPS}?limit=3&continue={first['metadata']['continue']}")
        names = [item["metadata"]["name"] for page in (first, second) for item in page["items"]]
        assert [name for name in names if name.startswith("m")] == ["m0", "m1", "m2", "m3", "m4"]


async def test_neither_compacts_what_the_other_still_needs(servers: Servers) -> None:
    every = 0.4
    clock = asyncio.get_running_loop().time
    written: list[tuple[float, int]] = []
    compacted: list[tuple[float, int]] = []

    def noting(store: Store) -> None:
        compact = store.compact

        async def noted(before: Revision) -> None:
            compacted.append((clock(), before))
            await compact(before)

        store.compact = noted  # type: ignore[method-assign]

    async with two(servers, times=Times(compaction=every)) as (one, other):
        for api in (one, other):
            noting(api.server.storage.store)
        watches = [await api.watch(f"{MAPS}?watch=1") for api in (one, other)]
        began = await one.made(MAPS, {"metadata": {"name": "first"}})
        number = 0
        while len(compacted) < 10:
            number += 1
            sent = clock()  # what was sent after a moment is newer than it; an answer may be late
            made = await (one, other)[number % 2].made(MAPS, {"metadata": {"name": f"m{number}"}})
            written.append((sent, int(made["metadata"]["resourceVersion"])))
        for when, before in compacted:
            young = [revision for at, revision in written if when - every < at < when]
            assert all(revision > before for revision in young)
        for watch in watches:
            async with asyncio.timeout(10):
                while (await watch.next())[1]["metadata"]["name"] != f"m{number}":
                    pass
            await watch.close()
        for api in (one, other):
            exact = f"{MAPS}?resourceVersionMatch=Exact&resourceVersion="
            await api.ok("GET", exact + str(written[-1][1]))
            code, answer = await api("GET", exact + began["metadata"]["resourceVersion"])
            assert (code, answer["reason"]) == (410, "Expired")


async def test_the_service_kubernetes_has_both_until_one_goes(servers: Servers) -> None:
    endpoints, slices = (
        "/api/v1/namespaces/default/endpoints",
        "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices",
    )

    async def shown(api: Api) -> tuple[list[str], list[str]]:
        found = await api.ok("GET", f"{endpoints}/kubernetes")
        parts = (await api.ok("GET", f"{slices}/kubernetes"))["endpoints"]
        return [a["ip"] for a in found["subsets"][0]["addresses"]], [a for part in parts for a in part["addresses"]]

    async with two(servers) as (one, other):
        both = ["192.0.2.1", "192.0.2.2"]
        for api in (one, other):
            await kubernetes_service.ensure(api.server.storage, api.server.config)
        assert await shown(one) == await shown(other) == (both, both)
        # A third one that was killed: its key goes by itself.
        await one.server.storage.store.create("/registry/masterleases/192.0.2.3", b"{}", ttl=1)
        await kubernetes_service.ensure(other.server.storage, other.server.config)
        assert await shown(one) == ([*both, "192.0.2.3"], [*both, "192.0.2.3"])
        async with asyncio.timeout(20):
            while await shown(one) != (both, both):
                await kubernetes_service.ensure(other.server.storage, other.server.config)
        await one.server.depart()
        assert await shown(other) == (["192.0.2.2"], ["192.0.2.2"])
        await other.server.depart()  # the last one stays: clients would find nobody
        assert await shown(other) == (["192.0.2.2"], ["192.0.2.2"])


async def test_writes_of_others_to_this_etcd_hold_nobody_up(servers: Servers) -> None:
    async with two(servers) as (one, other):
        for number in range(3):
            await asyncio.to_thread(servers.ctl, "put", "/elsewhere", str(number))
            async with asyncio.timeout(5):
                listed = await one.ok("GET", MAPS)
                at = listed["metadata"]["resourceVersion"]
                assert (await other.ok("GET", f"{MAPS}?resourceVersion={at}"))["items"] == listed["items"]
