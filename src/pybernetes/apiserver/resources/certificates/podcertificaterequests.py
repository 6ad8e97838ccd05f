"""PodCertificateRequest: a kubelet asks a signer for a certificate of a Pod; the signer answers in status, once."""

from collections.abc import Mapping
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pybernetes.aio.clock import seconds_of
from pybernetes.api import errors, names
from pybernetes.api.errors import field_forbidden, invalid_value, not_supported, required, too_long
from pybernetes.api.objects import Object
from pybernetes.apiserver.resource import Call, Column, Resource
from pybernetes.apiserver.resources._columns import AGE, spec, status
from pybernetes.apiserver.resources.certificates._signing import GROUP, may
from pybernetes.apiserver.validation.certificates import certificate, decoded, pem_blocks, request, signer_name
from pybernetes.apiserver.validation.conditions import validate_conditions
from pybernetes.apiserver.validation.fields import FieldErrors, check, each, immutable, invalid_whole
from pybernetes.apiserver.validation.meta import annotations

_DAY = 24 * 3600
_SHORTEST, _LONGEST = 3600, 91 * _DAY
_ENDS = ("Issued", "Denied", "Failed")
_REQUEST_LIMIT = 10 * 1024
_CHAIN_LIMIT = 100 * 1024
_MARGIN = 600
_SKEW = 300
_CHAIN, _REQUEST = "status.certificateChain", "spec.stubPKCS10Request"
_TIMES = {
    "notBefore": "must be present and consistent with the issued certificate",
    "notAfter": "must be present and consistent with the issued certificate",
    "beginRefreshAt": "must be present and in the range [notbefore+10min, notafter-10min]",
}


def _default(obj: Object) -> None:
    own = obj.setdefault("spec", {})
    if own.get("maxExpirationSeconds") is None:
        own["maxExpirationSeconds"] = _DAY


# --- what is asked


def _validate(obj: Object) -> FieldErrors:
    own = spec(obj)
    yield from signer_name(own.get("signerName") or "")
    notes = own.get("unverifiedUserAnnotations") or {}
    yield from annotations(notes, "spec.unverifiedUserAnnotations")
    for key in notes:
        if "/" not in key:
            yield invalid_value(
                "spec.unverifiedUserAnnotations", key, 'must be a domain-prefixed key (such as "acme.io/foo")'
            )
    for what in ("pod", "serviceAccount", "node"):
        name, uid = own.get(f"{what}Name") or "", own.get(f"{what}UID") or ""
        yield from check(f"spec.{what}Name", name, names.dns1123_subdomain(name))
        if not uid:
            yield invalid_value(f"spec.{what}UID", uid, "must not be empty")
        if len(uid.encode()) > 128:
            yield too_long(f"spec.{what}UID", 128)
    seconds = own.get("maxExpirationSeconds")
    own_signer = (own.get("signerName") or "").startswith("kubernetes.io/")
    most = _DAY if own_signer else _LONGEST
    if seconds is None:
        yield required("spec.maxExpirationSeconds", "must be set")
    elif not _SHORTEST <= seconds <= most:
        yield invalid_value("spec.maxExpirationSeconds", seconds, f"must be in the range [{_SHORTEST}, {most}]")
    yield from _request_faults(own)


def _request_faults(own: Mapping[str, Any]) -> FieldErrors:
    encoded = own.get("stubPKCS10Request") or ""
    der = decoded(encoded)
    if len(der) > _REQUEST_LIMIT:
        yield too_long(_REQUEST, _REQUEST_LIMIT)
        return
    found = request(der)
    if found is None:
        yield invalid_whole(_REQUEST, "must be a valid PKCS#10 CSR, signed by its own key")
        return
    key = found.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey):
        if key.curve.name not in ("secp256r1", "secp384r1", "secp521r1"):
            text = "elliptic public keys must use curve P256, P384 or P521"
            yield invalid_value(_REQUEST, f"curve {key.curve.name}", text)
    elif isinstance(key, rsa.RSAPublicKey):
        if key.key_size not in (3072, 4096):
            text = "RSA keys must have modulus size 3072 or 4096"
            yield invalid_value(_REQUEST, f"{key.key_size}-bit modulus", text)
    elif not isinstance(key, ed25519.Ed25519PublicKey):
        yield invalid_whole(_REQUEST, "unknown public key type; supported types are Ed25519, ECDSA, and RSA")


def _validate_update(obj: Object, old: Object) -> FieldErrors:
    yield from immutable("spec", spec(obj), spec(old))


# --- what is answered


def _ended(obj: Object, *kinds: str) -> bool:
    found = status(obj).get("conditions") or ()
    return any(c.get("type") in kinds and c.get("status") == "True" for c in found)


def _validate_status(obj: Object, old: Object) -> FieldErrors:
    faults = [*_condition_faults(obj), *validate_conditions(status(obj))]
    if faults:
        yield from faults
    elif _ended(old, *_ENDS):
        if status(obj) != status(old):
            yield invalid_whole("status", "immutable after PodCertificateRequest is issued, denied, or failed")
    elif _ended(obj, "Denied", "Failed"):
        if any(field != "conditions" and value for field, value in status(obj).items()):
            text = "non-condition status fields must be empty when denying or failing the PodCertificateRequest"
            yield invalid_whole("status", text)
    elif _ended(obj, "Issued"):
        yield from _issued_faults(obj)
    elif status(obj) != status(old):
        yield invalid_whole("status", 'status is immutable unless transitioning to "Issued", "Denied", or "Failed"')


def _condition_faults(obj: Object) -> FieldErrors:
    for index, (at, condition) in enumerate(each(status(obj), "conditions", "status")):
        kind, state = condition.get("type") or "", condition.get("status") or ""
        if kind not in _ENDS:
            yield not_supported(f"{at}.type", kind, _ENDS)
            continue
        if index:
            text = 'There may be at most one condition with type "Issued", "Denied", or "Failed"'
            yield invalid_value(f"{at}.type", kind, text)
        if state != "True":
            yield not_supported(f"{at}.status", state, ("True",))


def _issued_faults(obj: Object) -> FieldErrors:
    """The chain and its times; the first fault only, as each makes no sense without those before."""
    chain = status(obj).get("certificateChain") or ""
    if len(chain.encode()) > _CHAIN_LIMIT:
        yield too_long(_CHAIN, _CHAIN_LIMIT)
        return
    blocks = list(pem_blocks(chain))
    if not blocks:
        yield invalid_value(_CHAIN, chain, "issued certificate chain must contain at least one certificate")
        return
    leaf = certificate(blocks[0].der)
    fault = ""
    if any(block.type != "CERTIFICATE" for block in blocks):
        fault = "issued certificate chain must consist entirely of CERTIFICATE PEM blocks"
    elif leaf is None:
        fault = "leaf certificate does not parse as valid X.509"
    elif not _is_for(leaf, decoded(spec(obj).get("stubPKCS10Request") or "")):
        fault = "leaf certificate was not issued to the requested public key"
    elif any(certificate(block.der) is None for block in blocks[1:]):
        fault = "intermediate certificate does not parse as valid X.509"
    if fault or leaf is None:
        yield invalid_value(_CHAIN, chain, fault)
        return
    missing = [required(f"status.{field}", text) for field, text in _TIMES.items() if not status(obj).get(field)]
    yield from missing or _time_faults(obj, leaf)


def _is_for(leaf: x509.Certificate, der: bytes) -> bool:
    asked = request(der)
    if asked is None:
        return False
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return leaf.public_key().public_bytes(*form) == asked.public_key().public_bytes(*form)


def _time_faults(obj: Object, leaf: x509.Certificate) -> FieldErrors:
    own, longest = status(obj), spec(obj).get("maxExpirationSeconds") or 0
    begin, end = leaf.not_valid_before_utc.timestamp(), leaf.not_valid_after_utc.timestamp()
    refresh, lifetime = seconds_of(own["beginRefreshAt"]), end - begin
    rules = (
        ("status.notBefore", seconds_of(own["notBefore"]) == begin, own["notBefore"],
         "must be set to the NotBefore time encoded in the leaf certificate"),
        ("status.notAfter", seconds_of(own["notAfter"]) == end, own["notAfter"],
         "must be set to the NotAfter time encoded in the leaf certificate"),
        (_CHAIN, lifetime >= _SHORTEST, f"{lifetime:.0f}s", "leaf certificate lifetime must be >= 1 hour"),
        (_CHAIN, lifetime <= longest, f"{lifetime:.0f}s",
         f"leaf certificate lifetime must be <= spec.maxExpirationSeconds ({longest})"),
        ("status.beginRefreshAt", refresh >= begin + _MARGIN, own["beginRefreshAt"],
         "must be at least 10 minutes after status.notBefore"),
        ("status.beginRefreshAt", refresh <= end - _MARGIN, own["beginRefreshAt"],
         "must be at least 10 minutes before status.notAfter"),
    )  # fmt: skip
    for path, holds, value, text in rules:
        if not holds:
            yield invalid_value(path, value, text)
            return


async def _judge(call: Call, obj: Object, old: Object | None) -> None:
    """Of an answer, what takes a clock and an authorizer. Raises Invalid."""
    if old is None or call.subresource != "status" or status(obj) == status(old):
        return
    signer, start = spec(old).get("signerName") or "", status(obj).get("notBefore")
    faults = []
    if start and abs(seconds_of(start) - call.registry.clock.now()) >= _SKEW:
        text = "must be set to within 5 minutes of kube-apiserver's current time"
        faults.append(invalid_value("status.notBefore", start, text))
    elif not may(call, "sign", signer):
        text = f'User "{call.user.name}" is not permitted to "sign" for signer "{signer}"'
        faults.append(field_forbidden("spec.signerName", text))
    if faults:
        raise errors.invalid(GROUP, "PodCertificateRequest", call.name, faults)


def _state(obj: Object) -> str:
    return next((kind for kind in _ENDS if _ended(obj, kind)), "Pending")


RESOURCE = Resource(
    group=GROUP,
    plural="podcertificaterequests",
    default=_default,
    validate=_validate,
    validate_update=_validate_update,
    validate_status=_validate_status,
    before_write=_judge,
    generation=False,
    unconditional_update=False,
    columns=(
        Column("PodName", lambda obj: spec(obj).get("podName") or "", description="The Pod that it is for."),
        Column("ServiceAccountName", lambda obj: spec(obj).get("serviceAccountName") or "", description="Its account."),
        Column("NodeName", lambda obj: spec(obj).get("nodeName") or "", description="Where the Pod runs."),
        Column("SignerName", lambda obj: spec(obj).get("signerName") or "", description="Who is asked to sign."),
        Column("State", _state, description="What has become of it."),
        AGE,
    ),
    selectable_fields={
        "spec.signerName": lambda obj: spec(obj).get("signerName") or "",
        "spec.podName": lambda obj: spec(obj).get("podName") or "",
        "spec.nodeName": lambda obj: spec(obj).get("nodeName") or "",
    },
)
