"""OpenApi: the pages below /openapi. Documents are made when first asked for, and again when what they show has changed.

What is built in is made once; of custom resources only those that changed are made anew, and /openapi/v2 is joined from
the pieces as bytes, so that hundreds of CustomResourceDefinitions may come without a second's delay.
"""

import gzip
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
from msgspec import Struct

from pybernetes.api import facts, schema
from pybernetes.api.objects import Object
from pybernetes.apiserver.catalog import Catalog, Served
from pybernetes.apiserver.media import accepted
from pybernetes.apiserver.openapi import custom, gnostic, indexes
from pybernetes.apiserver.openapi.operations import Kind, Operations
from pybernetes.apiserver.openapi.schemas import Schemas
from pybernetes.apiserver.options import Query
from pybernetes.apiserver.pages import Page
from pybernetes.wire.gzip import takes_gzip
from pybernetes.wire.healthz import plain
from pybernetes.wire.http import Headers, Request, Response

_PROTO_V2 = "application/com.github.proto-openapi.spec.v2"
_INFO = {"title": "Kubernetes", "version": f"v{facts.RELEASE}.0"}
_BEARER = {"type": "apiKey", "in": "header", "name": "authorization", "description": "Bearer Token authentication"}
_COMPRESSION = 4


class Document(Struct):
    """Ready bytes, and their compressed form once somebody has asked for it."""

    body: bytes
    etag: str
    zipped: bytes = b""


class _Piece(Struct):
    """Paths and definitions of v2 as the insides of two JSON objects."""

    paths: Object
    definitions: Object

    def joined(self) -> tuple[bytes, bytes]:
        return orjson.dumps(self.paths)[1:-1], orjson.dumps(self.definitions)[1:-1]


class OpenApi:
    """The documents of a Catalog as it is at the moment of each request."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._changes = -1
        self._by_path: dict[str, list[Served]] = {}
        self._kept: dict[str, tuple[Sequence[Served], Document]] = {}
        self._built_in: bytes | None = None
        self._built_in_proto: bytes | None = None
        self._pieces: dict[Served, tuple[bytes, bytes]] = {}
        self._proto_pieces: dict[Served, bytes] = {}

    def table(self) -> dict[str, Page]:
        """Path to page."""
        return {"/openapi/v3": self._index, "/openapi/v3/*": self._group, "/openapi/v2": self._v2}

    # --- pages

    async def _index(self, request: Request, query: Query) -> Response:
        self._look()
        return _page(request, self._made("index", list(self._catalog), self._index_document))

    async def _group(self, request: Request, query: Query) -> Response:
        self._look()
        path = request.path.removeprefix("/openapi/v3/").strip("/")
        if path not in self._paths():
            return plain("404 page not found\n", 404)
        response = _page(request, self._document_v3(path))
        if query.get("hash") and response.status == 200:
            response.headers.add("cache-control", "public, immutable")
        return response

    async def _v2(self, request: Request, query: Query) -> Response:
        self._look()
        everything = list(self._catalog)
        for media in accepted(request.headers.joined("accept")):
            if media.name in (f"{_PROTO_V2}@v1.0+protobuf", f"{_PROTO_V2}.v1.0+protobuf"):
                document = self._made("v2.pb", everything, self._v2_proto)
                # The answer's type has dots: Go's parser of media types refuses the @.
                return _page(request, document, f"{_PROTO_V2}.v1.0+protobuf")
            if media.name in ("application/json", "*/*", "application/*"):
                break
        return _page(request, self._made("v2", everything, self._v2_json))

    # --- what there is

    def _look(self) -> None:
        if self._changes == self._catalog.changes:
            return
        self._changes = self._catalog.changes
        self._by_path = {}
        for served in self._catalog:
            known = served.facts
            path = f"apis/{known.group}/{known.version}" if known.group else f"api/{known.version}"
            self._by_path.setdefault(path, []).append(served)
        there = set(self._catalog)
        self._pieces = {served: piece for served, piece in self._pieces.items() if served in there}
        self._proto_pieces = {served: piece for served, piece in self._proto_pieces.items() if served in there}
        gone = set(self._kept) - {*self._paths(), "index", "v2", "v2.pb"}
        for path in gone:
            del self._kept[path]

    def _paths(self) -> list[str]:
        groups = {path.rpartition("/")[0] for path in self._by_path if path.startswith("apis/")}
        return sorted({*self._by_path, *groups, *indexes.PATHS})

    def _made(self, name: str, shown: Sequence[Served], make: Callable[[], bytes]) -> Document:
        kept = self._kept.get(name)
        if kept is None or kept[0] != shown:  # Served are equal when they are the same
            body = make()
            kept = self._kept[name] = (shown, Document(body, '"' + hashlib.sha512(body).hexdigest().upper() + '"'))
        return kept[1]

    # --- v3

    def _index_document(self) -> bytes:
        shown = {}
        for path in self._paths():
            shown[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={self._hash(path)}"}
        return orjson.dumps({"paths": shown})

    def _hash(self, path: str) -> str:
        """Changes with the document. That of a built-in group is named, not made: it would cost a cold start."""
        served = self._by_path.get(path, [])
        if any(not one.form.type_name for one in served):
            return self._document_v3(path).etag.strip('"')
        text = f"{facts.RELEASE} {path} {[one.facts.plural for one in served]}"
        return hashlib.sha512(text.encode()).hexdigest().upper()

    def _document_v3(self, path: str) -> Document:
        served = self._by_path.get(path, [])

        def make() -> bytes:
            writer = Schemas(v3=True)
            paths = dict(item for one in served for item in _operations(one, writer).paths())
            paths |= indexes.paths(path, writer)
            components = {"schemas": writer.finished(), "securitySchemes": {"BearerToken": _BEARER}}
            document = {"openapi": "3.0.0", "info": _INFO, "paths": paths, "components": components}
            return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)

        return self._made(path, served, make)

    # --- v2

    def _v2_json(self) -> bytes:
        if self._built_in is None:
            paths, definitions = self._piece(None).joined()
            self._built_in = paths + b"\0" + definitions  # JSON has no NUL
        paths, _, definitions = self._built_in.partition(b"\0")
        pieces = [(paths, definitions)]
        for served in self._catalog:
            if not served.form.type_name:
                piece = self._pieces.get(served)
                if piece is None:
                    piece = self._pieces[served] = self._piece(served).joined()
                pieces.append(piece)
        head = orjson.dumps({"swagger": "2.0", "info": _INFO})[:-1]
        security = orjson.dumps({"securityDefinitions": {"BearerToken": _BEARER}, "security": [{"BearerToken": []}]})
        all_paths, all_definitions = (b",".join(part[i] for part in pieces) for i in (0, 1))
        return b'%b,"paths":{%b},"definitions":{%b},%b' % (head, all_paths, all_definitions, security[1:])

    def _v2_proto(self) -> bytes:
        if self._built_in_proto is None:
            self._built_in_proto = gnostic.part_bytes(*self._both(None))
        # A protobuf message may be written in pieces: the reader merges them.
        pieces = [gnostic.head_bytes("2.0", _INFO), self._built_in_proto]
        for served in self._catalog:
            if not served.form.type_name:
                piece = self._proto_pieces.get(served)
                if piece is None:
                    piece = self._proto_pieces[served] = gnostic.part_bytes(*self._both(served))
                pieces.append(piece)
        return b"".join(pieces)

    def _both(self, served: Served | None) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        piece = self._piece(served)
        return piece.paths, piece.definitions

    def _piece(self, served: Served | None) -> _Piece:
        """Of one custom resource; None: of everything that is built in."""
        writer = Schemas(v3=False)
        if served is not None:
            operations = _operations(served, writer)
            paths = dict(operations.paths())
            own = (operations.kind.name, operations.kind.list_name)
            return _Piece(paths, {name: shown for name, shown in writer.finished().items() if name in own})
        built_in = [one for one in self._catalog if one.form.type_name]
        paths = dict(item for one in built_in for item in _operations(one, writer).paths())
        for path in self._paths():
            paths |= indexes.paths(path, writer)
        for name in indexes.OF_CUSTOM_RESOURCES:
            writer.reference(name)
        return _Piece(dict(sorted(paths.items())), writer.finished())


def _operations(served: Served, writer: Schemas) -> Operations:
    gvk = served.facts.gvk
    name = schema.type_name(gvk)
    kind = Kind(gvk, name) if name else custom.kind_of(served, served.form.published, writer)
    return Operations(served, kind, writer)


def _page(request: Request, document: Document, media_type: str = "application/json") -> Response:
    named = [("content-type", media_type), ("etag", document.etag), ("vary", "Accept"), ("vary", "Accept-Encoding")]
    headers = Headers.lowered(named)
    if document.etag in [tag.strip() for tag in request.headers.get("if-none-match").split(",")]:
        return Response(304, headers)
    if not takes_gzip(request.headers):
        return Response(200, headers, document.body)
    if not document.zipped:
        document.zipped = gzip.compress(document.body, _COMPRESSION, mtime=0)
    headers.add("content-encoding", "gzip")
    return Response(200, headers, document.zipped)
