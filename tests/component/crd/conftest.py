"""A real API server on the memory store."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.component.crd.definitions import Api

from pybernetes.aio.clock import SystemClock
from pybernetes.apiserver.config import Config
from pybernetes.apiserver.server import ApiServer
from pybernetes.store.memory import MemoryStore


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    store = MemoryStore()
    server = ApiServer(Config(), store, SystemClock(seed=1))
    async with asyncio.TaskGroup() as group:
        running = group.create_task(server.run())
        await server.ready.wait()
        yield Api(server, store)
        running.cancel()
