"""What depends on the operating system: spec.os, options of Windows, fields that one of the systems lacks."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pybernetes.api import names
from pybernetes.api.errors import field_forbidden, invalid_value, not_supported, required
from pybernetes.apiserver.validation.fields import FieldErrors, check

_SYSTEMS = ("linux", "windows")
_SPEC_LIMIT_KIB, _DOMAIN_LIMIT, _USER_LIMIT = 64, 256, 104
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NET_BIOS = re.compile(r"[^\\/:*?\"<>|.][^\\/:*?\"<>|]{0,14}")
_LABEL = "[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_DNS = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_USER_CHARACTERS = re.compile(r"[\"/\\:;|=,+*?<>@\[\]]")
_BLANK_USER = re.compile(r"[. ]+")
_NO_LINUX = "windows options cannot be set for a linux pod"
_NO_WINDOWS = "cannot be set for a windows pod"
_LINUX_POD = ("hostUsers", "hostPID", "hostIPC", "shareProcessNamespace")
_LINUX_CONTEXT = (
    *("appArmorProfile", "seLinuxOptions", "seccompProfile", "fsGroup", "fsGroupChangePolicy", "sysctls"),
    *("runAsUser", "runAsGroup", "supplementalGroups", "supplementalGroupsPolicy", "seLinuxChangePolicy"),
)
_LINUX_CONTAINER = (
    *("appArmorProfile", "seLinuxOptions", "seccompProfile", "capabilities", "readOnlyRootFilesystem", "privileged"),
    *("allowPrivilegeEscalation", "procMount", "runAsUser", "runAsGroup"),
)
_MIXED = "If pod contains any hostProcess containers then all containers must be HostProcess containers"

Contexts = list[tuple[str, Mapping[str, Any]]]


def validate_system(spec: Mapping[str, Any], path: str, contexts: Contexts) -> FieldErrors:
    """spec.os, and the fields that its system lacks. `contexts` are those of all containers, with their paths."""
    system = spec["os"].get("name") or ""
    context = spec.get("securityContext") or {}
    at = f"{path}.securityContext"
    if not system:
        yield required(f"{path}.os.name", "cannot be empty")
    elif system not in _SYSTEMS:
        yield not_supported(f"{path}.os", system, _SYSTEMS)
    elif system == "linux":
        for where, one in ((at, context), *contexts):
            if one.get("windowsOptions") is not None:
                yield field_forbidden(f"{where}.windowsOptions", _NO_LINUX)
    else:
        yield from _on_windows(spec, path, contexts)


def _on_windows(spec: Mapping[str, Any], path: str, contexts: Contexts) -> FieldErrors:
    for field in _LINUX_POD:
        if spec.get(field) or (spec.get(field) is False and field in ("hostUsers", "shareProcessNamespace")):
            yield field_forbidden(f"{path}.{field}", _NO_WINDOWS)
    of_pod = [(f"{path}.securityContext", spec.get("securityContext") or {}, _LINUX_CONTEXT)]
    for where, one, fields in of_pod + [(where, one, _LINUX_CONTAINER) for where, one in contexts]:
        for field in fields:
            if one.get(field) is not None:
                yield field_forbidden(f"{where}.{field}", _NO_WINDOWS)


def validate_host_process(spec: Mapping[str, Any], path: str, contexts: Contexts) -> FieldErrors:
    """HostProcess containers of Windows: all or none of a Pod's, and on the host's network."""
    of_pod = ((spec.get("securityContext") or {}).get("windowsOptions") or {}).get("hostProcess")
    count = 0
    for where, context in contexts:
        own = (context.get("windowsOptions") or {}).get("hostProcess")
        if of_pod is not None and own is not None and own != of_pod:
            why = f"pod hostProcess value must be identical if both are specified, was {str(of_pod).lower()}"
            yield invalid_value(f"{where}.windowsOptions.hostProcess", own, why)
        count += bool(of_pod if own is None else own)
    if not count:
        return
    if count != len(contexts):
        yield invalid_value(path, "", _MIXED)
    if not spec.get("hostNetwork"):
        why = "hostNetwork must be true if pod contains any hostProcess containers"
        yield invalid_value(f"{path}.hostNetwork", False, why)


def validate_windows_options(options: Mapping[str, Any] | None, path: str) -> FieldErrors:
    """WindowsSecurityContextOptions."""
    if not options:
        return
    name, credential, user = (options.get(f) for f in ("gmsaCredentialSpecName", "gmsaCredentialSpec", "runAsUserName"))
    if name is not None:
        yield from check(f"{path}.gmsaCredentialSpecName", name, names.dns1123_subdomain(name))
    if credential is not None:
        at = f"{path}.gmsaCredentialSpec"
        if not credential:
            yield invalid_value(at, credential, "gmsaCredentialSpec cannot be an empty string")
        elif len(credential.encode()) > _SPEC_LIMIT_KIB * 1024:
            yield invalid_value(at, credential, f"gmsaCredentialSpec size must be under {_SPEC_LIMIT_KIB} KiB")
    if user is not None:
        yield from check(f"{path}.runAsUserName", user, _user_name(user))


def _user_name(name: str) -> Iterator[str]:
    """`DOMAIN\\user`, the domain optional."""
    domain, backslash, user = name.rpartition("\\")
    if not name:
        yield "runAsUserName cannot be an empty string"
    elif _CONTROL.search(name):
        yield "runAsUserName cannot contain control characters"
    elif "\\" in domain:
        yield "runAsUserName cannot contain more than one backslash"
    else:
        if len(domain.encode()) >= _DOMAIN_LIMIT:
            yield f"runAsUserName's Domain length must be under {_DOMAIN_LIMIT} characters"
        if backslash and not (_NET_BIOS.fullmatch(domain) or _DNS.fullmatch(domain)):
            yield "runAsUserName's Domain doesn't match the NetBios nor the DNS format"
        if not user:
            yield "runAsUserName's User cannot be empty"
        elif len(user.encode()) > _USER_LIMIT:
            yield f"runAsUserName's User length must not be longer than {_USER_LIMIT} characters"
        if _BLANK_USER.fullmatch(user):
            yield "runAsUserName's User cannot contain only periods or spaces"
        if _USER_CHARACTERS.search(user):
            yield "runAsUserName's User cannot contain the following characters: \"/\\:;|=,+*?<>@[]"
