"""StatefulSet: replicas with names that stay, each with claims of its own."""

from collections.abc import Iterable, Mapping
from typing import Any

from pybernetes.api import names
from pybernetes.api.errors import field_forbidden, invalid_value, not_supported, required
from pybernetes.api.objects import Object
from pybernetes.apiserver.resource import Column, Resource, ScalePaths
from pybernetes.apiserver.resources._columns import AGE, CONTAINERS, IMAGES, spec, status
from pybernetes.apiserver.validation.claims import claim_warnings, default_claim_spec, validate_claim_spec
from pybernetes.apiserver.validation.fields import FieldErrors, check, each, non_negative, set_missing
from pybernetes.apiserver.validation.pod.spec import validate_template
from pybernetes.apiserver.validation.workloads import (
    amount_of,
    at_most_all,
    default_replicas,
    int_or_percent,
    runs_for_ever,
    selects,
    template_labels,
    validate_collisions,
    validate_match,
    validate_parts,
    validate_selector,
    validate_status_counts,
    warn_own_template,
)

_COUNTS = (
    *("replicas", "readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"),
    *("observedGeneration", "collisionCount"),
)
_MUTABLE = (
    *("replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit"),
    *("persistentVolumeClaimRetentionPolicy", "minReadySeconds"),
)
_RETENTION = ("Retain", "Delete")


def _default(obj: Object) -> None:
    own = default_replicas(obj)
    if not own.get("podManagementPolicy"):
        own["podManagementPolicy"] = "OrderedReady"
    strategy = own["updateStrategy"] = own.get("updateStrategy") or {}
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        rolling = strategy["rollingUpdate"] = strategy.get("rollingUpdate") or {}
        set_missing(rolling, partition=0, maxUnavailable=1)
    policy = own["persistentVolumeClaimRetentionPolicy"] = own.get("persistentVolumeClaimRetentionPolicy") or {}
    for field in ("whenDeleted", "whenScaled"):
        if not policy.get(field):
            policy[field] = "Retain"
    set_missing(own, revisionHistoryLimit=10)
    for claim in own.get("volumeClaimTemplates") or ():
        _default_claim(claim)


def _default_claim(claim: Object) -> None:
    claim |= {"kind": "PersistentVolumeClaim", "apiVersion": "v1"}
    claim["spec"] = claim.get("spec") or {}
    default_claim_spec(claim["spec"])
    claim["status"] = claim.get("status") or {}
    if not claim["status"].get("phase"):
        claim["status"]["phase"] = "Pending"


def _validate(obj: Object) -> FieldErrors:
    own = spec(obj)
    policy = own.get("podManagementPolicy")
    if not policy:
        yield required("spec.podManagementPolicy")
    elif policy not in ("OrderedReady", "Parallel"):
        yield invalid_value("spec.podManagementPolicy", policy, "must be 'OrderedReady' or 'Parallel'")
    yield from _strategy(own.get("updateStrategy") or {})
    retention = own.get("persistentVolumeClaimRetentionPolicy")
    if retention is not None:
        for field in ("whenDeleted", "whenScaled"):
            if retention.get(field) not in _RETENTION:
                path = f"spec.persistentVolumeClaimRetentionPolicy.{field}"
                yield not_supported(path, retention.get(field) or "", _RETENTION)
    yield from non_negative("spec.replicas", own.get("replicas"))
    yield from non_negative("spec.minReadySeconds", own.get("minReadySeconds"))
    yield from non_negative("spec.ordinals.start", (own.get("ordinals") or {}).get("start"))
    yield from validate_selector(own, "statefulset")
    if selects(own.get("selector"), template_labels(own.get("template"))) is None:
        yield invalid_value("spec.selector", own.get("selector"), "")
    else:
        yield from validate_match(own)
        yield from validate_template(_with_claims(own), "spec.template")
    yield from runs_for_ever(own.get("template") or {}, "StatefulSet")
    for at, claim in each(own, "volumeClaimTemplates", "spec"):
        yield from validate_claim_spec(claim.get("spec") or {}, f"{at}.spec")
    service = own.get("serviceName")
    if service:
        yield from check("spec.serviceName", service, names.dns1123_label(service))


def _strategy(strategy: Mapping[str, Any]) -> FieldErrors:
    kind, rolling, path = strategy.get("type"), strategy.get("rollingUpdate"), "spec.updateStrategy"
    shown = None if rolling is None else _internal(rolling)
    if not kind:
        yield required(path)
    elif kind == "OnDelete":
        if rolling is not None:
            yield invalid_value(f"{path}.rollingUpdate", shown, "only allowed for updateStrategy 'RollingUpdate'")
    elif kind != "RollingUpdate":
        whole = {"Type": kind, "RollingUpdate": shown}
        yield invalid_value(path, whole, "must be 'RollingUpdate' or 'OnDelete'")
    elif rolling is not None:
        yield from non_negative(f"{path}.rollingUpdate.partition", rolling.get("partition"))
        yield from _max_unavailable(f"{path}.rollingUpdate.maxUnavailable", rolling.get("maxUnavailable"))


def _internal(rolling: Mapping[str, Any]) -> Object:
    """As upstream shows it: its own structure, whose fields have no JSON names."""
    return {"Partition": rolling.get("partition", 0), "MaxUnavailable": rolling.get("maxUnavailable")}


def _max_unavailable(path: str, value: int | str | None) -> FieldErrors:
    if value is None:
        return
    yield from int_or_percent(path, value)
    if not amount_of(value):
        yield invalid_value(path, value, "cannot be 0")
    yield from at_most_all(path, value)


def _with_claims(own: Mapping[str, Any]) -> Object:
    """The template with the volumes that its claims will become: mounts may name them."""
    template: Object = dict(own.get("template") or {})
    claims = [(claim.get("metadata") or {}).get("name") for claim in own.get("volumeClaimTemplates") or ()]
    volumes = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in dict.fromkeys(claims) if name]
    pod = dict(template.get("spec") or {})
    kept = [volume for volume in pod.get("volumes") or () if volume.get("name") not in claims]
    template["spec"] = {**pod, "volumes": kept + volumes}
    return template


def _validate_update(obj: Object, old: Object) -> FieldErrors:
    if _fixed(spec(obj)) != _fixed(spec(old)):
        listed = ", ".join(f"'{field}'" for field in _MUTABLE[:-1])
        yield field_forbidden(
            "spec",
            f"updates to statefulset spec for fields other than {listed} and '{_MUTABLE[-1]}' are forbidden",
        )


def _fixed(own: Mapping[str, Any]) -> Object:
    return {field: value for field, value in own.items() if field not in _MUTABLE}


def _validate_status(obj: Object, old: Object) -> FieldErrors:
    yield from validate_status_counts(status(obj), _COUNTS)
    yield from validate_parts(status(obj), ("readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"))
    yield from validate_parts(status(obj), ("availableReplicas",), "readyReplicas", "status.readyReplicas")
    yield from validate_collisions(obj, old)


def _warn(obj: Object, old: Object | None) -> Iterable[str]:
    if old is not None and spec(obj) == spec(old):
        return
    yield from warn_own_template(obj, old)
    for at, claim in each(spec(obj), "volumeClaimTemplates", "spec"):
        yield from claim_warnings(claim.get("spec") or {}, f"{at}.spec")
    if (spec(obj).get("revisionHistoryLimit") or 0) < 0:
        yield (
            "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended"
        )


def _ready(obj: Object) -> str:
    return f"{status(obj).get('readyReplicas', 0)}/{spec(obj).get('replicas', 0)}"


RESOURCE = Resource(
    group="apps",
    plural="statefulsets",
    default=_default,
    validate=_validate,
    validate_update=_validate_update,
    validate_status=_validate_status,
    validate_name=names.dns1123_label,
    warn=_warn,
    scale=ScalePaths(),
    columns=(Column("Ready", _ready, description="Ready replicas of those wanted."), AGE, CONTAINERS, IMAGES),
)
