"""Catalog: every resource this server serves, its Resource joined with the facts. Routing, discovery and the cache read it.

Built-in resources are there from the start; those of CustomResourceDefinitions come and go (`put`, `drop`).
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, cast

import msgspec
import orjson

from pybernetes.aio.discover import discover
from pybernetes.api import facts
from pybernetes.api.facts import ResourceFacts
from pybernetes.api.objects import GroupResource, Object
from pybernetes.apiserver.form import Form, built_in
from pybernetes.apiserver.resource import Alias, Column, Errors, Resource

ROOT = "/registry/"


@dataclass(frozen=True, slots=True, eq=False)
class Served:
    """One resource in one version: what it does (`resource`), what it is called (`facts`), where it is kept."""

    resource: Resource
    facts: ResourceFacts
    prefix: str
    """Where its objects are in the store, with the trailing slash."""
    head: bytes
    """The bytes every object begins with: `{"kind":"Pod","apiVersion":"v1",`."""
    gr: GroupResource
    form: Form
    source: "Served | None" = None
    """The version in which its objects are stored; None: this one."""
    alias: Alias | None = None
    """How it differs from `source`."""
    fields: Mapping[str, Callable[[Object], str]] = field(default_factory=dict)
    """Field selectors of all versions together, asked of the stored form."""
    restore: Callable[[Object], Object] | None = None
    """What becomes of a stored object before anybody sees it (custom resources: pruned and defaulted by today's schema)."""
    own_form: bool = False
    """Requests are worked on in this version's form (custom resources); else in the stored one."""
    list_kind: str = ""
    """Of a custom resource: what a list is called; empty: the kind with `List`."""
    ending: bool = False
    """Its definition is being deleted: nothing new is made, the rest is there until it is gone."""
    refused: str = ""
    """Why requests in this version cannot be answered (no converter); empty: they can."""
    glance: Callable[[bytes], Object] | None = None
    """Decodes what Resource.glance names of a stored object. Raises ValueError; None: there is no such part."""
    table: list[Column] = field(default_factory=list)
    """The columns of its tables, once tables.py has worked them out: they go with it."""
    places: Mapping[str, int] = field(init=False)
    """Where a field's value is among an entry's."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "places", {name: place for place, name in enumerate(self.fields)})

    def key(self, namespace: str, name: str) -> str:
        """The store's key of an object."""
        return f"{self.prefix}{namespace}/{name}" if self.facts.namespaced else self.prefix + name

    @property
    def stored(self) -> "Served":
        """The version in which its objects are stored and cached."""
        return self.source or self

    def shown(self, obj: Object) -> Object:
        """A stored object in this version."""
        if self.alias is None:
            return obj
        return self.form.walk(_called(self.alias.read(obj), self.facts)).object

    def worked(self, obj: Object) -> Object:
        """An object of this version in the form that strategies and admission work on."""
        if self.alias is None or self.own_form:
            return obj
        return self.stored.form.walk(_called(self.alias.write(obj), self.stored.facts)).object

    def kept(self, obj: Object) -> Object:
        """What was worked on, as it is stored."""
        if self.source is None or not self.own_form:
            return obj
        return self.source.form.walk(_called(obj, self.source.facts)).object

    @property
    def listed(self) -> str:
        """The kind of a list of these."""
        return self.list_kind or f"{self.facts.kind}List"

    def opened(self, obj: Object) -> Object:
        """A stored object in the form that strategies and admission work on."""
        return self.shown(obj) if self.own_form else obj

    def answered(self, obj: Object) -> Object:
        """What strategies and admission worked on, in this version."""
        return obj if self.own_form else self.shown(obj)


class Catalog:
    """All served resources, each in its versions."""

    def __init__(self, built_in: Iterable[Iterable[Served]]) -> None:
        self._by_path: dict[tuple[str, str, str], Served] = {}
        self.by_gr: dict[GroupResource, Served] = {}
        """In the version that is stored."""
        self.changes = 0
        """Counts up when resources come or go: what is made from the whole catalog is stale then."""
        self.caught_up: Callable[[], Awaitable[None]] | None = None
        """Waits for what another server may have added; whoever knows of such sets it."""
        for versions in built_in:
            self.put(versions)

    def put(self, versions: Iterable[Served]) -> None:
        """Serves a resource: all its versions, one of them the stored one. Takes the place of what was there."""
        for served in versions:
            self._by_path[served.facts.group, served.facts.version, served.facts.plural] = served
            self.by_gr[served.gr] = served.stored
        self.changes += 1

    def drop(self, resource: GroupResource, keep: Iterable[str] = ()) -> None:
        """No longer serves a resource, but in these versions."""
        kept = set(keep)
        for path in [path for path in self._by_path if (path[0], path[2]) == (resource.group, resource.resource)]:
            if path[1] not in kept:
                del self._by_path[path]
        if not kept:
            self.by_gr.pop(resource, None)
        self.changes += 1

    def find(self, group: str, version: str, plural: str) -> Served | None:
        """What a path names."""
        return self._by_path.get((group, version, plural))

    async def look(self, group: str, version: str, plural: str) -> Served | None:
        """The same, after what others have added has come here. Raises ServiceUnavailable."""
        if self.caught_up is not None:
            await self.caught_up()
        return self.find(group, version, plural)

    def __iter__(self) -> Iterator[Served]:
        return iter(self._by_path.values())

    @property
    def resources(self) -> "Resources":
        """As Registry.resources."""
        return Resources(self)


class Resources(Mapping[GroupResource, Resource]):
    """The Resource of everything that is served, by GroupResource; a view."""

    def __init__(self, catalog: Catalog) -> None:
        self._by_gr = catalog.by_gr

    def __getitem__(self, key: GroupResource) -> Resource:
        return self._by_gr[key].resource

    def __iter__(self) -> Iterator[GroupResource]:
        return iter(self._by_gr)

    def __len__(self) -> int:
        return len(self._by_gr)


def discovered() -> Catalog:
    """The Catalog of every file in apiserver/resources and of the entry points `pybernetes.resources`.

    Raises LookupError for a resource that the facts do not know.
    """
    return Catalog(_installed())


@cache
def _installed() -> tuple[Sequence[Served], ...]:
    """What every server of a process serves: nothing in it changes, so that they share it."""
    found = discover("pybernetes.apiserver.resources", "RESOURCE", Resource, group="pybernetes.resources")
    return tuple(built(resource) for resource in found.values())


def built(resource: Resource) -> list[Served]:
    """A built-in resource in all its versions, the stored one first. Raises LookupError."""
    known = _facts(resource.group, resource.plural, resource.version)
    fields = {**resource.selectable_fields}
    for alias in resource.also:
        fields |= alias.selectable_fields or {}
    gr = resource.group_resource
    form, glance = built_in(known.gvk), _glance(resource.glance)
    stored = Served(resource, known, _prefix(resource), head(known), gr, form, fields=fields, glance=glance)
    found = [stored]
    for alias in resource.also:
        known = _facts(alias.group, resource.plural, alias.version)
        own = replace(
            resource,
            group=alias.group,
            version=alias.version,
            columns=resource.columns if alias.columns is None else alias.columns,
            selectable_fields=resource.selectable_fields
            if alias.selectable_fields is None
            else alias.selectable_fields,
            validate_update=_both_update(resource.validate_update, alias.validate_update),
        )
        form = built_in(known.gvk)
        found.append(Served(own, known, stored.prefix, head(known), own.group_resource, form, stored, alias))
    return found


def _glance(part: type | None) -> Callable[[bytes], Object] | None:
    if part is None:
        return None
    decode: Callable[[bytes], Any] = msgspec.json.Decoder(part).decode

    def look(value: bytes) -> Object:
        try:
            return cast(Object, decode(value))
        except msgspec.MsgspecError:  # some other program's object: no worse than it is
            whole: Object = orjson.loads(value)
            return whole

    return look


def _called(obj: Object, known: ResourceFacts) -> Object:
    return {**obj, "kind": known.kind, "apiVersion": known.api_version}


def _facts(group: str, plural: str, version: str) -> ResourceFacts:
    known = facts.resource(group, plural, version)
    if known is None:
        raise LookupError(f"no facts about {plural} in {group or 'core'}/{version}")
    return known


def _both_update(
    first: Callable[[Object, Object], Errors], second: Callable[[Object, Object], Errors]
) -> Callable[[Object, Object], Errors]:
    return lambda obj, old: (*first(obj, old), *second(obj, old))


def _prefix(resource: Resource) -> str:
    return f"{ROOT}{resource.storage_prefix or resource.plural}/"


def head(known: ResourceFacts) -> bytes:
    """The bytes that objects of a kind begin with."""
    return f'{{"kind":"{known.kind}","apiVersion":"{known.api_version}",'.encode()
