"""Catalog: every resource this server serves, its Resource joined with the facts. Routing, discovery and the cache read it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from pybernetes.aio.discover import discover
from pybernetes.api import facts
from pybernetes.api.facts import ResourceFacts
from pybernetes.api.objects import GroupResource
from pybernetes.apiserver.resource import Resource

ROOT = "/registry/"


@dataclass(frozen=True, slots=True)
class Served:
    """One served resource: what it does (`resource`), what it is called (`facts`), where it is kept."""

    resource: Resource
    facts: ResourceFacts
    prefix: str
    """Where its objects are in the store, with the trailing slash."""
    head: bytes
    """The bytes every stored object begins with: `{"kind":"Pod","apiVersion":"v1",`."""
    gr: GroupResource

    def key(self, namespace: str, name: str) -> str:
        """The store's key of an object."""
        return f"{self.prefix}{namespace}/{name}" if self.facts.namespaced else self.prefix + name


class Catalog:
    """All served resources. Raises LookupError at start for a resource that the facts do not know."""

    def __init__(self, resources: Iterable[Resource]) -> None:
        self._by_path: dict[tuple[str, str, str], Served] = {}
        self.by_gr: dict[GroupResource, Served] = {}
        for resource in resources:
            known = facts.resource(resource.group, resource.plural, resource.version)
            if known is None:
                raise LookupError(f"no facts about {resource.plural} in {resource.group or 'core'}/{resource.version}")
            served = Served(resource, known, _prefix(resource), _head(known), resource.group_resource)
            self._by_path[resource.group, resource.version, resource.plural] = served
            self.by_gr[served.gr] = served

    def find(self, group: str, version: str, plural: str) -> Served | None:
        """What a path names."""
        return self._by_path.get((group, version, plural))

    def __iter__(self) -> Iterator[Served]:
        return iter(self._by_path.values())

    @property
    def resources(self) -> Mapping[GroupResource, Resource]:
        """As Registry.resources."""
        return {gr: served.resource for gr, served in self.by_gr.items()}


def discovered() -> Catalog:
    """The Catalog of every file in apiserver/resources and of the entry points `pybernetes.resources`."""
    found = discover("pybernetes.apiserver.resources", "RESOURCE", Resource, group="pybernetes.resources")
    return Catalog(found.values())


def _prefix(resource: Resource) -> str:
    where = f"{resource.group}/{resource.plural}" if resource.group else resource.plural
    return f"{ROOT}{resource.storage_prefix or where}/"


def _head(known: ResourceFacts) -> bytes:
    return f'{{"kind":"{known.kind}","apiVersion":"{known.api_version}",'.encode()
