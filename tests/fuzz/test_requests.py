"""Any request to any resource is answered or refused with words, leaves no half write, and what was written is read back.

The chance is that of tools/soak; hypothesis chooses the seeds, always the same ones.
"""

import asyncio
import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.component.api import serving
from tools.soak._oracles import Oracle
from tools.soak._requests import Requests
from tools.soak.api import send

from pybernetes.wire.http import Request, Response

_REQUESTS = 150


@given(st.integers(0, 2**32))
@settings(max_examples=10, derandomize=True, suppress_health_check=list(HealthCheck))
def test_no_request_is_a_fault_or_leaves_a_half_write(seed: int) -> None:
    asyncio.run(_sent(random.Random(seed)))


async def _sent(rng: random.Random) -> None:
    async with serving() as api:

        async def ask(request: Request) -> Response:
            return await send(api.server, request)

        oracle, source = Oracle(api.server, ask), Requests(rng, api.server.catalog)
        for _ in range(_REQUESTS):
            _, answer = await oracle.ask(source.next())
            if isinstance(answer, dict) and (answer.get("metadata") or {}).get("uid"):
                source.bodies.append(answer)
