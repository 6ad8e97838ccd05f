"""RuntimeClass: another way to run containers, what it costs, and on which Nodes it is there."""

from collections.abc import Iterator, Mapping
from typing import Any

from pybernetes.api import names
from pybernetes.api.objects import Object
from pybernetes.apiserver.resource import Column, Resource
from pybernetes.apiserver.resources._columns import AGE
from pybernetes.apiserver.validation.fields import FieldErrors, check, immutable
from pybernetes.apiserver.validation.node_labels import deprecated_label
from pybernetes.apiserver.validation.pod.resources import validate_resources
from pybernetes.apiserver.validation.pod.scheduling import validate_scheduling

_SCHEDULING = ("nodeSelector", "tolerations")


def _validate(obj: Object) -> FieldErrors:
    handler = obj.get("handler") or ""
    yield from check("handler", handler, names.dns1123_label(handler))
    overhead: Mapping[str, Any] = obj.get("overhead") or {}
    yield from validate_resources({"limits": overhead.get("podFixed")}, "overhead")
    scheduling: Mapping[str, Any] = obj.get("scheduling") or {}
    yield from validate_scheduling({field: scheduling.get(field) for field in _SCHEDULING}, "scheduling")


def _validate_update(obj: Object, old: Object) -> FieldErrors:
    yield from immutable("handler", obj.get("handler"), old.get("handler"))


def _warn(obj: Object, old: Object | None) -> Iterator[str]:
    for key in (obj.get("scheduling") or {}).get("nodeSelector") or {}:
        yield from deprecated_label("scheduling.nodeSelector", key)


RESOURCE = Resource(
    group="node.k8s.io",
    plural="runtimeclasses",
    validate=_validate,
    validate_update=_validate_update,
    warn=_warn,
    generation=False,
    unconditional_update=False,
    update_creates=True,
    columns=(Column("Handler", lambda obj: obj.get("handler", ""), description="What runs the containers."), AGE),
)
