"""Which images go, and when."""

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from tests.unit.kubelet.fakes import simulate

from pybernetes.aio.simulation import SimulatedClock
from pybernetes.kubelet.configuration import Configuration
from pybernetes.kubelet.cri.model import Image, RuntimeRefused
from pybernetes.kubelet.images import garbage
from pybernetes.kubelet.images.garbage import ImageGarbage
from pybernetes.kubelet.settings import Settings
from pybernetes.kubelet.usage import Disk


class Store:
    """Images of 10 bytes each on a disk of 100."""

    def __init__(self, clock: SimulatedClock, config: Configuration) -> None:
        self.clock = clock
        self.other = 0
        self.capacity = 100
        self.there: dict[str, Image] = {}
        self.used: set[str] = set()
        self.stuck: set[str] = set()
        self.told: list[tuple[str, str]] = []
        store: Any = self
        self.garbage = ImageGarbage(store, Settings("n1", (), config), store, clock, disk=self.disk)

    def add(self, name: str, *, pinned: bool = False) -> None:
        self.there[name] = Image(name, (f"{name}:1",), (), 10, pinned=pinned)

    def disk(self, folder: Path) -> Disk:
        assert folder == Path("/images")
        used = self.other + 10 * len(self.there)
        return Disk(capacity=self.capacity, available=self.capacity - used, used=used, inodes=0, inodes_free=0)

    async def images(self) -> list[Image]:
        return list(self.there.values())

    async def used_images(self) -> frozenset[str]:
        return frozenset(self.used)

    async def image_folder(self) -> str:
        return "/images"

    async def remove_image(self, id: str) -> None:
        if id in self.stuck:
            raise RuntimeRefused("UNKNOWN", "busy")
        del self.there[id]

    def event(self, about: Any, kind: str, reason: str, message: str) -> None:
        self.told.append((reason, message))


def with_images(story: Callable[[Store], Coroutine[Any, Any, None]], **config: Any) -> None:
    simulate(lambda clock: Store(clock, Configuration(**config)), lambda store: store.garbage.run(), story)


def test_above_the_high_threshold_the_longest_unused_go_down_to_the_low_one() -> None:
    async def story(store: Store) -> None:
        for name in ("a", "b", "c", "d"):
            store.add(name)
        store.used = {"b:1"}
        await store.clock.sleep(301)
        store.used = set()
        await store.clock.sleep(300)
        store.other = 46  # 86 of 100 bytes are used: 6 too many
        await store.clock.sleep(300)
        # b was used later than the others.
        assert set(store.there) == {"b", "c", "d"}
        store.other = 60
        await store.clock.sleep(300)
        assert set(store.there) == {"b", "d"}

    with_images(story)


def test_a_disk_without_a_capacity_is_told_and_as_a_failure_when_it_lasts() -> None:
    async def story(store: Store) -> None:
        store.capacity = 0
        await store.clock.sleep(1)
        invalid = "invalid capacity 0 on image filesystem"
        assert store.told == [("InvalidDiskCapacity", invalid)]
        await store.clock.sleep(300)
        assert store.told[1:] == [("InvalidDiskCapacity", invalid), ("ImageGCFailed", invalid)]

    with_images(story)


def test_below_the_threshold_nothing_goes() -> None:
    async def story(store: Store) -> None:
        store.add("a")
        store.other = 74
        await store.clock.sleep(1000)
        assert set(store.there) == {"a"}

    with_images(story)


def test_what_is_used_pinned_or_new_never_goes() -> None:
    async def story(store: Store) -> None:
        store.add("used")
        store.add("pinned", pinned=True)
        store.used = {"used"}
        store.other = 75
        await store.clock.sleep(299)
        store.add("new")
        await store.clock.sleep(2)
        assert set(store.there) == {"used", "pinned", "new"}
        assert await store.garbage.remove_unused() == 0
        await store.clock.sleep(299)
        assert set(store.there) == {"used", "pinned"}

    with_images(story)


def test_a_disk_that_others_fill_is_told_at_once_and_as_a_failure_when_it_lasts() -> None:
    async def story(store: Store) -> None:
        store.add("only")
        store.other = 88
        await store.clock.sleep(1)
        assert store.there == {}
        message = (
            "Insufficient free disk space on the node's image filesystem (98% of 100 B used). Failed to free sufficient"
            " space by deleting unused images (freed 10 bytes). Investigate disk usage, as it could be used by active"
            " images, logs, volumes, or other data."
        )
        assert store.told == [("FreeDiskSpaceFailed", message)]
        await store.clock.sleep(300)
        assert [reason for reason, _ in store.told[1:]] == ["FreeDiskSpaceFailed", "ImageGCFailed"]

    with_images(story)


@pytest.mark.parametrize(
    ("size", "shown"), [(1023, "1023 B"), (1024, "1.0 KiB"), (10 << 30, "10.0 GiB"), (123_157_000_000, "114.7 GiB")]
)
def test_a_disks_size_is_told_as_upstream_does(size: int, shown: str) -> None:
    assert garbage._shown(size) == shown


def test_what_cannot_be_removed_does_not_keep_the_others() -> None:
    async def story(store: Store) -> None:
        store.add("stuck")
        store.add("free")
        store.stuck = {"stuck"}
        store.other = 70
        await store.clock.sleep(1)
        assert set(store.there) == {"stuck"}

    with_images(story)


def test_images_grow_too_old_only_while_this_kubelet_looks() -> None:
    async def story(store: Store) -> None:
        store.add("old")
        store.add("used")
        store.used = {"used"}
        await store.clock.sleep(3500)
        assert set(store.there) == {"old", "used"}
        await store.clock.sleep(600)
        assert set(store.there) == {"used"}
        assert store.garbage.removed == {"space": 0, "age": 1}

    with_images(story, image_maximum_gc_age=3600.0)
