"""May they? What the four access reviews share."""

from collections.abc import Mapping
from typing import Any

from pybernetes.api.errors import FieldError, invalid, invalid_value, required
from pybernetes.api.objects import Object, User
from pybernetes.apiserver.extension import Attributes, Decision
from pybernetes.apiserver.resource import Call
from pybernetes.apiserver.resources._columns import spec
from pybernetes.apiserver.validation.fields import FieldErrors

GROUP = "authorization.k8s.io"


async def review_subject(call: Call, body: Object) -> Object:
    """SubjectAccessReview: the user is in spec."""
    own = spec(body)
    faults = [*_attribute_faults(own)]
    if not own.get("user") and not own.get("groups"):
        faults.append(
            invalid_value("spec.user", own.get("user") or "", "at least one of user or group must be specified")
        )
    _refuse("SubjectAccessReview", faults)
    return _decided(call, body, _subject(own))


async def review_local(call: Call, body: Object) -> Object:
    """LocalSubjectAccessReview: in one namespace."""
    own = spec(body)
    faults = [*_attribute_faults(own)]
    about = own.get("resourceAttributes") or {}
    if not own.get("user") and not own.get("groups"):
        faults.append(
            invalid_value("spec.user", own.get("user") or "", "at least one of user or group must be specified")
        )
    if own.get("nonResourceAttributes"):
        faults.append(
            invalid_value(
                "spec.nonResourceAttributes", own["nonResourceAttributes"], "disallowed on this kind of request"
            )
        )
    if (about.get("namespace") or "") != call.namespace:
        faults.append(
            invalid_value(
                "spec.resourceAttributes.namespace",
                about.get("namespace") or "",
                f"must match metadata.namespace: {call.namespace}",
            )
        )
    _refuse("LocalSubjectAccessReview", faults)
    return _decided(call, body, _subject(own))


async def review_self(call: Call, body: Object) -> Object:
    """SelfSubjectAccessReview: whoever asks."""
    _refuse("SelfSubjectAccessReview", [*_attribute_faults(spec(body))])
    return _decided(call, body, call.user)


def _refuse(kind: str, faults: list[FieldError]) -> None:
    if faults:
        raise invalid(GROUP, kind, "", faults)


def _attribute_faults(own: Mapping[str, Any]) -> FieldErrors:
    about, path = own.get("resourceAttributes"), own.get("nonResourceAttributes")
    if about and path:
        yield invalid_value(
            "spec.nonResourceAttributes", path, "cannot be specified in combination with resourceAttributes"
        )
    if about is None and path is None:
        yield invalid_value(
            "spec.resourceAttributes",
            None,
            "exactly one of nonResourceAttributes or resourceAttributes must be specified",
        )
    if (
        about
        and about.get("fieldSelector")
        and not (about["fieldSelector"].get("rawSelector") or about["fieldSelector"].get("requirements"))
    ):
        yield required("spec.resourceAttributes.fieldSelector.requirements")


def _subject(own: Mapping[str, Any]) -> User:
    extra = {key.lower(): tuple(values) for key, values in (own.get("extra") or {}).items()}
    return User(own.get("user") or "", own.get("uid") or "", tuple(own.get("groups") or ()), extra)


def _attributes(own: Mapping[str, Any], user: User) -> Attributes:
    path = own.get("nonResourceAttributes")
    if path is not None:
        return Attributes(user, path.get("verb") or "", path.get("path") or "")
    about = own.get("resourceAttributes") or {}
    return Attributes(
        user,
        about.get("verb") or "",
        "",
        about.get("group") or "",
        about.get("version") or "",
        about.get("resource") or "",
        about.get("subresource") or "",
        about.get("namespace") or "",
        about.get("name") or "",
        _selector(about.get("fieldSelector")),
        _selector(about.get("labelSelector")),
    )


def _selector(selector: Mapping[str, Any] | None) -> str:
    """As a query has it; only what both forms can say."""
    if not selector:
        return ""
    if selector.get("rawSelector"):
        return str(selector["rawSelector"])
    terms = []
    for term in selector.get("requirements") or ():
        values = list(term.get("values") or ())
        if term.get("operator") == "In" and len(values) == 1:
            terms.append(f"{term['key']}={values[0]}")
        elif term.get("operator") == "NotIn" and len(values) == 1:
            terms.append(f"{term['key']}!={values[0]}")
    return ",".join(terms)


def _decided(call: Call, body: Object, user: User) -> Object:
    decision, reason = call.registry.authorizer.authorize(_attributes(spec(body), user))
    status: Object = {"allowed": decision is Decision.ALLOW}
    if decision is Decision.DENY:
        status["denied"] = True
    if reason:
        status["reason"] = reason
    body["status"] = status
    return body
