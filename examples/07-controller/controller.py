"""A controller with pybernetes.client: every namespace with a label gets a ConfigMap that says whose it is.

It has the shape of every controller: watches fill a queue of keys, and a key is brought to what it should be, however
often and for whatever reason it came.
"""

import asyncio
from contextlib import suppress

from pybernetes.api.errors import NotFound
from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1, meta_v1
from pybernetes.client.informer import Informers
from pybernetes.client.rest import Client
from pybernetes.client.workqueue import WorkQueue

LABEL, NAME = "team", "owner"


class Owners:
    """run() until cancelled."""

    def __init__(self, client: Client) -> None:
        self._maps = client.of(core_v1.ConfigMap)
        self._informers = Informers(client)
        self._queue: WorkQueue[str] = WorkQueue(client.clock)
        self._namespaces = self._informers.of(core_v1.Namespace)
        self._namespaces.on_change(lambda old, new: self._add((new or old).metadata.name))
        self._owners = self._informers.of(core_v1.ConfigMap, fields=f"metadata.name={NAME}")
        self._owners.on_change(lambda old, new: self._add((new or old).metadata.namespace))

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._informers.run())
            group.create_task(self._queue.run())
            await self._informers.synced()
            while True:
                namespace = await self._queue.get()
                try:
                    await self.reconcile(namespace)
                except Exception:  # noqa: BLE001 # whatever it is: later again, and the others meanwhile
                    self._queue.retry(namespace)
                else:
                    self._queue.forget(namespace)
                finally:
                    self._queue.done(namespace)

    async def reconcile(self, namespace: str) -> None:
        """Makes the ConfigMap, mends it, or takes it away."""
        there = self._namespaces.cache.get(Key("", namespace))
        if there is None or there.metadata.deletionTimestamp:
            return
        team = there.metadata.labels.get(LABEL)
        found = self._owners.cache.get(Key(namespace, NAME))
        if team is None and found is not None:
            with suppress(NotFound):
                await self._maps.delete(Key(namespace, NAME))
        elif team is not None and found is None:
            metadata = meta_v1.ObjectMeta(name=NAME, namespace=namespace)
            await self._maps.create(core_v1.ConfigMap(metadata=metadata, data={LABEL: team}))
        elif team is not None and found.data.get(LABEL) != team:
            await self._maps.patch_raw(Key(namespace, NAME), {"data": {LABEL: team}})

    def _add(self, namespace: str) -> None:
        self._queue.add(namespace)
