"""Warnings about Pod specs: what is deprecated, does nothing, or probably not what was meant. Templates share them."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pybernetes.api import names
from pybernetes.api.objects import Object
from pybernetes.api.quantity import parse
from pybernetes.apiserver.validation.fields import each
from pybernetes.apiserver.validation.node_labels import deprecated_label
from pybernetes.apiserver.validation.pod.annotations import APP_ARMOR, SECCOMP, SECCOMP_POD
from pybernetes.apiserver.validation.pod.containers import all_containers

_HARD, _SOFT = "requiredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution"
_ANNOTATIONS = {
    "scheduler.alpha.kubernetes.io/critical-pod": 'non-functional in v1.16+; use the "priorityClassName" field instead',
    "security.alpha.kubernetes.io/sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
    "security.alpha.kubernetes.io/unsafe-sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
}
_VOLUMES = {
    "photonPersistentDisk": ("photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    "gitRepo": ("gitRepo", "deprecated in v1.11"),
    "scaleIO": ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    "flocker": ("flocker", "deprecated in v1.22, non-functional in v1.25+"),
    "storageos": ("storageOS", "deprecated in v1.22, non-functional in v1.25+"),
    "quobyte": ("quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    "glusterfs": ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    "cephfs": ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    "rbd": ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
}
_BYTES = ("memory", "ephemeral-storage")
_NO_SELECTOR = "a null labelSelector results in matching no pod"
_SECCOMP = 'non-functional in v1.27+; use the "seccompProfile" field instead'
_APP_ARMOR = 'deprecated since v1.30; use the "appArmorProfile" field instead'
_HOSTNAME = (
    "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; "
    "a DNS label is recommended: "
)


def warn_pod(obj: Object, old: Object | None) -> Iterator[str]:
    """About a new Pod. Updates are not worth the time: hardly a human makes them."""
    if old is not None:
        return
    faults = names.dns1123_label((obj.get("metadata") or {}).get("name") or "")
    if faults:
        yield f"{_HOSTNAME}[{' '.join(faults)}]"
    yield from warn_template(obj, "")


def warn_template(template: Mapping[str, Any], path: str) -> Iterator[str]:
    """About a PodTemplateSpec at `path` (`spec.template`), or a Pod itself (empty path)."""
    meta, spec = template.get("metadata") or {}, template.get("spec") or {}
    root = f"{path}." if path else ""
    at = f"{root}spec"
    yield from _placement(spec, at)
    annotations = meta.get("annotations") or {}
    for key, text in _ANNOTATIONS.items():
        if key in annotations:
            yield f"{root}metadata.annotations[{key}]: {text}"
    for field, rule in _PARTS:
        if spec.get(field):
            yield from rule(spec, at)
    if annotations:
        yield from _profiles(annotations, spec, root, of_template=bool(path))
    yield from _containers(spec, at)
    if (spec.get("terminationGracePeriodSeconds") or 0) < 0:
        why = "must be >= 0; negative values are invalid and will be treated as 1"
        yield f"{at}.terminationGracePeriodSeconds: {why}"
    if spec.get("affinity"):
        yield from _pod_affinity(spec["affinity"], f"{at}.affinity")


def _containers(spec: Mapping[str, Any], path: str) -> Iterator[str]:
    containers = all_containers(spec, path)
    for where, container in containers:
        for field, amounts in (container.get("resources") or {}).items():
            if field != "claims" and amounts:
                yield from _fractions(amounts, f"{where}.resources.{field}")
        if len(container.get("env") or ()) > 1:
            yield from _variables(container, where)
    yield from _ports(containers)


def _aliases(spec: Mapping[str, Any], path: str) -> Iterator[str]:
    return _twice(spec, "hostAliases", "ip", path)


def _secrets(spec: Mapping[str, Any], path: str) -> Iterator[str]:
    yield from _twice(spec, "imagePullSecrets", "name", path)
    for where, secret in each(spec, "imagePullSecrets", path):
        if not secret.get("name"):
            yield f'{where}.name: invalid empty name ""'


def _placement(spec: Mapping[str, Any], path: str) -> Iterator[str]:
    for key in spec.get("nodeSelector") or {}:
        yield from deprecated_label(f"{path}.nodeSelector[{key}]", key)
    nodes = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    at = f"{path}.affinity.nodeAffinity"
    for where, term in each(nodes.get(_HARD) or {}, "nodeSelectorTerms", f"{at}.{_HARD}"):
        yield from _term(term, where)
    for where, soft in each(nodes, _SOFT, at):
        yield from _term(soft.get("preference") or {}, f"{where}.preference")
    for where, rule in each(spec, "topologySpreadConstraints", path):
        key = rule.get("topologyKey") or ""
        for text in deprecated_label("", key):
            yield f"{where}.topologyKey: {key} is {text.removeprefix(': ')}"
        if rule.get("labelSelector") is None:
            yield f"{where}.labelSelector: {_NO_SELECTOR}"


def _term(term: Mapping[str, Any], path: str) -> Iterator[str]:
    for where, rule in each(term, "matchExpressions", path):
        key = rule.get("key") or ""
        for text in deprecated_label("", key):
            yield f"{where}.key: {key} is {text.removeprefix(': ')}"


def _volumes(spec: Mapping[str, Any], path: str) -> Iterator[str]:
    tokens: set[str] = set()
    for where, volume in each(spec, "volumes", path):
        for kind, source in volume.items():
            if kind in _VOLUMES and source is not None:
                shown, text = _VOLUMES[kind]
                yield f"{where}.{shown}: {text}"
        if volume.get("ephemeral") is not None:
            claim = (volume["ephemeral"].get("volumeClaimTemplate") or {}).get("spec") or {}
            requests = (claim.get("resources") or {}).get("requests")
            yield from _fraction(requests, "storage", f"{where}.ephemeral.volumeClaimTemplate.spec.resources.requests")
        for source in (volume.get("projected") or {}).get("sources") or ():
            if source.get("serviceAccountToken") is not None:
                tokens.add(source["serviceAccountToken"].get("path") or "")
    if tokens:
        yield from _hidden_tokens(spec, path, tokens)


def _hidden_tokens(spec: Mapping[str, Any], path: str, tokens: set[str]) -> Iterator[str]:
    """Files that would take the place of a token."""
    for where, volume in each(spec, "volumes", path):
        for source in (volume.get("projected") or {}).get("sources") or ():
            for kind, shown in (("configMap", "configMap"), ("secret", "secrets"), ("downwardAPI", "downwardAPI")):
                for index, item in enumerate((source.get(kind) or {}).get("items") or ()):
                    if item.get("path") in tokens:
                        target = f"{where}.projected.sources.{shown}"
                        target += "" if kind == "downwardAPI" else f"[{index}]"
                        yield f'{target}: has duplicated path with ServiceAccountToken "{item["path"]}"'
            bundle = source.get("clusterTrustBundle") or {}
            if bundle.get("path") in tokens:
                target = f"{where}.projected.sources.ClusterTrustBundle"
                yield f'{target}: has duplicated path with ServiceAccountToken "{bundle["path"]}"'


def _twice(spec: Mapping[str, Any], field: str, name: str, path: str) -> Iterator[str]:
    seen: set[str] = set()
    for where, item in each(spec, field, path):
        value = item.get(name) or ""
        if value in seen:
            yield f'{where}.{name}: duplicate {name} "{value}"'
        seen.add(value)


def _fractions(amounts: Mapping[str, str], path: str) -> Iterator[str]:
    for name in _BYTES:
        if name in amounts:
            yield from _fraction(amounts, name, path)


def _fraction(amounts: Mapping[str, str] | None, name: str, path: str) -> Iterator[str]:
    text = (amounts or {}).get(name)
    if text is None or not text.endswith(("m", "u", "n")):
        return
    try:
        if parse(text).milli_value() % 1000:
            yield f'{path}[{name}]: fractional byte value "{text}" is invalid, must be an integer'
    except ValueError:
        return


def _profiles(
    annotations: Mapping[str, str], spec: Mapping[str, Any], root: str, *, of_template: bool
) -> Iterator[str]:
    """Annotations that stand where a field should."""
    of_pod = spec.get("securityContext") or {}
    if SECCOMP_POD in annotations and of_pod.get("seccompProfile") is None:
        yield f"{root}metadata.annotations[{SECCOMP_POD}]: {_SECCOMP}"
    for _, container in all_containers(spec, ""):
        name, own = container.get("name") or "", container.get("securityContext") or {}
        if SECCOMP + name in annotations and own.get("seccompProfile") is None:
            yield f"{root}metadata.annotations[{SECCOMP}{name}]: {_SECCOMP}"
        field = own.get("appArmorProfile") or of_pod.get("appArmorProfile")
        if APP_ARMOR + name in annotations and (field is None or not of_template):
            yield f"{root}metadata.annotations[{APP_ARMOR}{name}]: {_APP_ARMOR}"


def _variables(container: Mapping[str, Any], path: str) -> Iterator[str]:
    seen: set[str] = set()
    for index, variable in enumerate(container["env"]):
        name, value = variable.get("name") or "", variable.get("value") or ""
        if name in seen:
            ref = f"$({name})"
            if variable.get("valueFrom") is not None or value == ref or ref not in value:
                text = f'hides previous definition of "{name}", which may be dropped when using apply'
                yield f"{path}.env[{index}]: {text}"
        seen.add(name)


def _ports(containers: list[tuple[str, Mapping[str, Any]]]) -> Iterator[str]:
    """Ports that are there twice, on all hosts' addresses or on one."""
    known: dict[tuple[int, str], list[tuple[str, str, int]]] = {}
    for path, container in containers:
        for at, port in each(container, "ports", path):
            address, host = port.get("hostIP") or "", port.get("hostPort") or 0
            key = (port.get("containerPort") or 0, port.get("protocol") or "")
            if address and not host:
                shown = f"{{Name:{port.get('name') or ''} HostPort:0 ContainerPort:{key[0]} Protocol:{key[1]} "
                yield f"{at}: hostIP set without hostPort: {shown}HostIP:{address}}}"
            for where, other, taken in known.get(key, ()):
                if (address, host) == (other, taken):
                    yield f"{at}: duplicate port definition with {where}"
                elif not host or not taken:
                    yield f"{at}: overlapping port definition with {where}"
                elif host == taken and bool(address) != bool(other):
                    yield f"{at}: dangerously ambiguous port definition with {where}"
            known.setdefault(key, []).append((at, address, host))


def _pod_affinity(affinity: Mapping[str, Any], path: str) -> Iterator[str]:
    for kind in ("podAffinity", "podAntiAffinity"):
        terms = affinity.get(kind) or {}
        for where, term in each(terms, _HARD, f"{path}.{kind}"):
            if term.get("labelSelector") is None:
                yield f"{where}.labelSelector: {_NO_SELECTOR}"
        for where, soft in each(terms, _SOFT, f"{path}.{kind}"):
            if (soft.get("podAffinityTerm") or {}).get("labelSelector") is None:
                yield f"{where}.podAffinityTerm.labelSelector: {_NO_SELECTOR}"


_PARTS: tuple[tuple[str, Callable[[Mapping[str, Any], str], Iterator[str]]], ...] = (
    ("volumes", _volumes),
    ("hostAliases", _aliases),
    ("imagePullSecrets", _secrets),
    ("overhead", lambda spec, path: _fractions(spec["overhead"], f"{path}.overhead")),
)
