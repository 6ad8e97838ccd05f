"""ServiceAccounts: upstream's test/e2e/auth/service_accounts.go, what the API alone has to do."""

import jwt
import pytest
from tests.component.controllers.world import simulated, world

from pybernetes.api.objects import User
from pybernetes.api.types import core_v1

ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"
PODS = "/api/v1/namespaces/default/pods"
CA = "kube-root-ca.crt"


@pytest.mark.conformance(
    "[sig-auth] ServiceAccounts should run through the lifecycle of a ServiceAccount [Conformance]"
)
async def test_the_lifecycle_of_an_account(api):
    await api.cycle(ACCOUNTS, {"metadata": {"name": "testserviceaccount"}})


@pytest.mark.conformance("[sig-auth] ServiceAccounts should update a ServiceAccount [Conformance]")
async def test_an_account_is_updated(api):
    made = await api.ok("POST", ACCOUNTS, {"metadata": {"name": "e2e"}, "automountServiceAccountToken": True})
    made["automountServiceAccountToken"] = False
    assert (await api.ok("PUT", f"{ACCOUNTS}/e2e", made))["automountServiceAccountToken"] is False


@pytest.mark.conformance(
    "[sig-auth] ServiceAccounts should create a serviceAccountToken and ensure a successful TokenReview [Conformance]"
)
async def test_a_token_is_reviewed(api):
    await api.ok("POST", ACCOUNTS, {"metadata": {"name": "e2e"}})
    request = await api.ok("POST", f"{ACCOUNTS}/e2e/token", {"spec": {}})
    review = {"spec": {"token": request["status"]["token"]}}
    answer = await api.ok("POST", "/apis/authentication.k8s.io/v1/tokenreviews", review)
    assert answer["status"]["authenticated"] is True
    assert answer["status"]["user"]["username"] == "system:serviceaccount:default:e2e"


def token_mount(pod):
    """Where a container's projected token is mounted; empty where it is not."""
    volumes = {v["name"]: v for v in pod["spec"].get("volumes", ()) if "projected" in v}
    mounts = pod["spec"]["containers"][0].get("volumeMounts", ())
    return next((m["mountPath"] for m in mounts if m["name"] in volumes), "")


@pytest.mark.conformance("[sig-auth] ServiceAccounts should mount an API token into pods [Conformance]")
async def test_a_pod_gets_token_authority_and_namespace(api):
    pod = await api.ok("POST", PODS, {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
    assert token_mount(pod) == "/var/run/secrets/kubernetes.io/serviceaccount"
    volume = next(v for v in pod["spec"]["volumes"] if "projected" in v)
    sources = volume["projected"]["sources"]
    assert sources[0]["serviceAccountToken"]["path"] == "token"
    assert sources[1]["configMap"] == {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}
    field = {"apiVersion": "v1", "fieldPath": "metadata.namespace"}
    assert sources[2]["downwardAPI"]["items"] == [{"path": "namespace", "fieldRef": field}]
    bound = {"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": pod["metadata"]["uid"]}
    made = await api.ok("POST", f"{ACCOUNTS}/default/token", {"spec": {"boundObjectRef": bound}})
    review = {"spec": {"token": made["status"]["token"]}}
    answer = await api.ok("POST", "/apis/authentication.k8s.io/v1/tokenreviews", review)
    assert answer["status"]["user"]["extra"]["authentication.kubernetes.io/pod-name"] == ["p"]


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
    user = User("system:serviceaccount:default:default", groups=("system:serviceaccounts", "system:authenticated"))
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
    async with world(nodes=0) as w:
        await w.create(core_v1.Namespace, "svcaccounts")
        await w.until(lambda: w.there(core_v1.ConfigMap, CA, "svcaccounts"))
        await w.delete(core_v1.ConfigMap, CA, "svcaccounts")
        await w.until(lambda: w.there(core_v1.ConfigMap, CA, "svcaccounts"))
        await w.patch(core_v1.ConfigMap, CA, {"data": {"ca.crt": ""}}, "svcaccounts")

        async def mended() -> bool:
            return bool((await w.get(core_v1.ConfigMap, CA, "svcaccounts")).data["ca.crt"])

        await w.until(mended)
