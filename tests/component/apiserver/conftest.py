"""A real API server: `api` speaks to its pipeline as a cluster administrator."""

from collections.abc import AsyncIterator, Callable

import pytest
from tests.component.api import Api, serving

from pybernetes.apiserver.server import ApiServer


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with serving(bootstrap_tokens=True) as made:
        yield made


@pytest.fixture
def make_api() -> Callable[[ApiServer], Api]:
    """Api of a server that the test has made itself."""
    return Api
