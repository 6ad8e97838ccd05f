"""Serving: a CustomResourceDefinition as the Served of its versions, which the common machinery does the rest with.

Nothing of a schema is read before the first request to its version: hundreds of definitions cost little.
"""

import base64
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, partial
from types import MappingProxyType
from typing import Any

from pybernetes.api.canonical import Canonical
from pybernetes.api.errors import BadRequest, FieldError, invalid_value
from pybernetes.api.facts import ResourceFacts, Subresource
from pybernetes.api.objects import GroupResource, GroupVersionKind, Object
from pybernetes.apiserver.catalog import ROOT, Served, head
from pybernetes.apiserver.crd.columns import columns_of
from pybernetes.apiserver.crd.owning import root_node
from pybernetes.apiserver.crd.paths import look, selectable
from pybernetes.apiserver.crd.shaping import Shaper, Unreadable, object_metadata, refused, schema_of, unknown_fields
from pybernetes.apiserver.crd.validation import NEW, Validator
from pybernetes.apiserver.form import Form
from pybernetes.apiserver.resource import Alias, Resource, ScalePaths
from pybernetes.apiserver.validation.conditions import is_true
from pybernetes.rules.patch.typed import Node

_VERBS = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")
_PARTS = ("get", "patch", "update")
_SCALE = GroupVersionKind("autoscaling", "v1", "Scale")
_INT32 = 2**31 - 1
_NO_CONVERTER = "conversion webhooks are not called by this server: only the storage version {} can be asked for"


class Version:
    """One version of a definition: what is made from its schema, each when first asked for."""

    def __init__(self, crd: Object, version: Mapping[str, Any]) -> None:
        spec = crd["spec"]
        names = (crd.get("status") or {}).get("acceptedNames") or spec["names"]
        self.declared = version
        self.gvk = GroupVersionKind(spec["group"], version["name"], names.get("kind", ""))
        self.raw: Mapping[str, Any] | None = (version.get("schema") or {}).get("openAPIV3Schema")
        self.subresources: Mapping[str, Any] = version.get("subresources") or {}

    @cached_property
    def _schema(self) -> Any:
        return schema_of(self.raw)

    @cached_property
    def _shape(self) -> Callable[[Any, list[bool]], Any]:
        return Shaper().of(self._schema)

    @cached_property
    def _validator(self) -> Validator:
        return Validator(self._schema)

    @cached_property
    def node(self) -> Node:
        """For server-side apply."""
        return root_node(self._schema)

    def walk(self, value: Any) -> Canonical:
        """Form.walk: pruned, defaulted, metadata canonical. Raises BadRequest."""
        strange: list[bool] = []
        try:
            shaped = self._shape(value, strange)
            metadata = object_metadata(value.get("metadata"), strange)
        except Unreadable as error:
            raise refused(self.gvk.kind, self.gvk.version, error) from None
        except RecursionError:
            raise BadRequest("couldn't get version/kind; json parse error: exceeded max depth") from None
        obj = {"kind": self.gvk.kind, "apiVersion": self.gvk.api_version, "metadata": metadata, **shaped}
        if not strange:
            return Canonical(obj)
        found = unknown_fields(value, self._schema)
        return Canonical(obj, tuple(f'unknown field "{path}"' for path in found))

    def faults(self, obj: Object, old: Any = NEW) -> list[FieldError]:
        """All faults of an object, those of its scale paths last."""
        return [*self._validator.faults(obj, old), *self._scale_faults(obj)]

    def status_faults(self, obj: Object, old: Object) -> list[FieldError]:
        """All faults of a write of status."""
        found = self._validator.status_faults(obj, old)
        return [*found, *self._scale_faults(obj, ("statusReplicasPath",))]

    def _scale_faults(
        self, obj: Object, fields: Sequence[str] = ("specReplicasPath", "statusReplicasPath")
    ) -> Iterable[FieldError]:
        scale = self.subresources.get("scale")
        if scale is None:
            return
        for field in fields:
            path = scale.get(field) or ""
            value = look(obj, _steps(path))
            if value is None:
                continue
            if not isinstance(value, int) or isinstance(value, bool):
                why = f"{path} accessor error: {value} is of the type {_go_type(value)}, expected int64"
                yield invalid_value(path, 0, why)
            elif value < 0:
                yield invalid_value(path, value, "should be a non-negative integer")
            elif value > _INT32:
                yield invalid_value(path, value, f"should be less than or equal to {_INT32}")
        path = scale.get("labelSelectorPath") or ""
        value = look(obj, _steps(path)) if path else None
        if value is not None and not isinstance(value, str):
            why = f"{path} accessor error: {value} is of the type {_go_type(value)}, expected string"
            yield invalid_value(path, "", why)


def _go_type(value: Any) -> str:
    names = {bool: "bool", int: "int64", float: "float64", str: "string", list: "[]interface {}"}
    return names.get(type(value), "map[string]interface {}")


def _steps(path: str) -> list[str]:
    return path.removeprefix(".").split(".")


def served_of(crd: Object) -> list[Served]:
    """The served versions of a definition, the stored one first whether it is served or not."""
    spec = crd["spec"]
    versions = sorted(spec.get("versions") or (), key=lambda version: not version.get("storage"))
    stored: Served | None = None
    found: list[Served] = []
    selectables = {
        path: partial(selectable, path=steps) for version in versions for path, steps in _selectables(version).items()
    }
    for version in versions:
        made = _served(crd, Version(crd, version), stored, selectables)
        stored = stored or made
        found.append(made)
    return found


def _selectables(version: Mapping[str, Any]) -> dict[str, list[str]]:
    paths = [field.get("jsonPath", "") for field in version.get("selectableFields") or ()]
    return {path.removeprefix("."): _steps(path) for path in paths}


def _served(crd: Object, version: Version, stored: Served | None, selectables: Mapping[str, Any]) -> Served:
    spec = crd["spec"]
    conversion = (spec.get("conversion") or {}).get("strategy", "None")
    facts = _facts(crd, version, stored)
    resource = _resource(version, facts, selectables)
    form = Form(gvk=facts.gvk, walk=version.walk, published=version.raw or {}, node=version.node)
    return Served(
        resource,
        facts,
        f"{ROOT}{facts.group}/{facts.plural}/",
        head(facts),
        GroupResource(facts.group, facts.plural),
        form,
        source=stored,
        alias=None if stored is None else Alias(group=facts.group, version=facts.version),
        fields=selectables if stored is None else {},
        restore=(lambda obj: version.walk(obj).object) if stored is None else None,
        own_form=True,
        list_kind=_names(crd).get("listKind", ""),
        ending=is_true(crd, "Terminating"),
        refused=_NO_CONVERTER.format(stored.facts.version) if stored is not None and conversion != "None" else "",
    )


def _names(crd: Object) -> Mapping[str, Any]:
    found: Mapping[str, Any] = (crd.get("status") or {}).get("acceptedNames") or {}
    return found if found.get("plural") else crd["spec"]["names"]


def _facts(crd: Object, version: Version, stored: Served | None) -> ResourceFacts:
    spec, names = crd["spec"], _names(crd)
    parts: dict[str, Subresource] = {}
    if "scale" in version.subresources:
        parts["scale"] = Subresource(_PARTS, _SCALE)
    if "status" in version.subresources:
        parts["status"] = Subresource(_PARTS, version.gvk)
    stored_in = stored.facts.version if stored is not None else version.gvk.version
    text = f"{version.gvk.group}/{stored_in}/{version.gvk.kind}"
    return ResourceFacts(
        group=version.gvk.group,
        version=version.gvk.version,
        plural=names["plural"],
        singular=names.get("singular", ""),
        kind=version.gvk.kind,
        namespaced=spec.get("scope") == "Namespaced",
        verbs=_VERBS,
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        subresources=MappingProxyType(parts),
        storage_version_hash=base64.b64encode(hashlib.sha256(text.encode()).digest()[:8]).decode(),
        module="",
    )


def _resource(version: Version, facts: ResourceFacts, selectables: Mapping[str, Any]) -> Resource:
    scale = version.subresources.get("scale")
    own, declared = _selectables(version.declared), version.declared
    warning = declared.get("deprecationWarning") or f"{facts.api_version} {facts.kind} is deprecated"
    return Resource(
        group=facts.group,
        plural=facts.plural,
        version=facts.version,
        validate=version.faults,
        validate_update=version.faults,
        validate_status=version.status_faults,
        ratchets=True,
        prepare=_prepare if "status" in facts.subresources else _keep_status,
        prepare_status=_prepare_status,
        unconditional_update=False,
        status_on_create="status" not in facts.subresources,
        warn=_warn,
        deprecated=warning if declared.get("deprecated") else "",
        columns=columns_of(declared.get("additionalPrinterColumns") or ()),
        selectable_fields={path: getter for path, getter in selectables.items() if path in own},
        scale=None if scale is None else _scale_paths(scale),
    )


def _scale_paths(scale: Mapping[str, Any]) -> ScalePaths:
    paths = {name: (scale.get(f"{name}Path") or "").removeprefix(".") for name in _SCALE_FIELDS}
    return ScalePaths(spec=paths["specReplicas"], status=paths["statusReplicas"], selector=paths["labelSelector"])


_SCALE_FIELDS = ("specReplicas", "statusReplicas", "labelSelector")


def _prepare(obj: Object, old: Object | None) -> None:
    if old is None:
        obj.pop("status", None)


def _keep_status(obj: Object, old: Object | None) -> None:
    """Status is a field as any other."""


def _prepare_status(obj: Object, old: Object) -> None:
    """Metadata is not written here, but for who owns what."""
    managed = obj["metadata"].get("managedFields")
    obj["metadata"] = {**old["metadata"]}
    if managed is not None:
        obj["metadata"]["managedFields"] = managed


def _warn(obj: Object, old: Object | None) -> Iterable[str]:
    """Finalizers without a domain are a risk to others'."""
    before = set(((old or {}).get("metadata") or {}).get("finalizers") or ())
    for name in sorted(set(obj["metadata"].get("finalizers") or ()) - before):
        if "/" not in name and name not in ("orphan", "foregroundDeletion", "kubernetes"):
            yield (
                f'metadata.finalizers: "{name}": prefer a domain-qualified finalizer name including a path (/) to avoid '
                "accidental conflicts with other finalizer writers"
            )


_KUBE = re.compile(r"^v([1-9][0-9]*)(?:(alpha|beta)([1-9][0-9]*))?$")


def priority(version: str) -> tuple[Any, ...]:
    """Sorts versions as discovery lists them: v10, v2, v1, v11beta2, v3beta1, v12alpha1, foo1."""
    found = _KUBE.match(version)
    if found is None:
        return (3, 0, 0, version)
    stage = {None: 0, "beta": 1, "alpha": 2}[found[2]]
    return (stage, -int(found[1]), -int(found[3] or 0), "")
