"""Notes: what the clusters of this process tell of a test that fails. plugin.py asks for them; outside of pytest nobody does.

A cluster that is left by the test's own error is asked on its way out, since afterwards it is closed. One of a fixture is
still open when pytest knows of the failure, and is asked then. Imports nothing of a cluster: every run of pytest loads this.
"""

import os
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    import asyncio

    from pybernetes.testing.audit import Audit
    from pybernetes.testing.traffic import Call

NAMESPACES = 4
"""Of how many namespaces it is told, at most: those that were used last."""
_SECONDS = 10.0
"""After which a cluster that does not answer is left alone."""

Section: TypeAlias = tuple[str, str]
"""A title and a text."""


class Teller(Protocol):
    """What a cluster has for this: cluster.Cluster."""

    audit: "Audit"

    async def report(self, namespace: str, *, since: int) -> str:
        """Why a test failed, as far as a namespace can tell (an empty one is all of them), and the calls after that one."""


class Notes:
    """Of one process. Does nothing until listen()."""

    def __init__(self) -> None:
        self._failures: tuple[type[BaseException], ...] = ()
        self._others: tuple[type[BaseException], ...] = ()
        self._open: dict[Teller, tuple[asyncio.AbstractEventLoop, int]] = {}
        """With the loop of each, and how many calls there had been when the test began."""
        self._told: list[Section] = []
        self._process = 0

    def listen(self, failures: tuple[type[BaseException], ...], but: tuple[type[BaseException], ...]) -> None:
        """From now on clusters are asked. By which errors a test fails."""
        self._failures, self._others = failures, but

    def begin(self) -> None:
        """A test begins: what was before is not its doing."""
        self._told.clear()
        for cluster, (loop, _) in self._open.items():
            self._open[cluster] = (loop, cluster.audit.count)

    def opened(self, cluster: Teller, loop: "asyncio.AbstractEventLoop") -> None:
        """A cluster runs in this loop now."""
        if os.getpid() != self._process:  # a child of os.fork(): those of its parent do not answer here
            self._open.clear()
            self._process = os.getpid()
        if self._failures:
            self._open[cluster] = (loop, cluster.audit.count)

    async def closing(self, cluster: Teller, error: BaseException | None) -> None:
        """A cluster is about to end, by an error or without one. Called in its loop."""
        _, since = self._open.pop(cluster, (None, None))
        if since is not None and isinstance(error, self._failures) and not isinstance(error, self._others):
            self._told += await _told(cluster, since)

    def take(self) -> list[Section]:
        """What there is to tell of the test that has failed."""
        found, self._told = self._told, []
        for cluster, (loop, since) in list(self._open.items()) if os.getpid() == self._process else ():
            if loop.is_closed():
                del self._open[cluster]
            else:
                found += _asked(cluster, since, loop)
        return found


NOTES = Notes()
"""Those of this process."""


def _asked(cluster: Teller, since: int, loop: "asyncio.AbstractEventLoop") -> list[Section]:
    """Asks in the cluster's loop, which runs in another thread, or rests between the parts of a test."""
    import asyncio

    if asyncio._get_running_loop() is not None:
        return []  # waiting here would stop what is waited for
    work = _told(cluster, since)
    try:
        if loop.is_running():
            return asyncio.run_coroutine_threadsafe(work, loop).result(2 * _SECONDS)
        return loop.run_until_complete(work)
    except Exception as error:  # noqa: BLE001  # the test's own failure must be told whatever ails the cluster
        work.close()
        return [_silent("cluster", error)]


async def _told(cluster: Teller, since: int) -> list[Section]:
    """Of each namespace that the test used; of all together where it used none, but asked for something."""
    import asyncio

    calls = [call for call in cluster.audit if call.number > since and _of_a_test(call)]
    # A dict keeps the place of the first use: by the last one is wanted.
    names = list(dict.fromkeys(call.namespace for call in reversed(calls) if call.namespace))[:NAMESPACES]
    found = []
    for name in reversed(names or [""] * bool(calls)):
        title = f"namespace {name}" if name else "all namespaces"
        try:
            async with asyncio.timeout(_SECONDS):
                found.append((title, await cluster.report(name, since=since)))
        except Exception as error:  # noqa: BLE001  # as above
            found.append(_silent(title, error))
    return found


def _of_a_test(call: "Call") -> bool:
    """Not of the cluster's own components."""
    account = call.user.startswith("system:serviceaccount:") and not call.user.startswith(
        "system:serviceaccount:kube-system:"
    )
    return account or not call.user.startswith("system:")


def _silent(title: str, error: Exception) -> Section:
    return title, f"the cluster does not tell: {type(error).__name__}: {error}"
