"""What Pods and PersistentVolumes refer to, and the kubelet that runs them must read."""

from collections.abc import Iterator, Mapping
from typing import Any

Thing = tuple[str, str, str]
"""Plural, namespace, name."""

_SECRET_REFS = ("cephfs", "cinder", "flexVolume", "rbd", "scaleIO", "iscsi", "storageos")
_KUBELET_REFS = ("nodePublishSecretRef", "nodeStageSecretRef", "nodeExpandSecretRef")


def of_pod(pod: Mapping[str, Any]) -> Iterator[Thing]:
    """The Pod itself and its references. A mirror Pod refers to nothing: nodes make them."""
    meta, spec = pod["metadata"], pod["spec"]
    namespace = meta.get("namespace", "")
    yield "pods", namespace, meta["name"]
    if "kubernetes.io/config.mirror" in (meta.get("annotations") or {}):
        return
    for plural, name in _names(pod, spec):
        if name:
            yield plural, namespace, name


def secrets_of_volume(spec: Mapping[str, Any], claim_namespace: str) -> Iterator[Thing]:
    """Those of a PersistentVolume that kubelets use; without a namespace in the one of its claim."""
    azure, csi = spec.get("azureFile") or {}, spec.get("csi") or {}
    references = [(spec.get(driver) or {}).get("secretRef") for driver in _SECRET_REFS]
    references += [csi.get(field) for field in _KUBELET_REFS]
    references.append({"name": azure.get("secretName"), "namespace": azure.get("secretNamespace")})
    for reference in references:
        if reference and reference.get("name"):
            yield "secrets", reference.get("namespace") or claim_namespace, reference["name"]


def _names(pod: Mapping[str, Any], spec: Mapping[str, Any]) -> Iterator[tuple[str, str | None]]:
    yield "serviceaccounts", spec.get("serviceAccountName")
    for secret in spec.get("imagePullSecrets") or ():
        yield "secrets", secret.get("name")
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(kind) or ():
            yield from _of_container(container)
    for volume in spec.get("volumes") or ():
        yield from _of_volume(volume)
        if volume.get("ephemeral"):
            yield "persistentvolumeclaims", f"{pod['metadata']['name']}-{volume.get('name', '')}"
    status = pod.get("status") or {}
    made = {one.get("name"): one.get("resourceClaimName") for one in status.get("resourceClaimStatuses") or ()}
    for claim in spec.get("resourceClaims") or ():
        yield "resourceclaims", claim.get("resourceClaimName") or made.get(claim.get("name"))
    yield "resourceclaims", (status.get("extendedResourceClaimStatus") or {}).get("resourceClaimName")


def _of_container(container: Mapping[str, Any]) -> Iterator[tuple[str, str | None]]:
    for variable in container.get("env") or ():
        source = variable.get("valueFrom")
        if source:
            yield "secrets", (source.get("secretKeyRef") or {}).get("name")
            yield "configmaps", (source.get("configMapKeyRef") or {}).get("name")
    for source in container.get("envFrom") or ():
        yield "secrets", (source.get("secretRef") or {}).get("name")
        yield "configmaps", (source.get("configMapRef") or {}).get("name")


def _of_volume(volume: Mapping[str, Any]) -> Iterator[tuple[str, str | None]]:
    yield "secrets", (volume.get("secret") or {}).get("secretName")
    yield "secrets", (volume.get("azureFile") or {}).get("secretName")
    yield "secrets", ((volume.get("csi") or {}).get("nodePublishSecretRef") or {}).get("name")
    for driver in _SECRET_REFS:
        yield "secrets", ((volume.get(driver) or {}).get("secretRef") or {}).get("name")
    yield "configmaps", (volume.get("configMap") or {}).get("name")
    yield "persistentvolumeclaims", (volume.get("persistentVolumeClaim") or {}).get("claimName")
    for source in (volume.get("projected") or {}).get("sources") or ():
        yield "secrets", (source.get("secret") or {}).get("name")
        yield "configmaps", (source.get("configMap") or {}).get("name")
