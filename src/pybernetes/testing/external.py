"""ExternalCluster: a cluster that runs elsewhere, in the words of SyncCluster. For tests that run on a real one, too.

What only a cluster inside the process can do (faults, audit, time, simulated nodes, checkpoints) raises
RealClusterError; plugin.py skips a test for it.
"""

from collections.abc import Callable, Coroutine
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, NoReturn, TypeVar

import msgspec

from pybernetes.aio.clock import SystemClock
from pybernetes.aio.loopthread import ForkedError, LoopThread
from pybernetes.api.objects import User
from pybernetes.assembly.controlplane import ADMIN
from pybernetes.client import kubeconfig as kubeconfigs
from pybernetes.client.rest import Client
from pybernetes.testing.blocking import SyncObjects, running_thread
from pybernetes.testing.clients import SyncClient, bridged
from pybernetes.testing.cluster import user_of
from pybernetes.testing.errors import (
    FORKED,
    ClosedClusterError,
    OptionError,
    RealClusterError,
    StartError,
    WrongLoopError,
)
from pybernetes.testing.objects import Objects
from pybernetes.testing.report import OBSERVER, of_namespace
from pybernetes.wire.http import Transport

T = TypeVar("T")


class _Remote(Objects):
    """Clients over a kubeconfig's connections, one a user."""

    def __init__(self, connection: Callable[[User], Transport]) -> None:
        super().__init__()
        self._connection = connection

    def client(self, user: User | str = ADMIN, *, agent: str = "pybernetes") -> Client:
        return Client(self._connection(user_of(user)), clock=SystemClock(), user_agent=agent)


class ExternalCluster(SyncObjects):
    """The cluster of a kubeconfig, entered once; nothing of it is started or ended. Entering raises StartError."""

    def __init__(self, kubeconfig: Path | str, *, context: str | None = None) -> None:
        self._path = Path(kubeconfig)
        self._context = context
        self._home: LoopThread | None = None
        self._config: kubeconfigs.Kubeconfig
        self._connections: dict[tuple[str, tuple[str, ...]], kubeconfigs.Connection] = {}
        self._remote = _Remote(self._connection)
        super().__init__(self._remote)
        self._files: TemporaryDirectory[str] | None = None

    def __enter__(self) -> "ExternalCluster":
        try:
            self._config = kubeconfigs.load(self._path)
            self._home = running_thread()
            self.raw("GET", "/version")
        except (OSError, kubeconfigs.ConfigError) as error:
            self._end()
            raise StartError(f"the cluster of {self._path} cannot be used: {error}") from error
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine in a loop of its own thread and waits for it. Raises ClosedClusterError, WrongLoopError."""
        if self._home is None:
            work.close()
            raise ClosedClusterError("the cluster is not open: use it inside `with ExternalCluster(...) as cluster`")
        try:
            return self._home.call(work)
        except ForkedError:
            raise WrongLoopError(FORKED) from None

    def client(self, user: User | str = ADMIN, *, agent: str = "pybernetes") -> SyncClient:
        """As SyncCluster.client(). The administrator is the kubeconfig's user; others are impersonated by it."""
        return SyncClient(self._remote.client(user, agent=agent), self.run)

    def async_client(self, user: User | str = ADMIN, *, agent: str = "pybernetes") -> Client:
        """As SyncCluster.async_client()."""
        inside = self._remote.client(user, agent=agent)
        assert self._home is not None, "_connection() has looked"
        return Client(bridged(self._home, inside.transport), clock=SystemClock(), user_agent=agent)

    def kubeconfig(self, user: User | str = ADMIN) -> Path:
        """A kubeconfig of the cluster: that which was given, or a copy that impersonates the user."""
        who = user_of(user)
        if who == ADMIN and self._context is None:
            return self._path
        config = self._as(who)
        if self._files is None:
            self._files = TemporaryDirectory(prefix="pybernetes-")
        path = Path(self._files.name) / f"{len(list(Path(self._files.name).iterdir()))}.conf"
        kubeconfigs.write(path, config)
        return path

    def report(self, namespace: str) -> str:
        """As SyncCluster.report(), without the calls: those of a real cluster are known to it alone."""
        return self.run(of_namespace(self._remote.client(agent=OBSERVER), namespace))

    def __getattr__(self, name: str) -> NoReturn:
        if name in _INSIDE_ONLY:
            raise RealClusterError(
                f"{name}: only a cluster inside the test process can do this; {self._path} is a real one"
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _connection(self, user: User) -> kubeconfigs.Connection:
        if self._home is None:
            raise ClosedClusterError("the cluster is not open: use it inside `with ExternalCluster(...) as cluster`")
        who = (user.name, tuple(user.groups))
        if who not in self._connections:
            self._connections[who] = kubeconfigs.transport_of(self._as(user))
        return self._connections[who]

    def _as(self, user: User) -> kubeconfigs.Kubeconfig:
        """The configuration of this context alone, for a user: paths in it absolute."""
        cluster, credentials = kubeconfigs.resolve(self._config, kubeconfigs.Overrides(context=self._context))
        if user != ADMIN:
            if user.name == ADMIN.name:
                raise OptionError(f"user: {user.name!r} with other groups cannot be impersonated on a real cluster")
            credentials = msgspec.structs.replace(
                credentials,
                impersonate=user.name,
                impersonate_groups=tuple(group for group in user.groups if group != "system:authenticated"),
            )
        return kubeconfigs.new("external", cluster, user.name, credentials)

    def _end(self) -> None:
        home, self._home = self._home, None
        if home is not None:
            for connection in self._connections.values():
                home.call(connection.aclose())
            home.stop()
        self._connections.clear()
        if self._files is not None:
            self._files.cleanup()
            self._files = None


_INSIDE_ONLY = frozenset({"advance", "audit", "checkpoint", "cluster", "faults", "node", "pod", "restore"})
"""What SyncCluster has beyond this."""
