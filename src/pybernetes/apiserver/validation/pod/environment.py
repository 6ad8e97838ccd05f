"""env and envFrom of a container, and the references that volumes share (downward API, keys)."""

import re
from collections.abc import Mapping
from typing import Any

from pybernetes.api import names
from pybernetes.api.errors import invalid_value, not_supported, required
from pybernetes.apiserver.validation.fields import FieldErrors, check, each, not_found
from pybernetes.apiserver.validation.pod.files import local_path
from pybernetes.apiserver.validation.spelling import fine, spelled

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
_LABELS = frozenset((*ENV_FIELDS, *VOLUME_FIELDS, "spec.restartPolicy", "spec.schedulerName", "status.phase"))
"""What the conversion of field labels knows, whether a place supports it or not."""
_SUBSCRIPT = re.compile(r"(.*)\['([^']*)'\]\Z")
_RESOURCES = (
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
)
_HUGE_PAGES = ("limits.hugepages-", "requests.hugepages-")
_BYTES = frozenset({"1", *(f"1{suffix}{binary}" for suffix in "MGTPE" for binary in ("", "i")), "1k", "1Ki"})
_BYTES_TEXT = "1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei"
_DIVISORS = (
    ("cpu", "cpu", frozenset({"1m", "1"}), "1m and 1"),
    ("memory", "memory", _BYTES, _BYTES_TEXT),
    ("ephemeral-storage", "local ephemeral storage", _BYTES, _BYTES_TEXT),
    ("hugepages-", "hugepages", _BYTES, _BYTES_TEXT),
)
_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")
_NO_SOURCE = "must specify one of: " + ", ".join(f"`{name}`" for name in _SOURCES[:-1]) + f" or `{_SOURCES[-1]}`"
_MORE_THAN_ONE = "may not have more than one field specified at a time"


def validate_env(container: Mapping[str, Any], path: str, volumes: Mapping[str, Any]) -> FieldErrors:
    """env; `volumes` are those that a fileKeyRef may name."""
    for index, variable in enumerate(container["env"]):
        name = variable.get("name") or ""
        if not name:
            yield required(f"{path}.env[{index}].name")
        elif not fine(names.relaxed_env_name, name):
            yield from check(f"{path}.env[{index}].name", name, names.relaxed_env_name(name))
        if variable.get("valueFrom") is not None:
            yield from _value_from(variable, f"{path}.env[{index}].valueFrom", volumes)


def validate_env_from(container: Mapping[str, Any], path: str) -> FieldErrors:
    """envFrom; upstream names the list where a source has none or two references."""
    for at, source in each(container, "envFrom", path):
        prefix = source.get("prefix")
        if prefix:
            yield from check(f"{at}.prefix", prefix, names.relaxed_env_name(prefix))
        given = [name for name in ("configMapRef", "secretRef") if source.get(name) is not None]
        for kind in given:
            name = source[kind].get("name") or ""
            if not name:
                yield required(f"{at}.{kind}.name")
            else:
                yield from check(f"{at}.{kind}.name", name, names.dns1123_subdomain(name))
        if not given:
            yield invalid_value(f"{path}.envFrom", "", "must specify one of: `configMapRef` or `secretRef`")
        elif len(given) > 1:
            yield invalid_value(f"{path}.envFrom", "", _MORE_THAN_ONE)


def _value_from(variable: Mapping[str, Any], path: str, volumes: Mapping[str, Any]) -> FieldErrors:
    source = variable["valueFrom"]
    given = [name for name in _SOURCES if source.get(name) is not None]
    for name in given:
        at, ref = f"{path}.{name}", source[name]
        if name == "fieldRef":
            yield from field_ref(ref, at, ENV_FIELDS)
        elif name == "resourceFieldRef":
            yield from resource_ref(ref, at, volume=False)
        elif name == "fileKeyRef":
            yield from _file_ref(ref, at, volumes)
        else:
            yield from _key_ref(ref, at)
    if not given:
        yield invalid_value(path, "", _NO_SOURCE)
    elif variable.get("value"):
        yield invalid_value(path, "", "may not be specified when `value` is not empty")
    elif len(given) > 1:
        yield invalid_value(path, "", _MORE_THAN_ONE)


def _key_ref(ref: Mapping[str, Any], path: str) -> FieldErrors:
    name, key = ref.get("name") or "", ref.get("key") or ""
    yield from spelled(f"{path}.name", name, names.dns1123_subdomain)
    if not key:
        yield required(f"{path}.key")
    else:
        yield from spelled(f"{path}.key", key, names.config_key)


def _file_ref(ref: Mapping[str, Any], path: str, volumes: Mapping[str, Any]) -> FieldErrors:
    volume, file, key = (ref.get(field) or "" for field in ("volumeName", "path", "key"))
    if not key:
        yield required(f"{path}.key")
    else:
        yield from check(f"{path}.key", key, names.env_name(key))
    if not volume:
        yield required(f"{path}.volumeName")
    elif volume not in volumes:
        yield not_found(f"{path}.volumeName", volume)
    if not file:
        yield required(f"{path}.path")
    else:
        yield from local_path(file, f"{path}.path")


def field_ref(ref: Mapping[str, Any], path: str, supported: tuple[str, ...]) -> FieldErrors:
    """ObjectFieldSelector."""
    version, field = ref.get("apiVersion") or "", ref.get("fieldPath") or ""
    if not version:
        yield required(f"{path}.apiVersion")
        return
    if field in supported and version == "v1":
        return
    if not field:
        yield required(f"{path}.fieldPath")
        return
    at = f"{path}.fieldPath"
    if version != "v1":
        yield invalid_value(at, field, f"error converting fieldPath: unsupported pod version: {version}")
        return
    subscript = _SUBSCRIPT.match(field)
    if subscript is not None:
        yield from _subscripted(subscript[1], subscript[2], field, path)
    elif field not in _LABELS:
        yield invalid_value(at, field, f"error converting fieldPath: field label not supported: {field}")
    else:
        yield not_supported(at, field, supported)


def _subscripted(field: str, key: str, whole: str, path: str) -> FieldErrors:
    if field not in ("metadata.annotations", "metadata.labels"):
        why = f"error converting fieldPath: field label does not support subscript: {whole}"
        yield invalid_value(f"{path}.fieldPath", whole, why)
        return
    if field == "metadata.annotations":
        key = key.lower()
    yield from check(path, key, names.qualified_name(key))


def resource_ref(ref: Mapping[str, Any], path: str, *, volume: bool) -> FieldErrors:
    """ResourceFieldSelector; in volumes it must say which container."""
    resource = ref.get("resource") or ""
    if volume and not ref.get("containerName"):
        yield required(f"{path}.containerName")
    elif not resource:
        yield required(f"{path}.resource")
    elif resource not in _RESOURCES and not resource.startswith(_HUGE_PAGES):
        yield not_supported(f"{path}.resource", resource, _RESOURCES)
    divisor = ref.get("divisor") or "0"
    if divisor != "0":
        yield from _divisor(resource, divisor, path)


def _divisor(resource: str, divisor: str, path: str) -> FieldErrors:
    kind = resource.removeprefix("limits.").removeprefix("requests.")
    for name, shown, allowed, text in _DIVISORS:
        if (kind == name or (name == "hugepages-" and kind.startswith(name))) and divisor not in allowed:
            why = f"only divisor's values {text} are supported with the {shown} resource"
            yield invalid_value(f"{path}.divisor", resource, why)
