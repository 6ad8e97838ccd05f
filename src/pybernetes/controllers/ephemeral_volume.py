"""Ephemeral volumes: makes the claim of each generic ephemeral volume of a Pod, whose own it is (KEP-1698)."""

from collections.abc import Iterable

from pybernetes.api.errors import AlreadyExists, ApiError
from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1, meta_v1
from pybernetes.client.rest import key_of
from pybernetes.controllers._claim import reference_to
from pybernetes.controllers.runtime import EVENTS, Context, Controller, Done, Outcome, Watch, allow
from pybernetes.rules import volumebinding as rule
from pybernetes.rules.readiness import is_finished
from pybernetes.wire.metrics import Counter

_CLAIMS = "ephemeral claims"
"""Index of Pods: namespace/name of the claims that are made for them."""


def _of_pod(pod: core_v1.Pod, ctx: Context) -> Iterable[Key]:
    return (key_of(pod),) if any(volume.ephemeral is not None for volume in pod.spec.volumes) else ()


def _claims(pod: core_v1.Pod) -> tuple[str, ...]:
    """Index function of _CLAIMS."""
    return tuple(f"{pod.metadata.namespace}/{name}" for name, own in rule.claims_of_pod(pod) if own)


def _of_claim(claim: core_v1.PersistentVolumeClaim, ctx: Context) -> Iterable[Key]:
    """A claim that somebody deleted is made again, also where it was another's that had the name."""
    return map(key_of, ctx.cache(core_v1.Pod).by(_CLAIMS, f"{claim.metadata.namespace}/{claim.metadata.name}"))


async def reconcile(key: Key, ctx: Context) -> Outcome:
    """One Pod."""
    pod = ctx.cache(core_v1.Pod).get(key)
    if pod is None or pod.metadata.deletionTimestamp is not None or is_finished(pod):
        return Done()
    for volume in pod.spec.volumes:
        if volume.ephemeral is None:
            continue
        try:
            why = await _ensure(pod, volume, ctx)
        except ApiError as error:
            why = f"create PVC {pod.metadata.name}-{volume.name}: {error.message}"
            ctx.events.event(pod, "Warning", "FailedBinding", f"ephemeral volume {volume.name}: {why}")
            raise
        if why:
            ctx.events.event(pod, "Warning", "FailedBinding", f"ephemeral volume {volume.name}: {why}")
    return Done()


async def _ensure(pod: core_v1.Pod, volume: core_v1.Volume, ctx: Context) -> str:
    """The claim is there; why it is another's, or nothing. Raises ApiError."""
    template = volume.ephemeral.volumeClaimTemplate if volume.ephemeral is not None else None
    assert template is not None
    key = Key(pod.metadata.namespace, f"{pod.metadata.name}-{volume.name}")
    claims = ctx.api(core_v1.PersistentVolumeClaim)
    claim = ctx.cache(core_v1.PersistentVolumeClaim).get(key)
    if claim is None:
        meta = meta_v1.ObjectMeta(
            namespace=key.namespace,
            name=key.name,
            labels=template.metadata.labels,
            annotations=template.metadata.annotations,
            ownerReferences=(reference_to(core_v1.Pod, pod.metadata),),
        )
        figures = ctx.metrics(Figures)
        figures.attempts.add()
        try:
            await claims.create(core_v1.PersistentVolumeClaim(metadata=meta, spec=template.spec))
        except AlreadyExists:
            figures.failures.add()
            claim = await claims.get(key)
        except ApiError:
            figures.failures.add()
            raise
        else:
            return ""
    return rule.not_of_pod(claim, pod)


class Figures:
    """Upstream's metrics."""

    def __init__(self) -> None:
        name, about = "ephemeral_volume_controller_create", "Number of PersistentVolumeClaims creation requests"
        self.attempts = Counter(f"{name}_total", about)
        self.failures = Counter(f"{name}_failures_total", f"{about} that failed")


CONTROLLER = Controller(
    name="ephemeral-volume-controller",
    component="ephemeral_volume",
    watches=(
        Watch(
            kind=core_v1.Pod,
            keys=_of_pod,
            changed=lambda old, new: old.metadata.uid != new.metadata.uid,
            indexes={_CLAIMS: _claims},
        ),
        Watch(
            kind=core_v1.PersistentVolumeClaim,
            keys=_of_claim,
            changed=lambda old, new: old.metadata.uid != new.metadata.uid,
        ),
    ),
    reconcile=reconcile,
    rules=(
        allow("get list watch", "pods"),
        allow("update", "pods/finalizers"),
        allow("get list watch create", "persistentvolumeclaims"),
        EVENTS,
    ),
)
