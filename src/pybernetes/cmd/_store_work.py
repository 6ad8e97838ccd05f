"""What `pybernetes store` does; _store.py has its flags. Parts: store/dump.py, store/snapshots.py."""

import argparse
import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from tempfile import TemporaryFile

from pybernetes.aio.clock import SystemClock, rfc3339
from pybernetes.cmd._store import WHERE
from pybernetes.store import dump, factory, snapshots
from pybernetes.store._sqlite_restore import Restored, restore_keys
from pybernetes.store.protocol import Revision, Store, Stored, StoreError, Unavailable

EXPECTED = (StoreError, dump.DumpError)
"""What is told in one line."""


def _named(text: str) -> tuple[str, str]:
    """(backend, location). Raises DumpError."""
    backend, colon, location = text.partition(":")
    if not colon or not location or not backend:
        raise dump.DumpError(f'"{text}" names no store; {WHERE}')
    return backend, location


async def _opened(stack: AsyncExitStack, text: str) -> tuple[str, Store]:
    backend, location = _named(text)
    if backend == "sqlite":
        _wanted(Path(location))
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
    if not path.is_file():
        raise Unavailable(f"there is no store at {path}")


def _unwanted(path: Path) -> None:
    if path.exists() and path.stat().st_size:
        raise dump.DumpError(f"there is a store at {path}; name another file, or give --replace to put it in its place")


async def _dump(options: argparse.Namespace) -> int:
    async with AsyncExitStack() as stack:
        backend, store = await _opened(stack, options.store)
        if options.file == "-":
            revision, keys = await dump.write(store, backend, sys.stdout.buffer)
        else:
            revision, keys = await _dump_to(Path(options.file), store, backend)
    print(f"dumped {keys} keys at revision {revision}", file=sys.stderr)
    return 0


async def _dump_to(path: Path, store: Store, backend: str) -> tuple[Revision, int]:
    """Under its name is a whole dump or none."""
    partial = path.with_name(f"{path.name}.partial")
    try:
        with open(partial, "xb", opener=_private) as file:  # noqa: ASYNC230  # nothing else runs
            done = await dump.write(store, backend, file)
        partial.replace(path)
    except FileExistsError:
        raise dump.DumpError(f"{partial} is there; another dump writes it, or delete it") from None
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise
    return done


def _private(path: str, flags: int) -> int:
    """Secrets are in it."""
    return os.open(path, flags, 0o600)


async def _restore(options: argparse.Namespace) -> int:
    if options.file != "-":
        return await _restored(options, dump.Dump(Path(options.file)))
    with TemporaryFile() as spool:  # a dump is proven as a whole before anything of it is put back
        await asyncio.to_thread(shutil.copyfileobj, sys.stdin.buffer, spool)
        spool.flush()
        return await _restored(options, dump.Dump(Path(f"/proc/self/fd/{spool.fileno()}"), "what came from stdin"))


async def _restored(options: argparse.Namespace, found: dump.Dump) -> int:
    return await _fill(options, dump.pages(found), found.head.revision)


async def _migrate(options: argparse.Namespace) -> int:
    async with AsyncExitStack() as stack:
        _, store = await _opened(stack, options.store)
        revision = await store.revision()
        return await _fill(options, dump.keys_of(store, revision), revision)


async def _fill(options: argparse.Namespace, keys: AsyncIterator[Sequence[Stored]], revision: Revision) -> int:
    backend, location = _named(options.target)
    life = dump.lifetime(options.event_ttl)
    if backend == "sqlite":
        path = Path(location)
        if not options.replace:
            _unwanted(path)
        done = await restore_keys(path, keys, revision, life, bump=options.bump_revision, now=SystemClock().now())
        _say_restored(done, path)
        return 0
    async with AsyncExitStack() as stack:
        store = await factory(backend).open(location)
        stack.push_async_callback(store.close)
        count = await dump.put_back(store, keys, life)
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
    taken = await asyncio.to_thread(snapshots.save, options.storage_path, folder, SystemClock().now())
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
            wrong = await asyncio.to_thread(snapshots.fault, one.path)
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
    done = await asyncio.to_thread(snapshots.restore, path, options.storage_path, now, bump=options.bump_revision)
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
