"""Security contexts of Pods and containers. What Windows adds is in systems.py."""

import re
from collections.abc import Mapping
from typing import Any

from pybernetes.api.errors import duplicate, invalid_value, not_supported, required, too_long
from pybernetes.apiserver.validation.fields import FieldErrors, each
from pybernetes.apiserver.validation.internal import internal
from pybernetes.apiserver.validation.pod.files import descending
from pybernetes.apiserver.validation.pod.systems import validate_windows_options

_CONTEXT = "io.k8s.api.core.v1.SecurityContext"
_SEGMENT = "[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_SYSCTL = rf"({_SEGMENT}[\./])*{_SEGMENT}"
# As upstream's, but with one way to read every name: theirs would need ages for a long wrong one.
_SYSCTL_REGEX = re.compile(rf"{_SEGMENT}([\./]{_SEGMENT})*")
_SYSCTL_LENGTH = 253
_NAMESPACED = {
    "ipc": (
        "kernel.shm_rmid_forced",
        ("kernel.shmall", "kernel.shmmax", "kernel.shmmni", "kernel.sem", "kernel.msg", "fs.mqueue."),
    ),
    "net": ("", ("net.",)),
}
_ID = "must be between 0 and 2147483647, inclusive"
_PROFILES = ("Localhost", "RuntimeDefault", "Unconfined")
_PROFILE_LENGTH = 4095
_ENUMS = (
    ("supplementalGroupsPolicy", ("Merge", "Strict")),
    ("seLinuxChangePolicy", ("MountOption", "Recursive")),
)


def _identity(context: Mapping[str, Any], path: str, *fields: str) -> FieldErrors:
    for field in fields:
        value = context.get(field)
        if value is not None and not 0 <= value <= 2**31 - 1:
            yield invalid_value(f"{path}.{field}", value, _ID)


def validate_pod_context(spec: Mapping[str, Any], path: str) -> FieldErrors:
    """spec.securityContext, and what of the host's namespaces goes with it."""
    context = spec.get("securityContext") or {}
    at = f"{path}.securityContext"
    if context:
        yield from _identity(context, at, "fsGroup", "runAsUser", "runAsGroup")
        for index, group in enumerate(context.get("supplementalGroups") or ()):
            if not 0 <= group <= 2**31 - 1:
                yield invalid_value(f"{at}.supplementalGroups[{index}]", group, _ID)
    if spec.get("hostPID") and spec.get("shareProcessNamespace"):
        why = "ShareProcessNamespace and HostPID cannot both be enabled"
        yield invalid_value(f"{at}.shareProcessNamespace", True, why)
    if not context:
        return
    if context.get("sysctls"):
        yield from _sysctls(context, spec, at)
    if context.get("fsGroupChangePolicy") not in (None, "Always", "OnRootMismatch"):
        known = ("Always", "OnRootMismatch")
        yield not_supported(f"{at}.fsGroupChangePolicy", context["fsGroupChangePolicy"], known)
    yield from _seccomp(context.get("seccompProfile"), f"{at}.seccompProfile")
    yield from validate_windows_options(context.get("windowsOptions"), f"{at}.windowsOptions")
    yield from app_armor(context.get("appArmorProfile"), f"{at}.appArmorProfile")
    for field, known in _ENUMS:
        value = context.get(field)
        if value is not None and value not in known:
            yield not_supported(f"{at}.{field}", value, known)


def _sysctls(context: Mapping[str, Any], spec: Mapping[str, Any], path: str) -> FieldErrors:
    seen: set[str] = set()
    for at, sysctl in each(context, "sysctls", path):
        name = sysctl.get("name") or ""
        if not name:
            yield required(f"{at}.name")
        elif len(name) > _SYSCTL_LENGTH or not _SYSCTL_REGEX.fullmatch(name):
            text = f"must have at most {_SYSCTL_LENGTH} characters and match regex ^{_SYSCTL}$"
            yield invalid_value(f"{at}.name", name, text)
        elif name in seen:
            yield duplicate(f"{at}.name", name)
        seen.add(name)
        for field, kind in (("hostNetwork", "net"), ("hostIPC", "ipc")):
            if spec.get(field) and _of_namespace(name, kind):
                yield invalid_value(f"{at}.name", name, f"may not be specified when '{field}' is true")


def _of_namespace(name: str, kind: str) -> bool:
    """Whether a sysctl belongs to a namespace that a Pod may share with its host."""
    first = re.search(r"[./]", name)
    if first is not None and first[0] == "/":  # separators change roles: net/ipv4/conf.eth0
        name = name.translate(str.maketrans("./", "/."))
    exact, prefixes = _NAMESPACED[kind]
    return name == exact or name.startswith(prefixes)


def validate_container_context(context: Mapping[str, Any], path: str, host_users: bool = True) -> FieldErrors:
    """securityContext of a container."""
    yield from _identity(context, path, "runAsUser", "runAsGroup")
    mount = context.get("procMount")
    if mount is not None:
        if mount not in ("Default", "Unmasked"):
            yield not_supported(f"{path}.procMount", mount, ("Default", "Unmasked"))
        if mount == "Unmasked" and host_users:
            yield invalid_value(f"{path}.procMount", mount, "`hostUsers` must be false to use `Unmasked`")
    yield from _seccomp(context.get("seccompProfile"), f"{path}.seccompProfile")
    if context.get("allowPrivilegeEscalation") is False:
        if context.get("privileged"):
            why = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
            yield invalid_value(path, internal(context, _CONTEXT), why)
        for capability in (context.get("capabilities") or {}).get("add") or ():
            if capability == "CAP_SYS_ADMIN":
                why = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
                yield invalid_value(path, context, why)
    yield from validate_windows_options(context.get("windowsOptions"), f"{path}.windowsOptions")
    yield from app_armor(context.get("appArmorProfile"), f"{path}.appArmorProfile")


def _seccomp(profile: Mapping[str, Any] | None, path: str) -> FieldErrors:
    if profile is None:
        return
    kind, local = profile.get("type") or "", profile.get("localhostProfile")
    if not kind:
        yield required(f"{path}.type", "type is required when seccompProfile is set")
    elif kind not in _PROFILES:
        yield not_supported(f"{path}.type", kind, _PROFILES)
    if kind == "Localhost":
        if local is None:
            yield required(f"{path}.localhostProfile", "must be set when seccomp type is Localhost")
        else:
            yield from descending(local, f"{path}.localhostProfile")
    elif local is not None:
        why = "can only be set when seccomp type is Localhost"
        yield invalid_value(f"{path}.localhostProfile", profile, why)


def app_armor(profile: Mapping[str, Any] | None, path: str) -> FieldErrors:
    """AppArmorProfile; annotations that stand for one are judged by it too."""
    if profile is None:
        return
    kind, local = profile.get("type") or "", profile.get("localhostProfile")
    at = f"{path}.localhostProfile"
    if not kind:
        yield required(f"{path}.type", "type is required when appArmorProfile is set")
    elif kind not in _PROFILES:
        yield not_supported(f"{path}.type", kind, _PROFILES)
    elif kind != "Localhost":
        if local is not None:
            yield invalid_value(at, local, "can only be set when AppArmor type is Localhost")
    elif local is None:
        yield required(at, "must be set when AppArmor type is Localhost")
    else:
        if local != local.strip():
            yield invalid_value(at, local, "must not be padded with whitespace")
        elif not local:
            yield required(at, "must be set when AppArmor type is Localhost")
        if len(local.encode()) > _PROFILE_LENGTH:
            yield too_long(at, _PROFILE_LENGTH)
