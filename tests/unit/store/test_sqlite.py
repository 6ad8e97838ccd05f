"""What the disk does to the SQLite store. tests/suites/test_store.py has what it promises otherwise."""

import asyncio
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import pytest

from pybernetes.aio.clock import SystemClock
from pybernetes.store.protocol import Compacted, KeyExists, Mismatch, Revision, Store, Unavailable
from pybernetes.store.sqlite import open_sqlite

ROOT = Path(__file__).parents[3]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "store.db"


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """As a full disk: this process's writes beyond that size fail."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def fill(store: Store, count: int, size: int = 4000) -> list[Revision | Unavailable]:
    """Outcome of each of `count` writes, in order."""
    start = await store.revision()
    writes = [store.create(f"/fill/{start}/{n}", b"x" * size) for n in range(count)]
    results = await asyncio.gather(*writes, return_exceptions=True)
    assert all(isinstance(r, int | Unavailable) for r in results), results
    return results  # type: ignore[return-value]  # asserted just above


async def survives_a_full_disk(store: Store, disk_is_full: AbstractContextManager[None]) -> None:
    first = await store.create("/kept", b"1")
    watch = await store.watch("/", first)
    with disk_is_full:
        refused = [r for _ in range(20) for r in await fill(store, 20) if isinstance(r, Unavailable)]
        assert refused
        assert "cannot write to the store at " in str(refused[0])
        assert "free space" in str(refused[0]) or "free some space" in str(refused[0])
        kept = await store.get("/kept")
        assert kept is not None
        assert kept.value == b"1"
        acknowledged = await store.revision()
        assert len((await store.range("/")).items) == acknowledged
    assert await store.update("/kept", b"2", first) == acknowledged + 1
    seen: list[Revision] = []
    while not seen or seen[-1] <= acknowledged:
        seen.extend(event.revision for event in await anext(watch))
    assert seen == list(range(first + 1, acknowledged + 2))


async def test_a_full_disk_refuses_whole_batches_and_heals(path: Path) -> None:
    store = await open_sqlite(str(path))
    await survives_a_full_disk(store, files_no_larger_than(256 << 10))
    await store.close()
    again = await open_sqlite(str(path))
    assert (await again.get("/kept")).value == b"2"  # type: ignore[union-attr]  # there
    await again.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(tmp_path)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount a small tmpfs: {mounted.stderr.decode().strip()}")
    yield tmp_path
    subprocess.run(["umount", "-l", str(tmp_path)], check=True)


@contextmanager
def filled(disk: Path) -> Iterator[None]:
    """Takes all space that is left."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x" * 4096)
    yield
    ballast.unlink()


@pytest.mark.root
async def test_a_full_file_system_refuses_whole_batches_and_heals(small_disk: Path) -> None:
    store = await open_sqlite(str(small_disk / "store.db"))
    await survives_a_full_disk(store, filled(small_disk))
    await store.close()


async def test_refusals_in_a_batch_leave_its_other_writes_alone(path: Path) -> None:
    store = await open_sqlite(str(path))
    results = await asyncio.gather(
        store.create("/a", b"1"),
        store.create("/a", b"2"),
        store.update("/a", b"3", Revision(1)),
        store.update("/a", b"4", Revision(1)),
        store.delete("/a", Revision(2)),
        store.create("/a", b"5"),
        return_exceptions=True,
    )
    assert [r if isinstance(r, int) else type(r) for r in results] == [1, KeyExists, 2, Mismatch, 3, 4]
    await store.close()


async def test_everything_is_there_after_a_restart(path: Path) -> None:
    store = await open_sqlite(str(path))
    first = await store.create("/a", b"1")
    second = await store.update("/a", b"2", first)
    await store.delete("/a", second)
    await store.compact(second)
    await store.close()
    again = await open_sqlite(str(path))
    assert await again.revision() == 3
    watch = await again.watch("/", second)
    assert [e.type for e in await anext(watch)] == ["DELETE"]
    assert await again.create("/a", b"3") == 4
    await again.close()


class WallClock(SystemClock):
    """The machine's clock, set wrong by some seconds."""

    def __init__(self, off: float = 0.0) -> None:
        super().__init__()
        self.off = off

    def now(self) -> float:
        return super().now() + self.off


async def life(path: Path, *jumps: float) -> float | None:
    """Seconds that /a with its hour has yet after the clock jumped while the store was closed; None: it is gone."""
    store = await open_sqlite(str(path), WallClock())
    await store.create("/a", b"1", ttl=3600)
    await store.close()
    for jump in jumps:
        store = await open_sqlite(str(path), WallClock(jump))
        watch = await store.watch("/", Revision(1))
        due = store._expiry._heap  # type: ignore[attr-defined]  # looks inside
        remaining = due[0][0] - asyncio.get_running_loop().time() if due else 0
        if remaining < 2:
            async with asyncio.timeout(10):
                gone = await anext(watch)
            assert [(e.type, e.key, e.previous.value) for e in gone] == [("DELETE", "/a", b"1")]
            assert await store.get("/a") is None
        else:
            assert await store.get("/a") is not None
        await store.close()
    return remaining if remaining >= 2 else None


@pytest.mark.parametrize(
    ("jumps", "remaining"),
    [
        ((0.0,), 3600),
        ((1000.0,), 2600),
        ((-1e6,), 3600),
        ((-1e6, 1000.0), 2600),
        ((4000.0,), None),
        ((1e9,), None),
    ],
)
async def test_a_key_with_a_time_goes_by_the_wall_clock_across_restarts(
    path: Path, jumps: tuple[float, ...], remaining: float | None
) -> None:
    found = await life(path, *jumps)
    assert found is None if remaining is None else found == pytest.approx(remaining, abs=5)


async def test_a_jump_of_the_clock_does_not_touch_a_running_store(path: Path) -> None:
    clock = WallClock()
    store = await open_sqlite(str(path), clock)
    await store.create("/long", b"", ttl=3600)
    await store.create("/short", b"", ttl=0.2)
    watch = await store.watch("/", Revision(2))
    clock.off = 1e6
    async with asyncio.timeout(10):
        assert [e.key for e in await anext(watch)] == ["/short"]
    assert [s.key for s in (await store.range("/")).items] == ["/long"]
    await store.close()


async def test_a_key_whose_time_is_over_goes_once_there_is_space_to_say_so(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pybernetes.store.sqlite._EXPIRE_AGAIN", 0.05)
    store = await open_sqlite(str(path))
    await store.create("/a", b"", ttl=0.2)
    [(first, *_)] = store._expiry._heap  # type: ignore[attr-defined]  # looks inside
    size = Path(f"{path}-wal").stat().st_size
    with files_no_larger_than(size):
        async with asyncio.timeout(10):
            while (due := [at for at, *_ in store._expiry._heap]) == [first]:  # type: ignore[attr-defined]  # looks inside
                await asyncio.sleep(0.01)
            while not due:  # being tried
                due = store._expiry._heap  # type: ignore[attr-defined]  # looks inside
                await asyncio.sleep(0.01)
        assert await store.get("/a") is not None
    watch = await store.watch("/", Revision(1))
    async with asyncio.timeout(10):
        assert [e.type for e in await anext(watch)] == ["DELETE"]
    await store.close()


FIRST_FORMAT = """
CREATE TABLE history (
    revision INTEGER PRIMARY KEY, key TEXT NOT NULL, created INTEGER NOT NULL, previous INTEGER NOT NULL,
    deleted INTEGER NOT NULL, value BLOB NOT NULL);
CREATE TABLE live (key TEXT PRIMARY KEY, revision INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO meta VALUES ('revision', 4), ('compacted', 1), ('swept', 1);
INSERT INTO history VALUES (1, '/registry/events/n/a', 1, 0, 0, x'31'), (2, '/registry/pods/n/a', 2, 0, 0, x'32'),
    (3, '/registry/pods/n/a', 2, 2, 0, x'33'), (4, '/registry/pods/n/b', 4, 0, 0, x'34');
INSERT INTO live VALUES ('/registry/events/n/a', 1), ('/registry/pods/n/a', 3), ('/registry/pods/n/b', 4);
PRAGMA user_version = 1;
"""


async def test_a_store_of_the_first_format_is_taken_over_with_its_events(path: Path) -> None:
    path.parent.mkdir()
    file = sqlite3.connect(path)
    file.executescript(FIRST_FORMAT)
    file.close()
    for _ in range(2):
        store = await open_sqlite(str(path))
        assert [key for *_, key in store._expiry._heap] == ["/registry/events/n/a"]  # type: ignore[attr-defined]  # looks inside
        found = [(s.key, s.value, s.created, s.revision) for s in (await store.range("/registry/pods/")).items]
        assert found == [("/registry/pods/n/a", b"3", 2, 3), ("/registry/pods/n/b", b"4", 4, 4)]
        assert (await store.get("/registry/pods/n/a", at=Revision(2))).value == b"2"  # type: ignore[union-attr]  # there
        assert store._db.writer.execute("PRAGMA auto_vacuum").fetchone() == (2,)  # type: ignore[attr-defined]  # looks inside
        await store.close()


SECOND_FORMAT = """
UPDATE meta SET value = 0 WHERE name = 'checksum'; DELETE FROM meta WHERE name = 'checksum'; PRAGMA user_version = 2;
"""


async def of_the_second_format(path: Path) -> None:
    """A store as format 2 had it: all of format 3 but the checksum of `meta`."""
    store = await open_sqlite(str(path))
    await store.update("/a", b"2", await store.create("/a", b"1", ttl=1000))
    await store.compact(Revision(1))
    await store.close()
    file = sqlite3.connect(path)
    file.executescript(SECOND_FORMAT)
    file.close()


async def test_a_store_of_the_second_format_is_taken_over(path: Path) -> None:
    await of_the_second_format(path)
    for _ in range(2):
        store = await open_sqlite(str(path))
        assert await store.revision() == 2
        assert (await store.get("/a")).value == b"2"  # type: ignore[union-attr]  # there
        with pytest.raises(Compacted):
            await store.watch("/", Revision(0))
        await store.close()


async def test_a_damaged_store_of_an_older_format_is_not_taken_over(path: Path) -> None:
    await of_the_second_format(path)
    data = path.read_bytes()
    path.write_bytes(data[:4096] + bytes(4096) + data[8192:])
    with pytest.raises(Unavailable, match="the file is damaged"):
        await open_sqlite(str(path))


async def test_another_program_s_database_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    file = sqlite3.connect(path)
    file.executescript("CREATE TABLE history (visited TEXT); PRAGMA user_version = 2;")
    file.close()
    with pytest.raises(Unavailable, match="it is a database of another program; name another file"):
        await open_sqlite(str(path))
    file = sqlite3.connect(path)
    assert file.execute("SELECT name FROM sqlite_master").fetchall() == [("history",)]
    file.close()


async def test_revisions_never_return_after_the_last_row_is_compacted(path: Path) -> None:
    store = await open_sqlite(str(path))
    await store.delete("/a", await store.create("/a", b""))
    await store.compact(Revision(2))
    await store.close()
    again = await open_sqlite(str(path))
    assert await again.create("/b", b"") == 3
    await again.close()


async def test_compaction_in_pages_keeps_the_living_alone(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pybernetes.store._sqlite_writer.SWEEP_PAGE", 3)
    store = await open_sqlite(str(path))
    revisions = {n: await store.create(f"/{n}", b"") for n in range(4)}
    for _ in range(3):
        for n in (0, 1, 2):
            revisions[n] = await store.update(f"/{n}", b"", revisions[n])
    await store.delete("/2", revisions.pop(2))
    await store.compact(await store.revision())
    rows = store._db.writer.execute("SELECT revision FROM history").fetchall()  # type: ignore[attr-defined]  # looks inside
    assert sorted(r for (r,) in rows) == sorted(revisions.values())
    await store.close()


async def test_a_second_opener_is_told_who_has_it(path: Path) -> None:
    store = await open_sqlite(str(path))
    with pytest.raises(Unavailable, match=r"store\.db is in use by process \d+; stop it first"):
        await open_sqlite(str(path))
    await store.close()
    await (await open_sqlite(str(path))).close()


def damaged(path: Path, text: str) -> None:
    path.write_text(text)


@pytest.mark.parametrize("damage", ["not a database " * 100, "newer"])
async def test_a_file_that_is_no_store_of_ours_is_refused_clearly(path: Path, damage: str) -> None:
    store = await open_sqlite(str(path))
    if damage == "newer":
        store._db.writer.execute("PRAGMA user_version = 99")  # type: ignore[attr-defined]  # looks inside
    await store.close()
    if damage != "newer":
        damaged(path, damage)
    with pytest.raises(Unavailable, match="newer version" if damage == "newer" else "the file is damaged"):
        await open_sqlite(str(path))


async def test_a_place_that_cannot_be_written_is_refused_clearly(path: Path) -> None:
    with pytest.raises(Unavailable, match="check its folder"):
        await open_sqlite("/proc/store.db")
    with pytest.raises(Unavailable, match="check its folder"):
        await open_sqlite("/dev/null/store.db")


async def test_the_files_are_for_their_owner_alone(path: Path) -> None:
    store = await open_sqlite(str(path))
    await store.create("/secret", b"")
    assert {f.name: f.stat().st_mode & 0o077 for f in path.parent.iterdir()} == {
        "store.db": 0,
        "store.db-wal": 0,
        "store.db-shm": 0,
        "store.db.lock": 0,
        "store.db.acknowledged": 0,
    }
    await store.close()


def torn_copy(path: Path, tear: str) -> Path:
    """The database and its log as a crash may leave them."""
    torn = path.parent / "torn.db"
    shutil.copy(path, torn)
    log = Path(f"{path}-wal").read_bytes()
    match tear:
        case "garbage":
            log += b"\xa5" * 9000
        case "half a frame":
            log = log[:-100]
        case "flipped bit":
            log = log[:-50] + bytes([log[-50] ^ 1]) + log[-49:]
    Path(f"{torn}-wal").write_bytes(log)
    return torn


@pytest.mark.parametrize(("tear", "kept"), [("garbage", 20), ("half a frame", 19), ("flipped bit", 19)])
async def test_a_torn_log_costs_only_what_was_torn(path: Path, tear: str, kept: int) -> None:
    store = await open_sqlite(str(path))
    for n in range(20):
        await store.create(f"/{n}", b"x" * 3000)
    torn = torn_copy(path, tear)
    await store.close()
    again = await open_sqlite(str(torn))
    assert await again.revision() == kept
    assert len((await again.range("/")).items) == kept
    watch = await again.watch("/", Revision(0))
    assert [e.revision for e in await anext(watch)] == list(range(1, kept + 1))
    assert await again.create("/more", b"") == kept + 1
    await again.close()


def test_kill_9_in_the_middle_of_writes_loses_nothing_acknowledged() -> None:
    """One round of each kind: full disks, jumps of the clock and damage as well."""
    command = [sys.executable, "-m", "tools.soak.store", "--rounds", "5", "--seed", "5"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
