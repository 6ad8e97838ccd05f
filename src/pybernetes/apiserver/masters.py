"""The API servers that share a store: each keeps a key there with a time to live. kubernetes_service.py shows them.

Upstream's lease reconciler: same keys, same times. A server that has a store to itself writes nothing: it is the only one.
"""

import orjson

from pybernetes.apiserver.storage import Storage, refusals
from pybernetes.store.protocol import KeyExists, Mismatch

PREFIX = "/registry/masterleases/"
LIFE_SECONDS = 15.0
"""A server that has not told of itself for so long is gone; it does so every ten (kubernetes_service.REPAIR_SECONDS)."""


async def announce(storage: Storage, address: str) -> None:
    """Tells that a server is there. Raises ApiError."""
    if not storage.store.shared:
        return
    key, store = PREFIX + address, storage.store
    value = orjson.dumps({"kind": "Endpoints", "apiVersion": "v1", "subsets": [{"addresses": [{"ip": address}]}]})
    with refusals():
        while True:
            current = await store.get(key)
            try:
                if current is None:
                    await store.create(key, value, ttl=LIFE_SECONDS)
                else:
                    await store.update(key, value, current.revision, ttl=LIFE_SECONDS)
            except (KeyExists, Mismatch):
                continue  # it has just gone, or another process has the same address
            return


async def withdraw(storage: Storage, address: str) -> None:
    """Tells that a server goes. Raises ApiError."""
    with refusals():
        current = await storage.store.get(PREFIX + address)
        if current is not None:
            try:
                await storage.store.delete(current.key, current.revision)
            except Mismatch:
                return  # another process has the same address


async def addresses(storage: Storage, own: str) -> list[str]:
    """Of all servers that are there, sorted; of this one alone where it shares its store with nobody. Raises ApiError."""
    if not storage.store.shared:
        return [own]
    with refusals():
        page = await storage.store.range(PREFIX)
    return sorted(stored.key.removeprefix(PREFIX) for stored in page.items)
