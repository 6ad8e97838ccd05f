"""The Pod spec as a whole: the way in for Pods and templates. Its parts have files beside this.

Faults come in upstream's order. Every part is skipped where its field is absent: this runs for each Pod that is made.
"""

from collections.abc import Mapping
from typing import Any

from pybernetes.api import names
from pybernetes.api.errors import FieldError, field_forbidden, invalid_value, not_supported, required, too_long
from pybernetes.api.objects import Object
from pybernetes.apiserver.validation.addresses import ip_address
from pybernetes.apiserver.validation.fields import FieldErrors, check, each
from pybernetes.apiserver.validation.meta import template_meta
from pybernetes.apiserver.validation.pod.annotations import validate_agreement, validate_annotations
from pybernetes.apiserver.validation.pod.claims import validate_resource_claims
from pybernetes.apiserver.validation.pod.containers import all_containers, claim_names, validate_containers
from pybernetes.apiserver.validation.pod.resources import validate_pod_resources, validate_resources
from pybernetes.apiserver.validation.pod.scheduling import validate_scheduling
from pybernetes.apiserver.validation.pod.security import validate_pod_context
from pybernetes.apiserver.validation.pod.systems import validate_host_process, validate_system
from pybernetes.apiserver.validation.pod.volumes import validate_volumes
from pybernetes.apiserver.validation.spelling import fine

_DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_PREEMPTION = ("PreemptLowerPriority", "Never")
_RESTARTS = ("Always", "OnFailure", "Never")
_MOST_SERVERS, _MOST_SEARCHES, _SEARCH_LENGTH = 3, 32, 2048
_HOSTNAME_LENGTH = 64


def validate_pod(obj: Object) -> FieldErrors:
    """A Pod, new or changed."""
    meta, spec = obj.get("metadata") or {}, obj.get("spec") or {}
    yield from validate_annotations(meta, spec, "metadata.annotations")
    yield from validate_spec(spec, "spec", meta.get("name") or "", of_pod=True)
    if not spec.get("serviceAccountName"):
        for at, volume in each(spec, "volumes", "spec"):
            for source, part in each(volume.get("projected") or {}, "sources", f"{at}.projected"):
                if part.get("serviceAccountToken") is not None:
                    why = "must not be specified when serviceAccountName is not set"
                    yield field_forbidden(f"{source}.serviceAccountToken", why)


def validate_new_pod(obj: Object) -> FieldErrors:
    """What is asked of a Pod only when it is made."""
    meta, spec = obj.get("metadata") or {}, obj.get("spec") or {}
    if spec.get("ephemeralContainers"):
        yield field_forbidden("spec.ephemeralContainers", "cannot be set on create")
    if spec.get("nodeName") and spec.get("schedulingGates"):
        yield field_forbidden("spec.nodeName", "cannot be set until all schedulingGates have been cleared")
    yield from validate_agreement(meta, spec, "spec")


def validate_template(template: Mapping[str, Any], path: str) -> FieldErrors:
    """A PodTemplateSpec."""
    meta, spec = template.get("metadata") or {}, template.get("spec") or {}
    yield from template_meta(template, path)
    yield from validate_annotations(meta, spec, f"{path}.annotations")
    yield from validate_spec(spec, f"{path}.spec")
    yield from validate_agreement(meta, spec, f"{path}.spec")
    if spec.get("ephemeralContainers"):
        yield field_forbidden(f"{path}.spec.ephemeralContainers", "ephemeral containers not allowed in pod template")


def validate_spec(spec: Mapping[str, Any], path: str, pod: str = "", *, of_pod: bool = False) -> FieldErrors:
    """Every fault of a Pod spec that has its defaults. `pod` is the name of a real Pod."""
    if spec.get("terminationGracePeriodSeconds") is None:
        yield required(f"{path}.terminationGracePeriodSeconds")
    faults: list[FieldError] = []
    volumes = validate_volumes(spec, path, pod, faults)
    yield from faults
    if spec.get("resourceClaims"):
        yield from validate_resource_claims(spec, path)
    yield from validate_containers(spec, path, volumes, of_pod=of_pod)
    if spec.get("resources"):
        yield from validate_pod_resources(spec, path, claim_names(spec))
    for field, known in (("restartPolicy", _RESTARTS), ("dnsPolicy", _DNS_POLICIES)):
        value = spec.get(field)
        if value not in known:
            yield not_supported(f"{path}.{field}", value, known) if value else required(f"{path}.{field}")
    yield from validate_pod_context(spec, path)
    yield from _dns(spec, path)
    yield from validate_scheduling(spec, path)
    yield from _systems(spec, path)
    yield from _names(spec, path)
    yield from _numbers(spec, path)


def _systems(spec: Mapping[str, Any], path: str) -> FieldErrors:
    """Host namespaces and operating systems."""
    if spec.get("hostUsers") is False:
        for field, shown in (("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")):
            if spec.get(field):
                yield field_forbidden(f"{path}.{shown}", "when `pod.Spec.HostUsers` is false")
    if spec.get("os") is None and not _mentions_windows(spec):
        return
    contexts = [(f"{at}.securityContext", c.get("securityContext") or {}) for at, c in all_containers(spec, path)]
    yield from validate_host_process(spec, path, contexts)
    if spec.get("os") is not None:
        yield from validate_system(spec, path, contexts)


def _mentions_windows(spec: Mapping[str, Any]) -> bool:
    """Whether any context has options of Windows; few have."""
    kinds = ("containers", "initContainers", "ephemeralContainers")
    parts = [spec, *(container for kind in kinds for container in spec.get(kind) or ())]
    return any("windowsOptions" in (part.get("securityContext") or ()) for part in parts)


_NAMES = {
    "serviceAccountName": names.dns1123_subdomain,
    "hostname": names.dns1123_label,
    "subdomain": names.dns1123_label,
    "priorityClassName": names.dns1123_subdomain,
}


def _names(spec: Mapping[str, Any], path: str) -> FieldErrors:
    for field, rule in _NAMES.items():
        value = spec.get(field)
        if value and not fine(rule, value):
            yield from check(f"{path}.{field}", value, rule(value))
    if spec.get("runtimeClassName") is not None:
        name = spec["runtimeClassName"]
        yield from check(f"{path}.runtimeClassName", name, names.dns1123_subdomain(name))
    for at, alias in each(spec, "hostAliases", path):
        yield from check(f"{at}.ip", alias.get("ip") or "", ip_address(alias.get("ip") or ""))
        for index, name in enumerate(alias.get("hostnames") or ()):
            yield from check(f"{at}.hostnames[{index}]", name, names.dns1123_subdomain(name))
    if spec.get("hostnameOverride") is not None:
        yield from _override(spec, path)
    group = spec.get("schedulingGroup")
    if group is not None:
        name = group.get("podGroupName")
        if name is None:
            yield required(f"{path}.schedulingGroup.podGroupName")
        else:
            yield from check(f"{path}.schedulingGroup.podGroupName", name, names.dns1123_subdomain(name))


def _override(spec: Mapping[str, Any], path: str) -> FieldErrors:
    at, name = f"{path}.hostnameOverride", spec["hostnameOverride"]
    if len(name.encode()) > _HOSTNAME_LENGTH:
        yield too_long(at, _HOSTNAME_LENGTH)
    yield from check(at, name, names.dns1123_subdomain(name))
    for field in ("hostNetwork", "setHostnameAsFQDN"):
        if spec.get(field):
            yield field_forbidden(at, f"may not be specified when {field} is true")


def _numbers(spec: Mapping[str, Any], path: str) -> FieldErrors:
    seconds = spec.get("activeDeadlineSeconds")
    if seconds is not None and not 1 <= seconds <= 2**31 - 1:
        yield invalid_value(f"{path}.activeDeadlineSeconds", seconds, "must be between 1 and 2147483647, inclusive")
    policy = spec.get("preemptionPolicy")
    if policy is not None and policy not in _PREEMPTION:
        at = f"{path}.preemptionPolicy"
        yield not_supported(at, policy, _PREEMPTION) if policy else required(at)
    if spec.get("overhead"):
        yield from validate_resources({"limits": spec["overhead"]}, f"{path}.overhead")


def _dns(spec: Mapping[str, Any], path: str) -> FieldErrors:
    config, at = spec.get("dnsConfig"), f"{path}.dnsConfig"
    if spec.get("dnsPolicy") == "None":
        if config is None:
            yield required(at, "must provide `dnsConfig` when `dnsPolicy` is None")
            return
        if not config.get("nameservers"):
            why = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            yield required(f"{at}.nameservers", why)
            return
    if config:
        yield from _resolver(config, at)


def _resolver(config: Mapping[str, Any], at: str) -> FieldErrors:
    servers, searches = config.get("nameservers") or (), config.get("searches") or ()
    if len(servers) > _MOST_SERVERS:
        yield invalid_value(f"{at}.nameservers", servers, f"must not have more than {_MOST_SERVERS} nameservers")
    for index, server in enumerate(servers):
        yield from check(f"{at}.nameservers[{index}]", server, ip_address(server))
    if len(searches) > _MOST_SEARCHES:
        yield invalid_value(f"{at}.searches", searches, f"must not have more than {_MOST_SEARCHES} search paths")
    if len(" ".join(searches).encode()) > _SEARCH_LENGTH:
        why = f"must not have more than {_SEARCH_LENGTH} characters (including spaces) in the search list"
        yield invalid_value(f"{at}.searches", searches, why)
    for index, search in enumerate(searches):
        if search != ".":
            bare = search.removesuffix(".")
            # Underscores are fine here and nowhere else: what is wrong without them is wrong.
            if faults := names.dns1123_subdomain(bare.replace("_", "a")):
                yield from check(f"{at}.searches[{index}]", bare, faults)
    for position, option in each(config, "options", at):
        if not option.get("name"):
            yield required(position, "must not be empty")
