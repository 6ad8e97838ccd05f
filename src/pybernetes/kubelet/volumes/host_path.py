"""hostPath: a file or directory of the node itself."""

import errno
import stat
from functools import partial
from pathlib import Path

from pybernetes.kubelet.volume import Mounted, VolumeRequest, VolumeType, Work, words

_KINDS = {
    "Directory": (stat.S_ISDIR, "directory"),
    "File": (stat.S_ISREG, "file"),
    "Socket": (stat.S_ISSOCK, "socket file"),
    "CharDevice": (stat.S_ISCHR, "character device"),
    "BlockDevice": (stat.S_ISBLK, "block device"),
}


async def prepare(request: VolumeRequest) -> Work:
    """Raises ValueError where the node has something else there than `type` says."""
    source = request.volume.hostPath
    assert source is not None
    return partial(check, source.path, source.type or "")


def check(path: str, kind: str, *, read_only: bool = False) -> Mounted:
    """Checks or makes what `kind` says, also for PersistentVolumes. Blocking."""
    if ".." in path.split("/"):
        raise ValueError(f"invalid HostPath `{path}`: must not contain '..'")
    place = Path(path)
    if kind.endswith("OrCreate"):
        kind = kind.removesuffix("OrCreate")
        if not _found(place):
            _make(place, kind)
            return Mounted(place, read_only)
    if kind and kind not in _KINDS:
        raise ValueError(f"{kind} is an invalid volume type")
    if kind:
        matches, name = _KINDS[kind]
        mode = _found(place)
        if not mode or not matches(mode):
            raise ValueError(f"hostPath type check failed: {path} is not a {name}")
    return Mounted(place, read_only)


def _found(place: Path) -> int:
    """Its mode with the type; 0 where there is nothing."""
    try:
        return place.stat().st_mode
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return 0
        raise


def _make(place: Path, kind: str) -> None:
    folder = kind == "Directory"
    try:
        if folder:
            place.mkdir(mode=0o755, parents=True, exist_ok=True)
        else:
            place.touch(mode=0o644, exist_ok=True)
    except OSError as error:
        raise ValueError(words(error, "mkdir" if folder else "open")) from None


VOLUME = VolumeType(field="hostPath", folder="kubernetes.io~host-path", prepare=prepare)
