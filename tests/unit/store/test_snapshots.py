"""Snapshots and restores where something goes wrong in the middle, and where a log of before is left."""

import asyncio
import errno
import os
import resource
import sqlite3
from contextlib import contextmanager
from pathlib import Path

import pytest

from pybernetes.store import snapshots
from pybernetes.store.protocol import Revision, Unavailable
from pybernetes.store.sqlite import open_sqlite

NOW = 1e9


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


async def written(path: Path, count: int, size: int = 3000) -> None:
    store = await open_sqlite(str(path))
    begin = await store.revision()
    for n in range(count):
        await store.create(f"/registry/{begin}/{n}", os.urandom(size))
    await store.close()


async def left_by_a_kill(path: Path, count: int) -> None:
    """A store whose last writes are in its log alone."""
    store = await open_sqlite(str(path))
    begin = await store.revision()
    held = sqlite3.connect(path)  # the last to close would fold the log in
    held.execute("SELECT * FROM meta").fetchall()
    for n in range(count):
        await store.create(f"/registry/{begin}/{n}", b"in the log")
    log = Path(f"{path}-wal").read_bytes()
    file = path.read_bytes()
    await store.close()
    held.close()
    path.write_bytes(file)
    Path(f"{path}-wal").write_bytes(log)


async def newest(path: Path) -> tuple[Revision, int]:
    store = await open_sqlite(str(path))
    found = await store.revision(), len((await store.range("/")).items)
    await store.close()
    return found


async def test_a_log_of_before_is_not_taken_for_the_new_file_s(path: Path) -> None:
    await written(path, 10)
    taken = snapshots.save(path, path.parent / "s", NOW)
    await left_by_a_kill(path, 5)
    done = snapshots.restore(taken.path, path, NOW, bump=100)
    assert done.kept is not None
    assert await newest(path) == (115, 10)
    assert await newest(done.kept) == (15, 15), "what was kept is whole, log and all"


async def test_a_log_whose_file_is_gone_is_not_taken_either(path: Path) -> None:
    await written(path, 10)
    taken = snapshots.save(path, path.parent / "s", NOW)
    await left_by_a_kill(path, 5)
    path.unlink()
    assert snapshots.restore(taken.path, path, NOW, bump=100).kept is None
    assert await newest(path) == (115, 10)


@pytest.mark.parametrize("call", ["replace", "link", "rename"])
async def test_a_restore_that_fails_leaves_everything_as_it_was(
    path: Path, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await written(path, 10)
    taken = snapshots.save(path, path.parent / "s", NOW)
    await left_by_a_kill(path, 5)
    real = getattr(os, call)

    def fails(old: str, new: str) -> None:
        if call != "rename" or str(old).endswith("-wal"):
            monkeypatch.setattr(os, call, real)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(old, new)

    monkeypatch.setattr(os, call, fails)
    with pytest.raises(Unavailable, match=r"cannot restore to .*Input/output error"):
        snapshots.restore(taken.path, path, NOW)
    assert sorted(one.name for one in path.parent.iterdir() if "before" in one.name or "restoring" in one.name) == []
    assert await newest(path) == (15, 15)


async def test_a_restore_over_a_store_in_use_is_refused(path: Path) -> None:
    await written(path, 1)
    taken = snapshots.save(path, path.parent / "s", NOW)
    store = await open_sqlite(str(path))
    with pytest.raises(Unavailable, match="is in use by process"):
        snapshots.restore(taken.path, path, NOW)
    await store.close()


@contextmanager
def files_no_larger_than(size: int):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_a_full_disk_leaves_no_half_of_a_snapshot_and_no_half_of_a_store(path: Path) -> None:
    await written(path, 50, 10_000)
    taken = snapshots.save(path, path.parent / "s", NOW)
    with files_no_larger_than(100_000), pytest.raises(Unavailable, match="cannot copy the store at"):
        snapshots.save(path, path.parent / "other", NOW)
    assert list((path.parent / "other").iterdir()) == []
    with files_no_larger_than(100_000), pytest.raises(Unavailable, match="cannot restore to"):
        snapshots.restore(taken.path, path, NOW)
    assert await newest(path) == (50, 50)
    assert not Path(f"{path}.restoring").exists()


async def test_a_snapshot_under_writes_is_one_moment_of_them(path: Path) -> None:
    """Two keys are always written in this order, the first one ahead by one at most."""
    store = await open_sqlite(str(path))
    first, second = await store.create("/registry/1", b"0"), await store.create("/registry/2", b"0")
    going = True

    async def write() -> None:
        nonlocal first, second
        number = 0
        while going:
            number += 1
            first = await store.update("/registry/1", b"%d" % number, first)
            second = await store.update("/registry/2", b"%d" % number, second)

    writing = asyncio.create_task(write())
    for n in range(5):
        taken = await asyncio.to_thread(snapshots.save, path, path.parent / "s", NOW + n)
        copy = sqlite3.connect(taken.path)
        values = copy.execute("SELECT CAST(value AS INTEGER) FROM live JOIN history USING (revision) ORDER BY live.key")
        (one,), (two,) = values.fetchall()
        assert one - two in (0, 1)
        assert copy.execute("SELECT max(revision) FROM live").fetchone()[0] == taken.revision
        copy.close()
    going = False
    await writing
    await store.close()


@pytest.mark.parametrize("version", [1, 2])
async def test_a_snapshot_of_an_older_format_is_taken_over_as_it_is_put_back(path: Path, version: int) -> None:
    await written(path, 10)
    taken = snapshots.save(path, path.parent / "s", NOW)
    older = sqlite3.connect(taken.path, isolation_level=None)
    older.execute("DELETE FROM meta WHERE name = 'checksum'")
    if version == 1:
        older.execute("ALTER TABLE history DROP COLUMN checksum")
        older.execute("DELETE FROM meta WHERE name IN ('keys', 'sum', 'identity')")
        older.execute("DROP TABLE expiry")
    older.execute(f"PRAGMA user_version = {version}")
    older.close()
    assert snapshots.fault(taken.path) == ""
    await written(path, 5)
    done = snapshots.restore(taken.path, path, NOW, bump=100)
    assert (done.keys, done.revision) == (10, 115)
    assert await newest(path) == (115, 10)


async def test_what_is_put_in_place_was_synced_before_and_its_name_after(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await written(path, 3)
    done: list[str] = []
    real_sync, real_replace = os.fsync, os.replace

    def fsync(descriptor: int) -> None:
        done.append(f"sync {Path(os.readlink(f'/proc/self/fd/{descriptor}')).name}")
        real_sync(descriptor)

    def replace(old: Path, new: Path) -> None:
        done.append(f"replace {Path(new).name}")
        real_replace(old, new)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    taken = snapshots.save(path, path.parent / "s", NOW)
    assert done[:3] == [f"sync .partial-{os.getpid()}", f"replace {taken.name}", "sync s"]
    done.clear()
    snapshots.restore(taken.path, path, NOW)
    assert done[:3] == ["sync store.db.restoring", "replace store.db", f"sync {path.parent.name}"]


async def test_history_is_not_put_back(path: Path) -> None:
    await written(path, 3)
    store = await open_sqlite(str(path))
    for stored in (await store.range("/registry/")).items:
        last = await store.update(stored.key, b"new", stored.revision)
    await store.delete(stored.key, last)
    await store.close()
    taken = snapshots.save(path, path.parent / "s", NOW)
    assert snapshots.restore(taken.path, path, NOW).keys == 2
    file = sqlite3.connect(path)
    assert file.execute("SELECT count(*) FROM history").fetchone() == (2,)
    file.close()


async def test_snapshots_are_ordered_by_their_time_and_the_oldest_go(path: Path) -> None:
    """Revisions may go back: after a restore without a bump."""
    folder = path.parent / "s"
    await written(path, 5)
    first = snapshots.save(path, folder, NOW)
    path.unlink()
    await written(path, 2)
    second, third = snapshots.save(path, folder, NOW + 60), snapshots.save(path, folder, NOW + 120)
    assert [one.name for one in snapshots.listed(folder)] == [third.name, second.name, first.name]
    assert [one.name for one in snapshots.prune(folder, 2)] == [first.name]
    assert snapshots.prune(folder, 2) == []
