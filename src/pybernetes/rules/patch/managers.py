"""Who owns which fields of an object, and how writes change that: the entries of metadata.managedFields. Pure.

`updated()` is for writes that say what the whole object is, `applied()` for server-side apply.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias

import orjson
from msgspec import Struct
from msgspec.structs import replace

from pybernetes.api.objects import Object
from pybernetes.rules.patch import apply, fields
from pybernetes.rules.patch.fields import FieldSet
from pybernetes.rules.patch.typed import Node

APPLY = "Apply"
UPDATE = "Update"
UPDATE_MANAGERS = 10
"""More managers that update are not told apart: the oldest become one."""
_OLDEST = "ancient-changes"
_STRIPPED: FieldSet = {
    "f:apiVersion": {},
    "f:kind": {},
    "f:metadata": {
        ".": {},
        **{f"f:{name}": {} for name in ("name", "namespace", "creationTimestamp", "selfLink", "uid", "clusterName")},
        **{f"f:{name}": {} for name in ("generation", "managedFields", "resourceVersion")},
    },
}
"""What nobody owns."""


class Manager(NamedTuple):
    """Who an entry is of. `version` is empty for appliers: they are the same in every version."""

    name: str
    operation: str
    version: str
    subresource: str

    def __str__(self) -> str:
        """As conflicts name it."""
        text = orjson.dumps(self.name).decode()
        if self.subresource:
            text += f' with subresource "{self.subresource}"'
        return f"{text} using {self.version}" if self.operation == UPDATE else text


class Entry(Struct, frozen=True):
    """What one manager owns, in which version of the object, since when."""

    fields: FieldSet
    version: str
    time: str | None = None


Managed: TypeAlias = dict[Manager, Entry]


class Conflicts(Exception):
    """An apply would change what others own; `owned` is that, by owner."""

    def __init__(self, owned: Mapping[Manager, FieldSet]) -> None:
        super().__init__("conflicts")
        self.owned = owned

    def each(self) -> list[tuple[Manager, str]]:
        """Owner and path of every conflict, owners in order."""
        return [(who, fields.shown(path)) for who in sorted(self.owned) for path in fields.paths(self.owned[who])]


class Step(Struct, frozen=True):
    """A write: by whom, in which version of the object, when, and what its values are to server-side apply."""

    manager: Manager
    version: str
    time: str
    node: Node


# --- as JSON


def decoded(entries: Any) -> Managed:
    """The entries of metadata.managedFields. Raises ValueError for what cannot be one."""
    managed: Managed = {}
    for index, entry in enumerate(entries):
        operation, version = entry.get("operation", ""), entry.get("apiVersion", "")
        if operation not in (APPLY, UPDATE):
            raise ValueError("operation must be `Apply` or `Update`")
        if not version:
            raise ValueError("apiVersion must not be empty")
        kind = entry.get("fieldsType", "")
        if kind != "FieldsV1":
            wrong = f'invalid fieldsType "{kind}"' if kind else "missing fieldsType"
            raise ValueError(f"{wrong} in managed fields entry {index}")
        named = "" if operation == APPLY else version
        who = Manager(entry.get("manager", ""), operation, named, entry.get("subresource", ""))
        managed[who] = Entry(entry.get("fieldsV1") or {}, version, entry.get("time"))
    return managed


def checked(managed: Managed) -> Managed:
    """Entries that come from a client, their sets in canonical form. Raises ValueError where one is no set."""
    return {who: replace(entry, fields=fields.read(entry.fields)) for who, entry in managed.items()}


def encoded(managed: Managed) -> list[Object]:
    """metadata.managedFields, in upstream's order."""
    return [
        {
            **({"manager": who.name} if who.name else {}),
            "operation": who.operation,
            "apiVersion": entry.version,
            **({"time": entry.time} if entry.time else {}),
            "fieldsType": "FieldsV1",
            "fieldsV1": entry.fields,
            **({"subresource": who.subresource} if who.subresource else {}),
        }
        for who, entry in sorted(managed.items(), key=_order)
    ]


def _order(item: tuple[Manager, Entry]) -> tuple[str, str, str, str, str]:
    who, entry = item
    return who.operation, entry.time or "", who.name, entry.version, who.subresource


# --- updates


def updated(managed: Managed, old: Object, new: Object, step: Step) -> Managed:
    """Who owns what after a write that made `new` of `old`: what it changed and added is the writer's alone.

    `old` and `new` are without metadata.managedFields.
    """
    removed, changed = fields.compare(old, new, step.node)
    if removed or changed:
        managed = _given_up(_given_up(managed, changed), removed)
    own = fields.difference(changed, _STRIPPED)
    if own:
        before = managed.get(step.manager)
        own = fields.union(own, before.fields) if before else own
        managed = {**managed, step.manager: Entry(own, step.version, step.time)}
    return capped(managed)


def _given_up(managed: Managed, away: FieldSet, keeps: Manager | None = None) -> Managed:
    """Without a set, except for one manager; whoever owns nothing any more is gone."""
    if not away:
        return managed
    left: Managed = {}
    for who, entry in managed.items():
        kept = entry.fields if who == keeps else fields.difference(entry.fields, away)
        if kept:
            left[who] = entry if kept is entry.fields else replace(entry, fields=kept)
    return left


def capped(managed: Managed) -> Managed:
    """At most so many managers that update: the oldest of a version become one."""
    updaters = sorted(
        (who for who in managed if who.operation == UPDATE), key=lambda who: (managed[who].time or "", who)
    )
    surplus = len(updaters) - UPDATE_MANAGERS
    if surplus <= 0:
        return managed
    managed = dict(managed)
    first: dict[str, Manager] = {}
    for who in updaters:
        if surplus <= 0:
            break
        entry = managed[who]
        bucket = Manager(_OLDEST, UPDATE, entry.version, "")
        if entry.version not in first:
            first[entry.version] = who
            continue
        if bucket not in managed:
            managed[bucket] = managed.pop(first[entry.version])
        merged = fields.union(entry.fields, managed[bucket].fields)
        managed.pop(who)
        managed[bucket] = Entry(merged, entry.version, entry.time)
        surplus -= 1
    return managed


# --- apply


def applied(managed: Managed, live: Object, config: Object, step: Step, *, force: bool) -> tuple[Object, Managed]:
    """The object that applying a well typed configuration makes, and who owns what then. Raises Conflicts.

    The object is `live` itself where the configuration changes nothing in it.
    """
    node, me = step.node, step.manager
    own = fields.difference(fields.of_object(config, node), _STRIPPED)
    last = managed.get(me)
    managed = {**managed, me: Entry(own, step.version, last.time if last else None)}
    new: Object = apply.merge(live, config, node)
    if last is not None:
        left = _pruned(new, last.fields, managed, node)
        if left is not new:
            # Merged once more: what removal has emptied is null, and the configuration may say that it is empty.
            new = apply.merge(left, config, node)
    removed, changed = fields.compare(live, new, node)
    conflicts = {
        who: found
        for who, entry in managed.items()
        if who != me and (found := fields.intersection(entry.fields, changed))
    }
    if conflicts and not force:
        raise Conflicts(conflicts)
    managed = _given_up(_given_up(managed, changed, keeps=me), removed, keeps=me)
    if not own:
        managed = {who: entry for who, entry in managed.items() if who != me}
    if new == live:
        return live, capped(managed)
    if me in managed:
        managed = {**managed, me: replace(managed[me], time=step.time)}
    return new, capped(managed)


def _pruned(merged: Object, last: FieldSet, managed: Managed, node: Node) -> Object:
    """Without what the manager applied last time and nobody owns now."""
    owned = _everyones(managed.values())
    if not fields.difference(last, owned):
        return merged

    def named(found: FieldSet) -> FieldSet:
        return fields.with_named_parents(found, node)

    def present(value: Object) -> FieldSet:
        return named(fields.of_object(value, node))

    def cut(away: FieldSet) -> Object:
        left: Object = apply.remove(merged, away, node) or {}
        return left

    last, there = named(last), present(merged)
    left = cut(last)
    # What went with a field of his but is owned by somebody comes back, then what nobody owns and he never did.
    left = cut(fields.difference(there, fields.union(present(left), named(owned))))
    return cut(fields.intersection(fields.difference(there, present(left)), last))


def _everyones(entries: Iterable[Entry]) -> FieldSet:
    owned: FieldSet = {}
    for entry in entries:
        owned = fields.union(owned, entry.fields)
    return owned
