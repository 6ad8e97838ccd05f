"""Soak of the etcd store: two stores write on one etcd of three members while these are killed, paused and compacted.

`python -m tools.soak.etcd --rounds N`. In each round members fail at random, never so many that no majority is left for
good. Afterwards every acknowledged write must be there, no refused one, and both watches must have told of every
revision once and in order. Needs Debian's etcd-server.
"""

import argparse
import asyncio
import random
import sys

from tests.etcd_load import PREFIX, Load, check, read_to
from tests.etcd_servers import BINARY, Member, Servers, etcd

from pybernetes.store.etcd import open_etcd
from pybernetes.store.protocol import Store


async def trouble(servers: Servers, store: Store, rng: random.Random) -> str:
    """One fault, and its end; its name."""
    kind = rng.choice(["kill one", "kill the leader", "kill two", "kill all", "pause one", "pause the leader"])
    members: list[Member] = [rng.choice(servers.members)]
    if "leader" in kind:
        members = [await asyncio.to_thread(servers.leader)]
    elif kind == "kill two":
        members = rng.sample(servers.members, 2)
    elif kind == "kill all":
        members = list(servers.members)
    for member in members:
        if kind.startswith("kill"):
            member.kill()
        else:
            member.pause(on=True)
    await asyncio.sleep(rng.uniform(0, 6))
    for member in members:
        if kind.startswith("kill"):
            member.start()
        else:
            member.pause(on=False)
    await asyncio.to_thread(servers.ready)
    return kind


async def one_round(servers: Servers, rng: random.Random, number: int) -> str:
    """Raises AssertionError; returns figures."""
    stores = [await open_etcd(servers.location()) for _ in range(2)]
    try:
        begin = await stores[0].revision()
        watches = [await store.watch("", begin) for store in stores]
        loads = [Load(store, seed=rng.randrange(1 << 30), name=f"{number}-{n}-") for n, store in enumerate(stores)]
        kinds = []
        for _ in range(2):
            kinds.append(await trouble(servers, stores[0], rng))
            for load in loads:
                await load.more(50)
        for load in loads:
            await load.end()
        newest = max([await store.revision() for store in stores])
        for store, watch in zip(stores, watches, strict=True):
            await check(store, loads, await read_to(watch, newest))
        for stored in (await stores[0].range(PREFIX)).items:
            newest = await stores[0].delete(stored.key, stored.revision)
        await stores[1].compact(newest)
        acknowledged, unknown = sum(load.acknowledged for load in loads), sum(len(load.maybe) for load in loads)
        refused = sum(load.refused for load in loads)
        return f"{', '.join(kinds)}: {acknowledged} acknowledged, {unknown} unknown, {refused} refused"
    finally:
        for store in stores:
            await store.close()


def main() -> int:
    """Rounds of faults; 1 at the first that loses something, with the seed that shows it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if BINARY is None:
        print("etcd is not installed: apt-get install etcd-server etcd-client", file=sys.stderr)
        return 1
    rng = random.Random(options.seed)
    with etcd(3) as servers:
        for number in range(1, options.rounds + 1):
            try:
                figures = asyncio.run(one_round(servers, rng, number))
            except (AssertionError, TimeoutError) as fault:
                print(f"round {number} of seed {options.seed}: {fault!r}", file=sys.stderr)
                return 1
            print(f"etcd round {number}/{options.rounds}: {figures}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
