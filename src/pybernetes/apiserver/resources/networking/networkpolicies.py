"""NetworkPolicy: who may talk to some Pods, and to whom they may."""

from collections.abc import Iterator, Mapping
from ipaddress import ip_network
from typing import Any

from pybernetes.api import names
from pybernetes.api.errors import field_forbidden, invalid_value, not_supported, required
from pybernetes.api.objects import Object
from pybernetes.apiserver.resource import Column, Resource
from pybernetes.apiserver.resources._columns import AGE, selector_text, spec
from pybernetes.apiserver.validation.addresses import cidr, cidr_warning, sloppy
from pybernetes.apiserver.validation.fields import FieldErrors, check, each
from pybernetes.apiserver.validation.meta import label_selector

_DIRECTIONS = (("ingress", "from"), ("egress", "to"))
_TYPES = ("Ingress", "Egress")
_PROTOCOLS = ("TCP", "UDP", "SCTP")


def _default(obj: Object) -> None:
    policy = obj["spec"] = obj.get("spec") or {}
    for direction, _ in _DIRECTIONS:
        for rule in policy.get(direction) or ():
            for port in rule.get("ports") or ():
                if port.get("protocol") is None:
                    port["protocol"] = "TCP"
    if not policy.get("policyTypes"):
        policy["policyTypes"] = ["Ingress", "Egress"] if policy.get("egress") else ["Ingress"]


def _validate(obj: Object) -> FieldErrors:
    policy = spec(obj)
    yield from label_selector(policy.get("podSelector") or {}, "spec.podSelector")
    for direction, side in _DIRECTIONS:
        for at, rule in each(policy, direction, "spec"):
            for place, port in each(rule, "ports", at):
                yield from _port(port, place)
            for place, peer in each(rule, side, at):
                yield from _peer(peer, place)
    types = policy.get("policyTypes") or ()
    if len(types) > len(_TYPES):
        yield invalid_value("spec.policyTypes", types, "may not specify more than two policyTypes")
        return
    for index, kind in enumerate(types):
        if kind not in _TYPES:
            yield not_supported(f"spec.policyTypes[{index}]", kind, _TYPES)


def _port(rule: Mapping[str, Any], at: str) -> FieldErrors:
    protocol, port, end = rule.get("protocol"), rule.get("port"), rule.get("endPort")
    if protocol is not None and protocol not in _PROTOCOLS:
        yield not_supported(f"{at}.protocol", protocol, _PROTOCOLS)
    if isinstance(port, int):
        yield from check(f"{at}.port", port, names.port_number(port))
        if end is not None:
            if end < port:
                yield invalid_value(f"{at}.endPort", end, "must be greater than or equal to `port`")
            yield from check(f"{at}.endPort", end, names.port_number(end))
        return
    if end is not None:
        why = "not specified" if port is None else "non-numeric"
        yield invalid_value(f"{at}.endPort", end, f"may not be specified when `port` is {why}")
    if port is not None:
        yield from check(f"{at}.port", port, names.port_name(port))


def _peer(peer: Mapping[str, Any], at: str) -> FieldErrors:
    selectors = [field for field in ("podSelector", "namespaceSelector") if peer.get(field) is not None]
    for field in selectors:
        yield from label_selector(peer[field], f"{at}.{field}")
    block = peer.get("ipBlock")
    if block is not None:
        yield from _block(block, f"{at}.ipBlock")
        if selectors:
            yield field_forbidden(at, "may not specify both ipBlock and another peer")
    elif not selectors:
        yield required(at, "must specify a peer")


def _block(block: Mapping[str, Any], at: str) -> FieldErrors:
    whole = block.get("cidr") or ""
    if not whole:
        yield required(f"{at}.cidr")
        return
    yield from check(f"{at}.cidr", whole, cidr(whole))
    for place, part in each(block, "except", at):
        yield from check(place, part, cidr(part))
        if not _inside(part, whole):
            yield invalid_value(place, part, "must be a strict subset of `cidr`")


def _inside(part: str, whole: str) -> bool:
    """Whether one network is a part of another; also True where one of them is none, which is told elsewhere."""
    found = []
    for value in (part, whole):
        text, _, bits = value.partition("/")
        address = sloppy(text)
        try:
            found.append(ip_network(f"{address}/{bits}", strict=False))
        except ValueError:
            return True
    inner, outer = found
    return inner.prefixlen > outer.prefixlen and inner.network_address in outer


def _warn(obj: Object, old: Object | None) -> Iterator[str]:
    for direction, side in _DIRECTIONS:
        for at, rule in each(spec(obj), direction, "spec"):
            for place, peer in each(rule, side, at):
                block = peer.get("ipBlock") or {}
                yield from cidr_warning(block.get("cidr") or "", f"{place}.ipBlock.cidr")
                for where, part in each(block, "except", f"{place}.ipBlock"):
                    yield from cidr_warning(part, where)


RESOURCE = Resource(
    group="networking.k8s.io",
    plural="networkpolicies",
    default=_default,
    validate=_validate,
    warn=_warn,
    columns=(
        Column(
            "Pod-Selector",
            lambda obj: selector_text(spec(obj).get("podSelector") or {}),
            description="Whom it is about.",
        ),
        AGE,
    ),
)
