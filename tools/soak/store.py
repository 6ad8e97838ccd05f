"""Soak of the SQLite store: kills a writing process with -9, again and again, and checks what it had acknowledged.

`python -m tools.soak.store --rounds N`. Each round starts a child that writes, watches and compacts the same file, and
prints every acknowledgement and every watched event; the child is killed at a random moment. Then the file must have
every acknowledged write, one history without gaps, and the watch must have seen exactly that history, in order.
"""

import argparse
import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from pybernetes.store.protocol import Compacted, Event, KeyExists, Mismatch, Revision, Store
from pybernetes.store.sqlite import open_sqlite

WORKERS = 12
KEYS = 40


def say(line: str) -> None:
    """One line to the parent, whole or not at all: pipes are atomic below 4 KB."""
    os.write(1, f"{line}\n".encode())


async def work(store: Store, worker: int, seed: int) -> None:
    """Creates, updates and deletes for ever; says what was acknowledged."""
    rng = random.Random(f"{seed}/{worker}")
    while True:
        key = f"/registry/{rng.randrange(KEYS)}"
        value = f"{worker}:{rng.random()}:".encode() + b"x" * rng.choice([0, 100, 3000, 20_000])
        current = await store.get(key)
        try:
            if current is None:
                revision, kind = await store.create(key, value), "PUT"
            elif rng.random() < 0.3:
                revision, kind = await store.delete(key, current.revision), "DELETE"
            else:
                revision, kind = await store.update(key, value, current.revision), "PUT"
        except (KeyExists, Mismatch):
            continue
        say(f"ack {revision} {kind} {key} {value[:40].decode() if kind == 'PUT' else '-'}")


async def follow(store: Store, after: Revision) -> None:
    """Says what a watch delivers."""
    async for batch in await store.watch("/registry/", after):
        for event in batch:
            say(f"saw {event.revision} {event.type} {event.key}")


async def compact(store: Store, seed: int) -> None:
    """Forgets history now and then, so that kills also hit compactions."""
    rng = random.Random(seed)
    while True:
        await asyncio.sleep(rng.uniform(0.02, 0.3))
        await store.compact(Revision(max(0, await store.revision() - rng.randrange(200))))


async def child(path: str, seed: int) -> None:
    """What gets killed."""
    store = await open_sqlite(path)
    start = await store.revision()
    async with asyncio.TaskGroup() as group:
        group.create_task(follow(store, start))
        if seed % 3 == 0:  # the other rounds keep all history, so that every acknowledgement can be compared
            group.create_task(compact(store, seed))
        for worker in range(WORKERS):
            group.create_task(work(store, worker, seed))


def kill_in_the_middle(path: Path, seed: int, after: float) -> list[list[str]]:
    """Runs a child for a while, kills it, returns the words of every whole line it said."""
    command = [sys.executable, "-m", "tools.soak.store", "--child", str(path), "--seed", str(seed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        reader = bytearray(first)
        os.set_blocking(process.stdout.fileno(), False)
        end = time.monotonic() + after
        while time.monotonic() < end:
            reader += process.stdout.read() or b""
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        os.set_blocking(process.stdout.fileno(), True)
        reader += process.stdout.read()
    return [line.split() for line in reader.decode().splitlines()]


async def history(store: Store) -> tuple[list[Event], Revision]:
    """Every event that is kept, and the revision they begin after."""
    newest = await store.revision()
    oldest = await oldest_kept(store, newest)
    events: list[Event] = []
    watch = await store.watch("/registry/", oldest)
    while oldest + len(events) < newest:
        events.extend(await anext(watch))
    await watch.aclose()
    return events, oldest


async def oldest_kept(store: Store, newest: Revision) -> Revision:
    """Where history begins, found by asking."""
    try:
        await store.range("/registry/", limit=1, at=Revision(0))
    except Compacted as error:
        return error.oldest
    return Revision(0)


async def check(path: Path, said: list[list[str]], start: Revision) -> str:
    """Compares what was said with what is there; returns figures, raises AssertionError."""
    store = await open_sqlite(str(path))
    try:
        events, oldest = await history(store)
        newest = await store.revision()
        assert [e.revision for e in events] == list(range(oldest + 1, newest + 1)), "history has a gap or a double"
        by_revision = {e.revision: e for e in events}
        live = {s.key: s for s in (await store.range("/registry/")).items}
        acknowledged = [line for line in said if line[0] == "ack"]
        seen = [line for line in said if line[0] == "saw"]
        for _, revision, kind, key, value in acknowledged:
            event = by_revision.get(Revision(int(revision)))
            if event is None:
                assert int(revision) <= oldest, f"acknowledged revision {revision} is lost"
                continue
            assert (event.type, event.key) == (kind, key), f"revision {revision} is another write"
            assert kind == "DELETE" or event.value[:40].decode() == value, f"revision {revision} has another value"
        assert [int(line[1]) for line in seen] == list(range(start + 1, start + 1 + len(seen))), (
            "the watch is not in order"
        )
        for _, revision, kind, key in seen:
            event = by_revision.get(Revision(int(revision)))
            assert event is None or (event.type, event.key) == (kind, key), (
                f"the watch told another revision {revision}"
            )
        last = {e.key: e for e in events}
        for key, event in last.items():
            there = live.get(key)
            assert (there.revision if there else None) == (event.revision if event.type == "PUT" else None), key
        return f"{len(acknowledged)} acknowledged, {len(seen)} watched, {newest} revisions, {oldest} compacted"
    finally:
        await store.close()


async def newest_revision(path: Path) -> Revision:
    """Where the next round begins."""
    store = await open_sqlite(str(path))
    try:
        return await store.revision()
    finally:
        await store.close()


def main() -> int:
    """Rounds of kills; 1 at the first fault, with the seed that shows it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--child", metavar="PATH", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        asyncio.run(child(options.child, options.seed))
        return 0
    rng = random.Random(options.seed)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "store.db"
        for number in range(1, options.rounds + 1):
            start = asyncio.run(newest_revision(path))
            said = kill_in_the_middle(path, options.seed + number, rng.uniform(0.05, 0.8))
            try:
                figures = asyncio.run(check(path, said, start))
            except AssertionError as fault:
                print(f"round {number} of seed {options.seed}: {fault}", file=sys.stderr)
                return 1
            print(f"store round {number}/{options.rounds}: {figures}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
