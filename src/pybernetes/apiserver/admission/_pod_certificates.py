"""Which PodCertificateRequests a node may make: for a Pod that runs on it, told as the API knows it (KEP-4317).

A uid that differs may only be a node's old knowledge: that is an InternalError, which it tries again, and not Forbidden.
"""

from collections.abc import Mapping
from typing import Any

from pybernetes.api.errors import InternalError
from pybernetes.api.objects import GroupResource, Object
from pybernetes.apiserver.admission._followed import MIRROR, NODES, PODS, refused
from pybernetes.apiserver.extension import AdmissionRequest, Attributes, Decision

_ACCOUNTS = GroupResource("", "serviceaccounts")
_VERB = "request-serviceaccounts-podcertificate-signer"


async def judge_pod_certificate(request: AdmissionRequest, node: str) -> None:
    """Raises Forbidden, NotFound of what it names, InternalError."""
    call, asked = request.call, request.object.get("spec") or {}
    if request.operation != "CREATE":
        raise refused(request, f"unexpected operation {request.operation}")
    if call.subresource:
        raise refused(request, f"unexpected subresource {call.subresource}")
    name = asked.get("nodeName") or ""
    if name != node:
        why = f'PodCertificateRequest.Spec.NodeName="{name}", which is not the requesting node "{node}"'
        raise refused(request, why)
    pod_name = f'"{call.namespace}/{asked.get("podName") or ""}"'
    whose = f"PodCertificateRequest for pod {pod_name}"
    uid, known = asked.get("nodeUID") or "", _uid(await call.registry.get(NODES, "", node))
    if uid != known:
        raise InternalError(f'{whose} names node UID "{uid}", inconsistent with the running node ("{known}")')
    pod = await call.registry.get(PODS, call.namespace, asked.get("podName") or "")
    uid, known = asked.get("podUID") or "", _uid(pod)
    if uid != known:
        raise InternalError(f'{whose} contains pod UID ("{uid}") which differs from running pod "{known}"')
    spec = pod.get("spec") or {}
    if spec.get("nodeName") != node:
        raise refused(request, f'pod {pod_name} is not running on node "{node}" named in the PodCertificateRequest')
    if MIRROR in (pod["metadata"].get("annotations") or {}):
        raise refused(request, f"pod {pod_name} is a mirror pod")
    await _judge_account(request, asked, spec.get("serviceAccountName") or "", whose)
    _judge_signer(request, asked, spec, pod_name)


async def _judge_account(request: AdmissionRequest, asked: Mapping[str, Any], of_pod: str, whose: str) -> None:
    name = asked.get("serviceAccountName") or ""
    if name != of_pod:
        why = f'{whose} contains serviceAccountName ("{name}") that differs from running pod ("{of_pod}")'
        raise refused(request, why)
    call = request.call
    uid, known = asked.get("serviceAccountUID") or "", _uid(await call.registry.get(_ACCOUNTS, call.namespace, name))
    if uid != known:
        why = f'names service account UID "{uid}", which differs from the running service account ("{known}")'
        raise InternalError(f"{whose} {why}")


def _judge_signer(request: AdmissionRequest, asked: Mapping[str, Any], spec: Mapping[str, Any], pod_name: str) -> None:
    """The signer is one that a volume of the Pod names, or one that the node was granted for the account."""
    call, signer = request.call, asked.get("signerName") or ""
    for volume in spec.get("volumes") or ():
        for source in (volume.get("projected") or {}).get("sources") or ():
            if (source.get("podCertificate") or {}).get("signerName") == signer:
                return
    account = asked.get("serviceAccountName") or ""
    group, resource = call.resource.group_resource.group, signer.replace("/", ":")
    attributes = Attributes(call.user, _VERB, "", group, "*", resource, "", call.namespace, account)
    if call.registry.authorizer.authorize(attributes)[0] is not Decision.ALLOW:
        why = f'does not mount a podCertificate projected volume for signer "{signer}"'
        raise refused(request, f"pod {pod_name} {why}")


def _uid(obj: Object) -> str:
    return str(obj["metadata"].get("uid") or "")
