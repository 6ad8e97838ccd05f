"""ServiceAccount: every Pod runs as an account that exists, and finds its token in a projected volume (KEP-1205)."""

from collections.abc import Mapping
from typing import Any

from pybernetes.api.errors import NotFound, forbidden
from pybernetes.api.names import generated
from pybernetes.api.objects import GroupResource, Object
from pybernetes.apiserver.extension import Admission, AdmissionRequest
from pybernetes.apiserver.resource import Call

ACCOUNTS, PODS = GroupResource("", "serviceaccounts"), GroupResource("", "pods")
MIRROR = "kubernetes.io/config.mirror"
MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
VOLUME_PREFIX = "kube-api-access-"
ROOT_CA = "kube-root-ca.crt"
_TOKEN_SECONDS = 3607
_TRIES = 10
"""The account `default` of a new namespace comes a moment after it: worth waiting for."""


async def _mutate(request: AdmissionRequest) -> None:
    call, pod = request.call, request.object
    if call.resource.group_resource != PODS or call.subresource:
        return
    spec = pod["spec"]
    if MIRROR in (pod["metadata"].get("annotations") or {}):
        _refuse_mirror(call, spec)
        return
    name = spec.get("serviceAccountName") or "default"
    spec["serviceAccountName"] = spec["serviceAccount"] = name
    account = await _account(call, name)
    if _mounts_token(spec, account):
        _mount(call, spec)
    if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
        spec["imagePullSecrets"] = [dict(secret) for secret in account["imagePullSecrets"]]


def _refuse_mirror(call: Call, spec: Mapping[str, Any]) -> None:
    if spec.get("serviceAccountName"):
        raise forbidden(PODS, call.name, "a mirror pod may not reference service accounts")
    for volume in spec.get("volumes") or ():
        if volume.get("secret") is not None:
            raise forbidden(PODS, call.name, "a mirror pod may not reference secrets")
        for source in (volume.get("projected") or {}).get("sources") or ():
            if source.get("serviceAccountToken") is not None:
                raise forbidden(PODS, call.name, "a mirror pod may not use ServiceAccountToken volume projections")


async def _account(call: Call, name: str) -> Object:
    clock = call.registry.clock
    for _ in range(_TRIES if name == "default" else 1):
        try:
            return await call.registry.get(ACCOUNTS, call.namespace, name)
        except NotFound:
            if name == "default":
                await clock.sleep(0.1 + clock.random.random() / 10)
    why = f'error looking up service account {call.namespace}/{name}: serviceaccount "{name}" not found'
    raise forbidden(PODS, call.name, why)


def _mounts_token(spec: Mapping[str, Any], account: Mapping[str, Any]) -> bool:
    for asked in (spec.get("automountServiceAccountToken"), account.get("automountServiceAccountToken")):
        if asked is not None:
            return bool(asked)
    return True


def _mount(call: Call, spec: Object) -> None:
    """Adds the volume where a container has nothing mounted there yet."""
    needing = [
        container
        for kind in ("initContainers", "containers")
        for container in spec.get(kind) or ()
        if all(mount.get("mountPath") != MOUNT_PATH for mount in container.get("volumeMounts") or ())
    ]
    if not needing:
        return
    volumes = spec.get("volumes") or []
    name = next((v["name"] for v in volumes if v.get("name", "").startswith(VOLUME_PREFIX)), "")
    if not name:
        name = generated(VOLUME_PREFIX, call.registry.clock.random.choice)
        spec["volumes"] = [*volumes, _volume(name)]
    for container in needing:
        mount = {"name": name, "readOnly": True, "mountPath": MOUNT_PATH}
        container["volumeMounts"] = [*(container.get("volumeMounts") or ()), mount]


def _volume(name: str) -> Object:
    namespace = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    sources = [
        {"serviceAccountToken": {"expirationSeconds": _TOKEN_SECONDS, "path": "token"}},
        {"configMap": {"name": ROOT_CA, "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [namespace]}},
    ]
    return {"name": name, "projected": {"sources": sources, "defaultMode": 0o644}}


ADMISSION = Admission(name="ServiceAccount", order=70, operations=frozenset({"CREATE"}), mutate=_mutate)
