"""Upkeep: what a server does with its store while it runs: forgets old history."""

import logging

from pybernetes.apiserver.storage import Storage
from pybernetes.store.protocol import Revision, StoreError

log = logging.getLogger(__name__)


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
