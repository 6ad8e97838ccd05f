"""Claims that a Pod spec carries: the template of an ephemeral volume, and resourceClaims (DRA)."""

from collections.abc import Mapping
from typing import Any

from pybernetes.api import names
from pybernetes.api.errors import duplicate, invalid_value, required
from pybernetes.apiserver.validation.claims import validate_claim_spec
from pybernetes.apiserver.validation.fields import FieldErrors, check, each
from pybernetes.apiserver.validation.meta import only_labels

_ONE_OF = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
_EITHER = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"


def validate_claim_template(template: Mapping[str, Any], path: str) -> FieldErrors:
    """A PersistentVolumeClaimTemplate."""
    yield from only_labels(template.get("metadata") or {}, f"{path}.metadata")
    yield from validate_claim_spec(template.get("spec") or {}, f"{path}.spec")


def validate_resource_claims(spec: Mapping[str, Any], path: str) -> FieldErrors:
    """spec.resourceClaims."""
    seen: set[str] = set()
    for at, claim in each(spec, "resourceClaims", path):
        name = claim.get("name") or ""
        if not name:
            yield required(f"{at}.name")
        elif name in seen:
            yield duplicate(f"{at}.name", name)
        else:
            yield from check(f"{at}.name", name, names.dns1123_label(name))
            seen.add(name)
        given = [f for f in ("resourceClaimName", "resourceClaimTemplateName") if claim.get(f) is not None]
        if len(given) != 1:
            yield invalid_value(at, claim, _ONE_OF if given else _EITHER)
        for field in given:
            yield from check(f"{at}.{field}", claim[field], names.dns1123_subdomain(claim[field]))
