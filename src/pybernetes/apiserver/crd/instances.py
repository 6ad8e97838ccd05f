"""Instances: when a definition is deleted its objects go first, finalizers honoured; then the definition itself."""

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from pybernetes.aio.clock import rfc3339
from pybernetes.api.errors import NotFound
from pybernetes.api.objects import GroupResource, Object, User
from pybernetes.apiserver.admit import AdmissionChain
from pybernetes.apiserver.catalog import Served
from pybernetes.apiserver.crd.conditions import CLEANUP, condition, find, pending, put
from pybernetes.apiserver.deletes import DeleteOptions, Deletes
from pybernetes.apiserver.resource import Call
from pybernetes.apiserver.storage import Storage
from pybernetes.apiserver.watchcache.entry import Entry
from pybernetes.wire.http import Headers, Request

log = logging.getLogger(__name__)

_DEFINITIONS = GroupResource("apiextensions.k8s.io", "customresourcedefinitions")
_SERVER = User("system:apiserver", groups=("system:masters",))
_TOGETHER = 32


class Versions(Protocol):
    """What is served of a definition; the first is the stored one."""

    versions: list[Served]


class Instances:
    """Clears definitions that are being deleted. `note` asks to look at one again."""

    def __init__(self, storage: Storage, note: Callable[[str], None]) -> None:
        self._storage = storage
        self._note = note
        self._deletes = Deletes(storage, AdmissionChain(()))
        self._clearing: set[str] = set()
        self._followed: dict[str, str] = {}

    def follow(self, name: str, served: Served) -> None:
        """Notes the definition when the last of its objects goes while it waits for that, or when one comes."""
        if self._followed.get(name) == served.prefix:
            return
        self._followed[name] = served.prefix

        def listen(kind: str, obj: Object) -> None:
            if name not in self._clearing:
                return
            # The last one has gone, or one was made by a server that did not know yet.
            if kind == "ADDED" or (kind == "DELETED" and not self._storage.cache.of(served).entries):
                self._note(name)

        self._storage.cache.of(served).subscribe(listen)

    async def clear(self, crd: Object, kept: Versions | None) -> None:
        """One step on the way: mark it, delete what is there, or let it go."""
        name = crd["metadata"]["name"]
        finalizers = crd["metadata"].get("finalizers") or []
        if CLEANUP not in finalizers:
            if find(crd, "Terminating") is None:  # somebody else's finalizer keeps it
                await self._write(name, lambda one: _marked(one, self._now()))
            return
        if kept is None:
            await self._finish(name, "NeverEstablished", "resource was never established")
            return
        served = kept.versions[0]
        self._clearing.add(name)
        text = "CustomResource deletion is in progress"
        if (find(crd, "Terminating") or {}).get("reason") != "InstanceDeletionInProgress":
            new = condition("Terminating", True, "InstanceDeletionInProgress", text, self._now())
            await self._write(name, lambda one: _with(one, new))
        await self._storage.cache.fresh()
        entries = [one for one in self._storage.cache.of(served).entries.values() if not _going(one)]
        for start in range(0, len(entries), _TOGETHER):
            chunk = entries[start : start + _TOGETHER]
            await asyncio.gather(*(self._delete(served, one.namespace, one.name) for one in chunk))
        await self._storage.cache.fresh()
        if not self._storage.cache.of(served).entries:
            self._clearing.discard(name)
            await self._finish(name, "InstanceDeletionCompleted", "removed all instances")

    async def _delete(self, served: Served, namespace: str, name: str) -> None:
        request = Request("DELETE", "/", Headers(()), b"")
        call = Call(self._storage, _SERVER, "delete", served.resource, "", namespace, name, request)
        try:
            await self._deletes.delete(call, served, DeleteOptions())
        except NotFound:
            return

    async def _finish(self, name: str, reason: str, text: str) -> None:
        """The definition is free to go."""
        new = condition("Terminating", False, reason, text, self._now())

        def change(crd: Object) -> Object:
            crd = _with(crd, new)
            metadata = {**crd["metadata"]}
            metadata["finalizers"] = [one for one in metadata.get("finalizers") or () if one != CLEANUP]
            return {**crd, "metadata": metadata}

        stored = await self._write(name, change)
        if stored is not None and not stored["metadata"].get("finalizers"):
            try:
                await self._storage.delete(_DEFINITIONS, "", name)
            except NotFound:
                return

    async def _write(self, name: str, change: Callable[[Object], Object]) -> Object | None:
        def ending(crd: Object) -> Object | None:
            return change(crd) if crd["metadata"].get("deletionTimestamp") else None

        try:
            return await self._storage.update(_DEFINITIONS, "", name, ending)
        except NotFound:
            return None

    def _now(self) -> str:
        return rfc3339(self._storage.clock.now())


def _going(entry: Entry) -> bool:
    return bool(entry.object()["metadata"].get("deletionTimestamp"))


def _with(crd: Object, new: dict[str, object]) -> Object:
    put(crd, new)
    return crd


def _marked(crd: Object, now: str) -> Object:
    put(crd, pending(now))
    metadata = {**crd["metadata"], "finalizers": [*(crd["metadata"].get("finalizers") or ()), CLEANUP]}
    return {**crd, "metadata": metadata}
