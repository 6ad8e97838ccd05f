"""Soak of the SQLite store: kills a writing process with -9, again and again, and checks what it had acknowledged.

`python -m tools.soak.store --rounds N`. Each round starts a child that writes, watches and compacts the same file, and
prints every acknowledgement and every watched event; the child is killed at a random moment. Then the file must have
every acknowledged write, one history without gaps, and the watch must have seen exactly that history, in order; a watch
that resumes where it was gets the rest. Some keys have a time: they go when it is over and not before, across kills and
with a wall clock that is wrong, and no other key goes by itself.
"""

import argparse
import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from pybernetes.aio.clock import SystemClock
from pybernetes.store.protocol import Compacted, Event, KeyExists, Mismatch, Revision, Store, Stored
from pybernetes.store.sqlite import open_sqlite

WORKERS = 12
KEYS = 40
TTLS = (0.3, 0.6)
"""Seconds of keys that have a time, from, to."""
IN_FLIGHT = 10 * WORKERS
"""Watched events at the end whose writers may have been killed before they said anything."""
LATE = 0.25
"""Seconds between what happens and what is said of it on a busy machine."""


class WrongClock(SystemClock):
    """A wall clock that is off by so many seconds."""

    def __init__(self, off: float) -> None:
        super().__init__()
        self._off = off

    def now(self) -> float:
        return super().now() + self._off


def say(line: str) -> None:
    """One line to the parent, whole or not at all: pipes are atomic below 4 KB."""
    os.write(1, f"{line}\n".encode())


async def work(store: Store, worker: int, seed: int) -> None:
    """Creates, updates and deletes for ever; says what was acknowledged."""
    rng = random.Random(f"{seed}/{worker}")
    for number in count():
        # Keys of their own live long enough to go by themselves.
        short = rng.random() < 0.03
        key = f"/registry/short/{seed}/{worker}/{number}" if short else f"/registry/{rng.randrange(KEYS)}"
        value = f"{worker}:{rng.random()}:".encode() + b"x" * rng.choice([0, 100, 3000, 20_000])
        current = await store.get(key)
        ttl = rng.uniform(*TTLS) if short or rng.random() < 0.2 else None
        try:
            if current is None:
                revision, kind = await store.create(key, value, ttl=ttl), "PUT"
            elif rng.random() < 0.3:
                revision, kind = await store.delete(key, current.revision), "DELETE"
            else:
                revision, kind = await store.update(key, value, current.revision, ttl=ttl), "PUT"
        except (KeyExists, Mismatch):
            continue
        said = value[:40].decode() if kind == "PUT" else "-"
        say(f"ack {revision} {kind} {key} {said} {ttl if kind == 'PUT' else None} {time.monotonic()}")


async def follow(store: Store, after: Revision) -> None:
    """Says what a watch delivers."""
    async for batch in await store.watch("/registry/", after):
        for event in batch:
            before = event.previous.revision if event.previous else 0
            say(f"saw {event.revision} {event.type} {event.key} {before} {time.monotonic()}")


async def compact(store: Store, seed: int) -> None:
    """Forgets history now and then, so that kills also hit compactions."""
    rng = random.Random(seed)
    while True:
        await asyncio.sleep(rng.uniform(0.02, 0.3))
        await store.compact(Revision(max(0, await store.revision() - rng.randrange(200))))


async def child(path: str, seed: int) -> None:
    """What gets killed."""
    store = await open_sqlite(path, WrongClock(random.Random(seed).choice((0.0, 0.0, -1e6, 1e6))))
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


class Said:
    """What a child said before it was killed."""

    def __init__(self, lines: list[list[str]]) -> None:
        self.acknowledged = [line for line in lines if line[0] == "ack"]
        self.seen = [line for line in lines if line[0] == "saw"]
        self.told = {int(line[1]): line for line in self.acknowledged}
        self.ttls = {int(line[1]): float(line[5]) for line in self.acknowledged if line[5] != "None"}


async def check(path: Path, lines: list[list[str]], start: Revision) -> str:
    """Compares what was said with what is there; returns figures, raises AssertionError."""
    said, store = Said(lines), await open_sqlite(str(path))
    try:
        events, oldest = await history(store)
        newest = Revision(oldest + len(events))
        assert [e.revision for e in events] == list(range(oldest + 1, oldest + 1 + len(events))), "a gap or a double"
        check_writes(said, {e.revision: e for e in events}, oldest)
        check_watch(said, {e.revision: e for e in events}, start)
        deaths = check_deaths(said)
        live = {s.key: s for s in (await store.range("/registry/", at=newest)).items}
        for key, event in {e.key: e for e in events if e.revision <= newest}.items():
            there = live.get(key)
            assert (there.revision if there else None) == (event.revision if event.type == "PUT" else None), key
        last = Revision(int(said.seen[-1][1])) if said.seen else start
        if oldest <= last < newest:
            watch = await store.watch("/registry/", last)
            assert (await anext(watch))[0].revision == last + 1, "a resumed watch has a gap"
            await watch.aclose()
        left = await wait_for_deaths(store, said, live, newest)
        return (
            f"{len(said.acknowledged)} acknowledged, {len(said.seen)} watched, {newest} revisions, {oldest} compacted, "
            f"{deaths} went by themselves, {left} after the restart"
        )
    finally:
        await store.close()


def check_writes(said: Said, by_revision: dict[Revision, Event], oldest: Revision) -> None:
    """Every acknowledged write is there, as it was acknowledged."""
    for _, revision, kind, key, value, *_ in said.acknowledged:
        event = by_revision.get(Revision(int(revision)))
        if event is None:
            assert int(revision) <= oldest, f"acknowledged revision {revision} is lost"
            continue
        assert (event.type, event.key) == (kind, key), f"revision {revision} is another write"
        assert kind == "DELETE" or event.value[:40].decode() == value, f"revision {revision} has another value"


def check_watch(said: Said, by_revision: dict[Revision, Event], start: Revision) -> None:
    """The watch told every revision once, in order, and what it was."""
    revisions = [int(line[1]) for line in said.seen]
    assert revisions == list(range(start + 1, start + 1 + len(revisions))), "the watch is not in order"
    for _, revision, kind, key, *_ in said.seen:
        event = by_revision.get(Revision(int(revision)))
        assert event is None or (event.type, event.key) == (kind, key), f"the watch told another revision {revision}"


def check_deaths(said: Said) -> int:
    """Deletions that nobody asked for: of keys with a time, after that time. How many.

    The last lines are not judged: who deleted may have been killed before saying so.
    """
    judged = said.seen[: max(0, len(said.seen) - IN_FLIGHT)]
    unasked = [line for line in judged if line[2] == "DELETE" and int(line[1]) not in said.told]
    known = [line for line in unasked if int(line[4]) in said.told]
    for _, revision, _, key, before, when in known:
        ttl = said.ttls.get(int(before))
        assert ttl is not None, f"{key} went by itself at revision {revision}"
        lived = float(when) - float(said.told[int(before)][6])
        assert lived > ttl - LATE, f"{key} went after {lived:.3f} s of {ttl:.3f} at revision {revision}"
    return len(known)


async def wait_for_deaths(store: Store, said: Said, live: dict[str, Stored], newest: Revision) -> int:
    """Keys with a time go after the restart, whatever the clock says; those without stay. How many went."""
    mortal = {key for key, stored in live.items() if stored.revision in said.ttls}
    waiting, watch = set(mortal), await store.watch("/registry/", newest)
    async with asyncio.timeout(TTLS[1] + 5):
        while waiting:
            waiting -= {event.key for event in await anext(watch) if event.type == "DELETE"}
    await watch.aclose()
    there = {s.key: s.revision for s in (await store.range("/registry/")).items}
    for key, stored in live.items():
        if stored.revision in said.told and key not in mortal:
            assert there.get(key) == stored.revision, f"{key} went by itself after the restart"
    return len(mortal)


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
            except (AssertionError, TimeoutError) as fault:
                print(f"round {number} of seed {options.seed}: {fault or 'keys with a time stay'}", file=sys.stderr)
                return 1
            print(f"store round {number}/{options.rounds}: {figures}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
