"""Encodings: the forms in which objects, lists and watch events leave, and how Accept chooses one. handlers call it.

JSON of stored objects is joined bytes. The other forms (Table, PartialObjectMetadata, protobuf, YAML) are made from the
object when first asked for; what does not depend on the client or the time of day is kept with the Entry.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from heapq import merge
from operator import itemgetter
from typing import Protocol, TypeAlias

import orjson
from msgspec import Struct

from pybernetes.aio.clock import Clock
from pybernetes.api import schema
from pybernetes.api.errors import NotAcceptable
from pybernetes.api.objects import GroupVersionKind, Object, split_api_version
from pybernetes.apiserver.bulk import SLICE, Slices, joined, paced
from pybernetes.apiserver.catalog import Served
from pybernetes.apiserver.media import JSON, PROTOBUF, YAML, Media, accepted
from pybernetes.apiserver.tables import METADATA, Include, Row, cells, columns, definitions, row_of
from pybernetes.apiserver.watchcache.entry import FORMS, Entry
from pybernetes.apiserver.watchcache.watcher import json_error
from pybernetes.wire.codecs import protobuf, yaml
from pybernetes.wire.codecs.varint import block

_ACCEPTED = (JSON, YAML, PROTOBUF)
_META_VERSIONS = ("v1", "v1beta1")
_LONG = 500
"""An Accept header that is longer is not remembered."""
_KEPT = 1024
_MADE_AT_ONCE = 32
"""Messages, rows and the like made in one turn of the loop."""
_SORTED_AT_ONCE = 2000
"""Rows sorted in one turn."""
_CELLS = 150
"""About the bytes of a row without what it holds of its object."""
_place = itemgetter(0)
_Form: TypeAlias = tuple[str, Callable[[Object], bytes]]
"""What a form is called where it is kept, and how it is made: a message as field 2, which it is in lists and envelopes."""
_INITIAL_END = {"k8s.io/initial-events-end": "true"}


class Page(Struct, frozen=True):
    """What a list answers with. `resource_version` is the store's revision."""

    entries: Sequence[Entry]
    resource_version: int
    next: str = ""
    """The continue token; empty at the end."""
    remaining: int | None = None

    def shown(self, served: Served) -> Iterable[Entry]:
        """The entries in a version of their resource, each made when its turn comes."""
        return self.entries if served.source is None else (entry.shown(served) for entry in self.entries)

    def bodies(self, served: Served) -> Iterable[bytes]:
        """Their JSON without the heads: a list where nothing has to be made."""
        if served.source is None:
            return [entry.body for entry in self.entries]
        return (entry.body for entry in self.shown(served))

    def metadata(self) -> Object:
        """ListMeta."""
        meta: Object = {"resourceVersion": str(self.resource_version)}
        if self.next:
            meta["continue"] = self.next
            if self.remaining is not None:
                meta["remainingItemCount"] = self.remaining
        return meta


class Encoding(Protocol):
    """One form of answers. `name` is equal for encodings whose bytes are equal."""

    name: str
    media_type: str
    stream_type: str

    def value(self, obj: Object) -> bytes:
        """Any object as it is: Status, Scale, reviews."""

    def entry(self, entry: Entry, obj: Object | None = None) -> bytes:
        """`obj` is what has just been written to it, where it is at hand: to decode it again is not cheap."""

    def page(self, served: Served, page: Page) -> Slices:
        """A list."""

    def frame(self, kind: str, entry: Entry, *, first: bool = False) -> bytes: ...

    def bookmark(self, revision: int, *, initial_end: bool) -> bytes: ...

    def error(self, status: Object) -> bytes: ...


class JsonEncoding:
    """Plain JSON."""

    name = "json"
    media_type = JSON
    stream_type = JSON

    def __init__(self, served: Served | None) -> None:
        self._served = served

    def value(self, obj: Object) -> bytes:
        return orjson.dumps(obj)

    def entry(self, entry: Entry, obj: Object | None = None) -> bytes:
        return entry.json

    def page(self, served: Served, page: Page) -> Slices:
        known = served.facts
        head = f'{{"kind":"{served.listed}","apiVersion":"{known.api_version}","metadata":'.encode()
        head += orjson.dumps(page.metadata()) + b',"items":['
        if not page.entries:
            return joined(head, b"", [], b"]}")
        # items of a typed list carry no kind: the list's own says it; custom resources say of each what it is
        begin = served.head if served.own_form else b"{"
        return joined(head + begin, b"," + begin, page.bodies(served), b"]}")

    def frame(self, kind: str, entry: Entry, *, first: bool = False) -> bytes:
        return b'{"type":"%b","object":%b%b}\n' % (kind.encode(), entry.served.head, entry.body)

    def bookmark(self, revision: int, *, initial_end: bool) -> bytes:
        assert self._served is not None
        known = self._served.facts
        return _json_event("BOOKMARK", _marker(known.kind, known.api_version, revision, initial_end))

    def error(self, status: Object) -> bytes:
        return json_error(status)


class PartialEncoding(JsonEncoding):
    """metadata only (PartialObjectMetadata), as JSON."""

    def __init__(self, served: Served | None, version: str) -> None:
        super().__init__(served)
        self.api_version = f"meta.k8s.io/{version}"
        self.name = f"partial/{version}"

    def value(self, obj: Object) -> bytes:
        return orjson.dumps(partial(obj, self.api_version))

    def entry(self, entry: Entry, obj: Object | None = None) -> bytes:
        return _kept(entry, self.name, self.value, obj)

    def page(self, served: Served, page: Page) -> Slices:
        head = {"kind": "PartialObjectMetadataList", "apiVersion": self.api_version, "metadata": page.metadata()}
        items = paced((self.entry(entry) for entry in page.shown(served)), _MADE_AT_ONCE)
        return joined(orjson.dumps(head)[:-1] + b',"items":[', b",", items, b"]}")

    def frame(self, kind: str, entry: Entry, *, first: bool = False) -> bytes:
        return b'{"type":"%b","object":%b}\n' % (kind.encode(), self.entry(entry))

    def bookmark(self, revision: int, *, initial_end: bool) -> bytes:
        return _json_event("BOOKMARK", _marker("PartialObjectMetadata", self.api_version, revision, initial_end))


class PartialYaml(PartialEncoding):
    """metadata only, as YAML; never a stream."""

    media_type = YAML

    def value(self, obj: Object) -> bytes:
        return yaml.encode(partial(obj, self.api_version))

    def entry(self, entry: Entry, obj: Object | None = None) -> bytes:
        return self.value(_decoded(entry, obj))

    def page(self, served: Served, page: Page) -> Slices:
        items = (partial(entry.object(), self.api_version) for entry in page.shown(served))
        return _yaml_list(self.api_version, "PartialObjectMetadataList", page, items)


class PartialProtobuf(PartialEncoding):
    """metadata only, as protobuf: what metadata clients ask for of every resource, custom ones too."""

    media_type = PROTOBUF
    stream_type = f"{PROTOBUF};stream=watch"

    def __init__(self, served: Served | None, version: str) -> None:
        super().__init__(served, version)
        self.name = f"partial/{version}/protobuf"

    def _enclosed(self, item: bytes) -> bytes:
        return protobuf.enclose(item, self.api_version, "PartialObjectMetadata")

    def value(self, obj: Object) -> bytes:
        return self._enclosed(_partial_item(obj))

    def entry(self, entry: Entry, obj: Object | None = None) -> bytes:
        return self._enclosed(_kept(entry, self.name, _partial_item, obj))

    def page(self, served: Served, page: Page) -> Slices:
        form = (self.name, _partial_item)
        return _protobuf_list(page, page.shown(served), form, self.api_version, "PartialObjectMetadataList")

    def frame(self, kind: str, entry: Entry, *, first: bool = False) -> bytes:
        return protobuf.watch_event(kind, self.entry(entry))

    def bookmark(self, revision: int, *, initial_end: bool) -> bytes:
        marker = _marker("PartialObjectMetadata", self.api_version, revision, initial_end)
        return protobuf.watch_event("BOOKMARK", self.value(marker))

    def error(self, status: Object) -> bytes:
        return protobuf.watch_event("ERROR", protobuf.encode_object(status, _type_of(status)))


class TableEncoding(JsonEncoding):
    """meta.k8s.io Table, as JSON. In a watch only the first event carries the column definitions."""

    def __init__(self, served: Served, version: str, include: Include, clock: Clock) -> None:
        super().__init__(served)
        self.api_version = f"meta.k8s.io/{version}"
        self._table_of = served
        self._columns = columns(served)
        self.name = (
            f"table/{version}/{include}/{id(self._columns)}"  # those of custom resources change while some watch
        )
        self._include = include
        self._clock = clock
        self._begin = f'{{"kind":"Table","apiVersion":"{self.api_version}","metadata":'.encode()
        self._before, self._after = b"", b"}"
        """What stands between the cells of a row and what it holds of the object, and after that."""
        if include == "Object":
            self._before = b',"object":' + served.head
        elif include == "Metadata":
            kind = "PartialObjectMetadata"
            self._before = f',"object":{{"kind":"{kind}","apiVersion":"{self.api_version}","metadata":'.encode()
            self._after = b"}}"

    def value(self, obj: Object) -> bytes:
        kind = obj.get("kind", "")
        if kind not in (self._table_of.facts.kind, "Scale"):
            return orjson.dumps(obj)  # a Status is never a row
        head = self._head({"resourceVersion": obj["metadata"].get("resourceVersion", "")}, kind)
        row = b"".join(cells(row_of(self._table_of, obj), self._clock.now()))
        if self._include != "None":
            row += b',"object":' + orjson.dumps(obj if self._include == "Object" else partial(obj, self.api_version))
        return head + row + b"}]}"

    def entry(self, entry: Entry, obj: Object | None = None) -> bytes:
        head = self._head({"resourceVersion": str(entry.revision)})
        return b"".join((head, *self._pieces(entry, obj), b"]}"))

    def page(self, served: Served, page: Page) -> Slices:
        return Slices(self._slices(page))

    def frame(self, kind: str, entry: Entry, *, first: bool = False) -> bytes:
        head = self._head({"resourceVersion": str(entry.revision)}, columns=first)
        return b"".join((b'{"type":"%b","object":' % kind.encode(), head, *self._pieces(entry), b"]}}\n"))

    def bookmark(self, revision: int, *, initial_end: bool) -> bytes:
        marker = _marker("PartialObjectMetadata", self.api_version, revision, initial_end)
        body = {
            "kind": "Table",
            "apiVersion": self.api_version,
            "metadata": {"resourceVersion": str(revision)},
            "columnDefinitions": [],
            "rows": [{"cells": [], "object": marker}],
        }
        return _json_event("BOOKMARK", body)

    def _head(self, metadata: Object, kind: str = "", *, columns: bool = True) -> bytes:
        defined = orjson.dumps(definitions(self._table_of, kind) if columns else None)
        return b'%b%b,"columnDefinitions":%b,"rows":[' % (self._begin, orjson.dumps(metadata), defined)

    def _slices(self, page: Page) -> Iterator[bytes]:
        """A list. Rows are joined once a slice: most of a row is of the object, and to copy it is most of the work."""
        now, pieces, size, made, comma = self._clock.now(), [self._head(page.metadata())], 0, 0, b""
        for entry in (yield from self._ordered(page.shown(self._table_of))):
            row = self._known(entry)
            if row is None:
                made += 1
                if not made % _MADE_AT_ONCE:
                    yield b""
                row = self._row(entry)
            text = self._object(entry, row)
            pieces.append(comma)
            pieces += cells(row, now)
            pieces += (self._before, text, self._after)
            comma, size = b",", size + len(text) + _CELLS
            if size >= SLICE:
                yield b"".join(pieces)
                pieces, size = [], 0
        pieces.append(b"]}")
        yield b"".join(pieces)

    def _ordered(self, entries: Iterable[Entry]) -> Generator[bytes, None, Iterable[Entry]]:
        """In the order of this kind; wishes for turns meanwhile."""
        if self._table_of.resource.row_order is None:
            return entries
        runs: list[list[tuple[tuple[int, str], Entry]]] = [[]]
        for count, entry in enumerate(entries, 1):
            runs[-1].append((self._row(entry).order, entry))
            if not count % _MADE_AT_ONCE:
                yield b""
            if not count % _SORTED_AT_ONCE:
                runs[-1].sort(key=_place)
                runs.append([])
        runs[-1].sort(key=_place)
        return (entry for _, entry in merge(*runs, key=_place))

    def _object(self, entry: Entry, row: Row) -> bytes:
        """What a row holds of its object."""
        if self._include == "Metadata":
            return (
                entry.body[len(METADATA) : row.metadata] if row.metadata else orjson.dumps(entry.object()["metadata"])
            )
        return entry.body if self._include == "Object" else b""

    def _pieces(self, entry: Entry, obj: Object | None = None) -> tuple[bytes, ...]:
        """A row, to be joined."""
        row = self._row(entry, obj)
        return (*cells(row, self._clock.now()), self._before, self._object(entry, row), self._after)

    def _known(self, entry: Entry) -> Row | None:
        """The row that is kept of an entry, if it shows what we do: the columns of custom resources may change."""
        row: Row | None = entry.encoded.get("row") if entry.encoded else None
        return row if row is not None and row.columns == self._columns else None

    def _row(self, entry: Entry, obj: Object | None = None) -> Row:
        """The row of an entry, made when first asked for and kept while there is room for it."""
        row = self._known(entry)
        if row is None:
            row = row_of(self._table_of, _decoded(entry, obj), entry.body)
            FORMS.keep(entry, "row", row, row.size)
        return row


class YamlEncoding(JsonEncoding):
    """YAML; never a stream."""

    name = "yaml"
    media_type = YAML

    def value(self, obj: Object) -> bytes:
        return yaml.encode(obj)

    def entry(self, entry: Entry, obj: Object | None = None) -> bytes:
        return self.value(_decoded(entry, obj))

    def page(self, served: Served, page: Page) -> Slices:
        # As in JSON, items of a typed list carry no kind.
        items = (orjson.loads(entry.json if served.own_form else b"{" + entry.body) for entry in page.shown(served))
        return _yaml_list(served.facts.api_version, served.listed, page, items)


def _yaml_list(api_version: str, kind: str, page: Page, items: Iterable[Object]) -> Slices:
    """Keys are sorted, so that the items stand between apiVersion and kind. An object is work for milliseconds."""
    head = {"apiVersion": api_version, "kind": kind, "metadata": page.metadata()}
    if not page.entries:
        return joined(yaml.encode({**head, "items": []}), b"", [], b"")
    end = yaml.encode({"kind": kind, "metadata": head["metadata"]})
    return joined(yaml.encode({"apiVersion": api_version}) + b"items:\n", b"", paced(map(_yaml_item, items), 1), end)


def _yaml_item(obj: Object) -> bytes:
    return yaml.encode([obj])


class ProtobufEncoding:
    """application/vnd.kubernetes.protobuf."""

    name = "protobuf"
    media_type = PROTOBUF
    stream_type = f"{PROTOBUF};stream=watch"

    def __init__(self, served: Served | None) -> None:
        self._served = served

    def value(self, obj: Object) -> bytes:
        return protobuf.encode_object(obj, _type_of(obj))

    def entry(self, entry: Entry, obj: Object | None = None) -> bytes:
        known = entry.served.facts
        return protobuf.enclose(_kept(entry, *_FULL, obj), known.api_version, known.kind)

    def page(self, served: Served, page: Page) -> Slices:
        known = served.facts
        return _protobuf_list(page, page.shown(served), _FULL, known.api_version, f"{known.kind}List")

    def frame(self, kind: str, entry: Entry, *, first: bool = False) -> bytes:
        return protobuf.watch_event(kind, self.entry(entry))

    def bookmark(self, revision: int, *, initial_end: bool) -> bytes:
        assert self._served is not None
        known = self._served.facts
        return protobuf.watch_event(
            "BOOKMARK", self.value(_marker(known.kind, known.api_version, revision, initial_end))
        )

    def error(self, status: Object) -> bytes:
        return protobuf.watch_event("ERROR", self.value(status))


def _protobuf_list(page: Page, entries: Iterable[Entry], form: _Form, api_version: str, kind: str) -> Slices:
    """The list's size stands before it, so all items are made first; what others wait for goes between."""

    def slices() -> Iterator[bytes]:
        name, made, items = form[0], 0, list[bytes]()
        for entry in entries:
            item: bytes | None = entry.encoded.get(name) if entry.encoded is not None else None
            if item is None:
                made += 1
                if not made % _MADE_AT_ONCE:
                    yield b""
                item = _kept(entry, *form)
            items.append(item)
        meta = block(1, protobuf.encode(page.metadata(), schema.LIST_META))
        head, end = protobuf.envelope(len(meta) + sum(map(len, items)), api_version, kind)
        whole = joined(head + meta, b"", items, end)
        found.size = whole.size
        yield from whole

    found = Slices(slices())
    return found


def _full_item(obj: Object) -> bytes:
    return block(2, protobuf.encode(obj, _type_of(obj)))


def _partial_item(obj: Object) -> bytes:
    return block(2, block(1, protobuf.encode(obj.get("metadata", {}), schema.OBJECT_META)))


_FULL: _Form = ("protobuf", _full_item)


def _kept(entry: Entry, name: str, make: Callable[[Object], bytes], obj: Object | None = None) -> bytes:
    """A form that is made once and kept while there is room for it."""
    found: bytes | None = entry.encoded.get(name) if entry.encoded else None
    if found is None:
        found = make(_decoded(entry, obj))
        FORMS.keep(entry, name, found, len(found))
    return found


def _decoded(entry: Entry, obj: Object | None) -> Object:
    """The object of an entry, resourceVersion set."""
    if obj is None:
        return entry.object()
    return {**obj, "metadata": {"resourceVersion": str(entry.revision), **obj["metadata"]}}


def _type_of(obj: Object) -> str:
    gvk = GroupVersionKind(*split_api_version(obj["apiVersion"]), obj["kind"])
    name = schema.type_name(gvk)
    if name is None:
        raise NotAcceptable(f"{gvk.kind} has no protobuf form")
    return name


def partial(obj: Object, api_version: str) -> Object:
    """The PartialObjectMetadata of an object."""
    return {"kind": "PartialObjectMetadata", "apiVersion": api_version, "metadata": obj.get("metadata", {})}


def choose(accept: str, served: Served | None, clock: Clock, include: Include, streaming: bool) -> Encoding:
    """The encoding that Accept asks for, the first one possible in its order. Raises NotAcceptable.

    `served` None is an answer that is no object of a resource: then only plain forms are possible.
    """
    for media in accepted(accept):
        found = _encoding(media, served, clock, include, streaming)
        if found is not None:
            return found
    raise NotAcceptable(f"only the following media types are accepted: {', '.join(_ACCEPTED)}")


class Choices:
    """choose(), for one server, which keeps what it has chosen: a client says the same in each of its requests."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: dict[tuple[str, Served | None, Include, bool], Encoding] = {}

    def of(self, accept: str, served: Served | None, include: Include, *, streaming: bool = False) -> Encoding:
        """Raises NotAcceptable."""
        asked = (accept, served, include, streaming)
        known = self._kept.get(asked)
        if known is not None:
            return known
        found = choose(accept, served, self._clock, include, streaming)
        if len(accept) < _LONG:
            if len(self._kept) >= _KEPT:
                self._kept.clear()
            self._kept[asked] = found
        return found


def plainly(accept: str, obj: Object) -> tuple[str, bytes]:
    """(media type, bytes) of an object that belongs to no resource (a Status, a list of groups); JSON when in doubt."""
    for media in accepted(accept):
        if media.name in (YAML, PROTOBUF) and "as" not in media.parameters:
            if media.name == YAML:
                return YAML, yaml.encode(obj)
            return PROTOBUF, ProtobufEncoding(None).value({"apiVersion": "v1", **obj})
        if media.name in (JSON, "*/*", "application/*") and "as" not in media.parameters:
            break
    return JSON, orjson.dumps(obj)


def _encoding(media: Media, served: Served | None, clock: Clock, include: Include, streaming: bool) -> Encoding | None:
    name = JSON if media.name in ("*/*", "application/*") else media.name
    if media.parameters.get("as"):
        return _shaped(name, media, served, clock, include, streaming)
    if name == JSON:
        return JsonEncoding(served)
    if name == YAML and not streaming:
        return YamlEncoding(served)
    if name == PROTOBUF and (served is None or served.form.type_name):
        return ProtobufEncoding(served)
    return None


def _shaped(
    name: str, media: Media, served: Served | None, clock: Clock, include: Include, streaming: bool
) -> Encoding | None:
    shape = media.parameters["as"]
    version = media.parameters.get("v", "")
    if served is None or version not in _META_VERSIONS or media.parameters.get("g") != "meta.k8s.io":
        return None
    if shape == "Table" and name == JSON and served.resource.create is None:  # what is only answered has no rows
        return TableEncoding(served, version, include, clock)
    if shape not in ("PartialObjectMetadata", "PartialObjectMetadataList"):
        return None
    made = {JSON: PartialEncoding, YAML: PartialYaml, PROTOBUF: PartialProtobuf}.get(name)
    return made(served, version) if made is not None and not (streaming and made is PartialYaml) else None


def _marker(kind: str, api_version: str, revision: int, initial_end: bool) -> Object:
    metadata: Object = {"resourceVersion": str(revision)}
    if initial_end:
        metadata["annotations"] = _INITIAL_END
    return {"kind": kind, "apiVersion": api_version, "metadata": metadata}


def _json_event(kind: str, obj: Object) -> bytes:
    return orjson.dumps({"type": kind, "object": obj}) + b"\n"
