"""kube-proxy: follows Services and EndpointSlices and gives each change to a backend. Runs once a node.

A Service is computed anew when it or one of its slices changes, never the whole table.
"""

import asyncio
import logging

from pybernetes.api.objects import Key
from pybernetes.api.types.core_v1 import Service
from pybernetes.api.types.discovery_v1 import EndpointSlice
from pybernetes.client.informer import Informers
from pybernetes.client.rest import Client, key_of
from pybernetes.proxy.backend import BackendError, ProxyBackend, ProxyConfig
from pybernetes.proxy.backends.nftables import BACKEND as NFTABLES
from pybernetes.rules.backoff import exponential
from pybernetes.rules.services import SERVICE_NAME_LABEL, DataplanePort, dataplane

log = logging.getLogger(__name__)

MIN_SYNC = 0.05
"""Seconds between two transactions: what changes together is programmed together."""
_RETRY = (1.0, 30.0)
_BY_SERVICE = "proxy.service"


class Proxy:
    """The service proxy of one node. Closes the backend at its end; what is programmed stays."""

    def __init__(self, client: Client, node_name: str, backend: ProxyBackend | None = None) -> None:
        self._informers = Informers(client)
        self._services = self._informers.of(Service)
        self._slices = self._informers.of(EndpointSlice)
        self._slices.cache.add_index(_BY_SERVICE, lambda piece: [str(k)] if (k := _owner(piece)) else [])
        self._node_name = node_name
        self._backend = backend or NFTABLES.make(ProxyConfig())
        self._clock = client.clock
        self._dirty: set[Key] = set()
        self._changed = asyncio.Event()
        self.synced = asyncio.Event()
        """Set once the node is programmed for the first time."""

    async def run(self) -> None:
        """Follows and programs until cancelled."""
        self._services.on_change(self._on_service)
        self._slices.on_change(self._on_slice)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._informers.run(), name="proxy.informers")
                await self._informers.synced()
                group.create_task(self._sync(), name="proxy.sync")
        finally:
            await asyncio.shield(self._backend.close())

    def _on_service(self, old: Service | None, new: Service | None) -> None:
        if old is None or new is None or (old.spec, old.status, old.metadata.labels) != (
            new.spec, new.status, new.metadata.labels,
        ):  # fmt: skip
            self._mark(key_of(new or old))

    def _on_slice(self, old: EndpointSlice | None, new: EndpointSlice | None) -> None:
        for piece in (old, new):
            owner = _owner(piece) if piece is not None else None
            if owner is not None:
                self._mark(owner)

    def _mark(self, key: Key) -> None:
        self._dirty.add(key)
        self._changed.set()

    async def _sync(self) -> None:
        full, failures = True, 0
        self._changed.set()
        while True:
            await self._changed.wait()
            self._changed.clear()
            dirty = set(self._services.cache.keys()) if full else self._dirty
            self._dirty = set()
            began = self._clock.monotonic()
            try:
                await self._backend.sync({key: self._ports(key) for key in sorted(dirty)}, full=full)
            except BackendError as error:
                wait = exponential(failures, *_RETRY)
                full, failures = True, failures + 1
                log.warning("cannot program services error=%s retry_in=%.0fs", error, wait)
                await self._clock.sleep(wait)
                self._changed.set()
                continue
            log.info(
                "programmed services=%d full=%s ms=%.1f", len(dirty), full, (self._clock.monotonic() - began) * 1e3
            )
            full, failures = False, 0
            self.synced.set()
            await self._clock.sleep(MIN_SYNC)

    def _ports(self, key: Key) -> tuple[DataplanePort, ...]:
        service = self._services.cache.get(key)
        if service is None:
            return ()
        return dataplane([service], self._slices.cache.by(_BY_SERVICE, str(key)), self._node_name).ports


def _owner(piece: EndpointSlice) -> Key | None:
    name = piece.metadata.labels.get(SERVICE_NAME_LABEL, "")
    return Key(piece.metadata.namespace, name) if name else None
