"""A busy hour on simulated time, and all that the store was told in it: `python -m tests.component.testing.story SEED`.

A run is repeated by its seed to the last byte: test_repeats.py compares runs in one process and in several, whose sets
and dicts of strings are hashed in different ways.
"""

import asyncio
import base64
import hashlib
import sys
from typing import Any

from tests.component.testing.manifests import SHOP, deployment

from pybernetes.apiserver.config import Config, Times
from pybernetes.store.protocol import Event, Revision
from pybernetes.testing import Cluster
from pybernetes.testing.virtual import simulated
from pybernetes.wire.pki.certificates import new_request
from pybernetes.wire.pki.keys import derived_key

FOR_EVER = Config(times=Times(compaction=0), history_limit=0)
"""Nothing of the history is forgotten."""
SHOPS = ("web", "api", "cart")
REQUESTS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
QUOTA = {
    "apiVersion": "v1",
    "kind": "ResourceQuota",
    "metadata": {"name": "q"},
    "spec": {"hard": {"pods": "60", "count/services": "20"}},
}
LOOSE = {"metadata": {"generateName": "loose-"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
OLD_TOKEN = {
    "metadata": {"name": "old", "annotations": {"kubernetes.io/service-account.name": "default"}},
    "type": "kubernetes.io/service-account-token",
}


def service(name: str) -> dict[str, Any]:
    """A Service with two node ports."""
    ports = [{"name": "http", "port": 80}, {"name": "more", "port": 81}]
    spec = {"selector": {"app": name}, "ports": ports, "type": "NodePort"}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def request() -> dict[str, Any]:
    """A client certificate that somebody asks for."""
    pem = new_request("jane", (), (), derived_key(b"jane"))
    spec = {
        "request": base64.b64encode(pem).decode(),
        "signerName": "kubernetes.io/kube-apiserver-client",
        "usages": ["client auth"],
    }
    return {"metadata": {"name": "jane"}, "spec": spec}


def owned(name: str, shop: dict[str, Any]) -> dict[str, Any]:
    """A ConfigMap that belongs to a custom resource."""
    owner = {"apiVersion": "example.org/v1", "kind": "Shop", "name": "corner", "uid": shop["metadata"]["uid"]}
    meta = {"name": name, "ownerReferences": [{**owner, "blockOwnerDeletion": True}]}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta}


async def happen(cluster: Cluster) -> None:
    """Rollouts, a node that goes, Services, quotas, certificates, custom resources, namespaces that are deleted."""
    for space in ("shop", "lab"):
        await cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space}})
        await cluster.wait("serviceaccount/default", namespace=space)
    await cluster.apply(QUOTA, namespace="shop")
    for name in SHOPS:
        await cluster.apply([deployment(name, 4), service(name)], namespace="shop")
    available = (cluster.wait(f"deploy/{name}", "condition=Available", namespace="shop") for name in SHOPS)
    await asyncio.gather(*available)
    changed = deployment("web", 6)
    changed["spec"]["template"]["spec"]["containers"][0]["image"] = "web:2"
    await cluster.apply([changed, deployment("cart", 1)], namespace="shop")
    for _ in range(5):
        await cluster.raw("POST", "/api/v1/namespaces/lab/pods", LOOSE)
    *_, shop = await cluster.apply(SHOP, namespace="lab")
    await cluster.apply([owned(name, shop) for name in ("one", "two", "three")], namespace="lab")
    await cluster.raw("POST", REQUESTS, request())
    await cluster.raw("POST", "/api/v1/namespaces/lab/secrets", OLD_TOKEN)
    await cluster.advance(minutes=2)
    asked = await cluster.raw("GET", f"{REQUESTS}/jane")
    asked["status"]["conditions"] = [{"type": "Approved", "status": "True", "reason": "Test", "message": ""}]
    await cluster.raw("PUT", f"{REQUESTS}/jane/approval", asked)
    await cluster.raw("POST", "/api/v1/namespaces/lab/serviceaccounts/default/token", {"spec": {}})
    await cluster.advance(minutes=1)
    await cluster.raw("DELETE", "/api/v1/nodes/node-2")  # its Pods go, and others come
    await cluster.advance(minutes=10)
    await cluster.raw("DELETE", "/apis/apps/v1/namespaces/shop/deployments/api")
    foreground = {"propagationPolicy": "Foreground"}
    await cluster.raw("DELETE", "/apis/example.org/v1/namespaces/lab/shops/corner", foreground)
    await cluster.raw("DELETE", "/apis/apps/v1/namespaces/shop/deployments/cart", foreground)
    await cluster.advance(minutes=1)
    await cluster.raw("DELETE", "/api/v1/namespaces/lab")
    await cluster.advance(minutes=30)
    await cluster.raw("DELETE", "/api/v1/namespaces/shop")
    await cluster.wait("namespace/shop", "delete", namespace="")
    await cluster.advance(minutes=15)


async def told(cluster: Cluster) -> list[Event]:
    """Every write there was, in order."""
    store = cluster.running.store
    watch = await store.watch("", Revision(0))
    events: list[Event] = []
    last = (await store.range("/", limit=1)).revision
    while not events or events[-1].revision < last:
        events += await anext(watch)
    await watch.aclose()
    return events


def log(seed: int) -> list[str]:
    """What the store was told, as lines: revision, type, key, value."""

    @simulated(seed=seed)
    async def story() -> list[str]:
        async with Cluster(nodes=3, api=FOR_EVER) as cluster:
            await happen(cluster)
            return [f"{e.revision} {e.type} {e.key} {e.value.decode()}" for e in await told(cluster)]

    return story()


def digest(lines: list[str]) -> str:
    """How many there are, and their hash."""
    return f"{len(lines)} {hashlib.sha256(chr(10).join(lines).encode()).hexdigest()}"


if __name__ == "__main__":
    lines = log(int(sys.argv[1]))
    print(digest(lines))
    for line in lines if len(sys.argv) > 2 else ():
        print(line)
