"""Status: tells every FlowSchema whether its priority level is there, and keeps that true. dangling.py has the words."""

import asyncio
import logging
from collections import deque

from pybernetes.api.errors import ApiError, NotFound
from pybernetes.api.objects import Object
from pybernetes.apiserver.flowcontrol.classify import level_of
from pybernetes.apiserver.flowcontrol.dangling import told
from pybernetes.apiserver.flowcontrol.objects import SCHEMAS
from pybernetes.apiserver.flowcontrol.priority_and_fairness import PriorityAndFairness
from pybernetes.apiserver.registry import Registry

log = logging.getLogger(__name__)

_MOST = 6
"""Writes of one object within a minute: two servers that do not agree must not fight."""
_MINUTE = 60.0
_AGAIN_SECONDS = (30.0, 75.0)


class StatusKeeper:
    """Follows a filter's objects."""

    def __init__(self, filter: PriorityAndFairness, registry: Registry) -> None:
        self._filter = filter
        self._registry = registry
        self._clock = registry.clock
        self._changed = asyncio.Event()
        self._written: dict[str, deque[float]] = {}
        filter.changed = self._changed.set

    async def run(self) -> None:
        """Runs until cancelled."""
        self._changed.set()
        while True:
            await self._changed.wait()
            self._changed.clear()
            if not await self._tell():
                await self._clock.sleep(self._clock.random.uniform(*_AGAIN_SECONDS))
                self._changed.set()

    async def _tell(self) -> bool:
        """Whether all is said that is to be said now."""
        done = True
        for name, schema in tuple(self._filter.schemas.items()):
            if self._told(schema) is None:
                continue
            if not self._may_write(name):
                done = False
                continue
            try:
                await self._registry.update(SCHEMAS, "", name, self._told)
            except NotFound:
                continue
            except ApiError as error:
                log.warning("status of a flow schema is not written name=%s cause=%s", name, error)
                done = False
        return done

    def _told(self, schema: Object) -> Object | None:
        return told(schema, known=self._filter.known(level_of(schema)), now=self._clock.now())

    def _may_write(self, name: str) -> bool:
        now, written = self._clock.monotonic(), self._written.setdefault(name, deque())
        while written and now - written[0] > _MINUTE:
            written.popleft()
        if len(written) >= _MOST:
            return False
        written.append(now)
        return True
