"""Annotations of Pods that mean something to the API server, and the older forms of fields that they are."""

from collections.abc import Mapping
from typing import Any

import orjson

from pybernetes.api.errors import field_forbidden, invalid_value
from pybernetes.apiserver.validation.fields import FieldErrors
from pybernetes.apiserver.validation.pod.containers import all_containers
from pybernetes.apiserver.validation.pod.files import descending
from pybernetes.apiserver.validation.pod.scheduling import tolerations

MIRROR = "kubernetes.io/config.mirror"
APP_ARMOR = "container.apparmor.security.beta.kubernetes.io/"
SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
SECCOMP = "container.seccomp.security.alpha.kubernetes.io/"
_TOLERATIONS = "scheduler.alpha.kubernetes.io/tolerations"
_COST = "controller.kubernetes.io/pod-deletion-cost"
_LOCALHOST = "localhost/"
_DEFAULTS = ("runtime/default", "docker/default")
_BY_ANNOTATION = {"unconfined": "Unconfined", "runtime/default": "RuntimeDefault"}


def app_armor_of(annotation: str) -> dict[str, Any] | None:
    """The AppArmorProfile that an annotation stands for."""
    if annotation in _BY_ANNOTATION:
        return {"type": _BY_ANNOTATION[annotation]}
    if annotation.startswith(_LOCALHOST) and len(annotation) > len(_LOCALHOST):
        return {"type": "Localhost", "localhostProfile": annotation.removeprefix(_LOCALHOST)}
    return None


def validate_annotations(meta: Mapping[str, Any], spec: Mapping[str, Any], path: str) -> FieldErrors:
    """The values of annotations that are known."""
    annotations = meta.get("annotations")
    if not annotations:
        return
    if MIRROR in annotations and not spec.get("nodeName"):
        why = "must set spec.nodeName if mirror pod annotation is set"
        yield invalid_value(f"{path}[{MIRROR}]", annotations[MIRROR], why)
    if annotations.get(_TOLERATIONS):
        yield from _tolerations(annotations[_TOLERATIONS], path)
    if _COST in annotations and not _is_cost(annotations[_COST]):
        yield invalid_value(f"{path}[{_COST}]", annotations[_COST], "must be a 32bit integer")
    known = {container.get("name") for _, container in all_containers(spec, "")}
    for key, value in annotations.items():
        if key == SECCOMP_POD or key.startswith(SECCOMP):
            yield from _seccomp(value, f"{path}.{key}")
        elif key.startswith(APP_ARMOR):
            name = key.removeprefix(APP_ARMOR)
            if name not in known:
                yield invalid_value(f"{path}[{key}]", name, "container not found")
            if value and value not in _BY_ANNOTATION and not value.startswith(_LOCALHOST):
                yield invalid_value(f"{path}[{key}]", value, f'invalid AppArmor profile name: "{value}"')


def _tolerations(text: str, path: str) -> FieldErrors:
    try:
        given = orjson.loads(text)
    except ValueError as error:
        yield invalid_value(path, _TOLERATIONS, str(error))
        return
    if not isinstance(given, list) or not all(isinstance(item, dict) for item in given):
        yield invalid_value(path, _TOLERATIONS, "json: cannot unmarshal into Go value of type []v1.Toleration")
        return
    strings = [{key: value for key, value in item.items() if isinstance(value, str)} for item in given]
    yield from tolerations(strings, f"{path}.{_TOLERATIONS}")


def _is_cost(text: str) -> bool:
    digits = text.removeprefix("-")
    plain = digits.isascii() and digits.isdigit() and (text[0] != "0" or text == "0")
    return plain and len(digits) < 20 and -(2**31) <= int(text) < 2**31


def _seccomp(value: str, path: str) -> FieldErrors:
    if value in _DEFAULTS or value == "unconfined":
        return
    if value.startswith(_LOCALHOST):
        yield from descending(value.removeprefix(_LOCALHOST), path)
    else:
        yield invalid_value(path, value, "must be a valid seccomp profile")


def validate_agreement(meta: Mapping[str, Any], spec: Mapping[str, Any], path: str) -> FieldErrors:
    """Where both an annotation and its field say something of a profile, they say the same."""
    annotations = meta.get("annotations")
    if not annotations or not any(key == SECCOMP_POD or key.startswith((SECCOMP, APP_ARMOR)) for key in annotations):
        return
    of_pod = spec.get("securityContext") or {}
    yield from _agree(annotations.get(SECCOMP_POD), of_pod.get("seccompProfile"), f"{path}.securityContext", "seccomp")
    containers = all_containers(spec, path)
    for at, container in containers:
        own = (container.get("securityContext") or {}).get("seccompProfile")
        yield from _agree(annotations.get(SECCOMP + container.get("name", "")), own, f"{at}.securityContext", "seccomp")
    if (spec.get("os") or {}).get("name") == "windows":
        return
    for at, container in containers:
        own = (container.get("securityContext") or {}).get("appArmorProfile")
        profile = of_pod.get("appArmorProfile") if own is None else own
        text = annotations.get(APP_ARMOR + container.get("name", ""))
        yield from _agree(text, profile, f"{at}.securityContext", "apparmor")


def _agree(text: str | None, profile: Mapping[str, Any] | None, path: str, what: str) -> FieldErrors:
    if text is None or profile is None:
        return
    at = f"{path}.{'seccompProfile' if what == 'seccomp' else 'appArmorProfile'}"
    defaults = _DEFAULTS if what == "seccomp" else _DEFAULTS[:1]
    match profile.get("type"):
        case "Unconfined":
            same = text == "unconfined"
        case "RuntimeDefault":
            same = text in defaults
        case "Localhost":
            same = text.startswith(_LOCALHOST)
            if same and text.removeprefix(_LOCALHOST) != profile.get("localhostProfile"):
                why = f"{what} profile in annotation and field must match"
                yield field_forbidden(f"{at}.localhostProfile", why)
        case _:
            same = True
    if not same:
        yield field_forbidden(f"{at}.type", f"{what} type in annotation and field must match")


def validate_annotation_updates(new: Mapping[str, Any], old: Mapping[str, Any]) -> FieldErrors:
    """Mirror Pods stay what they are, and old AppArmor annotations too. Takes both metadata."""
    now, before = new.get("annotations") or {}, old.get("annotations") or {}
    if now == before:
        return
    for change, keys in (("remove or update", before), ("add", now)):
        for key in keys:
            if now.get(key) == before.get(key) or (change == "add" and key in before):
                continue
            if key.startswith(APP_ARMOR):
                yield field_forbidden(f"metadata.annotations[{key}]", f"may not {change} AppArmor annotations")
            if key == MIRROR:
                yield field_forbidden(f"metadata.annotations[{key}]", f"may not {change} mirror pod annotation")
