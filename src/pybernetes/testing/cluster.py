"""A cluster inside a test process: the real API server on the memory store, controllers, scheduler, simulated nodes.

    async with Cluster(nodes=2) as cluster:
        await cluster.apply(Path("shop.yaml"))
        await cluster.wait("deployment/web", "condition=Available", namespace="shop")

It runs in the loop that it is entered in. blocking.py is its twin for tests that know no loop.
"""

import asyncio
import os
from collections.abc import Callable, Coroutine
from dataclasses import replace
from math import inf
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, ParamSpec, TypeVar, Unpack

from pybernetes.aio.clock import Clock, SystemClock
from pybernetes.aio.loopthread import LoopThread, done
from pybernetes.aio.manual import ManualClock, ManualLoop
from pybernetes.aio.simulation import EPOCH, SimulatedClock, SimulatedLoop
from pybernetes.api.objects import User
from pybernetes.assembly.controlplane import ADMIN
from pybernetes.client.rest import Client
from pybernetes.client.transport import direct
from pybernetes.testing.audit import Audit
from pybernetes.testing.checkpoint import Checkpoint
from pybernetes.testing.clients import bridged
from pybernetes.testing.errors import FORKED, ClosedClusterError, OptionError, StartError, WrongLoopError
from pybernetes.testing.faults import Faults
from pybernetes.testing.handles import Node, Pod
from pybernetes.testing.notes import NOTES
from pybernetes.testing.objects import SECONDS, Objects
from pybernetes.testing.options import Options, OptionsByName, Time, options_of
from pybernetes.testing.running import Running
from pybernetes.testing.traffic import Traffic
from pybernetes.wire.http import Middleware, Request, Response, Transport

P = ParamSpec("P")
T = TypeVar("T")

_ACCOUNT = "system:serviceaccount:"


class Cluster(Objects):
    """One cluster, entered once. Its options are those of options.Options; raises OptionError.

    Everything is used in the loop that it was entered in, but for clients with a kubeconfig: those may run anywhere.
    On manual time the parts run in a thread of their own, and what is done here is handed over.
    """

    def __init__(self, **options: Unpack[OptionsByName]) -> None:
        super().__init__()
        self.options = options_of(options)
        self.middlewares: list[Middleware] = []
        """Around the API server's handler, for every request whichever way it came; the first is the outermost."""
        self.faults = Faults()
        """Rules by which requests fail; they may be there before the cluster is entered."""
        self.audit = Audit()
        """What was asked of the API server, also after the end."""
        self._process = os.getpid()
        self._used = False
        self._running: Running | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._home: LoopThread | None = None

    async def __aenter__(self) -> "Cluster":
        if self._used:
            raise ClosedClusterError("a cluster is entered once: make another Cluster()")
        self._loop = asyncio.get_running_loop()
        self._process = os.getpid()
        options = _settled(self.options, self._loop)
        self._used = True
        if options.time == "manual":
            self._home = started("pybernetes-manual", ManualLoop)
        try:
            self._running = await self.inside(self._started(options))
        except BaseException:
            self._leave()
            raise
        NOTES.opened(self, self._loop)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if os.getpid() != self._process:
            return  # it goes on in the parent
        running = self.running
        try:
            await NOTES.closing(self, error)
            if error is None:
                running.check()
        finally:
            self._running = None
            try:
                await self.inside(running.stop())
            finally:
                self._leave()

    def __enter__(self) -> NoReturn:
        """Of its twin; raises TypeError."""
        raise TypeError("a Cluster is entered with `async with`; without async take `with SyncCluster()`")

    def __exit__(self, *_: object) -> None:
        """Of its twin; never gets here."""

    @property
    def running(self) -> Running:
        """Its parts, for those that play with them. Raises ClosedClusterError, WrongLoopError.

        On manual time they belong to another thread: do() gets there.
        """
        if self._running is None:
            when = "its block has ended" if self._used else "use it inside `async with Cluster() as cluster`"
            raise ClosedClusterError(f"the cluster is not running: {when}")
        if os.getpid() != self._process:
            raise WrongLoopError(FORKED)
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

    def do(self, work: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
        """Calls a plain function where the parts run, and waits for it."""
        if self._home is None:
            return work(*args, **named)
        return self._home.call(done(work, *args, **named))

    def client(self, user: User | str = ADMIN, *, agent: str = "pybernetes") -> Client:
        """A client without sockets, as this user: all authentication is done, all authorization still to come.

        A name is a user without groups, `system:serviceaccount:NAMESPACE:NAME` has those of an account.
        """
        clock = self.running.clock if self._home is None else SystemClock()
        return Client(self._transport(user_of(user)), clock=clock, user_agent=agent)

    def kubeconfig(self, user: User | str = ADMIN) -> Path:
        """A user's kubeconfig for any client, in a folder that goes with the cluster. Raises OptionError, StartError.

        A client that blocks this loop (subprocess.run, a client that is not async) waits for itself: take a thread, or
        SyncCluster.
        """
        return self.do(self.running.kubeconfig, user_of(user))

    async def report(self, namespace: str, *, since: int = 0) -> str:
        """Why a test failed, as far as a namespace (empty: all of them) can tell: Pods, events, the last calls (after a number).

        It is looked at past all faults, and leaves nothing in the audit.
        """
        return await self.inside(self.running.report(namespace, since))

    def node(self, name: str) -> Node:
        """Orders for a simulated node."""
        return Node(self, name)

    def pod(self, name: str, namespace: str = "default", *, seconds: float = SECONDS) -> Pod:
        """Orders for a Pod on a simulated node; each waits so many seconds at most."""
        return Pod(self, name, namespace, seconds)

    async def advance(self, seconds: float = 0, *, minutes: float = 0, hours: float = 0, days: float = 0) -> None:
        """Lets time pass that does not by itself, and what is due in it be done. Raises OptionError on real time, ValueError.

        It returns when nothing is left to do: on manual time also no request that had arrived.
        """
        total = seconds + 60 * minutes + 3600 * hours + 86400 * days
        if not 0 <= total < inf:
            raise ValueError(f"time goes forward only, and not for ever: {total} s")
        running = self.running
        if running.options.time == "real":
            raise OptionError("time advances by itself here: make the cluster with time='simulated' or time='manual'")
        await self.inside(running.advance(total))
        running.check()

    async def _started(self, options: Options) -> Running:
        """The parts, running in the loop where they are to be."""
        clock = _clock(options, asyncio.get_running_loop())
        running = Running(options, clock, Traffic(clock, self.faults, self.audit), self.middlewares)
        await running.start()
        return running

    async def inside(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs work where the parts run, and waits for it."""
        return await (work if self._home is None else self._home.acall(work))

    def _leave(self) -> None:
        home, self._home = self._home, None
        if home is not None:
            home.stop()

    async def checkpoint(self) -> Checkpoint:
        """The whole state as it is now, to come back to, or to begin other clusters with."""
        return await self.inside(self.running.checkpoint())

    async def restore(self, state: Checkpoint) -> int:
        """Brings the cluster back to a state: what came since is gone. How many objects changed.

        Whoever watches sees deletions, additions and changes; resourceVersions rise, time goes on. When it returns, the
        cluster's own components know of it, and have decided nothing meanwhile. Raises OptionError for what is no Checkpoint.
        """
        if not isinstance(state, Checkpoint):
            raise OptionError(f"restore() takes what checkpoint() gave, or Checkpoint.load(path); not {state!r}")
        return await self.inside(self.running.restore(state))

    def _transport(self, user: User) -> Transport:
        send = direct(self.running.plane.handler, user)
        if self._home is not None:
            send = bridged(self._home, send)

        async def checked(request: Request) -> Response:
            self.running.check()
            return await send(request)

        return checked


def started(name: str, factory: Callable[[], asyncio.AbstractEventLoop]) -> LoopThread:
    """A thread with a loop, running. Raises StartError."""
    home = LoopThread(name, factory)
    try:
        home.start()
    except (OSError, RuntimeError) as error:
        raise StartError(f"the cluster's thread cannot start: {error}") from error
    return home


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


def _settled(options: Options, loop: asyncio.AbstractEventLoop) -> Options:
    """The options for the loop there is. Raises WrongLoopError, OptionError."""
    simulated = isinstance(loop, SimulatedLoop)
    time: Time = options.time or ("simulated" if simulated else "real")
    if (time == "simulated") != simulated:
        place = "a simulated loop" if simulated else "an ordinary loop"
        raise WrongLoopError(
            f"a cluster with time={time!r} cannot run in {place}: put @simulated on the test for simulated time, "
            "and leave it out for any other"
        )
    return replace(options, time=time, serve=not simulated if options.serve is None else options.serve)


def _clock(options: Options, loop: asyncio.AbstractEventLoop) -> Clock:
    if isinstance(loop, SimulatedLoop):
        began = options.checkpoint.time if options.checkpoint is not None else None
        seed = loop.seed if options.seed is None else options.seed
        return SimulatedClock(loop, seed=seed, start=max(EPOCH, began or 0.0))
    if isinstance(loop, ManualLoop):
        return ManualClock(loop, options.seed)
    return SystemClock(options.seed)


def _current() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
