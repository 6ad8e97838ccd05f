"""ServiceCIDR: ranges that ClusterIPs of Services come from."""

from pybernetes.api.errors import invalid_value, required
from pybernetes.api.objects import Object
from pybernetes.apiserver.resource import Column, Resource
from pybernetes.apiserver.resources._columns import AGE, spec
from pybernetes.apiserver.validation.addresses import canonical_cidr, family
from pybernetes.apiserver.validation.fields import IMMUTABLE, FieldErrors, check
from pybernetes.apiserver.validation.internal import internal
from pybernetes.apiserver.validation.meta import keep_metadata

_CIDRS = "spec.cidrs"
_MOST = 2


def _validate(obj: Object) -> FieldErrors:
    cidrs = spec(obj).get("cidrs") or []
    if not cidrs:
        yield required(_CIDRS, "at least one CIDR required")
        return
    if len(cidrs) > _MOST:
        shown = internal(spec(obj), "io.k8s.api.networking.v1.ServiceCIDRSpec")
        yield invalid_value(_CIDRS, shown, f"may only hold up to {_MOST} values")
        return
    for index, cidr in enumerate(cidrs):
        yield from check(f"{_CIDRS}[{index}]", cidr, canonical_cidr(cidr))
    families = [family(cidr) for cidr in cidrs]
    if len(cidrs) == _MOST and families[0] == families[1] != 0:
        why = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"
        yield invalid_value(_CIDRS, cidrs, why)


def _validate_update(obj: Object, old: Object) -> FieldErrors:
    """What is there stays; a range of the other family may be added to a single one."""
    cidrs, before = spec(obj).get("cidrs") or [], spec(old).get("cidrs") or []
    if len(cidrs) != len(before) and (len(before), len(cidrs)) != (1, _MOST):
        yield invalid_value(_CIDRS, cidrs, IMMUTABLE)
        return
    for index, (new, known) in enumerate(zip(cidrs, before, strict=False)):
        if new != known:
            yield invalid_value(f"{_CIDRS}[{index}]", new, IMMUTABLE)


RESOURCE = Resource(
    group="networking.k8s.io",
    plural="servicecidrs",
    validate=_validate,
    validate_update=_validate_update,
    prepare_status=keep_metadata,
    generation=False,
    columns=(
        Column("CIDRs", lambda obj: ",".join(spec(obj).get("cidrs") or ()), description="The ranges."),
        AGE,
    ),
)
