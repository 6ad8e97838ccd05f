"""OpenAPI: /openapi/v3 by group version, and /openapi/v2 as one document, made from api.schema for what is served.

kubectl reads merge keys and list types from it, validates, and explains. Descriptions are not in the tables, so there
are none here. Documents are made when first asked for and then kept as bytes.
"""

import hashlib
from collections.abc import Callable, Iterator

import orjson

from pybernetes.api import facts, schema
from pybernetes.api.objects import GroupVersionKind, Object
from pybernetes.api.schema import Field
from pybernetes.apiserver.catalog import Catalog, Served
from pybernetes.apiserver.discovery import subresources
from pybernetes.apiserver.encodings import accepted
from pybernetes.apiserver.gnostic import document_bytes
from pybernetes.apiserver.options import Query
from pybernetes.apiserver.pages import Page, plain
from pybernetes.wire.http import Headers, Request, Response

_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_SPECIAL: dict[str, tuple[str, Object]] = {
    "quantity": ("io.k8s.apimachinery.pkg.api.resource.Quantity", {"type": "string"}),
    "intorstring": ("io.k8s.apimachinery.pkg.util.intstr.IntOrString", {"type": "string", "format": "int-or-string"}),
    "time": (_META + "Time", {"type": "string", "format": "date-time"}),
    "microtime": (_META + "MicroTime", {"type": "string", "format": "date-time"}),
}
_SCALARS: dict[str, Object] = {
    "string": {"type": "string"},
    "bool": {"type": "boolean"},
    "int32": {"type": "integer", "format": "int32"},
    "int64": {"type": "integer", "format": "int64"},
    "double": {"type": "number", "format": "double"},
    "bytes": {"type": "string", "format": "byte"},
    "raw": {"type": "object"},
}
_ACTIONS = {
    "get": ("get", "get"),
    "update": ("put", "put"),
    "patch": ("patch", "patch"),
    "delete": ("delete", "delete"),
    "create": ("post", "post"),
    "list": ("get", "list"),
    "deletecollection": ("delete", "deletecollection"),
    "watch": ("get", "watch"),
}
_WRITE = (("dryRun", "string"), ("fieldManager", "string"), ("fieldValidation", "string"))
_LIST = (
    *(("allowWatchBookmarks", "boolean"), ("continue", "string"), ("fieldSelector", "string")),
    *(("labelSelector", "string"), ("limit", "integer"), ("resourceVersion", "string")),
    *(("resourceVersionMatch", "string"), ("sendInitialEvents", "boolean"), ("timeoutSeconds", "integer")),
    ("watch", "boolean"),
)
_PARAMETERS = {
    "create": _WRITE,
    "update": _WRITE,
    "patch": (*_WRITE, ("force", "boolean")),
    "delete": (("dryRun", "string"), ("gracePeriodSeconds", "integer"), ("propagationPolicy", "string")),
    "deletecollection": _LIST,
    "list": _LIST,
}
_PATCHES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
)
_BODIES = ("application/json", "application/yaml", "application/vnd.kubernetes.protobuf")
_PROTO_V2 = "application/com.github.proto-openapi.spec.v2"


class OpenApi:
    """The pages below /openapi."""

    def __init__(self, catalog: Catalog) -> None:
        self._by_path: dict[str, list[Served]] = {}
        for served in catalog:
            self._by_path.setdefault(_root(served).lstrip("/"), []).append(served)
        self._kept: dict[str, tuple[bytes, str]] = {}

    def table(self) -> dict[str, Page]:
        """Path to page."""
        return {"/openapi/v3": self._index, "/openapi/v3/*": self._group, "/openapi/v2": self._v2}

    async def _index(self, request: Request, query: Query) -> Response:
        body, etag = self._made("index", self._index_document)
        return _page(request, body, etag)

    async def _group(self, request: Request, query: Query) -> Response:
        path = request.path.removeprefix("/openapi/v3/").strip("/")
        if path not in self._by_path:
            return plain("404 page not found\n", 404)
        body, etag = self._made(path, lambda: orjson.dumps(self._document_v3(path)))
        return _page(request, body, etag)

    async def _v2(self, request: Request, query: Query) -> Response:
        for media in accepted(",".join(request.headers.all("accept"))):
            if media.name in (f"{_PROTO_V2}@v1.0+protobuf", f"{_PROTO_V2}.v1.0+protobuf"):
                body, etag = self._made("v2.pb", lambda: document_bytes(self._document_v2()))
                # The answer's type has dots: Go's parser of media types refuses the @.
                return _page(request, body, etag, f"{_PROTO_V2}.v1.0+protobuf")
            if media.name in ("application/json", "*/*", "application/*"):
                break
        body, etag = self._made("v2", lambda: orjson.dumps(self._document_v2()))
        return _page(request, body, etag)

    def _made(self, name: str, make: Callable[[], bytes]) -> tuple[bytes, str]:
        found = self._kept.get(name)
        if found is None:
            body = make()
            found = self._kept[name] = (body, '"' + hashlib.sha512(body).hexdigest().upper() + '"')
        return found

    def _index_document(self) -> bytes:
        paths = {}
        for path in sorted(self._by_path):
            # The hash must change with the document and with nothing else; making it would cost a cold start.
            text = f"{facts.RELEASE} {path} {[served.facts.plural for served in self._by_path[path]]}"
            digest = hashlib.sha256(text.encode()).hexdigest().upper()
            paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={digest}"}
        return orjson.dumps({"paths": paths})

    def _document_v3(self, path: str) -> Object:
        writer = _Schemas("#/components/schemas/", v3=True)
        served = self._by_path[path]
        paths = {where: item for one in served for where, item in _paths(one, writer)}
        return {
            "openapi": "3.0.0",
            "info": {"title": "Kubernetes", "version": f"v{facts.RELEASE}.0"},
            "paths": paths,
            "components": {"schemas": writer.finished()},
        }

    def _document_v2(self) -> Object:
        writer = _Schemas("#/definitions/", v3=False)
        paths: Object = {}
        for served in (one for path in sorted(self._by_path) for one in self._by_path[path]):
            paths.update(_paths(served, writer))
        return {
            "swagger": "2.0",
            "info": {"title": "Kubernetes", "version": f"v{facts.RELEASE}.0"},
            "paths": paths,
            "definitions": writer.finished(),
        }


class _Schemas:
    """Collects the schemas of all types that are referred to."""

    def __init__(self, prefix: str, *, v3: bool) -> None:
        self.v3 = v3
        self._prefix = prefix
        self._made: dict[str, Object] = {}
        self._wanted: list[str] = []

    def reference(self, name: str) -> Object:
        """A `$ref`, and the promise that its schema will be there."""
        if name not in self._made and name not in self._wanted:
            self._wanted.append(name)
        return {"$ref": self._prefix + name}

    def finished(self) -> Object:
        """All schemas by name."""
        while self._wanted:
            name = self._wanted.pop()
            if name not in self._made:
                self._made[name] = {}  # types refer to each other in circles
                self._made[name] = self._schema(name)
        return dict(sorted(self._made.items()))

    def _schema(self, name: str) -> Object:
        for special, found in _SPECIAL.values():
            if special == name:
                if name.endswith("IntOrString") and self.v3:
                    return {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]}
                return dict(found)
        info = schema.get(name)
        result: Object = {"type": "object"}
        if info.fields:
            result["properties"] = {field.name: self._property(field) for field in info.fields.values()}
        required = [field.name for field in info.fields.values() if field.required]
        if required:
            result["required"] = required
        if info.gvk is not None:
            result["x-kubernetes-group-version-kind"] = [_gvk(info.gvk)]
        return result

    def _property(self, field: Field) -> Object:
        result = self._type(field)
        if "$ref" in result and self.v3:
            # In v3 a reference stands alone; what is said beside it needs allOf.
            result = {"allOf": [result]}
        if field.list_type:
            result["x-kubernetes-list-type"] = field.list_type
        if field.map_keys:
            result["x-kubernetes-list-map-keys"] = list(field.map_keys)
        if field.merge_key:
            result["x-kubernetes-patch-merge-key"] = field.merge_key
        if field.patch_strategies:
            result["x-kubernetes-patch-strategy"] = ",".join(field.patch_strategies)
        if field.map_type:
            result["x-kubernetes-map-type"] = field.map_type
        return result

    def _type(self, field: Field) -> Object:
        if field.kind in _SPECIAL:
            return self.reference(_SPECIAL[field.kind][0])
        if field.kind == "object":
            return self.reference(field.ref)
        if field.kind == "list":
            assert field.item is not None
            return {"type": "array", "items": self._type(field.item)}
        if field.kind == "map":
            assert field.item is not None
            return {"type": "object", "additionalProperties": self._type(field.item)}
        return dict(_SCALARS[field.kind])


def _root(served: Served) -> str:
    known = served.facts
    return f"/apis/{known.group}/{known.version}" if known.group else f"/api/{known.version}"


def _paths(served: Served, writer: _Schemas) -> Iterator[tuple[str, Object]]:
    known, root = served.facts, _root(served)
    collection = f"{root}/namespaces/{{namespace}}/{known.plural}" if known.namespaced else f"{root}/{known.plural}"
    verbs = [verb for verb in known.verbs if verb != "watch"]
    if known.namespaced and "list" in verbs:
        yield f"{root}/{known.plural}", _item(["list"], known.gvk, writer, ())
    names = ("namespace",) if known.namespaced else ()
    of_many = [verb for verb in verbs if verb in ("list", "create", "deletecollection")]
    if of_many:
        yield collection, _item(of_many, known.gvk, writer, names)
    of_one = [verb for verb in verbs if verb in ("get", "update", "patch", "delete")]
    if of_one:
        yield f"{collection}/{{name}}", _item(of_one, known.gvk, writer, ("name", *names))
    for name in subresources(served):
        sub = known.subresources[name]
        yield f"{collection}/{{name}}/{name}", _item(list(sub.verbs), sub.gvk, writer, ("name", *names))


def _item(verbs: list[str], gvk: GroupVersionKind, writer: _Schemas, names: tuple[str, ...]) -> Object:
    item: Object = {}
    for verb in verbs:
        method, action = _ACTIONS[verb]
        item[method] = _operation(verb, action, gvk, writer)
    item["parameters"] = [_parameter(name, "string", "path", writer) for name in names]
    return item


def _operation(verb: str, action: str, gvk: GroupVersionKind, writer: _Schemas) -> Object:
    parameters = [_parameter(name, kind, "query", writer) for name, kind in _PARAMETERS.get(verb, ())]
    kind = GroupVersionKind(gvk.group, gvk.version, f"{gvk.kind}List") if verb == "list" else gvk
    type_name = schema.type_name(kind)
    body = schema.type_name(gvk) if verb in ("create", "update") else _META + "Patch" if verb == "patch" else None
    shown = writer.reference(type_name) if type_name else {"type": "object"}
    operation: Object = {
        "parameters": parameters,
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": _gvk(gvk),
    }
    if writer.v3:
        operation["responses"] = {"200": {"description": "OK", "content": {m: {"schema": shown} for m in _BODIES}}}
        if verb == "patch":
            content: Object = {media: {"schema": {"type": "object"}} for media in _PATCHES}
            operation["requestBody"] = {"content": content, "required": True}
        elif body:
            operation["requestBody"] = {"content": {"*/*": {"schema": writer.reference(body)}}, "required": True}
        return operation
    operation["responses"] = {"200": {"description": "OK", "schema": shown}}
    operation["produces"] = list(_BODIES)
    operation["consumes"] = list(_PATCHES) if verb == "patch" else ["*/*"]
    if verb in ("create", "update", "patch"):
        wanted = writer.reference(body) if body and verb != "patch" else {"type": "object"}
        parameters.append({"name": "body", "in": "body", "required": True, "schema": wanted})
    return operation


def _parameter(name: str, kind: str, place: str, writer: _Schemas) -> Object:
    shown: Object = {"type": kind, "uniqueItems": True}
    parameter: Object = {"name": name, "in": place}
    if place == "path":
        parameter["required"] = True
    return {**parameter, "schema": shown} if writer.v3 else {**parameter, **shown}


def _gvk(gvk: GroupVersionKind) -> Object:
    return {"group": gvk.group, "kind": gvk.kind, "version": gvk.version}


def _page(request: Request, body: bytes, etag: str, media_type: str = "application/json") -> Response:
    headers = Headers.lowered([("content-type", media_type), ("etag", etag), ("vary", "Accept")])
    if request.headers.get("if-none-match") == etag:
        return Response(304, headers)
    return Response(200, headers, body)
