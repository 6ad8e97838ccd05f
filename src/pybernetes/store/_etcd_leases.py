"""Leases: how keys of etcd go after a while. One lease serves many keys that go at about the same time."""

import asyncio
import math

from msgspec import Struct

from pybernetes.store._etcd_client import Client, Refused
from pybernetes.store._etcd_messages import LEASE_GRANT, LeaseGrantRequest
from pybernetes.store.protocol import Unavailable

REUSE_SECONDS = 60.0
"""Keys may stay this much longer than they were told, so that they share a lease; at most a twentieth of their time."""
REUSE_PART = 0.05
REUSE_KEYS = 1000
"""Keys of one lease (upstream's leaseMaxObjectCount): they go in one write of etcd."""


class _Lease(Struct):
    id: int
    until: float
    """Time of the loop."""
    keys: int = 0


class Leases:
    """The leases of one store."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._newest: dict[float, _Lease] = {}
        self._granting = asyncio.Lock()

    async def of(self, ttl: float) -> int:
        """A lease for a key that is to go in `ttl` seconds or a little later. Raises Unavailable."""
        async with self._granting:
            now = asyncio.get_running_loop().time()
            lease = self._newest.get(ttl)
            if lease is None or lease.until < now + ttl or lease.keys >= REUSE_KEYS:
                seconds = math.ceil(ttl + min(REUSE_SECONDS, ttl * REUSE_PART))
                # Granted twice by mistake, one of them has no keys and goes by itself.
                try:
                    answer = await self._client.ask(LEASE_GRANT, LeaseGrantRequest(TTL=seconds), repeat=True)
                except Refused as refused:
                    raise Unavailable(refused.explained()) from None
                lease = self._newest[ttl] = _Lease(answer.ID, now + answer.TTL)
            lease.keys += 1
            return lease.id

    def forget(self) -> None:
        """etcd does not know a lease any more: new ones are taken."""
        self._newest.clear()
