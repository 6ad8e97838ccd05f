"""Projected volumes, and the files of the downward API that they share with downwardAPI volumes."""

from collections.abc import Mapping
from typing import Any

from pybernetes.api import names
from pybernetes.api.errors import field_forbidden, invalid_value, not_supported, required
from pybernetes.apiserver.validation.certificates import signer_name
from pybernetes.apiserver.validation.fields import FieldErrors, check, each
from pybernetes.apiserver.validation.meta import label_selector
from pybernetes.apiserver.validation.pod.environment import VOLUME_FIELDS, field_ref, resource_ref
from pybernetes.apiserver.validation.pod.files import is_plain, key_to_path, local_path, mode

_TWICE = "conflicting duplicate paths"
_KEY_TYPES = ("RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519")
_CERTIFICATE_PATHS = ("credentialBundlePath", "keyPath", "certificateChainPath")
_HOUR, _MOST_DAYS = 3600, 91
_KUBERNETES_DAY = 86400


def downward_file(item: Mapping[str, Any], path: str) -> FieldErrors:
    """A file of the downward API; upstream names the volume in its faults, not the item."""
    target = item.get("path") or ""
    if not is_plain(target):
        if not target:
            yield required(f"{path}.path")
        yield from local_path(target, f"{path}.path")
    if item.get("fieldRef") is not None:
        yield from field_ref(item["fieldRef"], f"{path}.fieldRef", VOLUME_FIELDS)
        if item.get("resourceFieldRef") is not None:
            yield invalid_value(path, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously")
    elif item.get("resourceFieldRef") is not None:
        yield from resource_ref(item["resourceFieldRef"], f"{path}.resourceFieldRef", volume=True)
    else:
        yield required(path, "one of fieldRef and resourceFieldRef is required")
    yield from mode(item.get("mode"), f"{path}.mode")


def validate_projected(source: Mapping[str, Any], path: str) -> FieldErrors:
    """Every source of the volume, and that no two write the same file."""
    yield from mode(source.get("defaultMode"), f"{path}.defaultMode")
    taken: set[str] = set()
    for at, part in each(source, "sources", path):
        given = 0
        for kind, rule in _KINDS.items():
            body = part.get(kind)
            if body is not None:
                given += 1
                yield from rule(body, f"{at}.{kind}", path, taken)
        if given > 1:
            yield field_forbidden(at, "may not specify more than 1 volume type per source")


def _keys(body: Mapping[str, Any], at: str, volume: str, taken: set[str]) -> FieldErrors:
    if not body.get("name"):
        yield required(f"{at}.name")
    for position, item in each(body, "items", at):
        yield from key_to_path(item, position)
        yield from _take(item.get("path"), body.get("name") or "", volume, taken)


def _downward(body: Mapping[str, Any], at: str, volume: str, taken: set[str]) -> FieldErrors:
    for item in body.get("items") or ():
        yield from downward_file(item, at)
        yield from _take(item.get("path"), item.get("path"), volume, taken)


def _take(target: str | None, value: object, volume: str, taken: set[str]) -> FieldErrors:
    if target:
        if target in taken:
            yield invalid_value(volume, value, _TWICE)
        taken.add(target)


def _token(body: Mapping[str, Any], at: str, volume: str, taken: set[str]) -> FieldErrors:
    seconds = body.get("expirationSeconds") or 0
    if seconds < 600:
        yield invalid_value(f"{at}.expirationSeconds", seconds, "may not specify a duration less than 10 minutes")
    if seconds > 1 << 32:
        yield invalid_value(f"{at}.expirationSeconds", seconds, "may not specify a duration larger than 2^32 seconds")
    target = body.get("path") or ""
    if not target:
        yield required(f"{volume}.path")
    elif not is_plain(target):
        yield from local_path(target, f"{volume}.path")


def _trust_bundle(body: Mapping[str, Any], at: str, volume: str, taken: set[str]) -> FieldErrors:
    name, signer, selector = body.get("name"), body.get("signerName"), body.get("labelSelector")
    if name is not None and signer is not None:
        yield invalid_value(at, body, "only one of name and signerName may be used")
    elif name is not None:
        if not name:
            yield required(f"{at}.name", "must be a valid object name")
        yield from check(
            f"{at}.name", name, (f"not a valid clustertrustbundlename: {fault}" for fault in _bundle_name(name))
        )
        if selector is not None:
            why = "labelSelector must be unset if name is specified"
            yield invalid_value(f"{at}.labelSelector", selector, why)
    elif signer is not None:
        if not signer:
            yield required(f"{at}.signerName", "must be a valid signer name")
        yield from signer_name(signer, f"{at}.signerName")
        yield from label_selector(selector or {}, f"{at}.labelSelector")
    else:
        yield required(at, "either name or signerName must be specified")
    target = body.get("path") or ""
    if not target:
        yield required(f"{at}.path")
    yield from local_path(target, f"{at}.path")
    if target in taken:
        yield invalid_value(volume, target, _TWICE)
    taken.add(target)


def _bundle_name(name: str) -> list[str]:
    """`example.com:signer:bundle`, or a name without a signer."""
    head, colon, last = name.rpartition(":")
    if not colon:
        return names.dns1123_subdomain(name)
    domain, _, signer = head.rpartition(":")
    prefix = f"{domain}:{signer}:"
    if not domain or not name.startswith(prefix):
        return [f"ClusterTrustBundle name must start with {prefix}"]
    return names.dns1123_subdomain(last)


def _certificate(body: Mapping[str, Any], at: str, volume: str, taken: set[str]) -> FieldErrors:
    signer, key_type, seconds = (
        body.get("signerName") or "",
        body.get("keyType") or "",
        body.get("maxExpirationSeconds"),
    )
    yield from signer_name(signer, f"{at}.signerName")
    if key_type not in _KEY_TYPES:
        yield not_supported(f"{at}.keyType", key_type, _KEY_TYPES)
    if seconds is not None:
        most = _KUBERNETES_DAY if signer.startswith("kubernetes.io/") else _MOST_DAYS * _KUBERNETES_DAY
        if seconds < _HOUR:
            why = f"if provided, maxExpirationSeconds must be >= {_HOUR}"
            yield invalid_value(f"{at}.maxExpirationSeconds", seconds, why)
        elif seconds > most:
            why = f"if provided, maxExpirationSeconds must be <= {most}"
            yield invalid_value(f"{at}.maxExpirationSeconds", seconds, why)
    if not any(body.get(field) for field in _CERTIFICATE_PATHS):
        yield required(at, "specify at least one of credentialBundlePath, keyPath, and certificateChainPath")
    for field in _CERTIFICATE_PATHS:
        if body.get(field):
            yield from local_path(body[field], f"{at}.{field}")
            yield from _take(body[field], body[field], volume, taken)


_KINDS = {
    "secret": _keys,
    "configMap": _keys,
    "downwardAPI": _downward,
    "serviceAccountToken": _token,
    "clusterTrustBundle": _trust_bundle,
    "podCertificate": _certificate,
}
