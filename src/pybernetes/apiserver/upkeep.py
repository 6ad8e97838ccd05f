"""Upkeep: what a server does with its store while it runs: forgets history that is old, or more than is kept."""

import logging

from pybernetes.apiserver.storage import Storage
from pybernetes.store.protocol import Revision, StoreError

log = logging.getLogger(__name__)

_LOOK_SECONDS = 10.0
"""How often the count of revisions is looked at."""


async def compact(storage: Storage, every: float, limit: int) -> None:
    """Runs until cancelled: history is kept for between one and two times `every` seconds, and `limit` revisions of it.

    Zero switches either off. Between two looks a burst of writes may pass the limit.
    """
    age, done = _Age(every, storage.clock.monotonic(), storage.cache.revision), 0
    while every or limit:
        await storage.clock.sleep(min(every or _LOOK_SECONDS, _LOOK_SECONDS if limit else every))
        now = storage.cache.revision
        old = age.passed(storage.clock.monotonic(), now)
        before = max(old, now - limit if limit else 0)
        # Many revisions at once, or one look would follow the other to forget a few each time.
        if before <= done or (before > old and before - done < limit // 10):
            continue
        try:
            await storage.cache.compact(Revision(before))
            done = before
        except StoreError as error:
            log.warning("history is not compacted revision=%d cause=%s", before, error)


class _Age:
    """The revision that was the newest when the last interval began."""

    def __init__(self, every: float, now: float, revision: int) -> None:
        self._every = every
        self._next = now + every
        self._begun = revision
        self._old = 0

    def passed(self, now: float, revision: int) -> int:
        """Everything before this has been kept for an interval, or longer."""
        if self._every and now >= self._next:
            self._next = now + self._every
            self._old, self._begun = self._begun, revision
        return self._old
