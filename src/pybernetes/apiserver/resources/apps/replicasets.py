"""ReplicaSet: so many Pods of a template; Deployments make one for each revision."""

from pybernetes.api.objects import Object
from pybernetes.apiserver.resource import Column, Resource, ScalePaths
from pybernetes.apiserver.resources._columns import AGE, CONTAINERS, IMAGES, selector_text, spec, status
from pybernetes.apiserver.validation.fields import FieldErrors, immutable
from pybernetes.apiserver.validation.workloads import (
    default_replicas,
    validate_counts,
    validate_replica_status,
    validate_replica_template,
    validate_selector,
)


def _default(obj: Object) -> None:
    default_replicas(obj)


def _prepare(obj: Object, old: Object | None) -> None:
    obj["status"] = (old.get("status") if old is not None else None) or {"replicas": 0}


def _validate(obj: Object) -> FieldErrors:
    yield from validate_counts(spec(obj))
    yield from validate_selector(spec(obj))
    yield from validate_replica_template(spec(obj), "ReplicaSet")


def _validate_update(obj: Object, old: Object) -> FieldErrors:
    yield from immutable("spec.selector", spec(obj).get("selector"), spec(old).get("selector"))


RESOURCE = Resource(
    group="apps",
    plural="replicasets",
    default=_default,
    prepare=_prepare,
    validate=_validate,
    validate_update=_validate_update,
    validate_status=validate_replica_status,
    storage_prefix="replicasets",
    scale=ScalePaths(),
    columns=(
        Column("Desired", lambda obj: spec(obj).get("replicas", 0), "integer", description="Wanted replicas."),
        Column("Current", lambda obj: status(obj).get("replicas", 0), "integer", description="Existing replicas."),
        Column("Ready", lambda obj: status(obj).get("readyReplicas", 0), "integer", description="Ready replicas."),
        AGE,
        CONTAINERS,
        IMAGES,
        Column("Selector", lambda obj: selector_text(spec(obj).get("selector")), description="Its pods.", priority=1),
    ),
    selectable_fields={"status.replicas": lambda obj: str(status(obj).get("replicas", 0))},
)
