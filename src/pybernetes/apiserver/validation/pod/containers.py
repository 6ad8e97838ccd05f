"""Containers, init containers and ephemeral containers.

Judged for every Pod that is made, so paths are put together only for what is there, and names are looked up in sets.
"""

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field
from typing import Any

from pybernetes.api import names
from pybernetes.api.errors import FieldError, duplicate, field_forbidden, invalid_value, not_supported, required
from pybernetes.apiserver.validation.fields import FieldErrors, check, each, not_found, too_many
from pybernetes.apiserver.validation.pod.environment import validate_env, validate_env_from
from pybernetes.apiserver.validation.pod.mounts import validate_devices, validate_mounts
from pybernetes.apiserver.validation.pod.probes import PROBES, validate_lifecycle, validate_probes
from pybernetes.apiserver.validation.pod.resources import validate_resize_policy, validate_resources
from pybernetes.apiserver.validation.pod.security import validate_container_context
from pybernetes.apiserver.validation.pod.volumes import Volumes
from pybernetes.apiserver.validation.spelling import fine

_POLICIES = ("Always", "IfNotPresent", "Never")
_MESSAGES = ("File", "FallbackToLogsOnError")
_PROTOCOLS = ("SCTP", "TCP", "UDP")
_RESTARTS = ("Always", "Never", "OnFailure")
_ACTIONS = ("Restart", "RestartAllContainers")
_OPERATORS = ("In", "NotIn")
_MOST_RULES, _MOST_CODES = 20, 255
_SIDECARS_ONLY = ("lifecycle", *PROBES)
_NOT_EPHEMERAL = (
    *("ports", "resources", "resizePolicy", "restartPolicy", "restartPolicyRules"),
    *(*PROBES, "lifecycle"),
)
_NO_SIDECAR = "may not be set for init containers without restartPolicy=Always"
_NO_EPHEMERAL = "cannot be set for an Ephemeral Container"
_HOST_PORT = "must match `containerPort` when `hostNetwork` is true"


@dataclass(slots=True)
class _Pod:
    """What containers are checked against."""

    volumes: Volumes
    claims: Set[str]
    grace: int | None
    restarts: str | None
    host_users: bool
    os: Mapping[str, Any] | None
    names: set[str] = field(default_factory=set)


def all_containers(spec: Mapping[str, Any], path: str) -> list[tuple[str, Mapping[str, Any]]]:
    """Containers of all sorts with their paths, init containers first as upstream visits them."""
    return [
        (f"{path}.{kind}[{index}]", container)
        for kind in ("initContainers", "containers", "ephemeralContainers")
        for index, container in enumerate(spec.get(kind) or ())
    ]


def claim_names(spec: Mapping[str, Any]) -> Set[str]:
    """Names of the resourceClaims of a Pod spec."""
    claims = spec.get("resourceClaims")
    return {claim["name"] for claim in claims if claim.get("name")} if claims else frozenset()


def validate_containers(spec: Mapping[str, Any], path: str, volumes: Volumes, *, of_pod: bool) -> FieldErrors:
    """All containers of a Pod spec. Templates may have images that a Pod may not."""
    pod = _Pod(
        volumes=volumes,
        claims=claim_names(spec),
        grace=spec.get("terminationGracePeriodSeconds"),
        restarts=spec.get("restartPolicy"),
        host_users=spec.get("hostUsers") is not False,
        os=spec.get("os"),
    )
    containers = spec.get("containers")
    if not containers:
        yield required(f"{path}.containers")
        containers = ()
    for index, container in enumerate(containers):
        at = f"{path}.containers[{index}]"
        yield from _container(container, at, pod)
        yield from _unique(container, at, pod)
        if container.get("lifecycle"):
            yield from validate_lifecycle(container, at, pod.grace, pod.os)
        yield from validate_probes(container, at, pod.grace)
        if container.get("restartPolicy") is not None or container.get("restartPolicyRules"):
            yield from _restarts(container, at)
    yield from _host_ports(containers, f"{path}.containers", 0)
    for index, container in enumerate(spec.get("initContainers") or ()):
        at = f"{path}.initContainers[{index}]"
        yield from _container(container, at, pod)
        yield from _restarts(container, at)
        yield from _unique(container, at, pod)
        yield from _host_ports((container,), f"{path}.initContainers", 0)
        yield from _init(container, at, pod)
    if spec.get("ephemeralContainers"):
        yield from _ephemeral_containers(spec, path, pod)
    yield from _of_pod(spec, path, of_pod)


def _of_pod(spec: Mapping[str, Any], path: str, of_pod: bool) -> FieldErrors:
    """What is asked of Pods and not of templates, or differently."""
    if of_pod:
        for kind in ("containers", "initContainers"):
            for index, container in enumerate(spec.get(kind) or ()):
                yield from _image(container, f"{path}.{kind}[{index}]")
    if spec.get("hostNetwork"):
        for at, container in each(spec, "containers", path):
            for position, port in each(container, "ports", at):
                host = port.get("hostPort") or 0
                if (of_pod or host) and host != (port.get("containerPort") or 0):
                    yield invalid_value(f"{position}.hostPort", host, _HOST_PORT)


def _unique(container: Mapping[str, Any], path: str, pod: _Pod) -> FieldErrors:
    name = container.get("name") or ""
    if name in pod.names:
        yield duplicate(f"{path}.name", name)
    elif name:
        pod.names.add(name)


def _image(container: Mapping[str, Any], path: str) -> FieldErrors:
    image = container.get("image") or ""
    if image != image.strip():
        yield invalid_value(f"{path}.image", image, "must not have leading or trailing whitespace")


def _container(container: Mapping[str, Any], path: str, pod: _Pod) -> FieldErrors:
    """What holds for containers of all sorts."""
    get = container.get
    name = get("name") or ""
    if not name:
        yield required(f"{path}.name")
    elif not fine(names.dns1123_label, name):
        yield from check(f"{path}.name", name, names.dns1123_label(name))
    if not get("image"):
        yield required(f"{path}.image")
    if get("terminationMessagePolicy") not in _MESSAGES:
        yield _enum(container, path, "terminationMessagePolicy", _MESSAGES)
    for given, rule in _FILES_AND_PORTS:
        if get(given):
            yield from rule(container, path, pod)
    if get("imagePullPolicy") not in _POLICIES:
        yield _enum(container, path, "imagePullPolicy", _POLICIES)
    for given, rule in _MEANS:
        if get(given):
            yield from rule(container, path, pod)


def _enum(part: Mapping[str, Any], path: str, name: str, known: tuple[str, ...]) -> FieldError:
    """The fault of a value that is not one of those known."""
    value = part.get(name)
    return not_supported(f"{path}.{name}", value, known) if value else required(f"{path}.{name}")


def _ports(container: Mapping[str, Any], path: str, pod: _Pod) -> FieldErrors:
    seen: set[str] = set()
    for index, port in enumerate(container["ports"]):
        name, number, host = port.get("name"), port.get("containerPort") or 0, port.get("hostPort") or 0
        at = f"{path}.ports[{index}]"
        if name:
            if not fine(names.port_name, name):
                yield from check(f"{at}.name", name, names.port_name(name))
            elif name in seen:
                yield duplicate(f"{at}.name", name)
            seen.add(name)
        if not number:
            yield required(f"{at}.containerPort")
        elif not 1 <= number <= 65535:
            yield from check(f"{at}.containerPort", number, names.port_number(number))
        if host and not 1 <= host <= 65535:
            yield from check(f"{at}.hostPort", host, names.port_number(host))
        if port.get("protocol") not in _PROTOCOLS:
            yield _enum(port, at, "protocol", _PROTOCOLS)


_Part = Callable[[Mapping[str, Any], str, _Pod], FieldErrors]
_FILES_AND_PORTS: tuple[tuple[str, _Part], ...] = (
    ("ports", _ports),
    ("env", lambda container, path, pod: validate_env(container, path, pod.volumes)),
    ("envFrom", lambda container, path, pod: validate_env_from(container, path)),
    ("volumeMounts", lambda container, path, pod: validate_mounts(container, path, pod.volumes)),
    ("volumeDevices", lambda container, path, pod: validate_devices(container, path, pod.volumes)),
)
_MEANS: tuple[tuple[str, _Part], ...] = (
    ("resources", lambda c, path, pod: validate_resources(c["resources"], f"{path}.resources", pod.claims)),
    ("resizePolicy", lambda c, path, pod: validate_resize_policy(c, path, pod.restarts)),
    (
        "securityContext",
        lambda c, path, pod: validate_container_context(
            c["securityContext"], f"{path}.securityContext", pod.host_users
        ),
    ),
)
"""Rules of the fields that are given, in upstream's order."""


def _host_ports(containers: Any, path: str, start: int) -> FieldErrors:
    """No two containers take the same port of the host. Init containers run one by one: each is asked alone."""
    seen: set[str] = set()
    for index, container in enumerate(containers, start):
        for position, port in enumerate(container.get("ports") or ()):
            if port.get("hostPort"):
                text = f"{port.get('protocol') or ''}/{port.get('hostIP') or ''}/{port['hostPort']}"
                if text in seen:
                    yield duplicate(f"{path}[{index}].ports[{position}].hostPort", text)
                seen.add(text)


def _restarts(container: Mapping[str, Any], path: str) -> FieldErrors:
    """restartPolicy and restartPolicyRules of one container (KEP-5307)."""
    policy, rules = container.get("restartPolicy"), container.get("restartPolicyRules") or ()
    if policy is not None:
        if policy not in _RESTARTS:
            yield not_supported(f"{path}.restartPolicy", policy, _RESTARTS)
    elif rules:
        yield required(f"{path}.restartPolicy", "must specify restartPolicy when restart rules are used")
    if len(rules) > _MOST_RULES:
        yield too_many(f"{path}.restartPolicyRules", len(rules), _MOST_RULES)
    for index, rule in enumerate(rules):
        at, codes = f"{path}.restartPolicyRules[{index}]", rule.get("exitCodes")
        if rule.get("action") not in _ACTIONS:
            yield not_supported(f"{at}.action", rule.get("action") or "", _ACTIONS)
        if codes is None:
            yield required(f"{at}.exitCodes", "must be specified")
            continue
        if codes.get("operator") not in _OPERATORS:
            yield not_supported(f"{at}.exitCodes.operator", codes.get("operator") or "", _OPERATORS)
        if len(codes.get("values") or ()) > _MOST_CODES:
            yield too_many(f"{at}.exitCodes.values", len(codes["values"]), _MOST_CODES)


def _init(container: Mapping[str, Any], path: str, pod: _Pod) -> FieldErrors:
    if container.get("restartPolicy") == "Always":
        yield from validate_lifecycle(container, path, pod.grace, pod.os)
        yield from validate_probes(container, path, pod.grace)
        return
    for name in _SIDECARS_ONLY:
        if container.get(name) is not None:
            yield field_forbidden(f"{path}.{name}", _NO_SIDECAR)


def _ephemeral_containers(spec: Mapping[str, Any], path: str, pod: _Pod) -> FieldErrors:
    others = set(pod.names)
    for at, container in each(spec, "ephemeralContainers", path):
        yield from _container(container, at, pod)
        yield from _image(container, at)
        yield from _unique(container, at, pod)
        target = container.get("targetContainerName")
        if target and target not in others:
            yield not_found(f"{at}.targetContainerName", target)
        for name in _NOT_EPHEMERAL:
            if container.get(name):
                yield field_forbidden(f"{at}.{name}", _NO_EPHEMERAL)
        for position, mount in each(container, "volumeMounts", at):
            for name in ("subPath", "subPathExpr"):
                if mount.get(name):
                    yield field_forbidden(f"{position}.{name}", _NO_EPHEMERAL)
