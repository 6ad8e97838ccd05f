"""PriorityAndFairness: the filter that is on by default. Classifies requests, keeps the levels, follows their objects.

The objects come through Registry.subscribe before a write to them is answered: the next request counts it. What a
request is, by its user, verb, resource and namespace, is remembered until one of the objects changes.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, TypeVar

from pybernetes.aio.clock import Clock
from pybernetes.api.objects import Object, User
from pybernetes.apiserver.flowcontrol.classify import Schema, first
from pybernetes.apiserver.flowcontrol.filter import READING, Filter
from pybernetes.apiserver.flowcontrol.levels import Levels
from pybernetes.apiserver.flowcontrol.objects import LEVELS, SCHEMAS, mandatory_schemas
from pybernetes.apiserver.flowcontrol.queues import Flow
from pybernetes.apiserver.flowcontrol.tally import Tally
from pybernetes.apiserver.flowcontrol.work import ONE, Estimator, Work, of_list, of_write
from pybernetes.apiserver.options import Query, selected_name
from pybernetes.apiserver.registry import Registry
from pybernetes.apiserver.requestinfo import RequestInfo, is_true

log = logging.getLogger(__name__)

ADJUST_SECONDS = 10.0
"""How often seats go to where they are wanted (upstream's borrowingAdjustmentPeriod)."""
_KEPT = 4096
_LONG = 300
"""What a longer path was taken for is not remembered: it is the client's word."""
_FLOW_UID, _LEVEL_UID = "x-kubernetes-pf-flowschema-uid", "x-kubernetes-pf-prioritylevel-uid"

K = TypeVar("K")
V = TypeVar("V")
Change = Literal["ADDED", "MODIFIED", "DELETED"]


class PriorityAndFairness(Filter):
    """A server of so many seats. follow() before it is asked, run() while it is."""

    def __init__(self, clock: Clock, seconds: float, seats: int, estimator: Estimator) -> None:
        super().__init__(clock, seconds)
        self.levels = Levels(seats, clock.monotonic)
        self.schemas: dict[str, Object] = {}
        """The FlowSchemas that there are."""
        self.tallies: dict[tuple[str, str], Tally] = {}
        """By level and schema."""
        self.changed: Callable[[], None] = lambda: None
        """Called when any of the objects has changed."""
        self._estimator = estimator
        self._objects: dict[str, Object] = {}
        self._compiled: dict[str, Schema] = {}
        self._order: list[Schema] = []
        self._flows: dict[tuple[str | tuple[str, ...], ...], Flow] = {}
        """By what was asked."""
        self._made: dict[tuple[str, str], Flow] = {}
        """By schema and distinguisher."""
        self._concerning: dict[tuple[str, tuple[str, ...]], Sequence[Schema]] = {}
        """By user and groups: the schemas to which any request of his may belong, in their order."""
        self._stale = False
        self._digest()

    def follow(self, registry: Registry) -> None:
        """Subscribes to the objects."""
        registry.subscribe(SCHEMAS, self._schema_changed)
        registry.subscribe(LEVELS, self._level_changed)

    async def run(self) -> None:
        """Runs until cancelled: moves seats to where they are wanted."""
        served = self._served()
        while True:
            await self._clock.sleep(ADJUST_SECONDS)
            if self.levels.reap():
                self._digest()
            before, served = served, self._served()
            self.levels.adjust(frozenset(name for name, count in served.items() if count != before.get(name, 0)))

    def known(self, level: str) -> bool:
        """Whether there is an object of this level."""
        return level in self._objects

    # --- Filter

    def flow(self, user: User, info: RequestInfo) -> Flow | None:
        asked: tuple[str | tuple[str, ...], ...]
        if info.is_resource:
            asked = (user.name, user.groups, info.verb, info.group, info.resource, info.subresource, info.namespace)
        else:
            asked = (user.name, user.groups, info.verb, info.path)
        found = self._flows.get(asked)
        if found is not None:
            return found
        if info.long_running and info.verb != "watch":
            return None
        if self._stale:
            self._digest()
        flow = self._classified(user, info)
        if len(info.path) < _LONG:
            _bounded(self._flows)[asked] = flow
        return flow

    def work(self, flow: Flow, info: RequestInfo, query: Query) -> Work:
        if not info.is_resource:
            return ONE
        level = self.levels.by_name.get(flow.tally.level)
        most = level.widest if level is not None else 0
        if info.verb not in READING:
            if info.verb == "deletecollection" or info.subresource == "token":
                return ONE  # a token is no event; upstream leaves collections at one seat, too
            watchers = self._estimator.watchers(info)
            flow.tally.watchers.add(watchers)
            return of_write(watchers, most=most)
        if info.verb == "watch" and not _begins_with_all(query):
            return ONE
        limit = query.get("limit", ["0"])[0]
        single = bool(info.name or selected_name(query.get("fieldSelector", [""])[0]))
        stored = self._estimator.stored(info)
        return of_list(stored, int(limit) if limit.isdecimal() and len(limit) < 10 else 0, single=single, most=most)

    def retry_after(self, flow: Flow) -> int:
        level = self.levels.by_name.get(flow.tally.level)
        if level is None:
            return 1
        level.retry.refused(self._clock.now())
        return level.retry.seconds

    # --- inside

    def _classified(self, user: User, info: RequestInfo) -> Flow:
        schema = first(self._of_user(user), user, info)
        if schema is None:
            schema = self._order[-1]  # catch-all: it has everybody, but for one who is neither known nor unknown
        level = self.levels.by_name[schema.level]
        key = (level.name, schema.name)
        tally = self.tallies.get(key) or self.tallies.setdefault(key, Tally(*key))
        queuing = level.queues.queuing
        distinguisher = schema.distinguisher(user, info) if queuing is not None and queuing.queues > 1 else ""
        flow = self._made.get((schema.name, distinguisher))
        if flow is None:
            headers = ((_FLOW_UID, schema.uid), (_LEVEL_UID, level.uid))
            flow = Flow(level.queues, tally, distinguisher, headers)
            if len(distinguisher) < _LONG:
                _bounded(self._made)[schema.name, distinguisher] = flow
        return flow

    def _of_user(self, user: User) -> Sequence[Schema]:
        who = (user.name, user.groups)
        found = self._concerning.get(who)
        if found is None:
            found = _bounded(self._concerning)[who] = [schema for schema in self._order if schema.concerns(user)]
        return found

    def _forget(self) -> None:
        self._flows.clear()
        self._made.clear()
        self._concerning.clear()

    def _schema_changed(self, change: Change, obj: Object) -> None:
        name = obj["metadata"]["name"]
        before = self.schemas.pop(name, None)
        if change != "DELETED":
            self.schemas[name] = obj
        self.changed()
        if change != "DELETED" and before is not None and _said(before) == _said(obj):
            return  # its status
        self._compiled.pop(name, None)
        self._spoil()

    def _level_changed(self, change: Change, obj: Object) -> None:
        name = obj["metadata"]["name"]
        if change == "DELETED":
            self._objects.pop(name, None)
        else:
            self._objects[name] = obj
        self.changed()
        self._spoil()

    def _spoil(self) -> None:
        """All objects are taken in together, once they have changed: a start brings twenty of them in one step."""
        self._forget()
        if not self._stale:
            self._stale = True
            asyncio.get_running_loop().call_soon(self._digest_if_stale)

    def _digest_if_stale(self) -> None:
        if self._stale:
            self._digest()

    def _digest(self) -> None:
        self._stale = False
        self._forget()
        self.levels.digest(self._objects)
        names = {name for name, level in self.levels.by_name.items() if not level.quiescing}
        for name, obj in self.schemas.items():
            if name not in self._compiled:
                self._compiled[name] = Schema(obj)
        usable = [schema for schema in self._compiled.values() if schema.level in names]
        self._order = sorted([*usable, *_missing(usable)], key=lambda schema: schema.order)
        log.debug("flow control follows its objects schemas=%d levels=%d", len(self._order), len(names))

    def _served(self) -> Mapping[str, int]:
        found: dict[str, int] = {}
        for tally in self.tallies.values():
            found[tally.level] = found.get(tally.level, 0) + tally.quick
        return found


def _missing(usable: Iterable[Schema]) -> list[Schema]:
    """Those that every cluster must have, where they are not there."""
    names = {schema.name for schema in usable}
    made = ({"metadata": {"name": name}, "spec": spec} for name, spec in mandatory_schemas().items())
    return [Schema(obj) for obj in made if obj["metadata"]["name"] not in names]


def _bounded(memory: dict[K, V]) -> dict[K, V]:
    """A memory with room for one more."""
    if len(memory) >= _KEPT:
        memory.clear()
    return memory


def _begins_with_all(query: Query) -> bool:
    """Whether a watch begins with what is there."""
    return is_true(query.get("sendInitialEvents")) or query.get("resourceVersion", [""])[0] in ("", "0")


def _said(schema: Object) -> tuple[object, object]:
    """What counts of a FlowSchema for classification."""
    return schema.get("spec"), schema["metadata"].get("uid")
