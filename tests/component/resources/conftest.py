"""A real API server, and `api(verb, path, body)` that speaks to it as an administrator."""

from collections.abc import AsyncIterator

import pytest
from tests.component.api import STRATEGIC, Api, serving


class Strategic(Api):
    """Patches as kubectl does."""

    patch = STRATEGIC


@pytest.fixture
async def api() -> AsyncIterator[Strategic]:
    async with serving(Strategic) as made:
        yield made
