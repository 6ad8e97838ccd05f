"""Writes: create, update and patch of every resource alike, and of `status`. storage.py does the compare-and-set.

The order is upstream's: decode -> default -> who owns which field -> mutating admission -> default again -> what the client may not set ->
validation -> validating admission -> allocations -> store.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from msgspec import Struct

from pybernetes.api import errors
from pybernetes.api.errors import FieldError
from pybernetes.api.objects import GroupResource, Object
from pybernetes.apiserver.admit import AdmissionChain, held
from pybernetes.apiserver.applying import Applying, Configuration
from pybernetes.apiserver.catalog import Served
from pybernetes.apiserver.decoding import canonical
from pybernetes.apiserver.extension import AdmissionRequest, Attributes, Decision
from pybernetes.apiserver.managedfields import Account, ManagedFields, kept, only_later
from pybernetes.apiserver.resource import Call, Errors, Part, no_hook
from pybernetes.apiserver.storage import MODIFIED, RETRIES, Storage, begin
from pybernetes.apiserver.validation.meta import validate_object_meta
from pybernetes.apiserver.watchcache.entry import Entry

_SUFFIX = "bcdfghjklmnpqrstvwxz2456789"
_NAME_LIMIT = 63 - 5
_GENERATIONS = 8
"""Names that are tried for a generateName."""
_KEPT = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "selfLink")

Make = Callable[[Entry, Object], Object]
"""The wanted object from the stored one, which comes decoded as well and may not be changed: decoding is not cheap.

Called again after a lost race."""


class Result:
    """What a write answers with: a stored Entry, with its object where that is at hand, or the object of a dry run."""

    __slots__ = ("entry", "object", "status")

    def __init__(self, entry: Entry | None, obj: Object | None = None, *, created: bool = False) -> None:
        self.entry = entry
        self.object = obj
        self.status = 201 if created else 200


class Writes:
    """The writing verbs."""

    def __init__(self, storage: Storage, admission: AdmissionChain) -> None:
        self._storage = storage
        self._admission = admission
        self._account = ManagedFields(storage.clock)
        self.applying = Applying(self._account)
        self._statuses: dict[GroupResource, bytes] = {}

    # --- create

    async def create(self, call: Call, served: Served, obj: Object, account: Account | None = None) -> Result:
        """`obj` is canonical. Raises AlreadyExists, Invalid, what admission raises."""
        account = account or self._account.tracked(call, served)
        metadata = obj["metadata"]
        if metadata.get("name") or not metadata.get("generateName"):
            return await _held(call, self._create(call, served, obj, account))
        sent, random = orjson.dumps(obj), self._storage.clock.random
        for left in reversed(range(_GENERATIONS)):
            name = metadata["generateName"][:_NAME_LIMIT] + "".join(random.choices(_SUFFIX, k=5))
            obj["metadata"]["name"] = name
            try:
                return await _held(call, self._create(call, served, obj, account))
            except errors.AlreadyExists as error:
                if left:
                    obj = orjson.loads(sent)  # as it was before admission
                    continue
                raise errors.AlreadyExists(
                    error.message + ", the server was not able to generate a unique name for the object",
                    details={**(error.details or {}), "retryAfterSeconds": 1},
                ) from None
        raise AssertionError("the last try returns or raises")

    async def _create(self, call: Call, served: Served, obj: Object, account: Account) -> Result:
        strategy = served.resource
        metadata = obj["metadata"]
        place(metadata, served, call.namespace)
        if metadata.get("resourceVersion", "0") != "0":
            raise errors.BadRequest("resourceVersion should not be set on objects to be created")
        call.name = metadata.get("name", "")
        begin(obj, served, self._storage.clock)
        if "status" in obj and "status" in served.facts.subresources and not strategy.status_on_create:
            if served.own_form:
                del obj["status"]  # nothing at all, and nobody comes to own it
            else:
                obj["status"] = self._no_status(served)
        strategy.default(obj)
        account(None, obj)
        request = AdmissionRequest(call, "CREATE", obj, None)
        await self._admission.mutate(request)
        obj = request.object
        strategy.default(obj)
        strategy.prepare(obj, None)
        faults = [
            *_meta_faults(served, obj, None),
            *strategy.validate(obj),
            *(served.alias.validate(obj) if served.alias is not None else ()),
        ]
        self._refuse(served, obj, faults)
        call.warnings += strategy.warn(obj, None)
        request.object = obj
        await self._admission.validate(request)
        await strategy.before_write(call, obj, None)
        obj = canonical(served, obj)
        if not call.dry_run:
            return Result(await self._storage.insert(served, obj), obj, created=True)
        if self._storage.peek(served, call.namespace, call.name) is not None:
            raise errors.already_exists(served.gr, call.name)
        return Result(None, obj, created=True)

    # --- update and patch

    async def update(self, call: Call, served: Served, obj: Object) -> Result:
        """PUT. `obj` is canonical."""
        metadata = obj["metadata"]
        place(metadata, served, call.namespace)
        must_name(metadata, call)
        strategy = served.resource
        try:
            await self._storage.read(served, call.namespace, call.name)
        except errors.NotFound:
            if strategy.update_creates and not call.subresource:
                _same_object(served, call, metadata, "")
                metadata.pop("resourceVersion", None)
                self._may_create(call, served)
                return await self.create(call, served, obj)
            raise
        if metadata.get("resourceVersion") == "0":
            del metadata["resourceVersion"]  # which is to name none
        if not metadata.get("resourceVersion") and not strategy.unconditional_update:
            fault = errors.invalid_value("metadata.resourceVersion", 0, "must be specified for an update")
            raise errors.invalid(strategy.group, served.facts.plural, call.name, [fault])
        sent = obj

        def make(entry: Entry, old: Object) -> Object:
            _same_object(served, call, sent["metadata"], entry.uid)
            return {**sent, "metadata": {**sent["metadata"]}}

        return await self.change(call, served, make)

    async def apply(self, call: Call, served: Served, config: Configuration) -> Result:
        """Server-side apply; creates what is not there."""
        metadata = config.metadata

        def make(entry: Entry, old: Object) -> Object:
            made = self.applying.make(call, served, config, old)
            place(made["metadata"], served, call.namespace)
            must_name(made["metadata"], call)
            return made

        for _ in range(RETRIES):
            try:
                return await self.change(call, served, make, kept)
            except errors.NotFound:
                if call.subresource or self._storage.peek(served, call.namespace, call.name) is not None:
                    raise
            self._may_create(call, served)
            made = self.applying.make(call, served, config, None)
            place(made["metadata"], served, call.namespace)
            must_name(made["metadata"], call)
            if metadata.get("uid"):
                why = f"uid mismatch: the provided object specified uid {metadata['uid']}, and no existing object was found"
                raise errors.conflict(served.gr, call.name, why)
            if metadata.get("resourceVersion"):
                raise errors.conflict(served.gr, call.name, MODIFIED)
            try:
                return await self.create(call, served, made, kept)
            except errors.AlreadyExists:
                if call.dry_run:
                    raise
        raise errors.conflict(served.gr, call.name, MODIFIED)

    def _may_create(self, call: Call, served: Served) -> None:
        """Who writes what is not there must be allowed to create it. Raises Forbidden."""
        facts = served.facts
        attributes = Attributes(
            call.user,
            "create",
            call.request.path,
            facts.group,
            facts.version,
            facts.plural,
            call.subresource,
            call.namespace,
            call.name,
        )
        decision, reason = self._storage.authorizer.authorize(attributes)
        if decision is not Decision.ALLOW:
            raise errors.forbidden(served.gr, call.name, reason)

    async def change(self, call: Call, served: Served, make: Make, account: Account | None = None) -> Result:
        """Read, `make`, store; again on a lost race unless the wanted object names a resourceVersion."""
        account = account or self._account.tracked(call, served)
        for _ in range(RETRIES):
            entry = await self._storage.read(served, call.namespace, call.name)
            old = served.opened(entry.object())
            wanted = make(entry, old)
            del old["metadata"]["resourceVersion"]
            named = wanted["metadata"].get("resourceVersion", "")
            if named and named != str(entry.revision):
                raise errors.conflict(served.gr, call.name, MODIFIED)
            try:
                return await _held(call, self._change(call, served, (entry, old), wanted, account))
            except errors.Conflict as error:
                if named or MODIFIED not in error.message:
                    raise
        raise errors.conflict(served.gr, call.name, MODIFIED)

    async def _change(
        self, call: Call, served: Served, stored: tuple[Entry, Object], obj: Object, account: Account
    ) -> Result:
        strategy = served.resource
        entry, old = stored
        obj["metadata"].pop("resourceVersion", None)
        keep(obj["metadata"], old["metadata"], served, call.name)
        scope = _scope(served, call.subresource)
        if scope.to_status:
            obj = _status_of(obj, old)
        elif scope.part is None and "status" in served.facts.subresources:
            _take(obj, old, "status")
        strategy.default(obj)
        if account is not kept and (scope.to_status or scope.part is not None):
            scope.prepare(obj, old)  # nobody comes to own what he cannot write here
        obj["metadata"] = {**obj["metadata"]}  # a part may have taken it from `old`
        account(old, obj)
        entries = obj["metadata"].get("managedFields")
        request = AdmissionRequest(call, "UPDATE", obj, old)
        await self._admission.mutate(request)
        obj = request.object
        strategy.default(obj)
        scope.prepare(obj, old)
        obj["metadata"] = _accounted(obj["metadata"], entries)
        if scope.generation and (_differs(obj, old, served) or (strategy.annotations_count and _renoted(obj, old))):
            obj["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1
        self._refuse(served, obj, _update_faults(served, obj, old, scope))
        call.warnings += [text for text in strategy.warn(obj, old) if text not in call.warnings]
        request.object = obj
        await self._admission.validate(request)
        hooked = strategy.before_write is not no_hook
        obj = canonical(served, obj, None if hooked else old)  # what a hook changes must not be part of `old`
        if obj == old or only_later(obj, old):
            if not call.dry_run and await self._storage.is_outdated(served, entry):
                return Result(await self._storage.replace(served, old, entry), old)
            return Result(entry)
        if _ends(obj, old, served):
            if not call.dry_run:
                await self._storage.remove(served, entry)
                await strategy.after_delete(call, old, None)
            return Result(None, _versioned(obj, entry))
        if hooked:
            await strategy.before_write(call, obj, old)
            obj = canonical(served, obj)
        if call.dry_run:
            return Result(None, _versioned(obj, entry))
        return Result(await self._storage.replace(served, obj, entry), obj)

    def _no_status(self, served: Served) -> Object:
        """The status of a kind when there is none: what Go writes of the zero value."""
        found = self._statuses.get(served.gr)
        if found is None:
            found = self._statuses[served.gr] = orjson.dumps(canonical(served, {})["status"])
        status: Object = orjson.loads(found)
        return status

    def _refuse(self, served: Served, obj: Object, faults: list[FieldError]) -> None:
        if faults:
            name = obj["metadata"].get("name", "")
            raise errors.invalid(served.resource.group, served.facts.kind, name, faults)


async def _held(call: Call, write: Awaitable[Result]) -> Result:
    """Awaits a write as `held` does. Raises BadRequest for raw JSON that is nested too deep to be compared."""
    try:
        return await held(call, write)
    except RecursionError:
        raise errors.BadRequest("couldn't get version/kind; json parse error: exceeded max depth") from None


class _Scope(Struct, frozen=True):
    """What a write may change: the object, its status, or the part that a subresource shows."""

    prepare: Callable[[Object, Object], None]
    validate: Callable[[Object, Object], Errors]
    to_status: bool = False
    part: Part | None = None
    generation: bool = False


def _scope(served: Served, subresource: str) -> _Scope:
    strategy = served.resource
    if subresource == "status":
        return _Scope(strategy.prepare_status, strategy.validate_status, to_status=True)
    own = strategy.subresources.get(subresource)
    if own is not None and own.part is not None:
        part = own.part
        return _Scope(part.prepare, part.validate, part=part, generation=part.generation)

    def faults(obj: Object, old: Object) -> Errors:
        # What has not changed was judged when it was stored.
        if not _differs(obj, old, served):
            return ()
        whole = () if strategy.ratchets else strategy.validate(obj)
        return [*whole, *strategy.validate_update(obj, old)]

    return _Scope(strategy.prepare, faults, generation=strategy.generation)


def _update_faults(served: Served, obj: Object, old: Object, scope: _Scope) -> list[FieldError]:
    return [*_meta_faults(served, obj, old), *scope.validate(obj, old)]


_EXTENSIONS = ("apiextensions.k8s.io", "apiregistration.k8s.io", "admissionregistration.k8s.io")
"""Groups whose finalizers need no domain: that is a rule of the core's kinds."""


def _meta_faults(served: Served, obj: Object, old: Object | None) -> list[FieldError]:
    rule, core = served.resource.validate_name, bool(served.form.type_name) and served.gr.group not in _EXTENSIONS
    return validate_object_meta(obj, old, served.facts.namespaced, rule, core=core)


def _accounted(metadata: Object, entries: Any) -> Object:
    """Metadata with these managedFields, whatever a kind has made of them since."""
    rest = {name: value for name, value in metadata.items() if name != "managedFields"}
    return {**rest, "managedFields": entries} if entries else rest


def _versioned(obj: Object, entry: Entry) -> Object:
    """What a write answers with that stored nothing: the revision is still the stored one's."""
    return {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(entry.revision)}}


def place(metadata: Object, served: Served, namespace: str) -> None:
    """An object's namespace is that of the request. Raises BadRequest where it says another."""
    if not served.facts.namespaced:
        return
    if not metadata.get("namespace"):
        metadata["namespace"] = namespace
    elif metadata["namespace"] != namespace:
        raise errors.BadRequest("the namespace of the provided object does not match the namespace sent on the request")


def must_name(metadata: Object, call: Call) -> None:
    """What is written must be the object of the URL. Raises BadRequest."""
    name, namespace = metadata.get("name", ""), metadata.get("namespace", "")
    if not name:
        why = "undeterminable: name must be provided"
        raise errors.BadRequest(f"the name of the object ({call.name} based on URL) was {why}")
    if name != call.name:
        raise errors.BadRequest(f"the name of the object ({name}) does not match the name on the URL ({call.name})")
    if namespace and namespace != call.namespace:
        raise errors.BadRequest(
            f"the namespace of the object ({namespace}) does not match the namespace on the request ({call.namespace})"
        )


def _same_object(served: Served, call: Call, metadata: Object, uid: str) -> None:
    """A PUT that names a uid is meant for that object. Raises Conflict, in the words of upstream's storage."""
    wanted = metadata.get("uid")
    if wanted and wanted != uid:
        key = served.key(call.namespace, call.name)
        raise errors.conflict(
            served.gr,
            call.name,
            f"StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: "
            f"Precondition failed: UID in precondition: {wanted}, UID in object meta: {uid}",
        )


def keep(metadata: Object, old: Object, served: Served, name: str) -> None:
    """What belongs to the server stays as it was. Raises Invalid for the uid of another object."""
    uid = metadata.get("uid")
    if uid and uid != old.get("uid"):
        fault = errors.invalid_value("metadata.uid", uid, "field is immutable")
        raise errors.invalid(served.resource.group, served.facts.kind, name, [fault])
    for field in _KEPT:
        if field in old:
            metadata[field] = old[field]
        else:
            metadata.pop(field, None)


def _status_of(obj: Object, old: Object) -> Object:
    """A write of status: metadata and status are the client's, all else is as stored."""
    merged = {name: value for name, value in old.items() if name not in ("metadata", "status")}
    merged["metadata"] = obj["metadata"]
    if "status" in obj:
        merged["status"] = obj["status"]
    return merged


def _take(obj: Object, old: Object, field: str) -> None:
    if field in old:
        obj[field] = old[field]
    else:
        obj.pop(field, None)


def _differs(obj: Object, old: Object, served: Served) -> bool:
    """Whether anything but metadata and a status of its own has changed: what generation counts."""
    apart = ("metadata", "status") if "status" in served.facts.subresources else ("metadata",)
    rest = {name: value for name, value in obj.items() if name not in apart}
    before: dict[str, Any] = {name: value for name, value in old.items() if name not in apart}
    return rest != before


def _renoted(obj: Object, old: Object) -> bool:
    return bool((obj["metadata"].get("annotations") or {}) != (old["metadata"].get("annotations") or {}))


def _ends(obj: Object, old: Object, served: Served) -> bool:
    """The update that takes the last finalizer off a deleted object removes it."""
    metadata = obj["metadata"]
    if not metadata.get("deletionTimestamp") or metadata.get("finalizers"):
        return False
    if old["metadata"].get("deletionGracePeriodSeconds") not in (None, 0):
        return False
    return not served.resource.stays(obj)
