"""May they? What the four access reviews share."""

from collections.abc import Mapping
from typing import Any

from pybernetes.api import names
from pybernetes.api.errors import FieldError, field_forbidden, invalid, invalid_value, required
from pybernetes.api.objects import Object, User
from pybernetes.api.selectors import parse, parse_fields
from pybernetes.apiserver.extension import Attributes, Decision
from pybernetes.apiserver.resource import Call
from pybernetes.apiserver.resources._columns import spec
from pybernetes.apiserver.validation.fields import FieldErrors, check

GROUP = "authorization.k8s.io"
_ABOUT = "spec.resourceAttributes"


async def review_subject(call: Call, body: Object) -> Object:
    """SubjectAccessReview: the user is in spec."""
    _refuse(*_faults(body, "must be empty"))
    return _decided(call, body, _subject(spec(body)))


async def review_local(call: Call, body: Object) -> Object:
    """LocalSubjectAccessReview: in one namespace."""
    own, faults = spec(body), [*_faults(body, "must be empty except for namespace", "namespace")]
    about = own.get("resourceAttributes")
    if about is not None and (about.get("namespace") or "") != call.namespace:
        faults.append(
            invalid_value(f"{_ABOUT}.namespace", about.get("namespace") or "", "must match metadata.namespace")
        )
    path = own.get("nonResourceAttributes")
    if path is not None:
        faults.append(invalid_value("spec.nonResourceAttributes", path, "disallowed on this kind of request"))
    _refuse(*faults)
    return _decided(call, body, _subject(own))


async def review_self(call: Call, body: Object) -> Object:
    """SelfSubjectAccessReview: whoever asks."""
    _refuse(*_faults(body, "must be empty", of_user=False))
    return _decided(call, body, call.user)


def _refuse(*faults: FieldError) -> None:
    if faults:
        # Upstream forgets the kind.
        raise invalid(GROUP, "", "", faults)


def _faults(body: Object, text: str, ignored: str = "", *, of_user: bool = True) -> FieldErrors:
    own = spec(body)
    about, path = own.get("resourceAttributes"), own.get("nonResourceAttributes")
    if about is not None and path is not None:
        yield invalid_value(
            "spec.nonResourceAttributes", path, "cannot be specified in combination with resourceAttributes"
        )
    if about is None and path is None:
        either = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        yield invalid_value(_ABOUT, None, either)
    if of_user and not own.get("user") and not own.get("groups"):
        yield invalid_value("spec.user", own.get("user") or "", "at least one of user or group must be specified")
    for field in ("fieldSelector", "labelSelector"):
        if about is not None and about.get(field) is not None:
            yield from _selector_faults(about[field], f"{_ABOUT}.{field}", of_labels=field == "labelSelector")
    meta = {key: value for key, value in body["metadata"].items() if value and key not in ("managedFields", ignored)}
    if meta:
        yield invalid_value("metadata", meta, text)


def _selector_faults(selector: Mapping[str, Any], path: str, *, of_labels: bool) -> FieldErrors:
    raw, requirements = selector.get("rawSelector"), selector.get("requirements") or ()
    if raw and requirements:
        yield invalid_value(f"{path}.rawSelector", raw, "may not specified at the same time as requirements")
    if not raw and not requirements:
        yield required(f"{path}.requirements", f"when {path} is specified, requirements or rawSelector is required")
    for index, term in enumerate(requirements):
        yield from _requirement_faults(term, f"{path}.requirements[{index}]", of_labels)


def _requirement_faults(term: Mapping[str, Any], path: str, of_labels: bool) -> FieldErrors:
    """Operators that are not known are the authorizer's to ignore."""
    key, operator, values = term.get("key") or "", term.get("operator"), term.get("values") or ()
    if not key and not of_labels:
        yield required(f"{path}.key", "must be specified")
    if operator in ("In", "NotIn") and not values:
        yield required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'")
    if operator in ("Exists", "DoesNotExist") and values:
        yield field_forbidden(f"{path}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
    if of_labels:
        yield from check(f"{path}.key", key, names.qualified_name(key))
        for position, value in enumerate(values):
            yield from check(f"{path}.values[{position}]", value, names.label_value(value))


def _subject(own: Mapping[str, Any]) -> User:
    extra = {key: tuple(values or ()) for key, values in (own.get("extra") or {}).items()}
    return User(own.get("user") or "", own.get("uid") or "", tuple(own.get("groups") or ()), extra)


def _attributes(own: Mapping[str, Any], user: User) -> tuple[Attributes, str]:
    """And what could not be understood."""
    path = own.get("nonResourceAttributes")
    if path is not None:
        return Attributes(user, path.get("verb") or "", path.get("path") or ""), ""
    about = own.get("resourceAttributes") or {}
    fields, ignored_fields = _read(about.get("fieldSelector"), "fieldSelector")
    labels, ignored_labels = _read(about.get("labelSelector"), "labelSelector")
    attributes = Attributes(
        user,
        about.get("verb") or "",
        "",
        about.get("group") or "",
        about.get("version") or "*",
        about.get("resource") or "",
        about.get("subresource") or "",
        about.get("namespace") or "",
        about.get("name") or "",
        fields,
        labels,
    )
    return attributes, "; ".join(text for text in (ignored_fields, ignored_labels) if text)


_TERMS = {
    ("fieldSelector", "In", 1): "{key}={values}",
    ("fieldSelector", "NotIn", 1): "{key}!={values}",
    ("labelSelector", "In"): "{key} in ({values})",
    ("labelSelector", "NotIn"): "{key} notin ({values})",
    ("labelSelector", "Exists"): "{key}",
    ("labelSelector", "DoesNotExist"): "!{key}",
}
"""By field, operator and number of values, where that counts."""


def _read(selector: Mapping[str, Any] | None, field: str) -> tuple[str, str]:
    """As a query has it, and what part is ignored: what is left out makes the question broader, never narrower."""
    if not selector:
        return "", ""
    ignored = f"{_ABOUT}.{field} ignored due to parse error"
    raw = selector.get("rawSelector")
    if raw:
        try:
            (parse_fields if field == "fieldSelector" else parse)(raw)
        except ValueError:
            return "", ignored
        return str(raw), ""
    terms, requirements = [], selector.get("requirements") or ()
    for term in requirements:
        values, operator = term.get("values") or [], term.get("operator")
        form = _TERMS.get((field, operator, len(values))) or _TERMS.get((field, operator))
        if form is not None:
            terms.append(form.format(key=term.get("key") or "", values=",".join(values)))
    if len(terms) == len(requirements):
        return ",".join(terms), ""
    return ",".join(terms), ignored.replace("ignored", "partially ignored") if terms else ignored


def _decided(call: Call, body: Object, user: User) -> Object:
    attributes, ignored = _attributes(spec(body), user)
    decision, reason = call.registry.authorizer.authorize(attributes)
    status: Object = {"allowed": decision is Decision.ALLOW}
    if decision is Decision.DENY:
        status["denied"] = True
    if reason:
        status["reason"] = reason
    if ignored:
        status["evaluationError"] = ignored
    body["status"] = status
    return body
