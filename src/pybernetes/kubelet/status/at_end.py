"""What a Pod's status says of its containers once it has been ended from outside: nothing waits any more. pod_status.py asks.

A container that never came to run has ended, too, with a code that is a failure; only those behind an init container that
had not its turn stay as they are. Job controllers count on it: a Pod that was deleted while Pending is Failed at its end.
"""

from collections.abc import Sequence

from msgspec.structs import replace

from pybernetes.api.types import core_v1
from pybernetes.kubelet.restarts import is_sidecar

UNKNOWN = core_v1.ContainerStateTerminated(
    exitCode=137,
    reason="ContainerStatusUnknown",
    message="The container could not be located when the pod was terminated",
)
Statuses = tuple[core_v1.ContainerStatus, ...]


def at_end(pod: core_v1.Pod, inits: Statuses, mains: Statuses) -> tuple[Statuses, Statuses]:
    """The statuses of init and main containers of a Pod of which nothing runs and nothing will."""
    if _initialized(pod, inits, mains):
        mains = tuple(_over(s) for s in mains)
    begun = max((n for n, s in enumerate(inits) if _has_run(s)), default=0)  # the first one was at least tried
    return tuple(_over(s) if n <= begun else s for n, s in enumerate(inits)), mains


def _over(status: core_v1.ContainerStatus) -> core_v1.ContainerStatus:
    if status.state.terminated is not None:
        return status
    return replace(status, state=core_v1.ContainerState(terminated=UNKNOWN), ready=False, started=False)


def _has_run(status: core_v1.ContainerStatus) -> bool:
    return status.state.waiting is None or status.lastState.terminated is not None


def _initialized(
    pod: core_v1.Pod, inits: Sequence[core_v1.ContainerStatus], mains: Sequence[core_v1.ContainerStatus]
) -> bool:
    """Whether the main containers had their turn."""
    if not inits or any(_has_run(s) for s in mains):
        return True
    last = inits[-1]
    if is_sidecar(pod.spec.initContainers[-1]):
        return last.state.running is not None and bool(last.started)
    return last.state.terminated is not None and last.state.terminated.exitCode == 0
