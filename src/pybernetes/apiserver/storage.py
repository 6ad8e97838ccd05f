"""Storage: the Registry on the Store and the watch cache. Reads come from the cache, writes are compare-and-set.

Every write waits until the cache has taken it in, so whoever was answered reads what was written, and listeners
(authorizers, service addresses) have counted it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import orjson

from pybernetes.aio.clock import Clock, SystemClock, rfc3339
from pybernetes.api import errors
from pybernetes.api.objects import GroupResource, Object
from pybernetes.apiserver.catalog import Catalog, Served
from pybernetes.apiserver.decoding import canonical
from pybernetes.apiserver.extension import Authorizer, Reviewer, RuleResolver
from pybernetes.apiserver.registry import KubeletDialer, Listener, TokenSigner
from pybernetes.apiserver.resource import Resource
from pybernetes.apiserver.service_addresses import ServiceAddresses
from pybernetes.apiserver.validation.meta import validate_object_meta
from pybernetes.apiserver.watchcache.cache import WatchCache
from pybernetes.apiserver.watchcache.entry import Entry, stored_bytes
from pybernetes.store.protocol import KeyExists, Mismatch, OutcomeUnknown, Revision, Store, TooLarge, Unavailable

MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"
OBJECT_LIMIT = 1536 * 1024
"""Bytes of a stored object: what etcd takes. A body may be larger, and a patch may make more of it."""
RETRIES = 50
"""Lost races before a write without a resourceVersion gives up; each loss is somebody else's success."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What hooks and subresources need besides objects; as registry.Registry names them."""

    service_addresses: ServiceAddresses
    token_signer: TokenSigner | None
    kubelets: KubeletDialer
    authenticator: Reviewer
    authorizer: Authorizer
    rules: RuleResolver
    lifetimes: Mapping[GroupResource, float] = field(default_factory=dict)
    """Seconds after its last write that an object of a resource goes by itself (--event-ttl)."""


class Storage:
    """Implements registry.Registry; handlers use the lower half (read, insert, replace, remove) as well."""

    def __init__(
        self,
        catalog: Catalog,
        store: Store,
        cache: WatchCache,
        clock: Clock,
        tools: "Tools",
    ) -> None:
        self.catalog = catalog
        self.store = store
        self.cache = cache
        self.clock = clock
        self.resources: Mapping[GroupResource, Resource] = catalog.resources
        self.service_addresses = tools.service_addresses
        self.token_signer = tools.token_signer
        self.kubelets = tools.kubelets
        self.authenticator = tools.authenticator
        self.authorizer = tools.authorizer
        self.rules = tools.rules
        self._lifetimes = tools.lifetimes

    # --- Registry

    async def get(self, resource: GroupResource, namespace: str, name: str) -> Object:
        return (await self.read(self._served(resource), namespace, name)).object()

    def look(self, resource: GroupResource, namespace: str, name: str) -> Object | None:
        served = self.catalog.by_gr.get(resource)
        entry = self.peek(served, namespace, name) if served is not None else None
        return entry.object() if entry is not None else None

    async def fresh(self) -> None:
        """Waits until look() knows what every server has acknowledged by now. Raises ServiceUnavailable."""
        with refusals():
            await self.cache.fresh()

    async def list(self, resource: GroupResource, namespace: str = "") -> list[Object]:
        served = self._served(resource)
        await self.fresh()
        return [entry.object() for entry in self.cache.of(served).select(namespace)]

    async def create(self, resource: GroupResource, obj: Object, *, standard: bool = False) -> Object:
        served = self._served(resource)
        if standard:
            complete = orjson.loads(_standard(served, orjson.dumps(obj)))
            _identify(complete["metadata"], self.clock)
        else:
            complete = _complete(served, obj, self.clock)
        return (await self.insert(served, complete)).object()

    async def update(
        self, resource: GroupResource, namespace: str, name: str, change: Callable[[Object], Object | None]
    ) -> Object:
        served = self._served(resource)
        for _ in range(RETRIES):
            entry = await self.read(served, namespace, name)
            old = entry.object()
            changed = change(entry.object())
            if changed is None:
                return old
            changed = canonical(served, changed)
            changed["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
            if changed == old:
                return old  # nothing is written, nobody is woken
            try:
                return (await self.replace(served, changed, entry)).object()
            except errors.Conflict:
                continue
        raise errors.conflict(resource, name, MODIFIED)

    async def delete(self, resource: GroupResource, namespace: str, name: str) -> Object:
        served = self._served(resource)
        for _ in range(RETRIES):
            entry = await self.read(served, namespace, name)
            try:
                await self.remove(served, entry)
            except errors.Conflict:
                continue
            return entry.object()
        raise errors.conflict(resource, name, MODIFIED)

    def subscribe(self, resource: GroupResource, listener: Listener, *, glance: bool = False) -> None:
        self.cache.of(self._served(resource)).subscribe(listener, glance=glance)

    # --- one object at a time

    async def read(self, served: Served, namespace: str, name: str) -> Entry:
        """The newest state. Raises NotFound."""
        with refusals():
            await self.cache.fresh()
        entry = self.peek(served, namespace, name)
        if entry is None:
            raise errors.not_found(served.gr, name)
        return entry

    def peek(self, served: Served, namespace: str, name: str) -> Entry | None:
        """What the cache has now."""
        return self.cache.of(served).entries.get(f"{namespace}/{name}" if served.facts.namespaced else name)

    async def insert(self, served: Served, obj: Object) -> Entry:
        """Stores a complete new object. Raises AlreadyExists."""
        metadata, obj = obj["metadata"], served.kept(obj)
        key = served.key(metadata.get("namespace", ""), metadata["name"])
        value = _small_enough(stored_bytes(served.stored, obj))
        with refusals(), self.cache.handing_over(value, obj):
            try:
                revision = await self.store.create(key, value, ttl=self._lifetimes.get(served.gr))
            except KeyExists:
                raise errors.already_exists(served.gr, metadata["name"]) from None
            await self.cache.taken_in(revision)
        return self._written(served, obj, value, revision)

    async def replace(self, served: Served, obj: Object, old: Entry) -> Entry:
        """Stores a new state over `old`. Raises Conflict when `old` is not the newest, NotFound when it is gone."""
        obj = served.kept(obj)
        value = _small_enough(stored_bytes(served.stored, obj))
        key = served.key(old.namespace, old.name)
        with refusals(), self.cache.handing_over(value, obj):
            try:
                ttl = self._lifetimes.get(served.gr)
                revision = await self.store.update(key, value, Revision(old.revision), ttl=ttl)
            except Mismatch as error:
                raise self._lost(served, old, error) from None
            await self.cache.taken_in(revision)
        return self._written(served, obj, value, revision)

    async def is_outdated(self, served: Served, entry: Entry) -> bool:
        """Whether a custom object is stored in another version than it would be written in now: it is, until it is
        written again, and a write that changes nothing then counts (KEP-4192)."""
        if served.stored.restore is None:
            return False
        with refusals():
            found = await self.store.get(served.key(entry.namespace, entry.name))
        return found is not None and found.revision == entry.revision and not found.value.startswith(served.stored.head)

    async def remove(self, served: Served, old: Entry) -> int:
        """Deletes `old`; the revision of it. Raises Conflict when it is not the newest, NotFound when gone."""
        with refusals():
            try:
                revision = await self.store.delete(served.key(old.namespace, old.name), Revision(old.revision))
            except Mismatch as error:
                raise self._lost(served, old, error) from None
            await self.cache.taken_in(revision)
        return revision

    def _written(self, served: Served, obj: Object, value: bytes, revision: int) -> Entry:
        metadata = obj["metadata"]
        entry = self.peek(served, metadata.get("namespace", ""), metadata["name"])
        if entry is None or entry.revision != revision:
            entry = self.cache.entry(served.stored, value, revision)
        return entry

    def _lost(self, served: Served, old: Entry, error: Mismatch) -> errors.ApiError:
        if error.current is None:
            return errors.not_found(served.gr, old.name)
        return errors.conflict(served.gr, old.name, MODIFIED)

    def _served(self, resource: GroupResource) -> Served:
        found = self.catalog.by_gr.get(resource)
        if found is None:
            raise errors.NotFound(f"the server does not serve {resource}")
        return found


def _small_enough(value: bytes) -> bytes:
    """etcd's limit holds for every store. Raises RequestEntityTooLarge."""
    if len(value) > OBJECT_LIMIT:
        raise errors.RequestEntityTooLarge(f"Request entity too large: limit of an object is {OBJECT_LIMIT}")
    return value


def _complete(served: Served, obj: Object, clock: Clock) -> Object:
    """A new object as it is stored. Raises Invalid."""
    strategy = served.resource
    obj = canonical(served, obj)
    begin(obj, served, clock)
    strategy.default(obj)
    strategy.prepare(obj, None)
    faults = [
        *validate_object_meta(obj, None, served.facts.namespaced, strategy.validate_name),
        *strategy.validate(obj),
    ]
    if faults:
        raise errors.invalid(strategy.group, served.facts.kind, obj["metadata"].get("name", ""), faults)
    return canonical(served, obj)


@lru_cache(maxsize=1024)
def _standard(served: Served, obj: bytes) -> bytes:
    """What every server of a process makes alike, but for uid and time: worked out once, it is most of a start."""
    return orjson.dumps(_complete(served, orjson.loads(obj), SystemClock()))


def begin(obj: Object, served: Served, clock: Clock) -> None:
    """What the server says of a new object, whatever was sent: uid, creation time, generation."""
    metadata = obj["metadata"]
    for name in ("resourceVersion", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"):
        metadata.pop(name, None)
    _identify(metadata, clock)
    if served.resource.generation:
        metadata["generation"] = 1
    else:
        metadata.pop("generation", None)


def _identify(metadata: Object, clock: Clock) -> None:
    bits = (clock.random.getrandbits(128) & ~(0xF << 76) & ~(0x3 << 62)) | (4 << 76) | (2 << 62)  # UUID version 4
    digits = f"{bits:032x}"
    metadata["uid"] = "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
    metadata["creationTimestamp"] = rfc3339(clock.now())


class _Refusals:
    """What refusals() gives; one for all, since every read passes it."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None:
            return
        if isinstance(error, OutcomeUnknown):
            # No time to retry after: clients would repeat it by themselves, and take their own object for another's.
            raise errors.GatewayTimeout(f"the write may have been done, read before you repeat it: {error}") from error
        if isinstance(error, TooLarge):
            raise errors.RequestEntityTooLarge(f"Request entity too large: {error}") from error
        if isinstance(error, Unavailable):
            raise errors.ServiceUnavailable(
                f"the store cannot answer: {error}", details={"retryAfterSeconds": 1}
            ) from error


_REFUSALS = _Refusals()


def refusals() -> _Refusals:
    """A store that cannot answer is a 503 to the client: nothing was acknowledged, it may try again."""
    return _REFUSALS
