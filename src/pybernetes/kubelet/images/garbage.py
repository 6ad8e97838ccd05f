"""Removes images that nobody uses when their disk grows full, or when they are too old. See "Garbage Collection".

What a container (running or not) was made from, what is pinned and what the runtime needs itself is never removed.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from pybernetes.aio.clock import Clock
from pybernetes.client.events import EventRecorder
from pybernetes.client.guard import Guard
from pybernetes.kubelet.cri.model import Image, ImageRuntime, RuntimeRefused, RuntimeUnavailable, StorageRuntime
from pybernetes.kubelet.settings import Settings
from pybernetes.kubelet.usage import Disk, read_disk

log = logging.getLogger(__name__)

_PERIOD = 300.0


class Store(ImageRuntime, StorageRuntime, Protocol):
    """A runtime's images."""


class Seen(Struct, frozen=True):
    """One image that could go. Times are seconds since 1970."""

    image: Image
    first: float
    """When it was first seen here; 0 of what was there before this kubelet."""
    used: float
    """When a container of it was last seen; its first time where never."""


class FreeDiskSpaceFailed(Exception):
    """Not enough could be freed: something other than images fills the disk."""


def oldest_first(images: Sequence[Seen], now: float, least_age: float) -> list[Seen]:
    """In the order in which they go. What is younger than `least_age` may be about to be used."""
    return sorted((s for s in images if now - s.first >= least_age), key=lambda s: (s.used, s.first, s.image.id))


class ImageGarbage:
    """One node's images. `run()` looks every five minutes; eviction calls `remove_unused()`."""

    def __init__(
        self,
        runtime: Store,
        settings: Settings,
        events: EventRecorder,
        clock: Clock,
        *,
        disk: Callable[[Path], Disk] = read_disk,
    ) -> None:
        self.removed: dict[str, int] = {"space": 0, "age": 0}
        """How many, by why."""
        self.mounted: Callable[[], Iterable[str]] = tuple
        """Names of images that Pods here have as volumes: of those the runtime's containers tell nothing."""
        self.present: Callable[[Iterable[str]], None] = lambda ids: None
        """Told of all images that are here; blocking."""
        self._runtime = runtime
        self._config = settings.config
        self._root = settings.root
        self._about = settings.node_reference
        self._events = events
        self._clock = clock
        self._disk = disk
        self._began = clock.now()
        self._first: dict[str, float] | None = None
        self._used: dict[str, float] = {}

    async def run(self) -> None:
        """Until cancelled."""
        failed = False
        while True:
            with Guard("image garbage collection", quiet=_told) as guard:
                await self.collect()
            if guard.error is not None and failed:
                self._events.event(self._about, "Warning", "ImageGCFailed", str(guard.error))
            failed = guard.error is not None
            await self._clock.sleep(_PERIOD)

    async def _unused(self) -> list[Seen]:
        """Looks at all images, and remembers when each was used."""
        now = self._clock.now()
        images, used = await self._runtime.images(), await self._runtime.used_images()
        used |= frozenset(self.mounted())
        await asyncio.to_thread(self.present, [image.id for image in images])
        before = self._first
        self._first = {i.id: 0.0 if before is None else before.get(i.id, now) for i in images}
        free = []
        for image in images:
            if used.intersection((image.id, *image.tags, *image.digests)):
                self._used[image.id] = now
            elif not image.pinned:
                first = self._first[image.id]
                free.append(Seen(image, first, self._used.get(image.id, first)))
        self._used = {id: at for id, at in self._used.items() if id in self._first}
        return free

    async def collect(self) -> None:
        """Removes what is too old, then as much as brings the disk from above the high threshold to the low one.

        Raises FreeDiskSpaceFailed, RuntimeRefused, RuntimeUnavailable, OSError.
        """
        free = await self._unused()
        now, oldest = self._clock.now(), self._config.image_maximum_gc_age
        if oldest and now - self._began > oldest:
            old = [s for s in free if now - max(s.used, self._began) > oldest]
            await self._remove(old, None, "age")
            free = [s for s in free if s not in old]
        folder = await self._runtime.image_folder()
        disk = await asyncio.to_thread(self._disk, Path(folder) if folder else self._root)
        if not disk.capacity:
            message = f"invalid capacity {disk.capacity} on image filesystem"
            self._events.event(self._about, "Warning", "InvalidDiskCapacity", message)
            raise FreeDiskSpaceFailed(message)
        percent = 100 - disk.available * 100 // disk.capacity
        if percent < self._config.image_gc_high_threshold_percent:
            return
        wanted = disk.capacity * (100 - self._config.image_gc_low_threshold_percent) // 100 - disk.available
        log.info("the images' disk is %s %% full: freeing %s bytes", percent, wanted)
        freed = await self._remove(oldest_first(free, now, self._config.image_minimum_gc_age), wanted, "space")
        if freed < wanted:
            message = (
                f"Insufficient free disk space on the node's image filesystem ({percent}% of {_shown(disk.capacity)}"
                f" used). Failed to free sufficient space by deleting unused images (freed {freed} bytes). Investigate"
                " disk usage, as it could be used by active images, logs, volumes, or other data."
            )
            self._events.event(self._about, "Warning", "FreeDiskSpaceFailed", message)
            raise FreeDiskSpaceFailed(message)

    async def remove_unused(self) -> int:
        """All that may go, as bytes that are free now. Raises RuntimeRefused, RuntimeUnavailable."""
        free = oldest_first(await self._unused(), self._clock.now(), self._config.image_minimum_gc_age)
        return await self._remove(free, None, "space")

    async def _remove(self, images: Sequence[Seen], enough: int | None, why: str) -> int:
        freed = 0
        for seen in images:
            if enough is not None and freed >= enough:
                break
            image = seen.image
            try:
                await self._runtime.remove_image(image.id)
            except RuntimeRefused as refused:
                log.warning("cannot remove image id=%s error=%s", image.id, refused.message)
                continue
            log.info("removed image id=%s tags=%s size=%s", image.id, image.tags, image.size)
            self.removed[why] += 1
            freed += image.size
        return freed


def _shown(size: int) -> str:
    """`114.7 GiB`."""
    if size < 1024:
        return f"{size} B"
    power = min((size.bit_length() - 1) // 10, 6)
    return f"{size / 1024**power:.1f} {' KMGTPE'[power]}iB"


def _told(error: Exception) -> bool:
    """What is told as an event, or ends by itself when the runtime is back."""
    return isinstance(error, FreeDiskSpaceFailed | RuntimeRefused | RuntimeUnavailable)
