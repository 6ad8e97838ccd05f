"""CSINode: the CSI drivers of a Node."""

from collections.abc import Mapping, Sequence
from typing import Any

from pybernetes.api import names
from pybernetes.api.errors import duplicate, invalid_value, required
from pybernetes.api.objects import Object
from pybernetes.apiserver.resource import Column, Resource
from pybernetes.apiserver.resources._columns import AGE, spec
from pybernetes.apiserver.validation.fields import IMMUTABLE, FieldErrors, check, each, non_negative
from pybernetes.apiserver.validation.meta import keep_metadata
from pybernetes.apiserver.validation.storage import GROUP
from pybernetes.apiserver.validation.volume_sources import csi_driver_name

_NODE_ID_LENGTH = 256


def _prepare_status(obj: Object, old: Object) -> None:
    """Nothing of status is written yet: the health of volumes is an alpha feature."""
    keep_metadata(obj, old)
    obj["status"] = old.get("status") or {}


def _validate(obj: Object) -> FieldErrors:
    seen: set[str] = set()
    for at, driver in each(spec(obj), "drivers", "spec"):
        name = driver.get("name") or ""
        yield from csi_driver_name(name, f"{at}.name")
        yield from _driver(driver, at)
        if name in seen:
            yield duplicate(f"{at}.name", name)
        seen.add(name)
        yield from _topology_keys(driver.get("topologyKeys") or (), at)


def _driver(driver: Mapping[str, Any], at: str) -> FieldErrors:
    node = driver.get("nodeID") or ""
    if not node:
        yield required(f"{at}.nodeID")
    if len(node.encode()) > _NODE_ID_LENGTH:
        yield invalid_value(f"{at}.nodeID", node, f"must be {_NODE_ID_LENGTH} characters or less")
    yield from non_negative(f"{at}.allocatable.count", (driver.get("allocatable") or {}).get("count"))


def _topology_keys(keys: Sequence[str], at: str) -> FieldErrors:
    for index, key in enumerate(keys):
        if not key:
            yield required(at)
        if key in keys[:index]:
            yield duplicate(at, key)
        yield from check(at, key, names.qualified_name(key))


def _validate_update(obj: Object, old: Object) -> FieldErrors:
    if spec(obj).get("drivers") == spec(old).get("drivers"):
        return  # two without a name are not each other's change
    known = [_identity(driver) for driver in spec(old).get("drivers") or ()]
    for driver in spec(obj).get("drivers") or ():
        identity = _identity(driver)
        if identity not in known and any(before.get("name") == identity.get("name") for before in known):
            yield invalid_value("spec.drivers", identity, IMMUTABLE)


def _identity(driver: Mapping[str, Any]) -> dict[str, Any]:
    """What may not change of a driver once it is there: all but how many volumes it takes."""
    return {field: value for field, value in driver.items() if field != "allocatable"}


RESOURCE = Resource(
    group=GROUP,
    plural="csinodes",
    prepare_status=_prepare_status,
    validate=_validate,
    validate_update=_validate_update,
    generation=False,
    unconditional_update=False,
    columns=(
        Column(
            "Drivers", lambda obj: len(spec(obj).get("drivers") or ()), "integer", description="How many there are."
        ),
        AGE,
    ),
)
