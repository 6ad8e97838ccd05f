"""NodeRestriction: a kubelet writes its own Node, its lease, its Pods' status, and mirror Pods; nothing else.

Who is a node: authz/node.py, which also says what a node may read.
"""

import base64
import binascii
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from pybernetes.api.errors import ApiError, Forbidden, NotFound, forbidden
from pybernetes.api.objects import GroupResource, Object
from pybernetes.apiserver.authz.node import LEASES, NODES, PREFIX
from pybernetes.apiserver.extension import Admission, AdmissionRequest
from pybernetes.wire.pki.certificates import parse_request
from pybernetes.wire.pki.keys import PkiError

PODS, NODE_RESOURCE = GroupResource("", "pods"), GroupResource("", "nodes")
MIRROR = "kubernetes.io/config.mirror"
_RESTRICTED = "node-restriction.kubernetes.io"
_KUBELET_LABELS = frozenset(
    {
        "kubernetes.io/hostname",
        "kubernetes.io/arch",
        "kubernetes.io/os",
        "beta.kubernetes.io/arch",
        "beta.kubernetes.io/os",
        "beta.kubernetes.io/instance-type",
        "node.kubernetes.io/instance-type",
        "failure-domain.beta.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
        "topology.kubernetes.io/region",
        "topology.kubernetes.io/zone",
    }
)
_KUBELET_DOMAINS = ("kubelet.kubernetes.io", "node.kubernetes.io")
_KUBELET_SIGNERS = ("kubernetes.io/kube-apiserver-client-kubelet", "kubernetes.io/kubelet-serving")


async def _validate(request: AdmissionRequest) -> None:
    user = request.call.user
    if NODES not in user.groups or not user.name.startswith(PREFIX):
        return
    node = user.name.removeprefix(PREFIX)
    gr = request.call.resource.group_resource
    if not node:
        raise forbidden(gr, request.call.name, f'could not determine node from user "{user.name}"')
    judge = _JUDGES.get((gr.group, gr.resource))
    if judge is not None:
        await judge(request, node)


async def _validate_delete(request: AdmissionRequest) -> None:
    if request.operation == "DELETE":
        await _validate(request)


def _no(request: AdmissionRequest, why: str) -> Forbidden:
    return forbidden(request.call.resource.group_resource, request.call.name, why)


async def _pods(request: AdmissionRequest, node: str) -> None:
    subresource = request.call.subresource
    if subresource == "":
        if request.operation == "CREATE":
            await _mirror(request, node)
        elif request.operation == "DELETE":
            _own_pod(request, request.old, node, "delete pods")
        else:
            raise _no(
                request,
                f'unexpected operation "{request.operation}", node "{node}" can only create and delete mirror pods',
            )
    elif subresource == "status":
        _own_pod(request, request.old, node, "update pod status for pods")
        if _labels(request.object) != _labels(request.old):
            raise _no(request, f'node "{node}" cannot update labels through pod status')
        before = ((request.old or {}).get("status") or {}).get("resourceClaimStatuses")
        if (request.object.get("status") or {}).get("resourceClaimStatuses") != before:
            raise _no(request, f'node "{node}" cannot update resource claim statuses')
    elif subresource == "eviction":
        await _eviction(request, node)
    else:
        raise _no(request, f'unexpected pod subresource "{subresource}", only "status" and "eviction" are allowed')


def _own_pod(request: AdmissionRequest, pod: Mapping[str, Any] | None, node: str, what: str) -> None:
    if pod is not None and (pod.get("spec") or {}).get("nodeName") != node:
        raise _no(request, f'node "{node}" can only {what} with spec.nodeName set to itself')


async def _eviction(request: AdmissionRequest, node: str) -> None:
    call = request.call
    pod = await call.registry.get(PODS, call.namespace, call.name)
    _own_pod(request, pod, node, "evict pods")


async def _mirror(request: AdmissionRequest, node: str) -> None:
    """A node creates Pods only as images of those it runs from its own disk."""
    pod = request.object
    if MIRROR not in (pod["metadata"].get("annotations") or {}):
        raise _no(request, f'pod does not have "{MIRROR}" annotation, node "{node}" can only create mirror pods')
    if (pod.get("spec") or {}).get("nodeName") != node:
        raise _no(request, f'node "{node}" can only create pods with spec.nodeName set to itself')
    owners = pod["metadata"].get("ownerReferences") or []
    if len(owners) > 1:
        raise _no(request, f'node "{node}" can only create pods with a single owner reference set to itself')
    wanted = {"apiVersion": "v1", "kind": "Node", "name": node}
    if not owners or any(owners[0].get(field) != value for field, value in wanted.items()):
        raise _no(request, f'node "{node}" can only create pods with an owner reference set to itself')
    owner = owners[0]
    if not owner.get("controller"):
        raise _no(request, f'node "{node}" can only create pods with a controller owner reference set to itself')
    if owner.get("blockOwnerDeletion"):
        raise _no(request, f'node "{node}" must not set blockOwnerDeletion on an owner reference')
    try:
        stored = await request.call.registry.get(NODE_RESOURCE, "", node)
    except NotFound as error:
        raise _no(request, f'looking up node "{node}": {error.message}') from None
    if stored["metadata"]["uid"] != owner.get("uid"):
        raise _no(request, f"node UID mismatch: expected {stored['metadata']['uid']} got {owner.get('uid')}")
    _refuse_references(request, pod["spec"], node)


def _refuse_references(request: AdmissionRequest, spec: Mapping[str, Any], node: str) -> None:
    """Whoever could create a Pod that refers to a Secret could read it."""
    cannot = f'node "{node}" can not create pods that reference'
    if spec.get("serviceAccountName"):
        raise _no(request, f"{cannot} a service account")
    if spec.get("resourceClaims"):
        raise _no(request, f"{cannot} resourceclaims")
    if spec.get("imagePullSecrets"):
        raise _no(request, f"{cannot} secrets")
    for volume in spec.get("volumes") or ():
        for field in ("secret", "configMap", "persistentVolumeClaim", "projected", "csi"):
            if volume.get(field) is not None:
                raise _no(request, f"{cannot} {_PLURALS[field]}")
    for kind in ("initContainers", "containers"):
        for container in spec.get(kind) or ():
            sources = [v.get("valueFrom") or {} for v in container.get("env") or ()]
            sources += container.get("envFrom") or []
            for source in sources:
                for field in ("secretKeyRef", "secretRef", "configMapKeyRef", "configMapRef"):
                    if source.get(field) is not None:
                        raise _no(request, f"{cannot} {'secrets' if field.startswith('secret') else 'configmaps'}")


_PLURALS = {
    "secret": "secrets",
    "configMap": "configmaps",
    "persistentVolumeClaim": "persistentvolumeclaims",
    "projected": "serviceaccount tokens",
    "csi": "secrets",
}


def _labels(obj: Mapping[str, Any] | None) -> Mapping[str, str]:
    return ((obj or {}).get("metadata") or {}).get("labels") or {}


async def _nodes(request: AdmissionRequest, node: str) -> None:
    name = request.call.name or request.object.get("metadata", {}).get("name", "")
    if name != node:
        raise _no(request, f'node "{node}" is not allowed to modify node "{name}"')
    if request.operation == "DELETE":
        return
    labels, old = _labels(request.object), _labels(request.old)
    changed = {key for key in {*labels, *old} if labels.get(key) != old.get(key)}
    reserved = ", ".join(sorted(key for key in changed if _reserved(key)))
    if request.old is None:
        if reserved:
            raise _no(request, f'node "{node}" is not allowed to set the following labels: {reserved}')
        return
    if reserved:
        raise _no(request, f'node "{node}" is not allowed to modify labels: {reserved}')
    if _of(request.object, "spec", "taints") != _of(request.old, "spec", "taints"):
        raise _no(request, f'node "{node}" is not allowed to modify taints')
    owners = [_of(obj, "metadata", "ownerReferences") for obj in (request.object, request.old)]
    if owners[0] != owners[1]:
        raise _no(request, f'node "{node}" is not allowed to modify ownerReferences')


def _of(obj: Mapping[str, Any], part: str, field: str) -> Any:
    return (obj.get(part) or {}).get(field) or []


def _reserved(key: str) -> bool:
    """A label of Kubernetes' own that is not a kubelet's to set."""
    domain = key.rpartition("/")[0]
    if domain == _RESTRICTED or domain.endswith(f".{_RESTRICTED}"):
        return True
    if key in _KUBELET_LABELS:
        return False
    if any(domain == own or domain.endswith(f".{own}") for own in _KUBELET_DOMAINS):
        return False
    return any(domain == own or domain.endswith(f".{own}") for own in ("kubernetes.io", "k8s.io"))


async def _leases(request: AdmissionRequest, node: str) -> None:
    if request.call.namespace != LEASES:
        raise _no(request, f'can only access leases in the "{LEASES}" system namespace')
    name = request.call.name or request.object.get("metadata", {}).get("name", "")
    if name != node:
        raise _no(request, "can only access node lease with the same name as the requesting node")


async def _tokens(request: AdmissionRequest, node: str) -> None:
    call = request.call
    if call.subresource != "token":
        return
    bound = (request.object.get("spec") or {}).get("boundObjectRef") or {}
    if bound.get("apiVersion", "v1") != "v1" or bound.get("kind") != "Pod" or not bound.get("name"):
        raise _no(request, "node requested token not bound to a pod")
    if not bound.get("uid"):
        raise _no(request, "node requested token with a pod binding without a uid")
    try:
        pod = await call.registry.get(PODS, call.namespace, bound["name"])
    except ApiError as error:
        raise _no(request, error.message) from None
    if pod["metadata"]["uid"] != bound["uid"]:
        raise _no(
            request,
            f"the UID in the bound object reference ({bound['uid']}) does not match the UID in record. "
            "The object might have been deleted and then recreated",
        )
    if (pod.get("spec") or {}).get("nodeName") != node:
        raise _no(request, "node requested token bound to a pod scheduled on a different node")


async def _requests(request: AdmissionRequest, node: str) -> None:
    spec: Object = request.object.get("spec") or {}
    if request.operation != "CREATE" or spec.get("signerName") not in _KUBELET_SIGNERS:
        return
    try:
        asked = parse_request(base64.b64decode(spec.get("request") or ""))
    except (PkiError, binascii.Error) as error:
        raise _no(request, f"unable to parse csr: {error}") from None
    if asked.user.name != f"{PREFIX}{node}":
        raise _no(request, f"can only create a node CSR with CN={PREFIX}{node}")


async def _csi_nodes(request: AdmissionRequest, node: str) -> None:
    name = request.call.name or request.object.get("metadata", {}).get("name", "")
    if name != node:
        raise _no(request, "can only access CSINode with the same name as the requesting node")


_JUDGES: dict[tuple[str, str], Callable[[AdmissionRequest, str], Awaitable[None]]] = {
    ("", "pods"): _pods,
    ("", "nodes"): _nodes,
    ("", "serviceaccounts"): _tokens,
    ("coordination.k8s.io", "leases"): _leases,
    ("certificates.k8s.io", "certificatesigningrequests"): _requests,
    ("storage.k8s.io", "csinodes"): _csi_nodes,
}

ADMISSION = Admission(
    name="NodeRestriction",
    order=80,
    operations=frozenset({"CREATE", "UPDATE", "DELETE"}),
    # Before the plugins that complete a Pod or taint a Node: only what the node itself sent is judged.
    mutate=_validate,
    validate=_validate_delete,
)
