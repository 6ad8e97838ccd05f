"""Damage that SQLite alone would not tell: it is found at open or when the row is read, and the way out is named."""

import os
import random
import shutil
import sqlite3
from pathlib import Path

import pytest

from pybernetes.store._sqlite_format import write_facts
from pybernetes.store.protocol import Revision, Store, Unavailable
from pybernetes.store.snapshots import save
from pybernetes.store.sqlite import open_sqlite

REMEDY = r"the file is damaged .*pybernetes store snapshot restore --storage-path "


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


async def filled(path: Path, count: int = 60) -> None:
    """A closed store whose values are told apart by their bytes."""
    store = await open_sqlite(str(path))
    for n in range(count):
        await store.create(f"/registry/pods/{n:04d}", b"<%04d>" % n * 1000)
    await store.close()


async def read_all(path: Path) -> None:
    """As a server does at its start."""
    store = await open_sqlite(str(path))
    try:
        await store.range("/")
    finally:
        await store.close()


def spoil(path: Path, old: bytes, new: bytes) -> None:
    """Changes bytes of the file as a bad disk does."""
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new, 1))


async def test_a_changed_bit_of_a_value_is_found_when_it_is_read(path: Path) -> None:
    await filled(path)
    spoil(path, b"<0030><0030>", b"<0030><0031>")
    store = await open_sqlite(str(path))
    with pytest.raises(Unavailable, match=r"cannot read the store at .*revision 31 does not match its checksum"):
        await store.range("/")
    with pytest.raises(Unavailable, match=REMEDY):
        await store.get("/registry/pods/0030")
    with pytest.raises(Unavailable, match=REMEDY):
        await store.update("/registry/pods/0030", b"", Revision(31))
    watch = await store.watch("/", Revision(0))
    with pytest.raises(Unavailable, match=REMEDY):
        await anext(watch)
    assert await store.update("/registry/pods/0031", b"", Revision(32)) == 61, "the others go on"
    await store.close()


async def test_a_key_that_leads_to_another_value_is_found(path: Path) -> None:
    await filled(path)
    store = await open_sqlite(str(path))
    swap = "UPDATE live SET revision = 33 - revision WHERE revision IN (16, 17)"
    store._db.writer.execute(swap)  # type: ignore[attr-defined]  # as a bad disk
    with pytest.raises(Unavailable, match="leads to a value of"):
        await store.range("/")
    await store.close()


@pytest.mark.parametrize(
    "loss",
    [
        "DELETE FROM live WHERE revision = 20",
        "UPDATE live SET revision = 19 WHERE revision = 20",
        "UPDATE meta SET value = 40 WHERE name = 'revision'",
        "DELETE FROM meta WHERE name = 'compacted'",
    ],
)
async def test_keys_that_are_missing_or_old_are_found_at_open(path: Path, loss: str) -> None:
    await filled(path)
    file = sqlite3.connect(path)
    file.execute(loss)
    file.commit()
    file.close()
    with pytest.raises(Unavailable, match=REMEDY):
        await open_sqlite(str(path))


async def test_a_changed_byte_of_what_a_store_says_of_itself_is_found_at_open(path: Path) -> None:
    """Where history begins is among it: a watch from before that would have a gap."""
    await filled(path)
    file = sqlite3.connect(path)
    meta = file.execute("SELECT rootpage FROM sqlite_master WHERE name = 'meta'").fetchone()[0]
    said = file.execute("SELECT * FROM meta").fetchall()
    file.close()
    data = path.read_bytes()
    page = (meta - 1) * 4096
    begin = page + int.from_bytes(data[page + 5 : page + 7])  # where its rows are
    refused = 0
    for place in range(begin, page + 4096):
        changed = bytearray(data)
        changed[place] ^= 1 << place % 8
        path.write_bytes(changed)
        try:
            await (await open_sqlite(str(path))).close()
        except Unavailable as error:
            assert "the file is damaged" in str(error)  # noqa: PT017  # nothing else may be said
            refused += 1
            continue
        file = sqlite3.connect(path)  # a byte that is nobody's
        assert file.execute("SELECT * FROM meta").fetchall() == said
        file.close()
    assert refused > 80


async def test_a_file_that_was_emptied_is_no_new_store(path: Path) -> None:
    await filled(path)
    path.write_bytes(b"")
    for _ in range(2):
        with pytest.raises(
            Unavailable, match=rf"it is empty, but revision 60 was acknowledged; .* {path}.acknowledged"
        ):
            await open_sqlite(str(path))
    Path(f"{path}.acknowledged").unlink()  # as the message says
    store = await open_sqlite(str(path))
    assert await store.revision() == 0
    await store.close()


@pytest.mark.parametrize(
    "change",
    ["key = '/x'", "created = created + 1", "previous = 1", "deleted = 1 - deleted", "value = x''", "checksum = 0"],
)
async def test_whatever_is_changed_of_a_row_is_found(path: Path, change: str) -> None:
    await filled(path)
    file = sqlite3.connect(path)
    file.execute(f"UPDATE history SET {change} WHERE revision = 20")
    file.commit()
    file.close()
    with pytest.raises(Unavailable, match=REMEDY):
        await read_all(path)


async def test_a_key_that_is_newer_than_its_store_is_found_at_open(path: Path) -> None:
    await filled(path)
    file = sqlite3.connect(path)
    write_facts(file, {"revision": 59})
    file.commit()
    file.close()
    with pytest.raises(Unavailable, match=REMEDY):
        await open_sqlite(str(path))


async def test_no_snapshot_is_taken_of_damaged_history(path: Path) -> None:
    await filled(path)
    store = await open_sqlite(str(path))
    await store.update("/registry/pods/0030", b"", Revision(31))
    await store.close()
    spoil(path, b"<0030><0030>", b"<0030><0031>")  # what nobody has any more, but a watch may be told of
    with pytest.raises(Unavailable, match="revision 31 does not match its checksum"):
        save(path, path.parent / "snapshots", 1e9)


async def test_a_value_that_is_missing_is_found_when_it_is_read(path: Path) -> None:
    await filled(path)
    file = sqlite3.connect(path)
    file.execute("DELETE FROM history WHERE revision = 20")
    file.commit()
    file.close()
    with pytest.raises(Unavailable, match="a value is missing of /registry/pods/0019"):
        await read_all(path)


@pytest.mark.parametrize("seed", range(12))
async def test_a_page_that_is_lost_or_overwritten_is_found_before_anything_is_served(path: Path, seed: int) -> None:
    await filled(path)
    pages, rng = path.stat().st_size // 4096, random.Random(seed)
    page, other = rng.randrange(1, pages), rng.randrange(1, pages)
    data = path.read_bytes()
    copied = data[other * 4096 : other * 4096 + 4096]
    damage = rng.choice([bytes(4096), rng.randbytes(4096), copied])
    if data[page * 4096 : page * 4096 + 4096] == damage:
        pytest.skip("the page is the same")
    path.write_bytes(data[: page * 4096] + damage + data[page * 4096 + 4096 :])
    with pytest.raises(Unavailable, match=REMEDY):
        await read_all(path)


async def crashed(path: Path, store: Store) -> Path:
    """What kill -9 leaves of an open store, elsewhere."""
    copy = path.parent / "crashed" / path.name
    copy.parent.mkdir()
    for end in ("", "-wal", ".acknowledged"):
        shutil.copy(f"{path}{end}", f"{copy}{end}")
    return copy


@pytest.mark.parametrize("tear", ["flipped bit", "last frame", "half", "gone"])
async def test_a_log_that_lost_acknowledged_writes_is_refused(path: Path, tear: str) -> None:
    store = await open_sqlite(str(path))
    for n in range(20):
        await store.create(f"/{n}", b"x" * 3000)
    copy = await crashed(path, store)
    await store.close()
    log = Path(f"{copy}-wal")
    data = log.read_bytes()
    match tear:
        case "flipped bit":
            log.write_bytes(data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :])
        case "last frame":
            log.write_bytes(data[:-100])
        case "half":
            log.write_bytes(data[: len(data) // 2])
        case "gone":
            log.unlink()
    for _ in range(2):
        with pytest.raises(
            Unavailable, match=r"it ends at revision \d+, but revision 20 was acknowledged.*snapshot restore"
        ):
            await open_sqlite(str(copy))
    Path(f"{copy}.acknowledged").unlink()  # as the message says
    again = await open_sqlite(str(copy))
    assert await again.revision() == len((await again.range("/")).items) < 20
    await again.close()


async def test_a_whole_log_is_taken_whatever_follows_it(path: Path) -> None:
    store = await open_sqlite(str(path))
    for n in range(20):
        await store.create(f"/{n}", b"x" * 3000)
    copy = await crashed(path, store)
    await store.close()
    log = Path(f"{copy}-wal")
    log.write_bytes(log.read_bytes() + os.urandom(9000))  # of a batch that nobody was told of
    again = await open_sqlite(str(copy))
    assert await again.revision() == 20
    await again.close()


async def test_a_new_store_under_an_old_name_is_no_loss(path: Path) -> None:
    await filled(path)
    path.unlink()
    store = await open_sqlite(str(path))
    assert await store.create("/a", b"") == 1
    await store.close()
    await (await open_sqlite(str(path))).close()
