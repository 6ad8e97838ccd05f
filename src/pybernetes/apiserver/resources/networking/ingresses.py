"""Ingress: which Service answers HTTP for which host and path."""

from collections.abc import Iterator, Mapping
from typing import Any

from pybernetes.api import names
from pybernetes.api.errors import invalid_value, not_supported, required
from pybernetes.api.objects import Object
from pybernetes.apiserver.resource import Column, Resource
from pybernetes.apiserver.resources._columns import AGE, NONE, spec, status
from pybernetes.apiserver.resources.networking._backends import backend
from pybernetes.apiserver.validation.addresses import address_warning, ip_address, sloppy
from pybernetes.apiserver.validation.fields import FieldErrors, check, each

CLASS_ANNOTATION = "kubernetes.io/ingress.class"
_PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
_NEVER_INSIDE = ("//", "/./", "/../", "%2f", "%2F")
_NEVER_LAST = ("/..", "/.")
_NO_ADDRESS = "must be a DNS name, not an IP address"
_SHOWN_HOSTS = 3


def _validate(obj: Object) -> FieldErrors:
    own = spec(obj)
    rules, default, chosen = own.get("rules") or (), own.get("defaultBackend"), own.get("ingressClassName")
    if not rules and default is None:
        yield invalid_value("spec", None, "either `defaultBackend` or `rules` must be specified")
    if default is not None:
        yield from backend(default, "spec.defaultBackend")
    for at, rule in each(own, "rules", "spec"):
        yield from _rule(rule, at)
    for at, tls in each(own, "tls", "spec"):
        for place, host in each(tls, "hosts", at):
            yield from _host(host, place)
        secret = tls.get("secretName") or ""
        if secret:
            yield from check(f"{at}.secretName", secret, names.dns1123_subdomain(secret))
    if chosen is not None:
        yield from check("spec.ingressClassName", chosen, names.dns1123_subdomain(chosen))
    yield from _annotated_class(obj, chosen)


def _annotated_class(obj: Object, chosen: str | None) -> FieldErrors:
    """A new Ingress may not name two classes; one that is there may, and an update to its spec has raised generation."""
    metadata = obj.get("metadata") or {}
    annotated = (metadata.get("annotations") or {}).get(CLASS_ANNOTATION)
    if chosen is None or annotated in (None, chosen) or (metadata.get("generation") or 1) != 1:
        return
    why = "must match `ingressClassName` when both are specified"
    yield invalid_value(f"annotations.{CLASS_ANNOTATION}", annotated, why)


def _host(host: str, path: str) -> FieldErrors:
    rule = names.wildcard_dns1123_subdomain if "*" in host else names.dns1123_subdomain
    yield from check(path, host, rule(host))


def _rule(rule: Mapping[str, Any], at: str) -> FieldErrors:
    host, http = rule.get("host") or "", rule.get("http")
    if host:
        if sloppy(host) is not None:
            yield invalid_value(f"{at}.host", host, _NO_ADDRESS)
        yield from _host(host, f"{at}.host")
    if http is None:
        return
    if not http.get("paths"):
        yield required(f"{at}.http.paths")
    for place, path in each(http, "paths", f"{at}.http"):
        yield from _path(path, place)


def _path(path: Mapping[str, Any], at: str) -> FieldErrors:
    kind, text = path.get("pathType"), path.get("path") or ""
    if kind is None:
        yield required(f"{at}.pathType", "pathType must be specified")
        return
    if kind not in _PATH_TYPES:
        yield not_supported(f"{at}.pathType", kind, _PATH_TYPES)
    elif not text.startswith("/") and (text or kind != "ImplementationSpecific"):
        yield invalid_value(f"{at}.path", text, "must be an absolute path")
    if kind in ("Exact", "Prefix"):
        for sequence in _NEVER_INSIDE:
            if sequence in text:
                yield invalid_value(f"{at}.path", text, f"must not contain '{sequence}'")
        for suffix in _NEVER_LAST:
            if text.endswith(suffix):
                yield invalid_value(f"{at}.path", text, f"cannot end with '{suffix}'")
    yield from backend(path.get("backend") or {}, f"{at}.backend")


def _points(obj: Object) -> list[Mapping[str, Any]]:
    """Where the load balancer answers."""
    return list((status(obj).get("loadBalancer") or {}).get("ingress") or ())


def _validate_status(obj: Object, old: Object) -> FieldErrors:
    known = {point.get("ip") or "" for point in _points(old)}
    for index, point in enumerate(_points(obj)):
        at = f"status.loadBalancer.ingress[{index}]"
        address, host = point.get("ip") or "", point.get("hostname") or ""
        if address and address not in known:
            yield from check(f"{at}.ip", address, ip_address(address))
        if host:
            yield from check(f"{at}.hostname", host, names.dns1123_subdomain(host))
            if sloppy(host) is not None:
                yield invalid_value(f"{at}.hostname", host, _NO_ADDRESS)


def _warn(obj: Object, old: Object | None) -> Iterator[str]:
    annotations = (obj.get("metadata") or {}).get("annotations") or {}
    if old is None and CLASS_ANNOTATION in annotations and spec(obj).get("ingressClassName") is None:
        yield f"annotation \"{CLASS_ANNOTATION}\" is deprecated, please use 'spec.ingressClassName' instead"
    if old is not None and _points(obj) != _points(old):
        for index, point in enumerate(_points(obj)):
            yield from address_warning(point.get("ip") or "", f"status.loadBalancer.ingress[{index}]")


def _class(obj: Object) -> str:
    chosen = spec(obj).get("ingressClassName")
    return NONE if chosen is None else str(chosen)


def _hosts(obj: Object) -> str:
    rules = spec(obj).get("rules") or ()
    shown: list[str] = []
    for rule in rules:
        if len(shown) == _SHOWN_HOSTS:
            return f"{','.join(shown)} + {len(rules) - _SHOWN_HOSTS} more..."
        if rule.get("host"):
            shown.append(rule["host"])
    return ",".join(shown) or "*"


def _address(obj: Object) -> str:
    found = {point.get("ip") or point.get("hostname") or "" for point in _points(obj)} - {""}
    return ",".join(sorted(found))


RESOURCE = Resource(
    group="networking.k8s.io",
    plural="ingresses",
    validate=_validate,
    validate_status=_validate_status,
    warn=_warn,
    storage_prefix="ingress",
    columns=(
        Column("Class", _class, description="Who serves it."),
        Column("Hosts", _hosts, description="Hosts of its rules."),
        Column("Address", _address, description="Where it is served."),
        Column("Ports", lambda obj: "80, 443" if spec(obj).get("tls") else "80", description="On which ports."),
        AGE,
    ),
)
