"""A real API server on the memory store."""

from collections.abc import AsyncIterator

import pytest
from tests.component.api import serving
from tests.component.crd.definitions import Api


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with serving(Api, account=False) as made:
        yield made
