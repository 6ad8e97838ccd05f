"""Retry: after how many seconds the clients of an overloaded level should come again. Pure; levels.py has one a level."""

from collections import deque

MOST = 32
"""Seconds."""


class RetryAfter:
    """Doubles while many are refused, and goes down by one when few are (upstream's DroppedRequestsTracker)."""

    def __init__(self) -> None:
        self.seconds = 1
        self._history: deque[tuple[int, int]] = deque()
        """Second since 1970, and how many were refused in it."""
        self._second = self._count = self._raised = 0

    def refused(self, now: float) -> None:
        """One more; `now` is wall-clock time."""
        second = int(now)
        if second == self._second:
            self._count += 1
            return
        history = self._history
        history.append((self._second, self._count))
        while self._second - history[0][0] > MOST:
            history.popleft()
        self._second, self._count = second, 1
        recent = sum(count for at, count in history if second - self.seconds <= at < second)
        if second - self._raised >= self.seconds and recent >= 3 * self.seconds:
            self.seconds = min(2 * self.seconds, MOST)
            self._raised = second
        elif recent < self.seconds and self.seconds > 1:
            self.seconds -= 1
