"""Deletes: delete and deletecollection of every resource alike: preconditions, finalizers, propagation, grace.

An object with finalizers, or with grace left, is only marked; the update that takes the last finalizer off removes it
(writes.py), and the kubelet's own DELETE with no grace removes a Pod.
"""

from collections.abc import Sequence

from msgspec import Struct

from pybernetes.aio.clock import parse_time, rfc3339
from pybernetes.api import errors
from pybernetes.api.errors import FieldError
from pybernetes.api.objects import GroupResource, GroupVersionKind, Object
from pybernetes.apiserver.admit import AdmissionChain
from pybernetes.apiserver.catalog import Served
from pybernetes.apiserver.decoding import accept, canonical, decode
from pybernetes.apiserver.extension import AdmissionRequest
from pybernetes.apiserver.form import built_in
from pybernetes.apiserver.options import Query, boolean, dry_run_faults, integer
from pybernetes.apiserver.resource import Call
from pybernetes.apiserver.storage import MODIFIED, RETRIES, Storage
from pybernetes.apiserver.watchcache.entry import Entry
from pybernetes.apiserver.writes import Result
from pybernetes.wire.http import Request

_GVK = GroupVersionKind("", "v1", "DeleteOptions")
_POLICIES = ("Foreground", "Background", "Orphan")
_FOREGROUND, _ORPHAN = "foregroundDeletion", "orphan"
_ORPHANING = {
    "replicationcontrollers": "",
    "jobs": "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them"
    " or set propagationPolicy=Orphan to suppress this warning",
}
"""Kinds whose dependents stay when a DELETE says nothing of them, and the warning that goes with it: upstream keeps that
of core/v1 and batch/v1 for old clients."""
_UNCOLLECTED = {"events", "customresourcedefinitions"}
"""Kinds that the garbage collector leaves alone, or whose deletion has an order of its own: no policy gives them a finalizer."""
_RETURNED = {"pods", "podtemplates", "resourcequotas", "serviceaccounts", "services"}
_RETURNED |= {"persistentvolumes", "persistentvolumeclaims", "storageclasses", "volumeattributesclasses"}
_RETURNED |= {"csidrivers", "csinodes", "volumeattachments"}
"""Kinds whose deletion answers with the object; the others answer with a Status."""


class DeleteOptions(Struct, frozen=True):
    """metav1.DeleteOptions, from body or query."""

    grace: int | None = None
    uid: str | None = None
    revision: str | None = None
    policy: str = ""
    dry_run: bool = False
    waits: bool = False
    """The client wants to be told (202) that the object is still there."""


def delete_options(request: Request, query: Query) -> DeleteOptions:
    """Raises BadRequest, Invalid."""
    form = built_in(_GVK)
    body = accept(decode(request, form), form, "Ignore", []) if request.body else _from_query(query)
    policy = body.get("propagationPolicy")
    orphan = body.get("orphanDependents")
    grace = body.get("gracePeriodSeconds")
    faults: list[FieldError] = dry_run_faults(body.get("dryRun") or [])
    if policy is not None and orphan is not None:
        text = "orphanDependents and deletionPropagation cannot be both set"
        faults.append(errors.invalid_value("propagationPolicy", policy, text))
    elif policy is not None and policy not in _POLICIES:
        faults.append(errors.not_supported("propagationPolicy", policy, (*_POLICIES, "nil")))
    if faults:
        raise errors.invalid("meta.k8s.io", "DeleteOptions", "", faults)
    if policy is None and orphan is not None:
        policy = "Orphan" if orphan else "Background"
    preconditions = body.get("preconditions") or {}
    return DeleteOptions(
        grace if grace is None else max(0, grace) if grace >= 0 else 1,
        preconditions.get("uid"),
        preconditions.get("resourceVersion"),
        policy or "",
        bool(body.get("dryRun")),
        policy == "Foreground" or orphan is False,
    )


def _from_query(query: Query) -> Object:
    body: Object = {}
    if query.get("propagationPolicy"):
        body["propagationPolicy"] = query["propagationPolicy"][0]
    grace = integer(query, "gracePeriodSeconds")
    if grace is not None:
        body["gracePeriodSeconds"] = grace
    if query.get("orphanDependents"):
        body["orphanDependents"] = boolean(query, "orphanDependents")
    body["dryRun"] = query.get("dryRun", [])
    return body


class Deletes:
    """The deleting verbs."""

    def __init__(self, storage: Storage, admission: AdmissionChain) -> None:
        self._storage = storage
        self._admission = admission

    async def delete(self, call: Call, served: Served, options: DeleteOptions) -> Result:
        """Removes or marks. Raises NotFound, Conflict for preconditions."""
        if call.verb == "delete" and call.name in served.resource.indelible:
            raise errors.forbidden(served.gr, call.name, served.resource.indelible[call.name])
        warning = "" if options.policy else _ORPHANING.get(served.facts.plural)
        if warning and warning not in call.warnings:
            call.warnings.append(warning)
        for _ in range(RETRIES):
            entry = await self._storage.read(served, call.namespace, call.name)
            _check(entry, served, options)
            await self._admission.admit(AdmissionRequest(call, "DELETE", {}, entry.object()))
            try:
                return await self._once(call, served, entry, options)
            except errors.Conflict as error:
                if MODIFIED not in error.message:
                    raise
        raise errors.conflict(served.gr, call.name, MODIFIED)

    async def _once(self, call: Call, served: Served, entry: Entry, options: DeleteOptions) -> Result:
        old = entry.object()
        obj = entry.object()
        gone = self._mark(served, obj, options)
        metadata = obj["metadata"]
        metadata.pop("resourceVersion", None)
        if gone:
            revision = entry.revision
            if not options.dry_run:
                revision = await self._storage.remove(served, entry)
                await served.resource.after_delete(call, old, None)
            return _answer(served, old, revision)
        result = await self._marked(served, entry, obj, options)
        result.status = 202 if options.waits else 200
        return result

    async def _marked(self, served: Served, entry: Entry, obj: Object, options: DeleteOptions) -> Result:
        """Stores that the object is being deleted, where that is new."""
        old = entry.object()
        obj = canonical(served, obj)
        old["metadata"].pop("resourceVersion", None)
        if obj == old:
            return Result(entry)
        if options.dry_run:
            obj["metadata"]["resourceVersion"] = str(entry.revision)
            return Result(None, obj)
        return Result(await self._storage.replace(served, obj, entry))

    def _mark(self, served: Served, obj: Object, options: DeleteOptions) -> bool:
        """Notes in `obj` that it is being deleted; True when it may be removed at once."""
        metadata = obj["metadata"]
        strategy = served.resource
        finalizers = _finalizers(served, metadata.get("finalizers") or (), options.policy)
        if finalizers:
            metadata["finalizers"] = finalizers
        else:
            metadata.pop("finalizers", None)
        grace = (strategy.grace(obj, options.grace) or 0) if strategy.grace else 0
        now = self._storage.clock.now()
        marked, before = metadata.get("deletionTimestamp"), metadata.get("deletionGracePeriodSeconds") or 0
        if marked and grace > 0 and (grace >= before or options.grace is None):
            return False  # only a shorter grace counts once deletion has begun
        if marked and before:
            metadata["deletionTimestamp"] = rfc3339(parse_time(marked) - before + grace)
        if not marked:
            metadata["deletionTimestamp"] = rfc3339(now + grace)
            if strategy.stays(obj):
                return False  # upstream only sets the time on these
            if metadata.get("generation"):
                metadata["generation"] += 1
        metadata["deletionGracePeriodSeconds"] = grace
        return grace == 0 and not finalizers and not (marked and strategy.stays(obj))


def _finalizers(served: Served, present: Sequence[str], policy: str) -> list[str]:
    """What is to be done before the object may go: the policy of the request, of the object, of the kind, in this order."""
    if served.facts.plural in _UNCOLLECTED:
        return list(present)
    if not policy and served.facts.plural in _ORPHANING and _FOREGROUND not in present:
        policy = "Orphan"
    add, drop = _propagation(policy)
    kept = [name for name in present if name not in drop]
    return kept + [name for name in add if name not in kept]


def _propagation(policy: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Finalizers to add and to take off."""
    if policy == "Orphan":
        return (_ORPHAN,), (_FOREGROUND,)
    if policy == "Foreground":
        return (_FOREGROUND,), (_ORPHAN,)
    if policy == "Background":
        return (), (_FOREGROUND, _ORPHAN)
    return (), ()


def _check(entry: Entry, served: Served, options: DeleteOptions) -> None:
    kind = GroupResource(served.resource.group, served.facts.kind)  # as upstream names it here
    if options.uid is not None and options.uid != entry.uid:
        why = f"the UID in the precondition ({options.uid}) does not match the UID in record ({entry.uid})."
        raise errors.conflict(kind, entry.name, f"{why} The object might have been deleted and then recreated")
    if options.revision is not None and options.revision != str(entry.revision):
        why = (
            f"the ResourceVersion in the precondition ({options.revision}) does not match the ResourceVersion in record "
            f"({entry.revision}). The object might have been modified"
        )
        raise errors.conflict(kind, entry.name, why)


def _answer(served: Served, old: Object, revision: int) -> Result:
    if served.facts.plural in _RETURNED:
        old["metadata"]["resourceVersion"] = str(revision)
        return Result(None, old)
    details = {
        "name": old["metadata"]["name"],
        "group": served.resource.group,
        "kind": served.facts.plural,
        "uid": old["metadata"].get("uid", ""),
    }
    return Result(
        None,
        {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Success",
            "details": {name: value for name, value in details.items() if value},
        },
    )
