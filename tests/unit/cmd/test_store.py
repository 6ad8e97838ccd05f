"""`pybernetes store`: what it writes and refuses, its words and exit codes."""

import asyncio
import subprocess
import sys
from pathlib import Path

import orjson
import pytest
from tests.etcd_servers import etcd as etcd_servers
from tests.etcd_servers import needs_etcd

from pybernetes.aio.clock import SystemClock, parse_time
from pybernetes.cmd import pybernetes as command
from pybernetes.store import snapshots
from pybernetes.store.dump import Dump, DumpError
from pybernetes.store.memory import MemoryStore
from pybernetes.store.protocol import Compacted, Revision, Stored, StoreFactory
from pybernetes.store.sqlite import open_sqlite

VALUES = {
    "/registry/pods/d/a": b'{"a":1}',
    "/registry/pods/d/b": b"\xff\x00",
    "/registry/secrets/d/\u00e9": "\u2603".encode(),
}


async def filled(path: Path) -> dict[str, Stored]:
    store = await open_sqlite(str(path))
    for key, value in VALUES.items():
        await store.create(key, b"")
        await store.update(key, value, await store.revision())
    await store.create("/registry/events/d/e", b"{}", ttl=50)
    await store.create("/elsewhere", b"")
    found = {one.key: one for one in (await store.range("/registry/")).items}
    await store.close()
    return found


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "store.db"
    asyncio.run(filled(path))
    return path


async def keys(path: Path) -> dict[str, Stored]:
    store = await open_sqlite(str(path))
    found = {one.key: one for one in (await store.range("/registry/")).items}
    await store.close()
    return found


def test_a_dump_puts_back_keys_values_and_revisions(run, path, tmp_path):
    before, file = asyncio.run(keys(path)), tmp_path / "a.dump"
    assert run("dump", f"sqlite:{path}", file) == (0, "", "dumped 4 keys at revision 8\n")
    assert file.stat().st_mode & 0o077 == 0
    target = tmp_path / "new.db"
    code, out, _ = run("restore", file, f"sqlite:{target}", "--event-ttl", "2h")
    assert (code, out) == (0, f"restored 4 keys to {target}, which goes on at revision 1000000008\n")

    async def look():
        store = await open_sqlite(str(target))
        found = {one.key: one for one in (await store.range("/registry/")).items}
        assert found == before
        assert await store.revision() == 1_000_000_008
        with pytest.raises(Compacted):
            await store.watch("/", Revision(1_000_000_007))
        [(due, revision, key)] = store._expiry._heap
        assert (key, revision) == ("/registry/events/d/e", 7)
        assert 7100 < due - asyncio.get_running_loop().time() < 7201
        assert await store.create("/registry/x", b"") == 1_000_000_009
        await store.close()

    asyncio.run(look())


def test_a_dump_is_lines_that_others_can_read(run, path, tmp_path):
    run("dump", f"sqlite:{path}", tmp_path / "a.dump")
    first, *lines, last = [orjson.loads(line) for line in (tmp_path / "a.dump").read_bytes().splitlines()]
    assert abs(parse_time(first.pop("time")) - SystemClock().now()) < 60
    assert first == {"format": "pybernetes-store-dump", "version": 1, "revision": 8, "source": "sqlite"}
    assert last["keys"] == len(lines) == 4
    assert lines[1] == {"key": "/registry/pods/d/a", "created": 1, "revision": 2, "value": '{"a":1}'}
    assert lines[2] == {"key": "/registry/pods/d/b", "created": 3, "revision": 4, "base64": "/wA="}


def test_a_dump_streams(path, tmp_path):
    """Whole processes, as in a pipe."""
    pybernetes = [sys.executable, "-m", "pybernetes.cmd.pybernetes", "store"]
    dumped = subprocess.run([*pybernetes, "dump", f"sqlite:{path}"], capture_output=True, check=True)
    target = tmp_path / "new.db"
    subprocess.run(
        [*pybernetes, "restore", "-", f"sqlite:{target}"], input=dumped.stdout, check=True, capture_output=True
    )
    assert asyncio.run(keys(target)) == asyncio.run(keys(path))
    torn = subprocess.run(
        [*pybernetes, "restore", "-", f"sqlite:{target}2"], input=dumped.stdout[:-3], capture_output=True
    )
    assert torn.returncode == 1
    assert b"error: what came from stdin is damaged, or not all of it is there" in torn.stderr
    assert not Path(f"{target}2").exists()


@pytest.mark.parametrize("change", ["line gone", "changed", "end gone", "added", "not ours", "newer", "empty"])
def test_a_dump_that_is_not_whole_is_refused_before_anything_is_written(run, path, tmp_path, change):
    file = tmp_path / "a.dump"
    run("dump", f"sqlite:{path}", file)
    lines = file.read_bytes().splitlines(keepends=True)
    changed = {
        "line gone": lines[:2] + lines[3:],
        "changed": [line.replace(b'"created":3', b'"created":2') for line in lines],
        "end gone": lines[:-1],
        "added": [*lines, b"{}\n"],
        "not ours": [b'{"kind":"List"}\n', *lines[1:]],
        "newer": [lines[0].replace(b'"version":1', b'"version":2'), *lines[1:]],
        "empty": [],
    }[change]
    assert changed != lines
    file.write_bytes(b"".join(changed))
    code, _, err = run("restore", file, f"sqlite:{tmp_path}/new.db")
    assert code == 1
    assert err.startswith(f"error: {file} is ") or err.startswith(f"error: {file} was written by a newer version")
    assert not (tmp_path / "new.db").exists()
    with pytest.raises(DumpError):
        Dump(file)


def test_a_store_that_is_there_is_replaced_only_when_told_to_and_kept(run, path, tmp_path):
    file, target = tmp_path / "a.dump", tmp_path / "new.db"
    run("dump", f"sqlite:{path}", file)
    asyncio.run(filled(target))
    before = target.read_bytes()
    code, _, err = run("restore", file, f"sqlite:{target}")
    assert (code, target.read_bytes()) == (1, before)
    assert "give --replace" in err
    code, out, _ = run("restore", file, f"sqlite:{target}", "--replace", "--bump-revision", "0")
    assert code == 0
    [kept] = tmp_path.glob("new.db.before-*")
    assert kept.read_bytes() == before
    assert f"the store of before is kept as {kept}" in out
    assert "goes on at revision 8\n" in out


def test_a_store_moves_at_its_own_revision(run, path, tmp_path):
    target = tmp_path / "new.db"
    assert run("migrate", f"sqlite:{path}", f"sqlite:{target}")[:2] == (
        0, f"restored 4 keys to {target}, which goes on at revision 8\n",
    )  # fmt: skip
    assert asyncio.run(keys(target)) == asyncio.run(keys(path))


def test_any_other_store_is_filled_through_its_own_calls(run, path, tmp_path, monkeypatch):
    made = MemoryStore()
    opened = []

    async def open_made(location):
        opened.append(location)
        made.close = asyncio.sleep.__get__(0)  # stays open for the look
        return made

    from pybernetes.cmd import _store_work

    real = _store_work.factory
    fake = StoreFactory("other", "", open_made)
    monkeypatch.setattr(_store_work, "factory", lambda name: fake if name == "other" else real(name))
    code, out, _ = run("migrate", f"sqlite:{path}", "other:somewhere:1?x=y")
    assert (code, opened) == (0, ["somewhere:1?x=y"])
    assert out.startswith(
        "restored 4 keys; the store is at revision 4, it was 8 before\nevery object has a new resourceVersion"
    )

    async def look():
        return {one.key: one.value for one in (await made.range("/")).items}

    assert asyncio.run(look()) == {**VALUES, "/registry/events/d/e": b"{}"}
    code, _, err = run("migrate", f"sqlite:{path}", "other:")
    assert code == 1
    code, _, err = run("migrate", f"sqlite:{path}", "other:x")
    assert code == 1
    assert "the store is not empty" in err
    made._expiry.close()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["dump", "store.db"], '"store.db" names no store; a store is named BACKEND:LOCATION'),
        (["dump", "sqlite:/nowhere/store.db"], "there is no store at /nowhere/store.db"),
        (["dump", "sqllite:/x"], 'there is no store "sqllite"; choose one of: '),
        (["restore", "/nowhere/dump", "sqlite:/x"], "cannot read /nowhere/dump: No such file or directory"),
        (["snapshot", "save", "--storage-path=/nowhere/s.db"], "there is no store at /nowhere/s.db; name it with --storage-path"),
        (["snapshot", "restore", "--storage-path=/nowhere/s.db"], "there is no snapshot in /nowhere/snapshots; name one"),
        (["snapshot", "restore", "x", "--storage-path=/nowhere/s.db"], "see `pybernetes store snapshot list`"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_one_line_and_code_1(run, words, message):
    code, out, err = run(*words)
    assert (code, out) == (1, "")
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("words", [[], ["snapshot"], ["restore", "x"], ["snapshot", "save", "--keep=-1"]])
def test_wrong_words_are_code_2(words):
    with pytest.raises(SystemExit) as ended:
        command._parser().parse_args(["store", *words])
    assert ended.value.code == 2


def test_a_store_in_use_says_how_to_read_it_all_the_same(run, path, capsys):
    async def main():
        store = await open_sqlite(str(path))
        options = command._parser().parse_args(["store", "dump", f"sqlite:{path}"])
        code = await options.run(options)
        await store.close()
        return code

    assert asyncio.run(main()) == 1
    assert "is in use by process" in (err := capsys.readouterr().err)
    assert "pybernetes store snapshot save" in err


def test_snapshots_are_saved_listed_pruned_and_put_back(run, path, monkeypatch):
    before = asyncio.run(keys(path))
    times = iter((1e9, 1e9 + 60, 1e9 + 120, 1e9 + 180))
    monkeypatch.setattr(SystemClock, "now", lambda self: next(times))
    flag = f"--storage-path={path}"
    for _ in range(3):
        assert run("snapshot", "save", flag)[0] == 0
    code, out, _ = run("snapshot", "save", flag, "--keep", "2")
    monkeypatch.undo()
    assert code == 0
    assert out.count("deleted ") == 2
    code, out, _ = run("snapshot", "list", flag, "--verify")
    assert code == 0
    rows = [line.split() for line in out.splitlines()]
    assert rows[0] == ["NAME", "TAKEN", "REVISION", "SIZE", "STATE"]
    assert [(row[0], row[1], row[2], row[4]) for row in rows[1:]] == [
        ("store-2001-09-09T01-49-40Z-r8.db", "2001-09-09T01:49:40Z", "8", "whole"),
        ("store-2001-09-09T01-48-40Z-r8.db", "2001-09-09T01:48:40Z", "8", "whole"),
    ]
    path.write_bytes(b"nothing of it is left" * 500)
    code, out, _ = run("snapshot", "restore", rows[2][0], flag)
    assert code == 0
    assert "goes on at revision 1000000008" in out
    assert asyncio.run(keys(path)) == before


def test_a_damaged_snapshot_is_told_and_not_put_back(run, path):
    flag = f"--storage-path={path}"
    run("snapshot", "save", flag)
    [one] = snapshots.listed(snapshots.folder_of(path))
    one.path.write_bytes(one.path.read_bytes().replace(b'{"a":1}', b'{"a":2}'))
    code, out, _ = run("snapshot", "list", flag, "--verify")
    assert code == 1
    assert "revision 2 does not match its checksum" in out
    before = path.read_bytes()
    code, _, err = run("snapshot", "restore", flag)
    assert code == 1
    assert "choose another one" in err
    assert path.read_bytes() == before
    assert list(path.parent.glob("*restoring*")) == []


def test_a_damaged_store_gives_no_snapshot(run, path):
    path.write_bytes(path.read_bytes().replace(b'{"a":1}', b'{"a":2}'))
    code, _, err = run("snapshot", "save", f"--storage-path={path}")
    assert code == 1
    assert "the file is damaged (revision 2 does not match its checksum)" in err
    assert list(snapshots.folder_of(path).iterdir()) == []


def test_revisions_move_on_beyond_what_was_acknowledged_since(run, path):
    flag = f"--storage-path={path}"
    run("snapshot", "save", flag)

    async def more():
        store = await open_sqlite(str(path))
        for n in range(100):
            await store.create(f"/registry/more/{n}", b"")
        await store.close()

    asyncio.run(more())
    assert "goes on at revision 109" in run("snapshot", "restore", flag, "--bump-revision", "1")[1]


@needs_etcd
def test_a_cluster_moves_to_etcd_and_back(run, path, tmp_path):
    before = asyncio.run(keys(path))
    with etcd_servers() as servers:
        etcd = f"etcd:{servers.location()}"
        code, out, err = run("migrate", f"sqlite:{path}", etcd)
        assert (code, err) == (0, "")
        assert out.startswith("restored 4 keys; the store is at revision ")
        code, _, err = run("migrate", f"sqlite:{path}", etcd)
        assert code == 1
        assert "the store is not empty" in err
        assert run("dump", etcd, tmp_path / "etcd.dump")[0] == 0
        back = tmp_path / "back.db"
        assert run("migrate", etcd, f"sqlite:{back}")[0] == 0
    found = asyncio.run(keys(back))
    assert {key: one.value for key, one in found.items()} == {key: one.value for key, one in before.items()}
    dumped = Dump(tmp_path / "etcd.dump")
    assert dumped.head.source == "etcd"
    assert {one.key: one for one in dumped} == found, "revisions are etcd's, and stay so in SQLite"
