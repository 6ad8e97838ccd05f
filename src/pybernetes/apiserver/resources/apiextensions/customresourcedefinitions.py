"""customresourcedefinitions.apiextensions.k8s.io: the definition itself. What it declares is served by apiserver.crd."""

from collections.abc import Iterator

from pybernetes.api import names
from pybernetes.api.errors import FieldError, invalid, invalid_value
from pybernetes.api.objects import Object
from pybernetes.apiserver.crd.conditions import CLEANUP, find, pending, put
from pybernetes.apiserver.crd.declaration import (
    Options,
    approval_faults,
    changed,
    names_faults,
    spec_faults,
    stored_versions,
)
from pybernetes.apiserver.crd.rules import leniency, unknown_formats
from pybernetes.apiserver.resource import Resource
from pybernetes.apiserver.validation.webhooks import default_service

_REVIEWS = {"v1", "v1beta1"}


def _default(crd: Object) -> None:
    spec = crd.setdefault("spec", {})
    declared = spec.setdefault("names", {})
    kind = declared.get("kind", "")
    if not declared.get("singular") and kind:
        declared["singular"] = kind.lower()
    if not declared.get("listKind") and kind:
        declared["listKind"] = f"{kind}List"
    if spec.get("conversion") is None:
        spec["conversion"] = {"strategy": "None"}
    default_service((spec["conversion"].get("webhook") or {}).get("clientConfig"))


def _prepare(crd: Object, old: Object | None) -> None:
    if old is not None and crd["spec"] == old.get("spec"):
        # Annotations count here, and a change of metadata alone is not validated.
        faults = list(approval_faults(crd, old))
        if faults:
            raise invalid(RESOURCE.group, "CustomResourceDefinition", crd["metadata"].get("name", ""), faults)
    status = dict((old or {}).get("status") or {})
    stored = list(status.get("storedVersions") or ())
    for version in crd["spec"].get("versions") or ():
        if version.get("storage") and version.get("name", "") not in stored:
            stored.append(version.get("name", ""))
            break
    crd["status"] = {**(crd.get("status") or {}), **status, "storedVersions": stored}


def _validate_name(name: str) -> list[str]:
    """The rule that ties it to the spec needs the spec: see _named."""
    return []


def _named(crd: Object) -> Iterator[FieldError]:
    name = crd["metadata"].get("name", "")
    spec = crd["spec"]
    faults = names.dns1123_subdomain(name)
    if name != f"{(spec.get('names') or {}).get('plural', '')}.{spec.get('group', '')}":
        faults.append('must be spec.names.plural+"."+spec.group')
    for why in faults if name else ():
        yield invalid_value("metadata.name", name, why)


def _validate(crd: Object) -> Iterator[FieldError]:
    yield from _named(crd)
    yield from spec_faults(crd["spec"], Options())
    yield from stored_versions(crd)
    yield from approval_faults(crd, None)


def _validate_update(crd: Object, old: Object) -> Iterator[FieldError]:
    before = old.get("spec") or {}
    if crd["spec"] == before:
        return
    schemas = [(version.get("schema") or {}).get("openAPIV3Schema") for version in before.get("versions") or ()]
    reviews = ((before.get("conversion") or {}).get("webhook") or {}).get("conversionReviewVersions") or ()
    options = Options(
        schemas=all(schemas),
        reviews=not reviews or bool(_REVIEWS & set(reviews)),
        lenient=leniency([raw for raw in schemas if raw]),
    )
    yield from spec_faults(crd["spec"], options)
    established = find(old, "Established")
    yield from changed(crd["spec"], before, established=(established or {}).get("status") == "True")
    yield from _validate_status(crd, old)
    yield from stored_versions(crd)
    yield from approval_faults(crd, old)


def _validate_status(crd: Object, old: Object) -> Iterator[FieldError]:
    yield from names_faults((crd.get("status") or {}).get("acceptedNames") or {}, "status.acceptedNames")


def _warn(crd: Object, old: Object | None) -> Iterator[str]:
    before = _formats(old) if old is not None else []
    for name in dict.fromkeys(_formats(crd)):
        if name not in before:
            yield f'unrecognized format "{name}"'


def _formats(crd: Object) -> list[str]:
    schemas = [(version.get("schema") or {}).get("openAPIV3Schema") for version in crd["spec"].get("versions") or ()]
    return [name for raw in schemas if raw for name in unknown_formats(raw)]


def _stays(crd: Object) -> bool:
    """The first deletion only says so: the objects go first (apiserver.crd.instances)."""
    if find(crd, "Terminating") is not None:
        return False
    put(crd, pending(crd["metadata"].get("deletionTimestamp", "")))
    crd["metadata"]["finalizers"] = [*(crd["metadata"].get("finalizers") or ()), CLEANUP]
    return True


RESOURCE = Resource(
    group="apiextensions.k8s.io",
    plural="customresourcedefinitions",
    storage_prefix="apiextensions.k8s.io/customresourcedefinitions",
    default=_default,
    prepare=_prepare,
    validate_name=_validate_name,
    validate=_validate,
    validate_update=_validate_update,
    validate_status=_validate_status,
    ratchets=True,
    warn=_warn,
    unconditional_update=False,
    stays=_stays,
)
