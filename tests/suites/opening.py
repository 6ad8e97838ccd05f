"""The stores there are, and how a test gets an empty one of each."""

from collections.abc import Awaitable, Callable
from functools import partial
from itertools import count
from pathlib import Path

import pytest
from tests.etcd_servers import Servers, needs_etcd

from pybernetes.store import factory, names
from pybernetes.store.protocol import Store

STORES = [pytest.param(name, marks=needs_etcd) if name == "etcd" else name for name in names()]
_NUMBERS = count(1)


def new_store(name: str, folder: str | Path, servers: Callable[[], Servers]) -> Awaitable[Store]:
    """An empty one: of etcd a part that nobody else has, whose revisions go on where others have stopped."""
    return opener(name, folder, servers)()


def opener(name: str, folder: str | Path, servers: Callable[[], Servers]) -> Callable[[], Awaitable[Store]]:
    """Opens an empty one, and the same one again each time after (of memory another one)."""
    location = servers().location(root="", prefix=f"/{next(_NUMBERS)}") if name == "etcd" else f"{folder}/store"
    return partial(factory(name).open, location)
