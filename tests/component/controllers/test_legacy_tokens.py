"""Tokens in Secrets that nobody uses any more: marked, then removed. The period is a day here, and time is virtual."""

import asyncio
from typing import Any

import pytest
from tests.component.controllers.world import World, simulated, world

from pybernetes.aio.simulation import SimulatedLoop
from pybernetes.api.errors import Forbidden
from pybernetes.api.types import core_v1
from pybernetes.controllers.runtime import Config
from pybernetes.controllers.serviceaccount_token import NAME, TYPE
from pybernetes.rules.legacytokens import INVALID_SINCE, LAST_USED, TRACKING, day_of

DAY = 86400
ONLY = ("serviceaccount", "legacy-service-account-token-cleaner")
PERIOD = Config(legacy_token_period=DAY)
SECRETS = "/api/v1/namespaces/default/secrets"
LONG_AGO = "2025-01-01"


async def prepared(w: World, *, since: str = LONG_AGO, named: bool = True, **secret: Any) -> None:
    """An account and a Secret of its, which it names where it was made for it."""
    await w.create(core_v1.ConfigMap, TRACKING, "kube-system", data={"since": since})
    refs = {"secrets": [{"name": "t"}]} if named else {}
    await w.create(core_v1.ServiceAccount, "robot", **refs)
    body = {"metadata": {"name": "t", "annotations": {NAME: "robot"}}, "type": TYPE, **secret}
    await w.client.raw("POST", SECRETS, body)


async def days(w: World, count: float) -> None:
    """Skips most of the time: what renews itself meanwhile does so once."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimulatedLoop)
    for _ in range(int(2 * count)):
        loop.advance(DAY / 2 - 30)
        await w.clock.sleep(30)


async def label(w: World, name: str = INVALID_SINCE) -> str | None:
    return (await w.get(core_v1.Secret, "t")).metadata.labels.get(name)


async def use(w: World, day: str) -> None:
    await w.patch(core_v1.Secret, "t", {"metadata": {"labels": {LAST_USED: day}}})


@simulated
async def test_an_unused_token_is_marked_after_one_period_and_removed_after_another():
    async with world(nodes=0, config=PERIOD, only=ONLY, accounts=True) as w:
        await prepared(w)
        await days(w, 1.5)
        assert await label(w) is None
        await days(w, 1)
        assert await label(w) == "2026-01-03"
        await days(w, 1)
        assert await label(w) == "2026-01-03"
        await days(w, 1)
        assert not await w.there(core_v1.Secret, "t")


@simulated
async def test_nothing_is_marked_before_uses_have_been_noted_for_a_period():
    async with world(nodes=0, config=PERIOD, only=ONLY) as w:
        await prepared(w, since="2026-01-02")
        await days(w, 2.5)
        assert await label(w) is None
        await days(w, 1)
        assert await label(w) == "2026-01-04"


@simulated
async def test_a_token_that_is_used_stays():
    async with world(nodes=0, config=PERIOD, only=ONLY) as w:
        await prepared(w)
        for _ in range(5):
            await use(w, day_of(w.clock.now()))
            await days(w, 1)
            assert await label(w) is None


@simulated
async def test_a_marked_token_that_somebody_tries_to_use_is_not_removed():
    async with world(nodes=0, config=PERIOD, only=ONLY) as w:
        await prepared(w)
        await days(w, 2.5)
        for _ in range(3):
            await use(w, day_of(w.clock.now()))
            await days(w, 1)
        assert await label(w) == "2026-01-03"


@simulated
async def test_a_token_that_a_pod_mounts_stays():
    async with world(nodes=0, config=PERIOD, only=ONLY) as w:
        await prepared(w)
        spec = {
            "containers": [{"name": "c", "image": "one"}],
            "volumes": [{"name": "v", "projected": {"sources": [{"secret": {"name": "t"}}]}}],
        }
        await w.create(core_v1.Pod, "user", spec=spec)
        await days(w, 2.5)
        assert await label(w) is None
        await w.delete(core_v1.Pod, "user", grace=0)
        await days(w, 1)
        assert await label(w) == "2026-01-04"


@pytest.mark.parametrize("other", [{"named": False}, {"type": "Opaque"}], ids=["made by hand", "no token"])
def test_what_was_not_made_for_an_account_stays(other: dict[str, Any]):
    @simulated
    async def play() -> None:
        async with world(nodes=0, config=PERIOD, only=ONLY) as w:
            await prepared(w, **other)
            await days(w, 4.5)
            assert await label(w) is None

    play()


@simulated
async def test_a_last_use_that_cannot_be_read_may_be_today():
    async with world(nodes=0, config=PERIOD, only=ONLY) as w:
        await prepared(w)
        await use(w, "2025-1-1")
        await days(w, 2.5)
        assert await label(w) is None


@simulated
async def test_a_mark_that_cannot_be_read_is_made_anew():
    async with world(nodes=0, config=PERIOD, only=ONLY) as w:
        await prepared(w)
        await w.patch(core_v1.Secret, "t", {"metadata": {"labels": {INVALID_SINCE: "yes"}}})
        await days(w, 2.5)
        assert await label(w) == "2026-01-03"


@simulated
async def test_a_day_that_cannot_be_read_or_none_at_all_removes_nothing():
    async with world(nodes=0, config=PERIOD, only=ONLY) as w:
        await prepared(w, since="soon")
        await days(w, 1.5)
        await w.delete(core_v1.ConfigMap, TRACKING, "kube-system")
        await days(w, 1)
        assert await label(w) is None


@simulated
async def test_a_refusal_is_met_again_the_next_day_only():
    async with world(nodes=0, config=PERIOD, only=ONLY) as w:
        await prepared(w)
        w.wire.refuse = lambda request: Forbidden("no") if request.method == "PATCH" else None
        await days(w, 3.5)
        assert [write for write in w.wire.writes if "/secrets/t" in write] == [f"PATCH {SECRETS}/t"] * 2
        assert await label(w) is None


@simulated
async def test_a_look_costs_no_request_where_no_account_names_a_secret():
    async with world(nodes=0, config=PERIOD, only=ONLY) as w:
        await prepared(w, named=False)
        asked = []
        w.wire.refuse = lambda request: asked.append(request.path)  # type: ignore[func-returns-value]
        await days(w, 2.5)
        assert [path for path in asked if "/secrets" in path or TRACKING in path] == []
