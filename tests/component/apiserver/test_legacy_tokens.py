"""Tokens that live in Secrets: their uses are noted, and marked ones are refused (KEP-2799)."""

import asyncio
import base64
import json
from typing import Any

import pytest
from tests.exposition import read

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
from pybernetes.wire.pki.jwks import algorithm, key_id, signed
from pybernetes.wire.pki.keys import new_rsa_key

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


USE_OTHERS = (
    '299 - "Use tokens from the TokenRequest API or manually created secret-based tokens instead of auto-generated '
    'secret-based tokens."'
)


async def told(cluster: Cluster, token: str, target: str = "/api") -> list[str]:
    """The warnings of a request with the token."""
    request = Request("GET", target, Headers([("authorization", f"Bearer {token}")]))
    return list((await cluster.running.plane.handler(request)).headers.all("warning"))


async def counted(cluster: Cluster) -> dict[str, float]:
    text = await cluster.client().send("GET", "/metrics")
    assert isinstance(text.body, bytes)
    found = read(text.body.decode())
    return {
        name.removeprefix("serviceaccount_"): family.series[name, ()]
        for name, family in found.items()
        if name.startswith("serviceaccount_")
    }


NONE = dict.fromkeys(
    (
        *(
            "legacy_tokens_total",
            "stale_tokens_total",
            "legacy_manual_token_uses_total",
            "legacy_auto_token_uses_total",
        ),
        *("invalid_legacy_auto_token_uses_total", "valid_tokens_total"),
    ),
    0,
)


async def name_it(cluster: Cluster) -> None:
    """The account names the Secret, as accounts did whose tokens were made for them."""
    refs = {"secrets": [{"name": "t"}]}
    await cluster.client().of(core_v1.ServiceAccount).patch_raw(Key("default", "robot"), refs)


@simulated
async def test_whoever_uses_a_token_that_was_made_for_an_account_is_warned():
    async with Cluster(nodes=0) as cluster:
        token = await token_of(cluster)
        await name_it(cluster)
        assert await told(cluster, token) == [USE_OTHERS]
        assert await told(cluster, token) == [USE_OTHERS]
        assert await told(cluster, token, "/api/v1/namespaces/default/pods") == [USE_OTHERS]
        assert await counted(cluster) == NONE | {"legacy_tokens_total": 1, "legacy_auto_token_uses_total": 1}


@simulated
async def test_whoever_uses_a_token_that_somebody_asked_for_is_not():
    async with Cluster(nodes=0) as cluster:
        assert await counted(cluster) == NONE
        token = await token_of(cluster)
        assert await told(cluster, token) == []
        assert await counted(cluster) == NONE | {"legacy_tokens_total": 1, "legacy_manual_token_uses_total": 1}


@simulated
async def test_who_reviews_a_token_is_not_warned_of_it():
    async with Cluster(nodes=0) as cluster:
        token = await token_of(cluster)
        await name_it(cluster)
        where, body = "/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": token}}
        response = await cluster.client().send("POST", where, json.dumps(body).encode())
        assert list(response.headers.all("warning")) == []


@simulated
async def test_the_use_of_a_marked_token_is_counted():
    async with Cluster(nodes=0) as cluster:
        token = await token_of(cluster)
        await mark(cluster, "2026-01-01")
        assert (await review(cluster, token))["error"] == MARKED
        assert await counted(cluster) == NONE | {"legacy_tokens_total": 1, "invalid_legacy_auto_token_uses_total": 1}


async def error_of(cluster: Cluster, token: str) -> str:
    why = str((await review(cluster, token))["error"])
    return why.removeprefix("[invalid bearer token, ").removesuffix("]")


@simulated
async def test_a_token_dies_with_its_account_at_once():
    async with Cluster(nodes=0, controllers=("serviceaccount-token",)) as cluster:
        token = await token_of(cluster)
        accounts, where = cluster.client().of(core_v1.ServiceAccount), Key("default", "robot")
        await accounts.patch_raw(where, {"metadata": {"finalizers": ["example.com/wait"]}})
        await accounts.delete(where)
        assert await error_of(cluster, token) == "ServiceAccount default/robot has been deleted"


LEGACY = {
    "iss": "kubernetes/serviceaccount",
    "sub": "system:serviceaccount:default:robot",
    "kubernetes.io/serviceaccount/namespace": "default",
    "kubernetes.io/serviceaccount/secret.name": "t",
    "kubernetes.io/serviceaccount/service-account.name": "robot",
    "kubernetes.io/serviceaccount/service-account.uid": "1",
}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"sub": None}, "sub claim is missing"),
        ({"kubernetes.io/serviceaccount/namespace": None}, "namespace claim is missing"),
        ({"kubernetes.io/serviceaccount/secret.name": None}, "secretName claim is missing"),
        ({"kubernetes.io/serviceaccount/service-account.name": None}, "serviceAccountName claim is missing"),
        ({"kubernetes.io/serviceaccount/service-account.uid": None}, "serviceAccountUID claim is missing"),
        ({"sub": "system:serviceaccount:default:else"}, "sub claim is invalid"),
        ({}, "Token has been invalidated"),
    ],
)
def test_a_token_in_a_secret_says_all_that_it_has_to(change: dict[str, str | None], why: str) -> None:
    @simulated
    async def play() -> None:
        key = new_rsa_key()
        async with Cluster(nodes=0, controllers=(), api=Config(signing_key=key)) as cluster:
            claims = {name: value for name, value in {**LEGACY, **change}.items() if value is not None}
            public = key.public_key()
            token = signed(claims, key, {"alg": algorithm(public), "kid": key_id(public)})
            assert await error_of(cluster, token) == why

    play()
