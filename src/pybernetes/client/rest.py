"""REST client: typed reads and writes of resources over any Transport. informer.py keeps caches with it.

`Client.of(Pod)` gives a ResourceClient that speaks frozen Structs. Writes are patches (architecture, section 3):
`patch(old, new)` sends the difference of two Structs, so that fields this release does not know are never lost.
Refusals are raised as api.errors; a lost connection is the Transport's OSError.
"""

import logging
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, Literal, TypeVar, cast
from urllib.parse import quote, urlencode

import msgspec
from msgspec import UNSET, Raw, Struct

from pybernetes.aio.clock import Clock
from pybernetes.api import facts
from pybernetes.api.errors import ApiError, Conflict, Expired, Invalid, from_status
from pybernetes.api.objects import Key, Object
from pybernetes.api.types import meta_v1
from pybernetes.client.diff import strategic_diff
from pybernetes.wire.http import Headers, Request, Response, Transport, read_body

log = logging.getLogger(__name__)

T = TypeVar("T", bound=Struct)
S = TypeVar("S", bound=Struct)

Propagation = Literal["", "Background", "Foreground", "Orphan"]

JSON = "application/json"
STRATEGIC = "application/strategic-merge-patch+json"
MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"
METADATA_ONLY = "application/json;as={};g=meta.k8s.io;v=v1"

RETRIES = 10
"""How often a request is sent again when the server says Retry-After (client-go's number)."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a resource is served. `kind` is what its objects are called; `group` is empty for core."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool

    @property
    def api_version(self) -> str:
        """As in `apiVersion`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None, name: str = "", subresource: str = "") -> str:
        """The URL path of the collection (of all namespaces: None or empty), of an object, or of its subresource."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        parts = [root]
        if self.namespaced and namespace:
            parts.append(f"namespaces/{quote(namespace, safe='')}")
        parts.append(self.plural)
        parts += [quote(part, safe="") for part in (name, subresource) if part]
        return "/".join(parts)


class Listing(Struct, Generic[T], frozen=True):
    """A list as of `revision`. `after` is not empty where more pages follow."""

    items: tuple[T, ...]
    revision: str
    after: str = ""


class WatchEvent(Struct, Generic[T], frozen=True):
    """One change. A BOOKMARK says that nothing up to `revision` is missing; it has no object, nor has one that does
    not decode."""

    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]
    key: Key
    object: T | None
    revision: str


class _RawMeta(Struct, frozen=True, rename="camel"):
    namespace: str = ""
    name: str = ""
    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")


class _RawList(Struct, frozen=True):
    metadata: _RawMeta = _RawMeta()
    items: list[Raw] | None = None


class _RawEvent(Struct):
    type: str
    object: Raw


class _RawObject(Struct, frozen=True):
    metadata: _RawMeta = _RawMeta()


_LIST = msgspec.json.Decoder(_RawList)
_EVENT = msgspec.json.Decoder(_RawEvent)
_OBJECT = msgspec.json.Decoder(_RawObject)


@cache
def target_of(kind: type[Struct]) -> Target:
    """The Target of a generated Struct. Raises KeyError for a Struct that is no resource's."""
    known = facts.of_struct(kind)
    return Target(known.group, known.version, known.plural, known.kind, known.namespaced)


def key_of(obj: Any) -> Key:
    """The Key of a typed object."""
    return Key(obj.metadata.namespace or "", obj.metadata.name or "")


class Client:
    """One identity's access to one API server. Cheap: holds no connection of its own (the Transport does)."""

    def __init__(self, transport: Transport, *, clock: Clock, user_agent: str = "pybernetes") -> None:
        self.clock = clock
        self.transport = transport
        self.user_agent = user_agent

    def named(self, part: str) -> "Client":
        """The same access for a part of the program, which its User-Agent names (client-go's AddUserAgent)."""
        return Client(self.transport, clock=self.clock, user_agent=f"{self.user_agent}/{part}")

    def of(self, kind: type[T]) -> "ResourceClient[T]":
        """Typed access to the resource of a generated Struct."""
        return ResourceClient(self, target_of(kind), kind)

    def metadata(self, target: Target) -> "ResourceClient[meta_v1.PartialObjectMetadata]":
        """Access to any resource, metadata only: what generic controllers need."""
        return ResourceClient(self, target, meta_v1.PartialObjectMetadata, partial=True)

    async def raw(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | bytes | None = None,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Object:
        """Any request; the answer as a dict (empty for an empty body). Raises ApiError, OSError."""
        sent = body if isinstance(body, bytes) else b"" if body is None else msgspec.json.encode(body)
        response = await self.send(method, path, sent, query=query, headers=headers)
        answer = await read_body(response)
        return cast(Object, msgspec.json.decode(answer)) if answer else {}

    async def send(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Sends; waits and repeats where the server says Retry-After. Raises the ApiError of a refusal."""
        target = f"{path}?{urlencode(query)}" if query else path
        for attempt in range(RETRIES + 1):
            response = await self.transport(Request(method, target, self._headers(body, headers), body))
            if response.status < 400:
                return response
            answer = await read_body(response)
            wait = response.headers.get("retry-after")
            if attempt < RETRIES and wait.isdigit() and (response.status == 429 or response.status >= 500):
                await self.clock.sleep(float(wait))
                continue
            raise error_of(answer, response.status)
        raise AssertionError("unreachable")

    def _headers(self, body: bytes, extra: Mapping[str, str] | None) -> Headers:
        items = [("accept", JSON), ("user-agent", self.user_agent)]
        if body:
            items.append(("content-type", JSON))
        headers = Headers(items)
        for name, value in (extra or {}).items():
            headers.set(name, value)
        return headers


def error_of(body: bytes, code: int) -> ApiError:
    """The ApiError of a refusal's body; a body that is no Status becomes the message."""
    try:
        status = msgspec.json.decode(body)
    except msgspec.DecodeError:
        status = {"message": body[:500].decode(errors="replace").strip()}
    return from_status(status if isinstance(status, dict) else {}, code)


class ResourceClient(Generic[T]):
    """Reads and writes of one resource. Every method raises ApiError (api.errors) or the Transport's OSError."""

    def __init__(self, client: Client, target: Target, kind: type[T], *, partial: bool = False) -> None:
        self.client = client
        self.target = target
        self.kind = kind
        self._decoder = msgspec.json.Decoder(kind)
        accept = METADATA_ONLY.format("PartialObjectMetadata") if partial else JSON
        self._one = {"accept": f"{accept},{JSON}" if partial else JSON}
        self._many = {"accept": f"{METADATA_ONLY.format('PartialObjectMetadataList')},{JSON}"} if partial else self._one

    async def get(self, key: Key | str, namespace: str = "") -> T:
        """Raises NotFound."""
        return await self._ask("GET", self._path(key, namespace))

    async def list(
        self, namespace: str | None = None, *, labels: str = "", fields: str = "", limit: int = 0, after: str = ""
    ) -> Listing[T]:
        """A consistent list (of all namespaces: None). With `limit`, one page: ask again with its `after`."""
        query = {"labelSelector": labels, "fieldSelector": fields, "limit": str(limit or ""), "continue": after}
        path = self.target.path(namespace)
        response = await self.client.send("GET", path, query=_given(query), headers=self._many)
        listing = _LIST.decode(await read_body(response))
        meta = listing.metadata
        return Listing(tuple(self._decodable(listing.items or ())), meta.resource_version, meta.continue_)

    async def watch(
        self,
        revision: str,
        namespace: str | None = None,
        *,
        labels: str = "",
        fields: str = "",
        timeout: float = 0,
    ) -> AsyncGenerator[WatchEvent[T], None]:
        """Every change after `revision`, with bookmarks, until `timeout` seconds are over or the server ends it.

        Raises Expired when the revision's history is gone: list again. Close it with aclosing().
        """
        query = {"watch": "true", "allowWatchBookmarks": "true", "resourceVersion": revision}
        query |= {"labelSelector": labels, "fieldSelector": fields, "timeoutSeconds": str(int(timeout) or "")}
        response = await self.client.send("GET", self.target.path(namespace), query=_given(query), headers=self._one)
        async with aclosing(lines_of(response)) as lines:
            async for line in lines:
                yield self._event(_EVENT.decode(line))

    async def create(self, obj: T, *, dry_run: bool = False) -> T:
        """Raises AlreadyExists, Invalid, Forbidden."""
        meta = cast(Any, obj).metadata
        path = self.target.path(meta.namespace) if meta else self.target.path(None)
        return await self._ask("POST", path, self.encode(obj), query={"dryRun": "All"} if dry_run else None)

    async def update(self, obj: T, *, subresource: str = "") -> T:
        """PUT: for what one created whole, such as Leases; everything else is patched. Raises Conflict."""
        return await self._ask("PUT", self._path(key_of(obj), "", subresource), self.encode(obj))

    async def patch(self, old: T, new: T, *, subresource: str = "", lock: bool = False) -> T:
        """Sends what differs between two Structs of one object; nothing at all when nothing does.

        The patch is for this object only: its uid goes with it, so that a namesake made later is refused (Conflict).
        `lock` demands the revision of `old`, too. Raises NotFound, Conflict, Invalid.
        """
        change = strategic_diff(old, new)
        if not change:
            return old
        meta = cast(Any, old).metadata
        identity = {"uid": meta.uid} | ({"resourceVersion": meta.resourceVersion} if lock else {})
        change["metadata"] = _given(identity) | change.get("metadata", {})
        try:
            return await self.patch_raw(key_of(old), change, STRATEGIC, subresource=subresource)
        except Invalid as error:
            # The server says of a patch's uid only that it cannot change.
            if any(cause.get("field") == "metadata.uid" for cause in error.details.get("causes") or ()):
                raise Conflict(error.message, details=error.details) from None
            raise

    async def apply(self, old: T, fields: Mapping[str, Any], manager: str, *, subresource: str = "") -> T:
        """Server-side apply, by force: `fields` are all that `manager` says of the object, from now on under this name.

        For this object only: it is not made anew (Conflict), and a namesake stays as it is (Invalid).
        """
        meta = cast(Any, old).metadata
        named = {"apiVersion": self.target.api_version, "kind": self.target.kind}
        body = {**named, "metadata": {"name": meta.name, "uid": meta.uid}, **fields}
        query = {"fieldManager": manager, "force": "true"}
        return await self.patch_raw(key_of(old), body, APPLY, subresource=subresource, query=query)

    async def patch_raw(
        self,
        key: Key | str,
        change: Mapping[str, Any] | Iterable[Mapping[str, Any]] | bytes,
        content_type: str = MERGE,
        *,
        subresource: str = "",
        query: Mapping[str, str] | None = None,
    ) -> T:
        """A patch made by the caller, of any of the API's patch types (`query`: fieldManager, force, dryRun)."""
        body = change if isinstance(change, bytes) else msgspec.json.encode(change)
        return await self._ask(
            "PATCH", self._path(key, "", subresource), body, query=query, headers={"content-type": content_type}
        )

    async def delete(
        self,
        key: Key | str,
        *,
        grace: int | None = None,
        uid: str | None = "",
        revision: str | None = "",
        propagation: Propagation = "",
    ) -> None:
        """Asks for deletion; `grace` in seconds, `uid` and `revision` as preconditions. Raises NotFound, Conflict."""
        conditions = _given({"uid": uid or "", "resourceVersion": revision or ""})
        options = {"gracePeriodSeconds": grace, "preconditions": conditions, "propagationPolicy": propagation}
        await self.client.raw("DELETE", self._path(key), {k: v for k, v in options.items() if v not in (None, "", {})})

    async def delete_collection(
        self, namespace: str | None, *, labels: str = "", fields: str = "", propagation: Propagation = ""
    ) -> None:
        """Asks for deletion of all that match."""
        query = _given({"labelSelector": labels, "fieldSelector": fields})
        await self.client.raw(
            "DELETE", self.target.path(namespace), _given({"propagationPolicy": propagation}), query=query
        )

    async def create_subresource(self, key: Key | str, subresource: str, body: S) -> S:
        """POST of a binding, token or eviction. The answer of the same kind, or `body` where the server says Status."""
        kind = type(body)
        answer = await self.client.raw("POST", self._path(key, "", subresource), encode(body))
        return body if answer.get("kind") == "Status" else msgspec.convert(answer, kind)

    def encode(self, obj: Struct) -> bytes:
        """JSON of an object, with apiVersion and kind."""
        named = {"apiVersion": self.target.api_version, "kind": self.target.kind}
        return msgspec.json.encode(msgspec.to_builtins(obj) | named)

    def decode(self, data: bytes) -> T:
        """Raises msgspec.DecodeError."""
        return self._decoder.decode(data)

    def _path(self, key: Key | str, namespace: str = "", subresource: str = "") -> str:
        key = Key(namespace, key) if isinstance(key, str) else key
        return self.target.path(key.namespace, key.name, subresource)

    async def _ask(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> T:
        response = await self.client.send(method, path, body, query=query, headers={**self._one, **(headers or {})})
        return self._decoder.decode(await read_body(response))

    def _decodable(self, items: Iterable[Raw]) -> Iterable[T]:
        """Objects that do not decode are reported and left out; they never stop a reader."""
        for item in items:
            obj = self._decoded(item)
            if obj is not None:
                yield obj

    def _decoded(self, data: Raw) -> T | None:
        try:
            return self._decoder.decode(data)
        except msgspec.DecodeError as error:
            log.error("skipped object resource=%s error=%s object=%.200s", self.target.plural, error, bytes(data))
            return None

    def _event(self, event: _RawEvent) -> WatchEvent[T]:
        if event.type == "ERROR":
            error = error_of(bytes(event.object), 500)
            # The code decides, not the reason: proxies and old servers answer 410 with reason Gone.
            raise Expired(error.message) if _status_code(event.object) == 410 else error
        obj: Any = None if event.type == "BOOKMARK" else self._decoded(event.object)
        if obj is not None:
            return WatchEvent(cast(Any, event.type), key_of(obj), obj, obj.metadata.resourceVersion)
        meta = _OBJECT.decode(event.object).metadata
        return WatchEvent(cast(Any, event.type), Key(meta.namespace, meta.name), None, meta.resource_version)


def encode(obj: Struct) -> Object:
    """An object as a dict, with apiVersion and kind as its Struct has them."""
    return cast(Object, msgspec.to_builtins(obj))


def _status_code(status: Raw) -> int:
    decoded = msgspec.json.decode(status)
    return int(decoded.get("code") or 0) if isinstance(decoded, dict) else 0


def _given(query: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in query.items() if value not in ("", None, UNSET)}


async def lines_of(response: Response) -> AsyncGenerator[bytes, None]:
    """The JSON documents of a watch's body, one a line; closes the body when left."""
    if isinstance(response.body, bytes):
        for line in response.body.splitlines():
            yield line
        return
    rest = b""
    try:
        async for chunk in response.body:
            *whole, rest = (rest + chunk).split(b"\n")
            for line in whole:
                if line.strip():
                    yield line
        if rest.strip():
            yield rest
    finally:
        close = getattr(response.body, "aclose", None)
        if close:
            await close()
