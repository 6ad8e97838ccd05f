"""ResourceClaim controller: makes the claims that Pods ask for by template, and frees what Pods no longer use.

A claim is found again by its owner and annotation, not by name: whoever made it and did not get to say so in the Pod's
status makes no second one. Reservations are taken back for Pods that are over, gone or another by now, after a live
look where the cache has never seen the Pod: the scheduler may just be giving it the claim.
"""

from collections import Counter as Tally
from collections.abc import Iterable
from contextlib import suppress

from msgspec.structs import replace

from pybernetes.api.errors import ApiError, NotFound
from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1
from pybernetes.api.types.meta_v1 import ObjectMeta
from pybernetes.api.types.resource_v1 import ResourceClaim, ResourceClaimConsumerReference, ResourceClaimTemplate
from pybernetes.client.rest import key_of
from pybernetes.controllers._finalizers import without_finalizer
from pybernetes.controllers._resource_claims import is_of, is_pod, names_of, owning_pod
from pybernetes.controllers.runtime import EVENTS, Context, Controller, Done, Outcome, Watch, allow
from pybernetes.rules.goquote import quoted
from pybernetes.rules.ownership import controller_reference
from pybernetes.rules.readiness import is_finished
from pybernetes.wire.metrics import Counter, Current

ANNOTATION = "resource.kubernetes.io/pod-claim-name"
EXTENDED = "resource.kubernetes.io/extended-resource-claim"
MANAGER = "ResourceClaimController"
"""Of the fields in the Pods' status."""
FINALIZER = "resource.kubernetes.io/delete-protection"
POD = "pods/"
"""Keys that begin so are Pods; no claim can be called so."""
_BASE = 57
"""A generated name's first part at most: five random characters follow, and 63 are allowed."""
_MOST_USERS = 256
"""That a claim can be reserved for."""
_GROUP = "resource.k8s.io"
_OWNER, _USERS, _TEMPLATE = "owning-pod", "resource-claims", "resource-claim-templates"


def _by_owner(claim: ResourceClaim) -> Iterable[str]:
    ref = owning_pod(claim)
    return (ref.uid,) if ref is not None else ()


def _by_claim(pod: core_v1.Pod) -> Iterable[str]:
    return [f"{pod.metadata.namespace}/{name}" for name in names_of(pod).values() if name]


def _by_template(pod: core_v1.Pod) -> Iterable[str]:
    asked = (claim.resourceClaimTemplateName for claim in pod.spec.resourceClaims)
    return {f"{pod.metadata.namespace}/{name}": None for name in asked if name}


# --- what concerns which key


def _of_pod(pod: core_v1.Pod, ctx: Context) -> Iterable[Key]:
    if not pod.spec.resourceClaims:
        return
    meta = pod.metadata
    yield Key(meta.namespace, POD + meta.name)
    here = ctx.cache(core_v1.Pod).get(key_of(pod))
    if here is None or here.metadata.uid != meta.uid or _is_done(here):
        yield from (Key(meta.namespace, name) for name in names_of(pod).values() if name)
        yield from (key_of(claim) for claim in ctx.cache(ResourceClaim).by(_OWNER, meta.uid))


def _pod_matters(old: core_v1.Pod, new: core_v1.Pod) -> bool:
    return bool(new.spec.resourceClaims) and _facts(old) != _facts(new)


def _facts(pod: core_v1.Pod) -> tuple[object, ...]:
    meta, status = pod.metadata, pod.status
    return meta.uid, meta.deletionTimestamp, pod.spec.nodeName, is_finished(pod), status.resourceClaimStatuses


def _of_claim(claim: ResourceClaim, ctx: Context) -> Iterable[Key]:
    meta = claim.metadata
    yield key_of(claim)
    pods = ctx.cache(core_v1.Pod).by(_USERS, f"{meta.namespace}/{meta.name}")
    yield from (Key(meta.namespace, POD + pod.metadata.name) for pod in pods)


def _of_template(template: ResourceClaimTemplate, ctx: Context) -> Iterable[Key]:
    meta = template.metadata
    pods = ctx.cache(core_v1.Pod).by(_TEMPLATE, f"{meta.namespace}/{meta.name}")
    return [Key(meta.namespace, POD + pod.metadata.name) for pod in pods]


def _is_done(pod: core_v1.Pod) -> bool:
    """None of its containers runs or ever will."""
    return is_finished(pod) or (pod.metadata.deletionTimestamp is not None and not pod.spec.nodeName)


async def reconcile(key: Key, ctx: Context) -> Outcome:
    """One Pod that asks for claims, or one claim."""
    ctx.metrics(Figures).seen = ctx.cache(ResourceClaim)
    if not key.name.startswith(POD):
        claim = ctx.cache(ResourceClaim).get(key)
        if claim is not None:
            await _look_at(claim, ctx)
        return Done()
    key = Key(key.namespace, key.name.removeprefix(POD))
    pod = ctx.cache(core_v1.Pod).get(key)
    if pod is None or pod.metadata.deletionTimestamp is not None:
        ctx.state(_Made).claims.pop(key, None)
    elif pod.spec.resourceClaims:
        await _serve(pod, ctx)
    return Done()


# --- Pods


class _NoTemplate(NotFound):
    """The template of a claim is not there, or not yet."""


class Figures:
    """Upstream's metrics, as they are called since 1.37."""

    def __init__(self) -> None:
        self.creates = Counter(
            "dynamic_resource_allocation_resourceclaim_creates_total",
            "Number of ResourceClaims creation requests, categorized by creation status and admin access",
            "status admin_access",
        )
        self.seen: Iterable[ResourceClaim] = ()
        """Counted when somebody asks."""
        self.claims = Current(
            "dynamic_resource_allocation_resource_claims",
            "Number of ResourceClaims, categorized by allocation status, admin access, and source. Source can be"
            " 'resource_claim_template' (created from a template), 'extended_resource' (extended resources), or empty"
            " (manually created by a user).",
            lambda: Tally(map(_categories, self.seen)).items(),
            "allocated admin_access source",
            "BETA",
        )


def _categories(claim: ResourceClaim) -> tuple[str, str, str]:
    notes = claim.metadata.annotations
    by_template, extended = ANNOTATION in notes, notes.get(EXTENDED) == "true"
    source = "resource_claim_template" if by_template else "extended_resource" if extended else ""
    allocated, admin = claim.status.allocation is not None, _asks_for_admin_access(claim)
    return str(allocated).lower(), str(admin).lower(), source


class _Made:
    """Claims that the cache may not show yet: by the Pod, and its names for them."""

    def __init__(self) -> None:
        self.claims: dict[Key, dict[str, ResourceClaim]] = {}


async def _serve(pod: core_v1.Pod, ctx: Context) -> None:
    """Its claims are there, its status names them, and those that have devices are reserved for it."""
    names, meta = names_of(pod), pod.metadata
    added: dict[str, str] = {}
    for asked in pod.spec.resourceClaims:
        if is_finished(pod) or not asked.resourceClaimTemplateName or names[asked.name] is None:
            continue
        there = ctx.cache(ResourceClaim).get(Key(meta.namespace, names[asked.name] or ""))
        if there is not None and is_of(there, pod):
            continue
        try:
            added[asked.name] = (await _find_or_make(pod, asked, ctx)).metadata.name
        except ApiError as error:
            what = error.message if isinstance(error, _NoTemplate) else f"create ResourceClaim : {error.message}"
            text = f"PodResourceClaim {asked.name}: {what}"
            ctx.events.event(pod, "Warning", "FailedResourceClaimCreation", text)
            raise
    if any(names[name] != made for name, made in added.items()):
        before = {status.name: status for status in pod.status.resourceClaimStatuses}
        fresh = {n: core_v1.PodResourceClaimStatus(name=n, resourceClaimName=made) for n, made in added.items()}
        status = {"resourceClaimStatuses": list((before | fresh).values())}
        await ctx.api(core_v1.Pod).apply(pod, {"status": status}, MANAGER, subresource="status")
    if not added:
        ctx.state(_Made).claims.pop(key_of(pod), None)
    if pod.spec.nodeName and not is_finished(pod):
        # Bound by somebody who is no scheduler, which would have reserved them.
        for name in (names | added).values():
            await _reserve(pod, ctx.cache(ResourceClaim).get(Key(meta.namespace, name or "")), ctx)


async def _find_or_make(pod: core_v1.Pod, asked: core_v1.PodResourceClaim, ctx: Context) -> ResourceClaim:
    meta, made = pod.metadata, ctx.state(_Made).claims.setdefault(key_of(pod), {})
    for claim in ctx.cache(ResourceClaim).by(_OWNER, meta.uid):
        # Until 1.27 a claim had no note, and a name that was told by the Pod's.
        of = claim.metadata.annotations.get(ANNOTATION) or (
            asked.name if claim.metadata.name == f"{meta.name}-{asked.name}" else ""
        )
        if of == asked.name and claim.metadata.deletionTimestamp is None:
            return claim
    known = made.pop(asked.name, None)
    if known is not None and is_of(known, pod):
        with suppress(NotFound):  # the cache does not show it: not yet, or no longer
            made[asked.name] = await ctx.api(ResourceClaim).get(key_of(known))
            return made[asked.name]
    name = asked.resourceClaimTemplateName or ""
    template = ctx.cache(ResourceClaimTemplate).get(Key(meta.namespace, name))
    if template is None:
        what = f"resourceclaimtemplate.{_GROUP} {quoted(name)} not found"
        raise _NoTemplate(f"resource claim template {quoted(name)}: {what}")
    of_template = template.spec.metadata
    claim = ResourceClaim(
        metadata=ObjectMeta(
            namespace=meta.namespace,
            generateName=_base_of(meta.name, asked.name),
            labels=of_template.labels,
            annotations={**of_template.annotations, ANNOTATION: asked.name},
            ownerReferences=(controller_reference("v1", "Pod", meta),),
        ),
        spec=template.spec.spec,
    )
    figures, admin = ctx.metrics(Figures), str(_asks_for_admin_access(claim)).lower()
    try:
        made[asked.name] = await ctx.api(ResourceClaim).create(claim)
    except ApiError:
        figures.creates.add("failure", admin)
        raise
    figures.creates.add("success", admin)
    return made[asked.name]


def _asks_for_admin_access(claim: ResourceClaim) -> bool:
    return any(one.exactly is not None and one.exactly.adminAccess for one in claim.spec.devices.requests)


def _base_of(pod: str, claim: str) -> str:
    """Both names, each cut by as much as both are too long."""
    whole = f"{pod}-{claim}-"
    if len(whole) <= _BASE:
        return whole
    return f"{pod[: len(pod) * _BASE // len(whole)]}-{claim[: len(claim) * _BASE // len(whole)]}"


async def _reserve(pod: core_v1.Pod, claim: ResourceClaim | None, ctx: Context) -> None:
    if claim is None or claim.status.allocation is None:
        return
    users = claim.status.reservedFor
    if len(users) >= _MOST_USERS or any(user.uid == pod.metadata.uid for user in users):
        return
    user = ResourceClaimConsumerReference(resource="pods", name=pod.metadata.name, uid=pod.metadata.uid)
    status = replace(claim.status, reservedFor=(*claim.status.reservedFor, user))
    await ctx.api(ResourceClaim).patch(claim, replace(claim, status=status), subresource="status", lock=True)


# --- claims


async def _look_at(claim: ResourceClaim, ctx: Context) -> None:
    kept = [user for user in claim.status.reservedFor if await _uses(user, claim, ctx)]
    ending = claim.metadata.deletionTimestamp is not None
    fewer = len(kept) < len(claim.status.reservedFor)
    protected = FINALIZER in claim.metadata.finalizers
    api = ctx.api(ResourceClaim)
    if fewer or (protected and ending and not kept):
        # The last user takes the devices with it: the next one may run elsewhere.
        allocation = None if protected and not kept else claim.status.allocation
        status = replace(claim.status, reservedFor=tuple(kept), allocation=allocation)
        claim = await api.patch(claim, replace(claim, status=status), subresource="status", lock=True)
        if protected and claim.status.allocation is None:
            claim = await api.patch(claim, without_finalizer(claim, FINALIZER), lock=True)
    owner = owning_pod(claim) if not kept and not ending else None
    pod = ctx.cache(core_v1.Pod).get(Key(claim.metadata.namespace, owner.name)) if owner else None
    if owner is None or pod is None:
        return  # the garbage collector knows whether the Pod is gone
    if pod.metadata.uid != owner.uid or _is_done(pod):
        try:
            await api.delete(key_of(claim), uid=claim.metadata.uid)
        except NotFound:
            return


async def _uses(user: ResourceClaimConsumerReference, claim: ResourceClaim, ctx: Context) -> bool:
    """Whether the reservation holds. What is no Pod is left to whoever reserved it."""
    if not is_pod(user):
        return True
    key = Key(claim.metadata.namespace, user.name)
    pod = ctx.cache(core_v1.Pod).get(key)
    if pod is None:
        try:
            pod = await ctx.api(core_v1.Pod).get(key)
        except NotFound:
            return False
    return pod.metadata.uid == user.uid and not _is_done(pod)


CONTROLLER = Controller(
    name="resourceclaim-controller",
    component="resource_claim",
    queue="resource_claim",
    account="resource-claim-controller",
    watches=(
        Watch(
            kind=core_v1.Pod,
            keys=_of_pod,
            changed=_pod_matters,
            indexes={_USERS: _by_claim, _TEMPLATE: _by_template},
        ),
        Watch(kind=ResourceClaim, keys=_of_claim, indexes={_OWNER: _by_owner}),
        Watch(kind=ResourceClaimTemplate, keys=_of_template),
    ),
    reconcile=reconcile,
    rules=(
        allow("get list watch", "pods"),
        allow("update", "pods/finalizers"),
        allow("patch update", "pods/status"),
        allow("get list watch create delete patch update", "resourceclaims", _GROUP),
        allow("patch update", "resourceclaims/binding resourceclaims/status", _GROUP),
        allow("get list watch", "resourceclaimtemplates", _GROUP),
        EVENTS,
    ),
)
