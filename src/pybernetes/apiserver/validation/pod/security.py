"""Security contexts of Pods and containers."""

import re
from collections.abc import Mapping
from typing import Any

from pybernetes.api.errors import duplicate, field_forbidden, invalid_value, required
from pybernetes.apiserver.validation.fields import FieldErrors, each, one_of, optional_one_of

_SYSCTL = r"[a-z0-9]([-_a-z0-9]*[a-z0-9])?([\./][a-z0-9]([-_a-z0-9]*[a-z0-9])?)*"
_SYSCTL_LENGTH = 253
_ID = "must be between 0 and 2147483647, inclusive"


def _identity(context: Mapping[str, Any], path: str, *fields: str) -> FieldErrors:
    for field in fields:
        value = context.get(field)
        if value is not None and not 0 <= value <= 2**31 - 1:
            yield invalid_value(f"{path}.{field}", value, _ID)


def validate_pod_context(spec: Mapping[str, Any], path: str) -> FieldErrors:
    """spec.securityContext and the host's namespaces."""
    context = spec.get("securityContext") or {}
    at = f"{path}.securityContext"
    yield from _identity(context, at, "fsGroup", "runAsUser", "runAsGroup")
    for index, group in enumerate(context.get("supplementalGroups") or ()):
        if not 0 <= group <= 2**31 - 1:
            yield invalid_value(f"{at}.supplementalGroups[{index}]", group, _ID)
    if spec.get("hostPID") and spec.get("shareProcessNamespace"):
        yield invalid_value(
            f"{path}.shareProcessNamespace", True, "ShareProcessNamespace and HostPID cannot both be enabled"
        )
    yield from _sysctls(context, at)
    yield from optional_one_of(
        f"{at}.fsGroupChangePolicy", context.get("fsGroupChangePolicy"), ("Always", "OnRootMismatch")
    )
    yield from _profile(context.get("seccompProfile"), f"{at}.seccompProfile")


def _sysctls(context: Mapping[str, Any], path: str) -> FieldErrors:
    seen: set[str] = set()
    for at, sysctl in each(context, "sysctls", path):
        name = sysctl.get("name") or ""
        if not name:
            yield required(f"{at}.name")
        elif len(name) > _SYSCTL_LENGTH or not re.fullmatch(_SYSCTL, name):
            text = f"must have at most {_SYSCTL_LENGTH} characters and match regex ^{_SYSCTL}$"
            yield invalid_value(f"{at}.name", name, text)
        elif name.replace("/", ".") in seen:
            yield duplicate(f"{at}.name", name)
        seen.add(name.replace("/", "."))


def validate_container_context(container: Mapping[str, Any], path: str) -> FieldErrors:
    """securityContext of a container."""
    context = container.get("securityContext")
    if not context:
        return
    at = f"{path}.securityContext"
    yield from _identity(context, at, "runAsUser", "runAsGroup")
    yield from optional_one_of(f"{at}.procMount", context.get("procMount"), ("Default", "Unmasked"))
    if context.get("allowPrivilegeEscalation") is False:
        if context.get("privileged"):
            yield invalid_value(at, context, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true")
        if "CAP_SYS_ADMIN" in ((context.get("capabilities") or {}).get("add") or ()):
            yield invalid_value(
                at, context, "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
            )
    yield from _profile(context.get("seccompProfile"), f"{at}.seccompProfile")


def _profile(profile: Mapping[str, Any] | None, path: str) -> FieldErrors:
    if profile is None:
        return
    kind, local = profile.get("type"), profile.get("localhostProfile")
    yield from one_of(f"{path}.type", kind, ("Localhost", "RuntimeDefault", "Unconfined"))
    if kind == "Localhost" and not local:
        yield required(f"{path}.localhostProfile", "must be set when seccomp type is Localhost")
    elif kind != "Localhost" and local is not None:
        yield field_forbidden(f"{path}.localhostProfile", "can only be set when seccomp type is Localhost")
