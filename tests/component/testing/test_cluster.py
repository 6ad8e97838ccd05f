"""A cluster inside a test: Deployments reach their Pods on simulated nodes, any client is served, it stops clean."""

import asyncio
from pathlib import Path

import pytest
from tests.component.testing.manifests import SHOP, deployment

from pybernetes.aio.clock import SystemClock
from pybernetes.api.errors import Conflict, Forbidden, NotFound
from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1
from pybernetes.client import kubeconfig
from pybernetes.client.rest import Client
from pybernetes.testing import ClosedClusterError, Cluster, CrashedError, NotInTimeError, OptionError, WrongLoopError
from pybernetes.testing.virtual import simulated


@simulated
async def test_a_deployment_becomes_available_over_several_nodes():
    async with Cluster(nodes=2) as cluster:
        await cluster.apply(deployment("web", 4))
        await cluster.wait("deployment/web", "condition=Available")
        await cluster.wait("deployment/web", "jsonpath={.status.availableReplicas}=4")
        pods = await cluster.wait("pods", "jsonpath={.status.phase}=Running", labels="app=web")
        assert {pod["spec"]["nodeName"] for pod in pods} == {"node-1", "node-2"}


@simulated
async def test_deleting_the_owner_deletes_what_it_owns():
    async with Cluster() as cluster:
        await cluster.apply(deployment("web", 2))
        await cluster.wait("pods", "condition=Ready", labels="app=web")
        await cluster.raw("DELETE", "/apis/apps/v1/namespaces/default/deployments/web")
        assert await cluster.wait("pods", "delete", labels="app=web") == []


@simulated
async def test_pods_can_be_made_and_nodes_are_there_from_the_first_moment():
    async with Cluster(nodes=("east", "west")) as cluster:
        pod = {"metadata": {"name": "one"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        await cluster.raw("POST", "/api/v1/namespaces/default/pods", pod)
        nodes = (await cluster.raw("GET", "/api/v1/nodes"))["items"]
        assert [node["metadata"]["name"] for node in nodes] == ["east", "west"]


@simulated
async def test_without_controllers_and_scheduler_nothing_moves():
    async with Cluster(controllers=(), scheduler=False) as cluster:
        await cluster.apply(deployment("web", 1))
        await cluster.advance(minutes=10)
        assert (await cluster.raw("GET", "/apis/apps/v1/replicasets"))["items"] == []


@simulated
async def test_chosen_controllers_alone_run():
    async with Cluster(controllers=("deployment",)) as cluster:
        await cluster.apply(deployment("web", 1))
        await cluster.wait("replicasets")
        await cluster.advance(minutes=10)
        assert (await cluster.raw("GET", "/api/v1/pods"))["items"] == []


@simulated
async def test_definitions_and_their_objects_are_applied_in_one_text():
    async with Cluster() as cluster:
        _, shop = await cluster.apply(SHOP)
        assert shop["spec"] == {"doors": 2}
        (found,) = await cluster.wait("shop/corner", lambda obj: obj["spec"]["doors"] == 2)
        assert found["metadata"]["uid"] == shop["metadata"]["uid"]


@simulated
async def test_an_unknown_kind_is_told_with_its_place(tmp_path: Path):
    manifest = tmp_path / "shop.yaml"
    manifest.write_text("apiVersion: example.org/v1\nkind: Shop\nmetadata: {name: corner}\n")
    async with Cluster(nodes=0) as cluster:
        with pytest.raises(NotFound, match=r'shop.yaml: no matches for kind "Shop" in version "example.org/v1"'):
            await cluster.apply(manifest)
        with pytest.raises(ValueError, match="doesn't have a resource type 'shop'"):
            await cluster.wait("shop/corner")
        with pytest.raises(ValueError, match="'/corner' names no kind"):
            await cluster.wait("/corner")
        with pytest.raises(ValueError, match='unrecognized condition: "ready"; known: condition=NAME'):
            await cluster.wait("pod/one", "ready")


@simulated
async def test_fields_of_another_manager_are_taken_only_by_force():
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1"}}
    async with Cluster(nodes=0) as cluster:
        await cluster.apply(config)
        client = cluster.client(agent="other").of(core_v1.ConfigMap)
        await client.patch_raw(Key("default", "c"), {"data": {"a": "2"}})
        with pytest.raises(Conflict, match='conflict with "other"'):
            await cluster.apply(config, force=False)
        (again,) = await cluster.apply(config)
        assert again["data"] == {"a": "1"}


@simulated
async def test_what_does_not_come_is_told_with_what_was_seen_last():
    async with Cluster(nodes=0) as cluster:
        await cluster.apply(deployment("web", 1))
        with pytest.raises(
            NotInTimeError, match="not within 5 s: deployment/web in namespace default condition=Available"
        ) as told:
            await cluster.wait("deployment/web", "condition=Available", seconds=5)
        assert '"unavailableReplicas":1' in str(told.value)
        assert '{"type":"Available","status":"False","reason":"MinimumReplicasUnavailable","message":' in str(
            told.value
        )
        with pytest.raises(NotInTimeError, match=r"pod/none .*last seen: it is not there"):
            await cluster.wait("pod/none", seconds=1)


@simulated
async def test_users_may_do_what_rbac_says():
    async with Cluster(nodes=0) as cluster:
        with pytest.raises(Forbidden, match='User "jane" cannot list resource "pods"'):
            await cluster.client("jane").of(core_v1.Pod).list("default")
        await cluster.raw("POST", "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings", {
            "metadata": {"name": "view"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
            "subjects": [{"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": "system:serviceaccounts:default"}],
        })  # fmt: skip
        account = cluster.client("system:serviceaccount:default:robot")
        assert (await account.of(core_v1.Pod).list("default")).items == ()


@simulated
async def test_authorization_can_be_left_out():
    async with Cluster(nodes=0, authorization=("AlwaysAllow",)) as cluster:
        assert (await cluster.client("jane").of(core_v1.Pod).list("default")).items == ()


async def test_any_client_is_served_as_the_user_of_its_kubeconfig():
    async with Cluster() as cluster:
        for user, allowed in (("kubernetes-admin", True), ("jane", False)):
            path = cluster.kubeconfig() if allowed else cluster.kubeconfig(user)
            assert path.stat().st_mode & 0o777 == 0o600
            transport = kubeconfig.transport_of(kubeconfig.load(path))
            nodes = Client(transport, clock=SystemClock()).of(core_v1.Node)
            if allowed:
                assert [node.metadata.name for node in (await nodes.list()).items] == ["node-1"]
            else:
                with pytest.raises(Forbidden, match='User "jane" cannot list'):
                    await nodes.list()
            await transport.aclose()
        assert cluster.kubeconfig() == cluster.kubeconfig()
    assert not path.parent.exists()


async def test_middlewares_see_requests_of_both_ways_in():
    async with Cluster(nodes=0) as cluster:
        pass
    cluster, seen = Cluster(nodes=0), set()

    def noting(handler):
        async def handle(request):
            seen.add((request.headers.get("user-agent"), request.peer.certificate is not None))
            return await handler(request)

        return handle

    cluster.middlewares.append(noting)
    async with cluster:
        transport = kubeconfig.transport_of(kubeconfig.load(cluster.kubeconfig()))
        await Client(transport, clock=SystemClock(), user_agent="outside").raw("GET", "/api/v1/nodes")
        await transport.aclose()
        await cluster.client(agent="inside").raw("GET", "/api/v1/nodes")
    assert {("outside", True), ("inside", False), ("kube-controller-manager", False)} <= seen


async def test_without_a_socket_there_is_no_kubeconfig():
    async with Cluster(nodes=0, serve=False) as cluster:
        with pytest.raises(OptionError, match="this cluster has no socket"):
            cluster.kubeconfig()


async def test_clusters_stop_clean_and_leave_no_task():
    before = len(asyncio.all_tasks())
    for _ in range(3):
        async with Cluster() as cluster:
            assert cluster.kubeconfig().exists()
    assert len(asyncio.all_tasks()) == before


async def test_a_cluster_that_does_not_run_says_so():
    cluster = Cluster(nodes=0)
    with pytest.raises(ClosedClusterError, match="not running: use it inside `async with"):
        cluster.client()
    async with cluster:
        client = cluster.client()
    with pytest.raises(ClosedClusterError, match="not running: its block has ended"):
        await cluster.wait("pods")
    with pytest.raises(ClosedClusterError, match="its block has ended"):
        await client.of(core_v1.Pod).list()
    with pytest.raises(ClosedClusterError, match="entered once"):
        await cluster.__aenter__()


async def test_a_cluster_is_used_in_its_own_loop():
    async with Cluster(nodes=0) as cluster:
        client = cluster.client()

        def elsewhere() -> None:
            asyncio.run(client.raw("GET", "/api/v1/pods"))

        with pytest.raises(WrongLoopError, match="take SyncCluster"):
            await asyncio.to_thread(elsewhere)
        with pytest.raises(WrongLoopError, match="is used from elsewhere"):
            await asyncio.to_thread(cluster.kubeconfig)


async def test_time_and_loop_must_fit():
    with pytest.raises(WrongLoopError, match="cannot run in an ordinary loop: put @simulated"):
        async with Cluster(time="simulated"):
            pass
    async with Cluster(nodes=0) as cluster:
        with pytest.raises(OptionError, match="time advances by itself here"):
            await cluster.advance(minutes=5)


@simulated
async def test_real_time_and_sockets_do_not_go_into_a_simulated_loop():
    with pytest.raises(WrongLoopError, match="cannot run in a simulated loop"):
        async with Cluster(time="real"):
            pass
    with pytest.raises(OptionError, match="knows no sockets"):
        async with Cluster(serve=True):
            pass


async def test_an_error_in_the_block_is_raised_as_it_is_and_the_cluster_ends():
    paths = []

    async def failing() -> None:
        async with Cluster(nodes=0) as cluster:
            paths.append(cluster.kubeconfig())
            raise KeyError("as raised")

    with pytest.raises(KeyError, match="as raised"):
        await failing()
    assert not paths[0].exists()


async def test_a_part_that_fails_is_told(monkeypatch):
    from pybernetes.assembly.simulated.nodes import SimulatedNodes

    async def failing(self) -> None:
        await asyncio.sleep(0)
        raise RuntimeError("no nodes today")

    monkeypatch.setattr(SimulatedNodes, "run", failing)
    with pytest.raises(CrashedError, match="RuntimeError: no nodes today"):
        async with Cluster(nodes=1):
            pass


@simulated
async def test_more_nodes_than_the_usual_network_has_ranges_for() -> None:
    async with Cluster(nodes=300) as cluster:
        await cluster.advance(10)
        nodes = await cluster.raw("GET", "/api/v1/nodes")
        assert len({node["spec"]["podCIDR"] for node in nodes["items"]}) == 300
