"""Columns and cells that several resources show."""

from collections.abc import Mapping
from typing import Any

from pybernetes.api.objects import Object
from pybernetes.apiserver.resource import Column, since

NONE = "<none>"


NAME = Column("Name", lambda obj: obj["metadata"].get("name", ""), format="name", description="Name of the object.")
AGE = Column("Age", lambda obj: since(obj["metadata"].get("creationTimestamp")), description="Time of creation.")


def wide(column: Column) -> Column:
    """The same with -o wide only."""
    return Column(column.name, column.cell, column.type, column.format, column.description, 1)


def spec(obj: Object) -> Mapping[str, Any]:
    """spec, or nothing."""
    return obj.get("spec") or {}


def status(obj: Object) -> Mapping[str, Any]:
    """status, or nothing."""
    return obj.get("status") or {}


def _template_containers(obj: Object) -> list[Mapping[str, Any]]:
    template = spec(obj).get("template") or {}
    return list((template.get("spec") or {}).get("containers") or ())


def containers(obj: Object) -> object:
    """Names of the template's containers."""
    return ",".join(container["name"] for container in _template_containers(obj))


def images(obj: Object) -> object:
    """Images of the template's containers."""
    return ",".join(container.get("image", "") for container in _template_containers(obj))


def selector_text(selector: Mapping[str, Any] | None) -> str:
    """A LabelSelector as one line, `<none>` for one that selects nothing, empty text for one that selects all."""
    if selector is None:
        return NONE
    terms = [f"{key}={value}" for key, value in sorted((selector.get("matchLabels") or {}).items())]
    for term in selector.get("matchExpressions") or ():
        key, operator = term.get("key", ""), term.get("operator", "")
        if operator == "Exists":
            terms.append(key)
        elif operator == "DoesNotExist":
            terms.append(f"!{key}")
        else:
            terms.append(f"{key} {operator.lower()} ({','.join(sorted(term.get('values') or ()))})")
    return ",".join(terms) or NONE


def labels_text(labels: Mapping[str, str] | None) -> str:
    """A plain map of labels as one line."""
    return ",".join(f"{key}={value}" for key, value in sorted((labels or {}).items())) or NONE


CONTAINERS = Column("Containers", containers, description="Names of each container in the template.", priority=1)
IMAGES = Column("Images", images, description="Images referenced by each container in the template.", priority=1)
