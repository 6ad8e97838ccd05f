"""Pods that end at once wherever they are made: their successors come slower and slower. For workloads with fixed places."""

from pybernetes.api.objects import Key
from pybernetes.rules.backoff import exponential

FIRST = 1.0
"""Seconds between the first two removals of ended Pods of one place; each further wait is twice as long."""


class Failures:
    """By owner and place (an ordinal, a Node): when an ended Pod was last removed, and how often in a row."""

    most = 60.0
    """Seconds between two removals at most; after twice as long without one it begins anew."""

    def __init__(self) -> None:
        self._last: dict[tuple[Key, str], tuple[float, int]] = {}
        self._generations: dict[Key, int] = {}

    def look(self, owner: Key, generation: int) -> None:
        """The owner is of that generation: what befell Pods of another one is no reason to wait."""
        if self._generations.get(owner) != generation:
            self.forget(owner)
            self._generations[owner] = generation

    def left(self, owner: Key, place: str, now: float) -> float:
        """Seconds until the next one may be removed; 0: now."""
        since, times = self._last.get((owner, place), (0.0, 0))
        return max(0.0, since + exponential(times - 1, FIRST, self.most) - now) if times else 0.0

    def removed(self, owner: Key, place: str, now: float) -> None:
        """One was removed."""
        since, times = self._last.get((owner, place), (0.0, 0))
        self._last[owner, place] = (now, 1 if now - since > 2 * self.most else times + 1)

    def forget(self, owner: Key) -> None:
        """The owner is gone."""
        self._generations.pop(owner, None)
        for known in [known for known in self._last if known[0] == owner]:
            del self._last[known]


class DaemonFailures(Failures):
    """Of DaemonSets: as long as upstream's (1 s to 15 minutes)."""

    most = 900.0
