"""For whom a node may ask tokens of its Pods: the audiences that a Pod's volumes and their drivers name."""

from collections.abc import Iterator, Mapping
from typing import Any

from pybernetes.api.objects import GroupResource
from pybernetes.apiserver.admission._followed import refused
from pybernetes.apiserver.extension import AdmissionRequest, Attributes, Decision
from pybernetes.apiserver.registry import Registry

_CLAIMS, _VOLUMES = GroupResource("", "persistentvolumeclaims"), GroupResource("", "persistentvolumes")
_DRIVERS = GroupResource("storage.k8s.io", "csidrivers")
_VERB = "request-serviceaccounts-token-audience"


def refuse_other_audiences(request: AdmissionRequest, pod: Mapping[str, Any]) -> None:
    """A TokenRequest bound to the Pod: one audience, named by a volume or granted to the node. Raises Forbidden."""
    call = request.call
    audiences = (request.object.get("spec") or {}).get("audiences") or [""]
    if len(audiences) > 1:
        raise refused(request, "node may only request 0 or 1 audiences")
    audience = audiences[0]
    if not audience or audience in _named(call.registry, pod):
        return
    attributes = Attributes(call.user, _VERB, "", "", "*", audience, "", call.namespace, call.name)
    if call.registry.authorizer.authorize(attributes)[0] is not Decision.ALLOW:
        why = f"{call.user.name} is not authorized to request tokens for this audience"
        raise refused(request, f'audience "{audience}" not found in pod spec volume, {why}')


def _named(registry: Registry, pod: Mapping[str, Any]) -> Iterator[str]:
    for volume in (pod.get("spec") or {}).get("volumes") or ():
        for source in (volume.get("projected") or {}).get("sources") or ():
            yield (source.get("serviceAccountToken") or {}).get("audience") or ""
        driver = _driver(registry, pod, volume)
        found = registry.look(_DRIVERS, "", driver) if driver else None
        for token in ((found or {}).get("spec") or {}).get("tokenRequests") or ():
            yield token.get("audience") or ""


def _driver(registry: Registry, pod: Mapping[str, Any], volume: Mapping[str, Any]) -> str:
    if volume.get("csi") is not None:
        return str(volume["csi"].get("driver") or "")
    name = (volume.get("persistentVolumeClaim") or {}).get("claimName") or ""
    if volume.get("ephemeral") is not None:
        name = f"{pod['metadata']['name']}-{volume.get('name', '')}"
    claim = registry.look(_CLAIMS, pod["metadata"]["namespace"], name) if name else None
    bound = ((claim or {}).get("spec") or {}).get("volumeName")
    found = registry.look(_VOLUMES, "", bound) if bound else None
    return str((((found or {}).get("spec") or {}).get("csi") or {}).get("driver") or "")
