"""What is kept of a simulated Pod only where something out of the ordinary happens to it. pod.py makes it when it needs it."""

from collections.abc import Callable

from pybernetes.aio.clock import Clock
from pybernetes.api.types import core_v1
from pybernetes.kubelet.cri.model import Container, PodRef
from pybernetes.kubelet.failures import Failures
from pybernetes.kubelet.pod_events import PodEvents


class Stop:
    """A container that was told to end: until when it has, and for whom it waits."""

    __slots__ = ("after", "killed", "seconds", "told")

    def __init__(self, now: float, grace: float, seconds: float, after: tuple[str, ...]) -> None:
        self.killed = now + grace
        self.seconds = seconds
        self.after = after
        self.told: float | None = None if after else now
        """When it got its SIGTERM."""


class Rarities:
    """Of one Pod. `tell` takes container, kind, reason and message of an event."""

    def __init__(self, ref: PodRef, clock: Clock, tell: Callable[[str, str, str, str], None]) -> None:
        self.failures = Failures(ref, clock)
        self.events = PodEvents(ref, tell)
        self.conditions: dict[str, core_v1.PodCondition | None] = {}
        self.restarts: dict[str, int] = {}
        self.ended: dict[str, Container] = {}
        """Runs of which the runtime knows no more."""
        self.delays: dict[str, float] = {}
        self.pulls: dict[str, tuple[float, float]] = {}
        """Of pulls under way, by their key: when they began, and when they end."""
        self.stops: dict[str, Stop] = {}
        """By the key of the action."""
        self.unready: set[str] = set()
        """Containers that were said to be not ready."""
        self.crashes: dict[str, tuple[int, int]] = {}
        """By container, how many of its coming runs end at once, and with which code."""
        self.stubborn = False
        """It does not heed SIGTERM."""
