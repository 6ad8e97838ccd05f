"""What the store has seen, write by write: every object's past, who wrote it, and what its readers can know of it.

Rules look at the truth, but controllers cannot: their caches are late. So each version has the attempt that wrote it, and a
rule asks what a controller must have known: what its informers have passed, and what it has written itself and was answered.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from pybernetes.store.memory import MemoryStore
from pybernetes.store.protocol import Event, Revision, Stored

Obj = dict[str, Any]

LAG = 20.0
"""Seconds that a reconcile may take: what its caches have learnt since it may not have looked at."""
REQUEST = 7.0
"""Seconds between a look at what is there and the write that follows from it, at most."""
_QUIET = ("/registry/events/", "/registry/leases/")
"""What no rule looks at."""


@dataclass(slots=True, eq=False)
class Attempt:
    """One request that writes."""

    part: str
    """Who: `user`, `node n0`, or the controller that its User-Agent names."""
    generation: int = 0
    """Of the controller manager: 1, 2, ...; 0 for everybody else."""
    answered: bool | None = None
    """None while it is under way; False when the answer was lost, or nobody is left to hear it."""
    late: bool = False
    """It was done after its sender had ended."""

    def is_of(self, other: "Attempt") -> bool:
        """Whether both are of one controller of one process."""
        return (self.part, self.generation) == (other.part, other.generation)


NOBODY = Attempt("server")
ATTEMPT: ContextVar[Attempt] = ContextVar("attempt", default=NOBODY)
"""Whose request is being worked on."""


class Version(NamedTuple):
    """An object from one write to the next."""

    revision: int
    at: float
    obj: Obj
    by: Attempt


@dataclass(slots=True, eq=False)
class Life:
    """One object, by uid, from its first write to its last."""

    kind: str
    namespace: str
    name: str
    uid: str
    versions: list[Version] = field(default_factory=list)
    gone: Version | None = None
    """The write that removed it, with its last state."""
    asked: Version | None = None
    """The write that first asked for its deletion, or removed it at once."""

    @property
    def obj(self) -> Obj:
        """As it is, or was last."""
        return self.versions[-1].obj

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


@dataclass(slots=True, frozen=True)
class Write:
    """One write, as rules see it."""

    verb: str
    """create, update or remove."""
    life: Life
    old: Obj | None
    new: Obj | None
    version: Version

    @property
    def by(self) -> Attempt:
        """Who."""
        return self.version.by

    @property
    def asks_deletion(self) -> bool:
        """Whether it is the deletion, or the beginning of it."""
        return self.life.asked is self.version


Rule = Callable[["Ledger", Write], Iterable[str]]
"""Says what is wrong with a write, in words."""


class Ledger:
    """The truth, and the rules that are held to it."""

    def __init__(self, now: Callable[[], float], seen: Callable[[str], int]) -> None:
        """`seen`: the revision that the controllers' informer of a kind had passed LAG seconds ago."""
        self.lives: dict[str, Life] = {}
        """All there ever were, by uid."""
        self.log: list[str] = []
        """The history, a line a write."""
        self.violations: list[str] = []
        self.broken: Callable[[], None] = lambda: None
        """Is told when the first rule is broken: what follows from that tells nobody anything."""
        self.writes: dict[str, int] = {}
        """How many writes each part has done, Events and Leases aside."""
        self.written_at: dict[str, float] = {}
        """When each did its last."""
        self.now = now
        self._seen = seen
        self._rules: dict[str, list[Rule]] = {}
        self._live: dict[str, Life] = {}
        self._owned: dict[str, dict[Life, None]] = {}
        self._of_kind: dict[str, dict[str, Life]] = {}

    def hold(self, kind: str, rule: Rule) -> None:
        """Asks this rule about every write of a kind; `` is every kind."""
        self._rules.setdefault(kind, []).append(rule)

    # --- what there is

    def all(self, kind: str, namespace: str | None = None) -> list[Obj]:
        """The objects of a kind that are there."""
        return [one.obj for one in self.living(kind) if namespace in (None, one.namespace)]

    def living(self, kind: str) -> list[Life]:
        """The same, with their pasts."""
        return list(self._of_kind.get(kind, {}).values())

    def find(self, kind: str, namespace: str, name: str) -> Life | None:
        """The one of that name, if it is there."""
        return next((one for one in self.living(kind) if one.name == name and one.namespace == namespace), None)

    def owned(self, uid: str, kind: str) -> Iterator[Life]:
        """All that ever had that controller, also those that are gone or have another by now."""
        return (life for life in self._owned.get(uid, ()) if life.kind == kind)

    # --- what can be known

    def recent(self, life: Life) -> list[Obj]:
        """The versions that a controller at work may believe in: of what is gone, too, until that is known."""
        passed = self._seen(life.kind)
        found = []
        ends: Version | None = life.gone
        for version in reversed(life.versions):
            if ends is not None and ends.revision <= passed:
                break
            found.append(version.obj)
            ends = version
        return found

    def knows(self, version: Version, kind: str, by: Attempt) -> bool:
        """Whether the sender of an attempt must have known of a write before."""
        if version.by.is_of(by) and version.by.answered is not False:
            return True
        return version.revision <= self._seen(kind)

    def must_hold(self, life: Life, by: Attempt, holds: Callable[[Obj], bool]) -> bool:
        """Whether this is true of an object that is there, and the sender of an attempt must know it."""
        if life.gone is not None or not holds(life.obj):
            return False
        first = life.versions[-1]
        for version in reversed(life.versions):
            if not holds(version.obj):
                break
            first = version
        return self.knows(first, life.kind, by)

    def may_hold(self, life: Life, by: Attempt, holds: Callable[[Obj], bool]) -> bool:
        """Whether the sender may believe it: it is true, or was a moment ago, and the sender has not ended it itself."""
        asked = life.asked
        if asked is not None and asked.by is not by and asked.by.is_of(by) and asked.by.answered is not False:
            return False
        return any(holds(obj) for obj in self.recent(life))

    # --- writes

    def saw(self, event: Event) -> None:
        """A write has been done."""
        by = ATTEMPT.get()
        digest = hashlib.sha256(event.value).hexdigest()[:12] if event.type == "PUT" else ""
        sign = f"{by.part}{'/' + str(by.generation) if by.generation else ''}{' (late)' if by.late else ''}"
        self.log.append(f"{self.now():.3f} {event.revision} {event.type} {event.key} {digest} {sign}".strip())
        if event.key.startswith(_QUIET):
            return
        write = self._removed(event, by) if event.type == "DELETE" else self._put(event, orjson.loads(event.value), by)
        if write is None:
            return
        self.writes[by.part] = self.writes.get(by.part, 0) + 1
        self.written_at[by.part] = self.now()
        for rule in (*self._rules.get(write.life.kind, ()), *self._rules.get("", ())):
            try:
                found = [*rule(self, write)]
            except (LookupError, TypeError, ValueError, AttributeError) as fault:
                found = [f"the rule itself failed: {fault!r}"]  # raised, it would be the server's fault
            if found and not self.violations:
                self.broken()
            self.violations += [f"{write.life} ({event.key}, {sign}): {wrong}" for wrong in found]

    def _put(self, event: Event, obj: Obj, by: Attempt) -> Write | None:
        kind = obj.get("kind", "")
        version = Version(event.revision, self.now(), obj, by)
        life, old = self._live.get(event.key), None
        meta = obj["metadata"]
        if life is None:
            life = Life(kind, meta.get("namespace", ""), meta["name"], meta.get("uid", ""))
            self._live[event.key] = self.lives[life.uid] = life
            self._of_kind.setdefault(kind, {})[event.key] = life
        else:
            old = life.obj
        life.versions.append(version)
        if life.asked is None and meta.get("deletionTimestamp"):
            life.asked = version
        owner = controller_of(obj)
        if owner:
            self._owned.setdefault(owner, {})[life] = None
        return Write("update" if old is not None else "create", life, old, obj, version)

    def _removed(self, event: Event, by: Attempt) -> Write | None:
        life = self._live.pop(event.key, None)
        if life is None:
            return None
        del self._of_kind[life.kind][event.key]
        life.gone = Version(event.revision, self.now(), life.obj, by)
        if life.asked is None:
            life.asked = life.gone
        return Write("remove", life, life.obj, None, life.gone)


def controller_of(obj: Obj) -> str:
    """The uid of the controller; empty without one."""
    return next((ref["uid"] for ref in obj["metadata"].get("ownerReferences", ()) if ref.get("controller")), "")


class WatchedStore(MemoryStore):
    """The memory store, whose every write is told before anybody else hears of it."""

    def __init__(self) -> None:
        super().__init__()
        self.tell: Callable[[Event], None] = lambda event: None

    def _record(self, event: Event, previous: Stored | None) -> Revision:
        self.tell(event)
        return super()._record(event, previous)
