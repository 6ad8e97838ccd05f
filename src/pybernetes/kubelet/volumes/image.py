"""image: the files of an OCI image, read only and not to be executed (KEP-4639). See cri/snapshots.py for whose they are."""

import os
from functools import partial
from pathlib import Path
from stat import S_IMODE

from pybernetes.kernel import mounts
from pybernetes.kubelet.cri.model import HostMount
from pybernetes.kubelet.volume import Mounted, VolumeRequest, VolumeType, Work

FOLDER = "kubernetes.io~image"
_FLAGS = mounts.RDONLY | mounts.NOEXEC | mounts.NOSUID | mounts.NODEV
_MOST = 4095
"""Bytes that mount(2) takes of options."""


async def prepare(request: VolumeRequest) -> Work:
    """Raises ImageError where the image cannot be had, ValueError where nobody can mount it."""
    source = request.volume.image
    assert source is not None
    if request.images is None:
        raise ValueError("image volumes are not supported by the container runtime")
    # Written down first: whatever happens after it, the view is found and taken away.
    request.kept.mkdir(mode=0o750, parents=True, exist_ok=True)
    image = request.image or await request.images.pull(request.pod, source)
    view = await request.images.view(image, view_key(request.pod.metadata.uid, request.volume.name))
    return partial(_mount, view, request.folder, request.kept)


def view_key(uid: str, volume: str) -> str:
    """What the runtime knows the view as."""
    return f"{uid}-{volume}"


def _mount(view: HostMount, folder: Path, empty: Path) -> Mounted:
    folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    if not mounts.is_mount(folder):
        options = ",".join(option for option in view.options if option not in ("ro", "rbind"))
        if view.kind == "bind":
            # A single layer as it lies in the runtime's store: below another one, so that nobody can write to it.
            _alike(empty, Path(view.source))
            options = f"lowerdir={_escaped(str(empty))}:{_escaped(view.source)}"
        elif view.kind != "overlay":
            raise ValueError(f'images of the snapshotter "{view.kind}" cannot be mounted')
        if len(options) > _MOST:
            raise ValueError("the image has too many layers to be mounted")
        mounts.mount("overlay", folder, "overlay", _FLAGS, options)
    # Not marked read only for the runtime: it would mount it anew, with less than these flags.
    return Mounted(folder)


def _alike(empty: Path, root: Path) -> None:
    """What lies above gives the volume's root its owner and mode: those of the image's, or only root could look into it."""
    stat = root.stat()
    os.chown(empty, stat.st_uid, stat.st_gid)
    empty.chmod(S_IMODE(stat.st_mode))


def _escaped(path: str) -> str:
    return path.replace("\\", "\\\\").replace(":", "\\:").replace(",", "\\,")


VOLUME = VolumeType(field="image", folder=FOLDER, prepare=prepare, late=True)
