"""Faults before a real API server: what clients and informers make of them."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import aclosing

import orjson
import pytest
from tests.component.testing.manifests import deployment
from tests.component.testing.watched import MAPS, POD, PODS, Watched, watched

from pybernetes.aio.clock import SystemClock
from pybernetes.aio.simulation import SimulatedClock, run_simulated
from pybernetes.api.errors import Conflict, Expired, Forbidden, InternalError, ServiceUnavailable
from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1, meta_v1
from pybernetes.client import kubeconfig
from pybernetes.client.informer import Informer
from pybernetes.client.rest import Client
from pybernetes.testing import Cluster, SyncCluster, simulated
from pybernetes.wire.client import HttpClient
from pybernetes.wire.http import Dropped, Headers, Request, read_body
from pybernetes.wire.server import HttpServer
from pybernetes.wire.tls import Identity, server_context

PROTOBUF = "application/vnd.kubernetes.protobuf"


def config_map(name: str) -> core_v1.ConfigMap:
    return core_v1.ConfigMap(metadata=meta_v1.ObjectMeta(name=name, namespace="default"))


async def gathered(body: AsyncIterator[bytes], into: list[bytes]) -> None:
    """What comes of a body until it breaks."""
    async for chunk in body:
        into.append(chunk)


async def test_a_refused_write_changes_nothing_and_one_whose_answer_is_lost_has():
    async with watched() as api:
        maps = api.client().of(core_v1.ConfigMap)
        rule = api.faults.add(verb="create", resource="configmaps", error="InternalError")
        with rule, pytest.raises(InternalError, match="Internal error occurred"):
            await maps.create(config_map("a"))
        lose = api.faults.add(verb="create", resource="configmaps", drop=True, written=True)
        with lose, pytest.raises(ConnectionError):
            await maps.create(config_map("b"))
        assert rule.hits == 1
        assert {one.metadata.name for one in (await maps.list("default")).items} == {"b"}
        (lost,) = api.audit.writes(resource="configmaps")
        assert (lost.code, lost.done, lost.name) == (0, 201, "b")


async def test_a_client_that_reads_again_gets_over_a_conflict():
    async with watched() as api:
        await api.config_map("a")
        maps = api.client().of(core_v1.ConfigMap)
        with api.faults.add(verb="patch", name="a", error="Conflict", times=2) as rule:
            for _ in range(2):
                with pytest.raises(Conflict, match="the object has been modified"):
                    await maps.patch_raw(Key("default", "a"), {"data": {"x": "1"}})
            await maps.patch_raw(Key("default", "a"), {"data": {"x": "1"}})
        assert rule.hits == 2


def test_a_client_waits_as_long_as_retry_after_says():
    async def main() -> None:
        clock = SimulatedClock(asyncio.get_running_loop())
        async with watched() as api:
            await api.config_map("a")
            with api.faults.add(error="TooManyRequests", retry_after=5, times=2, verb="get"):
                await api.client(clock=clock).of(core_v1.ConfigMap).get("a", "default")
        assert clock.monotonic() == 10

    run_simulated(main())


async def test_a_refusal_is_in_the_form_that_the_client_reads():
    async with watched() as api:
        api.faults.add(error="NotFound", message="gone")
        response = await api.send("GET", f"{MAPS}/a", accept=PROTOBUF)
        assert response.headers.get("content-type") == PROTOBUF
        assert (await read_body(response)).startswith(b"k8s\0")


async def test_a_name_in_a_body_selects_a_create():
    async with watched() as api:
        with api.faults.add(verb="create", name="web-0", error="Forbidden"):
            assert (await api("POST", PODS, POD))[0] == 403
            assert (await api("POST", MAPS, {"metadata": {"name": "web-1"}}))[0] == 201


async def test_open_watches_are_cut_at_once_and_new_ones_are_lost_until_the_rule_ends():
    async with watched() as api:
        await api.config_map("a")
        events = await api.watch(f"{MAPS}?watch=1")
        other = await api.watch("/api/v1/namespaces?watch=1&resourceVersion=0")
        assert (await events.next())[0] == "ADDED"
        waiting = asyncio.create_task(events.next())
        await asyncio.sleep(0)
        with api.faults.add(verb="watch", resource="configmaps", drop=True) as rule:
            with pytest.raises(Dropped):
                await waiting
            with pytest.raises(Dropped):
                await api.watch(f"{MAPS}?watch=1")
            assert rule.hits == 2
        assert (await other.next())[0] == "ADDED"
        again = await api.watch(f"{MAPS}?watch=1")
        assert (await again.next())[0] == "ADDED"
        await again.close()
        await other.close()


@pytest.mark.parametrize("accept", ["application/json", f"{PROTOBUF};stream=watch,application/json"])
async def test_a_watch_ends_after_so_many_events(accept):
    async with watched() as api:
        start = (await api.config_map("a"))["metadata"]["resourceVersion"]
        with api.faults.add(verb="watch", drop=True, events=2) as rule:
            response = await api.send("GET", f"{MAPS}?watch=1&resourceVersion={start}", accept=accept)
            for name in "bcd":
                await api.config_map(name)
            got = list[bytes]()
            with pytest.raises(Dropped):
                await gathered(response.body, got)
        assert rule.hits == 1
        assert b"".join(got).count(b"ADDED") == 2


class Seen:
    """What an informer tells."""

    def __init__(self, api: Watched, clock: SimulatedClock) -> None:
        self.informer = Informer(api.client(clock=clock).of(core_v1.ConfigMap), clock, namespace="default")
        self.events: list[str] = []
        self.informer.on_change(self._note)

    def _note(self, old: core_v1.ConfigMap | None, new: core_v1.ConfigMap | None) -> None:
        kind = "ADDED" if old is None else "DELETED" if new is None else "MODIFIED"
        self.events.append(f"{kind} {(new or old).metadata.name}")


@pytest.mark.parametrize("expire", [False, True])
def test_an_informer_misses_nothing_when_its_watch_is_cut_with_and_without_410(expire: bool):
    async def main() -> None:
        clock = SimulatedClock(asyncio.get_running_loop(), seed=1)
        async with watched() as api:
            seen = Seen(api, clock)
            task = asyncio.create_task(seen.informer.run())
            await seen.informer.synced.wait()
            await api.config_map("a")
            await clock.sleep(1)
            with api.audit.recording() as calls:
                with api.faults.add(verb="watch", resource="configmaps", drop=True, times=1, expire=expire) as rule:
                    await api.config_map("b")
                    await clock.sleep(10)
                assert rule.hits == 1
            lists = calls.calls(verb="list", resource="configmaps")
            assert len(lists) == (1 if expire else 0)
            assert [name for name in seen.events if name.endswith((" a", " b"))] == ["ADDED a", "ADDED b"]
            watches = calls.calls(verb="watch")
            assert len(watches) == (2 if expire else 1)
            assert bool(watches[0].fault) is expire
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    run_simulated(main())


def test_an_informer_that_is_told_in_its_watch_that_history_is_gone_lists_again():
    async def main() -> None:
        clock = SimulatedClock(asyncio.get_running_loop(), seed=1)
        async with watched() as api:
            seen = Seen(api, clock)
            task = asyncio.create_task(seen.informer.run())
            await seen.informer.synced.wait()
            await clock.sleep(1)
            with api.faults.add(verb="watch", error="Expired", events=1, times=1) as rule:
                await api.config_map("a")
                await api.config_map("b")
                await clock.sleep(5)
            assert rule.hits == 1
            assert api.audit.calls(verb="list", resource="configmaps", code=200)[1:]
            assert [name for name in seen.events if name.endswith((" a", " b"))] == ["ADDED a", "ADDED b"]
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    run_simulated(main())


async def test_the_resume_of_a_cut_watch_alone_is_refused_and_once():
    async with watched() as api:
        start = (await api.config_map("a"))["metadata"]["resourceVersion"]
        client = api.client(agent="mine")
        cut = api.faults.add(verb="watch", agent="mine", drop=True, events=0, expire=True, times=1)
        async with aclosing(client.of(core_v1.ConfigMap).watch(start, "default")) as events:
            with cut, pytest.raises(Dropped):
                await anext(events)
        other = await api.watch(f"{MAPS}?watch=1&resourceVersion={start}")
        with pytest.raises(Expired, match="too old resource version"):
            async with aclosing(client.of(core_v1.ConfigMap).watch(start, "default")) as events:
                await anext(events)
        await api.config_map("b")
        async with aclosing(client.of(core_v1.ConfigMap).watch(start, "default")) as events:
            assert (await anext(events)).key.name == "b"
        assert (await other.names(1)) == ["ADDED b"]
        await other.close()


async def test_lists_that_may_be_old_are_and_others_are_not():
    async with watched() as api:
        await api.config_map("a")
        with api.faults.add(verb="list", resource="configmaps", stale=True) as rule:
            revision = (await api.config_map("b"))["metadata"]["resourceVersion"]

            async def names(query: str = "") -> set[str]:
                found = await api.ok("GET", f"{MAPS}{query}")
                return {one["metadata"]["name"] for one in found["items"]}

            assert await names("?resourceVersion=0") == {"a"}
            assert await names() == {"a", "b"}, "without a revision it is the newest that is asked for"
            assert await names(f"?resourceVersion={revision}") == {"a", "b"}, (
                "older than this is refused by the request"
            )
            assert await names("?resourceVersion=0&limit=5") == {"a"}
            assert rule.hits == 2
        assert await names("?resourceVersion=0") == {"a", "b"}


async def test_over_tls_a_dropped_connection_is_one(apiserver_identity):
    identity, client_context = apiserver_identity
    async with watched() as api:
        server = HttpServer(api.handler, ssl=server_context(identity), clock=SystemClock())
        await server.start("127.0.0.1", 0)
        client = HttpClient(f"https://127.0.0.1:{server.port}", ssl=client_context)
        try:
            with api.faults.add(path="/healthz", drop=True, times=1) as rule:
                with pytest.raises(OSError, match=r"."):
                    await client(Request("GET", "/healthz", Headers([])))
                assert rule.hits == 1
            assert (await client(Request("GET", "/healthz", Headers([])))).status == 200
            await _cut_stream(api, client)
        finally:
            await client.aclose()
            await server.stop()


async def _cut_stream(api: Watched, client: HttpClient) -> None:
    """A watch over the wire ends as a broken connection, not as a whole answer."""
    token = await api.ok(
        "POST", "/api/v1/namespaces/default/serviceaccounts/default/token", {"spec": {"audiences": []}}
    )
    await api.made(
        "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
        {
            "metadata": {"name": "all"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": "default"}],
        },
    )
    headers = Headers([("authorization", f"Bearer {token['status']['token']}"), ("user-agent", "wire/1")])
    response = await client(Request("GET", f"{MAPS}?watch=1", headers))
    await api.config_map("a")
    assert b'"a"' in await anext(aiter(response.body))
    with api.faults.add(agent="wire", drop=True), pytest.raises(OSError, match=r"."):
        await gathered(response.body, [])
    (seen,) = api.audit.calls(verb="watch", agent="wire")
    assert seen.user == "system:serviceaccount:default:default"


@pytest.fixture
def apiserver_identity(tmp_path):
    from pybernetes.aio.clock import SystemClock as Now
    from pybernetes.wire.pki.certificates import Leaf, issue, new_authority

    now = Now().now()
    authority = new_authority("test", now)
    certificate, key = issue(authority, Leaf("server", hosts=("127.0.0.1",), usages=("server auth",)), now)
    identity = Identity(tmp_path / "tls.crt", tmp_path / "tls.key")
    identity.certificate.write_bytes(certificate)
    identity.key.write_bytes(key)
    context = ssl.create_default_context(cadata=authority.pem.decode())
    return identity, context


async def test_a_partition_of_one_client_leaves_the_others_alone():
    async with watched() as api:
        mine, other = api.client(agent="mine"), api.client(agent="other")
        with api.faults.add(agent="mine", drop=True):
            with pytest.raises(ConnectionError):
                await mine.raw("GET", MAPS)
            await other.raw("GET", MAPS)
        assert orjson.dumps(await mine.raw("GET", MAPS))


@simulated(seed=1)
async def test_controllers_get_over_faults_and_the_rules_say_that_they_were_met():
    async with Cluster() as c:
        refused = c.faults.add(
            verb="create", resource="pods", agent="replicaset-controller", error="Forbidden", times=2
        )
        lost = c.faults.add(verb="patch", resource="deployments/status", drop=True, written=True, times=2)
        cut = c.faults.add(verb="watch", resource="pods", drop=True, expire=True, times=2)
        await c.apply(deployment("web", 2))
        await c.wait("deployment/web", "jsonpath={.status.availableReplicas}=2", seconds=300)
        assert (refused.hits, cut.hits) == (2, 2)
        assert lost.hits == 2
        assert {call.code for call in c.audit.calls(verb="create", resource="pods")} == {403, 201}


def test_a_twin_takes_rules_from_the_tests_own_thread():
    with SyncCluster(nodes=0, controllers=(), scheduler=False) as c:
        with c.faults.add(verb="list", resource="secrets", error="ServiceUnavailable") as rule:
            with pytest.raises(ServiceUnavailable):
                c.raw("GET", "/api/v1/secrets")
            assert rule.hits == 1
        c.raw("GET", "/api/v1/secrets")
        c.audit.assert_order({"code": 503}, {"code": 200}, verb="list", resource="secrets")


async def test_clients_with_a_kubeconfig_meet_the_same_rules():
    async with Cluster(nodes=0, controllers=(), scheduler=False) as c:
        transport = kubeconfig.transport_of(kubeconfig.load(c.kubeconfig("jane")))
        client = Client(transport, clock=c.clock)
        with (
            c.faults.add(user="jane", error="TooManyRequests", retry_after=0, times=3) as rule,
            pytest.raises(Forbidden),
        ):
            await client.raw("GET", "/api/v1/pods")
        await transport.aclose()
        assert rule.hits == 3
        assert [call.code for call in c.audit.calls(user="jane")] == [429, 429, 429, 403]
