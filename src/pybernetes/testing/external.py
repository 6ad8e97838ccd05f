"""ExternalCluster: a cluster that runs elsewhere, in the words of SyncCluster. For tests that run on a real one, too.

What only a cluster inside the process can do (faults, audit, time, simulated nodes, checkpoints) raises
RealClusterError; plugin.py skips a test for it.
"""

from collections.abc import Coroutine, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, NoReturn, TypeVar

import msgspec

from pybernetes.aio.clock import SystemClock
from pybernetes.aio.loopthread import LoopThread
from pybernetes.api.objects import Object, User
from pybernetes.assembly.controlplane import ADMIN
from pybernetes.client import kubeconfig as kubeconfigs
from pybernetes.client.rest import Client
from pybernetes.testing.blocking import running_thread
from pybernetes.testing.clients import SyncClient, bridged
from pybernetes.testing.cluster import user_of
from pybernetes.testing.errors import ClosedClusterError, OptionError, RealClusterError, StartError
from pybernetes.testing.objects import SECONDS, Condition, Objects, Source
from pybernetes.testing.report import OBSERVER, of_namespace

T = TypeVar("T")


class ExternalCluster:
    """The cluster of a kubeconfig, entered once; nothing of it is started or ended. Entering raises StartError."""

    def __init__(self, kubeconfig: Path | str, *, context: str | None = None) -> None:
        self._path = Path(kubeconfig)
        self._context = context
        self._home: LoopThread | None = None
        self._config: kubeconfigs.Kubeconfig
        self._connections: dict[tuple[str, tuple[str, ...]], kubeconfigs.Connection] = {}
        self._words: Objects
        self._files: TemporaryDirectory[str] | None = None

    def __enter__(self) -> "ExternalCluster":
        try:
            self._config = kubeconfigs.load(self._path)
            self._home = running_thread()
            connection = self._connection(ADMIN)
            self._words = Objects(Client(connection, clock=SystemClock(), user_agent="pybernetes-testing"))
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
        """Runs a coroutine in a loop of its own thread and waits for it. Raises ClosedClusterError."""
        if self._home is None:
            work.close()
            raise ClosedClusterError("the cluster is not open: use it inside `with ExternalCluster(...) as cluster`")
        return self._home.call(work)

    def client(self, user: User | str = ADMIN, *, agent: str = "pybernetes") -> SyncClient:
        """As SyncCluster.client(). The administrator is the kubeconfig's user; others are impersonated by it."""
        client = Client(self._connection(user_of(user)), clock=SystemClock(), user_agent=agent)
        return SyncClient(client, self.run)

    def async_client(self, user: User | str = ADMIN, *, agent: str = "pybernetes") -> Client:
        """As SyncCluster.async_client()."""
        connection = self._connection(user_of(user))
        assert self._home is not None, "_connection() has looked"
        return Client(bridged(self._home, connection), clock=SystemClock(), user_agent=agent)

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

    def raw(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | bytes | None = None,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Object:
        """As SyncCluster.raw()."""
        return self.client().raw(method, path, body, query=query, headers=headers)

    def apply(self, source: Source, *, namespace: str = "default", force: bool = True) -> list[Object]:
        """As SyncCluster.apply()."""
        return self.run(self._words.apply(source, namespace=namespace, force=force))

    def wait(
        self,
        what: str,
        condition: Condition = "create",
        *,
        namespace: str = "default",
        labels: str = "",
        seconds: float = SECONDS,
    ) -> list[Object]:
        """As SyncCluster.wait()."""
        words = self._words.wait(what, condition, namespace=namespace, labels=labels, seconds=seconds)
        return self.run(words)

    def report(self, namespace: str) -> str:
        """As SyncCluster.report(), without the calls: those of a real cluster are known to it alone."""
        client = Client(self._connection(ADMIN), clock=SystemClock(), user_agent=OBSERVER)
        return self.run(of_namespace(client, namespace))

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
