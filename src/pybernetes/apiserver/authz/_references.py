"""What Pods and PersistentVolumes refer to, and the kubelet that runs them must read."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pybernetes.rules.podcontainers import containers

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
    for container in containers(spec):
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
            yield "secrets", _name(source, "secretKeyRef")
            yield "configmaps", _name(source, "configMapKeyRef")
    for source in container.get("envFrom") or ():
        yield "secrets", _name(source, "secretRef")
        yield "configmaps", _name(source, "configMapRef")


def _of_volume(volume: Mapping[str, Any]) -> Iterator[tuple[str, str | None]]:
    for kind, source in volume.items():
        named = _VOLUMES.get(kind)
        if named is not None and source:
            yield named[0], named[1](source)
        elif kind == "projected":
            for part in (source or {}).get("sources") or ():
                yield "secrets", _name(part, "secret")
                yield "configmaps", _name(part, "configMap")


def _name(source: Mapping[str, Any], reference: str) -> str | None:
    name: str | None = (source.get(reference) or {}).get("name")
    return name


_VOLUMES: dict[str, tuple[str, Callable[[Mapping[str, Any]], str | None]]] = {
    "secret": ("secrets", lambda source: source.get("secretName")),
    "azureFile": ("secrets", lambda source: source.get("secretName")),
    "csi": ("secrets", lambda source: _name(source, "nodePublishSecretRef")),
    **{driver: ("secrets", lambda source: _name(source, "secretRef")) for driver in _SECRET_REFS},
    "configMap": ("configmaps", lambda source: source.get("name")),
    "persistentVolumeClaim": ("persistentvolumeclaims", lambda source: source.get("claimName")),
}
"""What kinds of volumes refer to: plural, and the name in the volume's source."""
