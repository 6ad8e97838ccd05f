"""CSIStorageCapacity: how much room a class has left in some part of the cluster."""

from collections.abc import Iterator

from pybernetes.api import names
from pybernetes.api.errors import invalid_value
from pybernetes.api.objects import Object
from pybernetes.api.quantity import parse
from pybernetes.apiserver.resource import Column, Resource
from pybernetes.apiserver.resources._columns import NAME
from pybernetes.apiserver.validation.fields import NON_NEGATIVE, FieldErrors, check, immutable
from pybernetes.apiserver.validation.node_labels import deprecated_labels
from pybernetes.apiserver.validation.storage import GROUP, node_topology


def _validate(obj: Object) -> FieldErrors:
    yield from node_topology(obj.get("nodeTopology"))
    name = obj.get("storageClassName") or ""
    yield from check("storageClassName", name, names.dns1123_subdomain(name))
    amount = obj.get("capacity")
    if amount is not None and parse(amount).nanos < 0:
        yield invalid_value("capacity", amount, NON_NEGATIVE)


def _validate_update(obj: Object, old: Object) -> FieldErrors:
    if obj.get("nodeTopology") != old.get("nodeTopology"):
        yield invalid_value("nodeTopology", obj.get("nodeTopology"), "field is immutable")
    yield from immutable("storageClassName", obj.get("storageClassName"), old.get("storageClassName"))


def _warn(obj: Object, old: Object | None) -> Iterator[str]:
    yield from deprecated_labels(obj.get("nodeTopology"), "nodeTopology")


RESOURCE = Resource(
    group=GROUP,
    plural="csistoragecapacities",
    validate=_validate,
    validate_update=_validate_update,
    warn=_warn,
    generation=False,
    unconditional_update=False,
    columns=(
        NAME,
        Column("StorageClassName", lambda obj: obj.get("storageClassName", ""), description="The class."),
        Column("Capacity", lambda obj: obj.get("capacity") or "<unset>", description="What is left."),
    ),
)
