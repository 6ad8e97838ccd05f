"""The vocabulary of objects: names of kinds and of single objects. errors.py says what goes wrong with them."""

from collections.abc import Mapping
from typing import Any, NewType, TypeAlias

from msgspec import Struct

Object: TypeAlias = dict[str, Any]
"""An API object as JSON has it. Only the API server and generic machinery work on these; others read api.types."""

UID = NewType("UID", str)


class Key(Struct, frozen=True, order=True):
    """What names one object of a resource. `namespace` is empty for cluster-scoped ones."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


class GroupVersionKind(Struct, frozen=True, order=True):
    """A kind of object; `group` is empty for core."""

    group: str
    version: str
    kind: str

    @property
    def api_version(self) -> str:
        """As in `apiVersion`: `v1`, `apps/v1`."""
        return f"{self.group}/{self.version}" if self.group else self.version


def overlaid(below: Mapping[str, Any], above: Mapping[str, Any]) -> Object:
    """`below` with what `above` says in its place; maps in both are joined, everything else is replaced as a whole."""
    merged = dict(below)
    for name, value in above.items():
        before = merged.get(name)
        merged[name] = overlaid(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return merged


class GroupResource(Struct, frozen=True, order=True):
    """A resource in any version; `group` is empty for core."""

    group: str
    resource: str

    def __str__(self) -> str:
        return f"{self.resource}.{self.group}" if self.group else self.resource


class User(Struct, frozen=True):
    """Who asks (authentication.k8s.io UserInfo)."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = {}


ANONYMOUS = User("system:anonymous", groups=("system:unauthenticated",))


def split_api_version(api_version: str) -> tuple[str, str]:
    """`apps/v1` to (`apps`, `v1`), `v1` to (``, `v1`)."""
    group, _, version = api_version.rpartition("/")
    return group, version


def key_of(obj: Object) -> Key:
    """The Key in an object's metadata."""
    metadata = obj.get("metadata") or {}
    return Key(metadata.get("namespace", ""), metadata.get("name", ""))
