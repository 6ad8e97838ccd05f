"""Mounts of a container: its volumeMounts on the paths of its Pod's volumes. container.py adds the files that the kubelet
itself writes; subpaths.py finds a subPath safely."""

from collections.abc import Mapping
from pathlib import Path

from pybernetes.api.types import core_v1
from pybernetes.kubelet.cri import model as m
from pybernetes.kubelet.environment import ConfigError, expand_all
from pybernetes.kubelet.subpaths import SubPath, bind, make_missing, target
from pybernetes.kubelet.volume import Mounted

_PROPAGATION = {"None": 0, "HostToContainer": 1, "Bidirectional": 2}


def volume_mounts(
    container: core_v1.Container, volumes: Mapping[str, Mounted], environment: Mapping[str, str], pod_folder: Path
) -> tuple[m.Mount, ...]:
    """The volumes of a container where it wants them. Blocking. Raises ConfigError."""
    if container.volumeDevices:
        name = container.volumeDevices[0].name
        raise ConfigError(
            f'volume "{name}" is to be a block device of container "{container.name}": not supported here'
        )
    found = []
    for index, mount in enumerate(container.volumeMounts):
        if mount.name not in volumes:
            raise ConfigError(f'cannot find volume "{mount.name}" to mount into container "{container.name}"')
        volume = volumes[mount.name]
        host = volume.path
        below = expand_all(mount.subPathExpr, environment) if mount.subPathExpr else mount.subPath
        if below:
            place = target(pod_folder, mount.name, container.name, index)
            host = subpath(SubPath(volume.path, below, place), mount.name, container.name)
        _check_recursive(mount)
        read_only = mount.readOnly or volume.read_only
        found.append(m.Mount(str(host), _absolute(mount.mountPath), read_only, _propagation(container, mount)))
    return tuple(found)


def subpath(wanted: SubPath, mount: str, container: str) -> Path:
    """A path inside a volume, ready to be mounted. Raises ConfigError with upstream's words, which never tell of the
    node's files."""
    where, below = f'for volumeMount "{mount}" of container "{container}"', wanted.below
    if below.startswith("/"):
        raise ConfigError(f"error SubPath `{below}` must not be an absolute path")
    if ".." in below.split("/"):
        raise ConfigError(f"unable to provision SubPath `{below}`: must not contain '..'")
    if not wanted.volume.exists():
        raise ConfigError(f"stat {wanted.volume}: no such file or directory")
    try:
        make_missing(wanted)
    except (OSError, ValueError):
        raise ConfigError(f"failed to create subPath directory {where}") from None
    try:
        return bind(wanted)
    except (OSError, ValueError):
        raise ConfigError(f"failed to prepare subPath {where}") from None


def _absolute(path: str) -> str:
    return path if path.startswith("/") else f"/{path}"


def _propagation(container: core_v1.Container, mount: core_v1.VolumeMount) -> int:
    wanted = mount.mountPropagation or "None"
    privileged = container.securityContext is not None and container.securityContext.privileged
    if wanted == "Bidirectional" and not privileged:
        raise ConfigError(
            f'volume "{mount.name}": Bidirectional mount propagation is available only to privileged containers'
        )
    return _PROPAGATION[wanted]


def _check_recursive(mount: core_v1.VolumeMount) -> None:
    """recursiveReadOnly: containerd has no word for it before 2.0, so only what can do without is done."""
    wanted, said = (
        mount.recursiveReadOnly or "Disabled",
        f'volume "{mount.name}" requested recursive read-only mode, but',
    )
    if wanted == "Disabled":
        return
    if not mount.readOnly:
        raise ConfigError(f"{said} it is not read-only")
    if mount.mountPropagation not in (None, "", "None"):
        raise ConfigError(f'{said} it is not compatible with propagation "{mount.mountPropagation}"')
    if wanted == "Enabled":
        raise ConfigError(f"{said} it is not supported by the runtime")
    if wanted != "IfPossible":
        raise ConfigError(f'unknown recursive read-only mode "{wanted}"')
