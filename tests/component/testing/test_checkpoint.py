"""Checkpoints of whole clusters: what comes back, what goes, who notices, and what begins with one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
import pytest
from tests.component.testing.manifests import deployment

from pybernetes.api.errors import Conflict, Forbidden, NotFound
from pybernetes.api.objects import Object
from pybernetes.client.rest import lines_of
from pybernetes.store.memory import MemoryStore
from pybernetes.store.sqlite import open_sqlite
from pybernetes.testing import Checkpoint, Cluster, OptionError, SyncCluster, simulated
from pybernetes.testing.audit import Calls
from pybernetes.testing.traffic import Call

MAPS = "/api/v1/namespaces/default/configmaps"
DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "shops.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "shops", "singular": "shop", "kind": "Shop", "listKind": "ShopList"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}
SHOPS = "/apis/example.com/v1/namespaces/default/shops"


def shop(name: str) -> Object:
    return {"apiVersion": "example.com/v1", "kind": "Shop", "metadata": {"name": name}}


def decided(calls: Calls) -> list[Call]:
    """Writes that somebody has decided on: all but the heartbeats of nodes, and that a controller tells of those it knows."""
    beats = ("leases.coordination.k8s.io", "nodes/status")
    return [
        call
        for call in calls.writes()
        if call.resource not in beats and not (call.resource == "events" and call.name.startswith("node-"))
    ]


async def values(c: Cluster) -> dict[str, bytes]:
    """The whole store, but for revisions."""
    return {stored.key: stored.value for stored in (await c.running.store.range("/registry/")).items}


def still(found: dict[str, bytes]) -> dict[str, bytes]:
    """Without what heartbeats change, and what is told of nodes whenever a controller begins."""
    out = ("/leases/", "/minions/", "/events/default/node-")
    return {key: value for key, value in found.items() if not any(part in key for part in out)}


async def config_map(c: Cluster, name: str, **data: str) -> Object:
    return await c.raw("POST", MAPS, {"metadata": {"name": name}, "data": data})


class Watching:
    """What a client sees of a resource: events, and the objects that they leave."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.objects: dict[str, Object] = {}

    def take(self, event: Object) -> None:
        obj = event["object"]
        name = obj["metadata"].get("name", "")
        if event["type"] == "BOOKMARK":
            return
        self.events.append(f"{event['type']} {name}")
        if event["type"] == "DELETED":
            del self.objects[name]
        else:
            self.objects[name] = obj


@asynccontextmanager
async def watching(c: Cluster, path: str) -> AsyncIterator[Watching]:
    seen = Watching()
    response = await c.client().send("GET", path, query={"watch": "true", "allowWatchBookmarks": "true"})

    async def read() -> None:
        async for line in lines_of(response):
            seen.take(orjson.loads(line))

    task = asyncio.create_task(read())
    await c.advance(0)
    seen.events.clear()
    yield seen
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@simulated(seed=1)
async def test_what_came_since_is_gone_what_went_is_back_and_nobody_has_anything_to_do():
    async with Cluster(nodes=2) as c:
        await c.apply(deployment("web", 2))
        await c.wait("deployment/web", "condition=Available")
        await c.advance(20)
        state, before = await c.checkpoint(), await values(c)
        await c.apply(deployment("other", 3))
        await c.raw("DELETE", "/apis/apps/v1/namespaces/default/deployments/web")
        await c.wait("deployment/other", "condition=Available")
        await c.wait("deployment/web", "delete")
        await c.advance(60)
        with c.audit.recording() as calls:
            assert await c.restore(state) > 10
            assert await values(c) == before
            await c.advance(minutes=3)
        assert decided(calls) == []
        assert {pod["metadata"]["labels"]["app"] for pod in (await c.raw("GET", "/api/v1/pods"))["items"]} == {"web"}


@simulated(seed=3)
async def test_a_state_is_put_back_in_the_middle_of_everything():
    async with Cluster(nodes=2) as c:
        await c.apply(deployment("web", 3))
        await c.wait("deployment/web", "condition=Available")
        await c.advance(20)
        state, before = await c.checkpoint(), await values(c)
        for turns in (0, 1, 3, 10, 30, 60, 100, 200):
            await c.apply(deployment("web", 9))
            await c.apply(deployment("more", 5))
            for _ in range(turns):
                await asyncio.sleep(0)
            with c.audit.recording() as calls:
                await c.restore(state)
                begun = len(calls)
                assert await values(c) == before, turns
                await c.advance(minutes=1)
            late = [call for call in decided(calls) if call.number > list(calls)[begun - 1].number]
            assert late == [], (turns, calls.table(99))


@simulated(seed=1)
async def test_objects_come_back_with_their_uids_at_revisions_that_only_rise():
    async with Cluster(nodes=0) as c:
        kept, changed, gone = [await config_map(c, name, x="1") for name in ("kept", "changed", "gone")]
        state = await c.checkpoint()
        await c.raw("PUT", f"{MAPS}/changed", {**changed, "data": {"x": "2"}})
        await c.raw("DELETE", f"{MAPS}/gone")
        newest = int((await config_map(c, "new"))["metadata"]["resourceVersion"])
        assert await c.restore(state) >= 3
        for old, untouched in ((kept, True), (changed, False), (gone, False)):
            now = await c.raw("GET", f"{MAPS}/{old['metadata']['name']}")
            assert now["metadata"]["uid"] == old["metadata"]["uid"]
            assert now["data"] == {"x": "1"}
            revision = int(now["metadata"]["resourceVersion"])
            assert revision == int(old["metadata"]["resourceVersion"]) if untouched else revision > newest
        with pytest.raises(NotFound):
            await c.raw("GET", f"{MAPS}/new")
        with pytest.raises(Conflict):
            await c.raw("PUT", f"{MAPS}/changed", {**changed, "data": {"x": "3"}})
        assert await c.restore(state) == 0, "a second time there is nothing to do"


@simulated(seed=1)
async def test_who_watches_sees_changes_in_an_order_that_could_have_come_about():
    async with Cluster(nodes=0, controllers=()) as c:
        await config_map(c, "b-changed", x="1")
        await config_map(c, "a-replaced")
        await config_map(c, "c-gone")
        state = await c.checkpoint()
        async with watching(c, MAPS) as seen:
            change = {"content-type": "application/merge-patch+json"}
            await c.raw("PATCH", f"{MAPS}/b-changed", {"data": {"x": "2"}}, headers=change)
            await c.raw("DELETE", f"{MAPS}/a-replaced")
            await c.raw("DELETE", f"{MAPS}/c-gone")
            await config_map(c, "a-replaced")
            await config_map(c, "d-new")
            await c.advance(0)
            seen.events.clear()
            await c.restore(state)
            await c.advance(0)
            assert seen.events == [
                "DELETED d-new",
                "DELETED a-replaced",
                "MODIFIED b-changed",
                "ADDED a-replaced",
                "ADDED c-gone",
            ]
            listed = (await c.raw("GET", MAPS))["items"]
            assert {o["metadata"]["name"]: o["metadata"]["resourceVersion"] for o in listed} == {
                name: obj["metadata"]["resourceVersion"] for name, obj in seen.objects.items()
            }


@simulated(seed=1)
async def test_definitions_and_their_objects_come_and_go_with_the_state():
    async with Cluster(nodes=0) as c:
        without = await c.checkpoint()
        await c.apply([DEFINITION, shop("a")])
        uid = (await c.raw("GET", f"{SHOPS}/a"))["metadata"]["uid"]
        has = await c.checkpoint()
        async with watching(c, SHOPS) as seen:
            await c.restore(without)
            await c.advance(0)
            assert seen.events == ["DELETED a"], "objects go before their definition"
        with pytest.raises(NotFound):
            await c.raw("GET", SHOPS)
        await c.restore(has)
        assert (await c.raw("GET", f"{SHOPS}/a"))["metadata"]["uid"] == uid
        async with watching(c, SHOPS) as seen:
            await c.raw("DELETE", f"{SHOPS}/a")
            await c.raw("DELETE", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/shops.example.com")
            await c.advance(1)
            assert seen.events == ["DELETED a"]
        with c.audit.recording() as calls:
            await c.restore(has)
            assert [o["metadata"]["uid"] for o in (await c.raw("GET", SHOPS))["items"]] == [uid]
            await c.advance(minutes=2)
        assert decided(calls) == []


@simulated(seed=1)
async def test_dependents_stay_when_an_owner_comes_back_that_the_collector_knew_to_be_gone():
    async with Cluster(nodes=0) as c:
        owners = [await config_map(c, name) for name in ("one", "other")]
        refs = [
            {"apiVersion": "v1", "kind": "ConfigMap", "name": o["metadata"]["name"], "uid": o["metadata"]["uid"]}
            for o in owners
        ]
        child = {"metadata": {"name": "child", "ownerReferences": refs}}
        await c.raw("POST", MAPS, child)
        state = await c.checkpoint()
        for name in ("one", "other"):
            await c.raw("DELETE", f"{MAPS}/{name}")
        await c.wait("configmap/child", "delete")
        await c.restore(state)
        await c.advance(minutes=5)
        await c.raw("DELETE", f"{MAPS}/other")
        await c.advance(minutes=5)
        assert (await c.raw("GET", f"{MAPS}/child"))["metadata"]["ownerReferences"] == refs[:1]


@simulated(seed=1)
async def test_addresses_and_node_ports_are_taken_and_free_as_they_were():
    services = "/api/v1/namespaces/default/services"

    def service(name: str, address: str, port: int) -> Object:
        ports = [{"port": 80, "nodePort": port}]
        return {"metadata": {"name": name}, "spec": {"type": "NodePort", "clusterIP": address, "ports": ports}}

    async with Cluster(nodes=0) as c:
        await c.raw("POST", services, service("first", "10.96.7.1", 30001))
        state = await c.checkpoint()
        await c.raw("DELETE", f"{services}/first")
        await c.advance(5)
        await c.raw("POST", services, service("second", "10.96.7.1", 30001))
        await c.raw("POST", services, service("third", "10.96.7.3", 30003))
        await c.restore(state)
        with pytest.raises(Exception, match="provided IP is already allocated"):
            await c.raw("POST", services, service("other", "10.96.7.1", 30004))
        with pytest.raises(Exception, match="provided port is already allocated"):
            await c.raw("POST", services, service("other", "10.96.7.4", 30001))
        await c.raw("POST", services, service("other", "10.96.7.3", 30003))
        with c.audit.recording() as calls:
            await c.advance(minutes=5)
        assert decided(calls) == []


@simulated(seed=1)
async def test_permissions_and_quotas_are_those_of_the_state():
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "jane", "namespace": "default"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "jane"}],
    }
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "q", "namespace": "default"},
        "spec": {"hard": {"count/secrets": "1"}},
    }
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "default"}}
    async with Cluster(nodes=0) as c:
        nothing = await c.checkpoint()
        await c.apply([binding, quota])
        await c.wait("quota/q", "jsonpath={.status.used.count/secrets}=0")
        await c.advance(10)
        granted = await c.checkpoint()
        await c.apply(secret)
        await c.client("jane").raw("GET", MAPS)
        await c.restore(nothing)
        with pytest.raises(Forbidden):
            await c.client("jane").raw("GET", MAPS)
        await c.restore(granted)
        await c.client("jane").raw("GET", MAPS)
        await c.apply(secret)
        with pytest.raises(Forbidden, match="exceeded quota"):
            await c.apply({**secret, "metadata": {"name": "t", "namespace": "default"}})


@simulated(seed=1)
async def test_ranges_of_pods_are_not_given_twice_after_nodes_have_changed_places():
    def ranges(listed: Object) -> dict[str, str]:
        return {node["metadata"]["name"]: node["spec"].get("podCIDR", "") for node in listed["items"]}

    async def join(c: Cluster, *names: str) -> dict[str, str]:
        for name in names:
            await c.raw("POST", "/api/v1/nodes", {"metadata": {"name": name}})
            await c.advance(1)
        return ranges(await c.raw("GET", "/api/v1/nodes"))

    async with Cluster(nodes=0, controllers=("node-ipam-controller",)) as c:
        first = await join(c, "a", "b")
        state = await c.checkpoint()
        for name in "ab":
            await c.raw("DELETE", f"/api/v1/nodes/{name}")
        await c.raw("POST", "/api/v1/nodes", {"metadata": {"name": "b"}, "spec": {"podCIDR": first["a"]}})
        await c.raw("POST", "/api/v1/nodes", {"metadata": {"name": "a"}, "spec": {"podCIDR": first["b"]}})
        await c.advance(1)
        await c.restore(state)
        await c.advance(1)
        found = await join(c, *(f"n{number}" for number in range(255)))
        assert len(set(found.values())) == len(found) == 257
        assert found["n254"] == "", "256 are all there are"


@simulated(seed=1)
async def test_events_have_as_long_as_they_had_left():
    async with Cluster(nodes=0, controllers=()) as c:
        about = {"kind": "ConfigMap", "namespace": "default", "name": "a"}
        events = "/api/v1/namespaces/default/events"
        for name in ("gone", "there"):
            await c.raw("POST", events, {"metadata": {"name": name}, "involvedObject": about, "reason": "X"})
        await c.advance(minutes=50)
        state = await c.checkpoint()
        await c.raw("DELETE", f"{events}/gone")
        await c.advance(minutes=5)
        await c.restore(state)
        await c.advance(minutes=6)
        assert [e["metadata"]["name"] for e in (await c.raw("GET", events))["items"]] == ["gone"]
        await c.advance(minutes=5)
        assert (await c.raw("GET", events))["items"] == []


# --- clusters that begin with a state


@simulated(seed=1)
async def test_another_cluster_begins_where_the_state_ends():
    async with Cluster(nodes=2) as c:
        await c.apply(deployment("web", 2))
        await c.wait("deployment/web", "condition=Available")
        token = await c.raw("POST", "/api/v1/namespaces/default/serviceaccounts/default/token", {"spec": {}})
        await c.advance(minutes=20)
        state, before, then = await c.checkpoint(), await values(c), c.clock.now()
    async with Cluster(nodes=2, state=state) as d:
        assert d.clock.now() >= then, "time does not go back"
        await d.advance(minutes=3)
        assert decided(d.audit) == []
        assert still(await values(d)) == still(before)
        review = {"spec": {"token": token["status"]["token"]}}
        answer = await d.raw("POST", "/apis/authentication.k8s.io/v1/tokenreviews", review)
        assert answer["status"]["authenticated"], "the keys are the same"
        await d.raw("DELETE", "/apis/apps/v1/namespaces/default/deployments/web")
        await d.wait("deployment/web", "delete")
    async with Cluster(nodes=2, state=state) as e:
        assert await e.wait("deployment/web", "condition=Available"), "a state is not used up"


@simulated(seed=1)
async def test_a_state_goes_through_a_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("states") / "a.dump"
    async with Cluster(nodes=0) as c:
        made = await config_map(c, "a", x="1")
        await c.apply([DEFINITION, shop("b")])
        await c.advance(minutes=7)
        state = await c.checkpoint()
    state.save(path)
    assert path.stat().st_mode & 0o777 == 0o600
    loaded = Checkpoint.load(path)
    assert (loaded.items, loaded.revision, loaded.time) == (state.items, state.revision, state.time)
    assert repr(loaded) == repr(state)
    async with Cluster(nodes=0, state=path) as d:
        assert await d.raw("GET", f"{MAPS}/a") == made
        assert (await d.raw("GET", f"{SHOPS}/b"))["kind"] == "Shop"
        assert d.clock.now() >= state.time


def test_wrong_states_are_refused(tmp_path):
    (tmp_path / "x").write_text("nothing")
    for given, says in (
        (tmp_path / "missing", "cannot read .*missing"),
        (tmp_path / "x", "is no dump of a store"),
        (3, "state: 3 is not allowed; allowed: a Checkpoint or the path of one"),
    ):
        with pytest.raises(OptionError, match=says):
            Cluster(state=given)


@simulated
async def test_a_cluster_begins_with_a_state_or_a_store():
    async with Cluster(nodes=0, controllers=(), scheduler=False, store=MemoryStore()) as c:
        state = await c.checkpoint()
    with pytest.raises(OptionError, match="state and store do not go together"):
        Cluster(store=MemoryStore(), state=state)


async def test_a_cluster_on_another_store_says_that_it_has_no_states(tmp_path):
    store = await open_sqlite(str(tmp_path / "a.db"))
    async with Cluster(nodes=0, controllers=(), scheduler=False, store=store) as c:
        with pytest.raises(OptionError, match="was given another"):
            await c.checkpoint()
    await store.close()


@simulated
async def test_a_state_that_is_none_is_refused(tmp_path_factory):
    folder = tmp_path_factory.mktemp("states")
    (folder / "file").touch()
    async with Cluster(nodes=0) as c:
        with pytest.raises(OptionError, match="takes what checkpoint"):
            await c.restore("x")
        state = await c.checkpoint()
        with pytest.raises(OptionError, match=r"cannot write .*/file/a: "):
            state.save(folder / "file" / "a")


def test_a_twin_on_real_time_goes_back_and_forth():
    with SyncCluster() as c:
        state = c.checkpoint()
        c.apply(deployment("web", 2))
        c.wait("deployment/web", "condition=Available")
        full = c.checkpoint()
        for _ in range(3):
            c.restore(state)
            assert c.raw("GET", "/api/v1/pods")["items"] == []
            c.restore(full)
            assert len(c.raw("GET", "/api/v1/pods")["items"]) == 2
        c.wait("deployment/web", "condition=Available")


@simulated(seed=1)
async def test_a_state_is_put_back_while_informers_are_cut_off_and_requests_hang():
    async with Cluster(nodes=1) as c:
        await c.apply(deployment("web", 1))
        await c.wait("deployment/web", "condition=Available")
        await c.advance(20)
        state = await c.checkpoint()
        await c.apply(deployment("other", 1))
        with c.faults.add(verb="watch", drop=True), c.faults.add(verb="update", resource="leases", delay=1000):
            await c.advance(15)
            now = c.clock.monotonic()
            await c.restore(state)
            assert c.clock.monotonic() == now, "putting a state back takes no time of the cluster"
        await c.advance(minutes=2)
        assert [d["metadata"]["name"] for d in (await c.raw("GET", "/apis/apps/v1/deployments"))["items"]] == ["web"]
        assert len((await c.raw("GET", "/api/v1/pods"))["items"]) == 1
