"""emptyDir: one directory for all containers of the Pod, gone with it; `medium: Memory` is a tmpfs."""

import asyncio
from pathlib import Path

from pybernetes.api.quantity import parse
from pybernetes.kernel import mounts
from pybernetes.kubelet.volume import VolumeRequest, VolumeType


async def set_up(request: VolumeRequest) -> Path:
    """Makes the directory, open to every user whatever the umask."""
    source = request.volume.emptyDir
    memory = source is not None and source.medium == "Memory"
    limit = parse(source.sizeLimit).value() if source is not None and source.sizeLimit else 0
    await asyncio.to_thread(_make, request.folder, memory, limit)
    return request.folder


def _make(folder: Path, memory: bool, limit: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if memory and not mounts.is_mount(folder):
        mounts.mount("tmpfs", folder, "tmpfs", options=f"size={limit},mode=777" if limit else "mode=777")
    elif folder.stat().st_mode & 0o777 != 0o777:
        folder.chmod(0o777)


VOLUME = VolumeType(field="emptyDir", folder="kubernetes.io~empty-dir", set_up=set_up)
