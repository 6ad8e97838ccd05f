"""IngressClass: which controller serves the Ingresses that name it."""

from collections.abc import Mapping
from typing import Any

from pybernetes.api import names
from pybernetes.api.errors import field_forbidden, not_supported, required, too_long
from pybernetes.api.objects import Object
from pybernetes.apiserver.resource import Column, Resource
from pybernetes.apiserver.resources._columns import AGE, NONE, spec
from pybernetes.apiserver.resources.networking._backends import reference
from pybernetes.apiserver.validation.fields import FieldErrors, check, immutable
from pybernetes.apiserver.validation.paths import domain_prefixed_path

_CONTROLLER_LENGTH = 250
_SCOPES = ("Cluster", "Namespace")


def _validate(obj: Object) -> FieldErrors:
    controller, parameters = spec(obj).get("controller") or "", spec(obj).get("parameters")
    if not controller:
        yield required("spec.controller")
    else:
        if len(controller.encode()) > _CONTROLLER_LENGTH:
            yield too_long("spec.controller", _CONTROLLER_LENGTH)
        yield from domain_prefixed_path("spec.controller", controller)
    if parameters is not None:
        yield from _parameters(parameters, "spec.parameters")


def _parameters(parameters: Mapping[str, Any], at: str) -> FieldErrors:
    yield from reference(parameters, at)
    scope, namespace = parameters.get("scope"), parameters.get("namespace")
    if scope is None:
        yield required(f"{at}.scope")
    elif scope not in _SCOPES:
        yield not_supported(f"{at}.scope", scope, _SCOPES)
    elif scope == "Namespace":
        if namespace is None:
            yield required(f"{at}.namespace", "`parameters.scope` is set to 'Namespace'")
        else:
            yield from check(f"{at}.namespace", namespace, names.dns1123_label(namespace))
    elif namespace is not None:
        yield field_forbidden(f"{at}.namespace", "`parameters.scope` is set to 'Cluster'")


def _default(obj: Object) -> None:
    parameters = spec(obj).get("parameters")
    if parameters is not None and parameters.get("scope") is None:
        parameters["scope"] = "Cluster"


def _validate_update(obj: Object, old: Object) -> FieldErrors:
    yield from immutable("spec.controller", spec(obj).get("controller"), spec(old).get("controller"))


def _parameters_text(obj: Object) -> str:
    parameters = spec(obj).get("parameters")
    if parameters is None:
        return NONE
    group = f".{parameters['apiGroup']}" if parameters.get("apiGroup") is not None else ""
    return f"{parameters.get('kind', '')}{group}/{parameters.get('name', '')}"


RESOURCE = Resource(
    group="networking.k8s.io",
    plural="ingressclasses",
    default=_default,
    validate=_validate,
    validate_update=_validate_update,
    columns=(
        Column("Controller", lambda obj: spec(obj).get("controller", ""), description="Who serves them."),
        Column("Parameters", _parameters_text, description="What it is told."),
        AGE,
    ),
)
