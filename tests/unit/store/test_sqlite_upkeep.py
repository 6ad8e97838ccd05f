"""What the SQLite store does beside its work: the file shrinks, the log begins anew, and nobody waits for either."""

import asyncio
from pathlib import Path

import pytest

from pybernetes.store import _sqlite_log, _sqlite_writer
from pybernetes.store.protocol import Revision, Store
from pybernetes.store.sqlite import open_sqlite


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


def size(path: Path) -> int:
    """Of the file, pages in the log counted as folded in."""
    return path.stat().st_size


async def fill(store: Store, count: int) -> list[Revision]:
    return await asyncio.gather(*(store.create(f"/{n:05d}", bytes(6000)) for n in range(count)))


async def test_the_file_shrinks_after_many_keys_are_gone(path: Path) -> None:
    store = await open_sqlite(str(path))
    revisions = await fill(store, 3000)
    await asyncio.gather(*(store.delete(f"/{n:05d}", revision) for n, revision in enumerate(revisions) if n % 10))
    await store.compact(await store.revision())
    async with asyncio.timeout(60):
        while store._writer._shrinking:  # type: ignore[attr-defined]  # looks inside
            await asyncio.sleep(0.01)
    assert len((await store.range("/")).items) == 300
    await store.close()
    assert size(path) < 300 * 6000 * 1.5 + _sqlite_writer.FREE_PAGES * 4096
    again = await open_sqlite(str(path))
    assert len((await again.range("/")).items) == 300
    await again.close()


async def test_the_file_shrinks_while_writes_never_cease(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_sqlite_writer, "FREE_PAGES", 16)
    store = await open_sqlite(str(path))
    revisions = await fill(store, 1000)
    await asyncio.gather(*(store.delete(f"/{n:05d}", revision) for n, revision in enumerate(revisions)))
    going = True

    async def write(name: str) -> None:
        revision = await store.create(name, b"")
        while going:
            revision = await store.update(name, b"", revision)

    async with asyncio.TaskGroup() as group:
        for n in range(8):
            group.create_task(write(f"/busy/{n}"))
        await store.compact(Revision(2000))
        async with asyncio.timeout(60):
            while store._writer._shrinking:  # type: ignore[attr-defined]  # looks inside
                await asyncio.sleep(0.01)
        going = False
    pages = store._db.writer.execute("PRAGMA page_count").fetchone()[0]  # type: ignore[attr-defined]  # looks inside
    assert pages < 1000
    await store.close()


async def overlapping_reads(store: Store, going: asyncio.Event) -> None:
    """There is always somebody who reads."""

    async def read() -> None:
        while not going.is_set():
            await store.range("/")

    async with asyncio.TaskGroup() as group:
        for _ in range(6):
            group.create_task(read())


async def test_the_log_begins_anew_under_readers_that_never_pause(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_sqlite_log, "FOLD_BYTES", 64 << 10)
    monkeypatch.setattr(_sqlite_log, "LONG_PAGES", 256)
    store = await open_sqlite(str(path))
    revisions = (await fill(store, 400))[:30]
    begun = Path(f"{path}-wal").stat().st_size
    done = asyncio.Event()
    reading = asyncio.create_task(overlapping_reads(store, done))
    rounds, grown = 0, 0
    while rounds < 50 or 3 * grown > rounds * 30 * 6000:
        assert rounds < 2000, "the log has all that was written"
        revisions = await asyncio.gather(
            *(store.update(f"/{n:05d}", bytes(6000), revision) for n, revision in enumerate(revisions))
        )
        rounds, grown = rounds + 1, Path(f"{path}-wal").stat().st_size - begun
    done.set()
    await reading
    await store.close()


async def test_a_reader_elsewhere_stops_neither_writes_nor_reads(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_sqlite_log, "FOLD_BYTES", 64 << 10)
    monkeypatch.setattr(_sqlite_log, "LONG_PAGES", 64)
    store = await open_sqlite(str(path))
    revisions = await fill(store, 50)
    elsewhere = store._db._connect()  # type: ignore[attr-defined]  # as a snapshot does
    elsewhere.execute("BEGIN")
    assert elsewhere.execute("SELECT count(*) FROM live").fetchone() == (50,)
    async with asyncio.timeout(20):
        for _ in range(10):
            revisions = await asyncio.gather(
                *(store.update(f"/{n:05d}", bytes(6000), revision) for n, revision in enumerate(revisions))
            )
            assert len((await store.range("/")).items) == 50
    elsewhere.execute("ROLLBACK")
    elsewhere.close()
    await store.close()
