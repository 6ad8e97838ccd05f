"""NamespaceLifecycle: nothing is created in a namespace that is not there or is going; the system's own ones stay."""

from pybernetes.api.errors import Forbidden, NotFound, forbidden
from pybernetes.api.objects import GroupResource
from pybernetes.apiserver.extension import Admission, AdmissionRequest

NAMESPACES = GroupResource("", "namespaces")
_FOR_EVER = frozenset({"default", "kube-system", "kube-public"})


async def _keep(request: AdmissionRequest) -> None:
    call = request.call
    if request.operation != "DELETE" or call.resource.group_resource != NAMESPACES:
        return
    if call.name in _FOR_EVER:
        raise forbidden(NAMESPACES, call.name, "this namespace may not be deleted")


async def _refuse(request: AdmissionRequest) -> None:
    call = request.call
    gr = call.resource.group_resource
    if request.operation != "CREATE" or not call.namespace or gr == NAMESPACES:
        return
    try:
        namespace = await call.registry.get(NAMESPACES, "", call.namespace)
    except NotFound:
        raise NotFound(
            f'namespaces "{call.namespace}" not found', details={"name": call.namespace, "kind": "namespaces"}
        ) from None
    if (namespace.get("status") or {}).get("phase") == "Terminating":
        raise _terminating(gr, call.name, call.namespace)


def _terminating(gr: GroupResource, name: str, namespace: str) -> Forbidden:
    refusal = forbidden(
        gr, name, f"unable to create new content in namespace {namespace} because it is being terminated"
    )
    refusal.details["causes"] = [
        {
            "reason": "NamespaceTerminating",
            "message": f"namespace {namespace} is being terminated",
            "field": "metadata.namespace",
        }
    ]
    return refusal


ADMISSION = Admission(
    name="NamespaceLifecycle",
    order=30,
    operations=frozenset({"CREATE", "DELETE"}),
    mutate=_refuse,
    validate=_keep,
)
