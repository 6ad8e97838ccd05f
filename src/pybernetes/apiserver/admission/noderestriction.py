"""NodeRestriction: a kubelet writes its own Node, its lease, its Pods' status, and mirror Pods; nothing else.

It asks for tokens and certificates of Pods that it runs (_pod_certificates.py). Who is a node: authz/node.py, which also
says what a node may read.
"""

import base64
import binascii
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from pybernetes.api.objects import GroupResource, Object
from pybernetes.apiserver.admission._audiences import refuse_other_audiences
from pybernetes.apiserver.admission._followed import MIRROR, PODS, refused
from pybernetes.apiserver.admission._followed import NODES as NODE_RESOURCE
from pybernetes.apiserver.admission._pod_certificates import judge_pod_certificate
from pybernetes.apiserver.authz.node import LEASES, NODES, PREFIX
from pybernetes.apiserver.extension import Admission, AdmissionRequest
from pybernetes.rules.podreferences import config_map_names, secret_names
from pybernetes.wire.pki.certificates import parse_request
from pybernetes.wire.pki.keys import PkiError

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
        raise refused(request, f'could not determine node from user "{user.name}"')
    judge = _JUDGES.get((gr.group, gr.resource))
    if judge is not None:
        await judge(request, node)


async def _pods(request: AdmissionRequest, node: str) -> None:
    subresource = request.call.subresource
    if subresource == "":
        if request.operation == "CREATE":
            await _mirror(request, node)
        elif request.operation == "DELETE":
            _own_pod(request, request.old, node, "delete pods")
        else:
            raise refused(
                request,
                f'unexpected operation "{request.operation}", node "{node}" can only create and delete mirror pods',
            )
    elif subresource == "status":
        _own_pod(request, request.old, node, "update pod status for pods")
        if _labels(request.object) != _labels(request.old):
            raise refused(request, f'node "{node}" cannot update labels through pod status')
        before, now = (request.old or {}).get("status") or {}, request.object.get("status") or {}
        if now.get("resourceClaimStatuses") != before.get("resourceClaimStatuses"):
            raise refused(request, f'node "{node}" cannot update resource claim statues')
        if now.get("extendedResourceClaimStatus") != before.get("extendedResourceClaimStatus"):
            raise refused(request, f'node "{node}" cannot update extended resource claim status')
    elif subresource == "eviction":
        await _eviction(request, node)
    else:
        what = f'unexpected pod subresource "{subresource}"'
        raise refused(request, f"{what}, only 'status' and 'eviction' are allowed")


def _own_pod(request: AdmissionRequest, pod: Mapping[str, Any] | None, node: str, what: str) -> None:
    if pod is not None and (pod.get("spec") or {}).get("nodeName") != node:
        raise refused(request, f'node "{node}" can only {what} with spec.nodeName set to itself')


async def _eviction(request: AdmissionRequest, node: str) -> None:
    call = request.call
    pod = await call.registry.get(PODS, call.namespace, call.name)
    if (pod.get("spec") or {}).get("nodeName") != node:
        raise refused(request, f"node {node} can only evict pods with spec.nodeName set to itself")


async def _mirror(request: AdmissionRequest, node: str) -> None:
    """A node creates Pods only as images of those it runs from its own disk."""
    pod = request.object
    if MIRROR not in (pod["metadata"].get("annotations") or {}):
        raise refused(request, f'pod does not have "{MIRROR}" annotation, node "{node}" can only create mirror pods')
    if (pod.get("spec") or {}).get("nodeName") != node:
        raise refused(request, f'node "{node}" can only create pods with spec.nodeName set to itself')
    owners = pod["metadata"].get("ownerReferences") or []
    if len(owners) > 1:
        raise refused(request, f'node "{node}" can only create pods with a single owner reference set to itself')
    wanted = {"apiVersion": "v1", "kind": "Node", "name": node}
    if not owners or any(owners[0].get(field) != value for field, value in wanted.items()):
        raise refused(request, f'node "{node}" can only create pods with an owner reference set to itself')
    owner = owners[0]
    if not owner.get("controller"):
        raise refused(request, f'node "{node}" can only create pods with a controller owner reference set to itself')
    if owner.get("blockOwnerDeletion"):
        raise refused(request, f'node "{node}" must not set blockOwnerDeletion on an owner reference')
    stored = await request.call.registry.get(NODE_RESOURCE, "", node)
    uid, known = owner.get("uid"), stored["metadata"]["uid"]
    if uid != known:
        raise refused(request, f"node {node} UID mismatch: expected {uid} got {known}")
    _refuse_references(request, pod["spec"], node)


def _refuse_references(request: AdmissionRequest, spec: Mapping[str, Any], node: str) -> None:
    """Whoever could create a Pod that refers to a Secret could read it."""
    cannot = f'node "{node}" can not create pods that reference'
    if spec.get("serviceAccountName"):
        raise refused(request, f"{cannot} a service account")
    volumes = spec.get("volumes") or ()
    sources = [source for one in volumes for source in (one.get("projected") or {}).get("sources") or ()]
    named = {
        "secrets": any(True for _ in secret_names(spec)),
        "configmaps": any(True for _ in config_map_names(spec)),
        "clustertrustbundles": any(source.get("clusterTrustBundle") is not None for source in sources),
        "serviceaccount tokens": any(source.get("serviceAccountToken") is not None for source in sources),
        "podcertificates": any(source.get("podCertificate") is not None for source in sources),
        "persistentvolumeclaims": any(one.get("persistentVolumeClaim") is not None for one in volumes),
        "resourceclaims": bool(spec.get("resourceClaims")),
    }
    for what, is_named in named.items():
        if is_named:
            raise refused(request, f"{cannot} {what}")


def _labels(obj: Mapping[str, Any] | None) -> Mapping[str, str]:
    return ((obj or {}).get("metadata") or {}).get("labels") or {}


async def _nodes(request: AdmissionRequest, node: str) -> None:
    name = request.call.name or request.object.get("metadata", {}).get("name", "")
    if name != node:
        raise refused(request, f'node "{node}" is not allowed to modify node "{name}"')
    if request.operation == "DELETE":
        return
    labels, old = _labels(request.object), _labels(request.old)
    changed = {key for key in {*labels, *old} if labels.get(key) != old.get(key)}
    reserved = ", ".join(sorted(key for key in changed if _reserved(key)))
    source, before = _of(request.object, "spec", "configSource"), _of(request.old or {}, "spec", "configSource")
    if request.old is None:
        if source:
            raise refused(request, f'node "{node}" is not allowed to create pods with a non-nil configSource')
        if reserved:
            raise refused(request, f'node "{node}" is not allowed to set the following labels: {reserved}')
        return
    if source and source != before:
        raise refused(request, f'node "{node}" is not allowed to update configSource to a new non-nil configSource')
    if _of(request.object, "spec", "taints") != _of(request.old, "spec", "taints"):
        raise refused(request, f'node "{node}" is not allowed to modify taints')
    if reserved:
        raise refused(request, f"is not allowed to modify labels: {reserved}")
    owners = [_of(obj, "metadata", "ownerReferences") for obj in (request.object, request.old)]
    if owners[0] != owners[1]:
        raise refused(request, f'node "{node}" is not allowed to modify ownerReferences')


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
        raise refused(request, f'can only access leases in the "{LEASES}" system namespace')
    name = request.call.name or request.object.get("metadata", {}).get("name", "")
    if name != node:
        raise refused(request, "can only access node lease with the same name as the requesting node")


async def _tokens(request: AdmissionRequest, node: str) -> None:
    call = request.call
    if call.subresource != "token":
        return
    bound = (request.object.get("spec") or {}).get("boundObjectRef") or {}
    if bound.get("apiVersion", "v1") != "v1" or bound.get("kind") != "Pod" or not bound.get("name"):
        raise refused(request, "node requested token not bound to a pod")
    if not bound.get("uid"):
        raise refused(request, "node requested token with a pod binding without a uid")
    pod = await call.registry.get(PODS, call.namespace, bound["name"])
    if pod["metadata"]["uid"] != bound["uid"]:
        raise refused(
            request,
            f"the UID in the bound object reference ({bound['uid']}) does not match the UID in record. "
            "The object might have been deleted and then recreated",
        )
    if (pod.get("spec") or {}).get("nodeName") != node:
        raise refused(request, "node requested token bound to a pod scheduled on a different node")
    refuse_other_audiences(request, pod)


async def _requests(request: AdmissionRequest, node: str) -> None:
    spec: Object = request.object.get("spec") or {}
    if request.operation != "CREATE" or spec.get("signerName") not in _KUBELET_SIGNERS:
        return
    try:
        asked = parse_request(base64.b64decode(spec.get("request") or ""))
    except (PkiError, binascii.Error) as error:
        raise refused(request, f"unable to parse csr: {error}") from None
    if asked.user.name != f"{PREFIX}{node}":
        raise refused(request, f"can only create a node CSR with CN={PREFIX}{node}")


async def _csi_nodes(request: AdmissionRequest, node: str) -> None:
    name = request.call.name or request.object.get("metadata", {}).get("name", "")
    if name != node:
        raise refused(request, "can only access CSINode with the same name as the requesting node")


async def _claims(request: AdmissionRequest, node: str) -> None:
    if request.call.subresource != "status" or request.operation != "UPDATE" or request.old is None:
        raise refused(request, "may only update PVC status")
    if _unreported(request.object) != _unreported(request.old):
        fields = "status.capacity and status.conditions"
        raise refused(request, f'node "{node}" is not allowed to update fields other than {fields}')


def _unreported(claim: Object) -> Object:
    """What of a claim is not a node's to report."""
    reported = ("capacity", "conditions", "allocatedResourceStatuses", "allocatedResources")
    status = {name: value for name, value in (claim.get("status") or {}).items() if name not in reported}
    left_out = ("resourceVersion", "managedFields")
    metadata = {name: value for name, value in claim["metadata"].items() if name not in left_out}
    return {**claim, "metadata": metadata, "status": status}


async def _slices(request: AdmissionRequest, node: str) -> None:
    verb = {"CREATE": "create", "DELETE": "delete"}.get(request.operation)
    judged = request.old if request.operation == "DELETE" else request.object
    if verb and ((judged or {}).get("spec") or {}).get("nodeName") != node:
        raise refused(request, f"can only {verb} ResourceSlice with the same NodeName as the requesting node")


_JUDGES: dict[tuple[str, str], Callable[[AdmissionRequest, str], Awaitable[None]]] = {
    ("", "pods"): _pods,
    ("", "nodes"): _nodes,
    ("", "serviceaccounts"): _tokens,
    ("coordination.k8s.io", "leases"): _leases,
    ("certificates.k8s.io", "certificatesigningrequests"): _requests,
    ("certificates.k8s.io", "podcertificaterequests"): judge_pod_certificate,
    ("storage.k8s.io", "csinodes"): _csi_nodes,
    ("", "persistentvolumeclaims"): _claims,
    ("resource.k8s.io", "resourceslices"): _slices,
}

ADMISSION = Admission(
    name="NodeRestriction",
    order=80,
    operations=frozenset({"CREATE", "UPDATE", "DELETE"}),
    # Before the plugins that complete a Pod or taint a Node: only what the node itself sent is judged.
    mutate=_validate,
    resources=frozenset(f"{GroupResource(*key)}{rest}" for key in _JUDGES for rest in ("", "/*")),
    default_on=False,
)
