"""Which Secrets and ConfigMaps a Pod names: admission asks it, and who removes tokens that nobody uses."""

from collections.abc import Iterator, Mapping
from typing import Any

from pybernetes.rules.podcontainers import containers

_BY_REFERENCE = {"cephfs", "cinder", "flexVolume", "rbd", "scaleIO", "iscsi", "storageos"}


def secret_names(spec: Mapping[str, Any]) -> Iterator[str]:
    """Of Secrets, wherever a Pod's spec may name one."""
    for secret in spec.get("imagePullSecrets") or ():
        yield secret.get("name", "")
    for container in containers(spec):
        yield from env_names(container, "secret")
    for volume in spec.get("volumes") or ():
        yield from _of_volume(volume)


def config_map_names(spec: Mapping[str, Any]) -> Iterator[str]:
    """Of ConfigMaps, wherever a Pod's spec may name one."""
    for container in containers(spec):
        yield from env_names(container, "configMap")
    for volume in spec.get("volumes") or ():
        if volume.get("configMap") is not None:
            yield volume["configMap"].get("name", "")
        yield from _projected(volume, "configMap")


def env_names(container: Mapping[str, Any], kind: str) -> Iterator[str]:
    """Of Secrets (`secret`) or ConfigMaps (`configMap`) that a container's environment comes from."""
    for source in container.get("envFrom") or ():
        if source.get(f"{kind}Ref") is not None:
            yield source[f"{kind}Ref"].get("name", "")
    for variable in container.get("env") or ():
        reference = (variable.get("valueFrom") or {}).get(f"{kind}KeyRef")
        if reference is not None:
            yield reference.get("name", "")


def _of_volume(volume: Mapping[str, Any]) -> Iterator[str]:
    if (volume.get("secret") or {}).get("secretName"):
        yield volume["secret"]["secretName"]
    if (volume.get("azureFile") or {}).get("secretName"):
        yield volume["azureFile"]["secretName"]
    if (volume.get("csi") or {}).get("nodePublishSecretRef") is not None:
        yield volume["csi"]["nodePublishSecretRef"].get("name", "")
    for field in _BY_REFERENCE & volume.keys():
        if (volume[field] or {}).get("secretRef") is not None:
            yield volume[field]["secretRef"].get("name", "")
    yield from _projected(volume, "secret")


def _projected(volume: Mapping[str, Any], kind: str) -> Iterator[str]:
    for source in (volume.get("projected") or {}).get("sources") or ():
        if source.get(kind) is not None:
            yield source[kind].get("name", "")
