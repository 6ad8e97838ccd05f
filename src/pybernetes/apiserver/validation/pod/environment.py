"""env and envFrom of a container, and the references that volumes share (downward API, keys)."""

import re
from collections.abc import Mapping
from typing import Any

from pybernetes.api import names
from pybernetes.api.errors import invalid_value, not_supported, required
from pybernetes.apiserver.validation.fields import FieldErrors, check, each

ENV_FIELDS = (
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
)
VOLUME_FIELDS = ("metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid")
_SUBSCRIPT = re.compile(r"(metadata\.(?:annotations|labels))\['(.*)'\]\Z")
_RESOURCES = (
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
)
_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")
_MORE_THAN_ONE = "may not have more than one field specified at a time"


def validate_environment(container: Mapping[str, Any], path: str) -> FieldErrors:
    """env and envFrom."""
    for index, variable in enumerate(container.get("env") or ()):
        name = variable.get("name") or ""
        at = f"{path}.env[{index}]"
        if not name:
            yield required(f"{at}.name")
        elif faults := names.relaxed_env_name(name):
            yield from check(f"{at}.name", name, faults)
        if variable.get("valueFrom") is not None:
            yield from _value_from(variable, f"{at}.valueFrom")
    for at, source in each(container, "envFrom", path):
        prefix = source.get("prefix")
        if prefix:
            yield from check(f"{at}.prefix", prefix, names.relaxed_env_name(prefix))
        given = [name for name in ("configMapRef", "secretRef") if source.get(name) is not None]
        for name in given:
            if not source[name].get("name"):
                yield required(f"{at}.{name}.name")
        if not given:
            yield invalid_value(at, "", "must specify one of: `configMapRef` or `secretRef`")
        elif len(given) > 1:
            yield invalid_value(at, "", _MORE_THAN_ONE)


def _value_from(variable: Mapping[str, Any], path: str) -> FieldErrors:
    source = variable["valueFrom"]
    given = [name for name in _SOURCES if source.get(name) is not None]
    for name in given:
        at, ref = f"{path}.{name}", source[name]
        if name == "fieldRef":
            yield from field_ref(ref, at, ENV_FIELDS)
        elif name == "resourceFieldRef":
            yield from resource_ref(ref, at, volume=False)
        elif name != "fileKeyRef":
            yield from _key_ref(ref, at)
    if variable.get("value"):
        if given:
            yield invalid_value(path, "", "may not be specified when `value` is not empty")
    elif not given:
        listed = ", ".join(f"`{name}`" for name in _SOURCES[:-1])
        yield invalid_value(path, "", f"must specify one of: {listed} or `{_SOURCES[-1]}`")
    elif len(given) > 1:
        yield invalid_value(path, "", _MORE_THAN_ONE)


def _key_ref(ref: Mapping[str, Any], path: str) -> FieldErrors:
    if not ref.get("name"):
        yield required(f"{path}.name")
    key = ref.get("key") or ""
    if not key:
        yield required(f"{path}.key")
    else:
        yield from check(f"{path}.key", key, names.config_key(key))


def field_ref(ref: Mapping[str, Any], path: str, supported: tuple[str, ...]) -> FieldErrors:
    """ObjectFieldSelector."""
    if not ref.get("apiVersion"):
        yield required(f"{path}.apiVersion")
        return
    field = ref.get("fieldPath") or ""
    if not field:
        yield required(f"{path}.fieldPath")
        return
    subscript = _SUBSCRIPT.match(field)
    if subscript is not None:
        yield from check(f"{path}.fieldPath", field, names.qualified_name(subscript[2].lower()))
    elif field not in ENV_FIELDS and field not in VOLUME_FIELDS:
        yield invalid_value(
            f"{path}.fieldPath", field, f"error converting fieldPath: field label not supported: {field}"
        )
    elif field not in supported:
        yield not_supported(f"{path}.fieldPath", field, supported)


def resource_ref(ref: Mapping[str, Any], path: str, *, volume: bool) -> FieldErrors:
    """ResourceFieldSelector; in volumes it must say which container."""
    if volume and not ref.get("containerName"):
        yield required(f"{path}.containerName")
        return
    resource = ref.get("resource") or ""
    if not resource:
        yield required(f"{path}.resource")
    elif resource not in _RESOURCES and not resource.startswith(("limits.hugepages-", "requests.hugepages-")):
        yield not_supported(f"{path}.resource", resource, _RESOURCES)
