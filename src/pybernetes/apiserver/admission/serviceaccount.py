"""ServiceAccount: every Pod runs as an account that exists, and finds its token in a projected volume (KEP-1205)."""

from collections.abc import Iterator, Mapping
from typing import Any

from pybernetes.api.errors import NotFound
from pybernetes.api.names import generated
from pybernetes.api.objects import GroupResource, Object
from pybernetes.apiserver.admission._followed import MIRROR, annotations, refused
from pybernetes.apiserver.extension import Admission, AdmissionRequest
from pybernetes.apiserver.resource import Call
from pybernetes.rules.podreferences import secret_names

ACCOUNTS = GroupResource("", "serviceaccounts")
MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
VOLUME_PREFIX = "kube-api-access-"
ROOT_CA = "kube-root-ca.crt"
_ENFORCE = "kubernetes.io/enforce-mountable-secrets"
_TRUE = ("1", "t", "T", "true", "TRUE", "True")
_TOKEN_SECONDS = 3607
_TRIES = 10
"""The account `default` of a new namespace comes a moment after it: worth waiting for."""


async def _mutate(request: AdmissionRequest) -> None:
    call, spec = request.call, request.object.get("spec") or {}
    if request.operation != "CREATE":
        return
    if MIRROR in annotations(request.object):
        _refuse_mirror(request, spec)
        return
    name = spec.get("serviceAccountName") or "default"
    spec["serviceAccountName"] = spec["serviceAccount"] = name
    account = await _account(request, name)
    if _mounts_token(spec, account):
        _mount(call, spec)
    if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
        spec["imagePullSecrets"] = [dict(secret) for secret in account["imagePullSecrets"]]


async def _validate(request: AdmissionRequest) -> None:
    """Which Secrets a Pod may name, where its account's annotation limits them."""
    spec = request.object.get("spec") or {}
    debugging = request.call.subresource == "ephemeralcontainers"
    if (request.operation != "CREATE" and not debugging) or MIRROR in annotations(request.object):
        return
    name = spec.get("serviceAccountName")
    if not name:
        metadata = request.object["metadata"]
        where = f"{request.call.namespace}/{metadata.get('name', '')}"
        raise refused(request, f"no service account specified for pod {where}")
    used = list(_used(spec, debugging=debugging))
    pulling = () if debugging else spec.get("imagePullSecrets") or ()
    if not used and not pulling:
        return
    account = await _account(request, name)
    if annotations(account).get(_ENFORCE) not in _TRUE:
        return
    secrets = {one.get("name", "") for one in account.get("secrets") or ()}
    for secret, what in used:
        if secret not in secrets:
            why = f'{what} secret.secretName="{secret}" is not allowed because service account {name}'
            raise refused(request, f"{why} does not reference that secret")
    pulled = {one.get("name", "") for one in account.get("imagePullSecrets") or ()}
    for at, one in enumerate(pulling):
        if one.get("name", "") not in pulled:
            why = f'imagePullSecrets[{at}].name="{one.get("name", "")}" is not allowed because service account {name}'
            raise refused(request, f"{why} does not reference that imagePullSecret")


def _used(spec: Mapping[str, Any], *, debugging: bool) -> Iterator[tuple[str, str]]:
    """Secrets of volumes and environments, and how each is named in a refusal."""
    kinds = [("ephemeralContainers", "ephemeral container")]
    if not debugging:
        kinds = [("initContainers", "init container"), ("containers", "container")]
        for volume in spec.get("volumes") or ():
            if volume.get("secret") is not None:
                yield volume["secret"].get("secretName", ""), "volume with"
    for field, words in kinds:
        for container in spec.get(field) or ():
            said = f"{words} {container.get('name', '')} with"
            for variable in container.get("env") or ():
                reference = (variable.get("valueFrom") or {}).get("secretKeyRef")
                if reference is not None:
                    yield reference.get("name", ""), f"{said} envVar {variable.get('name', '')} referencing"
            for source in container.get("envFrom") or ():
                if source.get("secretRef") is not None:
                    yield source["secretRef"].get("name", ""), f"{said} envFrom referencing"


def _refuse_mirror(request: AdmissionRequest, spec: Mapping[str, Any]) -> None:
    if spec.get("serviceAccountName"):
        raise refused(request, "a mirror pod may not reference service accounts")
    if any(True for _ in secret_names(spec)):
        raise refused(request, "a mirror pod may not reference secrets")
    for volume in spec.get("volumes") or ():
        for source in (volume.get("projected") or {}).get("sources") or ():
            if source.get("serviceAccountToken") is not None:
                raise refused(request, "a mirror pod may not use ServiceAccountToken volume projections")


async def _account(request: AdmissionRequest, name: str) -> Object:
    call = request.call
    found = call.registry.look(ACCOUNTS, call.namespace, name)
    if found is not None:
        return found
    clock = call.registry.clock
    for attempt in range(_TRIES if name == "default" else 1):
        if attempt:
            await clock.sleep(0.1 + clock.random.random() / 10)
        try:
            return await call.registry.get(ACCOUNTS, call.namespace, name)
        except NotFound:
            continue
    why = f'error looking up service account {call.namespace}/{name}: serviceaccount "{name}" not found'
    raise refused(request, why)


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


ADMISSION = Admission(
    name="ServiceAccount",
    order=70,
    resources=frozenset({"pods", "pods/ephemeralcontainers"}),
    mutate=_mutate,
    validate=_validate,
)
