"""Expectations: what a controller has just written and its cache has not shown yet. Until then it must not count."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from msgspec import Struct

from pybernetes.api.objects import Key
from pybernetes.client.informer import Informer
from pybernetes.client.rest import key_of
from pybernetes.wire.metrics import Counter

PATIENCE = 300.0
"""Seconds after which an expectation is given up: an event was lost, and the cache is trusted again."""


def stale_syncs(controller: str, kind: str) -> Counter:
    """Upstream's metric of looks that were put off since a cache did not show the last writes yet (KEP-5647).

    Its labels are group and resource of what was late.
    """
    about = f"Total number of {kind} syncs skipped due to a stale watch cache."
    return Counter(f"{controller}_controller_stale_sync_skips_total", about, "group resource")


@dataclass(slots=True)
class _Pending:
    since: float
    created: dict[Key, str] = field(default_factory=dict)
    """Keys of new objects, with the revision of their creation."""
    deleted: dict[Key, str] = field(default_factory=dict)
    """Keys of deleted objects, with their uid."""


class Expectations:
    """By key of the owner. The cache has caught up when it shows what was created, or is past its revision."""

    def __init__(self) -> None:
        self._pending: dict[Key, _Pending] = {}

    def created(self, owner: Key, obj: Struct, now: float) -> None:
        """An object was created."""
        self._of(owner, now).created[key_of(obj)] = _revision(obj)

    def deleted(self, owner: Key, obj: Struct, now: float) -> None:
        """An object was asked to go."""
        self._of(owner, now).deleted[key_of(obj)] = _uid(obj)

    def forget(self, owner: Key) -> None:
        """The owner is gone."""
        self._pending.pop(owner, None)

    def met(self, owner: Key, seen: Informer[Struct], now: float) -> bool:
        """Whether the cache shows everything that was written."""
        pending = self._pending.get(owner)
        if pending is None:
            return True
        reached = int(seen.revision or 0)
        for key, revision in tuple(pending.created.items()):
            if seen.cache.get(key) is not None or (revision.isdigit() and int(revision) <= reached):
                del pending.created[key]
        for key, uid in tuple(pending.deleted.items()):
            obj = seen.cache.get(key)
            if obj is None or _uid(obj) != uid or _going(obj):
                del pending.deleted[key]
        if (pending.created or pending.deleted) and now - pending.since < PATIENCE:
            return False
        del self._pending[owner]
        return True

    def waiting(self) -> Mapping[Key, object]:
        """Owners with unmet expectations, for tests and debugging."""
        return dict(self._pending)

    def _of(self, owner: Key, now: float) -> _Pending:
        return self._pending.setdefault(owner, _Pending(now))


class LastWrites:
    """By key: an object as it was written last. A cache that shows an older one is late: acting on it would do things twice."""

    def __init__(self) -> None:
        self._written: dict[Key, tuple[str, int, float]] = {}

    def wrote(self, obj: Struct, now: float) -> None:
        """This is the object since."""
        self._written[key_of(obj)] = (_uid(obj), int(_revision(obj)), now)

    def behind(self, obj: Struct, now: float) -> bool:
        """Whether the cache's object is one from before the last write, and not for PATIENCE seconds yet."""
        uid, revision, at = self._written.get(key_of(obj), ("", 0, 0.0))
        return uid == _uid(obj) and int(_revision(obj)) < revision and now < at + PATIENCE

    def forget(self, key: Key) -> None:
        """The object is gone."""
        self._written.pop(key, None)


def _revision(obj: object) -> str:
    return str(obj.metadata.resourceVersion)  # type: ignore[attr-defined]  # every kind has metadata


def _uid(obj: object) -> str:
    return str(obj.metadata.uid)  # type: ignore[attr-defined]  # every kind has metadata


def _going(obj: object) -> bool:
    return obj.metadata.deletionTimestamp is not None  # type: ignore[attr-defined]  # every kind has metadata
