"""Containers, init containers and ephemeral containers."""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Any

from pybernetes.api import names
from pybernetes.api.errors import duplicate, field_forbidden, invalid_value, required
from pybernetes.apiserver.validation.addresses import ip_address
from pybernetes.apiserver.validation.fields import FieldErrors, check, each, one_of, optional_one_of
from pybernetes.apiserver.validation.pod.environment import validate_environment
from pybernetes.apiserver.validation.pod.probes import validate_lifecycle, validate_probes
from pybernetes.apiserver.validation.pod.resources import validate_resources
from pybernetes.apiserver.validation.pod.security import validate_container_context
from pybernetes.apiserver.validation.pod.volumes import validate_mounts

_POLICIES = ("Always", "IfNotPresent", "Never")
_PROTOCOLS = ("SCTP", "TCP", "UDP")
_INIT_ONLY_SIDECARS = ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe")
_NOT_EPHEMERAL = ("ports", "lifecycle", "livenessProbe", "readinessProbe", "startupProbe", "resources", "resizePolicy")


@dataclass(slots=True)
class _Pod:
    """What containers are checked against."""

    volumes: Set[str]
    claims: frozenset[str]
    grace: int | None
    host_network: bool
    names: set[str] = field(default_factory=set)
    ports: set[str] = field(default_factory=set)


def validate_containers(spec: Mapping[str, Any], path: str) -> FieldErrors:
    """All containers of a Pod spec."""
    pod = _Pod(
        volumes={volume.get("name") or "" for volume in spec.get("volumes") or ()},
        claims=frozenset(claim.get("name") or "" for claim in spec.get("resourceClaims") or ()),
        grace=spec.get("terminationGracePeriodSeconds"),
        host_network=bool(spec.get("hostNetwork")),
    )
    if not spec.get("containers"):
        yield required(f"{path}.containers")
    for at, container in each(spec, "containers", path):
        yield from _container(container, at, pod)
        yield from validate_probes(container, at, pod.grace)
        yield from validate_lifecycle(container, at, pod.grace)
        yield from optional_one_of(f"{at}.restartPolicy", container.get("restartPolicy"), _RESTARTS)
    host_ports: set[str] = set()
    for at, container in each(spec, "containers", path):
        yield from _host_ports(container, at, host_ports)
    for at, container in each(spec, "initContainers", path):
        yield from _container(container, at, pod)
        yield from _init(container, at, pod)
    for at, container in each(spec, "ephemeralContainers", path):
        yield from _container(container, at, pod)
        yield from _ephemeral(container, at)


_RESTARTS = ("Always", "OnFailure", "Never")


def _container(container: Mapping[str, Any], path: str, pod: _Pod) -> FieldErrors:
    name, image = container.get("name") or "", container.get("image") or ""
    if not name:
        yield required(f"{path}.name")
    else:
        yield from check(f"{path}.name", name, names.dns1123_label(name))
        if name in pod.names:
            yield duplicate(f"{path}.name", name)
        pod.names.add(name)
    if not image:
        yield required(f"{path}.image")
    elif image != image.strip():
        yield invalid_value(f"{path}.image", image, "must not have leading or trailing whitespace")
    yield from one_of(
        f"{path}.terminationMessagePolicy",
        container.get("terminationMessagePolicy"),
        ("FallbackToLogsOnError", "File"),
    )
    yield from _ports(container, path, pod)
    yield from validate_environment(container, path)
    yield from validate_mounts(container, path, pod.volumes)
    yield from one_of(f"{path}.imagePullPolicy", container.get("imagePullPolicy"), _POLICIES)
    yield from validate_resources(container.get("resources") or {}, f"{path}.resources", pod.claims)
    yield from validate_container_context(container, path)


def _ports(container: Mapping[str, Any], path: str, pod: _Pod) -> FieldErrors:
    for at, port in each(container, "ports", path):
        name, number, host = port.get("name"), port.get("containerPort") or 0, port.get("hostPort") or 0
        if name:
            yield from check(f"{at}.name", name, names.port_name(name))
            if name in pod.ports:
                yield duplicate(f"{at}.name", name)
            pod.ports.add(name)
        if not number:
            yield required(f"{at}.containerPort")
        else:
            yield from check(f"{at}.containerPort", number, names.port_number(number))
        if host:
            yield from check(f"{at}.hostPort", host, names.port_number(host))
            if pod.host_network and host != number:
                yield invalid_value(f"{at}.hostPort", host, "must match `containerPort` when `hostNetwork` is true")
        if port.get("hostIP"):
            yield from check(f"{at}.hostIP", port["hostIP"], ip_address(port["hostIP"]))
        yield from one_of(f"{at}.protocol", port.get("protocol"), _PROTOCOLS)


def _host_ports(container: Mapping[str, Any], path: str, seen: set[str]) -> FieldErrors:
    for at, port in each(container, "ports", path):
        if not port.get("hostPort"):
            continue
        text = f"{port.get('protocol', '')}/{port.get('hostIP') or ''}/{port['hostPort']}"
        if text in seen:
            yield duplicate(f"{at}.hostPort", text)
        seen.add(text)


def _init(container: Mapping[str, Any], path: str, pod: _Pod) -> FieldErrors:
    policy = container.get("restartPolicy")
    yield from optional_one_of(f"{path}.restartPolicy", policy, _RESTARTS)
    if policy == "Always":
        yield from validate_probes(container, path, pod.grace)
        yield from validate_lifecycle(container, path, pod.grace)
        return
    for name in _INIT_ONLY_SIDECARS:
        if container.get(name) is not None:
            yield field_forbidden(f"{path}.{name}", "may not be set for init containers without restartPolicy=Always")


def _ephemeral(container: Mapping[str, Any], path: str) -> FieldErrors:
    for name in _NOT_EPHEMERAL:
        if container.get(name):
            yield field_forbidden(f"{path}.{name}", "cannot be set for an Ephemeral Container")
