"""Mounts of a container: its volumeMounts on the paths of its Pod's volumes, subPath resolution. container.py adds the
files that the kubelet itself writes."""

from collections.abc import Mapping
from pathlib import Path

from pybernetes.api.types import core_v1
from pybernetes.kubelet.cri import model as m
from pybernetes.kubelet.environment import ConfigError, expand

_PROPAGATION = {"None": 0, "HostToContainer": 1, "Bidirectional": 2}


def volume_mounts(
    container: core_v1.Container, volumes: Mapping[str, Path], environment: Mapping[str, str]
) -> tuple[m.Mount, ...]:
    """The volumes of a container where it wants them. Raises ConfigError."""
    found = []
    for mount in container.volumeMounts:
        if mount.name not in volumes:
            raise ConfigError(f'volume "{mount.name}" not found')
        host = volumes[mount.name]
        below = expand(mount.subPathExpr, environment) if mount.subPathExpr else mount.subPath
        if below:
            host = subpath(host, below, mount.name, container.name)
        propagation = _PROPAGATION[mount.mountPropagation or "None"]
        found.append(m.Mount(str(host), _absolute(mount.mountPath), mount.readOnly, propagation))
    return tuple(found)


def _absolute(path: str) -> str:
    return path if path.startswith("/") else f"/{path}"


def subpath(volume: Path, below: str, mount: str, container: str) -> Path:
    """A path inside a volume, made as a directory where it is missing. Raises ConfigError with upstream's words."""
    where = f'for volumeMount "{mount}" of container "{container}"'
    if below.startswith("/"):
        raise ConfigError(f"error SubPath `{below}` must not be an absolute path")
    if ".." in below.split("/"):
        raise ConfigError(f"unable to provision SubPath `{below}`: must not contain '..'")
    path = (volume / below).resolve()
    if not path.is_relative_to(volume.resolve()):
        raise ConfigError(f"failed to prepare subPath {where}")
    if not volume.exists():
        raise ConfigError(f"stat {volume}: no such file or directory")
    # What is missing becomes a directory, also where the Pod means a file: nothing says which it is to be.
    try:
        _make_below(path, volume.stat().st_mode & 0o7777)
    except OSError:
        # Not the system's words: they would tell of the node's files.
        raise ConfigError(f"failed to create subPath directory {where}") from None
    return path


def _make_below(path: Path, mode: int) -> None:
    """Makes a directory and its parents with a mode, whatever the umask."""
    if not path.exists():
        _make_below(path.parent, mode)
        path.mkdir()
        path.chmod(mode)
