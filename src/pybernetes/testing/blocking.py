"""SyncCluster: the twin of Cluster for tests that know no loop. Same names, no await.

    with SyncCluster(nodes=2) as cluster:
        cluster.apply(Path("shop.yaml"))
        cluster.wait("deployment/web", "condition=Available", namespace="shop")

On real and manual time the cluster lives in a thread of its own, so that any thread and any loop may use it, and a test
that blocks does not stop it. On simulated time there is no thread: the loop runs while somebody calls.
"""

import asyncio
import atexit
import os
import threading
import warnings
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Protocol, TypeVar, Unpack

from pybernetes.aio.clock import SystemClock
from pybernetes.aio.loopthread import EndedError, LoopThread, done
from pybernetes.aio.simulation import SimulatedLoop
from pybernetes.api.objects import Object, User
from pybernetes.assembly.controlplane import ADMIN
from pybernetes.client.rest import Client
from pybernetes.testing.audit import Audit
from pybernetes.testing.checkpoint import Checkpoint
from pybernetes.testing.clients import Run, SyncClient, bridged
from pybernetes.testing.cluster import Cluster, started
from pybernetes.testing.errors import FORKED, ClosedClusterError, WrongLoopError
from pybernetes.testing.faults import Faults
from pybernetes.testing.handles import Node, Pod
from pybernetes.testing.objects import SECONDS, Condition, Objects, Source
from pybernetes.testing.options import OptionsByName

T = TypeVar("T")


class _Home(Protocol):
    """Where the cluster's loop runs."""

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs the work there and waits for it."""

    def stop(self) -> None:
        """Ends the loop."""


class SyncObjects(ABC):
    """objects.Objects without await."""

    def __init__(self, twin: Objects) -> None:
        self._twin = twin

    @abstractmethod
    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine where the twin is used, and waits for it."""

    def raw(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | bytes | None = None,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Object:
        """As Objects.raw()."""
        return self.run(self._twin.raw(method, path, body, query=query, headers=headers))

    def apply(self, source: Source, *, namespace: str = "default", force: bool = True) -> list[Object]:
        """As Objects.apply()."""
        return self.run(self._twin.apply(source, namespace=namespace, force=force))

    def wait(
        self,
        what: str,
        condition: Condition = "create",
        *,
        namespace: str = "default",
        labels: str = "",
        seconds: float = SECONDS,
    ) -> list[Object]:
        """As Objects.wait()."""
        return self.run(self._twin.wait(what, condition, namespace=namespace, labels=labels, seconds=seconds))

    @abstractmethod
    def report(self, namespace: str) -> str:
        """What a namespace looks like, for whoever has to find out why a test failed."""


class SyncCluster(SyncObjects):
    """One cluster, entered once. Options as Cluster's; `time` None is real."""

    def __init__(self, **options: Unpack[OptionsByName]) -> None:
        self.cluster = Cluster(**options)
        """The twin, which belongs to the cluster's loop: use it in run() only."""
        super().__init__(self.cluster)
        self._home: _Home | None = None
        self._process = os.getpid()
        self._used = False

    def __enter__(self) -> "SyncCluster":
        if self._used:
            raise ClosedClusterError("a cluster is entered once: make another SyncCluster()")
        self._used = True
        self._home = _Here(self.cluster) if self.cluster.options.time == "simulated" else running_thread()
        try:
            self._home.call(self.cluster.__aenter__())
        except BaseException:
            self._end()
            raise
        atexit.register(self._forgotten)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if os.getpid() != self._process:
            return  # it goes on in the parent
        try:
            self.run(self.cluster.__aexit__(kind, error, trace))
        finally:
            self._end()

    async def __aenter__(self) -> NoReturn:
        """Of its twin; raises TypeError."""
        raise TypeError("a SyncCluster is entered with `with`; in async code take `async with Cluster()`")

    async def __aexit__(self, *_: object) -> None:
        """Of its twin; never gets here."""

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine in the cluster's loop and waits for it: for what only async code can do.

        Raises ClosedClusterError, WrongLoopError.
        """
        home = self._home
        if home is None or os.getpid() != self._process:
            work.close()
            if home is not None:
                raise WrongLoopError(FORKED)
            when = "its block has ended" if self._used else "use it inside `with SyncCluster() as cluster`"
            raise ClosedClusterError(f"the cluster is not running: {when}")
        if isinstance(home, LoopThread) and home.inside:
            work.close()
            raise WrongLoopError(
                "this is the cluster's own loop, which cannot wait for itself: await the words of `cluster.cluster` here"
            )
        try:
            return home.call(work)
        except EndedError:
            raise ClosedClusterError("the cluster ended during the call") from None

    @property
    def faults(self) -> Faults:
        """Rules by which requests fail, as Cluster.faults."""
        return self.cluster.faults

    @property
    def audit(self) -> Audit:
        """What was asked of the API server, as Cluster.audit."""
        return self.cluster.audit

    def client(self, user: User | str = ADMIN, *, agent: str = "pybernetes") -> SyncClient:
        """A client without sockets, as Cluster.client(), whose calls block."""
        return SyncClient(self.run(done(self.cluster.client, user, agent=agent)), self.run)

    def async_client(self, user: User | str = ADMIN, *, agent: str = "pybernetes") -> Client:
        """The same for async code in any loop: an async test with a cluster that many tests share.

        Raises WrongLoopError on simulated time, whose loop runs only while somebody calls.
        """
        inside: Client = self.run(done(self.cluster.client, user, agent=agent))
        if not isinstance(self._home, LoopThread):
            raise WrongLoopError(
                "a cluster on simulated time has no client for other loops: take Cluster and @simulated"
            )
        return Client(bridged(self._home, inside.transport), clock=SystemClock(), user_agent=agent)

    def kubeconfig(self, user: User | str = ADMIN) -> Path:
        """As Cluster.kubeconfig()."""
        path: Path = self.run(done(self.cluster.kubeconfig, user))
        return path

    def report(self, namespace: str) -> str:
        """As Cluster.report()."""
        return self.run(self.cluster.report(namespace))

    def advance(self, seconds: float = 0, *, minutes: float = 0, hours: float = 0, days: float = 0) -> None:
        """As Cluster.advance()."""
        self.run(self.cluster.advance(seconds, minutes=minutes, hours=hours, days=days))

    def node(self, name: str) -> "SyncNode":
        """As Cluster.node()."""
        return SyncNode(self.cluster.node(name), self.run)

    def pod(self, name: str, namespace: str = "default", *, seconds: float = SECONDS) -> "SyncPod":
        """As Cluster.pod()."""
        return SyncPod(self.cluster.pod(name, namespace, seconds=seconds), self.run)

    def checkpoint(self) -> Checkpoint:
        """As Cluster.checkpoint()."""
        return self.run(self.cluster.checkpoint())

    def restore(self, state: Checkpoint) -> int:
        """As Cluster.restore()."""
        return self.run(self.cluster.restore(state))

    def _end(self) -> None:
        home, self._home = self._home, None
        atexit.unregister(self._forgotten)
        if home is not None:
            home.stop()

    def _forgotten(self) -> None:
        """The interpreter ends and the block has not: nothing of the cluster may stay, and nothing hang."""
        if self._home is None or os.getpid() != self._process:
            return
        warnings.warn("a SyncCluster was never closed: leave its `with` block", ResourceWarning, stacklevel=1)
        self.__exit__(None, None, None)


class SyncNode:
    """handles.Node without await."""

    def __init__(self, node: Node, run: Run) -> None:
        self.name = node.name
        self._node = node
        self._run = run

    def __repr__(self) -> str:
        return repr(self._node)

    def fail(self) -> None:
        """A power cut."""
        self._run(self._node.fail())

    def recover(self) -> None:
        """Boots it again."""
        self._run(self._node.recover())

    def cordon(self) -> None:
        """No new Pods are given to it."""
        self._run(self._node.cordon())

    def uncordon(self) -> None:
        """It takes Pods again."""
        self._run(self._node.uncordon())


class SyncPod:
    """handles.Pod without await."""

    def __init__(self, pod: Pod, run: Run) -> None:
        self.name, self.namespace = pod.name, pod.namespace
        self._pod = pod
        self._run = run

    def __repr__(self) -> str:
        return repr(self._pod)

    def finish(self, exit_code: int = 0, *, container: str | None = None, reason: str = "", message: str = "") -> None:
        """Ends containers as if they had ended by themselves."""
        self._run(self._pod.finish(exit_code, container=container, reason=reason, message=message))

    def crash(self, *, times: int = 1, exit_code: int = 1, container: str | None = None) -> None:
        """Ends containers, and their next runs as soon as they start, so many together."""
        self._run(self._pod.crash(times=times, exit_code=exit_code, container=container))

    def oom(self, *, container: str | None = None) -> None:
        """The kernel kills containers for want of memory."""
        self._run(self._pod.oom(container=container))

    def ready(self, ready: bool = True, *, container: str | None = None) -> None:
        """Whether readiness probes succeed."""
        self._run(self._pod.ready(ready, container=container))

    def ignore_stop(self, ignore: bool = True) -> None:
        """It does not heed SIGTERM."""
        self._run(self._pod.ignore_stop(ignore))

    def log(self, text: str, *, container: str | None = None, stream: str = "stdout") -> None:
        """Writes lines to a container's log."""
        self._run(self._pod.log(text, container=container, stream=stream))

    def logs(self, *, container: str | None = None, previous: bool = False) -> str:
        """What `kubectl logs` shows."""
        text: str = self._run(self._pod.logs(container=container, previous=previous))
        return text


class _Here:
    """The loop of simulated time, in the thread that calls."""

    def __init__(self, cluster: Cluster) -> None:
        self._thread = threading.get_ident()
        self._runner = asyncio.Runner(loop_factory=lambda: SimulatedLoop(cluster.options.seed or 0))

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        if asyncio._get_running_loop() is not None or threading.get_ident() != self._thread:
            work.close()
            raise WrongLoopError(
                "a cluster on simulated time runs its loop in the thread that made it, where no other loop runs: "
                "take `async with Cluster()` in a test with @simulated"
            )
        return self._runner.run(work)

    def stop(self) -> None:
        self._runner.close()


def running_thread() -> LoopThread:
    """A thread for a cluster, or for the connections to one, with its loop running."""
    import uvloop  # costs a cluster on simulated time nothing

    return started("pybernetes-cluster", uvloop.new_event_loop)
