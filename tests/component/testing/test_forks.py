"""A child of os.fork() and the cluster of its parent: an error that says what to do, no hang, and nothing taken from the parent."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pybernetes.testing import Cluster, SyncCluster, WrongLoopError

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


def in_a_child(work: Callable[[], object]) -> str:
    """What the work raises in a forked child; empty if nothing. A child that hangs is killed, and says nothing either."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        signal.alarm(30)
        asyncio._set_running_loop(None)
        try:
            work()
        except BaseException as error:  # noqa: BLE001  # SystemExit is one
            os.write(writer, f"{type(error).__name__}: {error}".encode())
        else:
            os.write(writer, b"nothing")
        os._exit(0)
    os.close(writer)
    with open(reader) as said:
        text = said.read()
    assert os.waitpid(child, 0)[1] == 0, "it hung"
    return text.removeprefix("nothing")


@pytest.fixture(scope="module", params=["real", "manual"])
def parents(request: pytest.FixtureRequest) -> Iterator[SyncCluster]:
    with SyncCluster(time=request.param) as cluster:
        yield cluster


@pytest.mark.parametrize(
    "use",
    [
        lambda cluster, made: cluster.raw("GET", "/version"),
        lambda cluster, made: cluster.kubeconfig(),
        lambda cluster, made: cluster.pod("web").crash(),
        lambda cluster, made: cluster.faults.add(verb="get", error="Conflict"),
        lambda cluster, made: made[0].raw("GET", "/version"),
        lambda cluster, made: asyncio.run(made[1].raw("GET", "/version")),
    ],
    ids=["word", "kubeconfig", "handle", "faults", "client", "async-client"],
)
def test_whatever_a_child_asks_is_refused(parents: SyncCluster, use: Callable[[SyncCluster, Any], object]) -> None:
    made = parents.client(), parents.async_client()
    said = in_a_child(lambda: use(parents, made))
    assert said.startswith(
        "WrongLoopError: the cluster belongs to the process that this one was forked from: make another"
    )
    assert parents.raw("GET", "/version")


async def test_a_child_in_the_same_loop() -> None:
    async with Cluster(nodes=0) as cluster:
        client, loop = cluster.client(), asyncio.get_running_loop()

        def go_on() -> None:
            asyncio._set_running_loop(loop)  # as after os.fork() in the middle of a coroutine
            for use in (cluster.client, cluster.kubeconfig):
                with pytest.raises(WrongLoopError, match="forked from"):
                    use()
            client.raw("GET", "/version").send(None)

        assert in_a_child(go_on).startswith("WrongLoopError: the cluster belongs to the process")
        assert await client.raw("GET", "/version")


LEAVES = """
import asyncio, os, signal, sys
from pybernetes.testing import Cluster, SyncCluster

def fork(leave):
    child = os.fork()
    if not child:
        signal.alarm(30)
        try:
            leave()
        except StopIteration:
            pass
        import weakref
        weakref.finalize._exitfunc()  # as sys.exit() does, but for what it would do to a loop that runs
        print("left", flush=True)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0, "it hung"
"""
BLOCKING = """
with SyncCluster(time=TIME) as cluster:
    path = cluster.kubeconfig()
    fork(lambda: cluster.__exit__(None, None, None))
    assert path.exists()
    assert cluster.raw("GET", "/version")
"""
IN_A_LOOP = """
async def main():
    async with Cluster(nodes=0) as cluster:
        path = cluster.kubeconfig()
        fork(lambda: cluster.__aexit__(None, None, None).send(None))
        assert path.exists()
        assert await cluster.raw("GET", "/version")

asyncio.run(main())
"""


@pytest.mark.parametrize(
    "program", [f"TIME = 'real'{BLOCKING}", f"TIME = 'manual'{BLOCKING}", IN_A_LOOP], ids=["real", "manual", "loop"]
)
def test_a_child_that_leaves_the_block_and_ends_takes_nothing_away(program: str) -> None:
    """In a process of its own: a child that ends takes away all that Python's own means would, folders of other tests, too."""
    command = [sys.executable, "-W", "ignore", "-c", LEAVES + program]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert (ended.returncode, ended.stdout) == (0, "left\n"), ended.stderr


def test_a_child_may_have_a_cluster_of_its_own(parents: SyncCluster) -> None:
    def own() -> None:
        with SyncCluster(nodes=0) as cluster:
            assert cluster.raw("GET", "/version")

    assert in_a_child(own) == ""
