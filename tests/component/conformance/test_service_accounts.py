"""ServiceAccounts: upstream's test/e2e/auth/service_accounts.go, what the API alone has to do."""

from typing import Any

import jwt
import pytest
from tests.component.conformance.e2e import CORE, Workloads, workloads
from tests.component.controllers.world import simulated

from pybernetes.api.objects import User

ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"
PODS = "/api/v1/namespaces/default/pods"
CA = "kube-root-ca.crt"


@pytest.mark.conformance(
    "[sig-auth] ServiceAccounts should run through the lifecycle of a ServiceAccount [Conformance]"
)
@simulated
async def test_the_lifecycle_of_an_account():
    async with workloads(nodes=1) as k:
        selected = "labelSelector=test-serviceaccount-static%3Dtrue"
        meta = {"name": "testserviceaccount", "labels": {"test-serviceaccount-static": "true"}}
        made = await k.made(ACCOUNTS, {"metadata": meta})
        assert (await k.ok("GET", f"{ACCOUNTS}/testserviceaccount"))["metadata"]["uid"] == made["metadata"]["uid"]
        seen = await k.watch(f"{ACCOUNTS}?watch=1&{selected}&timeoutSeconds=180")
        assert (await seen.until("ADDED"))["metadata"]["uid"] == made["metadata"]["uid"]
        patch = {"metadata": {"creationTimestamp": None}, "automountServiceAccountToken": False}
        await k.ok("PATCH", f"{ACCOUNTS}/testserviceaccount", patch)
        await seen.until("MODIFIED")
        (found,) = await k.items(f"/api/v1/serviceaccounts?{selected}")
        assert (found["metadata"]["name"], found["automountServiceAccountToken"]) == ("testserviceaccount", False)
        await k.ok("DELETE", ACCOUNTS)
        assert (await seen.until("DELETED"))["metadata"]["uid"] == made["metadata"]["uid"]
        await k.poll(lambda: k.there(f"{ACCOUNTS}/default"))


async def test_accounts_have_every_verb(api):
    await api.cycle(ACCOUNTS, {"metadata": {"name": "testserviceaccount"}})


@pytest.mark.conformance("[sig-auth] ServiceAccounts should update a ServiceAccount [Conformance]")
async def test_an_account_is_updated(api):
    made = await api.ok("POST", ACCOUNTS, {"metadata": {"name": "e2e"}, "automountServiceAccountToken": False})
    assert made["automountServiceAccountToken"] is False
    made["automountServiceAccountToken"] = True
    assert (await api.ok("PUT", f"{ACCOUNTS}/e2e", made))["automountServiceAccountToken"] is True


@pytest.mark.conformance(
    "[sig-auth] ServiceAccounts should create a serviceAccountToken and ensure a successful TokenReview [Conformance]"
)
async def test_a_token_is_reviewed(api):
    await api.ok("POST", ACCOUNTS, {"metadata": {"name": "e2e"}})
    blank = {"metadata": {"creationTimestamp": None}, "spec": {"audiences": None, "expirationSeconds": None}}
    blank["spec"]["boundObjectRef"] = None
    request = await api.ok("POST", f"{ACCOUNTS}/e2e/token", {**blank, "status": {"token": ""}})
    review = {"spec": {"token": request["status"]["token"]}}
    answer = await api.ok("POST", "/apis/authentication.k8s.io/v1/tokenreviews", review)
    assert answer["status"]["authenticated"] is True
    assert "error" not in answer["status"]
    assert answer["status"]["user"]["username"] == "system:serviceaccount:default:e2e"


def token_mount(pod):
    """Where a container's projected token is mounted; empty where it is not."""
    volumes = {v["name"]: v for v in pod["spec"].get("volumes", ()) if "projected" in v}
    mounts = pod["spec"]["containers"][0].get("volumeMounts", ())
    return next((m["mountPath"] for m in mounts if m["name"] in volumes), "")


@pytest.mark.conformance("[sig-auth] ServiceAccounts should mount an API token into pods [Conformance]")
@simulated
async def test_a_pod_gets_token_authority_and_namespace():
    """What its node mounts is asked for as the node does: the files are a node's matter."""
    async with workloads(nodes=1) as k:
        await k.made(ACCOUNTS, {"metadata": {"name": "mount-test"}})
        spec = {"serviceAccountName": "mount-test", "containers": [{"name": "test", "image": "busybox"}]}
        made = await k.made(PODS, {"metadata": {"name": "p"}, "spec": {**spec, "terminationGracePeriodSeconds": 0}})
        assert token_mount(made) == "/var/run/secrets/kubernetes.io/serviceaccount"
        volume = next(v for v in made["spec"]["volumes"] if "projected" in v)
        token, authority, namespace = volume["projected"]["sources"]
        assert token["serviceAccountToken"]["path"] == "token"
        assert authority["configMap"] == {"name": CA, "items": [{"key": "ca.crt", "path": "ca.crt"}]}
        assert (await k.ok("GET", f"{CORE}/configmaps/{CA}"))["data"]["ca.crt"].startswith("-----BEGIN CERTIFICATE")
        field = {"apiVersion": "v1", "fieldPath": "metadata.namespace"}
        assert namespace["downwardAPI"]["items"] == [{"path": "namespace", "fieldRef": field}]
        pod = await k.poll(lambda: running(k, "p"))
        node = await k.ok("GET", f"/api/v1/nodes/{pod['spec']['nodeName']}")
        bound = {"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": pod["metadata"]["uid"]}
        kubelet = User(f"system:node:{node['metadata']['name']}", groups=("system:nodes", "system:authenticated"))
        wanted = {"boundObjectRef": bound, "expirationSeconds": token["serviceAccountToken"]["expirationSeconds"]}
        asked = await k.ok("POST", f"{ACCOUNTS}/mount-test/token", {"spec": wanted}, user=kubelet)
        review = {"spec": {"token": asked["status"]["token"]}}
        status = (await k.ok("POST", "/apis/authentication.k8s.io/v1/tokenreviews", review))["status"]
        assert status["authenticated"]
        assert "error" not in status
        user = status["user"]
        assert user["username"] == "system:serviceaccount:default:mount-test"
        accounts = {"system:serviceaccounts", "system:serviceaccounts:default"}
        assert accounts | {"system:authenticated"} <= set(user["groups"])
        said = {name.removeprefix("authentication.kubernetes.io/"): value for name, value in user["extra"].items()}
        (credential,) = said.pop("credential-id")
        assert credential.startswith("JTI=")
        pod_is = {"pod-name": ["p"], "pod-uid": [pod["metadata"]["uid"]]}
        assert said == pod_is | {"node-name": [node["metadata"]["name"]], "node-uid": [node["metadata"]["uid"]]}


async def running(k: Workloads, name: str) -> Any:
    pod = await k.ok("GET", f"{PODS}/{name}")
    return pod if pod["status"]["phase"] == "Running" else None


@pytest.mark.conformance("[sig-auth] ServiceAccounts should allow opting out of API token automount [Conformance]")
async def test_the_pods_own_word_counts_before_the_accounts(api):
    for account, word in (("unset", None), ("mount", True), ("nomount", False)):
        body = {"metadata": {"name": account}}
        await api.ok("POST", ACCOUNTS, body if word is None else {**body, "automountServiceAccountToken": word})
        for own in (None, True, False):
            spec = {"serviceAccountName": account, "containers": [{"name": "c", "image": "i"}]}
            if own is not None:
                spec["automountServiceAccountToken"] = own
            pod = await api.ok("POST", PODS, {"metadata": {"generateName": "p-"}, "spec": spec})
            mounted = word is not False if own is None else own
            assert bool(token_mount(pod)) == mounted, (account, own)


@pytest.mark.conformance("[sig-auth] ServiceAccounts should mount projected service account token [Conformance]")
async def test_a_projected_token_is_kept_as_it_was_asked_for(api):
    source = {"serviceAccountToken": {"path": "vault-token", "audience": "vault", "expirationSeconds": 7200}}
    container = {"name": "c", "image": "i", "volumeMounts": [{"name": "t", "mountPath": "/var/run/secrets/tokens"}]}
    spec = {"containers": [container], "volumes": [{"name": "t", "projected": {"sources": [source]}}]}
    pod = await api.ok("POST", PODS, {"metadata": {"name": "p"}, "spec": spec})
    volume = next(v for v in pod["spec"]["volumes"] if v["name"] == "t")
    assert volume["projected"] == {"sources": [source], "defaultMode": 0o644}


@pytest.mark.conformance(
    "[sig-auth] ServiceAccounts ServiceAccountIssuerDiscovery should support OIDC discovery of service account issuer "
    "[Conformance]"
)
async def test_a_token_can_be_checked_with_what_the_issuer_publishes(api):
    made = await api.ok("POST", f"{ACCOUNTS}/default/token", {"spec": {"audiences": ["oidc-discovery-test"]}})
    token = made["status"]["token"]
    role = {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": "ClusterRole",
        "name": "system:service-account-issuer-discovery",
    }
    subjects = [{"kind": "ServiceAccount", "name": "default", "namespace": "default"}]
    bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
    await api.made(bindings, {"metadata": {"name": "discovery"}, "subjects": subjects, "roleRef": role})
    user = User("system:serviceaccount:default:default", groups=("system:authenticated",))
    discovery = await api.ok("GET", "/.well-known/openid-configuration", user=user)
    keys = await api.ok("GET", "/openid/v1/jwks", user=user)
    key = next(k for k in keys["keys"] if k["kid"] == jwt.get_unverified_header(token)["kid"])
    claims = jwt.decode(token, jwt.PyJWK(key), algorithms=[key["alg"]], audience="oidc-discovery-test")
    assert claims["iss"] == discovery["issuer"]
    assert discovery["jwks_uri"].endswith("/openid/v1/jwks")
    assert claims["sub"] == "system:serviceaccount:default:default"


@pytest.mark.conformance(
    "[sig-auth] ServiceAccounts should guarantee kube-root-ca.crt exist in any namespace [Conformance]"
)
@simulated
async def test_the_root_certificate_comes_back():
    async with workloads(nodes=1) as k:
        await k.made("/api/v1/namespaces", {"metadata": {"name": "svcaccounts"}})
        maps = "/api/v1/namespaces/svcaccounts/configmaps"
        await k.poll(lambda: k.there(f"{maps}/{CA}"), 30, every=0.5)
        before = await k.ok("GET", f"{maps}/{CA}")
        await k.ok("DELETE", f"{maps}/{CA}?gracePeriodSeconds=0")
        await k.poll(lambda: k.there(f"{maps}/{CA}"), 30, every=0.5)
        assert (await k.ok("GET", f"{maps}/{CA}"))["metadata"]["uid"] != before["metadata"]["uid"]
        await k.ok("PUT", f"{maps}/{CA}", {"metadata": {"name": CA}, "data": {"ca.crt": ""}})

        async def mended() -> bool:
            return bool((await k.ok("GET", f"{maps}/{CA}"))["data"].get("ca.crt") == before["data"]["ca.crt"])

        await k.poll(mended, 30, every=0.5)
