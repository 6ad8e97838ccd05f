"""What API servers on one etcd agree on beside single objects: resourceVersions, definitions, tokens, quotas, leases."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio
from tests.component.api import Api
from tests.component.apiserver.test_two_servers import MAPS, two
from tests.etcd_servers import Servers, etcd, needs_etcd

from pybernetes.api.objects import User
from pybernetes.apiserver.config import Times
from pybernetes.client.leaderelection import Election, LeaderElector, LeaderLost
from pybernetes.client.rest import Client
from pybernetes.client.transport import direct
from pybernetes.store.protocol import Revision
from pybernetes.wire.http import Request, Response

pytestmark = needs_etcd
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
QUOTAS = "/api/v1/namespaces/default/resourcequotas"
ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"
TOKEN_REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"
EVENTS = "/api/v1/namespaces/default/events"
_RUN = iter(range(1000))


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    with etcd() as running:
        yield running


@pytest_asyncio.fixture
async def pair(servers: Servers) -> AsyncIterator[tuple[Api, Api]]:
    """Two on a part of etcd that nobody had before."""
    async with two(servers, prefix=f"/run-{next(_RUN)}") as made:
        yield made


class Behind:
    """A server that hears of nothing, until release()."""

    def __init__(self, api: Api) -> None:
        self._cache = api.server.storage.cache
        self._take, self._held = self._cache._take, list[Any]()
        self._cache._take = self._held.append  # type: ignore[method-assign]

    def release(self) -> None:
        self._cache._take = self._take  # type: ignore[method-assign]
        for events in self._held:
            self._take(events)


def versions(listed: Any) -> dict[str, str]:
    return {item["metadata"]["name"]: item["metadata"]["resourceVersion"] for item in listed["items"]}


async def test_each_resource_version_means_the_same_at_both(pair: tuple[Api, Api]) -> None:
    one, other = pair
    first = await one.made(MAPS, {"metadata": {"name": "a"}})
    second = await other.ok("PUT", f"{MAPS}/a", {**first, "data": {"n": "2"}})
    old, new = (obj["metadata"]["resourceVersion"] for obj in (first, second))
    for api in pair:
        # the newest, without a word and by a revision that is only just there at the other
        for query in ("", f"?resourceVersion={new}&resourceVersionMatch=NotOlderThan", f"?resourceVersion={new}"):
            assert versions(await api.ok("GET", MAPS + query))["a"] == new
        # the past, just as it was
        exact = await api.ok("GET", f"{MAPS}?resourceVersion={old}&resourceVersionMatch=Exact")
        assert (versions(exact)["a"], exact["metadata"]["resourceVersion"]) == (old, old)
        # any state does: it waits for nobody
        assert "a" in versions(await api.ok("GET", f"{MAPS}?resourceVersion=0"))
        assert (await api.ok("GET", f"{MAPS}/a?resourceVersion=0"))["metadata"]["resourceVersion"] in (old, new)
        code, answer = await api("GET", f"{MAPS}?resourceVersion={int(new) + 1000}")
        assert (code, answer["details"]["causes"][0]["reason"]) == (504, "ResourceVersionTooLarge")
        # a watch goes on where either of them was
        watch = await api.watch(f"{MAPS}?watch=1&resourceVersion={old}")
        async with asyncio.timeout(10):
            kind, seen = await watch.next()
        assert (kind, seen["metadata"]["resourceVersion"]) == ("MODIFIED", new)
        await watch.close()


async def test_what_one_has_compacted_the_other_forgets_or_tells_as_it_was(pair: tuple[Api, Api]) -> None:
    one, other = pair
    first = (await one.made(MAPS, {"metadata": {"name": "a"}}))["metadata"]["resourceVersion"]
    for number in range(3):
        last = (await other.made(MAPS, {"metadata": {"name": f"b{number}"}}))["metadata"]["resourceVersion"]
    for api, behind in ((one, other), (other, one)):
        await api.server.storage.cache.compact(Revision(int(last)))
        code, answer = await api("GET", f"{MAPS}?resourceVersion={first}&resourceVersionMatch=Exact")
        assert (code, answer["reason"]) == (410, "Expired")
        assert versions(await api.ok("GET", f"{MAPS}?resourceVersion={last}&resourceVersionMatch=Exact"))["a"] == first
        # the other one may still remember, and then it says the truth
        code, answer = await behind("GET", f"{MAPS}?resourceVersion={first}&resourceVersionMatch=Exact")
        assert code == 410 or versions(answer) == {"a": first}


def review_of(token: str) -> dict[str, Any]:
    return {"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "spec": {"token": token}}


async def established(api: Api, name: str) -> bool:
    found = await api.ok("GET", f"{CRDS}/{name}")
    conditions = (found.get("status") or {}).get("conditions") or []
    return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)


async def test_a_kind_made_at_one_is_served_by_the_other(pair: tuple[Api, Api]) -> None:
    one, other = pair
    for number in range(5):
        plural = f"things{number}"
        names = {"plural": plural, "kind": f"Thing{number}"}
        schema = {"openAPIV3Schema": {"type": "object", "properties": {"n": {"type": "integer"}}}}
        version = {"name": "v1", "served": True, "storage": True, "schema": schema}
        spec = {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [version]}
        await one.made(CRDS, {"metadata": {"name": f"{plural}.example.com"}, "spec": spec})

        async with asyncio.timeout(10):
            while not await established(one, f"{plural}.example.com"):
                pass
        path = f"/apis/example.com/v1/namespaces/default/{plural}"
        made = await other.made(
            path, {"kind": f"Thing{number}", "apiVersion": "example.com/v1", "metadata": {"name": "x"}, "n": 1}
        )
        assert await one.ok("GET", f"{path}/x") == made
        await other.ok("DELETE", f"{CRDS}/{plural}.example.com")
        async with asyncio.timeout(10):
            while (await other("GET", f"{CRDS}/{plural}.example.com"))[0] != 404:
                pass
        assert (await one("GET", f"{path}/x"))[0] == 404


async def test_a_server_that_is_behind_waits_before_it_says_that_there_is_nothing(pair: tuple[Api, Api]) -> None:
    one, other = pair
    behind = Behind(other)
    schema = {"openAPIV3Schema": {"type": "object"}}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema}
    spec = {
        "group": "example.com",
        "scope": "Cluster",
        "names": {"plural": "lates", "kind": "Late"},
        "versions": [version],
    }
    await one.made(CRDS, {"metadata": {"name": "lates.example.com"}, "spec": spec})
    await one.made(ACCOUNTS, {"metadata": {"name": "late"}})
    token = (await one.made(f"{ACCOUNTS}/late/token", {"spec": {}}))["status"]["token"]
    async with asyncio.timeout(10):
        while not await established(one, "lates.example.com"):
            pass
    asked = [
        asyncio.create_task(other("GET", "/apis/example.com/v1/lates")),
        asyncio.create_task(other("POST", TOKEN_REVIEWS, review_of(token))),
        asyncio.create_task(other("GET", f"{ACCOUNTS}/late", user=None, authorization=f"Bearer {token}")),
        asyncio.create_task(other("GET", "/apis/example.com/v1/nevers")),
    ]
    await asyncio.wait(asked, timeout=0.3)
    assert not [task.result() for task in asked if task.done()]
    behind.release()
    async with asyncio.timeout(10):
        (listed, reviewed, forbidden, never) = await asyncio.gather(*asked)
    assert (listed[0], reviewed[1]["status"]["authenticated"], forbidden[0], never[0]) == (200, True, 403, 404)


async def test_both_repair_what_is_missing_and_none_complains(pair: tuple[Api, Api]) -> None:
    for turn in range(5):
        claims = [api.server._claims for api in pair]
        assert claims[0] is not None
        assert claims[1] is not None
        await pair[turn % 2].ok("DELETE", "/apis/networking.k8s.io/v1/ipaddresses/10.96.0.1")
        await asyncio.gather(*(claim.repair() for claim in claims))
        found = await pair[0].ok("GET", "/apis/networking.k8s.io/v1/ipaddresses/10.96.0.1")
        assert found["spec"]["parentRef"]["name"] == "kubernetes"
    events = (await pair[1].ok("GET", EVENTS))["items"]
    assert {event["reason"] for event in events} == {"ClusterIPNotAllocated"}


async def test_a_token_of_one_counts_at_the_other_until_its_account_goes(pair: tuple[Api, Api]) -> None:
    one, other = pair
    await one.made(ACCOUNTS, {"metadata": {"name": "robot"}})
    token = (await one.made(f"{ACCOUNTS}/robot/token", {"spec": {"expirationSeconds": 600}}))["status"]["token"]
    for api in pair:
        told = (await api.made(TOKEN_REVIEWS, review_of(token)))["status"]
        assert (told["authenticated"], told["user"]["username"]) == (True, "system:serviceaccount:default:robot")
    await other.ok("DELETE", f"{ACCOUNTS}/robot")
    async with asyncio.timeout(10):
        for api in pair:
            while (await api.made(TOKEN_REVIEWS, review_of(token)))["status"].get("authenticated"):
                await asyncio.sleep(0)


async def test_both_together_stay_within_a_quota(pair: tuple[Api, Api]) -> None:
    one, other = pair
    quota = {"metadata": {"name": "q"}, "spec": {"hard": {"count/configmaps": "7"}}}
    made = await one.made(QUOTAS, quota)
    status = {"hard": quota["spec"]["hard"], "used": {"count/configmaps": "0"}}
    counted = await one.ok("PUT", f"{QUOTAS}/q/status", {**made, "status": status})
    await other.ok("GET", f"{QUOTAS}?resourceVersion={counted['metadata']['resourceVersion']}")
    answers = await asyncio.gather(
        *(
            api("POST", MAPS, {"metadata": {"name": f"m{n}"}})
            for n in range(20)
            for api in pair
            if (n % 2) == (api is one)
        )
    )
    assert sorted(code for code, _ in answers) == [201] * 7 + [403] * 13
    assert (await other.ok("GET", f"{QUOTAS}/q"))["status"]["used"] == {"count/configmaps": "7"}
    assert sum(name.startswith("m") for name in versions(await one.ok("GET", MAPS))) == 7


async def test_an_event_ends_at_both(servers: Servers) -> None:
    async with two(servers, prefix="/events", times=Times(event=1.0)) as (one, other):
        watches = [await api.watch(f"{EVENTS}?watch=1") for api in (one, other)]
        about = {"kind": "Pod", "namespace": "default", "name": "p"}
        await one.made(EVENTS, {"metadata": {"name": "e"}, "involvedObject": about, "reason": "Tried"})
        async with asyncio.timeout(30):
            told = [[(await watch.until(kind))["metadata"] for kind in ("ADDED", "DELETED")] for watch in watches]
        assert told[0] == told[1]
        for api, watch in zip((one, other), watches, strict=True):
            assert (await api("GET", f"{EVENTS}/e"))[0] == 404
            await watch.close()


async def test_of_two_that_ask_different_servers_one_leads(pair: tuple[Api, Api]) -> None:
    """Each elector knows one server. The leader's becomes unreachable: it ends before the other begins."""
    leading: list[str] = []
    cut: set[str] = set()
    began = {name: asyncio.Event() for name in ("a", "b")}

    def reach(name: str, api: Api) -> Any:
        there = direct(api.server.handler, User("system:kube-scheduler", groups=("system:masters",)))

        async def send(request: Request) -> Response:
            if name in cut:
                raise ConnectionError("cut off")
            return await there(request)

        return send

    async def work(name: str) -> None:
        assert not leading, "two lead"
        leading.append(name)
        began[name].set()
        try:
            await asyncio.Event().wait()
        finally:
            leading.remove(name)

    def elector(name: str, api: Api) -> LeaderElector:
        election = Election(name="x", identity=name, lease_duration=2.0, renew_deadline=1.0, retry_period=0.2)
        client = Client(reach(name, api), clock=api.server.storage.clock)
        return LeaderElector(client, election, lambda: work(name))

    tasks = [asyncio.create_task(elector(name, api).run()) for name, api in zip("ab", pair, strict=True)]
    async with asyncio.timeout(30):
        await asyncio.wait(
            [asyncio.create_task(event.wait()) for event in began.values()], return_when="FIRST_COMPLETED"
        )
        (first,) = leading
        second = "b" if first == "a" else "a"
        assert not began[second].is_set()
        cut.add(first)
        await began[second].wait()
    assert leading == [second]
    loser, winner = tasks if first == "a" else tasks[::-1]
    with pytest.raises(ExceptionGroup) as ended:
        await loser
    assert ended.group_contains(LeaderLost)
    winner.cancel()
    await asyncio.wait({winner})
