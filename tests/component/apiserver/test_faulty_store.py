"""What clients are told when the store fails: whether they may simply try again."""

import pytest
from tests.component.api import serving

from pybernetes.store.memory import MemoryStore
from pybernetes.store.protocol import OutcomeUnknown, StoreError, TooLarge, Unavailable

MAPS = "/api/v1/namespaces/default/configmaps"


class Faulty(MemoryStore):
    """Fails as it is told."""

    fault: StoreError | None = None

    async def create(self, *words, **more):
        return await self._unless(super().create(*words, **more))

    async def update(self, *words, **more):
        return await self._unless(super().update(*words, **more))

    async def delete(self, *words, **more):
        return await self._unless(super().delete(*words, **more))

    async def _unless(self, write):
        if self.fault is not None:
            write.close()
            raise self.fault
        return await write


@pytest.mark.parametrize(
    ("fault", "code", "reason", "retry"),
    [
        (Unavailable("no leader"), 503, "ServiceUnavailable", "1"),
        (OutcomeUnknown("no answer"), 504, "Timeout", ""),
        (TooLarge("2 MB"), 413, "RequestEntityTooLarge", ""),
    ],
)
async def test_only_a_write_that_was_not_done_may_be_repeated_by_itself(fault, code, reason, retry):
    store = Faulty()
    async with serving(store=store) as api:
        old = await api.made(MAPS, {"metadata": {"name": "a"}})
        store.fault = fault
        for method, path, body in (
            ("POST", MAPS, {"metadata": {"name": "b"}}),
            ("PUT", f"{MAPS}/a", {**old, "data": {"x": "1"}}),
            ("PATCH", f"{MAPS}/a", {"data": {"x": "1"}}),
            ("DELETE", f"{MAPS}/a", None),
        ):
            status, answer = await api(method, path, body)
            assert (status, answer["reason"]) == (code, reason), method
            assert str(fault) in answer["message"]
            response = await api.send(method, path, body)
            assert response.headers.get("retry-after") == retry
        store.fault = None
        assert await api.ok("GET", f"{MAPS}/a") == old
