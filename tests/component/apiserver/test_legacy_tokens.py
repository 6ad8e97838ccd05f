"""Tokens that live in Secrets: their uses are noted, and marked ones are refused (KEP-2799)."""

import asyncio
import base64
from typing import Any

from pybernetes.aio.simulation import SimulatedLoop
from pybernetes.api.errors import NotFound
from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1
from pybernetes.apiserver.config import Config
from pybernetes.apiserver.legacy_tokens import LOOK_SECONDS
from pybernetes.controllers.serviceaccount_token import NAME, TYPE
from pybernetes.rules.legacytokens import INVALID_SINCE, LAST_USED, TRACKING
from pybernetes.testing import Cluster
from pybernetes.testing.virtual import simulated
from pybernetes.wire.http import Headers, Request

SECRETS = "/api/v1/namespaces/default/secrets"
WHERE = Key("kube-system", TRACKING)
KEPT = 11
"""Seconds after which the server has forgotten whose a token is."""
MARKED = (
    "[invalid bearer token, the token in secret default/t for service account default/robot has been marked invalid. "
    "Use tokens from the TokenRequest API or manually created secret-based tokens, or remove the "
    "'kubernetes.io/legacy-token-invalid-since' label from the secret to temporarily allow use of this token]"
)


async def token_of(cluster: Cluster) -> str:
    client = cluster.client()
    await client.raw("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "robot"}})
    body = {"metadata": {"name": "t", "annotations": {NAME: "robot"}}, "type": TYPE}
    await client.raw("POST", SECRETS, body)
    await cluster.advance(seconds=2)
    secret = await client.raw("GET", f"{SECRETS}/t")
    return base64.b64decode(secret["data"]["token"]).decode()


async def review(cluster: Cluster, token: str) -> dict[str, Any]:
    body = {"spec": {"token": token}}
    return dict((await cluster.client().raw("POST", "/apis/authentication.k8s.io/v1/tokenreviews", body))["status"])


async def secret(cluster: Cluster) -> dict[str, Any]:
    return dict(await cluster.client().raw("GET", f"{SECRETS}/t"))


async def mark(cluster: Cluster, value: str | None) -> None:
    body = {"metadata": {"labels": {INVALID_SINCE: value}}}
    await cluster.client().of(core_v1.Secret).patch_raw(Key("default", "t"), body)
    await cluster.advance(seconds=KEPT)


async def code_of(cluster: Cluster, token: str) -> int:
    """Of a request with the token itself."""
    request = Request("GET", "/api", Headers([("authorization", f"Bearer {token}")]))
    return (await cluster.running.plane.handler(request)).status


async def tracking(cluster: Cluster) -> core_v1.ConfigMap | None:
    try:
        return await cluster.client().of(core_v1.ConfigMap).get(WHERE)
    except NotFound:
        return None


@simulated
async def test_the_day_of_the_last_use_is_noted_once_a_day():
    async with Cluster(nodes=0) as cluster:
        token = await token_of(cluster)
        assert "labels" not in (await secret(cluster))["metadata"]
        assert (await review(cluster, token))["authenticated"]
        first = await secret(cluster)
        assert first["metadata"]["labels"] == {LAST_USED: "2026-01-01"}
        assert (await review(cluster, token))["authenticated"]
        assert await secret(cluster) == first
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimulatedLoop)
        loop.advance(86400)
        await cluster.advance(seconds=KEPT)
        assert await code_of(cluster, token) == 200
        assert (await secret(cluster))["metadata"]["labels"] == {LAST_USED: "2026-01-02"}


@simulated
async def test_a_day_ahead_by_another_servers_clock_stays():
    async with Cluster(nodes=0) as cluster:
        token = await token_of(cluster)
        ahead = {"metadata": {"labels": {LAST_USED: "2026-01-02"}}}
        await cluster.client().of(core_v1.Secret).patch_raw(Key("default", "t"), ahead)
        assert (await review(cluster, token))["authenticated"]
        assert (await secret(cluster))["metadata"]["labels"] == {LAST_USED: "2026-01-02"}


@simulated
async def test_a_marked_token_is_refused_and_says_why_until_the_label_is_taken_away():
    async with Cluster(nodes=0) as cluster:
        token = await token_of(cluster)
        assert await code_of(cluster, token) == 200
        await mark(cluster, "2026-01-01")
        assert await code_of(cluster, token) == 401
        assert await review(cluster, token) == {"user": {}, "error": MARKED}
        await mark(cluster, None)
        assert await code_of(cluster, token) == 200
        assert (await review(cluster, token))["authenticated"]


@simulated
async def test_the_use_of_a_marked_token_is_noted_too():
    async with Cluster(nodes=0) as cluster:
        token = await token_of(cluster)
        await mark(cluster, "2026-01-01")
        assert await code_of(cluster, token) == 401
        assert (await secret(cluster))["metadata"]["labels"][LAST_USED] == "2026-01-01"


@simulated
async def test_a_server_that_tracks_says_since_when_and_keeps_that():
    async with Cluster(nodes=0, controllers=(), api=Config(legacy_token_tracking=True)) as cluster:
        await cluster.advance(seconds=1)
        found = await tracking(cluster)
        assert found is not None
        assert found.data == {"since": "2026-01-01"}
        maps = cluster.client().of(core_v1.ConfigMap)
        await maps.patch_raw(WHERE, {"data": {"since": "2025-05-05"}})
        await cluster.advance(seconds=LOOK_SECONDS)
        kept = await tracking(cluster)
        assert kept is not None
        assert kept.data == {"since": "2025-05-05"}
        await maps.patch_raw(WHERE, {"data": {"since": "yesterday", "own": "x"}})
        await cluster.advance(seconds=LOOK_SECONDS)
        mended = await tracking(cluster)
        assert mended is not None
        assert mended.data == {"since": "2026-01-01", "own": "x"}
        await maps.delete(WHERE)
        await cluster.advance(seconds=LOOK_SECONDS)
        assert await tracking(cluster) is not None


@simulated
async def test_a_server_that_was_not_told_to_track_makes_no_object():
    async with Cluster(nodes=0, controllers=()) as cluster:
        await cluster.advance(seconds=60)
        assert await tracking(cluster) is None
