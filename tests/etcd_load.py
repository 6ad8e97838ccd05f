"""Writers on a store under faults: what they were told, compared with what is there and with what a watch has told."""

import asyncio
import random
from collections.abc import Sequence
from contextlib import suppress

from pybernetes.store.protocol import Event, OutcomeUnknown, Revision, Store, Unavailable, Watch

PREFIX = "/registry/load/"


async def read_to(watch: Watch, revision: Revision) -> list[Event]:
    """All events up to a revision."""
    events: list[Event] = []
    async with asyncio.timeout(20):
        while not events or events[-1].revision < revision:
            events.extend(await anext(watch))
    return events


class Load:
    """Each writer creates keys of its own, and updates and deletes some of them, until end()."""

    def __init__(self, store: Store, *, writers: int = 8, size: int = 400, seed: int = 0, name: str = "") -> None:
        self._store = store
        self._size = size
        self._random = random.Random(seed)
        self._name = name
        self.state: dict[str, bytes | None] = {}
        """What was acknowledged last of each key; None: deleted, or never made."""
        self.maybe: dict[str, bytes | None] = {}
        """What a write of unknown outcome would have made of it."""
        self.refused = self.acknowledged = 0
        self.revision = Revision(0)
        """The newest that was acknowledged."""
        self._stop = False
        self._tasks = [asyncio.ensure_future(self._write(worker)) for worker in range(writers)]

    async def _write(self, worker: int) -> None:
        number = 0
        while not self._stop:
            number += 1
            await self._live(f"{PREFIX}{self._name}{worker}-{number}")

    async def _live(self, key: str) -> None:
        """The life of one key; it is left alone once a write has failed."""
        revision, wanted = None, None
        self.state[key] = None
        try:
            for turn in range(self._random.randrange(1, 4)):
                wanted = f"{turn}".encode() + b"x" * self._size
                if revision is None:
                    revision = await self._store.create(key, wanted)
                else:
                    revision = await self._store.update(key, wanted, revision)
                self._told(key, wanted, revision)
            if self._random.random() < 0.3:
                wanted = None
                self._told(key, wanted, await self._store.delete(key, revision or Revision(0)))
        except OutcomeUnknown:
            self.maybe[key] = wanted
        except Unavailable:
            self.refused += 1

    def _told(self, key: str, value: bytes | None, revision: Revision) -> None:
        self.state[key] = value
        self.revision = max(self.revision, revision)
        self.acknowledged += 1

    async def more(self, count: int = 100) -> None:
        """Until so many more are acknowledged."""
        wanted = self.acknowledged + count
        async with asyncio.timeout(40):
            while self.acknowledged < wanted:
                await asyncio.sleep(0.01)

    async def end(self) -> None:
        """Writes no more."""
        self._stop = True
        await asyncio.gather(*self._tasks)


async def never_behind(store: Store, loads: Sequence[Load]) -> None:
    """Reads for ever: each answer has all that anybody was told of before it was asked for."""
    while True:
        told = max(load.revision for load in loads)
        with suppress(Unavailable):
            assert await store.revision() >= told, f"a revision before {told}, which was acknowledged"
            told = max(load.revision for load in loads)
            found = await store.range(PREFIX, limit=1)
            assert found.revision >= told, f"a list at {found.revision}, {told} was acknowledged"
        await asyncio.sleep(0.001)


async def check(store: Store, loads: Sequence[Load], events: Sequence[Event]) -> None:
    """What was acknowledged is there, what was refused is not, and each revision was told of once, in order."""
    there = {stored.key: stored for stored in (await store.range(PREFIX)).items}
    for load in loads:
        for key, value in load.state.items():
            found = there[key].value if key in there else None
            assert found == value or (key in load.maybe and found == load.maybe[key]), (
                f"{key} is not what was acknowledged"
            )
    assert there.keys() <= {key for load in loads for key in load.state}
    revisions = [event.revision for event in events]
    assert revisions == list(range(revisions[0], revisions[0] + len(revisions))), "the watch has a gap or a double"
    told: dict[str, bytes] = {}
    for event in events:
        if event.type == "PUT":
            told[event.key] = event.value
        else:
            assert event.previous is not None
            assert told.pop(event.key) == event.previous.value, "a deletion without its last value"
    assert told == {key: stored.value for key, stored in there.items()}, "the watch told of another state"
