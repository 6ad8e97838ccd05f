"""Soak of the etcd store: two stores write on one etcd of three members while these are killed, paused, cut off and compacted.

`python -m tools.soak.etcd --rounds N`. In each round two faults befall members, half of them the leader, never so that no
majority is left for good. One store begins at the leader, the other elsewhere. Afterwards every acknowledged write must
be there, no refused one, both watches must have told of every revision once and in order, and no read in between was
behind what anybody had been told. Needs Debian's etcd-server.
"""

import asyncio
import random
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from tests.etcd_load import PREFIX, Load, check, never_behind, read_to
from tests.etcd_servers import BINARY, Member, Servers, etcd

from pybernetes.store.etcd import open_etcd
from tools.soak._rounds import arguments, run_rounds

Struck = Callable[[Servers, Sequence[Member]], None]


def _kill(servers: Servers, struck: Sequence[Member]) -> None:
    for member in struck:
        member.kill()


def _start(servers: Servers, struck: Sequence[Member]) -> None:
    for member in struck:
        member.start()


def _pause(servers: Servers, struck: Sequence[Member]) -> None:
    for member in struck:
        member.pause(on=True)


def _resume(servers: Servers, struck: Sequence[Member]) -> None:
    for member in struck:
        member.pause(on=False)


def _cut(servers: Servers, struck: Sequence[Member]) -> None:
    """Clients still reach all: one that asks the old leader must not be told what is not true any more."""
    assert servers.links is not None
    servers.links.cut(member.peer_port for member in struck)


def _mend(servers: Servers, struck: Sequence[Member]) -> None:
    assert servers.links is not None
    servers.links.mend()


FAULTS: Mapping[str, tuple[Struck, Struck]] = {
    "kill": (_kill, _start),
    "pause": (_pause, _resume),
    "cut off": (_cut, _mend),
}
"""How each begins and ends."""
KINDS = (
    "kill the leader", "pause the leader", "cut off the leader", "kill the leader", "cut off the leader",
    "kill one", "kill two", "kill three", "pause one", "cut off one",
)  # fmt: skip
_COUNTS = {"one": 1, "two": 2, "three": 3}
LONGEST = 6.0
"""Seconds of a fault; a leader is elected in one or two."""


async def trouble(servers: Servers, kind: str, rng: random.Random) -> None:
    """One fault, and its end."""
    how, _, who = kind.rpartition(" ")
    if who == "leader":
        how, members = how.removesuffix(" the"), [await asyncio.to_thread(servers.leader)]
    else:
        members = rng.sample(servers.members, _COUNTS[who])
    begin, end = FAULTS[how]
    begin(servers, members)
    await asyncio.sleep(rng.uniform(0, LONGEST))
    end(servers, members)
    await asyncio.to_thread(servers.ready)


async def one_round(servers: Servers, seed: int, kinds: Sequence[str]) -> dict[str, int]:
    """Raises AssertionError; returns figures."""
    rng = random.Random(seed)
    first = await asyncio.to_thread(servers.leader)
    others = [member for member in servers.members if member is not first]
    stores = [await open_etcd(servers.location(members=order)) for order in ([first, *others], [*others, first])]
    counted: Counter[str] = Counter()
    try:
        begin = await stores[0].revision()
        watches = [await store.watch("", begin) for store in stores]
        loads = [Load(store, seed=rng.randrange(1 << 30), name=f"{seed}-{n}-") for n, store in enumerate(stores)]
        readers = [asyncio.create_task(never_behind(store, loads)) for store in stores]
        for _ in range(2):
            kind = rng.choice(kinds)
            counted[kind] += 1
            await trouble(servers, kind, rng)
            for load in loads:
                await load.more(50)
        for load in loads:
            await load.end()
        for reader in readers:
            assert not reader.done(), reader.exception()
            reader.cancel()
        newest = max([await store.revision() for store in stores])
        for store, watch in zip(stores, watches, strict=True):
            await check(store, loads, await read_to(watch, newest))
        for stored in (await stores[0].range(PREFIX)).items:
            newest = await stores[0].delete(stored.key, stored.revision)
        await stores[1].compact(newest)
    finally:
        for store in stores:
            await store.close()
    counted["acknowledged"] = sum(load.acknowledged for load in loads)
    counted["unknown"] = sum(len(load.maybe) for load in loads)
    counted["refused"] = sum(load.refused for load in loads)
    return counted


def main() -> int:
    """Rounds of faults; 1 at the first that loses something, with its seed."""
    parser = arguments(__doc__)
    parser.add_argument("--kind", choices=sorted(set(KINDS)), help="faults of this kind alone")
    options = parser.parse_args()
    if BINARY is None:
        print("etcd is not installed: apt-get install etcd-server etcd-client", file=sys.stderr)
        return 1
    kinds, flags = ([options.kind], f' --kind "{options.kind}"') if options.kind else (KINDS, "")
    with etcd(3, links=True) as servers, asyncio.Runner() as runner:
        return run_rounds("etcd", options, lambda seed: runner.run(one_round(servers, seed, kinds)), flags)


if __name__ == "__main__":
    sys.exit(main())
