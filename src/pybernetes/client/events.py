"""Events: what components tell users about objects, as core/v1 Events. `kubectl describe` and `get events` show them.

As client-go's: an event that happens again is counted up in the one there is; many alike are gathered into one
"(combined from similar events)"; an object's events are limited to 25, then one in five minutes a source. While the API
server cannot be reached, an event is tried again and those behind it wait: what a node tells before its own control plane
is up is not lost.
"""

import asyncio
import copy
import logging
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from msgspec import Struct, structs
from msgspec.structs import replace

from pybernetes.aio.clock import rfc3339
from pybernetes.api import facts
from pybernetes.api.errors import AlreadyExists, ApiError, NotFound
from pybernetes.api.types import core_v1, meta_v1
from pybernetes.client.guard import Guard
from pybernetes.client.rest import Client, ResourceClient, key_of

log = logging.getLogger(__name__)

BURST = 25
"""Events of one object from one source before the limit."""
REFILL = 1 / 300
"""Events a second afterwards."""
SIMILAR = 10
"""So many different messages of one kind within SIMILAR_SECONDS are combined."""
SIMILAR_SECONDS = 600.0
COMBINED = "(combined from similar events): "
REMEMBERED = 4096
"""Events, kinds of events and objects that are remembered."""
TRIES = 12
"""Of one event that cannot be sent; then it is dropped."""
RETRY = 10.0
"""Seconds between two tries; the first time less, by chance, so that many clients do not come back at once."""
QUEUE = 1000
"""Events that wait to be sent; more are dropped, since events are best effort."""


def reference(obj: Struct) -> core_v1.ObjectReference:
    """An ObjectReference to a typed object of a resource."""
    known = facts.of_struct(type(obj))
    meta = getattr(obj, "metadata", meta_v1.ObjectMeta())
    return core_v1.ObjectReference(
        apiVersion=known.api_version,
        kind=known.kind,
        namespace=meta.namespace,
        name=meta.name,
        uid=meta.uid,
        resourceVersion=meta.resourceVersion,
    )


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float


@dataclass(slots=True)
class _Similar:
    messages: set[str]
    at: float


class EventRecorder:
    """Records events of one component. `event` never waits; run() sends."""

    def __init__(self, client: Client, component: str, *, host: str = "", queue: int = QUEUE) -> None:
        self._events: ResourceClient[core_v1.Event] = client.of(core_v1.Event)
        self._clock = client.clock
        self._component, self._host = component, host
        self._last = 0
        self._dropped = 0
        """Since it was last said."""
        self._queue: asyncio.Queue[tuple[EventRecorder, core_v1.Event]] = asyncio.Queue(queue)
        self._sent: OrderedDict[tuple[object, ...], core_v1.Event] = OrderedDict()
        self._similar: OrderedDict[tuple[object, ...], _Similar] = OrderedDict()
        self._buckets: OrderedDict[tuple[object, ...], _Bucket] = OrderedDict()
        self._held: OrderedDict[tuple[object, ...], int] = OrderedDict()
        """How often an event was held back since it was last sent."""

    def beside(self, client: Client, host: str) -> "EventRecorder":
        """The same component on another host, which writes as somebody else: it shares run(), queue and memory."""
        found = copy.copy(self)
        found._events, found._host = client.of(core_v1.Event), host
        return found

    def event(
        self,
        about: Struct | core_v1.ObjectReference,
        kind: Literal["Normal", "Warning"],
        reason: str,
        message: str,
        *,
        annotations: Mapping[str, str] | None = None,
    ) -> None:
        """Tells something about an object. `reason` is one CamelCase word, `message` a sentence."""
        ref = about if isinstance(about, core_v1.ObjectReference) else reference(about)
        now = self._clock.now()
        stamp = rfc3339(now)
        made = core_v1.Event(
            metadata=meta_v1.ObjectMeta(
                name=f"{ref.name}.{self._moment(now):x}",
                namespace=ref.namespace or "default",
                annotations=annotations or {},
            ),
            involvedObject=ref,
            reason=reason,
            message=message[:1024],
            source=core_v1.EventSource(component=self._component, host=self._host),
            firstTimestamp=stamp,
            lastTimestamp=stamp,
            count=1,
            type=kind,
            reportingComponent=self._component,
            reportingInstance=self._host,
        )
        if not self._allowed(ref):
            key = self._key(made)
            self._held[key] = _remember(self._held, key, 0) + 1
            return
        try:
            self._queue.put_nowait((self, made))
        except asyncio.QueueFull:
            if not self._dropped:
                log.warning("dropping events: too many wait reason=%s object=%s/%s", reason, ref.kind, ref.name)
            self._dropped += 1

    async def run(self) -> None:
        """Sends until cancelled."""
        while True:
            source, made = await self._queue.get()
            if source._dropped and self._queue.qsize() < self._queue.maxsize // 2:
                log.warning("dropped events component=%s events=%d", self._component, source._dropped)
                source._dropped = 0
            with Guard(f"event {made.reason} of {made.involvedObject.kind} {made.involvedObject.name}"):
                await source._send(source._combined(made))

    async def log(self) -> None:
        """In the place of run(), of a component that has no API server: events stand in its log alone."""
        while True:
            _, made = await self._queue.get()
            ref = made.involvedObject
            log.info("event %s/%s %s %s: %s", ref.kind, ref.name, made.type, made.reason, made.message)

    def _moment(self, now: float) -> int:
        """Nanoseconds, never the same twice: they make the names of Events."""
        self._last = max(int(now * 1e9), self._last + 1)
        return self._last

    def _allowed(self, ref: core_v1.ObjectReference) -> bool:
        """A token bucket an object."""
        now = self._clock.monotonic()
        bucket = _remember(self._buckets, (self._host, ref.kind, ref.namespace, ref.name, ref.uid), _Bucket(BURST, now))
        bucket.left = min(BURST, bucket.left + (now - bucket.at) * REFILL)
        bucket.at = now
        if bucket.left < 1:
            return False
        bucket.left -= 1
        return True

    def _combined(self, made: core_v1.Event) -> core_v1.Event:
        """Different messages with the same reason about one object become one event after a while."""
        now = self._clock.monotonic()
        similar = _remember(self._similar, self._kind(made), _Similar(set(), now))
        if now - similar.at > SIMILAR_SECONDS:
            similar.messages.clear()
        similar.at = now
        similar.messages.add(made.message)
        if len(similar.messages) < SIMILAR:
            return made
        similar.messages.pop()  # how many there were is enough to know
        return replace(made, message=COMBINED + made.message)

    async def _send(self, made: core_v1.Event) -> None:
        """Until the API server has it or refuses it, or it was tried often enough."""
        for tried in range(1, TRIES + 1):
            try:
                return await self._write(made)
            except ApiError as error:
                log.info("event refused object=%s reason=%s error=%s", key_of(made), made.reason, error)
                return None
            except OSError as error:
                log.info("event not sent reason=%s tries=%d error=%s", made.reason, tried, error)
            if tried < TRIES:
                await self._clock.sleep(RETRY * self._clock.random.random() if tried == 1 else RETRY)
        log.warning("event given up reason=%s object=%s", made.reason, key_of(made))

    async def _write(self, made: core_v1.Event) -> None:
        """Counts up the event that there is, or makes one. Raises ApiError, OSError."""
        key = self._key(made)
        before, held = self._sent.get(key), self._held.get(key, 0)
        sent = None
        if before is not None:
            again = replace(
                before, count=before.count + 1 + held, lastTimestamp=made.lastTimestamp, message=made.message
            )
            with suppress(NotFound):
                sent = await self._events.patch(before, again)
            meta = meta_v1.ObjectMeta(**_lasting(before.metadata))
            made = replace(again, metadata=meta)  # it was forgotten meanwhile: it comes back as what it was
        else:
            made = replace(made, count=1 + held)
        if sent is None:
            sent = await self._create(made)
        self._held.pop(key, None)
        self._sent[key] = sent
        self._sent.move_to_end(key)
        while len(self._sent) > REMEMBERED:
            self._sent.popitem(last=False)

    def _key(self, made: core_v1.Event) -> tuple[object, ...]:
        """What makes two events the same."""
        if made.message.startswith(COMBINED):
            return self._kind(made)
        return (self._host, *_identity(made.involvedObject), made.type, made.reason, made.message)

    def _kind(self, made: core_v1.Event) -> tuple[object, ...]:
        """What makes two events similar. An object and its parts are one: containers that tell much tell it together."""
        return (self._host, *_identity(replace(made.involvedObject, fieldPath="")), made.type, made.reason)

    async def _create(self, made: core_v1.Event) -> core_v1.Event:
        """Where another component told something of the object at the same moment, as on virtual time, under the next name."""
        for _ in range(SIMILAR):
            try:
                return await self._events.create(made)
            except AlreadyExists:
                name = f"{made.involvedObject.name}.{self._moment(self._clock.now()):x}"
                made = replace(made, metadata=replace(made.metadata, name=name))
        return await self._events.create(made)


def _lasting(meta: meta_v1.ObjectMeta) -> dict[str, Any]:
    return {"name": meta.name, "namespace": meta.namespace, "annotations": meta.annotations}


def _identity(ref: core_v1.ObjectReference) -> tuple[object, ...]:
    return tuple(v for k, v in structs.asdict(ref).items() if k != "resourceVersion")


def _remember(table: "OrderedDict[tuple[object, ...], Any]", key: tuple[object, ...], fresh: Any) -> Any:
    value = table.setdefault(key, fresh)
    table.move_to_end(key)
    while len(table) > REMEMBERED:
        table.popitem(last=False)
    return value
