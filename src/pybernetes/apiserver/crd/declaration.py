"""What a CustomResourceDefinition may declare: names, versions, subresources, columns, conversion. rules.py judges schemas.

As upstream sees it, what all versions say alike is said of the whole: faults of a single version's schema are at
`spec.validation.openAPIV3Schema`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from pybernetes.api import names
from pybernetes.api.errors import FieldError, duplicate, field_forbidden, invalid_value, required
from pybernetes.api.objects import Object
from pybernetes.apiserver.crd.paths import BadPath, field_path
from pybernetes.apiserver.crd.rules import Leniency, schema_faults
from pybernetes.apiserver.crd.structural import Structural
from pybernetes.apiserver.validation.fields import each, immutable, one_of, too_many
from pybernetes.apiserver.validation.webhooks import validate_client

Faults = Iterator[FieldError]

_SCOPES = ("Cluster", "Namespaced")
_STRATEGIES = ("None", "Webhook")
_REVIEWS = ("v1", "v1beta1")
_COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS = ("byte", "date", "date-time", "double", "float", "int32", "int64", "password")
_SELECTABLE = ("string", "boolean", "integer")
_MOST_SELECTABLE = 8
_APPROVAL = "api-approved.kubernetes.io"
_POLICY = "https://github.com/kubernetes/enhancements/pull/1111"
_HOISTED = {"schema": "validation"}


class Options(Struct, frozen=True):
    """What is asked of a definition beyond the rules: an update need not mend what was stored."""

    schemas: bool = True
    """Every version has a schema."""
    reviews: bool = True
    """One of the versions of ConversionReview is known."""
    lenient: Leniency = Leniency()


def spec_faults(spec: Mapping[str, Any], options: Options) -> Faults:
    """All faults of `spec`."""
    yield from _group(spec.get("group", ""))
    yield from one_of("spec.scope", spec.get("scope", ""), _SCOPES)
    versions = spec.get("versions") or []
    if options.schemas:
        for at, version in each(spec, "versions", "spec"):
            if not (version.get("schema") or {}).get("openAPIV3Schema"):
                yield required(f"{at}.schema.openAPIV3Schema", "schemas are required")
    for at, version in each(spec, "versions", "spec"):
        name = version.get("name", "")
        wrong = names.dns1035_label(name)
        if wrong:
            yield invalid_value(f"{at}.name", name, ",".join(wrong))
        yield from _deprecation(version, at)
    found = [version.get("name", "") for version in versions]
    if len(set(found)) != len(found):
        yield invalid_value("spec.versions", versions, "must contain unique version names")
    if sum(bool(version.get("storage")) for version in versions) != 1:
        yield invalid_value("spec.versions", versions, "must have exactly one version marked as storage version")
    declared = spec.get("names") or {}
    for name in ("plural", "singular", "kind", "listKind"):
        if not declared.get(name):
            yield required(f"spec.names.{name}")
    yield from names_faults(declared, "spec.names")
    yield from _versions(spec, options)
    yield from _conversion(spec.get("conversion") or {}, options)
    if spec.get("preserveUnknownFields"):
        yield invalid_value("spec.preserveUnknownFields", True, "must be false")


def _group(group: str) -> Faults:
    wrong = names.dns1123_subdomain(group)
    if not group:
        yield required("spec.group")
    elif wrong:
        yield invalid_value("spec.group", group, ",".join(wrong))
    elif "." not in group:
        yield invalid_value("spec.group", group, "should be a domain with at least one dot")


def _deprecation(version: Mapping[str, Any], at: str) -> Faults:
    text = version.get("deprecationWarning")
    if text is None:
        return
    here = f"{at}.deprecationWarning"
    if not version.get("deprecated"):
        yield invalid_value(here, text, "can only be set for deprecated versions")
        return
    if len(text.encode()) > 256:
        yield invalid_value(here, text, "must be <= 256 characters long")
    if not text:
        yield invalid_value(here, text, "must not be an empty string")
    bad = next((index for index, letter in enumerate(text) if not letter.isprintable()), None)
    if bad is not None:
        index = len(text[:bad].encode())
        why = f"must only contain printable UTF-8 characters; non-printable character found at index {index}"
        yield invalid_value(here, text, why)


def _versions(spec: Mapping[str, Any], options: Options) -> Faults:
    """What versions say one by one, said once where they all say the same."""
    versions = spec.get("versions") or []
    places: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
    for field in ("schema", "subresources", "additionalPrinterColumns", "selectableFields"):
        alike = len(versions) > 0 and all(version.get(field) == versions[0].get(field) for version in versions)
        if alike:
            places[field] = [(f"spec.{_HOISTED.get(field, field)}", versions[0])]
        else:
            places[field] = [(f"spec.versions[{i}].{field}", version) for i, version in enumerate(versions)]
    any_status = any(_has_status(version) for version in versions)
    for at, version in places["schema"]:
        raw = (version.get("schema") or {}).get("openAPIV3Schema")
        if raw is not None:
            status = any_status if at == "spec.validation" else _has_status(version)
            yield from schema_faults(raw, f"{at}.openAPIV3Schema", status=status, lenient=options.lenient)
    for at, version in places["subresources"]:
        yield from _scale((version.get("subresources") or {}).get("scale"), f"{at}.scale")
    for at, version in places["additionalPrinterColumns"]:
        for index, column in enumerate(version.get("additionalPrinterColumns") or ()):
            yield from _column(column, f"{at}[{index}]")
    for at, version in places["selectableFields"]:
        yield from _selectable(version, at)


def _has_status(version: Mapping[str, Any]) -> bool:
    return (version.get("subresources") or {}).get("status") is not None


def names_faults(declared: Mapping[str, Any], at: str) -> Faults:
    """Of spec.names and status.acceptedNames."""
    for name in ("plural", "singular"):
        text = declared.get(name, "")
        wrong = names.dns1035_label(text)
        if text and wrong:
            yield invalid_value(f"{at}.{name}", text, ",".join(wrong))
    for name in ("kind", "listKind"):
        text = declared.get(name, "")
        wrong = names.dns1035_label(text.lower())
        if text and wrong:
            why = "may have mixed case, but should otherwise match: " + ",".join(wrong)
            yield invalid_value(f"{at}.{name}", text, why)
    yield from _labels(declared, "shortNames", at)
    if declared.get("kind") and declared["kind"] == declared.get("listKind"):
        yield invalid_value(f"{at}.listKind", declared["listKind"], "kind and listKind may not be the same")
    yield from _labels(declared, "categories", at)


def _labels(declared: Mapping[str, Any], field: str, at: str) -> Faults:
    for index, text in enumerate(declared.get(field) or ()):
        wrong = names.dns1035_label(text)
        if wrong:
            yield invalid_value(f"{at}.{field}[{index}]", text, ",".join(wrong))


def _scale(scale: Mapping[str, Any] | None, at: str) -> Faults:
    if scale is None:
        return
    for field, prefixes, where in (
        ("specReplicasPath", (".spec.",), "under .spec"),
        ("statusReplicasPath", (".status.",), "under .status"),
        ("labelSelectorPath", (".spec.", ".status."), "under either .spec or .status"),
    ):
        path = scale.get(field) or ""
        if not path:
            if field != "labelSelectorPath":
                yield required(f"{at}.{field}")
        elif not path.startswith("."):
            yield invalid_value(f"{at}.{field}", path, "must be a simple json path starting with .")
        elif not path.startswith(prefixes):
            yield invalid_value(f"{at}.{field}", path, f"should be a json path {where}")


def _column(column: Mapping[str, Any], at: str) -> Faults:
    if not column.get("name"):
        yield required(f"{at}.name")
    kind, shape, path = column.get("type", ""), column.get("format", ""), column.get("jsonPath", "")
    listed = f"must be one of {','.join(_COLUMN_TYPES)}"
    if not kind:
        yield required(f"{at}.type", listed)
    elif kind not in _COLUMN_TYPES:
        yield invalid_value(f"{at}.type", kind, listed)
    if shape and shape not in _COLUMN_FORMATS:
        yield invalid_value(f"{at}.format", shape, f"must be one of {','.join(_COLUMN_FORMATS)}")
    if not path:
        yield required(f"{at}.JSONPath")
    elif not path.startswith("."):
        yield invalid_value(f"{at}.JSONPath", path, "must be a simple json path starting with .")


def _selectable(version: Mapping[str, Any], at: str) -> Faults:
    declared = version.get("selectableFields") or ()
    raw = (version.get("schema") or {}).get("openAPIV3Schema")
    if declared and raw is None:
        yield invalid_value(
            at, "", "selectableFields may only be set when version.schema.openAPIV3Schema is not included"
        )
        return
    seen: set[tuple[str, ...]] = set()
    for index, field in enumerate(declared):
        here, path = f"{at}[{index}].jsonPath", field.get("jsonPath", "")
        if not path:
            yield required(here)
            continue
        try:
            steps, found = field_path(path, Structural(raw or {}))
        except BadPath as error:
            yield invalid_value(here, path, f"is an invalid path: {error}")
            continue
        if steps[0] == "metadata":
            yield invalid_value(here, path, "must not point to fields in metadata")
        if found.type not in _SELECTABLE:
            why = "must point to a field of type string, boolean or integer."
            yield invalid_value(here, path, f"{why} Enum string fields and strings with formats are allowed.")
        if tuple(steps) in seen:
            yield duplicate(here, path)
        seen.add(tuple(steps))
    if len(seen) > _MOST_SELECTABLE:
        yield too_many(at, len(seen), _MOST_SELECTABLE)


def _conversion(conversion: Mapping[str, Any], options: Options) -> Faults:
    strategy = conversion.get("strategy", "")
    yield from one_of("spec.conversion.strategy", strategy, _STRATEGIES)
    webhook = conversion.get("webhook") or {}
    client, versions = webhook.get("clientConfig"), webhook.get("conversionReviewVersions") or []
    at, reviews = "spec.conversion.webhookClientConfig", "spec.conversion.conversionReviewVersions"
    if strategy != "Webhook":
        why = "should not be set when strategy is not set to Webhook"
        if client is not None:
            yield field_forbidden(at, why)
        if versions:
            yield field_forbidden(reviews, why)
        return
    if client is None:
        yield required(at, "required when strategy is set to Webhook")
    else:
        yield from validate_client(client, at)
    if not versions:
        yield required(reviews)
        return
    for index, version in enumerate(versions):
        if version in versions[:index]:
            yield invalid_value(f"{reviews}[{index}]", version, "duplicate version")
            continue
        for why in names.dns1035_label(version):
            yield invalid_value(f"{reviews}[{index}]", version, why)
    if options.reviews and not set(versions) & set(_REVIEWS):
        yield invalid_value(reviews, versions, f"must include at least one of {', '.join(_REVIEWS)}")


def changed(spec: Mapping[str, Any], old: Mapping[str, Any], *, established: bool) -> Faults:
    """What may not change: what others already count on."""
    mine, theirs = spec.get("names") or {}, old.get("names") or {}
    if established:
        yield from immutable("spec.scope", spec.get("scope"), old.get("scope"))
        yield from immutable("spec.names.kind", mine.get("kind"), theirs.get("kind"))
    yield from immutable("spec.group", spec.get("group"), old.get("group"))
    yield from immutable("spec.names.plural", mine.get("plural"), theirs.get("plural"))


def stored_versions(crd: Object) -> Faults:
    """status.storedVersions and spec.versions together: nothing stored may lose its version."""
    stored = (crd.get("status") or {}).get("storedVersions") or []
    at = "status.storedVersions"
    if not stored:
        yield invalid_value(at, stored, "must have at least one stored version")
        return
    versions = (crd.get("spec") or {}).get("versions") or ()
    for version in versions:
        if version.get("storage") and version.get("name") not in stored:
            yield invalid_value(at, stored, f"must have the storage version {version.get('name', '')}")
    known = {version.get("name") for version in versions}
    for index, name in enumerate(stored):
        if name not in known:
            why = (
                f"missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions "
                f"until a storage migration ensures no data remains persisted in {name} and removes {name} from "
                "status.storedVersions"
            )
            yield invalid_value(f"{at}[{index}]", name, why)


def approval(crd: Object) -> tuple[str, str] | None:
    """Whether a group of the Kubernetes community has been approved: (reason of the condition, text); None: no such group."""
    group = (crd.get("spec") or {}).get("group", "")
    if not (group in ("k8s.io", "kubernetes.io") or group.endswith((".k8s.io", ".kubernetes.io"))):
        return None
    value = (crd["metadata"].get("annotations") or {}).get(_APPROVAL, "")
    needed = f'protected groups must have approval annotation "{_APPROVAL}"'
    if not value:
        return "MissingAnnotation", f"{needed}, see {_POLICY}"
    if value.startswith("unapproved"):
        return "UnapprovedAnnotation", f'not approved: "{value}"'
    scheme, separator, rest = value.partition("://")
    if separator and scheme and rest.partition("/")[0] and " " not in value:
        return "ApprovedAnnotation", f"approved in {value}"
    return "InvalidAnnotation", f'{needed} with either a URL or a reason starting with "unapproved", see {_POLICY}'


def approval_faults(crd: Object, old: Object | None) -> Faults:
    """Of the annotation that the community's groups need."""
    state = approval(crd)
    before = approval(old) if old is not None else None
    if state is None or (before is not None and before[0] == state[0]):
        return
    at = f"metadata.annotations[{_APPROVAL}]"
    if state[0] == "MissingAnnotation":
        yield required(at, state[1])
    elif state[0] == "InvalidAnnotation":
        yield invalid_value(at, crd["metadata"]["annotations"][_APPROVAL], state[1])
