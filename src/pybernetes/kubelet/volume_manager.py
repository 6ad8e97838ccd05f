"""Sets up, refreshes and takes away the volumes of Pods. executor.py asks for it; volume.py says what a type is.

All of a Pod's volumes are set up side by side: the API is asked for everything at once, and one thread then does what
blocks. What is below a Pod's folder is removed only after it is unmounted, and never through a link or a mount.
"""

import asyncio
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

from pybernetes.aio.clock import Clock
from pybernetes.aio.discover import discover
from pybernetes.api.errors import ApiError
from pybernetes.api.types import core_v1
from pybernetes.kernel import mounts
from pybernetes.kernel.trees import remove_tree
from pybernetes.kubelet.atomic_writer import Content, write_atomically
from pybernetes.kubelet.downward import Facts
from pybernetes.kubelet.images.references import ImageError
from pybernetes.kubelet.metrics import VOLUME_SECONDS
from pybernetes.kubelet.ownership import own_directory
from pybernetes.kubelet.sources import PodSources
from pybernetes.kubelet.volume import (
    ImageViews,
    Mounted,
    MountFailed,
    NotProcessed,
    VolumeError,
    VolumeRequest,
    VolumeType,
    Work,
    words,
)
from pybernetes.kubelet.volumes.image import FOLDER as IMAGES
from pybernetes.kubelet.volumes.image import view_key

log = logging.getLogger(__name__)

_PATIENCE = 123.0
"""Seconds of failing after which the Pod is told as a whole, and again after as long."""
_SOON, _LATE = 10.0, 120.0
"""Seconds at most until the next try: claims become bound without anybody telling a kubelet."""
_FIRST_NOTICE, _NOTICE = 30.0, 60.0
"""Seconds after which a change of ownership is told of."""
_FAILURES = (ApiError, OSError, ValueError, NotProcessed, MountFailed, ImageError)

Tell = Callable[[core_v1.Pod, str, str], None]
"""Pod, reason and message of a warning."""


class _PodVolumes:
    """What is known of one Pod's volumes. The lock keeps refreshing and removing apart."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.mounted: dict[str, Mounted] = {}
        self.plugins: dict[str, str] = {}
        """What mounts each volume, by its name."""
        self.images: dict[str, str] = {}
        """Ids of images that are volumes, once they are pulled."""
        self.ips: tuple[str, ...] = ()
        self.failing_since: float | None = None
        self.gone = False


class Volumes:
    """All volumes below `root` (/var/lib/kubelet)."""

    def __init__(
        self, root: Path, sources: PodSources, clock: Clock, node: Callable[[], Facts], tell: Tell | None = None
    ) -> None:
        self.root = root
        self._sources = sources
        self._clock = clock
        self._node = node
        self._tell = tell or (lambda pod, reason, message: None)
        self._known: dict[str, _PodVolumes] = {}
        self.images: ImageViews | None = None
        found = discover("pybernetes.kubelet.volumes", "VOLUME", VolumeType, group="pybernetes.volumes")
        self._types = {kind.field: kind for kind in found.values()}

    def pod_folder(self, uid: str) -> Path:
        """/var/lib/kubelet/pods/<uid>."""
        return self.root / "pods" / uid

    def path(self, pod: core_v1.Pod, volume: core_v1.Volume) -> Path:
        """Where a volume is that has a folder of its own on the node."""
        kind = self._type(volume)
        return self.pod_folder(pod.metadata.uid) / "volumes" / (kind.folder if kind is not None else "") / volume.name

    async def set_up(self, pod: core_v1.Pod) -> Mapping[str, Mounted]:
        """Sets up every volume but late ones; what to mount by volume name. Raises VolumeError. Twice is harmless."""
        known = self._known.setdefault(pod.metadata.uid, _PodVolumes())
        async with known.lock:
            known.gone = False
            known.plugins = {v.name: kind.plugin for v in pod.spec.volumes if (kind := self._type(v)) is not None}
            mounted, failed = await self._set_up(pod, self._early(pod), known.ips)
            known.mounted |= mounted
            for warning in filter(None, (one.warning for one in mounted.values())):
                self._tell(pod, "AlreadyMountedVolume", warning)
            if failed:
                unknown = any(isinstance(error, NotProcessed) for error in failed.values())
                raise VolumeError(*self._messages(known, failed), most=_SOON if unknown else _LATE)
            known.failing_since = None
        return known.mounted

    async def pull(self, pod: core_v1.Pod, container: core_v1.Container) -> Mapping[str, str]:
        """Makes images present that a container mounts: their ids by volume. Raises ImageError, RuntimeUnavailable."""
        known = self._known.setdefault(pod.metadata.uid, _PodVolumes())
        found = {}
        for volume in _used(pod, container):
            if volume.image is not None and self.images is not None:
                image = await self.images.pull(pod, volume.image)
                if volume.name not in known.mounted:  # what is mounted stays, whatever the name means by now
                    known.images[volume.name] = image
                found[volume.name] = known.images.get(volume.name, image)
        return found

    async def of(self, pod: core_v1.Pod, container: core_v1.Container) -> Mapping[str, Mounted]:
        """What to mount, with late volumes of that container; after a restart of the kubelet it is found by setting up
        what is there. Raises VolumeError, ImageError."""
        known = self._known.get(pod.metadata.uid)
        if known is None or any(volume.name not in known.mounted for volume in self._early(pod)):
            await self.set_up(pod)
        known = self._known[pod.metadata.uid]
        async with known.lock:
            late = [volume for volume in _used(pod, container) if volume.name not in known.mounted]
            mounted, failed = await self._set_up(pod, late, known.ips)
            known.mounted |= mounted
        for error in failed.values():
            if isinstance(error, ImageError):
                raise error
        if failed:
            raise VolumeError(*(_said(name, error) for name, error in failed.items()))
        return known.mounted

    def _early(self, pod: core_v1.Pod) -> list[core_v1.Volume]:
        return [v for v in pod.spec.volumes if (kind := self._type(v)) is None or not kind.late]

    def has(self, uid: str) -> bool:
        """Whether a Pod's volumes were set up by this process, and not taken away."""
        return uid in self._known and not self._known[uid].gone

    async def refresh(self, pod: core_v1.Pod, ips: tuple[str, ...]) -> None:
        """Writes content that has changed. Raises VolumeError."""
        volumes = [v for v in pod.spec.volumes if (kind := self._type(v)) is not None and kind.content is not None]
        known = self._known.setdefault(pod.metadata.uid, _PodVolumes())
        async with known.lock:
            if known.gone or not volumes:
                return
            known.ips = ips or known.ips
            _, failed = await self._set_up(pod, volumes, known.ips)
        if failed:
            raise VolumeError(*(_said(name, error) for name, error in failed.items()))

    async def tear_down(self, uid: str) -> None:
        """Unmounts and deletes all volumes of a Pod that was. What is gone already is no fault. Raises OSError."""
        known = self._known.setdefault(uid, _PodVolumes())
        async with known.lock:
            known.gone = True
            known.mounted = {}
            self._sources.forget(uid)
            await self._take_away(uid, "volume-subpaths", "volumes", "plugins")

    async def forget(self, uid: str) -> None:
        """Deletes the whole folder of a Pod. Raises OSError."""
        self._sources.forget(uid)
        await self._take_away(uid, "volume-subpaths", "volumes", "")
        self._known.pop(uid, None)

    async def _take_away(self, uid: str, *parts: str) -> None:
        """The last part only when the views of images that it tells of are gone, too."""
        folder = self.pod_folder(uid)
        views = await asyncio.to_thread(_views, folder)
        await asyncio.to_thread(_remove, folder, parts[:-1])
        for name in views:
            if self.images is not None:
                await self.images.release(view_key(uid, name))
        await asyncio.to_thread(_remove, folder, parts[-1:])

    def totals(self) -> Mapping[tuple[str, str], int]:
        """How many volumes there are to be, and how many are, by plugin and state: for /metrics."""
        found: Counter[tuple[str, str]] = Counter()
        for known in self._known.values():
            if not known.gone:
                found.update((plugin, "desired_state_of_world") for plugin in known.plugins.values())
                found.update((p, "actual_state_of_world") for name, p in known.plugins.items() if name in known.mounted)
        return found

    def in_use(self) -> Sequence[str]:
        """Unique names of volumes that were attached to the node and are not to be detached: none before CSI."""
        return ()

    # -- one Pod -------------------------------------------------------------------------------------------------------

    def _type(self, volume: core_v1.Volume) -> VolumeType | None:
        """Its type; an emptyDir without one. None where there is no such type here."""
        for name in volume.__struct_fields__:
            if name != "name" and getattr(volume, name) is not None:
                return self._types.get(name)
        return self._types["emptyDir"]

    async def _set_up(
        self, pod: core_v1.Pod, volumes: Iterable[core_v1.Volume], ips: tuple[str, ...]
    ) -> tuple[dict[str, Mounted], dict[str, Exception]]:
        """What is set up, and what is not, by volume name."""
        counter = _Counter()
        chosen = [volume.name for volume in volumes]
        prepared = await asyncio.gather(*(self._prepare(pod, volume, ips, counter) for volume in volumes))
        todo = {name: work for name, work in zip(chosen, prepared, strict=True) if not isinstance(work, Exception)}
        failed = {name: error for name, error in zip(chosen, prepared, strict=True) if isinstance(error, Exception)}
        if not todo:
            return {}, failed
        working = asyncio.create_task(asyncio.to_thread(_do, todo), name=f"volumes of {pod.metadata.name}")
        notices = asyncio.create_task(self._notices(pod, counter), name="ownership notices")
        try:
            mounted, broken = await working
        finally:
            notices.cancel()
        return mounted, {**failed, **broken}

    async def _prepare(
        self, pod: core_v1.Pod, volume: core_v1.Volume, ips: tuple[str, ...], counter: "_Counter"
    ) -> Work | Exception:
        kind = self._type(volume)
        if kind is None:
            text = f'failed to get Plugin from volumeSpec for volume "{volume.name}" err=no volume plugin matched'
            return NotProcessed(text)
        own, known = self.pod_folder(pod.metadata.uid), self._known.get(pod.metadata.uid)
        request = VolumeRequest(
            pod=pod,
            volume=volume,
            folder=own / "volumes" / kind.folder / volume.name,
            kept=own / "plugins" / kind.folder / volume.name,
            sources=self._sources.of(pod.metadata.uid),
            clock=self._clock,
            node=self._node(),
            ips=ips,
            images=self.images,
            image=known.images.get(volume.name, "") if known is not None else "",
            counted=partial(counter.count, volume.name),
        )
        try:
            if kind.prepare is not None:
                return _timed(kind.plugin, await kind.prepare(request), self._clock)
            assert kind.content is not None
            content = await kind.content(request)
            write = partial(_write, request.folder, content, self._clock.now(), request.group, kind.memory)
            return _timed(kind.plugin, write, self._clock)
        except _FAILURES as error:
            return error

    async def _notices(self, pod: core_v1.Pod, counter: "_Counter") -> None:
        """Says so when a change of ownership takes long."""
        await self._clock.sleep(_FIRST_NOTICE)
        while True:
            if counter.volume:
                where = f"{pod.metadata.uid}/volumes/{counter.volume}"
                message = f"Setting volume ownership for {where}, processed {counter.files} files."
                self._tell(pod, "VolumePermissionChangeInProgress", message)
            await self._clock.sleep(_NOTICE)

    def _messages(self, known: _PodVolumes, failed: Mapping[str, Exception]) -> list[str]:
        """Upstream's words: one for each mount that failed, one for all that is not known, and one after a long time."""
        found = [_said(name, error) for name, error in failed.items() if not isinstance(error, NotProcessed)]
        unknown = {name: error for name, error in failed.items() if isinstance(error, NotProcessed)}
        if unknown:
            found.append(_unmounted(failed, unknown, "; ".join(str(error) for error in unknown.values())))
        now = self._clock.now()
        if known.failing_since is None:
            known.failing_since = now
        elif now - known.failing_since >= _PATIENCE and not unknown:
            known.failing_since = now
            found.append(_unmounted(failed, (), "timed out waiting for the condition"))
        return found


class _Counter:
    """How far changes of ownership are; written by the thread that makes them."""

    def __init__(self) -> None:
        self.volume = ""
        self.files = 0

    def count(self, volume: str) -> None:
        self.volume = volume
        self.files += 1


def _used(pod: core_v1.Pod, container: core_v1.Container) -> list[core_v1.Volume]:
    named = {mount.name for mount in container.volumeMounts}
    return [volume for volume in pod.spec.volumes if volume.name in named]


def _said(name: str, error: Exception) -> str:
    if isinstance(error, MountFailed):
        return str(error)
    return f'MountVolume.SetUp failed for volume "{name}" : {words(error)}'


def _unmounted(failed: Iterable[str], unknown: Iterable[str], why: str) -> str:
    lists = f"unmounted volumes=[{' '.join(sorted(failed))}], unattached volumes=[]"
    return f"Unable to attach or mount volumes: {lists}, failed to process volumes=[{' '.join(sorted(unknown))}]: {why}"


def _do(todo: Mapping[str, Work]) -> tuple[dict[str, Mounted], dict[str, Exception]]:
    mounted: dict[str, Mounted] = {}
    failed: dict[str, Exception] = {}
    for name, work in todo.items():
        try:
            mounted[name] = work()
        except _FAILURES as error:
            failed[name] = error
    return mounted, failed


def _timed(plugin: str, work: Work, clock: Clock) -> Work:
    """The same, measured for /metrics."""

    def measured() -> Mounted:
        began, status = clock.monotonic(), "fail-unknown"
        try:
            mounted = work()
            status = "success"
            return mounted
        finally:
            VOLUME_SECONDS.observe(clock.monotonic() - began, "false", "volume_mount", status, plugin)

    return measured


def _write(folder: Path, content: Content, now: float, group: int | None, memory: bool) -> Mounted:
    folder.mkdir(parents=True, exist_ok=True)
    if memory and not mounts.is_mount(folder):
        mounts.tmpfs(folder, "")
    own_directory(folder, 0o777, group)
    write_atomically(folder, content, now, group)
    return Mounted(folder, read_only=True)


def _views(folder: Path) -> list[str]:
    """The volumes of a Pod that are images."""
    try:
        return os.listdir(folder / "plugins" / IMAGES)
    except FileNotFoundError:
        return []


def _remove(folder: Path, parts: Iterable[str]) -> None:
    mounts.unmount_below(folder)
    for part in parts:
        remove_tree(folder / part)
