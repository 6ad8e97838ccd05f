"""ConfigMaps and Secrets that volumes of Pods here have read: each followed by one watch, however many Pods use it.

A kubelet may read only what its Pods name, so there is no watch of all. What is followed costs nothing while it does not
change, and is read from memory. What cannot change (`immutable`) is kept and not followed. sources.py reads it.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

from pybernetes.api.errors import NotFound, not_found
from pybernetes.api.objects import GroupResource, Key
from pybernetes.api.types import core_v1
from pybernetes.client.informer import Informer
from pybernetes.client.rest import Client

log = logging.getLogger(__name__)

T = TypeVar("T", core_v1.ConfigMap, core_v1.Secret)

_MOST = 256
"""Watches at once, each a connection. What comes on top is read anew with every pass over the volumes (a minute)."""

_Id: TypeAlias = tuple[type, Key]


class _One:
    """One object and who uses it."""

    def __init__(self, informer: Informer[Any]) -> None:
        self.informer = informer
        self.users: set[str] = set()
        self.beginning = asyncio.Lock()
        self.begun = False
        self.frozen = False
        self.task: asyncio.Task[None] | None = None


class Followed:
    """read() follows on behalf of a Pod, until forget(). `changed(uid)` hears of every change after that."""

    def __init__(self, client: Client, changed: Callable[[str], None]) -> None:
        self._client = client
        self._changed = changed
        self._all: dict[_Id, _One] = {}
        self._group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Follows until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            for one in self._all.values():
                self._start(one)
            await asyncio.Event().wait()

    async def read(self, kind: type[T], key: Key, uid: str) -> T:
        """The object; without a uid it is only read. Raises NotFound with the words of a kubelet, ApiError, OSError."""
        try:
            return await self._read(kind, key, uid)
        except NotFound:
            raise not_found(GroupResource("", kind.__name__.lower()), key.name) from None

    async def _read(self, kind: type[T], key: Key, uid: str) -> T:
        id = (kind, key)
        one = self._all.get(id)
        if one is None and uid:
            one = self._add(id)
        if one is None:
            return await self._client.of(kind).get(key)
        if uid:
            one.users.add(uid)
        fresh = await self._begin(one, id)
        found: T | None = one.informer.cache.get(key)
        if found is not None:
            return found
        if fresh:
            raise NotFound(key.name)
        # It may have been made a moment ago, and its event be on its way.
        return await self._client.of(kind).get(key)

    def forget(self, uid: str) -> None:
        """That Pod is gone."""
        for one in self._all.values():
            one.users.discard(uid)

    def sweep(self) -> None:
        """Ends what has no user. Not at once: the next Pod often uses the same."""
        for id, one in list(self._all.items()):
            if not one.users and not one.beginning.locked():
                del self._all[id]
                if one.task is not None:
                    one.task.cancel()

    def _add(self, id: _Id) -> _One | None:
        if len(self._all) >= _MOST:
            self.sweep()
        if len(self._all) >= _MOST:
            return None
        kind, key = id
        client: Any = self._client.of(kind)
        informer: Informer[Any] = Informer(
            client, self._client.clock, namespace=key.namespace, fields=f"metadata.name={key.name}"
        )
        one = self._all[id] = _One(informer)
        return one

    async def _begin(self, one: _One, id: _Id) -> bool:
        """Reads it for the first time; whether that was just now. Raises what the list raises."""
        if one.begun:
            return False
        async with one.beginning:
            if one.begun:
                return False
            await one.informer.begin()
            one.informer.on_change(lambda old, new: self._told(one))
            found = one.informer.cache.get(id[1])
            one.frozen = found is not None and bool(found.immutable)
            one.begun = True
        self._start(one)
        return True

    def _start(self, one: _One) -> None:
        if self._group is not None and one.begun and not one.frozen and one.task is None:
            one.task = self._group.create_task(one.informer.run(), name="followed object")

    def _told(self, one: _One) -> None:
        if one.begun:
            for uid in tuple(one.users):
                self._changed(uid)
