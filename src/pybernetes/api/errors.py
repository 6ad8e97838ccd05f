"""What the API says when it refuses: every error is a metav1.Status. Raised anywhere, encoded at the server's edge.

ApiError
├── BadRequest 400         ├── NotFound 404               ├── Expired 410 (reason Expired)
├── Unauthorized 401       ├── MethodNotAllowed 405       ├── RequestEntityTooLarge 413
├── Forbidden 403          ├── NotAcceptable 406          ├── UnsupportedMediaType 415
├── AlreadyExists 409      ├── Invalid 422                ├── TooManyRequests 429
├── Conflict 409           ├── InternalError 500          ├── ServiceUnavailable 503
└── GatewayTimeout 504 (reason Timeout)
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from msgspec import Struct

from pybernetes.api.objects import GroupResource, Object


class FieldError(Struct, frozen=True):
    """One fault of a field, as upstream's field.Error: `str()` is the text that clients compare."""

    type: str
    """`FieldValueRequired`, `FieldValueInvalid`, `FieldValueNotSupported`, ... (metav1.CauseType)."""
    field: str
    message: str
    """Without the field: `Required value`, `Invalid value: 3: must be ...`."""

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


class Refused(Exception):  # what it is, not an error of ours
    """Something outside said no, and its text says why: a fact of life, told in one line, without a traceback."""


class ApiError(Refused):
    """A refusal with its HTTP code and reason. `details` are those of metav1.Status."""

    code: ClassVar[int] = 500
    reason: ClassVar[str] = "InternalError"

    def __init__(self, message: str, *, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.details: dict[str, Any] = dict(details or {})
        self._says_details = details is not None

    def status(self) -> Object:
        """The metav1.Status of this error."""
        body: Object = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "details": self.details,
            "code": self.code,
        }
        kept = {"metadata", "details"} if self._says_details else {"metadata"}
        return {name: value for name, value in body.items() if value or name in kept}


class BadRequest(ApiError):
    code, reason = 400, "BadRequest"


class Unauthorized(ApiError):
    code, reason = 401, "Unauthorized"

    def __init__(self, message: str = "Unauthorized") -> None:
        super().__init__(message)


class Forbidden(ApiError):
    code, reason = 403, "Forbidden"


class NotFound(ApiError):
    code, reason = 404, "NotFound"


class MethodNotAllowed(ApiError):
    code, reason = 405, "MethodNotAllowed"


class NotAcceptable(ApiError):
    code, reason = 406, "NotAcceptable"


class AlreadyExists(ApiError):
    code, reason = 409, "AlreadyExists"


class Conflict(ApiError):
    code, reason = 409, "Conflict"


class Expired(ApiError):
    code, reason = 410, "Expired"


class RequestEntityTooLarge(ApiError):
    code, reason = 413, "RequestEntityTooLarge"


class UnsupportedMediaType(ApiError):
    code, reason = 415, "UnsupportedMediaType"


class Invalid(ApiError):
    code, reason = 422, "Invalid"


class TooManyRequests(ApiError):
    code, reason = 429, "TooManyRequests"


class InternalError(ApiError):
    code, reason = 500, "InternalError"


class ServiceUnavailable(ApiError):
    code, reason = 503, "ServiceUnavailable"


class GatewayTimeout(ApiError):
    code, reason = 504, "Timeout"


BY_REASON: Mapping[str, type[ApiError]] = {kind.reason: kind for kind in ApiError.__subclasses__()}
"""Every reason of a refusal (metav1.StatusReason)."""
_BY_CODE: dict[int, type[ApiError]] = {kind.code: kind for kind in reversed(ApiError.__subclasses__())}


def from_status(status: Mapping[str, Any], code: int = 500) -> ApiError:
    """The error that a Status body stands for; by reason, else by code."""
    code = int(status.get("code") or code)
    kind = BY_REASON.get(str(status.get("reason", ""))) or _BY_CODE.get(code) or InternalError
    message = str(status.get("message") or f"the server answered {code}")
    error = kind.__new__(kind)
    ApiError.__init__(error, message, details=status.get("details"))
    return error


def not_found(resource: GroupResource, name: str) -> NotFound:
    """`pods "web" not found`."""
    return NotFound(f'{resource} "{name}" not found', details=_details(resource, name))


def already_exists(resource: GroupResource, name: str) -> AlreadyExists:
    """`pods "web" already exists`."""
    return AlreadyExists(f'{resource} "{name}" already exists', details=_details(resource, name))


def conflict(resource: GroupResource, name: str, why: str) -> Conflict:
    """`Operation cannot be fulfilled on pods "web": ...`."""
    return Conflict(f'Operation cannot be fulfilled on {resource} "{name}": {why}', details=_details(resource, name))


def forbidden(resource: GroupResource, name: str, why: str) -> Forbidden:
    """`pods "web" is forbidden: ...`; without a name `pods is forbidden: ...`."""
    named = f'{resource} "{name}"' if name else f"{resource}"
    return Forbidden(f"{named} is forbidden: {why}", details=_details(resource, name))


def invalid(group: str, kind: str, name: str, errors: Sequence[FieldError]) -> Invalid:
    """`Pod "web" is invalid: spec.containers: Required value`, several in brackets; every fault is a cause."""
    texts = list(dict.fromkeys(str(error) for error in errors))
    listed = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    shown = f"{kind}.{group}" if group else kind
    causes = [{"reason": e.type, "message": e.message, "field": e.field} for e in errors]
    details: dict[str, Any] = {"name": name, "group": group, "kind": kind, "causes": causes}
    return Invalid(f'{shown} "{name}" is invalid: {listed}', details={k: v for k, v in details.items() if v})


def required(field: str, detail: str = "") -> FieldError:
    """`field: Required value[: detail]`."""
    return FieldError("FieldValueRequired", field, "Required value" + (f": {detail}" if detail else ""))


def invalid_value(field: str, value: object, detail: str) -> FieldError:
    """`field: Invalid value: <value>: detail`; strings quoted, objects as JSON."""
    return FieldError("FieldValueInvalid", field, f"Invalid value: {shown(value)}" + (f": {detail}" if detail else ""))


def not_supported(field: str, value: object, supported: Iterable[str]) -> FieldError:
    """`field: Unsupported value: "x": supported values: "A", "B"`."""
    listed = ", ".join(f'"{s}"' for s in supported)
    text = f"Unsupported value: {shown(value)}" + (f": supported values: {listed}" if listed else "")
    return FieldError("FieldValueNotSupported", field, text)


def field_forbidden(field: str, detail: str) -> FieldError:
    """`field: Forbidden: detail`."""
    return FieldError("FieldValueForbidden", field, f"Forbidden: {detail}")


def duplicate(field: str, value: object) -> FieldError:
    """`field: Duplicate value: "x"`."""
    return FieldError("FieldValueDuplicate", field, f"Duplicate value: {shown(value)}")


def too_long(field: str, limit: int) -> FieldError:
    """`field: Too long: may not be more than N bytes`."""
    return FieldError("FieldValueTooLong", field, f"Too long: may not be more than {limit} bytes")


def shown(value: object) -> str:
    """A value as upstream prints it inside an error: strings quoted, the rest as JSON."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, int | float):
        return str(value)
    import orjson  # only errors need it

    return orjson.dumps(value).decode()


def _details(resource: GroupResource, name: str) -> dict[str, Any]:
    details = {"name": name, "group": resource.group, "kind": resource.resource}
    return {key: value for key, value in details.items() if value}
