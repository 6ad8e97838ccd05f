"""NamespaceLifecycle: nothing is created in a namespace that is not there or is going; the system's own ones stay."""

from pybernetes.api.errors import forbidden
from pybernetes.api.objects import GroupResource, Object
from pybernetes.apiserver.admission._followed import NAMESPACES, Followed, refused
from pybernetes.apiserver.extension import Admission, AdmissionRequest, Hooks
from pybernetes.apiserver.registry import Registry

_FOR_EVER = frozenset({"default", "kube-system", "kube-public"})
_REVIEWS = GroupResource("authorization.k8s.io", "localsubjectaccessreviews")
"""Whether a namespace is there is nothing that such a review may tell."""


def _start(registry: Registry, configuration: Object) -> Hooks:
    namespaces = Followed(registry, NAMESPACES)

    async def mutate(request: AdmissionRequest) -> None:
        call = request.call
        if request.operation == "DELETE":
            if call.name in _FOR_EVER and call.resource.group_resource == NAMESPACES:
                raise forbidden(NAMESPACES, call.name, "this namespace may not be deleted")
            return
        if not call.namespace:
            return
        found = namespaces.get(call.namespace)
        if found is not None and (found.get("status") or {}).get("phase") != "Terminating":
            return
        resource = call.resource.group_resource
        if resource in (_REVIEWS, NAMESPACES):
            return
        if found is None:
            found = await registry.get(NAMESPACES, "", call.namespace)  # raises NotFound
        if request.operation == "CREATE" and (found.get("status") or {}).get("phase") == "Terminating":
            _refuse(request)

    return Hooks(mutate=mutate)


def _refuse(request: AdmissionRequest) -> None:
    namespace = request.call.namespace
    refusal = refused(request, f"unable to create new content in namespace {namespace} because it is being terminated")
    message = f"namespace {namespace} is being terminated"
    refusal.details["causes"] = [{"reason": "NamespaceTerminating", "message": message, "field": "metadata.namespace"}]
    raise refusal


ADMISSION = Admission(
    name="NamespaceLifecycle", order=30, operations=frozenset({"CREATE", "UPDATE", "DELETE"}), start=_start
)
