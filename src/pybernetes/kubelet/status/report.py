"""What is told of one Pod: the status that was sent last, and when the next one may go. worker.py asks, reporter.py sends."""

from pybernetes.aio.clock import Clock
from pybernetes.api.types import core_v1
from pybernetes.kubelet import metrics
from pybernetes.kubelet.status.pod_status import remembered
from pybernetes.kubelet.status.reporter import Reports

_RECONCILE = 10.0
_HOLD = 0.2
_RETRY = 2.0


class PodReport:
    """One Pod's statuses on their way to the API. Seconds everywhere."""

    def __init__(self, reporter: Reports, clock: Clock) -> None:
        self.memory = 0
        """How often forget() was called: what is on its way from before is not sent."""
        self._reporter = reporter
        self._clock = clock
        self._last: core_v1.PodStatus | None = None
        """What was sent last: transition times go by it, not by what others made of the status since."""
        self._sent_at = 0.0
        self._held_until: float | None = None
        self._seen = clock.monotonic()

    def forget(self) -> None:
        """What an earlier kubelet has sent takes the place of what this one has."""
        self._last, self.memory = None, self.memory + 1

    def remembered(self, pod: core_v1.Pod) -> core_v1.Pod:
        """The Pod with our own last status, and what others have added to it."""
        return remembered(pod, self._last)

    def wait(self, status: core_v1.PodStatus, *, starting: bool) -> float:
        """How long to wait before a status is sent. While something is `starting`, more is soon to be told."""
        # Others may write our conditions (a node that is lost): that is put right, but never in a hot quarrel.
        now = self._clock.monotonic()
        wait = self._sent_at + _RECONCILE - now
        if status == self._last and wait > 0:
            return wait
        on_the_way = status.phase == "Pending" and self._last is not None and self._last.phase == "Pending"
        if not (on_the_way and starting):
            self._held_until = None
            return 0.0
        if self._held_until is None:
            self._held_until = now + _HOLD
        return max(0.0, self._held_until - now)

    async def send(self, pod: core_v1.Pod, status: core_v1.PodStatus, memory: int) -> None:
        """Sends it, once; returns later when it has to be tried again."""
        if memory != self.memory:
            return
        if not await self._reporter.report(pod, status):
            await self._clock.sleep(_RETRY)
            return
        if status.phase == "Running" and pod.status.phase == "Pending":
            metrics.POD_START_SECONDS.observe(self._clock.monotonic() - self._seen)
        self._last, self._sent_at = status, self._clock.monotonic()
