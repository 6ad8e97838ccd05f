"""Who may ask for what: authentication, authorization, impersonation, and the paths that need neither."""

import asyncio
import base64
import time

import jwt
from tests.component.api import ADMIN, Api

from pybernetes.aio.clock import SystemClock, rfc3339
from pybernetes.api.objects import User
from pybernetes.apiserver.config import Config
from pybernetes.apiserver.server import ApiServer
from pybernetes.wire.http import Headers, Peer, Request, read_body
from pybernetes.wire.pki.certificates import Leaf, issue, new_authority, parse_certificate

MAPS = "/api/v1/namespaces/default/configmaps"
BOB = User("bob", groups=("staff",))


def b64(text):
    return base64.b64encode(text.encode()).decode()


async def token_of(api, **spec):
    await api("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "robot"}})
    status, answer = await api("POST", "/api/v1/namespaces/default/serviceaccounts/robot/token", {"spec": spec})
    assert status == 201, answer
    return answer["status"]["token"]


async def test_a_refusal_says_who_cannot_do_what_where(api):
    status, error = await api("GET", MAPS, user=BOB)
    assert (status, error["reason"]) == (403, "Forbidden")
    assert error["message"] == (
        'configmaps is forbidden: User "bob" cannot list resource "configmaps" in API group "" '
        'in the namespace "default"'
    )
    _, error = await api("GET", "/api/v1/namespaces/default/pods/web/log", user=BOB)
    assert error["message"] == (
        'pods "web" is forbidden: User "bob" cannot get resource "pods/log" in API group "" in the namespace "default"'
    )
    _, error = await api("GET", "/apis/apps/v1/deployments", user=BOB)
    assert error["message"].endswith('in API group "apps" at the cluster scope')
    _, error = await api("GET", "/metrics", user=BOB)
    assert error["message"] == 'forbidden: User "bob" cannot get path "/metrics"'


async def test_anonymous_requests_reach_health_and_version_only(api):
    for path in ("/healthz", "/livez", "/readyz", "/version"):
        assert (await api("GET", path, user=None))[0] == 200, path
    status, error = await api("GET", MAPS, user=None)
    assert (status, 'User "system:anonymous"' in error["message"]) == (403, True)
    assert (await api("GET", "/api", user=None))[0] == 403


async def test_everybody_who_is_known_may_discover(api):
    for path in ("/api", "/apis", "/api/v1", "/openapi/v3", "/openapi/v2"):
        assert (await api("GET", path, user=BOB))[0] == 200, path


async def test_an_unknown_token_is_401_and_never_anonymous(api):
    for token in ("Bearer nonsense", "Bearer a.b.c", "Basic x", "Bearer abcdef.0123456789abcdef"):
        status, error = await api("GET", "/version", user=None, authorization=token)
        assert (status, error["reason"]) == (401, "Unauthorized"), token


async def test_a_binding_grants_and_its_removal_takes_back_at_once(api):
    roles = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
    rules = [{"verbs": ["list"], "apiGroups": [""], "resources": ["configmaps"]}]
    await api("POST", f"{roles}/roles", {"metadata": {"name": "r"}, "rules": rules})
    binding = {
        "metadata": {"name": "b"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
        "subjects": [{"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": "staff"}],
    }
    await api("POST", f"{roles}/rolebindings", binding)
    assert (await api("GET", MAPS, user=BOB))[0] == 200
    assert (await api("GET", f"{MAPS}/x", user=BOB))[0] == 403
    await api("DELETE", f"{roles}/rolebindings/b")
    assert (await api("GET", MAPS, user=BOB))[0] == 403


async def test_a_service_account_token_lives_as_long_as_its_account(api):
    token = f"Bearer {await token_of(api)}"
    status, error = await api("GET", MAPS, user=None, authorization=token)
    assert (status, 'User "system:serviceaccount:default:robot"' in error["message"]) == (403, True)
    await api("DELETE", "/api/v1/namespaces/default/serviceaccounts/robot")
    authenticator = api.server.storage.authenticator
    for one in authenticator._authenticators:
        getattr(one, "_known", {}).clear()
    assert (await api("GET", MAPS, user=None, authorization=token))[0] == 401


async def test_a_token_for_others_or_by_others_is_refused(api):
    other = await token_of(api, audiences=["vault"])
    assert (await api("GET", MAPS, user=None, authorization=f"Bearer {other}"))[0] == 401
    good = await token_of(api)
    head, body, signature = good.split(".")
    forged = f"{head}.{body}.{signature[:-8]}AAAAAAAA"
    assert (await api("GET", MAPS, user=None, authorization=f"Bearer {forged}"))[0] == 401
    claims = jwt.decode(good, options={"verify_signature": False})
    unsigned = jwt.encode(claims, "", algorithm="none")
    assert (await api("GET", MAPS, user=None, authorization=f"Bearer {unsigned}"))[0] == 401
    shared = jwt.encode(claims, "x" * 40, algorithm="HS256")
    assert (await api("GET", MAPS, user=None, authorization=f"Bearer {shared}"))[0] == 401


async def test_the_keys_of_tokens_are_for_accounts_and_may_be_kept(api):
    robot = User("system:serviceaccount:default:robot", groups=("system:serviceaccounts", "system:authenticated"))
    kinds = {
        "/.well-known/openid-configuration": "application/json",
        "/openid/v1/jwks": "application/jwk-set+json",
    }
    for path, kind in kinds.items():
        response = await api.send("GET", path, user=robot)
        assert response.status == 200
        assert response.headers.get("content-type") == kind
        assert response.headers.get("cache-control") == "public, max-age=3600"
        assert (await api("GET", path, user=BOB))[0] == 403
    _, document = await api("GET", "/.well-known/openid-configuration")
    assert set(document) == {
        "issuer",
        "jwks_uri",
        "response_types_supported",
        "subject_types_supported",
        "id_token_signing_alg_values_supported",
    }


async def test_a_review_says_whose_a_token_is_and_for_whom(api):
    path = "/apis/authentication.k8s.io/v1/tokenreviews"
    token = await token_of(api, audiences=["vault", "store"])

    async def review(token, *audiences):
        status, found = await api("POST", path, {"spec": {"token": token, "audiences": list(audiences)}})
        assert status == 201
        return found["status"]

    known = await review(token, "vault", "other")
    assert (known["authenticated"], known["audiences"]) == (True, ["vault"])
    assert known["user"]["username"] == "system:serviceaccount:default:robot"
    assert known["user"]["groups"][-1] == "system:authenticated"
    assert known["user"]["extra"]["authentication.kubernetes.io/credential-id"][0].startswith("JTI=")
    refused = await review(token)
    assert refused["error"].startswith(
        '[invalid bearer token, token audiences ["vault" "store"] is invalid for the target audiences ['
    )
    assert "authenticated" not in refused
    assert (await review("nonsense"))["error"] == "invalid bearer token"
    await api("DELETE", "/api/v1/namespaces/default/serviceaccounts/robot")
    assert (await review(token, "vault"))["error"] == '[invalid bearer token, serviceaccounts "robot" not found]'


async def test_a_token_in_a_secret_lives_as_long_as_the_secret_holds_it(api):
    await token_of(api)
    _, account = await api("GET", "/api/v1/namespaces/default/serviceaccounts/robot")
    part = "kubernetes.io/serviceaccount/"
    claims = {
        "iss": "kubernetes/serviceaccount",
        "sub": "system:serviceaccount:default:robot",
        part + "namespace": "default",
        part + "secret.name": "old",
        part + "service-account.name": "robot",
        part + "service-account.uid": account["metadata"]["uid"],
    }
    token = api.server.storage.token_signer.sign(claims)
    bearer = f"Bearer {token}"
    assert (await api("GET", MAPS, user=None, authorization=bearer))[0] == 401
    meta = {"name": "old", "annotations": {"kubernetes.io/service-account.name": "robot"}}
    secret = {"metadata": meta, "type": "kubernetes.io/service-account-token", "data": {"token": b64(token)}}
    assert (await api("POST", "/api/v1/namespaces/default/secrets", secret))[0] == 201
    status, error = await api("GET", MAPS, user=None, authorization=bearer)
    assert (status, 'User "system:serviceaccount:default:robot"' in error["message"]) == (403, True)


async def test_a_bootstrap_token_speaks_for_its_group_until_it_expires(api):
    secret = {
        "metadata": {"name": "bootstrap-token-abcdef"},
        "type": "bootstrap.kubernetes.io/token",
        "data": {
            "token-id": b64("abcdef"),
            "token-secret": b64("0123456789abcdef"),
            "usage-bootstrap-authentication": b64("true"),
            "auth-extra-groups": b64("system:bootstrappers:kubeadm:default-node-token"),
        },
    }
    secrets = "/api/v1/namespaces/kube-system/secrets"
    assert (await api("POST", secrets, secret))[0] == 201
    token = "Bearer abcdef.0123456789abcdef"
    _, error = await api("GET", MAPS, user=None, authorization=token)
    assert 'User "system:bootstrap:abcdef"' in error["message"]
    assert (await api("GET", MAPS, user=None, authorization="Bearer abcdef.0123456789abcdeX"))[0] == 401
    expired = {"data": {"expiration": b64(rfc3339(time.time() - 1))}}
    one = f"{secrets}/bootstrap-token-abcdef"
    await api("PATCH", one, expired, content_type="application/merge-patch+json")
    assert (await api("GET", MAPS, user=None, authorization=token))[0] == 401


async def test_a_client_certificate_is_a_user_with_groups(api):
    ca = new_authority("ca", time.time())
    der = {}
    for name, usages in (("client", ("client auth",)), ("server", ("server auth",))):
        pem, _ = issue(ca, Leaf("eve", groups=("system:masters",), usages=usages), time.time())
        from cryptography.hazmat.primitives.serialization import Encoding

        der[name] = parse_certificate(pem).public_bytes(Encoding.DER)
    for name, code in (("client", 200), ("server", 401)):
        response = await api.server.handler(Request("GET", MAPS, Headers(), b"", Peer(certificate=der[name])))
        assert response.status == code, await read_body(response)


async def test_impersonation_needs_its_own_permission(api):
    status, error = await api("GET", MAPS, impersonate_user="bob", impersonate_group="staff")
    assert (status, 'User "bob"' in error["message"]) == (403, True)
    status, error = await api("GET", MAPS, user=BOB, impersonate_user="admin")
    assert error["message"] == (
        'users "admin" is forbidden: User "bob" cannot impersonate resource "users" in API group "" '
        "at the cluster scope"
    )
    status, error = await api("GET", MAPS, impersonate_group="staff", impersonate_uid="7")
    assert (status, error["message"]) == (
        400,
        "requested [{Group  staff    } {UID  7  authentication.k8s.io/v1  }] without impersonating a user",
    )
    assert (await api("GET", MAPS, impersonate_user="x", impersonate_group="system:masters"))[0] == 200


async def test_health_names_its_checks(api):
    status, text = await api("GET", "/readyz?verbose")
    assert (status, b"[+]etcd ok" in text, text.endswith(b"readyz check passed\n")) == (200, True, True)
    assert await api("GET", "/livez/ping") == (200, b"ok")
    assert (await api("GET", "/livez/nonsense"))[0] == 404
    api.server.started.remove("rbac/bootstrap-roles")
    status, text = await api("GET", "/readyz")
    assert (status, b"[-]poststarthook/rbac/bootstrap-roles failed" in text) == (500, True)
    assert (await api("GET", "/livez"))[0] == 500
    api.server.started.add("rbac/bootstrap-roles")
    assert await api("GET", "/livez/etcd") == (200, b"ok")
    status, text = await api("GET", "/healthz?verbose&exclude=etcd&exclude=x")
    assert b"[+]etcd excluded: ok\n" in text
    assert b'warn: some health checks cannot be excluded: no matches for "x"\n' in text
    api.server.leave()
    assert [(await api("GET", path))[0] for path in ("/livez", "/healthz", "/readyz")] == [200, 200, 500]
    assert await api("GET", "/readyz/shutdown") == (500, b"internal server error: process is shutting down\n")


async def test_every_cluster_has_its_namespaces_and_the_kubernetes_service(api):
    _, listed = await api("GET", "/api/v1/namespaces")
    names = {item["metadata"]["name"] for item in listed["items"]}
    assert names == {"default", "kube-system", "kube-public", "kube-node-lease"}
    _, service = await api("GET", "/api/v1/namespaces/default/services/kubernetes")
    assert service["spec"]["clusterIP"] == "10.96.0.1"
    _, found = await api("GET", "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes")
    assert found["endpoints"][0]["addresses"] == ["127.0.0.1"]
    assert found["ports"][0]["port"] == 6443


async def test_metrics_count_requests_by_verb_resource_and_code(api):
    await api("GET", MAPS)
    await api("GET", MAPS, user=BOB)
    _, text = await api("GET", "/metrics")
    labels = 'verb="LIST",group="",version="v1",resource="configmaps",subresource="",scope="namespace"'
    for code in (200, 403):
        assert f'apiserver_request_total{{{labels},code="{code}",dry_run=""}} 1'.encode() in text
    assert f"apiserver_request_duration_seconds_count{{{labels}}} 2".encode() in text
    assert b'apiserver_storage_objects{resource="namespaces"} 4' in text


async def test_a_server_that_has_not_loaded_yet_denies_neither_rights_nor_objects(api):
    """A collector believes a 404, and a component that is forbidden gives up: after a restart both must wait."""
    robot = User("robot", groups=("system:authenticated",))
    roles = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
    await api("POST", MAPS, {"metadata": {"name": "a"}})
    rule = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}
    await api("POST", f"{roles}/roles", {"metadata": {"name": "r"}, "rules": [rule]})
    binding = {
        "metadata": {"name": "r"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "robot"}],
    }
    await api("POST", f"{roles}/rolebindings", binding)
    # Not a Cluster: that is entered once it answers, and this is about what comes before.
    again = Api(ApiServer(Config(), api.store, SystemClock()), api.store)
    early = [asyncio.create_task(again("GET", f"{MAPS}/a", user=who)) for who in (robot, ADMIN)]
    assert (await again("GET", "/readyz"))[0] == 500
    running = asyncio.create_task(again.server.run())
    try:
        assert [(await answer)[0] for answer in early] == [200, 200]
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
