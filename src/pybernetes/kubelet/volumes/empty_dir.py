"""emptyDir: one directory for all containers of the Pod, gone with it; `medium: Memory` is a tmpfs.

How much may lie on a disk (sizeLimit) is watched by eviction; in memory the file system itself has the bound.
"""

from functools import partial
from pathlib import Path

from pybernetes.api.quantity import parse
from pybernetes.kernel import mounts
from pybernetes.kubelet.ownership import own_directory
from pybernetes.kubelet.resources import pod_limits
from pybernetes.kubelet.volume import Mounted, VolumeRequest, VolumeType, Work

_OPEN = 0o777


async def prepare(request: VolumeRequest) -> Work:
    """Raises ValueError for a medium that the node has not."""
    source = request.volume.emptyDir
    medium = source.medium if source is not None else ""
    mode = source.mode if source is not None and source.mode is not None else _OPEN
    if medium.startswith("HugePages"):
        raise ValueError(f'storage medium "{medium}" is not supported: no huge pages are given to Pods on this node')
    if medium not in ("", "Memory"):
        raise ValueError(f'unknown storage medium "{medium}"')
    size = _size(request) if medium else None
    return partial(_make, request.folder, request.kept / "ready", mode, request.group, size)


def _size(request: VolumeRequest) -> int:
    """Bytes of a tmpfs: the least of sizeLimit, what the Pod may use and what all Pods may use; 0 is no bound."""
    source = request.volume.emptyDir
    asked = parse(source.sizeLimit).value() if source is not None and source.sizeLimit else 0
    bounds = (parse(request.node.allocatable.get("memory", "0")).value(), pod_limits(request.pod).memory or 0, asked)
    return min((bound for bound in bounds if bound > 0), default=0)


def _make(folder: Path, ready: Path, mode: int, group: int | None, size: int | None) -> Mounted:
    in_place = folder.is_dir() if size is None else mounts.is_mount(folder)
    if ready.exists() and in_place:
        return Mounted(folder)  # the mode and group are the containers' to change by now
    folder.mkdir(parents=True, exist_ok=True)
    if size is not None and not in_place:
        mounts.tmpfs(folder, f"size={size}" if size else "")
    own_directory(folder, mode, group)
    ready.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    ready.touch()
    return Mounted(folder)


VOLUME = VolumeType(field="emptyDir", folder="kubernetes.io~empty-dir", prepare=prepare)
