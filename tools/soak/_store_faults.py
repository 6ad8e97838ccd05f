"""What befalls the SQLite store in store.py's rounds besides kill -9: a disk that is full, files that are damaged.

A damaged file must be refused, with the way out, when it is opened or when the damage is read; what is served is true.
"""

import random
import resource
import shutil
import sqlite3
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from pybernetes.kernel import mounts, namespaces
from pybernetes.store import snapshots
from pybernetes.store.protocol import Compacted, Event, Revision, Store, Stored, Unavailable
from pybernetes.store.sqlite import open_sqlite

FULL = "the disk is full; free some space and try again"
IO_ERROR = "check the disk's free space and health"
REMEDY = "pybernetes store snapshot restore --storage-path"
BUMP = 1000
SMALL_DISK = (2 << 20, 12 << 20)
"""Bytes of a file system that is to be full, from, to."""
FILE_DAMAGE = ("bit", "page lost", "page random", "page of another place", "bit of meta", "cut", "old copy")
LOG_DAMAGE = ("log bit", "log cut", "log lost", "log page lost")
ON, OFF = (0.02, 0.2), (0.02, 0.15)
"""Seconds for which a disk is full, and for which it is not."""


class Limit:
    """Files of another process may not grow now and then: its writes fail as on a disk with errors (EFBIG)."""

    def __init__(self, path: Path, rng: random.Random) -> None:
        self._path = path
        self._rng = rng
        self._on = False
        self._next = 0.0

    def tick(self, pid: int) -> None:
        """Called often; turns trouble on and off."""
        if (now := time.monotonic()) < self._next:
            return
        self._on = not self._on
        self._next = now + self._rng.uniform(*(ON if self._on else OFF))
        self._turn(pid)

    def _turn(self, pid: int) -> None:
        sizes = [Path(f"{self._path}{end}").stat().st_size for end in ("", "-wal")]
        limit = max(0, self._rng.choice(sizes) + self._rng.randrange(-50_000, 100_000))
        hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (limit if self._on else hard, hard))

    def close(self) -> None:
        """Nothing stays: limits end with their process."""


class SmallDisk(Limit):
    """A small file system that is full now and then, when another program fills it or the store itself."""

    def __init__(self, path: Path, rng: random.Random) -> None:
        super().__init__(path, rng)
        self._folder = path.parent
        self._ballast = self._folder / "ballast"
        self._folder.mkdir(parents=True)
        self._size = rng.randrange(*SMALL_DISK)
        mounts.mount("soak", self._folder, "tmpfs", options=f"size={self._size}")

    def _turn(self, pid: int) -> None:
        if not self._on:
            self._ballast.unlink(missing_ok=True)
            return
        with self._ballast.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(4096))

    def grow(self) -> None:
        """There is space again."""
        self._ballast.unlink(missing_ok=True)
        mounts.mount("soak", self._folder, flags=mounts.REMOUNT, options=f"size={self._size + (64 << 20)}")

    def close(self) -> None:
        """It is gone with all that it has."""
        mounts.unmount(self._folder, detach=True)
        self._folder.rmdir()


def own_mounts() -> bool:
    """From now on mounts are this process's and end with it; False for want of rights."""
    try:
        namespaces.unshare(namespaces.NEWNS)
        mounts.propagate("/", mounts.PRIVATE)
    except OSError:
        return False
    return True


async def opens_or_says(path: Path) -> int:
    """On a full disk a store opens or says so; 1 if it did not open."""
    try:
        store = await open_sqlite(str(path))
    except Unavailable as error:
        said = str(error)
    else:
        await store.close()
        return 0
    assert FULL in said or "No space left on device" in said, f"a full disk is called {said}"
    return 1


# -- damage ---------------------------------------------------------------------------------------------------------


class Truth:
    """What a store had when it was killed."""

    def __init__(
        self, events: Sequence[Event], oldest: Revision, acknowledged: Revision, begin: Mapping[str, Stored]
    ) -> None:
        self.events = events
        self.oldest = oldest
        self.newest = Revision(oldest + len(events))
        self.acknowledged = acknowledged
        self._begin = begin

    def at(self, revision: Revision) -> dict[str, Stored]:
        """All keys at a revision."""
        found = dict(self._begin)
        for event in self.events[: revision - self.oldest]:
            if event.type == "DELETE":
                del found[event.key]
            else:
                found[event.key] = Stored(event.key, event.value, event.created, event.revision)
        return found


def copied(path: Path, folder: Path) -> Path:
    """The files of a store, as they are."""
    folder.mkdir()
    for end in ("", "-wal", ".acknowledged"):
        with suppress(FileNotFoundError):
            shutil.copy(f"{path}{end}", folder / f"{path.name}{end}")
    return folder / path.name


def damage(path: Path, before: Path, rng: random.Random) -> str:
    """Does one thing to the files of a store that nobody has open; what. `before` is an older copy."""
    log = Path(f"{path}-wal")
    kind = rng.choice(FILE_DAMAGE + (LOG_DAMAGE if log.stat().st_size else ()))
    target, meta = path, 0
    if kind in LOG_DAMAGE:
        target = log
    elif rng.random() < 0.7:
        meta = _folded(path)  # a page that is in the log, too, is not read from the file
    data = bytearray(target.read_bytes())
    page = rng.randrange(len(data) // 4096) * 4096
    if kind == "bit of meta" and meta:
        # Its few rows are at the end of its page.
        data[meta * 4096 - rng.randrange(1, 150)] ^= 1 << rng.randrange(8)
    match kind.removeprefix("log "):
        case "bit":
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        case "page lost":
            data[page : page + 4096] = bytes(4096)
        case "page random":
            data[page : page + 4096] = rng.randbytes(4096)
        case "page of another place":
            other = rng.randrange(len(data) // 4096) * 4096
            data[page : page + 4096] = data[other : other + 4096]
        case "cut":
            del data[rng.randrange(len(data)) :]
        case "old copy":
            data = bytearray(before.read_bytes())
            log.unlink(missing_ok=True)
        case "lost":
            data.clear()
    target.write_bytes(data)
    return kind


def _folded(path: Path) -> int:
    """Folds the log into the file; the page of the table `meta`."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA wal_checkpoint (TRUNCATE)").fetchone()
    meta: int = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'meta'").fetchone()[0]
    connection.close()
    return meta


async def found_or_harmless(path: Path, truth: Truth) -> bool:
    """Whether the damage was found. Raises AssertionError where it was not and anything is not true."""
    try:
        store = await open_sqlite(str(path))
        try:
            await _is_true(store, truth)
        finally:
            await store.close()
    except Unavailable as error:
        said = str(error)
    else:
        return False
    assert REMEDY in said, f"damage is called {said}"
    return True


async def _is_true(store: Store, truth: Truth) -> None:
    newest = await store.revision()
    assert truth.acknowledged <= newest <= truth.newest, (
        f"it ends at {newest}, acknowledged was {truth.acknowledged}, written {truth.newest}"
    )
    live = {stored.key: stored for stored in (await store.range("/", at=newest)).items}
    assert live == truth.at(newest), f"other keys at {newest}"
    events, watch = list[Event](), await store.watch("/", truth.oldest)
    while truth.oldest + len(events) < newest:
        events.extend(await anext(watch))
    await watch.aclose()
    assert events[: newest - truth.oldest] == truth.events[: newest - truth.oldest], "another history"
    if truth.oldest:
        try:
            await store.watch("/", Revision(truth.oldest - 1))
        except Compacted:
            return
        raise AssertionError("history begins earlier than it was kept")


async def heals(path: Path, before: Path, truth: Truth) -> None:
    """A snapshot of `before` in place of the damaged store: all is as it was then, and no revision returns."""
    snapshot = snapshots.save(before, before.parent / "snapshots", time.time())
    was = await _all(before, snapshot.revision)
    done = snapshots.restore(snapshot.path, path, time.time(), bump=BUMP)
    assert done.revision >= truth.acknowledged + BUMP, "a revision may return"
    assert await _all(path, done.revision) == was, "a snapshot brings back something else"


async def _all(path: Path, revision: Revision) -> dict[str, Stored]:
    store = await open_sqlite(str(path))
    try:
        return {stored.key: stored for stored in (await store.range("/", at=revision)).items}
    finally:
        await store.close()
