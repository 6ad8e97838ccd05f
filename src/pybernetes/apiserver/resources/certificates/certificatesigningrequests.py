"""CertificateSigningRequest: someone asks a signer for a certificate; approved by /approval, signed by a write of status.

The controllers certificatesigningrequest_approving and _signing answer kubelets' requests.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

from pybernetes.aio.clock import rfc3339
from pybernetes.api import names
from pybernetes.api.errors import conflict, duplicate, field_forbidden, invalid, invalid_value, not_supported, required
from pybernetes.api.objects import GroupResource, Object
from pybernetes.apiserver.resource import Call, Column, Resource, Subresource
from pybernetes.apiserver.resources._columns import AGE, NONE, spec, status
from pybernetes.apiserver.resources.certificates._signing import GROUP
from pybernetes.apiserver.validation.fields import FieldErrors, check, each
from pybernetes.rules.ages import age
from pybernetes.wire.pki.certificates import parse_request
from pybernetes.wire.pki.keys import PkiError

REQUESTS = GroupResource(GROUP, "certificatesigningrequests")
_VERDICTS = ("Approved", "Denied")
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


async def _note_requester(call: Call, obj: Object, old: Object | None) -> None:
    """Whoever creates it is who asks, whatever was sent."""
    if old is not None:
        return
    user = call.user
    obj["spec"]["username"] = user.name
    if user.uid:
        obj["spec"]["uid"] = user.uid
    if user.groups:
        obj["spec"]["groups"] = list(user.groups)
    if user.extra:
        obj["spec"]["extra"] = {key: list(values) for key, values in user.extra.items()}


def _validate(obj: Object) -> FieldErrors:
    own = spec(obj)
    try:
        parse_request(base64.b64decode(own.get("request") or ""))
    except (PkiError, binascii.Error) as error:
        yield invalid_value("spec.request", own.get("request") or "", str(error))
    usages = own.get("usages") or []
    if not usages:
        yield required("spec.usages")
    for index, usage in enumerate(usages):
        if usage not in _USAGES:
            yield not_supported(f"spec.usages[{index}]", usage, _USAGES)
        if usage in usages[:index]:
            yield duplicate(f"spec.usages[{index}]", usage)
    yield from _signer(own.get("signerName") or "")
    seconds = own.get("expirationSeconds")
    if seconds is not None and seconds < 600:
        yield invalid_value(
            "spec.expirationSeconds", seconds, "may not specify a duration less than 600 seconds (10 minutes)"
        )


def _signer(name: str) -> FieldErrors:
    if not name:
        yield required("spec.signerName")
        return
    domain, slash, path = name.partition("/")
    if not slash or not path or "/" in path:
        yield invalid_value(
            "spec.signerName", name, "must be a fully qualified domain and path of the form 'example.com/signer-name'"
        )
        return
    yield from check("spec.signerName", name, names.dns1123_subdomain(domain))
    if "." not in domain:
        yield invalid_value("spec.signerName", name, "should be a domain with at least two segments separated by dots")
    if not re.fullmatch(r"[a-zA-Z0-9]([-a-zA-Z0-9_.]*[a-zA-Z0-9])?", path):
        yield from check("spec.signerName", name, names.qualified_name(path))


def _verdicts(obj: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {c["type"]: c for c in status(dict(obj)).get("conditions") or () if c.get("type") in _VERDICTS}


def _validate_conditions(obj: Object, old: Object) -> FieldErrors:
    seen: set[str] = set()
    for at, condition in each(status(obj), "conditions", "status"):
        kind, state = condition.get("type") or "", condition.get("status") or ""
        if not kind:
            yield required(f"{at}.type")
        if kind in (*_VERDICTS, "Failed"):
            if state != "True":
                yield not_supported(f"{at}.status", state, ("True",))
        elif state not in ("True", "False", "Unknown"):
            yield not_supported(f"{at}.status", state, ("False", "True", "Unknown"))
        if kind in _VERDICTS and seen & set(_VERDICTS) - {kind}:
            yield invalid_value(f"{at}.type", kind, "Approved and Denied conditions are mutually exclusive")
        if kind in seen:
            yield duplicate(f"{at}.type", kind)
        seen.add(kind)
    for kind in _verdicts(old):
        if kind not in seen:
            yield field_forbidden("status.conditions", f'updates may not remove a condition of type "{kind}"')


def _prepare_status(obj: Object, old: Object) -> None:
    """The signer's write: verdicts are /approval's."""
    own = obj["status"] = obj.get("status") or {}
    others = [c for c in own.get("conditions") or () if c.get("type") not in _VERDICTS]
    kept = [c for c in status(old).get("conditions") or () if c.get("type") in _VERDICTS]
    own.pop("conditions", None)
    if kept or others:
        own["conditions"] = [*kept, *others]


def _validate_status(obj: Object, old: Object) -> FieldErrors:
    yield from _validate_conditions(obj, old)
    before, now = status(old).get("certificate"), status(obj).get("certificate")
    if before and now != before:
        yield field_forbidden("status.certificate", "updates may not modify the certificate once set")
    if now and b"-----BEGIN CERTIFICATE-----" not in base64.b64decode(now):
        yield invalid_value(
            "status.certificate", "<certificate data>", "must contain at least one CERTIFICATE PEM block"
        )


async def _approve(call: Call, body: Object) -> Object:
    """PUT or PATCH /approval: conditions and nothing else. Who may: admission/certificateapproval.py."""
    wanted = [dict(condition) for condition in status(body).get("conditions") or ()]
    version = body["metadata"].get("resourceVersion")
    moment = rfc3339(call.registry.clock.now())

    def change(obj: Object) -> Object:
        if version and version != obj["metadata"].get("resourceVersion"):
            raise conflict(
                REQUESTS,
                call.name,
                "the object has been modified; please apply your changes to the latest version and try again",
            )
        known = {c.get("type"): c for c in status(obj).get("conditions") or ()}
        for condition in wanted:
            before = known.get(condition.get("type"))
            if not condition.get("lastUpdateTime"):
                condition["lastUpdateTime"] = moment
            if not condition.get("lastTransitionTime"):
                same = before is not None and before.get("status") == condition.get("status")
                condition["lastTransitionTime"] = before["lastTransitionTime"] if before and same else moment
        old = {**obj}
        obj["status"] = {**status(obj), "conditions": wanted}
        faults = list(_validate_conditions(obj, old))
        if faults:
            raise invalid(GROUP, "CertificateSigningRequest", call.name, faults)
        return obj

    if call.dry_run:
        return change(await call.registry.get(REQUESTS, "", call.name))
    return await call.registry.update(REQUESTS, "", call.name, change)


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
    before_write=_note_requester,
    generation=False,
    storage_prefix="certificatesigningrequests",
    subresources={"approval": Subresource(create=_approve)},
    columns=(
        AGE,
        Column("SignerName", lambda obj: spec(obj).get("signerName") or NONE, description="Who is asked to sign."),
        Column("Requestor", lambda obj: spec(obj).get("username") or "", description="Who asks."),
        Column("RequestedDuration", _duration, description="How long the certificate should be valid."),
        Column("Condition", _condition, description="What has become of it."),
    ),
    selectable_fields={"spec.signerName": lambda obj: spec(obj).get("signerName") or ""},
)
