"""A cluster inside a test process: the real API server on the memory store, controllers, scheduler, simulated nodes.

    async with Cluster(nodes=2) as cluster:
        await cluster.apply(Path("shop.yaml"))
        await cluster.wait("deployment/web", "condition=Available", namespace="shop")

It runs in the loop that it is entered in. blocking.py is its twin for tests that know no loop.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Unpack

from pybernetes.aio.clock import Clock, SystemClock
from pybernetes.aio.simulation import SimulatedClock, SimulatedLoop
from pybernetes.api.objects import Object, User
from pybernetes.assembly.controlplane import ADMIN
from pybernetes.client.rest import Client
from pybernetes.client.transport import direct
from pybernetes.testing.audit import Audit
from pybernetes.testing.errors import ClosedClusterError, OptionError, WrongLoopError
from pybernetes.testing.faults import Faults
from pybernetes.testing.objects import SECONDS, Condition, Objects, Source
from pybernetes.testing.options import Options, OptionsByName, Time, options_of
from pybernetes.testing.running import Running
from pybernetes.testing.traffic import Traffic
from pybernetes.wire.http import Middleware, Request, Response, Transport

_ACCOUNT = "system:serviceaccount:"


class Cluster:
    """One cluster, entered once. Its options are those of options.Options; raises OptionError.

    Everything is used in the loop that it was entered in, but for clients with a kubeconfig: those may run anywhere.
    """

    def __init__(self, **options: Unpack[OptionsByName]) -> None:
        self.options = options_of(options)
        self.middlewares: list[Middleware] = []
        """Around the API server's handler, for every request whichever way it came; the first is the outermost."""
        self.faults = Faults()
        """Rules by which requests fail; they may be there before the cluster is entered."""
        self.audit = Audit()
        """What was asked of the API server, also after the end."""
        self._used = False
        self._running: Running | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._objects: Objects | None = None

    async def __aenter__(self) -> "Cluster":
        if self._used:
            raise ClosedClusterError("a cluster is entered once: make another Cluster()")
        loop = asyncio.get_running_loop()
        options, clock = _settled(self.options, loop)
        self._used, self._loop = True, loop
        running = Running(options, clock, Traffic(clock, self.faults, self.audit), self.middlewares)
        await running.start()
        self._running = running
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        running, self._running = self.running, None
        try:
            if error is None:
                running.check()
        finally:
            await running.stop()

    @property
    def running(self) -> Running:
        """Its parts, for those that play with them. Raises ClosedClusterError, WrongLoopError."""
        if self._running is None:
            when = "its block has ended" if self._used else "use it inside `async with Cluster() as cluster`"
            raise ClosedClusterError(f"the cluster is not running: {when}")
        if _current() is not self._loop:
            raise WrongLoopError(
                "the cluster runs in the loop that it was entered in, and is used from elsewhere: "
                "take SyncCluster for several loops or threads, or a client with cluster.kubeconfig()"
            )
        return self._running

    @property
    def clock(self) -> Clock:
        """The cluster's time and chance."""
        return self.running.clock

    def client(self, user: User | str = ADMIN, *, agent: str = "pybernetes") -> Client:
        """A client without sockets, as this user: all authentication is done, all authorization still to come.

        A name is a user without groups, `system:serviceaccount:NAMESPACE:NAME` has those of an account.
        """
        running = self.running
        return Client(self._transport(user_of(user)), clock=running.clock, user_agent=agent)

    def kubeconfig(self, user: User | str = ADMIN) -> Path:
        """A user's kubeconfig for any client, in a folder that goes with the cluster. Raises OptionError, StartError.

        A client that blocks this loop (subprocess.run, a client that is not async) waits for itself: take a thread, or
        SyncCluster.
        """
        return self.running.kubeconfig(user_of(user))

    async def raw(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | bytes | None = None,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Object:
        """Any request as administrator; the answer as a dict. Raises ApiError."""
        return await self.client().raw(method, path, body, query=query, headers=headers)

    async def apply(self, source: Source, *, namespace: str = "default", force: bool = True) -> list[Object]:
        """objects.Objects.apply() as administrator."""
        return await self._words().apply(source, namespace=namespace, force=force)

    async def wait(
        self,
        what: str,
        condition: Condition = "create",
        *,
        namespace: str = "default",
        labels: str = "",
        seconds: float = SECONDS,
    ) -> list[Object]:
        """objects.Objects.wait() as administrator."""
        return await self._words().wait(what, condition, namespace=namespace, labels=labels, seconds=seconds)

    async def advance(self, seconds: float = 0, *, minutes: float = 0, hours: float = 0, days: float = 0) -> None:
        """Lets simulated time pass, and what is due in it be done. Raises OptionError on real time, ValueError."""
        total = seconds + 60 * minutes + 3600 * hours + 86400 * days
        if not total >= 0:
            raise ValueError(f"time goes forward only: {total} s")
        loop = asyncio.get_running_loop()
        if not isinstance(self.clock, SimulatedClock) or not isinstance(loop, SimulatedLoop):
            raise OptionError("time advances by itself here: make the cluster with time='simulated' or time='manual'")
        await self.clock.sleep(total)
        await loop.settled()

    def _words(self) -> Objects:
        if self._objects is None:
            self._objects = Objects(self.client(agent="pybernetes-testing"))
        return self._objects

    def _transport(self, user: User) -> Transport:
        async def send(request: Request) -> Response:
            running = self.running
            running.check()
            return await direct(running.plane.handler, user)(request)

        return send


def user_of(user: User | str) -> User:
    """The User of a name, with the groups of a ServiceAccount where it is one's."""
    if isinstance(user, User):
        return user
    if not isinstance(user, str) or not user:
        raise OptionError(f"user: {user!r} is not allowed; allowed: a name or a pybernetes.api.objects.User")
    namespace, _, account = user.removeprefix(_ACCOUNT).partition(":")
    if user.startswith(_ACCOUNT) and account:
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
        return User(user, groups=groups)
    return User(user, groups=("system:authenticated",))


def _settled(options: Options, loop: asyncio.AbstractEventLoop) -> tuple[Options, Clock]:
    """The options for the loop there is, with a clock. Raises WrongLoopError, OptionError."""
    if options.time == "manual":
        raise OptionError("time='manual' is not built yet")
    here: Time = "simulated" if isinstance(loop, SimulatedLoop) else "real"
    if options.time not in (None, here):
        place = "a simulated loop" if here == "simulated" else "an ordinary loop"
        raise WrongLoopError(
            f"a cluster with time={options.time!r} cannot run in {place}: put @simulated on the test for simulated time, "
            "and leave it out for real time"
        )
    serve = here == "real" if options.serve is None else options.serve
    settled = replace(options, time=here, serve=serve)
    if isinstance(loop, SimulatedLoop):
        return settled, SimulatedClock(loop, seed=loop.seed if options.seed is None else options.seed)
    return settled, SystemClock(options.seed)


def _current() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
