"""Which keys of etcd share a lease: those that go at about the same time, and not too many."""

import asyncio
from typing import Any

from pybernetes.aio.simulation import run_simulated
from pybernetes.store._etcd_leases import REUSE_KEYS, Leases


class Granted:
    """etcd, as far as it grants leases."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    async def ask(self, method: object, request: Any, *, repeat: bool) -> Any:
        self.asked.append(request.TTL)

        class Answer:
            ID = len(self.asked)
            TTL = request.TTL

        return Answer


def test_a_key_never_goes_before_its_time_nor_long_after() -> None:
    async def scenario() -> tuple[list[int], list[int]]:
        etcd = Granted()
        leases, loop = Leases(etcd), asyncio.get_running_loop()  # type: ignore[arg-type]  # all it asks for
        given, until = [], dict[int, float]()
        for _ in range(100):
            lease = await leases.of(100.0)
            until.setdefault(lease, loop.time() + etcd.asked[-1])
            assert 0 <= until[lease] - (loop.time() + 100) <= 5
            given.append(lease)
            await asyncio.sleep(1)
        return given, etcd.asked

    given, asked = run_simulated(scenario())
    assert set(asked) == {105}
    assert len(set(given)) == 17, "one for each five seconds and its own"


def test_a_lease_has_no_more_keys_than_go_in_one_write() -> None:
    async def scenario() -> list[int]:
        leases = Leases(Granted())  # type: ignore[arg-type]  # all it asks for
        return [await leases.of(3600.0) for _ in range(REUSE_KEYS + 1)]

    given = run_simulated(scenario())
    assert (given.count(1), given.count(2)) == (REUSE_KEYS, 1)
