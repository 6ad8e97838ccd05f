"""Ends of containers that the runtime's events have announced and its lists do not show yet. worker.py holds one a Pod.

containerd says at once how a process ended; CRI shows it when it has cleaned up after it, a tenth of a second later or more.
The event is believed, but for a failure in a group whose memory is limited, for the kernel may have killed its main process
or another, and for one whose log is its last word: of these CRI knows more.
"""

from collections.abc import Iterable

from msgspec.structs import replace

from pybernetes.api.types import core_v1
from pybernetes.kubelet.cri.events import Exit
from pybernetes.kubelet.cri.model import MESSAGE_POLICY, OOM_HEARD, OOM_KILLED, Container, State
from pybernetes.kubelet.pod_containers import containers_of

SOON = 2.0
"""Seconds after an end in which the runtime is expected to show it."""
_VALID = 30.0
"""Seconds after which a runtime that still says `running` is believed rather than its event."""


class Exits:
    """Of one Pod. `now` is monotonic, but for `unsure()`."""

    def __init__(self) -> None:
        self._announced: dict[str, tuple[float, Exit]] = {}

    def announce(self, id: str, exit: Exit, now: float) -> None:
        """An event says that a container has ended."""
        self._announced[id] = (now, exit)

    def shown(self, id: str) -> None:
        """The runtime says so, too."""
        self._announced.pop(id, None)

    def compare(self, listed: Iterable[Container], now: float) -> None:
        """Forgets what the runtime's list shows, and what it has not shown for too long."""
        running = {c.id for c in listed if c.state == State.RUNNING}
        self._announced = {
            id: (at, exit) for id, (at, exit) in self._announced.items() if id in running and now < at + _VALID
        }

    def applied(self, runs: Iterable[Container], pod: core_v1.Pod | None) -> tuple[Container, ...]:
        """The runs, with the ends that are believed."""
        return tuple(self._applied(run, pod) for run in runs)

    def _applied(self, run: Container, pod: core_v1.Pod | None) -> Container:
        _, exit = self._announced.get(run.id, (0.0, None))
        if exit is None or run.state != State.RUNNING or not _tells_all(run, exit, pod):
            return run
        reason = "Completed" if exit.code == 0 else "Error"
        return replace(run, state=State.EXITED, exit_code=exit.code, finished=exit.at, reason=reason)

    def late(self, runs: Iterable[Container]) -> frozenset[str]:
        """Runs that have ended, but not yet as far as the runtime's list goes."""
        return frozenset(c.id for c in runs if c.id in self._announced and c.state == State.EXITED)

    def awaited(self, now: float) -> set[str]:
        """Containers whose end the runtime should show soon."""
        return {id for id, (at, _) in self._announced.items() if now < at + SOON}


def unsure(runs: Iterable[Container], pod: core_v1.Pod | None, now: float) -> bool:
    """Whether the runtime may yet hear that it was the kernel who killed: apart from the end, and perhaps after it."""
    return any(
        c.exit_code != 0
        and c.reason != OOM_KILLED
        and c.finished > now - OOM_HEARD
        and (pod is not None and memory_limited(pod, c.name))
        for c in runs
    )


def memory_limited(pod: core_v1.Pod, name: str) -> bool:
    """Whether a container, or its Pod as a whole, has a limit of memory."""
    every = containers_of(pod)
    own = any("memory" in c.resources.limits for c in every if c.name == name)
    return own or (pod.spec.resources is not None and "memory" in pod.spec.resources.limits)


def _tells_all(run: Container, exit: Exit, pod: core_v1.Pod | None) -> bool:
    if exit.code == 0:
        return True
    if pod is None or run.annotations.get(MESSAGE_POLICY) == "FallbackToLogsOnError":
        return False
    return not memory_limited(pod, run.name)
