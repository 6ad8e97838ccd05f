"""What a volume type is (volumes/*.py export one each), and what it gets and gives. volume_manager.py sets them up.

Next stops: volumes/empty_dir.py is the simplest type, volumes/projected.py the richest; specs/mounts.py mounts the paths.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

from msgspec import Struct

from pybernetes.aio.clock import Clock
from pybernetes.api.types import core_v1
from pybernetes.kubelet.atomic_writer import Content, File
from pybernetes.kubelet.cri.model import HostMount
from pybernetes.kubelet.downward import Facts
from pybernetes.kubelet.sources import VolumeSources


class VolumeError(Exception):
    """Volumes cannot be set up now: an event FailedMount for each message; tried again within `most` seconds."""

    def __init__(self, *messages: str, most: float = 120.0) -> None:
        super().__init__("; ".join(messages))
        self.messages = messages
        self.most = most


class NotProcessed(Exception):
    """It is not even known what to mount: a claim that is not bound, a type that is not there."""


class MountFailed(Exception):
    """A mount that failed at another step than SetUp; the message is the event's whole text."""


class Mounted(Struct, frozen=True):
    """A volume that is set up: what to mount, and whether no container may write to it."""

    path: Path
    read_only: bool = False
    warning: str = ""
    """For the Pod: event AlreadyMountedVolume."""


class ImageViews(Protocol):
    """Images as volumes: images/volumes.py."""

    async def pull(self, pod: core_v1.Pod, source: core_v1.ImageVolumeSource) -> str: ...
    async def view(self, image: str, key: str) -> HostMount: ...
    async def release(self, key: str) -> None: ...


class VolumeRequest(Struct, frozen=True):
    """One volume of one Pod. `folder` is the volume's own directory on the node, `kept` is for what is known about it."""

    pod: core_v1.Pod
    volume: core_v1.Volume
    folder: Path
    kept: Path
    sources: VolumeSources
    clock: Clock
    node: Facts
    ips: tuple[str, ...] = ()
    images: ImageViews | None = None
    image: str = ""
    """The id of the image that was pulled for this volume."""
    counted: Callable[[], None] = lambda: None
    """Is called for each file whose owner is changed."""

    @property
    def group(self) -> int | None:
        """fsGroup."""
        context = self.pod.spec.securityContext
        return context.fsGroup if context is not None else None


Work: TypeAlias = Callable[[], Mounted]
"""Blocking, and harmless where it is done already. Raises OSError, ValueError, MountFailed."""
Prepare: TypeAlias = Callable[[VolumeRequest], Awaitable[Work]]
"""Asks the API what has to be asked. Raises NotProcessed, MountFailed, ApiError, OSError, ValueError."""
MakeContent: TypeAlias = Callable[[VolumeRequest], Awaitable[Content]]


@dataclass(frozen=True)
class VolumeType:
    """One kind of volume: either `content` (files that the node writes and keeps up to date) or `prepare`."""

    field: str
    """The field of core/v1 Volume that chooses it: `emptyDir`."""
    folder: str
    """Below pods/<uid>/volumes, as upstream names it: `kubernetes.io~empty-dir`."""
    content: MakeContent | None = None
    prepare: Prepare | None = None
    memory: bool = False
    """`content` is secret or of the Pod alone: on a tmpfs, never on a disk."""
    late: bool = False
    """Set up for the first container, not before the sandbox: it takes long, and its errors are the container's."""

    @property
    def plugin(self) -> str:
        """Its name in /metrics: `kubernetes.io/empty-dir`."""
        return self.folder.replace("~", "/")


def words(error: Exception, done: str = "") -> str:
    """What an event says of an error: of the system's as Go does, with what was `done` to the file."""
    if not isinstance(error, OSError) or not error.strerror:
        return str(error)
    return f"{done} {error.filename or ''}: {error.strerror.lower()}".removeprefix(" ").removeprefix(": ")


def chosen_items(
    data: Mapping[str, bytes], items: tuple[core_v1.KeyToPath, ...], usual: File, missing: str, *, optional: bool
) -> Content:
    """The files of a ConfigMap or Secret: all keys, or `items` only; mode and owner are those of `usual`, unless an
    item has its own. Raises ValueError, with the words `missing`, for a key that must be there and is not."""
    if not items:
        return {key: usual._replace(data=value) for key, value in data.items()}
    chosen: dict[str, File] = {}
    for item in items:
        if item.key in data:
            chosen[item.path] = file_like(usual, data[item.key], item.mode, item.user)
        elif not optional:
            raise ValueError(f"{missing}: {item.key}")
    return chosen


def file_like(usual: File, data: bytes, mode: int | None, user: int | None) -> File:
    """A file with the mode and owner of `usual`, unless it has its own."""
    return File(data, usual.mode if mode is None else mode, usual.user if user is None else user)


def usual_file(mode: int | None, user: int | None) -> File:
    """defaultMode and defaultUser of a volume."""
    return File(b"", 0o644 if mode is None else mode, user)
