"""What did not work for a Pod, and when it is tried again. worker.py keeps the failures of one Pod."""

import logging

from pybernetes.aio.clock import Clock
from pybernetes.kubelet.cri.model import PodRef
from pybernetes.kubelet.images.references import ERR_PULL
from pybernetes.kubelet.pod_actions import Failure
from pybernetes.kubelet.status.pod_status import BACK_OFF_NOTICE

log = logging.getLogger(__name__)


class ActionFailed(Exception):
    """An action did not work. It is tried again after `first` seconds, then twice as long each time up to `most`."""

    def __init__(self, reason: str, message: str, *, first: float = 1.0, most: float = 30.0) -> None:
        super().__init__(message)
        self.image = ""
        """Of an image that could not be pulled and is not the container's own."""
        self.wait: float | None = None
        """Seconds until the next try, where they are counted elsewhere."""
        self.reason = reason
        self.message = message
        self.first = first
        self.most = most


class Failures:
    """The last failure of each action by its key, and how long the next try waits."""

    def __init__(self, pod: PodRef, clock: Clock) -> None:
        self._pod = pod
        self._clock = clock
        self._last: dict[str, Failure] = {}
        self._delays: dict[str, float] = {}

    def __bool__(self) -> bool:
        return bool(self._last)

    def all(self) -> dict[str, Failure]:
        """As they are now."""
        return dict(self._last)

    def add(self, key: str, failed: ActionFailed) -> None:
        """An action has failed once more."""
        delay = failed.wait
        if delay is None:
            delay = min(failed.most, 2 * self._delays[key]) if key in self._delays else failed.first
            self._delays[key] = delay
        now = self._clock.now()
        before = self._last.get(key)
        self._last[key] = Failure(failed.reason, failed.message, now + delay, now, failed.image)
        again = before is not None and before.message == failed.message
        log.log(
            logging.DEBUG if again else logging.WARNING,
            "action failed pod=%s action=%s reason=%s error=%s retry_in=%gs",
            self._pod, key, failed.reason, failed.message, delay,
        )  # fmt: skip

    def forget(self, key: str) -> bool:
        """An action has succeeded, or is to be tried at once; whether it had failed."""
        self._delays.pop(key, None)
        return self._last.pop(key, None) is not None

    def notices(self, now: float) -> list[float]:
        """In how many seconds ErrImagePull becomes ImagePullBackOff, and a failed start CrashLoopBackOff."""
        shown = (f for key, f in self._last.items() if f.reason == ERR_PULL or key.startswith("start/"))
        ends = (f.since + BACK_OFF_NOTICE - now for f in shown)
        return [delay for delay in ends if delay > 0]
