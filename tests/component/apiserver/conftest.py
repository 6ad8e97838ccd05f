"""A real API server: `api` speaks to its pipeline as a cluster administrator."""

from collections.abc import AsyncIterator

import pytest
from tests.component.api import Api, serving


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with serving(bootstrap_tokens=True) as made:
        yield made
