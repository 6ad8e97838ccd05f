"""Soak of the SQLite store: kills a writing process with -9, again and again, and checks what it had acknowledged.

`python -m tools.soak.store --rounds N`. Each round starts a child that writes, watches and compacts the same file, and
prints every acknowledgement and every watched event; the child is killed at a random moment. Then the file must have
every acknowledged write, one history without gaps, and the watch must have seen exactly that history, in order; a watch
that resumes where it was gets the rest. Some keys have a time: they go when it is over and not before, across kills and
with a wall clock that is wrong, and no other key goes by itself.

Rounds are of several kinds, in turn; _store_faults.py has what they add: the disk is full now and then (a small file system,
as root; a size limit), and no refused write is done; the wall clock jumps while the store is open; what the kill left is
damaged, and is refused or true, and a snapshot heals it.
"""

import argparse
import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from itertools import count
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from pybernetes.aio.clock import SystemClock
from pybernetes.store.protocol import Compacted, Event, KeyExists, Mismatch, Revision, Store, Stored, Unavailable
from pybernetes.store.sqlite import open_sqlite
from tools.soak import _store_faults as faults
from tools.soak._rounds import arguments, run_rounds

KINDS = ("kill", "full disk", "size limit", "clock jumps", "damage")
DAMAGES = 4
"""Of one round of that kind, each to another copy."""
WORKERS = 12
KEYS = 40
TTLS = (0.3, 0.6)
"""Seconds of keys that have a time, from, to."""
IN_FLIGHT = 10 * WORKERS
"""Watched events at the end whose writers may have been killed before they said anything."""
SECONDS = (0.05, 0.8)
"""From a child's first word to its end, from, to."""
LATE = 0.25
"""Seconds between what happens and what is said of it on a busy machine."""


class WrongClock(SystemClock):
    """A wall clock that is off by so many seconds."""

    def __init__(self, off: float) -> None:
        super().__init__()
        self.off = off

    def now(self) -> float:
        return super().now() + self.off


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
        ttl = rng.uniform(*TTLS) if short or rng.random() < 0.2 else None
        kind = "PUT"
        try:
            current = await store.get(key)
            if current is None:
                revision = await store.create(key, value, ttl=ttl)
            elif rng.random() < 0.3:
                kind = "DELETE"
                revision = await store.delete(key, current.revision)
            else:
                revision = await store.update(key, value, current.revision, ttl=ttl)
        except (KeyExists, Mismatch):
            continue
        except Unavailable as error:
            say(f"no {kind} {key} {value[:40].decode()} {error}")
            await asyncio.sleep(0.005)
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
        with suppress(Unavailable):  # a full disk
            await store.compact(Revision(max(0, await store.revision() - rng.randrange(200))))


async def jump(clock: WrongClock, seed: int) -> None:
    """Somebody sets the wall clock, again and again."""
    rng = random.Random(seed)
    while True:
        await asyncio.sleep(rng.uniform(0.01, 0.1))
        clock.off = rng.choice((0.0, 1.0, -1.0, 1e6, -1e6))


async def child(path: str, seed: int, kind: str) -> None:
    """What gets killed."""
    clock = WrongClock(random.Random(seed).choice((0.0, 0.0, -1e6, 1e6)))
    store = await open_sqlite(path, clock)
    start = await store.revision()
    async with asyncio.TaskGroup() as group:
        group.create_task(follow(store, start))
        if kind == "clock jumps":
            group.create_task(jump(clock, seed))
        # The other rounds keep all history, so that every acknowledgement can be compared.
        if seed % 3 == 0 or kind in ("full disk", "size limit"):
            group.create_task(compact(store, seed))
        for worker in range(WORKERS):
            group.create_task(work(store, worker, seed))


def kill_in_the_middle(path: Path, seed: int, kind: str, trouble: faults.Limit | None) -> list[list[str]]:
    """Runs a child for a while, kills it, returns the words of every whole line it said."""
    after = random.Random(seed).uniform(*SECONDS)
    command = [sys.executable, "-m", "tools.soak.store", "--child", str(path), "--seed", str(seed), "--kind", kind]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        reader = bytearray(first)
        os.set_blocking(process.stdout.fileno(), False)
        end = time.monotonic() + after
        while time.monotonic() < end:
            reader += process.stdout.read() or b""
            if trouble is not None:
                trouble.tick(process.pid)
            time.sleep(0.01)
        assert process.poll() is None, f"the child ended by itself with {process.returncode}"
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
        self.refused = [line for line in lines if line[0] == "no"]
        self.seen = [line for line in lines if line[0] == "saw"]
        self.told = {int(line[1]): line for line in self.acknowledged}
        self.ttls = {int(line[1]): float(line[5]) for line in self.acknowledged if line[5] != "None"}


async def check(path: Path, said: Said, start: Revision) -> tuple[dict[str, int], faults.Truth]:
    """Compares what was said with what is there. Raises AssertionError."""
    store = await open_sqlite(str(path))
    try:
        events, oldest = await history(store)
        newest = Revision(oldest + len(events))
        assert [e.revision for e in events] == list(range(oldest + 1, oldest + 1 + len(events))), "a gap or a double"
        check_writes(said, {e.revision: e for e in events}, oldest)
        check_refusals(said, events)
        check_watch(said, {e.revision: e for e in events}, start)
        deaths = check_deaths(said)
        live = {s.key: s for s in (await store.range("/registry/", at=newest)).items}
        begin = {s.key: s for s in (await store.range("/registry/", at=oldest)).items}
        for key, event in {e.key: e for e in events if e.revision <= newest}.items():
            there = live.get(key)
            assert (there.revision if there else None) == (event.revision if event.type == "PUT" else None), key
        last = Revision(int(said.seen[-1][1])) if said.seen else start
        if oldest <= last < newest:
            watch = await store.watch("/registry/", last)
            assert (await anext(watch))[0].revision == last + 1, "a resumed watch has a gap"
            await watch.aclose()
        left = await wait_for_deaths(store, said, live, newest)
        reached = max((*said.told, start))
        counted = {
            "acknowledged": len(said.acknowledged),
            "watched": len(said.seen),
            "refused": len(said.refused),
            "went by themselves": deaths,
            "after the restart": left,
        }
        return counted, faults.Truth(events, oldest, Revision(reached), begin)
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


def check_refusals(said: Said, events: list[Event]) -> None:
    """No write is there that was refused; each was told why. (A deletion that was refused would be one nobody asked for.)"""
    there = {event.value[:40].decode() for event in events}
    for _, kind, key, value, *why in said.refused:
        assert faults.FULL in " ".join(why) or faults.IO_ERROR in " ".join(why), f"refused with {' '.join(why)}"
        assert kind == "DELETE" or value not in there, f"a write of {key} was refused and done"


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


def play(folder: Path, kind: str, seed: int) -> dict[str, int]:
    """One round. Raises AssertionError."""
    path = folder / kind.replace(" ", "-") / "store.db"
    trouble: faults.Limit | None = None
    if kind == "full disk":
        path = path.with_name(f"disk-{seed}") / path.name
        trouble = faults.SmallDisk(path, random.Random(seed))
    elif kind == "size limit":
        trouble = faults.Limit(path, random.Random(seed))
    start = asyncio.run(newest_revision(path))
    before = faults.copied(path, folder / f"before-{seed}")
    lines = kill_in_the_middle(path, seed, kind, trouble)
    said, counted = Said(lines), {kind: 1}
    assert trouble or not said.refused, f"refused without a reason: {' '.join(said.refused[0])}"
    if isinstance(trouble, faults.SmallDisk):
        counted["not opened while it was full"] = asyncio.run(faults.opens_or_says(path))
        trouble.grow()
    killed = faults.copied(path, folder / f"killed-{seed}")
    figures, truth = asyncio.run(check(path, said, start))
    counted.update(figures)
    if kind == "damage":
        counted.update(asyncio.run(play_damage(folder, before, killed, truth, random.Random(seed))))
    for done in (before, killed):
        rmtree(done.parent)
    if trouble is not None:
        trouble.close()
    return counted


async def play_damage(
    folder: Path, before: Path, killed: Path, truth: faults.Truth, rng: random.Random
) -> dict[str, int]:
    """Several damages to what the kill left; a snapshot of before the round heals one. Raises AssertionError."""
    counted: Counter[str] = Counter()
    for number in range(DAMAGES):
        path = faults.copied(killed, folder / f"damaged-{number}")
        what = faults.damage(path, before, rng)
        try:
            counted["damages found" if await faults.found_or_harmless(path, truth) else "damages without effect"] += 1
            if number == 0:
                await faults.heals(path, faults.copied(before, folder / "snapshot"), truth)
        except AssertionError as fault:
            raise AssertionError(f"{what}: {fault}") from None
        rmtree(path.parent)
    rmtree(folder / "snapshot")
    return counted


def main() -> int:
    """Rounds of kills and other faults; 1 at the first that loses something, with its seed, the files kept."""
    parser = arguments(__doc__)
    parser.add_argument("--kind", choices=KINDS, help="rounds of this kind alone")
    parser.add_argument("--child", metavar="PATH", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        asyncio.run(child(options.child, options.seed, options.kind))
        return 0
    kinds, flags = ([options.kind], f' --kind "{options.kind}"') if options.kind else ([*KINDS], "")
    if "full disk" in kinds and not faults.own_mounts():
        print("no round with a small file system: that needs root")
        kinds.remove("full disk")
    folder = Path(mkdtemp(prefix="pybernetes-soak-"))
    code = run_rounds("store", options, lambda seed: play(folder, kinds[seed % len(kinds)], seed), flags)
    if code == 1:
        print(f"its files are kept: {folder}", file=sys.stderr)
    else:
        rmtree(folder)
    return code


if __name__ == "__main__":
    sys.exit(main())
