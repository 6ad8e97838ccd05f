"""From words to resources: `po`, `pods`, `deployments.apps`, `all`, a kind. Fed by discovery; used by targets.py."""

from collections.abc import Iterable

from msgspec import Struct

from pybernetes.api.objects import Object, split_api_version


class Mapping(Struct, frozen=True):
    """A resource as discovery lists it."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool
    singular: str = ""
    verbs: tuple[str, ...] = ()
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()

    @property
    def api_version(self) -> str:
        """`v1`, `apps/v1`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def shown(self) -> str:
        """As kubectl names it: `pods`, `deployments.apps`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def shown_kind(self) -> str:
        """As in `pod/web`, `deployment.apps/web`."""
        return (
            f"{self.singular or self.kind.lower()}.{self.group}" if self.group else self.singular or self.kind.lower()
        )

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The path of the API: a namespace only counts for namespaced resources; empty is all of them."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        parts = [root]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        parts += [part for part in (name, subresource) if part]
        return "/".join(parts)


class Mapper:
    """Looks resources up in what discovery said; earlier groups win, core first."""

    def __init__(self, mappings: Iterable[Mapping]) -> None:
        self.mappings = tuple(mappings)

    def of_word(self, word: str) -> Mapping | None:
        """`po`, `pod`, `pods`, `deployments.apps`, `deployments.v1.apps`; case does not count."""
        resource, _, rest = word.lower().partition(".")
        return next((m for m in self.mappings if _named(m, resource) and _in_group(m, rest)), None)

    def of_category(self, word: str) -> list[Mapping]:
        """The members of a category (`all`)."""
        return [m for m in self.mappings if word in m.categories]

    def of_kind(self, api_version: str, kind: str) -> Mapping | None:
        """The resource of a kind in a manifest."""
        group, version = split_api_version(api_version)
        return next((m for m in self.mappings if (m.group, m.version, m.kind) == (group, version, kind)), None)


def _named(mapping: Mapping, word: str) -> bool:
    return word in (mapping.plural, mapping.singular, mapping.kind.lower()) or word in mapping.short_names


def _in_group(mapping: Mapping, rest: str) -> bool:
    return not rest or rest == mapping.group or rest == f"{mapping.version}.{mapping.group}".rstrip(".")


def parse_aggregated(document: Object) -> list[Mapping]:
    """Mappings of an aggregated discovery document (apidiscovery.k8s.io/v2 APIGroupDiscoveryList)."""
    found = []
    for group in document.get("items") or ():
        name = (group.get("metadata") or {}).get("name", "")
        for version in group.get("versions") or ():
            for resource in version.get("resources") or ():
                found.append(_mapping(name, version["version"], resource))
    return found


def _mapping(group: str, version: str, resource: Object) -> Mapping:
    return Mapping(
        group=group,
        version=version,
        plural=resource["resource"],
        kind=(resource.get("responseKind") or {}).get("kind", ""),
        namespaced=resource.get("scope") == "Namespaced",
        singular=resource.get("singularResource", ""),
        verbs=tuple(resource.get("verbs") or ()),
        short_names=tuple(resource.get("shortNames") or ()),
        categories=tuple(resource.get("categories") or ()),
        subresources=tuple(sub["subresource"] for sub in resource.get("subresources") or ()),
    )
