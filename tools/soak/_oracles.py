"""What must hold of every answer of the API server, whatever was asked. api.py sends the requests.

No fault, no long work, refusals with words, no write that is half there, dry runs without a trace, and what was
written is what is read: as JSON, as protobuf, and through its Struct.
"""

import asyncio
import importlib
import time
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any
from urllib.parse import quote

import msgspec
import orjson

from pybernetes.api import schema
from pybernetes.api.canonical import canonicalize
from pybernetes.api.objects import GroupVersionKind, split_api_version
from pybernetes.api.schema import Field
from pybernetes.api.schema._index import PACKAGES
from pybernetes.apiserver.catalog import Served
from pybernetes.apiserver.requestinfo import RequestInfo, parse_request
from pybernetes.apiserver.server import ApiServer
from pybernetes.wire.codecs import protobuf, yaml
from pybernetes.wire.http import Headers, Request, Response, read_body

Send = Callable[[Request], Awaitable[Response]]

NODE_STREAMS = ("log", "exec", "attach", "portforward", "proxy")
"""Subresources that a kubelet or Pod answers, of which there is none."""
NOT_KEPT = ("Table", "PartialObjectMetadata", "Scale", "TokenRequest", "Status", "Eviction", "Binding")
"""Answers that are not the object as it is stored. Reviews are told by having no resourceVersion."""
SERVERS_OWN = ("customresourcedefinitions", "apiservices", "servicecidrs", "flowschemas")
"""The server itself writes these at any time."""
AS_UPSTREAM = ("the spec replicas field ", "failed to allocate a serviceIP: ")
"""Refusals that upstream answers with 500: a scale where none is set, an address where no range is left."""
KUBERNETES = "10.96.0.1"
"""The address of the Service that the server makes again whenever it is gone."""
_SECONDS = 5.0
"""Of work, for one request; what is sent is small."""
_PROTOBUF = "application/vnd.kubernetes.protobuf"
_STATUS = GroupVersionKind("", "v1", "Status")


class Oracle:
    """Judges the requests to one server. Every method raises AssertionError with the request in its words."""

    def __init__(self, server: ApiServer, send: Send) -> None:
        self._server = server
        self._send = send

    async def ask(self, request: Request) -> tuple[Response, Any]:
        """Sends it, and checks all that must hold. The answer's object, None of streams and other forms than JSON."""
        before = self._seen(request)
        started = time.process_time()
        response = await asyncio.wait_for(self._send(request), 100)
        worked = time.process_time() - started
        assert worked < _SECONDS, f"{worked:.1f} seconds of work for {shown(request)}"
        if not isinstance(response.body, bytes):
            await response.body.aclose()  # type: ignore[attr-defined]  # bodies of watches are generators
            return response, None
        after = self._seen(request)
        dry = "dryRun=All" in request.target and (request.method in ("POST", "PUT", "PATCH") or not request.body)
        if response.status >= 400:
            _check_refusal(request, response)
        collection = request.method == "DELETE" and response.status >= 400  # of many, some may be gone by then
        if (response.status >= 400 or dry) and not collection:
            assert before == after, (
                f"{response.status} {response.body[:300]!r} left a trace: {_difference(before, after)} of {shown(request)}"
            )
        answer = None
        if response.body and response.headers.get("content-type").startswith("application/json"):
            answer = orjson.loads(response.body)
        if isinstance(answer, dict) and response.status < 300 and request.method in ("POST", "PUT", "PATCH"):
            await self._check_written(request, answer, dry=dry)
        return response, answer

    def _seen(self, request: Request) -> Any:
        """What a request without effect leaves as it is: the store, and what was allocated."""
        addresses = self._server.storage.service_addresses
        stored = {
            (served.prefix, entry.key): entry.revision
            for served in self._server.catalog
            if served.source is None and served.resource.made is None and served.facts.plural not in SERVERS_OWN
            for entry in self._server.cache.of(served).entries.values()
            if entry.key != "default/kubernetes"
        }
        taken = {item: count for item, count in addresses._taken.items() if item != KUBERNETES}
        return stored, taken, dict(addresses._promised), addresses._claimed - {KUBERNETES}

    async def _check_written(self, request: Request, written: Any, *, dry: bool) -> None:
        metadata = written.get("metadata") or {}
        kind = written.get("kind")
        if kind in NOT_KEPT:
            return
        gvk = GroupVersionKind(*split_api_version(written["apiVersion"]), kind)
        name = schema.type_name(gvk)
        if name is not None:
            _check_law(request, written, name)
        if dry or not metadata.get("resourceVersion"):
            return
        info = parse_request(request, request.query())
        served = self._server.catalog.find(info.group, info.version, info.resource)
        if served is None or served.resource.create is not None or info.resource in SERVERS_OWN:
            return
        found = await self._read(served, info, metadata["name"], "application/json")
        if metadata.get("deletionTimestamp") and found is None:
            return  # the write took the last finalizer away
        assert found is not None, f"the reader finds nothing after {shown(request)}"
        assert orjson.loads(found) == written, f"read {found!r}, but written {written} by {shown(request)}"
        if name is not None and protobuf.supported(name):
            form = await self._read(served, info, metadata["name"], _PROTOBUF)
            assert form is not None
            decoded = protobuf.decode_object(form)
            assert decoded == on_the_wire(written, name), (
                f"protobuf says {decoded}, JSON {written} after {shown(request)}"
            )

    async def _read(self, served: Served, info: RequestInfo, name: str, accept: str) -> bytes | None:
        path = f"/apis/{info.group}/{info.version}" if info.group else f"/api/{info.version}"
        if served.facts.namespaced:
            path += f"/namespaces/{info.namespace}"
        request = Request("GET", f"{path}/{info.resource}/{quote(name, safe='')}", Headers([("accept", accept)]))
        response = await self._send(request)
        return await read_body(response) if response.status == 200 else None


def shown(request: Request) -> str:
    """A request in a message."""
    return f"{request.method} {request.target[:3000]} {list(request.headers)!r:.600} {request.body[:3000]!r}"


def _difference(before: Any, after: Any) -> str:
    pairs = [(set(old), set(new)) if isinstance(old, set) else (set(old.items()), set(new.items()))
             for old, new in zip(before, after, strict=True)]  # fmt: skip
    return str([old ^ new for old, new in pairs])


def _check_refusal(request: Request, response: Response) -> None:
    """A Status, in a form that was asked for, that says the same code as HTTP."""
    said = bytes(response.body)  # type: ignore[arg-type]  # streams are no refusals
    media = response.headers.get("content-type").partition(";")[0]
    words = f"{response.status} {media} {said[:300]!r} to {shown(request)}"
    if media == "text/plain":  # health checks and pages
        assert response.status < 500, words
        assert said, words
        return
    if media == _PROTOBUF:
        status = protobuf.decode_object(said, _STATUS)
    else:
        status = yaml.decode(said) if media == "application/yaml" else orjson.loads(said)
    assert (status["kind"], status["code"], status["status"]) == ("Status", response.status, "Failure"), words
    assert all((status["message"], status["reason"])), words
    assert set(status) <= {"metadata", "details", "kind", "apiVersion", "status", "message", "reason", "code"}, words
    for cause in status.get("details", {}).get("causes", ()):
        assert all((cause["message"], isinstance(cause.get("field", ""), str))), words
    allowed = (501, 503, 504)  # what is not there yet, a store without an answer, a revision that has not happened
    parts = request.path.split("/")
    nobody = any(part in NODE_STREAMS for part in parts) and response.status in (500, 502)
    known = any(text in status["message"] for text in AS_UPSTREAM)
    assert response.status < 500 or response.status in allowed or nobody or known, words


def _check_law(request: Request, obj: Any, name: str) -> None:
    """Canonical form, Struct and protobuf say the same of an object."""
    data = orjson.dumps(obj)
    assert canonicalize(orjson.loads(data), name).object == obj, f"not canonical: {obj} of {shown(request)}"
    try:
        again = msgspec.json.encode(msgspec.json.decode(data, type=struct_of(name)))
    except msgspec.ValidationError as error:
        raise AssertionError(f"{error}: {obj} of {shown(request)}") from None
    assert orjson.loads(again) == obj, f"its Struct makes {again!r} of {data!r}, of {shown(request)}"
    if protobuf.supported(name):
        decoded = protobuf.decode(protobuf.encode(obj, name), name)
        assert decoded == on_the_wire(obj, name), f"protobuf makes {decoded} of {data!r}, of {shown(request)}"


def on_the_wire(obj: Any, type_name: str) -> Any:
    """A canonical object without the few fields whose number in protobuf is not known (alpha ones)."""
    fields = schema.get(type_name).fields
    return {
        name: _value_on_the_wire(value, fields[name])
        for name, value in obj.items()
        if fields[name].number or name in ("kind", "apiVersion")
    }


def _value_on_the_wire(value: Any, field: Field) -> Any:
    if value is not None and field.kind == "object":
        return on_the_wire(value, field.ref)
    if value and field.kind == "list" and field.item:
        return [_value_on_the_wire(item, field.item) for item in value]
    if value and field.kind == "map" and field.item:
        return {key: _value_on_the_wire(item, field.item) for key, item in value.items()}
    return value


@cache
def struct_of(type_name: str) -> type[msgspec.Struct]:
    """The Struct of a type of the schema."""
    package, _, short = type_name.rpartition(".")
    module = importlib.import_module(f"pybernetes.api.types.{PACKAGES[package]}")
    struct: type[msgspec.Struct] = getattr(module, short)
    return struct
