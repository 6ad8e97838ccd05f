"""Entry: one object in memory as bytes with a small envelope, and the form its bytes have in the store. cache.py keeps them.

The store's bytes are JSON that begins with a head known per resource and then `"metadata":{`, without a resourceVersion:
it goes right there. So an object, an item of a list and a watch event are made by joining bytes.
"""

from collections.abc import Mapping
from sys import intern
from typing import Any

import orjson
from msgspec import Struct, structs

from pybernetes.api.errors import BadRequest
from pybernetes.api.objects import GroupResource, Object
from pybernetes.apiserver.catalog import Served

_METADATA = b'"metadata":{'
_NONE: dict[str, str] = {}


class Entry(Struct, gc=False, eq=False):
    """An object at a revision; made by entry_of(). It leads to nothing that leads back, so the collector need not walk it."""

    served: Served
    key: str
    namespace: str
    name: str
    uid: str
    revision: int
    labels: Mapping[str, str]
    values: tuple[str, ...]
    """Of the resource's selectable fields, in their order."""
    body: bytes
    """Its JSON after the head: `"metadata":{"resourceVersion":"7",...}...}`."""
    encoded: dict[str, Any] | None = None
    """Other forms of this object, by encoding, made when first asked for; FORMS gives and takes them."""

    @property
    def fields(self) -> dict[str, str]:
        """What field selectors can ask for."""
        found = {"metadata.name": self.name}
        if self.served.facts.namespaced:
            found["metadata.namespace"] = self.namespace
        found.update(zip(self.served.fields, self.values, strict=True))
        return found

    def value(self, field: str) -> str | None:
        """One of the resource's selectable fields; None where it has no such."""
        place = self.served.places.get(field)
        return None if place is None else self.values[place]

    @property
    def json(self) -> bytes:
        """The whole object."""
        return self.served.head + self.body

    def object(self) -> Object:
        """A fresh dict, resourceVersion set."""
        obj: Object = orjson.loads(self.json)
        return obj

    def shown(self, served: Served) -> "Entry":
        """The same object in another version of its resource."""
        if served.source is None:
            return self
        kept = self.encoded.get(served.facts.api_version) if self.encoded else None
        if kept is None:
            obj = served.shown(self.object())
            tail = stored_bytes(served, obj)[len(served.head) + len(_METADATA) :]
            kept = _entry(served, obj, tail, self.revision)
            FORMS.keep(self, served.facts.api_version, kept, len(tail))
        found: Entry = kept
        return found

    def at(self, revision: int) -> "Entry":
        """The same state at another revision: what a DELETED event carries."""
        end = self.body.index(b'",', len(_METADATA)) + 2
        return structs.replace(self, revision=revision, encoded=None, body=spliced(self.body[end:], revision))


class Forms:
    """Bounds what all entries keep in other forms than the store's; who got them first loses them first."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.size = 0
        """Bytes kept now."""
        self._sizes: dict[Entry, int] = {}
        self._by_resource: dict[GroupResource, int] = {}

    def of(self, resource: GroupResource) -> int:
        """Bytes kept now of the objects of a resource."""
        return self._by_resource.get(resource, 0)

    def keep(self, entry: Entry, name: str, form: object, size: int) -> None:
        """`size`: bytes of the form. One that takes the place of another ends all that were kept of the entry."""
        if entry.encoded is not None and name in entry.encoded:
            self.drop(entry)
        entry.encoded = {**(entry.encoded or {}), name: form}
        self._sizes[entry] = self._sizes.get(entry, 0) + size
        self._count(entry, size)
        while self.size > self.limit:
            self.drop(next(iter(self._sizes)))

    def drop(self, entry: Entry) -> None:
        """Forgets the forms of an entry, and of what it is in other versions: nobody will ask for it again."""
        forms, entry.encoded = entry.encoded, None
        if forms is None:
            return
        self._count(entry, -self._sizes.pop(entry, 0))
        for form in forms.values():
            if isinstance(form, Entry):
                self.drop(form)

    def _count(self, entry: Entry, more: int) -> None:
        self.size += more
        resource = entry.served.stored.gr
        self._by_resource[resource] = self._by_resource.get(resource, 0) + more


FORMS = Forms(192 * 1024 * 1024)
"""Of this process."""


def spliced(tail: bytes, revision: int) -> bytes:
    """`tail` is what follows `"metadata":{` in the stored bytes."""
    return b'"metadata":{"resourceVersion":"%d",%b' % (revision, tail)


def stored_bytes(served: Served, obj: Object) -> bytes:
    """What the store keeps of an object. Raises BadRequest for what JSON cannot hold."""
    metadata = {name: value for name, value in obj["metadata"].items() if name != "resourceVersion"}
    ordered: Object = {"kind": served.facts.kind, "apiVersion": served.facts.api_version, "metadata": metadata}
    ordered.update((name, value) for name, value in obj.items() if name not in ordered)
    try:
        return orjson.dumps(ordered)
    except TypeError as error:
        raise BadRequest(f"the object cannot be written as JSON: {error}") from error


def entry_of(
    served: Served, value: bytes, revision: int, obj: Object | None = None, *, whole: bool = True
) -> tuple[Entry, Object]:
    """The Entry of stored bytes, and their content, `obj` where it is known. Raises ValueError for bytes not ours.

    Not `whole`: a glance at the content may do.
    """
    if obj is None:
        obj = served.glance(value) if served.glance is not None and not whole else orjson.loads(value)
        if served.restore is not None:
            obj = served.restore(obj)
            value = stored_bytes(served, obj)
    start = len(served.head) + len(_METADATA)
    if value[len(served.head) : start] != _METADATA:
        raise ValueError("stored bytes do not begin as they should")
    return _entry(served, obj, value[start:], revision), obj


def _entry(served: Served, obj: Object, tail: bytes, revision: int) -> Entry:
    metadata = obj["metadata"]
    name, namespace = metadata["name"], _shared(metadata.get("namespace", ""))
    labels = metadata.get("labels") or _NONE
    for label, value in labels.items():
        labels[label] = _shared(value)
    return Entry(
        served,
        f"{namespace}/{name}" if served.facts.namespaced else name,
        namespace,
        name,
        metadata.get("uid", ""),
        revision,
        labels,
        tuple([_shared(value(obj)) for value in served.fields.values()]),
        spliced(tail, revision),
    )


def _shared(text: str) -> str:
    """One copy of a text for all objects that have it: most values of labels and fields are those of many others."""
    return intern(text) if type(text) is str else text
