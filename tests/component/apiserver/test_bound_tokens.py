"""Tokens of the TokenRequest API: what ends them, in upstream's words, and how their uses are counted (KEP-1205, KEP-2907).
Rows of upstream's pkg/serviceaccount/claims_test.go.
"""

from typing import Any

from tests.exposition import read

from pybernetes.testing import Cluster
from pybernetes.testing.virtual import simulated

CORE = "/api/v1/namespaces/default"
POD = {"spec": {"containers": [{"name": "c", "image": "i"}]}}
KEPT = 11
"""Seconds after which the server has forgotten whose a token is."""


async def make(cluster: Cluster, plural: str, name: str, **body: Any) -> str:
    made = await cluster.client().raw("POST", f"{CORE}/{plural}", {"metadata": {"name": name}, **body})
    return str(made["metadata"]["uid"])


async def token_of(cluster: Cluster, bound: str = "", kind: str = "Pod", **spec: Any) -> str:
    if bound:
        spec["boundObjectRef"] = {"kind": kind, "apiVersion": "v1", "name": bound}
    made = await cluster.client().raw("POST", f"{CORE}/serviceaccounts/default/token", {"spec": spec})
    return str(made["status"]["token"])


async def error_of(cluster: Cluster, token: str) -> str:
    body = {"spec": {"token": token}}
    status = (await cluster.client().raw("POST", "/apis/authentication.k8s.io/v1/tokenreviews", body))["status"]
    return str(status.get("error") or "").removeprefix("[invalid bearer token, ").removesuffix("]")


async def counted(cluster: Cluster) -> tuple[float, float]:
    """Uses of tokens in time, and of stale ones."""
    answer = await cluster.client().send("GET", "/metrics")
    assert isinstance(answer.body, bytes)
    found = read(answer.body.decode())
    names = ("serviceaccount_valid_tokens_total", "serviceaccount_stale_tokens_total")
    valid, stale = (found[name].series[name, ()] for name in names)
    return valid, stale


@simulated
async def test_a_token_that_its_pod_has_not_read_anew_counts_as_stale():
    async with Cluster(nodes=0) as cluster:
        await make(cluster, "pods", "p", **POD)
        token, plain = await token_of(cluster, "p", expirationSeconds=3607), await token_of(cluster)
        assert [await error_of(cluster, token), await error_of(cluster, plain)] == ["", ""]
        assert await counted(cluster) == (1, 0)
        await cluster.advance(seconds=3600)
        assert await error_of(cluster, token) == ""
        assert await counted(cluster) == (2, 0)
        await cluster.advance(seconds=60)
        assert await error_of(cluster, token) == ""
        assert await counted(cluster) == (2, 1)


@simulated
async def test_a_token_ends_with_its_pod():
    async with Cluster(nodes=0) as cluster:
        old = await make(cluster, "pods", "p", **POD)
        token = await token_of(cluster, "p")
        assert await error_of(cluster, token) == ""
        await cluster.client().raw("DELETE", f"{CORE}/pods/p", {"gracePeriodSeconds": 0})
        assert await error_of(cluster, token) == "service account token has been invalidated"
        new = await make(cluster, "pods", "p", **POD)
        wanted = f"pod UID ({new}) does not match service account pod ref claim ({old})"
        assert await error_of(cluster, token) == wanted


@simulated
async def test_a_token_ends_with_its_secret_a_minute_after_the_deletion_at_the_latest():
    async with Cluster(nodes=0) as cluster:
        await make(cluster, "secrets", "s")
        token = await token_of(cluster, "s", "Secret")
        meta = {"metadata": {"finalizers": ["example.com/wait"]}}
        merge = {"content-type": "application/merge-patch+json"}
        await cluster.client().raw("PATCH", f"{CORE}/secrets/s", meta, headers=merge)
        await cluster.client().raw("DELETE", f"{CORE}/secrets/s")
        assert await error_of(cluster, token) == ""
        await cluster.advance(seconds=62)
        assert await error_of(cluster, token) == "service account token has been invalidated"


@simulated
async def test_a_token_ends_with_its_account():
    async with Cluster(nodes=0, controllers=()) as cluster:
        old = await make(cluster, "serviceaccounts", "default")
        token = await token_of(cluster)
        await cluster.client().raw("DELETE", f"{CORE}/serviceaccounts/default")
        assert await error_of(cluster, token) == 'serviceaccounts "default" not found'
        new = await make(cluster, "serviceaccounts", "default")
        assert await error_of(cluster, token) == f"service account UID ({new}) does not match claim ({old})"


@simulated
async def test_a_token_outlives_its_time_by_a_minute_for_clocks_that_differ():
    async with Cluster(nodes=0) as cluster:
        token = await token_of(cluster, expirationSeconds=600)
        await cluster.advance(seconds=655)
        assert await error_of(cluster, token) == ""
        await cluster.advance(seconds=10)
        assert await error_of(cluster, token) == "service account token has expired"
