"""Clusters leave nothing behind: no task, thread, socket, file or memory, however they end."""

import asyncio
import gc
import os
import socket
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from tests.component.testing.manifests import SHOP, deployment

from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1
from pybernetes.apiserver.server import ApiServer
from pybernetes.client.informer import Informer
from pybernetes.store.memory import MemoryStore
from pybernetes.testing import ClosedClusterError, Cluster, StartError, SyncCluster, WrongLoopError, simulated
from pybernetes.testing.running import Running

COUNT = 5
WARM = 2
"""What a process makes once (modules, tables) is there after so many."""
PARTS = ("pybernetes", "asyncio", "_asyncio", "uvloop", "socket", "_socket", "ssl", "_ssl", "concurrent", "threading")
RUNNING = ("coroutine", "async_generator", "generator", "frame", "function", "method", "cell")
CONFIG = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1"}}
TABLE = {"accept": "application/json;as=Table;g=meta.k8s.io;v=v1"}


def files() -> list[str]:
    """What the process has open, sockets among it."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            found.append(os.readlink(f"/proc/self/fd/{name}"))
    return sorted(found)


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other processes make folders in the machine's own, too."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def left() -> dict[str, Any]:
    """What clusters would leave."""
    for _ in range(2):
        gc.collect()
    kinds = (ApiServer, Running, MemoryStore, Informer)
    alive = [type(obj).__name__ for obj in gc.get_objects() if isinstance(obj, kinds)]
    return {
        "alive": alive,
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "files": len(files()),
        "folders": sorted(str(path) for path in Path(tempfile.gettempdir()).glob("pybernetes-*")),
    }


def objects() -> Counter[str]:
    """How many there are of each kind that a running cluster is made of."""
    found = Counter(type(obj) for obj in gc.get_objects())
    return Counter(
        {
            f"{kind.__module__}.{kind.__qualname__}": count
            for kind, count in found.items()
            if str(kind.__module__).partition(".")[0] in PARTS or kind.__name__ in RUNNING
        }
    )


async def use(cluster: Cluster) -> None:
    """Something of everything: objects of both kinds, a table, a watch that is cut off by the end."""
    await cluster.apply(CONFIG)
    await cluster.apply(SHOP)
    await cluster.apply(deployment("web", 1))
    await cluster.wait("deployment/web", "condition=Available")
    await cluster.raw("GET", "/apis/example.org/v1/shops", headers=TABLE)
    await cluster.raw("GET", "/apis/metrics.k8s.io/v1beta1/nodes")
    configs = cluster.client().of(core_v1.ConfigMap)
    events = configs.watch((await configs.list("default")).revision, "default")
    await configs.patch_raw(Key("default", "c"), {"data": {"a": "2"}})
    await anext(events)
    await events.aclose()


async def real() -> None:
    async with Cluster() as cluster:
        cluster.kubeconfig()
        await use(cluster)


async def by_hand() -> None:
    async with Cluster(time="manual") as cluster:
        cluster.kubeconfig()
        await use(cluster)
        await cluster.advance(minutes=1)


@simulated
async def virtual() -> None:
    async with Cluster() as cluster:
        await use(cluster)
        await cluster.advance(minutes=1)


def blocking() -> None:
    with SyncCluster() as cluster:
        cluster.kubeconfig()
        cluster.run(use(cluster.cluster))


def in_a_new_loop(one: Callable[[], Any]) -> None:
    """Those that are not async have one of their own."""
    if asyncio.iscoroutinefunction(one):
        asyncio.run(one())
    else:
        one()


@pytest.mark.parametrize("mode", [real, by_hand, virtual, blocking])
def test_clusters_leave_nothing(mode):
    for _ in range(WARM):
        in_a_new_loop(mode)
    before, kinds, blocks = left(), objects(), sys.getallocatedblocks()
    for _ in range(COUNT):
        in_a_new_loop(mode)
    assert left() == before
    assert dict(objects() - kinds) == {}
    # Of a cluster's forty thousand blocks of memory none stays; caches with an end, of times as text above all, take a few.
    assert (sys.getallocatedblocks() - blocks) / COUNT < 1000


async def test_clusters_in_one_loop_leave_no_task():
    await real()
    before = len(asyncio.all_tasks())
    for _ in range(3):
        await real()
    assert len(asyncio.all_tasks()) == before


async def test_two_clusters_live_side_by_side():
    async with Cluster(nodes=0) as one, Cluster(nodes=0) as two:
        await one.apply(CONFIG)
        assert await one.wait("configmap/c")
        assert (await two.raw("GET", "/api/v1/namespaces/default/configmaps"))["items"] != []
        names = {item["metadata"]["name"] for item in (await two.raw("GET", "/api/v1/configmaps"))["items"]}
        assert "c" not in names
        assert one.kubeconfig() != two.kubeconfig()


@pytest.mark.parametrize("turns", [*range(0, 40, 3), 60, 100, 150])
async def test_a_start_that_is_cancelled_in_its_middle_leaves_nothing(turns):
    await real()
    tasks, before = len(asyncio.all_tasks()), left()
    cluster = Cluster(nodes=2)
    starting = asyncio.create_task(cluster.__aenter__())
    for _ in range(turns):
        await asyncio.sleep(0)
    done = starting.done()
    starting.cancel()
    await asyncio.wait([starting])
    if done:
        await cluster.__aexit__(None, None, None)
    else:
        assert starting.cancelled()
        with pytest.raises(ClosedClusterError):
            cluster.client()
    del starting, cluster
    assert len(asyncio.all_tasks()) == tasks
    assert left() == before


@pytest.mark.parametrize("time", ["real", "manual"])
def test_a_start_that_fails_leaves_nothing(time, monkeypatch):
    asyncio.run(real())
    blocking()  # what uvloop opens once for a process is open
    before = left()

    async def failing(self) -> None:
        raise RuntimeError("no server today")

    with monkeypatch.context() as patched:
        patched.setattr(ApiServer, "run", failing)
        with pytest.raises(Exception, match="no server today"):
            SyncCluster(time=time).__enter__()
    assert left() == before


def no_port(monkeypatch) -> None:
    def refuse(self, address) -> None:
        raise OSError(98, "Address already in use")

    monkeypatch.setattr(socket.socket, "bind", refuse)


def no_file(monkeypatch) -> None:
    def refuse(*args: Any, **named: Any) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("pybernetes.testing.running.socket.socket", refuse)


@pytest.mark.parametrize(
    ("trouble", "text"), [(no_port, "no port on 127.0.0.1 can be used: Address already"), (no_file, "Too many open")]
)
async def test_a_machine_without_ports_is_told(trouble, text, monkeypatch):
    with monkeypatch.context() as patched:
        trouble(patched)
        with pytest.raises(StartError, match=text):
            await Cluster(nodes=0).__aenter__()
    async with Cluster(nodes=0, serve=False):
        pass


async def test_a_machine_without_a_place_for_files_is_told(monkeypatch, tmp_path):
    async with Cluster(nodes=0) as cluster:
        with monkeypatch.context() as patched:
            patched.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
            with pytest.raises(StartError, match=r"files cannot be written: .*No such file"):
                cluster.kubeconfig()
        assert cluster.kubeconfig().exists()


def test_a_machine_without_threads_is_told(monkeypatch):
    def refuse(self) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(StartError, match="can't start new thread"):
            SyncCluster(nodes=0).__enter__()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_forked_child_leaves_its_parents_cluster_alone():
    with SyncCluster(nodes=0) as cluster, ExitStack() as stack:
        path = cluster.kubeconfig()
        port = cluster.cluster._running.port
        reader, writer = os.pipe()
        stack.callback(os.close, reader)
        child = os.fork()
        if not child:
            code = 1
            try:
                cluster.raw("GET", "/api/v1/nodes")
            except WrongLoopError as error:
                os.write(writer, f"{type(error).__name__}: {error}".encode())
                listening = [s for s in files() if s.startswith("socket")]
                os.write(writer, f" {len(listening)}".encode())
                code = 0
            finally:
                os._exit(code)
        os.close(writer)
        assert os.waitpid(child, 0)[1] == 0
        told = os.read(reader, 1000).decode()
        assert "WrongLoopError: the cluster belongs to the process that this one was forked from" in told
        assert cluster.raw("GET", "/api/v1/nodes")["items"] == []
        assert path.exists()
        with socket.create_connection(("127.0.0.1", port)):
            pass
