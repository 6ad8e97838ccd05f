"""Handlers: a judged request to its answer. Finds the resource, the verb and the encoding; the work is in reads, writes, deletes.

One pipeline for all kinds and verbs: what is particular to a kind is in its Resource.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from pybernetes.aio.turns import Turns
from pybernetes.api import errors
from pybernetes.api.objects import Object, User
from pybernetes.apiserver import applying
from pybernetes.apiserver.admit import AdmissionChain
from pybernetes.apiserver.bulk import Bulk, gathered
from pybernetes.apiserver.catalog import Catalog, Served
from pybernetes.apiserver.decoding import canonical, decode_object
from pybernetes.apiserver.deletes import Deletes, delete_options
from pybernetes.apiserver.encodings import Choices, Encoding, Page
from pybernetes.apiserver.extension import AdmissionRequest
from pybernetes.apiserver.form import Form, built_in
from pybernetes.apiserver.managedfields import kept
from pybernetes.apiserver.options import Query, WriteOptions, list_options, write_options
from pybernetes.apiserver.patching import Patch
from pybernetes.apiserver.reads import Reads, matcher
from pybernetes.apiserver.requestinfo import RequestInfo, is_true
from pybernetes.apiserver.resource import Call, ScalePaths, Subresource
from pybernetes.apiserver.scale import SCALE, scale_of, scaled
from pybernetes.apiserver.storage import Storage
from pybernetes.apiserver.tables import Include
from pybernetes.apiserver.tokens import ContinueTokens
from pybernetes.apiserver.watchcache.entry import Entry, stored_bytes
from pybernetes.apiserver.writes import Result, Writes, must_name, place
from pybernetes.wire.gzip import Compressor, takes_gzip
from pybernetes.wire.http import Headers, Request, Response

_INCLUDES: Mapping[str, Include] = {"": "Metadata", "None": "None", "Metadata": "Metadata", "Object": "Object"}
_GENERIC = ("status", "scale")
_MADE_AT_ONCE = 32
"""Objects of a kind that is not stored, made in one turn of the loop."""
_TOGETHER = 32
"""Deletions of a collection that are under way at once: the store commits them in one go."""


class Asked(Struct):
    """One request on its way: what all handlers are handed."""

    request: Request
    info: RequestInfo
    query: Query
    call: Call
    served: Served
    encoding: Encoding


class Handlers:
    """Answers every request below /api and /apis/<group>/<version>."""

    def __init__(
        self,
        catalog: Catalog,
        storage: Storage,
        admission: AdmissionChain,
        tokens: ContinueTokens,
        watch_seconds: float,
    ) -> None:
        self._catalog = catalog
        self._storage = storage
        self.clock = storage.clock
        self._encodings = Choices(storage.clock)
        self._admission = admission
        self._turns = Turns()
        self._gzip = Compressor()
        self.reads = Reads(storage, tokens, watch_seconds, self._turns)
        self._writes = Writes(storage, admission)
        self._deletes = Deletes(storage, admission)

    async def __call__(self, request: Request, info: RequestInfo, query: Query, user: User) -> Response:
        """Raises ApiError for whatever is refused."""
        served = self._catalog.find(info.group, info.version, info.resource)
        if served is None:
            served = await self._catalog.look(info.group, info.version, info.resource)
        if served is None:
            raise unknown_path()
        _ask_for(served, info)
        verbs = _verbs(served, info)
        if served.facts.namespaced and info.name and not info.namespace:
            raise unknown_path()
        if not served.facts.namespaced and info.namespace and info.resource != "namespaces":
            raise unknown_path()
        namespace = info.namespace if served.facts.namespaced else ""
        call = Call(self._storage, user, info.verb, served.resource, info.subresource, namespace, info.name, request)
        custom = served.resource.subresources.get(info.subresource) if info.subresource else None
        if custom is not None and custom.connect is not None:
            if info.verb not in verbs and info.subresource != "proxy":  # any method may be passed on
                raise not_allowed(served, info)
            if info.subresource != "log":
                # A refusal must come before the upgrade; `log` alone is an ordinary get.
                call.verb = "connect"
                await self._admission.connect(call, _connect_options(served, info, query))
            return await custom.connect(call)
        if not info.subresource and info.verb == "create" and served.resource.create is not None:
            verbs = ("create",)
        reading = request.method == "GET" or (request.method == "HEAD" and served.own_form and info.verb != "watch")
        if not _fits(info, verbs) or (info.verb in ("get", "list", "watch") and not reading):
            raise not_allowed(served, info)
        encoding = self._encoding(request, query, served, info)
        asked = Asked(request, info, query, call, served, encoding)
        made, deprecated = served.resource.made, served.resource.deprecated
        if deprecated:
            call.warnings.append(deprecated)
        response = await (self._dispatch(asked, custom) if made is None else self._made(asked, await made(call)))
        for text in call.warnings:
            response.headers.add("warning", warning(text))
        return response

    def close(self) -> None:
        """Waits for what is being packed."""
        self._gzip.close()

    def _encoding(self, request: Request, query: Query, served: Served, info: RequestInfo) -> Encoding:
        text = query["includeObject"][0] if "includeObject" in query else ""
        include = _INCLUDES.get(text)
        if include is None:
            raise errors.BadRequest(f'unrecognized includeObject value: "{text}"')
        accept = request.headers.joined("accept")
        return self._encodings.of(accept, served, include, streaming=info.verb == "watch")

    async def _dispatch(self, asked: Asked, custom: Subresource | None) -> Response:
        verb, served = asked.info.verb, asked.served
        if custom is not None and custom.part is None:
            return await self._custom(asked, custom)
        if asked.info.subresource == "scale":
            return await self._scale(asked)
        match verb:
            case "get":
                version = asked.query.get("resourceVersion", [""])[0]
                return _entry(asked, await self.reads.get(served, asked.call.namespace, asked.call.name, version))
            case "list":
                options = list_options(asked.query, watch=False)
                return await self._page(asked, await self.reads.list(served, asked.call.namespace, options))
            case "watch":
                query = asked.query
                if asked.info.name:
                    query = _of_one(query, asked.info.name)
                options = list_options(query, watch=True)
                return await self.reads.watch(served, asked.call.namespace, options, asked.encoding)
            case "create":
                return await self._create(asked)
            case "update":
                return await self._update(asked)
            case "patch":
                return await self._patch(asked)
            case "delete":
                return await self._delete(asked)
            case "deletecollection":
                return await self._delete_collection(asked)
        raise not_allowed(served, asked.info)

    async def _made(self, asked: Asked, objects: Sequence[Object]) -> Response:
        """Reads of a kind that is never stored."""
        served, entries = asked.served, list[Entry]()
        for count, obj in enumerate(objects, 1):
            entries.append(self._storage.cache.entry(served, stored_bytes(served, canonical(served, obj)), 0))
            if not count % _MADE_AT_ONCE:
                await self._turns.take()
        if asked.info.verb == "get":
            found = next((entry for entry in entries if entry.name == asked.call.name), None)
            if found is None:
                raise errors.not_found(served.gr, asked.call.name)
            return _entry(asked, found)
        match = matcher(served, list_options(asked.query, watch=False))
        return await self._page(asked, Page([entry for entry in entries if match is None or match(entry)], 0))

    async def _create(self, asked: Asked) -> Response:
        call, served = asked.call, asked.served
        options = _write_options(asked, "CreateOptions")
        obj = served.worked(decode_object(asked.request, served.form, options.validation, call.warnings))
        obj.setdefault("metadata", {})
        if served.facts.namespaced and not call.namespace:
            raise errors.BadRequest("an empty namespace may not be set during creation")
        if served.resource.create is not None:
            place(obj["metadata"], served, call.namespace)
            obj = await self._admitted(call, "CREATE", obj, None)
            return _value(asked, await served.resource.create(call, obj), 201)
        return _result(asked, await self._writes.create(call, served, obj))

    async def _update(self, asked: Asked) -> Response:
        call, served = asked.call, asked.served
        options = _write_options(asked, "UpdateOptions")
        obj = served.worked(decode_object(asked.request, served.form, options.validation, call.warnings))
        obj.setdefault("metadata", {})
        return _result(asked, await self._writes.update(call, served, obj))

    async def _patch(self, asked: Asked) -> Response:
        call, served = asked.call, asked.served
        if _is_apply(asked):
            return _result(asked, await self._writes.apply(call, served, self._read_apply(asked, served.form)))
        patch = self._read_patch(asked, served.form)

        def make(entry: Entry, old: Object) -> Object:
            # What comes out shares nothing with `old` where the form is built in: canonical.py makes it anew.
            shown = old if served.alias is None and served.form.type_name else served.shown(entry.object())
            patched = served.worked(patch.apply(shown))
            metadata = patched.setdefault("metadata", {})
            must_name(metadata, call)
            if metadata.get("resourceVersion") in (str(entry.revision), "0"):
                # The patch did not name another revision, so a lost race may be tried again.
                metadata.pop("resourceVersion")
            return patched

        return _result(asked, await self._writes.change(call, served, make))

    def _read_patch(self, asked: Asked, form: Form) -> Patch:
        options = _write_options(asked, "PatchOptions", patch=True)
        return Patch(asked.request, form, options.validation, asked.call.warnings)

    def _read_apply(self, asked: Asked, form: Form) -> applying.Configuration:
        options = _write_options(asked, "PatchOptions", patch=True, apply=True)
        validation, warnings = options.validation, asked.call.warnings
        return applying.read(asked.request, form, force=options.force, validation=validation, warnings=warnings)

    async def _delete(self, asked: Asked) -> Response:
        options = delete_options(asked.request, asked.query)
        asked.call.dry_run = options.dry_run
        return _result(asked, await self._deletes.delete(asked.call, asked.served, options))

    async def _delete_collection(self, asked: Asked) -> Response:
        call, served = asked.call, asked.served
        selection = list_options(asked.query, watch=False)
        options = delete_options(asked.request, asked.query)
        call.dry_run = options.dry_run
        page = await self.reads.list(served, call.namespace, selection)
        deleted: list[Entry] = []

        async def delete(entry: Entry) -> None:
            one = replace(call, subresource="", namespace=entry.namespace, name=entry.name)
            try:
                await self._deletes.delete(one, served, options)
            except errors.NotFound:
                return  # gone meanwhile is gone
            deleted.append(entry)

        for start in range(0, len(page.entries), _TOGETHER):
            chunk = page.entries[start : start + _TOGETHER]
            for outcome in await asyncio.gather(*(delete(entry) for entry in chunk), return_exceptions=True):
                if isinstance(outcome, BaseException):
                    raise outcome
        return await self._page(asked, Page(deleted, page.resource_version, page.next, page.remaining))

    async def _page(self, asked: Asked, page: Page) -> Response:
        body = await gathered(asked.encoding.page(asked.served, page), self._turns)
        response = Response(200, Headers.lowered([("content-type", asked.encoding.media_type)]), body)
        if isinstance(body, Bulk) and takes_gzip(asked.request.headers):
            body.pack(self._gzip.stream())
            response.headers.set("content-encoding", "gzip")
            response.headers.add("vary", "Accept-Encoding")
        return response

    # --- subresources

    async def _custom(self, asked: Asked, custom: Subresource) -> Response:
        call, served, name = asked.call, asked.served, asked.info.subresource
        if asked.info.verb == "get":
            return _entry(asked, await self.reads.get(served, call.namespace, call.name, ""))
        if custom.create is None:
            raise not_allowed(served, asked.info)
        form = built_in(served.facts.subresources[name].gvk)
        if asked.info.verb == "patch":
            patch = self._read_patch(asked, form)
            stored = (await self.reads.get(served, call.namespace, call.name, "")).object()
            obj = await self._admitted(call, "UPDATE", patch.apply(stored), stored)
            return _value(asked, await custom.create(call, obj), 200)
        kind = "CreateOptions" if asked.info.verb == "create" else "UpdateOptions"
        options = _write_options(asked, kind)
        obj = decode_object(asked.request, form, options.validation, call.warnings)
        metadata = obj.setdefault("metadata", {})
        place(metadata, served, call.namespace)
        if not metadata.get("name"):
            metadata["name"] = call.name
        if asked.info.verb == "create":
            return _value(asked, await custom.create(call, await self._admitted(call, "CREATE", obj, None)), 201)
        old = (await self.reads.get(served, call.namespace, call.name, "")).object()
        return _value(asked, await custom.create(call, await self._admitted(call, "UPDATE", obj, old)), 200)

    async def _admitted(
        self, call: Call, operation: Literal["CREATE", "UPDATE"], obj: Object, old: Object | None
    ) -> Object:
        """What admission makes of a body that is answered by the kind itself."""
        request = AdmissionRequest(call, operation, obj, old)
        await self._admission.admit(request)
        return request.object

    async def _scale(self, asked: Asked) -> Response:
        call, served = asked.call, asked.served
        paths = served.resource.scale or ScalePaths()
        if asked.info.verb == "get":
            entry = await self.reads.get(served, call.namespace, call.name, "")
            return _value(asked, scale_of(served.opened(entry.object()), paths), 200)
        if _is_apply(asked) and asked.info.verb == "patch":
            config = self._read_apply(asked, built_in(SCALE))
            must_name({"name": call.name, **config.metadata}, call)
            result = await self._writes.change(
                call, served, lambda _, old: self._writes.applying.scale(call, served, config, old), kept
            )
        elif asked.info.verb == "patch":
            patch = self._read_patch(asked, built_in(SCALE))

            def patched(entry: Entry, old: Object) -> Object:
                parent = served.opened(entry.object())
                wanted = patch.apply(scale_of(parent, paths, patched=True))
                if wanted["metadata"].get("resourceVersion") == str(entry.revision):
                    wanted["metadata"].pop("resourceVersion")
                return scaled(parent, wanted, paths)

            result = await self._writes.change(call, served, patched)
        else:
            options = _write_options(asked, "UpdateOptions")
            scale = decode_object(asked.request, built_in(SCALE), options.validation, call.warnings)
            must_name(scale.get("metadata") or {}, call)
            result = await self._writes.change(
                call, served, lambda entry, _: scaled(served.opened(entry.object()), scale, paths)
            )
        parent = served.opened(result.entry.object()) if result.entry is not None else result.object
        assert parent is not None
        return _value(asked, scale_of(parent, paths), 200)


def _ask_for(served: Served, info: RequestInfo) -> None:
    """Raises for what the definition of a custom resource has no answer to."""
    if served.refused:
        raise errors.BadRequest(served.refused)
    if served.ending and info.verb == "create":
        raise errors.MethodNotAllowed("create not allowed while custom resource definition is terminating")


def _write_options(asked: Asked, kind: str, *, patch: bool = False, apply: bool = False) -> WriteOptions:
    """The options of a write; the call is told what it must know of them."""
    options = write_options(asked.query, kind, patch=patch, apply=apply)
    asked.call.dry_run = options.dry_run
    asked.call.field_manager = options.field_manager
    return options


def _is_apply(asked: Asked) -> bool:
    return asked.request.media_type == applying.MEDIA


def _connect_options(served: Served, info: RequestInfo, query: Query) -> Object:
    """The options object that admission of CONNECT sees: PodExecOptions and so on, from the query."""
    gvk = served.facts.subresources[info.subresource].gvk
    given: Object = {"kind": gvk.kind, "apiVersion": gvk.api_version}
    for name, values in query.items():
        if name == "command" or name == "ports":
            given[name] = values
        elif name in ("stdin", "stdout", "stderr", "tty"):
            given[name] = is_true(values)
        elif name in ("container", "path"):
            given[name] = values[0]
    return given


def _of_one(query: Query, name: str) -> Query:
    """The query of a watch whose path names one object. Raises BadRequest where its field selector names none or another."""
    given = query.get("fieldSelector", [""])[0]
    if given and list_options({"fieldSelector": [given]}, watch=True).fields.exact("metadata.name") != name:
        raise errors.BadRequest("fieldSelector metadata.name doesn't match requested name")
    return query if given else {**query, "fieldSelector": [f"metadata.name={name}"]}


def unknown_path() -> errors.NotFound:
    """As upstream's mux answers: clients tell it from a missing object by its empty details."""
    return errors.NotFound("the server could not find the requested resource", details={})


def not_allowed(served: Served, info: RequestInfo) -> errors.MethodNotAllowed:
    """405."""
    return errors.MethodNotAllowed(
        "the server does not allow this method on the requested resource",
        details={"group": served.resource.group, "kind": served.facts.plural} if served.own_form else {},
    )


def _verbs(served: Served, info: RequestInfo) -> tuple[str, ...]:
    """What the path may be asked for. Raises NotFound for a subresource that is not there."""
    if not info.subresource:
        return served.facts.verbs
    known = served.facts.subresources.get(info.subresource)
    own = info.subresource in served.resource.subresources
    if known is None or not (own or info.subresource in _GENERIC):
        raise unknown_path()
    return known.verbs


def _fits(info: RequestInfo, verbs: tuple[str, ...]) -> bool:
    """Whether this path may be asked so: objects are created in a collection and updated by name."""
    if info.verb not in verbs:
        return False
    if info.subresource or info.verb == "watch":
        return True
    return bool(info.name) == (info.verb in ("get", "update", "patch", "delete"))


def _answer(asked: Asked, body: bytes, status: int = 200) -> Response:
    return Response(status, Headers.lowered([("content-type", asked.encoding.media_type)]), body)


def _entry(asked: Asked, entry: Entry) -> Response:
    return _answer(asked, asked.encoding.entry(entry.shown(asked.served)))


def _value(asked: Asked, obj: Object, status: int) -> Response:
    return _answer(asked, asked.encoding.value(obj), status)


def _result(asked: Asked, result: Result) -> Response:
    status = result.status
    if result.entry is not None:
        written = result.object if asked.served.source is None else None  # else it is not what the client is shown
        return _answer(asked, asked.encoding.entry(result.entry.shown(asked.served), written), status)
    assert result.object is not None
    obj = result.object
    return _value(asked, obj if obj["kind"] == "Status" else asked.served.answered(obj), status)


def warning(text: str) -> str:
    """A Warning header of code 299 (RFC 9110 quoted-string); control characters never reach a header."""
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    quoted = printable.replace("\\", "\\\\").replace('"', '\\"')
    return f'299 - "{quoted}"'
