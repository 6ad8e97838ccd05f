"""What kinds of storage.k8s.io share: names of drivers, parameters of classes, topologies, errors of volumes."""

from collections.abc import Iterable, Mapping
from typing import Any

from pybernetes.api import names
from pybernetes.api.errors import duplicate, invalid_value, required, too_long
from pybernetes.api.objects import Object
from pybernetes.apiserver.resource import Column
from pybernetes.apiserver.validation.fields import FieldErrors, check, each
from pybernetes.apiserver.validation.meta import label_selector

GROUP = "storage.k8s.io"
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
DEFAULT_ANNOTATIONS = (DEFAULT_CLASS, "storageclass.beta.kubernetes.io/is-default-class")
"""One of them is `true` on the StorageClass for claims that name none."""
DEFAULT_ATTRIBUTES_ANNOTATIONS = ("volumeattributesclass.alpha.kubernetes.io/is-default-class",)

_MOST_PARAMETERS, _PARAMETERS_SIZE = 512, 256 * 1024


def is_default(obj: Object, annotations: Iterable[str] = DEFAULT_ANNOTATIONS) -> bool:
    """Whether a class is the default one."""
    given = (obj.get("metadata") or {}).get("annotations") or {}
    return any(given.get(name) == "true" for name in annotations)


def name_column(annotations: Iterable[str]) -> Column:
    """The name of a class, which says whether it is the default one."""

    def cell(obj: Object) -> str:
        return f"{obj['metadata'].get('name', '')}{' (default)' if is_default(obj, annotations) else ''}"

    return Column("Name", cell, format="name", description="Name of the class.")


def provisioner(field: str, value: str) -> FieldErrors:
    """Who makes the volumes of a class."""
    if not value:
        yield required(field)
    else:
        yield from check(field, value.lower(), names.qualified_name(value.lower()))


def parameters(values: Mapping[str, str], *, needed: bool = False) -> FieldErrors:
    """What a class tells its driver."""
    if len(values) > _MOST_PARAMETERS:
        yield too_long("parameters", _MOST_PARAMETERS)
        return
    if "" in values:
        yield invalid_value("parameters", "", "field can not be empty.")
    if sum(len(key.encode()) + len(value.encode()) for key, value in values.items()) > _PARAMETERS_SIZE:
        yield too_long("parameters", _PARAMETERS_SIZE)
    if needed and not values:
        yield required("parameters", "must contain at least one key/value pair")


def topologies(obj: Object) -> FieldErrors:
    """allowedTopologies of a StorageClass: terms that differ, each of keys that differ."""
    terms = obj.get("allowedTopologies") or ()
    # As many empty terms as there are terms are taken for known, so an empty one is always a duplicate.
    seen: list[dict[str, frozenset[str]]] = [{} for _ in terms]
    for at, term in each(obj, "allowedTopologies", ""):
        at = at.lstrip(".")
        found: dict[str, frozenset[str]] = {}
        for place, rule in each(term, "matchLabelExpressions", at):
            key, values = rule.get("key") or "", rule.get("values") or ()
            if not values:
                yield required(f"{place}.values")
            for index, value in enumerate(values):
                if value in values[:index]:
                    yield duplicate(f"{place}.values[{index}]", value)
            yield from check(f"{place}.key", key, names.qualified_name(key))
            if key in found:
                yield duplicate(f"{place}.key", key)
            found[key] = frozenset(values)
        for known in seen:
            if known == found:
                yield duplicate(f"{at}.matchLabelExpressions", "")
        seen.append(found)


def node_topology(selector: Mapping[str, Any] | None) -> FieldErrors:
    """nodeTopology of a CSIStorageCapacity."""
    if selector is not None:
        yield from label_selector(selector, "nodeTopology")
