"""The twin without await: the same words, from any thread and beside any loop."""

import asyncio
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from tests.component.testing.manifests import deployment

from pybernetes.api.errors import Forbidden, NotFound
from pybernetes.api.types import core_v1, meta_v1
from pybernetes.testing import ClosedClusterError, Cluster, OptionError, SyncCluster, WrongLoopError

KUBECTL = str(Path(sys.executable).with_name("kubectl"))


@pytest.fixture(scope="module")
def cluster():
    with SyncCluster(nodes=2) as made:
        yield made


def test_the_same_words_without_await(cluster):
    cluster.apply(deployment("web", 2))
    (found,) = cluster.wait("deployment/web", "condition=Available")
    assert found["status"]["availableReplicas"] == 2
    assert len(cluster.raw("GET", "/api/v1/nodes")["items"]) == 2


def test_a_client_that_blocks_may_block(cluster):
    asked = [KUBECTL, "get", "nodes", "-o", "name", "--kubeconfig", str(cluster.kubeconfig())]
    assert subprocess.run(asked, check=True, capture_output=True, text=True).stdout == "node/node-1\nnode/node-2\n"


def test_typed_clients_without_await(cluster):
    configs = cluster.client().of(core_v1.ConfigMap)
    made = configs.create(core_v1.ConfigMap(metadata=meta_v1.ObjectMeta(name="a", namespace="default")))
    revision = configs.list("default").revision
    assert configs.patch_raw(configs_key(made), {"data": {"a": "1"}}).data == {"a": "1"}
    with configs.watch(revision, "default", timeout=5) as events:
        first = next(iter(events))
    assert (first.type, first.key.name) == ("MODIFIED", "a")
    configs.delete(configs_key(made))
    with pytest.raises(NotFound):
        configs.get("a", "default")
    with pytest.raises(Forbidden):
        cluster.client("jane").raw("GET", "/api/v1/pods")


def configs_key(obj):
    from pybernetes.client.rest import key_of

    return key_of(obj)


async def test_async_tests_have_clients_in_their_own_loop(cluster):
    pods = cluster.async_client().of(core_v1.Pod)
    revision = (await pods.list("default")).revision
    cluster.apply(deployment("async", 1))
    seen = []
    events = pods.watch(revision, "default")
    async for event in events:
        seen.append(event.object.status.phase)
        if seen[-1] == "Running":
            break
    await events.aclose()
    assert seen[0] == "Pending"


def test_threads_use_one_cluster_together(cluster):
    found = []

    def ask(number: int) -> None:
        cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"space-{number}"}})
        found.append(cluster.raw("GET", f"/api/v1/namespaces/space-{number}")["metadata"]["name"])

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [f"space-{number}" for number in range(8)]


def test_nothing_is_left_of_its_thread():
    before = threading.active_count()
    with SyncCluster(nodes=0) as cluster:
        assert threading.active_count() > before
        client, path = cluster.client(), cluster.kubeconfig()
    assert threading.active_count() == before
    assert not path.exists()
    with pytest.raises(ClosedClusterError, match="its block has ended"):
        client.raw("GET", "/api/v1/pods")
    with pytest.raises(ClosedClusterError, match="entered once"):
        cluster.__enter__()


def test_its_words_do_not_wait_in_their_own_loop(cluster):
    async def inside() -> None:
        cluster.raw("GET", "/version")

    with pytest.raises(WrongLoopError, match=r"await the words of `cluster.cluster` here"):
        cluster.run(inside())


async def test_each_of_the_twins_names_the_other_where_it_is_entered_like_that():
    with pytest.raises(TypeError, match=r"async with`; without async take `with SyncCluster\(\)`"), Cluster():
        pass
    with pytest.raises(TypeError, match=r"entered with `with`; in async code take `async with Cluster\(\)`"):
        async with SyncCluster():
            pass


async def test_an_async_client_that_outlives_its_cluster_is_told():
    with SyncCluster(nodes=0) as cluster:
        client = cluster.async_client()
        await client.raw("GET", "/api/v1/pods")
    with pytest.raises(ClosedClusterError, match="its block has ended"):
        await client.raw("GET", "/api/v1/pods")


def test_simulated_time_has_no_thread():
    before = threading.active_count()
    with SyncCluster(time="simulated") as cluster:
        cluster.apply(deployment("web", 1))
        cluster.advance(hours=1)
        assert threading.active_count() == before
        (found,) = cluster.wait("deployment/web", "condition=Available")
        with pytest.raises(OptionError, match="no socket"):
            cluster.kubeconfig()
        with pytest.raises(WrongLoopError, match="no client for other loops"):
            cluster.async_client()
    assert found["metadata"]["creationTimestamp"].startswith("2026-01-01T00:00:")


async def test_simulated_time_does_not_run_beside_another_loop():
    with pytest.raises(WrongLoopError, match="take `async with Cluster"):
        SyncCluster(time="simulated").__enter__()


async def test_simulated_time_is_used_from_its_own_thread():
    def use() -> None:
        with SyncCluster(time="simulated", nodes=0) as cluster:
            errors = []

            def other() -> None:
                try:
                    cluster.raw("GET", "/api/v1/pods")
                except WrongLoopError as error:
                    errors.append(error)

            thread = threading.Thread(target=other)
            thread.start()
            thread.join()
            assert errors

    await asyncio.to_thread(use)


FORGOTTEN = """
import sys
from pybernetes.testing import SyncCluster
cluster = SyncCluster(nodes=1{options}).__enter__()
if cluster.cluster.options.time is None:
    print(cluster.kubeconfig().parent)
sys.stdout.flush()
"""


@pytest.mark.parametrize("options", ["", ", time='simulated'"])
def test_a_forgotten_cluster_does_not_keep_the_process_and_says_so(options):
    asked = [sys.executable, "-W", "always", "-c", FORGOTTEN.format(options=options)]
    ended = subprocess.run(asked, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    assert "a SyncCluster was never closed: leave its `with` block" in ended.stderr
    assert "Traceback" not in ended.stderr
    if not options:
        assert not Path(ended.stdout.strip()).exists()
