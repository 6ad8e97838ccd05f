"""PodTemplate: a template by itself, kept for whoever wants to make Pods of it."""

from collections.abc import Iterable, Mapping
from typing import Any

from pybernetes.api.objects import Object
from pybernetes.apiserver.resource import Column, Resource
from pybernetes.apiserver.resources._columns import AGE, labels_text
from pybernetes.apiserver.validation.fields import FieldErrors
from pybernetes.apiserver.validation.pod.spec import validate_template
from pybernetes.apiserver.validation.pod.warnings import warn_template
from pybernetes.rules.poddefaults import default_template


def _default(obj: Object) -> None:
    template = obj["template"] = obj.get("template") or {}
    default_template(template)


def _validate(obj: Object) -> FieldErrors:
    yield from validate_template(obj.get("template") or {}, "template")


def _warn(obj: Object, old: Object | None) -> Iterable[str]:
    return warn_template(obj.get("template") or {}, "template")


def _containers(obj: Object) -> list[Mapping[str, Any]]:
    return list(((obj.get("template") or {}).get("spec") or {}).get("containers") or ())


RESOURCE = Resource(
    group="",
    plural="podtemplates",
    default=_default,
    validate=_validate,
    warn=_warn,
    columns=(
        Column(
            "Containers",
            lambda obj: ",".join(container.get("name") or "" for container in _containers(obj)),
            description="Names of each container in the template.",
        ),
        Column(
            "Images",
            lambda obj: ",".join(container.get("image") or "" for container in _containers(obj)),
            description="Images referenced by each container in the template.",
        ),
        Column(
            "Pod Labels",
            lambda obj: labels_text(((obj.get("template") or {}).get("metadata") or {}).get("labels")),
            description="The labels for the pod template.",
        ),
        AGE,
    ),
)
