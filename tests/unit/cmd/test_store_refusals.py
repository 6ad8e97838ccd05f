"""`pybernetes store` with bad input of every kind: one clear line, code 1, and nothing lost. test_store.py has what works."""

import asyncio
import hashlib
import os
import re
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import orjson
import pytest

from pybernetes.aio.clock import SystemClock
from pybernetes.cmd import pybernetes as command
from pybernetes.store import _halt, _sqlite_restore, dump, snapshots
from pybernetes.store._halt import Halt, Halted, in_thread
from pybernetes.store.sqlite import open_sqlite

PYBERNETES = [sys.executable, "-m", "pybernetes.cmd.pybernetes", "store"]
NOBODY = 65534


async def filled(path: Path, count: int = 3) -> None:
    store = await open_sqlite(str(path))
    await asyncio.gather(*(store.create(f"/registry/pods/d/{n:05d}", b"x" * 500) for n in range(count)))
    await store.close()


async def keys(path: Path) -> int:
    store = await open_sqlite(str(path))
    found = len((await store.range("/registry/")).items)
    await store.close()
    return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "store.db"
    asyncio.run(filled(path))
    return path


def everything(folder: Path) -> dict[str, bytes]:
    """All files, but locks and notes."""
    files = (one for one in folder.rglob("*") if one.is_file() and one.suffix not in (".lock", ".acknowledged"))
    return {str(one.relative_to(folder)): one.read_bytes() for one in files}


def refused(run: Callable[..., tuple[int, str, str]], *words: object) -> str:
    """The one line that is said."""
    code, out, err = run(*words)
    assert (code, out) == (1, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err


# --- places


def device(path: Path) -> Path:
    """As /dev/null. (As root, who could also replace it.)"""
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("a device cannot be made")
    return path


@pytest.mark.root
def test_a_device_is_never_taken_for_a_store(run, path, tmp_path):
    null = device(tmp_path / "null")
    run("dump", f"sqlite:{path}", tmp_path / "a.dump")
    run("snapshot", "save", f"--storage-path={path}")
    for words in (
        ["restore", tmp_path / "a.dump", f"sqlite:{null}"],
        ["restore", tmp_path / "a.dump", f"sqlite:{null}", "--replace"],
        ["migrate", f"sqlite:{path}", f"sqlite:{null}", "--replace"],
        ["migrate", f"sqlite:{null}", f"sqlite:{tmp_path}/new.db"],
        ["snapshot", "save", f"--storage-path={null}"],
        ["snapshot", "restore", f"--storage-path={null}"],
    ):
        assert "null is no file, but a device; name a file" in refused(run, *words)
        assert null.is_char_device()


@pytest.mark.root
def test_a_dump_to_a_device_is_written_to_it(run, path, tmp_path):
    null = device(tmp_path / "null")
    assert run("dump", f"sqlite:{path}", null) == (0, "", "dumped 3 keys at revision 3\n")
    assert null.is_char_device()


def test_a_dump_goes_through_pipes_that_have_names(run, path, tmp_path):
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    assert run("dump", f"sqlite:{path}", pipe)[0] == 0
    reader.join()
    writer = threading.Thread(target=lambda: pipe.write_bytes(read[0]))
    writer.start()
    assert run("restore", pipe, f"sqlite:{tmp_path}/new.db")[0] == 0
    writer.join()
    assert asyncio.run(keys(tmp_path / "new.db")) == 3


@pytest.mark.parametrize("words", [["dump", "sqlite:{0}", "{1}/d"], ["restore", "{1}/a.dump", "sqlite:{0}"]])
def test_a_folder_is_no_store(run, path, tmp_path, words):
    run("dump", f"sqlite:{path}", tmp_path / "a.dump")
    assert "is no file, but a folder" in refused(run, *(word.format(tmp_path, tmp_path) for word in words))


def test_a_dump_is_not_written_where_it_cannot_be(run, path, tmp_path):
    assert "is a folder; name a file in it" in refused(run, "dump", f"sqlite:{path}", tmp_path)
    assert f"cannot write {tmp_path}/no/a.dump: No such file" in refused(
        run, "dump", f"sqlite:{path}", tmp_path / "no/a.dump"
    )
    (tmp_path / "a.dump.partial").write_text("of another")
    assert "another dump writes it, or delete it" in refused(run, "dump", f"sqlite:{path}", tmp_path / "a.dump")
    assert (tmp_path / "a.dump.partial").read_text() == "of another"


def test_a_store_under_a_second_name_has_the_same_lock(run, path, tmp_path):
    link = tmp_path / "link.db"
    link.symlink_to(path)

    async def main() -> tuple[int, str, str]:
        store = await open_sqlite(str(path))
        result = await asyncio.to_thread(run, "dump", f"sqlite:{link}", tmp_path / "a.dump")
        await store.close()
        return result

    code, _, err = asyncio.run(main())
    assert (code, "is in use by process" in err) == (1, True)
    run("snapshot", "save", f"--storage-path={link}")
    asyncio.run(filled(path, 0))
    assert run("snapshot", "restore", f"--storage-path={link}")[0] == 0
    assert link.is_symlink(), "the store was replaced, not the link"
    assert asyncio.run(keys(path)) == 3


@pytest.mark.parametrize("options", [[], ["--replace"]])
def test_a_store_does_not_move_onto_itself(run, path, tmp_path, options):
    before = everything(tmp_path)
    same = f"sqlite:{path.parent}/../{path.parent.name}/{path.name}"
    assert "FROM and TO are the same store" in refused(run, "migrate", f"sqlite:{path}", same, *options)
    assert everything(tmp_path) == before


@pytest.mark.parametrize("words", [["dump", "memory:x"], ["migrate", "memory:x", "sqlite:y"]])
def test_a_store_in_memory_is_no_place_for_keys(run, words):
    assert "ends with it" in refused(run, *words)


def test_an_empty_file_or_another_program_s_is_no_store_to_read(run, path, tmp_path):
    other = sqlite3.connect(tmp_path / "other.db")
    other.execute("CREATE TABLE places (url TEXT)")
    other.close()
    assert "it is a database of another program" in refused(run, "dump", f"sqlite:{tmp_path}/other.db")
    assert "it is a database of another program" in refused(
        run, "snapshot", "save", f"--storage-path={tmp_path}/other.db"
    )
    assert "it is a database of another program" in refused(
        run, "snapshot", "restore", tmp_path / "other.db", f"--storage-path={path}"
    )
    (tmp_path / "empty.db").touch()
    assert "it is empty" in refused(run, "snapshot", "restore", tmp_path / "empty.db", f"--storage-path={path}")
    assert asyncio.run(keys(path)) == 3


# --- dumps whose checksum is right and whose content is not


def made(path: Path, *lines: object, revision: object = 10, version: object = 1) -> Path:
    """A dump as another program may write it."""
    head = {"format": "pybernetes-store-dump", "version": version, "revision": revision, "source": "x"}
    body = b"".join(orjson.dumps(line) + b"\n" for line in (head, *lines))
    path.write_bytes(body + orjson.dumps({"keys": len(lines), "sha256": hashlib.sha256(body).hexdigest()}) + b"\n")
    return path


def line(key: str, **more: object) -> dict[str, object]:
    return {"key": key, "created": 1, "revision": 2, "value": "{}", **more}


GOOD = line("/registry/a")


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (line("/registry/a"), "line 3 of .* cannot be put back: /registry/a is not after /registry/a in byte order"),
        (line("/registry/Z"), "/registry/Z is not after /registry/a in byte order"),
        (line("/elsewhere"), "/elsewhere is not below /registry/"),
        (line("/registry/b", revision=11), "created at 1 and written at 11, the store was at 10"),
        (line("/registry/b", created=5), "created at 5 and written at 2"),
        (line("/registry/b", created=0), "Expected `int` >= 1"),
        (line("/registry/b", revision="2"), "Expected `int`, got `str`"),
        (line("/registry/b", revision=2.5), "Expected `int`, got `float`"),
        (line("/registry/b", base64="e30="), "has no value, or two"),
        ({"key": "/registry/b", "created": 1, "revision": 2}, "has no value, or two"),
        ({"key": "/registry/b", "created": 1, "revision": 2, "base64": "?"}, "Invalid base64"),
        ({"created": 1, "revision": 2, "value": "{}"}, "missing required field `key`"),
        ([], "Expected `object`, got `array`"),
    ],
)
def test_a_line_that_cannot_be_put_back_is_named_before_anything_is_written(run, tmp_path, second, message):
    file = made(tmp_path / "a.dump", GOOD, second, line("/registry/c"))
    err = refused(run, "restore", file, f"sqlite:{tmp_path}/new.db")
    assert re.search(message, err), err
    assert not (tmp_path / "new.db").exists()


@pytest.mark.parametrize("head", [{"revision": -1}, {"revision": "9"}, {"revision": 1 << 63}, {"version": "1"}])
def test_a_head_that_makes_no_sense_is_none(run, tmp_path, head):
    assert "is no dump of a store" in refused(run, "restore", made(tmp_path / "a.dump", GOOD, **head), "sqlite:x")


def test_a_dump_of_another_program_is_put_back(run, tmp_path):
    file = made(tmp_path / "a.dump", GOOD, {"key": "/registry/b", "created": 2, "revision": 2, "base64": "/wA="})
    assert run("restore", file, f"sqlite:{tmp_path}/new.db", "--bump-revision=0")[0] == 0
    assert asyncio.run(keys(tmp_path / "new.db")) == 2


# --- numbers


@pytest.mark.parametrize("number", ["1000000000000000000", "99999999999999999999999", "-1", "x", ""])
def test_a_bump_beyond_reason_is_code_2(number):
    with pytest.raises(SystemExit) as ended:
        command._parser().parse_args(["store", "restore", "a", "sqlite:b", "--bump-revision", number])
    assert ended.value.code == 2


def test_revisions_end_where_numbers_do(run, tmp_path):
    file = made(tmp_path / "a.dump", GOOD, revision=(1 << 63) - 10)
    assert "give a smaller bump" in refused(run, "restore", file, f"sqlite:{tmp_path}/new.db", "--bump-revision=10")
    assert not (tmp_path / "new.db").exists()
    assert run("restore", file, f"sqlite:{tmp_path}/new.db", "--bump-revision=9")[0] == 0


# --- rights, and space


@pytest.mark.root
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["dump", "sqlite:{0}/store.db", "{0}/a"], "cannot be read and written: Permission denied; run this as its owner"),
        (["restore", "{0}/a.dump", "sqlite:{0}/open/n.db"], "cannot read {0}/a.dump: Permission denied"),
        (["restore", "{0}/open/a.dump", "sqlite:{0}/n.db"], "cannot open the store at {0}/n.db: Permission denied; check its folder"),
        (["restore", "{0}/open/a.dump", "sqlite:{0}/open/mine.db", "--replace"], "cannot restore to {0}/open/mine.db: "),
        (["snapshot", "save", "--storage-path={0}/store.db", "--storage-snapshot-dir={0}/open"], "check that its folder"),
        (["snapshot", "save", "--storage-path={0}/open/yours.db", "--storage-snapshot-dir={0}/s"], "snapshot to {0}/s: Permission"),
        (["snapshot", "list", "--storage-snapshot-dir={0}/closed"], "cannot read the snapshots in {0}/closed: Permission denied"),
    ],
)  # fmt: skip
def test_what_one_has_no_right_to_is_told(run, words, message):
    with TemporaryDirectory() as name:  # those of pytest are closed to others
        folder = Path(name)
        folder.chmod(0o755)
        asyncio.run(filled(folder / "store.db"))
        (folder / "open").mkdir()
        (folder / "closed").mkdir(0o700)
        for file in ("a.dump", "open/a.dump"):
            run("dump", f"sqlite:{folder}/store.db", folder / file)
        for file in ("mine.db", "yours.db"):
            (folder / "open" / file).write_bytes((folder / "store.db").read_bytes())
        os.chown(folder / "open/a.dump", NOBODY, NOBODY)
        os.chown(folder / "open/yours.db", NOBODY, NOBODY)
        (folder / "open").chmod(0o777)
        before = everything(folder)
        nobody = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *PYBERNETES]
        done = subprocess.run([*nobody, *(word.format(folder) for word in words)], capture_output=True, text=True)
        after = {file: data for file, data in everything(folder).items() if not file.endswith(("-shm", "-wal"))}
    if "No module named" in done.stderr or "can't open file" in done.stderr:
        pytest.skip("others may not read this Python")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ")
    assert message.format(name) in done.stderr
    assert after == before


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount a small tmpfs: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.root
def test_a_disk_that_is_too_small_keeps_what_it_had(run, tmp_path, small_disk):
    asyncio.run(filled(tmp_path / "big.db", 4000))
    run("dump", f"sqlite:{tmp_path}/big.db", tmp_path / "big.dump")
    asyncio.run(filled(small_disk / "store.db"))
    before = everything(small_disk)
    for words, message in (
        (["dump", f"sqlite:{tmp_path}/big.db", small_disk / "a.dump"], "a.dump: No space left on device"),
        (["restore", tmp_path / "big.dump", f"sqlite:{small_disk}/new.db"], "the disk is full"),
        (["restore", tmp_path / "big.dump", f"sqlite:{small_disk}/store.db", "--replace"], "the disk is full"),
        (["migrate", f"sqlite:{tmp_path}/big.db", f"sqlite:{small_disk}/new.db"], "the disk is full"),
        (["snapshot", "save", f"--storage-path={tmp_path}/big.db", f"--storage-snapshot-dir={small_disk}"], "the disk is full"),
        (["snapshot", "restore", tmp_path / "big.db", f"--storage-path={small_disk}/store.db"], "the disk is full"),
    ):  # fmt: skip
        assert message in refused(run, *words)
        assert everything(small_disk) == before, words
    assert asyncio.run(keys(small_disk / "store.db")) == 3


def test_stdout_that_is_closed_or_full_or_unread_is_told(path):
    def typed(line: str) -> subprocess.CompletedProcess[str]:
        command = f"{' '.join(PYBERNETES)} {line}"
        return subprocess.run(["bash", "-c", command], capture_output=True, text=True)

    asyncio.run(filled(path.with_name("big.db"), 2000))
    for end, message in (
        (">&-", "stdout is closed; name a file"),
        ("> /dev/full", "cannot write to stdout: No space left on device"),
        ("| true", "cannot write to stdout: Broken pipe"),
    ):
        done = typed(f"dump sqlite:{path.with_name('big.db')} {end}")
        assert done.stderr == f"error: {message}\n"
    assert typed(f"restore - sqlite:{path}.new <&-").stderr == "error: stdin is closed; name a file\n"


# --- Ctrl-C


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_while_stdin_has_not_ended_ends_it(tmp_path, number):
    """Else it would wait for the end of what nobody writes."""
    ready = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    script = f"{ready}from pybernetes.cmd.pybernetes import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", script, "store", "restore", "-", f"sqlite:{tmp_path}/new.db"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        process.stdin.write(b"x" * (1 << 20))  # more than a pipe holds: it is being read
        process.stdin.flush()
        process.send_signal(number)
        process.wait(30)
        assert process.stderr is not None
        assert (process.returncode, process.stderr.read()) == (130, b"interrupted\n")
        process.stdin.close()
    assert list(tmp_path.iterdir()) == []


async def test_work_that_is_called_off_ends_and_says_so() -> None:
    begun = threading.Event()

    def work(halt: Halt) -> None:
        begun.set()
        while True:
            halt.check()

    task = asyncio.create_task(in_thread(work))
    await asyncio.to_thread(begun.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_work_that_was_done_by_then_counts_as_done() -> None:
    begun, go = threading.Event(), threading.Event()

    def work(halt: Halt) -> int:
        begun.set()
        go.wait()
        return 7

    task = asyncio.create_task(in_thread(work))
    await asyncio.to_thread(begun.wait)
    task.cancel()
    await asyncio.sleep(0)
    go.set()
    assert await task == 7


class AfterSome(Halt):
    """Is asked for once it was looked at so many times."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self._asked = self  # type: ignore[assignment]
        self.left = looks

    def is_set(self) -> bool:
        self.left -= 1
        return self.left < 0


def off_at_every_look(
    monkeypatch: pytest.MonkeyPatch, work: Callable[[Halt], object], check: Callable[[], None]
) -> int:
    """Calls work off at its first look, at its second one... until it comes too late; how many looks there were."""
    monkeypatch.setattr(_halt, "_STEPS", 200)
    for looks in range(100_000):
        try:
            work(AfterSome(looks))
        except Halted:
            check()
        else:
            return looks
    raise AssertionError("it never ends")


@pytest.mark.parametrize("verb", ["save", "restore", "fault", "dump"])
def test_whenever_it_is_called_off_nothing_has_changed(path, tmp_path, monkeypatch, verb):
    asyncio.run(filled(tmp_path / "source.db", 40))
    source, now = tmp_path / "source.db", SystemClock().now()
    monkeypatch.setattr(snapshots, "_BACKUP_PAGES", 4)

    async def dumped() -> None:
        store = await open_sqlite(str(source))
        with (tmp_path / "a.dump").open("wb") as file:
            await dump.write(store, "sqlite", 0.0, file)
        await store.close()

    asyncio.run(dumped())
    work: Callable[[Halt], object] = {
        "save": lambda halt: snapshots.save(source, tmp_path / "s", now, halt),
        "restore": lambda halt: snapshots.restore(source, path, now, halt=halt),
        "fault": lambda halt: snapshots.fault(source, halt),
        "dump": lambda halt: dump.Dump(tmp_path / "a.dump", halt=halt),
    }[verb]
    (tmp_path / "s").mkdir()
    before = everything(tmp_path)

    def unchanged() -> None:
        assert everything(tmp_path) == before

    assert off_at_every_look(monkeypatch, work, unchanged) > 3


def test_what_a_killed_save_has_left_goes_with_the_next(path, tmp_path):
    folder = tmp_path / "snapshots"
    folder.mkdir()
    (folder / ".partial-1").write_bytes(b"x" * 1000)
    (folder / ".partial-1-journal").write_bytes(b"x")
    snapshots.save(path, folder, 1e9)
    assert [one.name for one in folder.iterdir()] == ["store-2001-09-09T01-46-40Z-r3.db"]


def test_a_restore_that_fails_leaves_no_empty_store(run, tmp_path, monkeypatch):
    file = made(tmp_path / "a.dump", GOOD)
    monkeypatch.setattr(_sqlite_restore, "verify", fail)
    assert "Input/output error" in refused(run, "restore", file, f"sqlite:{tmp_path}/new.db")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.dump", "new.db.lock"]


def fail(*_: object, **__: object) -> None:
    raise OSError(5, "Input/output error")
