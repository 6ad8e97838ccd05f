"""Volumes of Pods: what a volume type is (volumes/*.py export one each), and the manager that sets all of a Pod's up.

Volumes written by the node (ConfigMap, Secret, projected, downward API) only say their content; the atomic writer puts
it on disk, and again when it changes. Next stop: specs/mounts.py mounts the paths.
"""

import asyncio
import logging
import os
import shutil
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from msgspec import Struct

from pybernetes.aio.clock import Clock
from pybernetes.aio.discover import discover
from pybernetes.api.errors import ApiError
from pybernetes.api.types import core_v1
from pybernetes.kernel import mounts
from pybernetes.kubelet.atomic_writer import Content, write_atomically
from pybernetes.kubelet.downward import Facts
from pybernetes.kubelet.sources import Sources

log = logging.getLogger(__name__)


class VolumeError(Exception):
    """A volume cannot be set up now: event FailedMount, tried again."""


class VolumeRequest(Struct, frozen=True):
    """One volume of one Pod. `folder` is the volume's own directory on the node."""

    pod: core_v1.Pod
    volume: core_v1.Volume
    folder: Path
    sources: Sources
    clock: Clock
    node: Facts
    ips: tuple[str, ...] = ()


SetUp: TypeAlias = Callable[[VolumeRequest], Awaitable[Path]]
MakeContent: TypeAlias = Callable[[VolumeRequest], Awaitable[Content]]


@dataclass(frozen=True)
class VolumeType:
    """One kind of volume. Either `content` (files that the node writes) or `set_up` (returns the path to mount)."""

    field: str
    """The field of core/v1 Volume that chooses it: `emptyDir`."""
    folder: str
    """Below pods/<uid>/volumes, as upstream names it: `kubernetes.io~empty-dir`."""
    content: MakeContent | None = None
    set_up: SetUp | None = None
    memory: bool = False
    """`content` is secret or of the Pod alone: on a tmpfs, never on a disk."""


class Volumes:
    """All volumes below `root` (/var/lib/kubelet)."""

    def __init__(self, root: Path, sources: Sources, clock: Clock, node: Callable[[], Facts]) -> None:
        self.root = root
        self._sources = sources
        self._clock = clock
        self._node = node
        found = discover("pybernetes.kubelet.volumes", "VOLUME", VolumeType, group="pybernetes.volumes")
        self._types = {kind.field: kind for kind in found.values()}

    def pod_folder(self, uid: str) -> Path:
        """/var/lib/kubelet/pods/<uid>."""
        return self.root / "pods" / uid

    async def set_up(self, pod: core_v1.Pod) -> dict[str, Path]:
        """Sets up every volume; the paths to mount by volume name. Raises VolumeError. Doing it twice is harmless."""
        paths: dict[str, Path] = {}
        for volume in pod.spec.volumes:
            paths[volume.name] = await self._set_up(pod, volume, ())
        return paths

    async def refresh(self, pod: core_v1.Pod, ips: tuple[str, ...]) -> None:
        """Writes content that has changed. Raises VolumeError."""
        for volume in pod.spec.volumes:
            kind = self._type(volume)
            if kind.content is not None:
                await self._set_up(pod, volume, ips)

    def path(self, pod: core_v1.Pod, volume: core_v1.Volume) -> Path:
        """Where a volume is once it is set up."""
        if volume.hostPath is not None:
            return Path(volume.hostPath.path)
        return self._folder(pod, volume, self._type(volume))

    async def tear_down(self, uid: str) -> None:
        """Unmounts and deletes all volumes of a Pod that was. What is gone already is no fault. Raises OSError."""
        await asyncio.to_thread(_remove_pod_folder, self.pod_folder(uid) / "volumes")

    async def forget(self, uid: str) -> None:
        """Deletes the whole folder of a Pod."""
        await asyncio.to_thread(_remove_pod_folder, self.pod_folder(uid))

    def _type(self, volume: core_v1.Volume) -> VolumeType:
        for name in volume.__struct_fields__:
            if name != "name" and getattr(volume, name) is not None:
                if name not in self._types:
                    raise VolumeError(f'volume "{volume.name}": volume type {name} is not supported')
                return self._types[name]
        return self._types["emptyDir"]

    def _folder(self, pod: core_v1.Pod, volume: core_v1.Volume, kind: VolumeType) -> Path:
        return self.pod_folder(pod.metadata.uid) / "volumes" / kind.folder / volume.name

    async def _set_up(self, pod: core_v1.Pod, volume: core_v1.Volume, ips: tuple[str, ...]) -> Path:
        kind = self._type(volume)
        folder = self._folder(pod, volume, kind)
        request = VolumeRequest(pod, volume, folder, self._sources, self._clock, self._node(), ips)
        try:
            if kind.set_up is not None:
                path = await kind.set_up(request)
                group = _fs_group(pod)
                if group is not None and kind.field == "emptyDir":
                    await asyncio.to_thread(_own, path, group)
                return path
            assert kind.content is not None
            content = await kind.content(request)
            if kind.memory:
                await asyncio.to_thread(_in_memory, folder)
            await asyncio.to_thread(write_atomically, folder, content, self._clock.now(), _fs_group(pod))
        except (ApiError, OSError, ValueError) as error:
            raise VolumeError(f'MountVolume.SetUp failed for volume "{volume.name}" : {error}') from None
        return folder


def _fs_group(pod: core_v1.Pod) -> int | None:
    return pod.spec.securityContext.fsGroup if pod.spec.securityContext else None


def _in_memory(folder: Path) -> None:
    """Puts a tmpfs there, unless the volume is in use already."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "..data").is_symlink() and not mounts.is_mount(folder):
        mounts.mount("tmpfs", folder, "tmpfs")


def _own(path: Path, group: int) -> None:
    os.chown(path, -1, group)
    path.chmod(path.stat().st_mode & 0o7777 | 0o2070)


def _remove_pod_folder(folder: Path) -> None:
    """Unmounts what is mounted below, deepest first, then deletes. Never deletes through a mount."""
    mounts.unmount_below(folder)
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return


def optional_items(
    data: Mapping[str, bytes], items: tuple[core_v1.KeyToPath, ...], mode: int, what: str, *, optional: bool
) -> Content:
    """The files of a ConfigMap or Secret: all keys, or `items` only. Raises ValueError for a key that is missing."""
    if not items:
        return {key: (value, mode) for key, value in data.items()}
    chosen: dict[str, tuple[bytes, int]] = {}
    for item in items:
        if item.key in data:
            chosen[item.path] = (data[item.key], mode if item.mode is None else item.mode)
        elif not optional:
            raise ValueError(f"{what} references non-existent key: {item.key}")
    return chosen
