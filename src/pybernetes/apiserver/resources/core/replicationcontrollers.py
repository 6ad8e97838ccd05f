"""ReplicationController: so many Pods of a template, chosen by plain labels. ReplicaSet is its successor."""

from pybernetes.api.errors import required
from pybernetes.api.objects import Object
from pybernetes.apiserver.resource import Column, Resource, ScalePaths
from pybernetes.apiserver.resources._columns import AGE, CONTAINERS, IMAGES, labels_text, spec, status
from pybernetes.apiserver.validation.fields import FieldErrors, non_negative
from pybernetes.apiserver.validation.workloads import (
    default_replicas,
    validate_replica_status,
    validate_replica_template,
)


def _default(obj: Object) -> None:
    own = default_replicas(obj)
    template = (own.get("template") or {}).get("metadata") or {}
    if template.get("labels"):
        if not own.get("selector"):
            own["selector"] = dict(template["labels"])
        meta = obj.setdefault("metadata", {})
        if not meta.get("labels"):
            meta["labels"] = dict(template["labels"])


def _prepare(obj: Object, old: Object | None) -> None:
    obj["status"] = (old.get("status") if old is not None else None) or {"replicas": 0}


def _validate(obj: Object) -> FieldErrors:
    yield from non_negative("spec.minReadySeconds", spec(obj).get("minReadySeconds"))
    if not spec(obj).get("selector"):
        yield required("spec.selector")
    yield from non_negative("spec.replicas", spec(obj).get("replicas"))
    yield from validate_replica_template(spec(obj), "ReplicationController")


RESOURCE = Resource(
    group="",
    plural="replicationcontrollers",
    default=_default,
    prepare=_prepare,
    validate=_validate,
    validate_status=validate_replica_status,
    storage_prefix="controllers",
    scale=ScalePaths(),
    columns=(
        Column("Desired", lambda obj: spec(obj).get("replicas", 0), "integer", description="Wanted replicas."),
        Column("Current", lambda obj: status(obj).get("replicas", 0), "integer", description="Existing replicas."),
        Column("Ready", lambda obj: status(obj).get("readyReplicas", 0), "integer", description="Ready replicas."),
        AGE,
        CONTAINERS,
        IMAGES,
        Column("Selector", lambda obj: labels_text(spec(obj).get("selector")), description="Its pods.", priority=1),
    ),
    selectable_fields={"status.replicas": lambda obj: str(status(obj).get("replicas", 0))},
)
