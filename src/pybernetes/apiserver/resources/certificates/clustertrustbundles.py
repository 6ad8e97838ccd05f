"""ClusterTrustBundle: authorities that Pods of the whole cluster may trust, perhaps those of one signer."""

from pybernetes.api import names
from pybernetes.api.objects import Object
from pybernetes.apiserver.resource import Column, Resource
from pybernetes.apiserver.resources._columns import NAME, spec
from pybernetes.apiserver.resources.certificates._signing import GROUP
from pybernetes.apiserver.validation.certificates import signer_name, trust_bundle
from pybernetes.apiserver.validation.fields import FieldErrors, check, immutable


def _signer(obj: Object) -> str:
    return spec(obj).get("signerName") or ""


def _validate(obj: Object) -> FieldErrors:
    signer, name = _signer(obj), obj["metadata"].get("name") or ""
    if name:
        yield from check("metadata.name", name, _name_faults(name, signer))
    if signer:
        yield from signer_name(signer)
    yield from trust_bundle(spec(obj).get("trustBundle") or "")


def _name_faults(name: str, signer: str) -> list[str]:
    if not signer:
        if ":" in name:
            return ['ClusterTrustBundle without signer name must not have ":" in its name']
        return names.dns1123_subdomain(name)
    prefix = signer.replace("/", ":") + ":"
    if not name.startswith(prefix):
        return [f"ClusterTrustBundle for signerName {signer} must be named with prefix {prefix}"]
    return names.dns1123_subdomain(name.removeprefix(prefix))


def _validate_update(obj: Object, old: Object) -> FieldErrors:
    yield from immutable("spec.signerName", _signer(obj), _signer(old))


RESOURCE = Resource(
    group=GROUP,
    plural="clustertrustbundles",
    validate=_validate,
    validate_update=_validate_update,
    validate_name=names.path_segment,
    generation=False,
    unconditional_update=False,
    columns=(
        NAME,
        Column("SignerName", lambda obj: _signer(obj) or "<none>", description="Whose authorities they are."),
    ),
    selectable_fields={"spec.signerName": _signer},
)
