"""CertificateSigningRequest: someone asks a signer for a certificate; approved by /approval, signed by a write of status.

The controllers certificatesigningrequest_approving and _signing answer kubelets' requests.
"""

from pybernetes.aio.clock import rfc3339
from pybernetes.api import names
from pybernetes.api.errors import duplicate, field_forbidden, invalid_value, not_supported, required
from pybernetes.api.objects import Object
from pybernetes.apiserver.resource import Call, Column, Part, Resource, Subresource
from pybernetes.apiserver.resources._columns import AGE, NONE, spec, status
from pybernetes.apiserver.resources.certificates._signing import GROUP
from pybernetes.apiserver.validation.certificates import decoded, issued_fault, request_fault, signer_name
from pybernetes.apiserver.validation.fields import FieldErrors, each, one_of
from pybernetes.rules.ages import age

_VERDICTS = ("Approved", "Denied")
_FINAL = (*_VERDICTS, "Failed")
_LEGACY = "kubernetes.io/legacy-unknown"
_SHORTEST = 600
_USAGES = (
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
)


def _prepare(obj: Object, old: Object | None) -> None:
    if old is None:
        obj["status"] = {}
        for field in ("username", "uid", "groups", "extra"):
            obj["spec"].pop(field, None)
    else:
        obj["spec"], obj["status"] = old["spec"], old.get("status") or {}


async def _note(call: Call, obj: Object, old: Object | None) -> None:
    """Whoever creates it is who asks, whatever was sent; whoever judges it does so now."""
    if old is not None:
        _note_times(obj, old, rfc3339(call.registry.clock.now()))
        return
    user = call.user
    obj["spec"]["username"] = user.name
    if user.uid:
        obj["spec"]["uid"] = user.uid
    if user.groups:
        obj["spec"]["groups"] = list(user.groups)
    if user.extra:
        obj["spec"]["extra"] = {key: list(values) for key, values in user.extra.items()}


def _note_times(obj: Object, old: Object, now: str) -> None:
    for condition in status(obj).get("conditions") or ():
        if not condition.get("lastUpdateTime"):
            condition["lastUpdateTime"] = now
        if not condition.get("lastTransitionTime"):
            same = [c for c in _of_type(old, condition.get("type", "")) if c.get("status") == condition.get("status")]
            before = same[0].get("lastTransitionTime") if same else None
            condition["lastTransitionTime"] = before or now


def _validate(obj: Object) -> FieldErrors:
    own = spec(obj)
    encoded = own.get("request") or ""
    fault = request_fault(decoded(encoded))
    if fault:
        yield invalid_value("spec.request", encoded, fault)
    usages = own.get("usages") or []
    if not usages:
        yield required("spec.usages")
    for index, usage in enumerate(usages):
        if usage not in _USAGES:
            yield not_supported(f"spec.usages[{index}]", usage, _USAGES)
    for index, usage in enumerate(usages):
        if usage in usages[:index]:
            yield duplicate(f"spec.usages[{index}]", usage)
    signer = own.get("signerName") or ""
    if signer == _LEGACY:
        yield invalid_value("spec.signerName", signer, "the legacy signerName is not allowed via this API version")
    else:
        yield from signer_name(signer)
    seconds = own.get("expirationSeconds")
    if seconds is not None and seconds < _SHORTEST:
        text = "may not specify a duration less than 600 seconds (10 minutes)"
        yield invalid_value("spec.expirationSeconds", seconds, text)


def _of_type(obj: Object, kind: str) -> list[Object]:
    return [c for c in status(obj).get("conditions") or () if c.get("type") == kind]


def _validate_conditions(obj: Object, old: Object) -> FieldErrors:
    seen: set[str] = set()
    for at, condition in each(status(obj), "conditions", "status"):
        kind, state = condition.get("type") or "", condition.get("status") or ""
        if not kind:
            yield required(f"{at}.type")
        supported = ("True",) if kind in _FINAL else ("False", "True", "Unknown")
        yield from one_of(f"{at}.status", state, supported)
        if kind in _VERDICTS and seen & set(_VERDICTS) - {kind}:
            yield invalid_value(f"{at}.type", kind, "Approved and Denied conditions are mutually exclusive")
        if kind in seen:
            yield duplicate(f"{at}.type", kind)
        seen.add(kind)
    for kind in _FINAL:
        if len(_of_type(obj, kind)) < len(_of_type(old, kind)):
            yield field_forbidden("status.conditions", f'updates may not remove a condition of type "{kind}"')


def _prepare_status(obj: Object, old: Object) -> None:
    """The signer's write: verdicts are /approval's. Ones that were added or taken away are left for validation to see."""
    for kind in _VERDICTS:
        before = _of_type(old, kind)
        if len(_of_type(obj, kind)) == len(before):
            kept = iter(before)
            own = obj["status"]
            own["conditions"] = [next(kept) if c.get("type") == kind else c for c in own.get("conditions") or ()]
    if not status(obj).get("conditions"):
        obj["status"].pop("conditions", None)


def _validate_status(obj: Object, old: Object) -> FieldErrors:
    yield from _validate_conditions(obj, old)
    before, now = status(old).get("certificate") or "", status(obj).get("certificate") or ""
    if now != before and (fault := issued_fault(now)):
        yield invalid_value("status.certificate", "<certificate data>", fault)
    for kind in _VERDICTS:
        if len(_of_type(obj, kind)) > len(_of_type(old, kind)):
            yield field_forbidden("status.conditions", f'updates may not add a condition of type "{kind}"')
    if before and now != before:
        yield field_forbidden("status.certificate", "updates may not modify existing certificate content")


def _prepare_approval(obj: Object, old: Object) -> None:
    """Conditions and nothing else. Who may: admission/certificateapproval.py."""
    wanted = status(obj).get("conditions")
    obj["spec"] = old["spec"]
    obj["status"] = {field: value for field, value in status(old).items() if field != "conditions"}
    if wanted:
        obj["status"]["conditions"] = wanted


def _condition(obj: Object) -> str:
    kinds = {c.get("type") for c in status(obj).get("conditions") or ()}
    words = ["Denied" if "Denied" in kinds else "Approved" if "Approved" in kinds else "Pending"]
    if "Failed" in kinds:
        words.append("Failed")
    if status(obj).get("certificate"):
        words.append("Issued")
    return ",".join(words)


def _duration(obj: Object) -> str:
    seconds = spec(obj).get("expirationSeconds")
    return NONE if seconds is None else age(seconds)


RESOURCE = Resource(
    group=GROUP,
    plural="certificatesigningrequests",
    prepare=_prepare,
    prepare_status=_prepare_status,
    validate=_validate,
    validate_status=_validate_status,
    validate_name=names.path_segment,
    before_write=_note,
    generation=False,
    subresources={"approval": Subresource(part=Part(prepare=_prepare_approval, validate=_validate_conditions))},
    columns=(
        AGE,
        Column("SignerName", lambda obj: spec(obj).get("signerName") or NONE, description="Who is asked to sign."),
        Column("Requestor", lambda obj: spec(obj).get("username") or "", description="Who asks."),
        Column("RequestedDuration", _duration, description="How long the certificate should be valid."),
        Column("Condition", _condition, description="What has become of it."),
    ),
    selectable_fields={"spec.signerName": lambda obj: spec(obj).get("signerName") or ""},
)
