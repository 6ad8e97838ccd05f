"""spec.volumes: names and sources. The rules of the sources are in sources.py, mounts in mounts.py."""

from collections.abc import Mapping
from typing import Any

from pybernetes.api import names
from pybernetes.api.errors import FieldError, duplicate, field_forbidden, invalid_value, required
from pybernetes.apiserver.validation.fields import FieldErrors, check
from pybernetes.apiserver.validation.pod.sources import FORBIDDEN_AS, RULES
from pybernetes.apiserver.validation.spelling import fine
from pybernetes.apiserver.validation.volume_sources import JUDGED_AS

Volumes = Mapping[str, Mapping[str, Any]]
_PORTAL = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified."


def validate_volumes(spec: Mapping[str, Any], path: str, pod: str, errors: list[FieldError]) -> Volumes:
    """Adds the faults to `errors`; the good volumes by name, which are those that can be mounted.

    `pod` is the name of a real Pod, whose ephemeral volumes become claims; empty for templates.
    """
    good: dict[str, Mapping[str, Any]] = {}
    volumes = spec.get("volumes")
    if not volumes:
        return good
    made = {f"{pod}-{volume.get('name') or ''}" for volume in volumes if volume.get("ephemeral") is not None and pod}
    for index, volume in enumerate(volumes):
        at = f"{path}.volumes[{index}]"
        faults = [*_source(volume, at, pod)]
        name = volume.get("name") or ""
        if not name:
            faults.append(required(f"{at}.name"))
        elif not fine(names.dns1123_label, name):
            faults += check(f"{at}.name", name, names.dns1123_label(name))
        if name in good:
            faults.append(duplicate(f"{at}.name", name))
        if faults:
            errors += faults
        else:
            good[name] = volume
        claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        if claim in made:
            why = "must not reference a PVC that gets created for an ephemeral volume"
            errors.append(invalid_value(f"{at}.persistentVolumeClaim.claimName", claim, why))
    return good


def _source(volume: Mapping[str, Any], path: str, pod: str) -> FieldErrors:
    given = [field for field in volume if field != "name" and field in RULES and volume[field] is not None]
    if len(given) > 1:
        given = [field for field in RULES if field in given]
        for extra in given[1:]:
            yield field_forbidden(f"{path}.{FORBIDDEN_AS.get(extra, extra)}", "may not specify more than 1 volume type")
    elif not given:
        yield required(path, "must specify a volume type")
        return
    kind = given[0]
    source = volume[kind]
    yield from RULES[kind](source, f"{path}.{JUDGED_AS.get(kind, kind)}")
    name = volume.get("name") or ""
    if kind == "image" and pod and not source.get("reference"):
        yield required(f"{path}.image.reference")
    elif kind == "ephemeral" and pod and name:
        claim = f"{pod}-{name}"
        yield from check(f"{path}.name", name, (f'PVC name "{claim}": {m}' for m in names.dns1123_subdomain(claim)))
    iscsi = volume.get("iscsi") or {}
    if iscsi.get("initiatorName") is not None and len(f"{name}:{iscsi.get('targetPortal') or ''}".encode()) > 64:
        yield invalid_value(f"{path}.name", name, _PORTAL)
