"""hostPath: a file or directory of the node itself."""

import asyncio
import stat
from pathlib import Path

from pybernetes.kubelet.volume import VolumeRequest, VolumeType

_KINDS = {
    "Directory": (stat.S_ISDIR, "is not a directory"),
    "File": (stat.S_ISREG, "is not a file"),
    "Socket": (stat.S_ISSOCK, "is not a socket"),
    "CharDevice": (stat.S_ISCHR, "is not a character device"),
    "BlockDevice": (stat.S_ISBLK, "is not a block device"),
}


async def set_up(request: VolumeRequest) -> Path:
    """Checks or makes what `type` says. Raises ValueError where the node has something else there."""
    source = request.volume.hostPath
    assert source is not None
    path = Path(source.path)
    await asyncio.to_thread(_check, path, source.type or "")
    return path


def _check(path: Path, kind: str) -> None:
    if kind == "DirectoryOrCreate":
        path.mkdir(mode=0o755, parents=True, exist_ok=True)
    elif kind == "FileOrCreate":
        path.touch(mode=0o644, exist_ok=True)
    elif kind:
        matches, complaint = _KINDS[kind]
        if not path.exists() or not matches(path.stat().st_mode):
            raise ValueError(f"hostPath type check failed: {path} {complaint}")


VOLUME = VolumeType(field="hostPath", folder="kubernetes.io~host-path", set_up=set_up)
