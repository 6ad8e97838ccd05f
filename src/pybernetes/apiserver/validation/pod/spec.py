"""The Pod spec as a whole: the way in for Pods and templates. Its parts have files beside this."""

from collections.abc import Mapping
from typing import Any

from pybernetes.api import names
from pybernetes.api.errors import field_forbidden, invalid_value, not_supported, required
from pybernetes.api.objects import Object
from pybernetes.apiserver.validation.addresses import ip_address
from pybernetes.apiserver.validation.fields import FieldErrors, check, each, one_of, too_many
from pybernetes.apiserver.validation.meta import template_meta
from pybernetes.apiserver.validation.pod.containers import validate_containers
from pybernetes.apiserver.validation.pod.resources import resource_list, validate_resources
from pybernetes.apiserver.validation.pod.scheduling import validate_scheduling
from pybernetes.apiserver.validation.pod.security import validate_pod_context
from pybernetes.apiserver.validation.pod.volumes import validate_volumes

RESTART_POLICIES = ("Always", "OnFailure", "Never")
_DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")


def validate_pod(obj: Object) -> FieldErrors:
    """A Pod, new or changed."""
    spec = obj.get("spec") or {}
    yield from validate_spec(spec, "spec")
    if spec.get("nodeName") and spec.get("schedulingGates"):
        yield field_forbidden("spec.nodeName", "cannot be set until all schedulingGates have been cleared")


def validate_template(template: Mapping[str, Any], path: str) -> FieldErrors:
    """A PodTemplateSpec."""
    yield from template_meta(template, f"{path}.metadata")
    spec = template.get("spec") or {}
    yield from validate_spec(spec, f"{path}.spec")
    if spec.get("ephemeralContainers"):
        yield field_forbidden(f"{path}.spec.ephemeralContainers", "ephemeral containers not allowed in pod template")


def validate_spec(spec: Mapping[str, Any], path: str) -> FieldErrors:
    """Every fault of a Pod spec that has its defaults."""
    yield from validate_volumes(spec, path)
    yield from validate_containers(spec, path)
    yield from one_of(f"{path}.restartPolicy", spec.get("restartPolicy"), RESTART_POLICIES)
    yield from one_of(f"{path}.dnsPolicy", spec.get("dnsPolicy"), _DNS_POLICIES)
    yield from validate_scheduling(spec, path)
    yield from validate_pod_context(spec, path)
    yield from _identity(spec, path)
    yield from _dns(spec, path)
    yield from resource_list(spec.get("overhead") or {}, f"{path}.overhead")
    yield from validate_resources(spec.get("resources") or {}, f"{path}.resources")
    seconds = spec.get("activeDeadlineSeconds")
    if seconds is not None and not 1 <= seconds <= 2**31 - 1:
        yield invalid_value(f"{path}.activeDeadlineSeconds", seconds, "must be between 1 and 2147483647, inclusive")


def _identity(spec: Mapping[str, Any], path: str) -> FieldErrors:
    for field, rule in _NAMES.items():
        if spec.get(field):
            yield from check(f"{path}.{field}", spec[field], rule(spec[field]))
    for at, reference in each(spec, "imagePullSecrets", path):
        if not reference.get("name"):
            yield required(f"{at}.name")
    os = spec.get("os")
    if os is not None:
        if not os.get("name"):
            yield required(f"{path}.os.name")
        elif os["name"] not in ("linux", "windows"):
            yield not_supported(f"{path}.os.name", os["name"], ("linux", "windows"))
    for at, alias in each(spec, "hostAliases", path):
        yield from check(f"{at}.ip", alias.get("ip") or "", ip_address(alias.get("ip") or ""))
        for index, name in enumerate(alias.get("hostnames") or ()):
            yield from check(f"{at}.hostnames[{index}]", name, names.dns1123_subdomain(name))


_NAMES = {
    "serviceAccountName": names.dns1123_subdomain,
    "hostname": names.dns1123_label,
    "subdomain": names.dns1123_label,
    "priorityClassName": names.dns1123_subdomain,
    "runtimeClassName": names.dns1123_subdomain,
}


def _dns(spec: Mapping[str, Any], path: str) -> FieldErrors:
    config = spec.get("dnsConfig")
    if spec.get("dnsPolicy") == "None":
        if config is None:
            yield required(f"{path}.dnsConfig", "must provide `dnsConfig` when `dnsPolicy` is None")
            return
        if not config.get("nameservers"):
            yield required(
                f"{path}.dnsConfig.nameservers", "must provide at least one DNS nameserver when `dnsPolicy` is None"
            )
    config = config or {}
    servers, searches = config.get("nameservers") or (), config.get("searches") or ()
    if len(servers) > 3:
        yield too_many(f"{path}.dnsConfig.nameservers", len(servers), 3)
    for index, server in enumerate(servers):
        yield from check(f"{path}.dnsConfig.nameservers[{index}]", server, ip_address(server))
    if len(searches) > 32:
        yield too_many(f"{path}.dnsConfig.searches", len(searches), 32)
    for index, search in enumerate(searches):
        if search != ".":
            bare = search.removesuffix(".")
            yield from check(f"{path}.dnsConfig.searches[{index}]", search, names.dns1123_subdomain(bare))
    for at, option in each(config, "options", f"{path}.dnsConfig"):
        if not option.get("name"):
            yield required(f"{at}.name")
