"""OwnerReferencesPermissionEnforcement: who may not delete a thing may not let the garbage collector do it for them."""

from collections.abc import Mapping
from typing import Any

from pybernetes.api import facts
from pybernetes.api.objects import GroupResource, split_api_version
from pybernetes.apiserver.admission._followed import refused
from pybernetes.apiserver.extension import Admission, AdmissionRequest, Attributes, Decision

_DEFINITIONS = GroupResource("apiextensions.k8s.io", "customresourcedefinitions")


async def _validate(request: AdmissionRequest) -> None:
    call = request.call
    if (call.resource.plural, call.subresource) == ("pods", "status"):
        return  # old kubelets lost owner references there; the Pod's own rules keep them
    owners, before = _owners(request.object), _owners(request.old)
    if owners == before:
        return
    own = call.resource
    attributes = Attributes(
        call.user, "delete", "", own.group, own.version, own.plural, call.subresource, call.namespace, call.name
    )
    decision, reason = call.registry.authorizer.authorize(attributes)
    if decision is not Decision.ALLOW:
        raise refused(request, f"cannot set an ownerRef on a resource you can't delete: {reason}, <nil>")
    blocking = {owner.get("uid"): bool(owner.get("blockOwnerDeletion")) for owner in before}
    for owner in owners:
        if owner.get("blockOwnerDeletion") and not blocking.get(owner.get("uid")):
            await _refuse_blocking(request, owner)


async def _refuse_blocking(request: AdmissionRequest, owner: Mapping[str, Any]) -> None:
    call = request.call
    version, kind = owner.get("apiVersion", ""), owner.get("kind", "")
    found = await _resource(request, version, kind)
    if found is None:
        what = f"cannot find RESTMapping for APIVersion {version} Kind {kind}"
        why = f'no matches for kind "{kind}" in version "{version}"'
        raise refused(request, f"cannot set blockOwnerDeletion in this case because {what}: {why}")
    plural, namespaced = found
    group, number = split_api_version(version)
    namespace = call.namespace if namespaced else ""
    attributes = Attributes(
        call.user, "update", "", group, number, plural, "finalizers", namespace, owner.get("name", "")
    )
    decision, reason = call.registry.authorizer.authorize(attributes)
    if decision is not Decision.ALLOW:
        what = "an ownerReference refers to a resource you can't set finalizers on"
        raise refused(request, f"cannot set blockOwnerDeletion if {what}: {reason}, <nil>")


async def _resource(request: AdmissionRequest, version: str, kind: str) -> tuple[str, bool] | None:
    """(plural, namespaced) of a kind, custom ones included."""
    for known in facts.resources():
        if (known.api_version, known.kind) == (version, kind):
            return known.plural, known.namespaced
    registry = request.call.registry
    if _DEFINITIONS in registry.resources:
        for definition in await registry.list(_DEFINITIONS):
            spec = definition.get("spec") or {}
            versions = {f"{spec.get('group')}/{one.get('name')}" for one in spec.get("versions") or ()}
            if version in versions and (spec.get("names") or {}).get("kind") == kind:
                return spec["names"].get("plural", ""), spec.get("scope") == "Namespaced"
    return None


def _owners(obj: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    return ((obj or {}).get("metadata") or {}).get("ownerReferences") or []


ADMISSION = Admission(name="OwnerReferencesPermissionEnforcement", order=210, validate=_validate, default_on=False)
