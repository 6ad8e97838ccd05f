"""Upkeep: what a server does with its store while it runs: forgets old history, and Events after their hour."""

import logging
from typing import Any

from pybernetes.aio.clock import seconds_of
from pybernetes.api.errors import ApiError, Conflict, NotFound
from pybernetes.api.objects import GroupResource, Object
from pybernetes.apiserver.storage import Storage
from pybernetes.apiserver.watchcache.entry import Entry
from pybernetes.store.protocol import Revision, StoreError

log = logging.getLogger(__name__)

_EXPIRE_SECONDS = 60.0
_EVENTS = GroupResource("", "events")


async def compact(storage: Storage, every: float) -> None:
    """Runs until cancelled: history is kept for between one and two times `every` seconds."""
    before = storage.cache.revision
    while True:
        await storage.clock.sleep(every)
        now = storage.cache.revision
        try:
            await storage.cache.compact(Revision(before))
        except StoreError as error:
            log.warning("history is not compacted revision=%d cause=%s", before, error)
        before = now


async def expire_events(storage: Storage, after: float) -> None:
    """Runs until cancelled: Events go `after` seconds after they were last written."""
    served = storage.catalog.by_gr.get(_EVENTS)
    written: dict[str, tuple[int, float]] = {}
    while served is not None:
        await storage.clock.sleep(_EXPIRE_SECONDS)
        entries = storage.cache.of(served).entries
        written = {key: _noted(entry, written.get(key)) for key, entry in entries.items()}
        limit = storage.clock.now() - after
        for entry in [entries[key] for key, (_, seconds) in written.items() if seconds < limit]:
            try:
                await storage.remove(served, entry)
            except (Conflict, NotFound):
                continue  # written again, or gone
            except ApiError as error:
                log.warning("events do not expire cause=%s", error)
                break


def _noted(entry: Entry, before: tuple[int, float] | None) -> tuple[int, float]:
    """(revision, when it was written); an Event is read once for each of its revisions."""
    if before is not None and before[0] == entry.revision:
        return before
    return entry.revision, _last_written(entry.object())


def _last_written(event: Object) -> float:
    """Seconds since 1970; an Event without any readable time is as old as can be."""
    times: list[Any] = [event["metadata"].get("creationTimestamp"), event.get("lastTimestamp"), event.get("eventTime")]
    times.append((event.get("series") or {}).get("lastObservedTime"))
    return max((seconds_of(text) for text in times if text), default=0.0)
