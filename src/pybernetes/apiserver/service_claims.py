"""Claims: who has an address or a node port, in the store, so that two servers never give one to two Services.

An address is claimed by its IPAddress object (KEP-1880), a node port by a key of its own below `ranges/`, which no
client sees: creating either is the one atomic step. Upstream writes one bitmap for all ports, over which all servers
and all Services of a second contend; a key for each has neither contention nor a size, and a claim costs one write.

The steps of a write are: claim, store the Service, release what it no longer holds. A server that dies between them
leaves a claim without a Service, never a Service without its claim; `repair` takes such claims back once it has seen
them twice, and makes those that are missing (of Services older than claims, or of IPAddresses that somebody deleted).
"""

import asyncio
import logging
from collections.abc import Iterable
from functools import partial

import orjson

from pybernetes.aio.clock import rfc3339
from pybernetes.api.errors import AlreadyExists, ApiError, Conflict, NotFound
from pybernetes.api.objects import GroupResource, Object
from pybernetes.apiserver.resource import Call
from pybernetes.apiserver.service_addresses import Item, holdings
from pybernetes.apiserver.storage import Storage, refusals
from pybernetes.apiserver.watchcache.entry import Entry
from pybernetes.store.protocol import KeyExists, Mismatch, Revision, Stored

log = logging.getLogger(__name__)

REPAIR_SECONDS = 60.0
"""A claim without a Service is taken back after between one and two of these."""
CLEAR_SECONDS = 1.0
PORTS = "/registry/ranges/servicenodeports/"
_SERVICES = GroupResource("", "services")
_EVENTS = GroupResource("", "events")
_ADDRESSES = GroupResource("networking.k8s.io", "ipaddresses")
_RANGES = GroupResource("networking.k8s.io", "servicecidrs")
_FAMILY, _MANAGED_BY = "ipaddress.kubernetes.io/ip-family", "ipaddress.kubernetes.io/managed-by"
_MANAGER = "ipallocator.k8s.io"


def attach(storage: Storage) -> "ServiceClaims | None":
    """Begins to follow Services, IPAddresses and ServiceCIDRs; None where IPAddresses are not served."""
    addresses = storage.service_addresses
    if _SERVICES in storage.resources:
        storage.subscribe(_SERVICES, addresses.follow)
    if _RANGES in storage.resources:
        storage.subscribe(_RANGES, addresses.follow_range)
    if _ADDRESSES not in storage.resources or _SERVICES not in storage.resources:
        return None
    storage.subscribe(_ADDRESSES, addresses.follow_claim)
    claims = ServiceClaims(storage)
    addresses.claims = claims
    addresses.on_release = claims.news.set
    return claims


class ServiceClaims:
    """One for each server process; run() until cancelled."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._served = storage.catalog.by_gr[_ADDRESSES]
        self._addresses = storage.service_addresses
        self.news = asyncio.Event()
        """Set when Services have let go of something."""
        self._suspects: dict[Item, int] = {}
        """Claims without a Service at the last repair, with their revisions."""

    # --- of a write on its way

    async def take(self, call: Call, service: Object, items: Iterable[Item]) -> list[Item]:
        """Claims for a Service; what another has. Gives back what it took should the write fail."""
        wanted = list(items)
        taken = await asyncio.gather(*(self._take(item, service) for item in wanted))
        for item, revision in zip(wanted, taken, strict=True):
            if revision is not None:
                call.undo.append(partial(self._give_back, item, revision))
        return [item for item, revision in zip(wanted, taken, strict=True) if revision is None]

    async def _take(self, item: Item, service: Object) -> int | None:
        """The revision of the new claim, None where another Service has it."""
        for _ in range(3):
            try:
                return await (self._claim_port(item, service) if isinstance(item, int) else self._claim(item, service))
            except (AlreadyExists, KeyExists):
                if item not in self._addresses.released:
                    return None
                await self._clear_one(item)  # somebody has just let go of it
        return None

    async def _claim(self, address: str, service: Object) -> int:
        meta = service["metadata"]
        made = await self._storage.create(
            _ADDRESSES,
            {
                "metadata": {
                    "name": address,
                    "labels": {_FAMILY: "IPv6" if ":" in address else "IPv4", _MANAGED_BY: _MANAGER},
                },
                "spec": {
                    "parentRef": {"resource": "services", "name": meta["name"], "namespace": meta["namespace"]},
                },
            },
        )
        return int(made["metadata"]["resourceVersion"])

    async def _claim_port(self, port: int, service: Object) -> int:
        meta = service["metadata"]
        with refusals():
            value = orjson.dumps({"namespace": meta["namespace"], "name": meta["name"]})
            return await self._storage.store.create(f"{PORTS}{port}", value)

    async def _find(self, item: Item) -> tuple[tuple[str, str], int] | None:
        """(namespace and name of who has it, revision of the claim)."""
        if isinstance(item, int):
            stored = await self._port(item)
            return None if stored is None else (_owner_of(orjson.loads(stored.value)), stored.revision)
        entry = self._storage.peek(self._served, "", item)
        return None if entry is None else (_parent(entry), entry.revision)

    async def _port(self, port: int) -> Stored | None:
        with refusals():
            return await self._storage.store.get(f"{PORTS}{port}")

    async def _give_back(self, item: Item, revision: int) -> None:
        """Removes that very claim, unless it is gone or another's by now."""
        try:
            if isinstance(item, int):
                with refusals():
                    await self._storage.store.delete(f"{PORTS}{item}", Revision(revision))
                return
            entry = self._storage.peek(self._served, "", item)
            if entry is not None and entry.revision == revision:
                await self._storage.remove(self._served, entry)
        except (Mismatch, NotFound, Conflict):
            return
        except ApiError as error:
            log.warning("claim is left to be repaired item=%s cause=%s", item, error)

    # --- afterwards

    async def clear(self) -> None:
        """Takes back the claims of what Services have let go of."""
        await asyncio.gather(*(self._clear_one(item) for item in tuple(self._addresses.released)))

    async def run(self) -> None:
        """Clears away what is released, and repairs from time to time. Runs until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._clear(), name="apiserver.claims.clear")
            while True:
                await self._storage.clock.sleep(REPAIR_SECONDS)
                try:
                    await self.repair()
                except ApiError as error:
                    log.warning("service addresses are not repaired cause=%s", error)

    async def _clear(self) -> None:
        while True:
            await self.news.wait()
            await self._storage.clock.sleep(CLEAR_SECONDS)  # most of it the deleting request clears itself
            self.news.clear()
            await self.clear()

    async def _clear_one(self, item: Item) -> None:
        since = self._addresses.released.get(item)
        if since is None:
            return
        try:
            found = await self._find(item)
        except ApiError as error:
            log.warning("claim is left to be repaired item=%s cause=%s", item, error)
            found = None
        # A claim newer than the release is of a Service that is just being stored.
        if found is not None and found[1] < since and not self._addresses.is_held(item):
            await self._give_back(item, found[1])
        if self._addresses.released.get(item) == since:
            del self._addresses.released[item]

    # --- repair

    async def repair(self, *, quiet: bool = False) -> None:
        """Makes claims that are missing and takes back those that nobody holds. `quiet` tells of neither."""
        claims = await self._all()
        leaked: dict[Item, int] = {}
        for item, (owner, revision) in claims.items():
            if self._addresses.is_taken(item):
                continue
            if self._suspects.get(item) == revision:
                if not quiet:
                    log.warning("claim has leaked, cleaning up item=%s service=%s/%s", item, *owner)
                await self._give_back(item, revision)
            else:
                leaked[item] = revision
        self._suspects = leaked
        for service in await self._storage.list(_SERVICES):
            for item in sorted(holdings(service), key=str):
                claim = claims.get(item)
                if claim is None:
                    await self._repair_missing(service, item, quiet=quiet)
                elif claim[0] != _owner(service):
                    await self._tell(service, *_shared(item))

    async def _all(self) -> dict[Item, tuple[tuple[str, str], int]]:
        """Our claims."""
        found: dict[Item, tuple[tuple[str, str], int]] = {}
        for entry in self._storage.cache.of(self._served).select():
            if entry.labels.get(_MANAGED_BY) == _MANAGER:
                found[entry.name] = (_parent(entry), entry.revision)
        with refusals():
            page = await self._storage.store.range(PORTS)
        for stored in page.items:
            found[int(stored.key.removeprefix(PORTS))] = (_owner_of(orjson.loads(stored.value)), stored.revision)
        return found

    async def _repair_missing(self, service: Object, item: Item, *, quiet: bool) -> None:
        if await self._take(item, service) is None:
            await self._storage.fresh()
            found = await self._find(item)
            if found is not None and found[0] != _owner(service):  # else another server was quicker to make it
                await self._tell(service, *_shared(item))
        elif not quiet:
            port = isinstance(item, int)
            text = f"{'Port' if port else 'Cluster IP'} {item} is not allocated; repairing"
            await self._tell(service, "PortNotAllocated" if port else "ClusterIPNotAllocated", text)

    async def _tell(self, service: Object, reason: str, message: str) -> None:
        """A Warning about a Service; one that cannot be stored is logged alone."""
        meta, now = service["metadata"], self._storage.clock.now()
        log.warning("%s service=%s/%s", message, meta["namespace"], meta["name"])
        about = {"kind": "Service", "apiVersion": "v1", "namespace": meta["namespace"], "name": meta["name"]}
        event = {
            "metadata": {"name": f"{meta['name']}.{int(now * 1e9):x}", "namespace": meta["namespace"]},
            "involvedObject": {**about, "uid": meta["uid"], "resourceVersion": meta["resourceVersion"]},
            "type": "Warning",
            "reason": reason,
            "message": message,
            "source": {"component": f"{'ip' if 'IP' in reason else 'port'}allocator-repair-controller"},
            "reportingComponent": "kube-apiserver",
            "firstTimestamp": rfc3339(now),
            "lastTimestamp": rfc3339(now),
            "count": 1,
        }
        try:
            await self._storage.create(_EVENTS, event)
        except ApiError as error:
            log.warning("event is not stored reason=%s cause=%s", reason, error)


def _owner(service: Object) -> tuple[str, str]:
    meta = service["metadata"]
    return meta["namespace"], meta["name"]


def _owner_of(claim: Object) -> tuple[str, str]:
    return claim.get("namespace", ""), claim.get("name", "")


def _parent(entry: Entry) -> tuple[str, str]:
    return _owner_of((entry.object().get("spec") or {}).get("parentRef") or {})


def _shared(item: Item) -> tuple[str, str]:
    text = "was assigned to multiple services; please recreate service"
    if isinstance(item, int):
        return "PortAlreadyAllocated", f"Port {item} {text}"
    return "ClusterIPAlreadyAllocated", f"Cluster IP {item} {text}"
