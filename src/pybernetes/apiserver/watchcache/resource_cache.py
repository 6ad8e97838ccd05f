"""ResourceCache: the objects of one resource, its newest changes, and who is told of them. cache.py feeds it."""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, TypeAlias

from pybernetes.api.errors import Expired
from pybernetes.api.objects import Object
from pybernetes.apiserver.catalog import Served
from pybernetes.apiserver.registry import Listener
from pybernetes.apiserver.watchcache.entry import FORMS, Entry
from pybernetes.apiserver.watchcache.watcher import INDEXED_FIELD, Change, Rounds, Scope, Watcher, scopes_of

HISTORY = 4096
"""Changes a resource remembers for watches that resume."""
HISTORY_BYTES = 64 * 1024 * 1024
"""What their states may take together: large objects are remembered less long."""
Past: TypeAlias = Mapping[str, Entry | None]
"""How a resource was at an earlier revision, where that differs from now; None is what was not there then."""
NOW: Past = {}


def _bounds(namespace: str, after: str) -> tuple[str, str]:
    """The first key, and the first one beyond."""
    begin = max(namespace + "/" if namespace else "", after + "\0" if after else "")
    return begin, namespace + "0" if namespace else _BEYOND


_BEYOND = "\U0010ffff"


class ResourceCache:
    """The objects of one resource, sorted by `namespace/name` in byte order, and its newest changes."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.entries: dict[str, Entry] = {}
        self.keys: list[str] = []
        self.changes: deque[Change] = deque()
        self.size = self.history_size = 0
        """Bytes of the entries, and of the states in `changes`."""
        self.received = self.terminated = 0
        """Changes so far, and watchers that were cut off."""
        self.since = 0
        """Every change after this revision is in `changes`."""
        self.watchers: dict[Scope, dict[Watcher, None]] = {}  # in order of arrival, so that a seed repeats a run
        self.rounds = Rounds()
        self._watched = 0
        self._nodes: dict[str, set[str]] | None = {} if INDEXED_FIELD in served.fields else None
        """Keys by spec.nodeName, where objects have one."""
        self._listeners: list[Listener] = []
        self.whole = False
        """Who listens looks at more than Resource.glance."""

    def tell(self, obj: Object) -> None:
        """Tells who listens of an object that is there; replace() brings its entry."""
        for listener in self._listeners:
            listener("ADDED", obj)

    def replace(self, entries: Iterable[Entry], revision: int, *, told: bool = False) -> None:
        """Starts over from a state of the store; who listens is `told` already where there was none before."""
        before = self.entries
        self.forget()
        self.entries = {entry.key: entry for entry in entries}
        self.keys = sorted(self.entries)
        if self._nodes is not None:
            self._nodes = {}
            for entry in self.entries.values():
                self._nodes.setdefault(entry.value(INDEXED_FIELD) or "", set()).add(entry.key)
        self.changes.clear()
        self.history_size = 0
        self.size = sum(len(entry.body) for entry in self.entries.values())
        self.since = revision
        if told or not self._listeners:
            return
        for key, entry in before.items():
            if key not in self.entries:
                obj = entry.object()
                for listener in self._listeners:
                    listener("DELETED", obj)
        for key, entry in self.entries.items():
            obj = entry.object()
            for listener in self._listeners:
                listener("MODIFIED" if key in before else "ADDED", obj)

    def follow(self, before: "ResourceCache") -> None:
        """Takes the place of another: who listened to that one goes on here."""
        self.entries, self._listeners, self.whole = before.entries, before._listeners, before.whole

    def forget(self) -> None:
        """Lets go of what is kept beside the entries, of those of the past, too."""
        for entry in (*self.entries.values(), *(state for change in self.changes for state in change.states)):
            FORMS.drop(entry)

    def clear(self) -> None:
        """Lets go of everything."""
        self.forget()
        for kept in (self.entries, self.keys, self.changes):
            kept.clear()

    def subscribe(self, listener: Listener, *, glance: bool = False) -> None:
        """Tells `listener` of every object there is, then of every change, in the step in which it is taken in.

        `glance`: what Resource.glance names is enough of it.
        """
        self._listeners.append(listener)
        self.whole = self.whole or not glance
        for entry in self.entries.values():
            listener("ADDED", entry.object())

    def select(self, namespace: str = "", after: str = "", *, node: str | None = None, past: Past = NOW) -> list[Entry]:
        """The entries of a namespace (empty: all) that sort after a key: those of a node, those of the past."""
        entries = self.entries
        keys = self._of_node(node, namespace, after, past) if node is not None else self._keys(namespace, after, past)
        if not past:
            return [entries[key] for key in keys]
        found = (past[key] if key in past else entries[key] for key in keys)
        return [entry for entry in found if entry is not None]

    def page(self, namespace: str, after: str, limit: int, past: Past) -> tuple[list[Entry], int]:
        """The first of what select() gives, and how many more there are."""
        keys, entries, found = self._keys(namespace, after, past), self.entries, list[Entry]()
        if not past:
            return [entries[key] for key in keys[:limit]], max(len(keys) - limit, 0)
        for number, key in enumerate(keys):
            entry = past[key] if key in past else entries[key]
            if entry is None:
                continue
            if len(found) == limit:
                end = _bounds(namespace, after)[1]
                created = sum(key < other < end and past[other] is None and other in entries for other in past)
                return found, len(keys) - number - created
            found.append(entry)
        return found, 0

    def past(self, revision: int) -> Past | None:
        """What was different at a revision: key to state, None for what was not there. None: that is forgotten."""
        if revision < self.since:
            return None
        found: dict[str, Entry | None] = {}
        for change in self.changes_after(revision):
            known = change.entry or change.previous
            assert known is not None
            found.setdefault(known.key, change.previous)
        return found

    def _keys(self, namespace: str, after: str, past: Past) -> list[str]:
        """In order; those of the past that are no more, too."""
        begin, end = _bounds(namespace, after)
        keys = self.keys
        found = keys[bisect_left(keys, begin) : bisect_left(keys, end)]
        gone = [key for key, entry in past.items() if entry is not None and key not in self.entries]
        gone = [key for key in gone if begin <= key < end]
        return sorted(found + gone) if gone else found

    def _of_node(self, node: str, namespace: str, after: str, past: Past) -> list[str]:
        if self._nodes is None:
            return self._keys(namespace, after, past)
        begin, end = _bounds(namespace, after)
        found = {key for key in self._nodes.get(node, ()) if key not in past}
        found |= {key for key, entry in past.items() if entry is not None and entry.value(INDEXED_FIELD) == node}
        return sorted(key for key in found if begin <= key < end)

    def apply(self, key: str, entry: Entry | None, revision: int, obj: Object | None = None) -> None:
        """One write of the store; `entry` None is a deletion. `obj` is what the entry holds, where it is known."""
        previous = self.entries.get(key)
        if entry is not None:
            if previous is None:
                insort(self.keys, key)
            self.entries[key] = entry
        elif previous is None:
            return
        else:
            del self.entries[key]
            del self.keys[bisect_left(self.keys, key)]
        self._placed(key, previous, entry)
        change = Change(entry, previous, revision)
        self._remember(change)
        if self._listeners:
            kind: Literal["ADDED", "MODIFIED", "DELETED"] = "MODIFIED" if previous is not None else "ADDED"
            if entry is None:
                kind, obj = "DELETED", change.last.object()
            elif obj is None:
                obj = entry.object()
            else:
                obj = _at_revision(obj, revision)
            for listener in self._listeners:
                listener(kind, obj)
        if self.watchers:
            for scope in scopes_of(change):
                for watcher in tuple(self.watchers.get(scope, ())):
                    watcher.offer(change)
            change.frames.clear()  # all who watch have theirs; the history keeps objects, not frames

    def _remember(self, change: Change) -> None:
        changes = self.changes
        changes.append(change)
        self.received += 1
        self.history_size += change.size
        while len(changes) > HISTORY or (self.history_size > HISTORY_BYTES and len(changes) > 1):
            forgotten = changes.popleft()
            self.since = forgotten.revision
            self.history_size -= forgotten.size

    def _placed(self, key: str, previous: Entry | None, entry: Entry | None) -> None:
        """Keeps the index, and lets go of what nobody will ask of the old state."""
        if previous is not None:
            FORMS.drop(previous)
            self.size -= len(previous.body)
        if entry is not None:
            self.size += len(entry.body)
        nodes = self._nodes
        if nodes is None:
            return
        before = None if previous is None else previous.value(INDEXED_FIELD)
        now = None if entry is None else entry.value(INDEXED_FIELD)
        if before == now:
            return
        if before is not None:
            group = nodes[before]
            group.discard(key)
            if not group:
                del nodes[before]
        if now is not None:
            nodes.setdefault(now, set()).add(key)

    def changes_after(self, revision: int) -> Sequence[Change]:
        """Raises Expired when some of them are forgotten."""
        if revision < self.since:
            raise Expired(f"too old resource version: {revision} ({self.since})")
        start = bisect_left(self.changes, revision + 1, key=lambda change: change.revision)
        return [self.changes[i] for i in range(start, len(self.changes))]

    @property
    def watching(self) -> int:
        """How many watchers there are."""
        return sum(len(group) for group in self.watchers.values())

    def interested(self, namespace: str, name: str) -> int:
        """How many watchers look at every change of an object (name empty: at a new one), but for those of a node."""
        groups: list[Scope] = [None]
        if namespace:
            groups.append(("namespace", namespace))
        if name:
            groups.append(("name", f"{namespace}/{name}" if self.served.facts.namespaced else name))
        return sum(len(self.watchers.get(group, ())) for group in groups)

    def all_watchers(self) -> list[Watcher]:
        """As of now."""
        return [watcher for group in self.watchers.values() for watcher in group]

    def add(self, watcher: Watcher) -> None:
        """Offers every later change to a watcher until it is removed."""
        watcher.number, self._watched = self._watched, self._watched + 1
        self.watchers.setdefault(watcher.scope, {})[watcher] = None

    def remove(self, watcher: Watcher) -> None:
        """May be called twice."""
        group = self.watchers.get(watcher.scope)
        if group is not None:
            group.pop(watcher, None)
            if not group:
                del self.watchers[watcher.scope]


def _at_revision(obj: Object, revision: int) -> Object:
    return {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(revision)}}
