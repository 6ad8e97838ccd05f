"""Events that a Pod's status asks for, each told once: the end of a deadline, and every wait of a back-off."""

from collections.abc import Callable

from pybernetes.api.types import core_v1
from pybernetes.kubelet import pod_machine as machine
from pybernetes.kubelet.cri.model import PodRef
from pybernetes.kubelet.pod_actions import Observed
from pybernetes.kubelet.pod_containers import containers_of, plain
from pybernetes.kubelet.status.pod_status import DEADLINE


class PodEvents:
    """What was told of one Pod. `tell` takes container, kind, reason and message."""

    def __init__(self, pod: PodRef, tell: Callable[[str, str, str, str], None]) -> None:
        self._pod = pod
        self._tell = tell
        self._told: set[str] = set()

    def tell(self, pod: core_v1.Pod, status: core_v1.PodStatus, observed: Observed) -> None:
        """Tells what is new."""
        self._tell_deadline(pod, observed)
        self._tell_back_offs(pod, status, observed)

    def _tell_deadline(self, pod: core_v1.Pod, observed: Observed) -> None:
        if pod.status.phase in ("Succeeded", "Failed") or DEADLINE.reason in self._told:
            return
        ends = machine.deadline(pod, observed)
        if observed.verdict is None and ends is not None and ends <= observed.now:
            self._told.add(DEADLINE.reason)
            self._tell("", "Normal", DEADLINE.reason, DEADLINE.message)

    def _tell_back_offs(self, pod: core_v1.Pod, status: core_v1.PodStatus, observed: Observed) -> None:
        told = (*status.initContainerStatuses, *status.containerStatuses, *status.ephemeralContainerStatuses)
        waits = {s.name: s.state.waiting for s in told}
        for container in (*containers_of(pod), *map(plain, pod.spec.ephemeralContainers)):
            waiting = waits.get(container.name)  # none of a Pod that was refused
            if waiting is None or waiting.reason not in ("CrashLoopBackOff", "ImagePullBackOff"):
                continue
            run = next((r for r in observed.containers if r.name == container.name), None)
            own = f"pull/{container.name}/"
            failed = [f for k, f in observed.failures.items() if k.startswith(own)]
            since = max((f.since for f in failed), default=0.0)
            mark = f"{waiting.reason}/{container.name}/{run.id if run else ''}/{since}"
            if mark in self._told:
                continue
            self._told = {m for m in self._told if not m.startswith(f"{waiting.reason}/{container.name}/")} | {mark}
            if waiting.reason == "CrashLoopBackOff":
                where = f"{self._pod.name}_{self._pod.namespace}({self._pod.uid})"
                message = f"Back-off restarting failed container {container.name} in pod {where}"
                self._tell(container.name, "Warning", "BackOff", message)
            else:
                image = next((f.image for f in failed if f.image), container.image)
                self._tell(container.name, "Normal", "BackOff", f'Back-off pulling image "{image}"')
                self._tell(container.name, "Warning", "Failed", f"Error: {waiting.reason}")
