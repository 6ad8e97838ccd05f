"""What `pybernetes store` does; _store.py has its flags. Parts: store/dump.py, store/snapshots.py."""

import argparse
import asyncio
import os
import select
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from pybernetes.aio.clock import SystemClock, rfc3339
from pybernetes.cmd._store import WHERE
from pybernetes.store import dump, factory, snapshots
from pybernetes.store._halt import Halt, in_thread
from pybernetes.store._sqlite_file import place
from pybernetes.store._sqlite_restore import Restored, restore_keys
from pybernetes.store.protocol import Revision, Store, Stored, StoreError, Unavailable

_LOOK_SECONDS = 0.2
"""Between two looks for Ctrl-C while nothing comes."""
EXPECTED = (StoreError, dump.DumpError)
"""What is told in one line."""


def _named(text: str) -> tuple[str, str]:
    """(backend, location). Raises DumpError."""
    backend, colon, location = text.partition(":")
    if not colon or not location or not backend:
        raise dump.DumpError(f'"{text}" names no store; {WHERE}')
    if backend == "memory":
        raise dump.DumpError("a store in memory is that of its API server and ends with it; name another kind")
    return backend, location


async def _opened(stack: AsyncExitStack, text: str) -> tuple[str, Store]:
    backend, location = _named(text)
    if backend == "sqlite":
        _wanted(place(Path(location)))
    try:
        store = await factory(backend).open(location)
    except Unavailable as error:
        if "is in use by" not in str(error):
            raise
        raise Unavailable(
            f"{error}; or take a snapshot of it (`pybernetes store snapshot save`) and read that"
        ) from None
    stack.push_async_callback(store.close)
    return backend, store


def _wanted(path: Path) -> None:
    if not path.exists():
        raise Unavailable(f"there is no store at {path}")
    if not os.access(path, os.R_OK | os.W_OK):
        raise Unavailable(f"{path} cannot be read and written: Permission denied; run this as its owner")


def _unwanted(path: Path) -> None:
    if path.exists() and path.stat().st_size:
        raise dump.DumpError(f"there is a store at {path}; name another file, or give --replace to put it in its place")


async def _dump(options: argparse.Namespace) -> int:
    path = None if options.file == "-" else _dump_file(Path(options.file))
    async with AsyncExitStack() as stack:
        backend, store = await _opened(stack, options.store)
        revision, keys = await (_dump_to_stdout if path is None else partial(_dump_to, path))(store, backend)
    print(f"dumped {keys} keys at revision {revision}", file=sys.stderr)
    return 0


async def _dump_to_stdout(store: Store, backend: str) -> tuple[Revision, int]:
    if sys.stdout is None:
        raise dump.DumpError("stdout is closed; name a file")
    try:
        return await dump.write(store, backend, SystemClock().now(), sys.stdout.buffer)
    except OSError as error:
        sys.stdout = None  # or Python writes the rest once more when it ends
        raise dump.DumpError(f"cannot write to stdout: {error.strerror}") from None


def _dump_file(path: Path) -> Path:
    """Where it is, links followed."""
    if path.is_dir():
        raise dump.DumpError(f"{path} is a folder; name a file in it")
    return path.resolve() if path.is_symlink() and path.is_file() else path


def _streams(path: Path) -> bool:
    """A pipe or a device: it is neither read twice nor replaced."""
    return path.exists() and not path.is_file() and not path.is_dir()


async def _dump_to(path: Path, store: Store, backend: str) -> tuple[Revision, int]:
    """Under its name is a whole dump or none; a pipe or a device gets it as it comes."""
    whole = not _streams(path)
    unfinished = Path(f"{path}.partial") if whole else path
    try:
        with open(unfinished, "xb" if whole else "wb", opener=_private) as file:  # noqa: ASYNC230  # nothing else runs
            done = await dump.write(store, backend, SystemClock().now(), file)
        if whole:
            os.replace(unfinished, path)
    except FileExistsError:
        raise dump.DumpError(f"{unfinished} is there; another dump writes it, or delete it") from None
    except BaseException as error:
        if whole:
            with suppress(OSError):
                unfinished.unlink()
        if not isinstance(error, OSError):
            raise
        raise dump.DumpError(f"cannot write {path}: {error.strerror}; check its folder, and the space there") from None
    return done


def _private(path: str, flags: int) -> int:
    """Secrets are in it."""
    return os.open(path, flags, 0o600)


async def _restore(options: argparse.Namespace) -> int:
    if options.file == "-":
        if sys.stdin is None:
            raise dump.DumpError("stdin is closed; name a file")
        return await _restore_from(options, sys.stdin.buffer, "what came from stdin")
    path = Path(options.file)
    if not _streams(path):
        return await _restored(options, path)
    with _readable(path) as file:
        return await _restore_from(options, file, str(path))


def _readable(path: Path) -> IO[bytes]:
    try:
        return path.open("rb", buffering=0)
    except OSError as error:
        raise dump.DumpError(f"cannot read {path}: {error.strerror}") from None


async def _restore_from(options: argparse.Namespace, file: IO[bytes], name: str) -> int:
    """From a pipe: a dump is proven as a whole before anything of it is put back, so all of it is kept first."""
    with ExitStack() as stack:
        try:
            spool = stack.enter_context(TemporaryFile())
            await in_thread(partial(_spool, file.fileno(), spool))
        except OSError as error:
            why = f"{error.strerror}; TMPDIR names a folder with space"
            raise dump.DumpError(f"cannot keep {name} in a temporary file: {why}") from None
        return await _restored(options, Path(f"/proc/self/fd/{spool.fileno()}"), name)


def _spool(source: int, spool: IO[bytes], halt: Halt) -> None:
    """Reads to the end."""
    while True:
        halt.check()
        if select.select([source], [], [], _LOOK_SECONDS)[0]:
            data = os.read(source, 1 << 20)
            if not data:
                break
            spool.write(data)
    spool.flush()


async def _restored(options: argparse.Namespace, path: Path, name: str = "") -> int:
    found = await in_thread(lambda halt: dump.Dump(path, name, halt))
    return await _fill(options, dump.pages(found), found.head.revision)


async def _migrate(options: argparse.Namespace) -> int:
    if _same(options.store, options.target):
        raise dump.DumpError("FROM and TO are the same store")
    async with AsyncExitStack() as stack:
        _, store = await _opened(stack, options.store)
        revision = await store.revision()
        return await _fill(options, dump.keys_of(store, revision), revision)


def _same(one: str, other: str) -> bool:
    (kind, place_of_one), (other_kind, place_of_other) = _named(one), _named(other)
    if kind == other_kind == "sqlite":
        return Path(place_of_one).resolve() == Path(place_of_other).resolve()
    return one == other


async def _fill(options: argparse.Namespace, keys: AsyncIterator[Sequence[Stored]], revision: Revision) -> int:
    backend, location = _named(options.target)
    life = dump.lifetime(options.event_ttl)
    if backend == "sqlite":
        path = Path(location)
        if not options.replace:
            _unwanted(place(path))
        done = await restore_keys(path, keys, revision, life, bump=options.bump_revision, now=SystemClock().now())
        _say_restored(done, path)
        return 0
    async with AsyncExitStack() as stack:
        store = await factory(backend).open(location)
        stack.push_async_callback(store.close)
        try:
            count = await dump.put_back(store, keys, life)
        except asyncio.CancelledError:
            print("the store has some of the keys; empty it before you try again", file=sys.stderr)
            raise
        newest = await store.revision()
    print(f"restored {count} keys; the store is at revision {newest}, it was {revision} before")
    print("every object has a new resourceVersion: start API servers, controllers, schedulers and kubelets again")
    return 0


def _say_restored(done: Restored, path: Path) -> None:
    print(f"restored {done.keys} keys to {path}, which goes on at revision {done.revision}")
    if done.renumbered:
        print(f"{done.renumbered} keys that shared a revision were given one of their own")
    if done.kept is not None:
        print(f"the store of before is kept as {done.kept}; delete it when it is not needed")


def _folder(options: argparse.Namespace) -> Path:
    folder: Path | None = options.storage_snapshot_dir
    return folder or snapshots.folder_of(options.storage_path)


async def _save(options: argparse.Namespace) -> int:
    folder = _folder(options)
    taken = await in_thread(partial(snapshots.save, options.storage_path, folder, SystemClock().now()))
    print(f"saved {taken.path} ({taken.size} bytes, revision {taken.revision})")
    for gone in snapshots.prune(folder, options.keep) if options.keep > 0 else ():
        print(f"deleted {gone.path}")
    return 0


async def _list(options: argparse.Namespace) -> int:
    found, faults = snapshots.listed(_folder(options)), 0
    if not found:
        print(f"no snapshots in {_folder(options)}", file=sys.stderr)
        return 0
    rows = [["NAME", "TAKEN", "REVISION", "SIZE"]]
    for one in found:
        rows.append([one.name, rfc3339(one.taken), str(one.revision), str(one.size)])
        if options.verify:
            wrong = await in_thread(partial(snapshots.fault, one.path))
            faults += bool(wrong)
            rows[-1].append(wrong or "whole")
    if options.verify:
        rows[0].append("STATE")
    _table(rows)
    return 1 if faults else 0


def _table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        line = "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print(line.rstrip())


async def _restore_snapshot(options: argparse.Namespace) -> int:
    folder = _folder(options)
    if options.snapshot:
        path = Path(options.snapshot) if "/" in options.snapshot else folder / options.snapshot
    else:
        found = snapshots.listed(folder)
        if not found:
            raise Unavailable(f"there is no snapshot in {folder}; name one")
        path = found[0].path
    now = SystemClock().now()
    bump = options.bump_revision
    done = await in_thread(lambda halt: snapshots.restore(path, options.storage_path, now, bump=bump, halt=halt))
    print(f"snapshot {path}")
    _say_restored(done, options.storage_path)
    return 0


VERBS: Mapping[str, Callable[[argparse.Namespace], Awaitable[int]]] = {
    "dump": _dump,
    "restore": _restore,
    "migrate": _migrate,
    "snapshot save": _save,
    "snapshot list": _list,
    "snapshot restore": _restore_snapshot,
}
"""By the words of the command."""
