"""CSIDriver: what the cluster must know of a volume driver."""

from collections.abc import Iterator, Mapping
from typing import Any

from pybernetes.api.errors import duplicate, invalid_value, required
from pybernetes.api.objects import Object
from pybernetes.apiserver.resource import Column, Resource
from pybernetes.apiserver.resources._columns import AGE, NONE, spec
from pybernetes.apiserver.validation.fields import FieldErrors, immutable, optional_one_of
from pybernetes.apiserver.validation.storage import GROUP

_FLAGS = {
    "attachRequired": True,
    "podInfoOnMount": False,
    "storageCapacity": False,
    "requiresRepublish": False,
    "seLinuxMount": False,
}
_NEEDED = {
    "attachRequired": "attachedRequired",
    "podInfoOnMount": "podInfoOnMount",
    "storageCapacity": "storageCapacity",
    "seLinuxMount": "seLinuxMount",
}
"""Field to the name by which errors call it."""
_POLICIES = ("File", "None", "ReadWriteOnceWithFSType")
_MODES = ("Persistent", "Ephemeral")
_LEAST_TOKEN_SECONDS, _MOST_TOKEN_SECONDS = 600, 1 << 32
_LEAST_PERIOD = 10
_TOKENS_IN_THE_OPEN = (
    "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to prevent possible "
    "logging of tokens in volume attributes"
)


def _default(obj: Object) -> None:
    driver = obj["spec"] = obj.get("spec") or {}
    for field, value in (*_FLAGS.items(), ("fsGroupPolicy", "ReadWriteOnceWithFSType")):
        if driver.get(field) is None:
            driver[field] = value
    if not driver.get("volumeLifecycleModes"):
        driver["volumeLifecycleModes"] = ["Persistent"]


def _prepare(obj: Object, old: Object | None) -> None:
    """Its generation counts changes alone: a new one has none."""
    if old is not None and obj["spec"] != old.get("spec"):
        obj["metadata"]["generation"] = (old["metadata"].get("generation") or 0) + 1


def _validate(obj: Object) -> FieldErrors:
    driver = spec(obj)
    for field, called in _NEEDED.items():
        if driver.get(field) is None:
            yield required(f"spec.{called}")
    yield from optional_one_of("spec.fsGroupPolicy", driver.get("fsGroupPolicy"), _POLICIES)
    yield from _token_requests(driver)
    for mode in driver.get("volumeLifecycleModes") or ():
        yield from optional_one_of("spec.volumeLifecycleModes", mode, _MODES)
    period = driver.get("nodeAllocatableUpdatePeriodSeconds")
    if period is not None and period < _LEAST_PERIOD:
        at = "spec.nodeAllocatableUpdatePeriodSeconds"
        yield invalid_value(at, period, "must be greater than or equal to 10 seconds")
    hidden = driver.get("serviceAccountTokenInSecrets")
    if hidden is not None and not driver.get("tokenRequests"):
        why = "serviceAccountTokenInSecrets is set but no tokenRequests are specified"
        yield invalid_value("spec.serviceAccountTokenInSecrets", hidden, why)


def _token_requests(driver: Mapping[str, Any]) -> FieldErrors:
    seen: set[str] = set()
    for index, request in enumerate(driver.get("tokenRequests") or ()):
        at, audience = f"spec.tokenRequests[{index}]", request.get("audience") or ""
        if audience in seen:
            yield duplicate(f"{at}.audience", audience)
            continue
        seen.add(audience)
        seconds = request.get("expirationSeconds")
        if seconds is None:
            continue
        if seconds < _LEAST_TOKEN_SECONDS:
            yield invalid_value(f"{at}.expirationSeconds", seconds, "may not specify a duration less than 10 minutes")
        if seconds > _MOST_TOKEN_SECONDS:
            why = "may not specify a duration larger than 2^32 seconds"
            yield invalid_value(f"{at}.expirationSeconds", seconds, why)


def _validate_update(obj: Object, old: Object) -> FieldErrors:
    new, before = spec(obj), spec(old)
    if new.get("attachRequired") != before.get("attachRequired"):
        yield invalid_value("spec.attachedRequired", new.get("attachRequired"), "field is immutable")
    yield from immutable(
        "spec.volumeLifecycleModes", new.get("volumeLifecycleModes"), before.get("volumeLifecycleModes")
    )


def _warn(obj: Object, old: Object | None) -> Iterator[str]:
    driver = spec(obj)
    requests = driver.get("tokenRequests") or []
    known = spec(old).get("tokenRequests") or [] if old is not None else []
    if requests and requests != known and driver.get("serviceAccountTokenInSecrets") is None:
        yield _TOKENS_IN_THE_OPEN


def _flag(name: str, field: str, description: str) -> Column:
    def cell(obj: Object) -> bool:
        value = spec(obj).get(field)
        return _FLAGS[field] if value is None else bool(value)

    return Column(name, cell, "boolean", description=description)


def _audiences(obj: Object) -> str:
    requests = spec(obj).get("tokenRequests")
    return ",".join(request.get("audience") or "" for request in requests) if requests else "<unset>"


RESOURCE = Resource(
    group=GROUP,
    plural="csidrivers",
    default=_default,
    prepare=_prepare,
    validate=_validate,
    validate_update=_validate_update,
    warn=_warn,
    generation=False,
    unconditional_update=False,
    columns=(
        _flag("AttachRequired", "attachRequired", "Whether volumes are attached before they are mounted."),
        _flag("PodInfoOnMount", "podInfoOnMount", "Whether it is told of the Pod."),
        _flag("StorageCapacity", "storageCapacity", "Whether it publishes how much room it has."),
        Column("TokenRequests", _audiences, description="Audiences of the tokens that it is given."),
        _flag("RequiresRepublish", "requiresRepublish", "Whether volumes are published again and again."),
        Column(
            "Modes",
            lambda obj: ",".join(spec(obj).get("volumeLifecycleModes") or ()) or NONE,
            description="Lives of volumes that it knows.",
        ),
        AGE,
    ),
)
