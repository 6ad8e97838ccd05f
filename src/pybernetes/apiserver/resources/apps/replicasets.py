"""ReplicaSet: so many Pods of a template; Deployments make one for each revision."""

from pybernetes.api.objects import Object
from pybernetes.apiserver.resource import Column, Resource, ScalePaths
from pybernetes.apiserver.resources._columns import AGE, CONTAINERS, IMAGES, selector_text, spec, status
from pybernetes.apiserver.validation.fields import FieldErrors
from pybernetes.apiserver.validation.workloads import (
    default_replicas,
    validate_counts,
    validate_fixed_selector,
    validate_replica_status,
    validate_selected_template,
    validate_selector,
    warn_workload,
)


def _default(obj: Object) -> None:
    default_replicas(obj)


def _validate(obj: Object) -> FieldErrors:
    yield from validate_counts(spec(obj))
    yield from validate_selector(spec(obj))
    yield from validate_selected_template(spec(obj))


RESOURCE = Resource(
    group="apps",
    plural="replicasets",
    default=_default,
    validate=_validate,
    validate_update=validate_fixed_selector,
    validate_status=validate_replica_status,
    warn=warn_workload,
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
