"""Back-off of pulls: for each Pod and image, whichever of its containers and volumes want it. puller.py asks.

As upstream counts it: a pull that works in between forgives nothing, ten quiet minutes do, and so does the kubelet's end.
"""

from msgspec import Struct

from pybernetes.aio.clock import Clock
from pybernetes.rules.backoff import exponential

FIRST, MOST = 10.0, 300.0
"""Seconds that the first failure holds up the next pull; each further one twice as long, up to the most."""
_FORGIVEN = 2 * MOST


class Waiting(Struct, frozen=True):
    """A pull that failed, and for how many seconds it is not tried again."""

    seconds: float
    why: str


class _Entry(Struct, frozen=True):
    since: float
    failures: int
    why: str

    @property
    def delay(self) -> float:
        return exponential(self.failures - 1, FIRST, MOST)


class BackOffs:
    """Those of one node."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._entries: dict[tuple[str, str], _Entry] = {}

    def waiting(self, uid: str, image: str) -> Waiting | None:
        """None where the image may be pulled for the Pod now."""
        entry = self._entries.get((uid, image))
        left = 0.0 if entry is None else entry.since + entry.delay - self._clock.monotonic()
        return Waiting(left, entry.why) if entry is not None and left > 0 else None

    def failed(self, uid: str, image: str, why: str) -> float:
        """A pull has failed: the seconds until the next one."""
        now = self._clock.monotonic()
        self._entries = {key: entry for key, entry in self._entries.items() if now < entry.since + _FORGIVEN}
        before = self._entries.get((uid, image))
        entry = _Entry(now, 1 if before is None else before.failures + 1, why)
        self._entries[uid, image] = entry
        return entry.delay
