"""Endpoints, certificates and bootstrap tokens with the real API server."""

import base64
import hashlib
import hmac
import json
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from tests.component.controllers.world import World, deployment, simulated, template, world

from pybernetes.aio.clock import rfc3339
from pybernetes.api.errors import Conflict, Invalid
from pybernetes.api.objects import Key, User
from pybernetes.api.types import certificates_v1, core_v1, discovery_v1, rbac_v1
from pybernetes.wire.pki.certificates import new_request, parse_certificate, user_of
from pybernetes.wire.pki.keys import new_key

CSR = certificates_v1.CertificateSigningRequest
NODES = ("system:nodes", "system:authenticated")
SERVICE = {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80, "targetPort": "web"}]}


async def web(w: World, replicas: int = 3, **service: Any) -> None:
    pods = template(app="web")
    pods["spec"]["containers"][0]["ports"] = [{"name": "web", "containerPort": 8080}]
    await deployment(w, replicas=replicas, template=pods)
    await w.create(core_v1.Service, "web", spec={**SERVICE, **service}, metadata={"labels": {"team": "a"}})
    await w.clock.sleep(5)


async def slices(w: World) -> list[discovery_v1.EndpointSlice]:
    return list(await w.all(discovery_v1.EndpointSlice, labels="kubernetes.io/service-name=web"))


@simulated
async def test_a_service_has_its_ready_pods_as_endpoints_in_both_forms():
    async with world(nodes=1) as w:
        await web(w)
        pods = {p.status.podIP: p for p in await w.pods()}
        (found,) = await slices(w)
        assert {e.addresses[0] for e in found.endpoints} == set(pods)
        assert all(
            e.conditions.ready and e.conditions.serving and not e.conditions.terminating for e in found.endpoints
        )
        assert {(e.nodeName, e.targetRef.name) for e in found.endpoints if e.targetRef} == {
            (p.spec.nodeName, p.metadata.name) for p in pods.values()
        }
        assert [(p.name, p.port, p.protocol) for p in found.ports] == [("http", 8080, "TCP")]
        assert found.metadata.labels["team"] == "a"
        assert found.metadata.ownerReferences[0].name == "web"
        (subset,) = (await w.get(core_v1.Endpoints, "web")).subsets
        assert {a.ip for a in subset.addresses} == set(pods)
        assert [(p.name, p.port) for p in subset.ports] == [("http", 8080)]


@simulated
async def test_endpoints_follow_readiness_and_deletion():
    async with world() as w:
        await web(w)
        chosen = (await w.pods())[0]
        await w.node_down(chosen.spec.nodeName)  # its kubelet would say at once that the Pod is ready
        conditions = [{"type": "Ready", "status": "False", "lastTransitionTime": rfc3339(w.clock.now())}]
        await w.client.of(core_v1.Pod).patch_raw(
            Key("default", chosen.metadata.name),
            {"status": {"conditions": conditions}},
            "application/strategic-merge-patch+json",
            subresource="status",
        )
        await w.clock.sleep(1)
        (found,) = await slices(w)
        assert {e.addresses[0] for e in found.endpoints if not e.conditions.ready} == {chosen.status.podIP}
        (subset,) = (await w.get(core_v1.Endpoints, "web")).subsets
        assert [a.ip for a in subset.notReadyAddresses] == [chosen.status.podIP]
        await w.patch(core_v1.Service, "web", {"spec": {"selector": {"app": "none"}}})
        await w.clock.sleep(1)
        (found,) = await slices(w)
        assert found.endpoints == ()
        assert (await w.get(core_v1.Endpoints, "web")).subsets == ()
        await w.delete(core_v1.Service, "web")
        await w.clock.sleep(5)
        assert await slices(w) == []
        assert not await w.there(core_v1.Endpoints, "web")


@simulated
async def test_many_pods_are_spread_over_slices_of_a_hundred_and_one_change_touches_one():
    async with world(nodes=3) as w:
        await web(w, replicas=230)
        await w.clock.sleep(30)
        found = await slices(w)
        assert sum(len(s.endpoints) for s in found) == 230
        assert max(len(s.endpoints) for s in found) <= 100
        assert len(found) <= 4
        before = {s.metadata.name: s.metadata.resourceVersion for s in found}
        victim = (await w.pods())[0].metadata.name
        await w.client.of(core_v1.Pod).patch_raw(Key("default", victim), {"metadata": {"labels": {"app": "no"}}})
        await w.clock.sleep(10)
        after = {s.metadata.name: s.metadata.resourceVersion for s in await slices(w)}
        assert sum(before[name] != after[name] for name in before) <= 2
        assert sum(len(s.endpoints) for s in await slices(w)) == 230


@simulated
async def test_endpoints_of_a_service_without_selector_are_their_users_and_mirrored():
    async with world(nodes=0) as w:
        await w.create(core_v1.Service, "ext", spec={"ports": [{"port": 80}]})
        subsets = [{"addresses": [{"ip": "192.0.2.1"}], "ports": [{"port": 80}]}]
        await w.create(core_v1.Endpoints, "ext", subsets=subsets)
        await w.clock.sleep(30)
        assert (await w.get(core_v1.Endpoints, "ext")).subsets[0].addresses[0].ip == "192.0.2.1"
        labels = "kubernetes.io/service-name=ext"
        (mirror,) = await w.all(discovery_v1.EndpointSlice, labels=labels)
        assert [(e.addresses, e.conditions.ready) for e in mirror.endpoints] == [(("192.0.2.1",), True)]
        assert mirror.ports[0].port == 80
        await w.patch(core_v1.Endpoints, "ext", {"subsets": []})
        await w.clock.sleep(1)
        assert await w.all(discovery_v1.EndpointSlice, labels=labels) == ()


@simulated
async def test_endpoints_without_a_service_stay_until_a_service_of_their_name_goes():
    async with world(nodes=0) as w:
        subsets = [{"addresses": [{"ip": "192.0.2.1"}], "ports": [{"port": 80}]}]
        await w.create(core_v1.Endpoints, "early", subsets=subsets)
        await w.clock.sleep(30)
        await w.create(core_v1.Service, "early", spec={"ports": [{"port": 80}]})
        await w.clock.sleep(5)
        assert (await w.get(core_v1.Endpoints, "early")).subsets[0].addresses[0].ip == "192.0.2.1"
        labels = "kubernetes.io/service-name=early"
        assert len(await w.all(discovery_v1.EndpointSlice, labels=labels)) == 1
        await w.delete(core_v1.Service, "early")
        await w.clock.sleep(5)
        assert not await w.there(core_v1.Endpoints, "early")
        assert await w.all(discovery_v1.EndpointSlice, labels=labels) == ()


async def ask(w: World, name: str, user: User, signer: str, hosts: tuple[str, ...] = (), **more: int) -> None:
    request = new_request("system:node:node-1", ("system:nodes",), hosts, new_key())
    usage = "server auth" if hosts else "client auth"
    body = {
        "metadata": {"name": name},
        "spec": {
            "request": base64.b64encode(request).decode(),
            "signerName": f"kubernetes.io/{signer}",
            "usages": ["digital signature", usage],
            **more,
        },
    }
    await w.as_user(user).of(CSR).create(msgspec.convert(body, CSR))


@simulated
async def test_a_bootstrap_token_gets_a_node_its_client_certificate():
    async with world(nodes=0) as w:
        token = User("system:bootstrap:abcdef", groups=("system:bootstrappers", "system:authenticated"))
        for role in ("system:node-bootstrapper", "system:certificates.k8s.io:certificatesigningrequests:nodeclient"):
            body = {
                "metadata": {"name": role.replace(":", "-")},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
                "subjects": [
                    {"kind": "Group", "name": "system:bootstrappers", "apiGroup": "rbac.authorization.k8s.io"}
                ],
            }
            await w.client.of(rbac_v1.ClusterRoleBinding).create(msgspec.convert(body, rbac_v1.ClusterRoleBinding))
        await ask(w, "join", token, "kube-apiserver-client-kubelet")
        await w.clock.sleep(15)
        csr = await w.get(CSR, "join", "")
        assert [(c.type, c.reason) for c in csr.status.conditions] == [("Approved", "AutoApproved")]
        assert (
            csr.status.conditions[0].message == "Auto approving kubelet client certificate after SubjectAccessReview."
        )
        certificate = parse_certificate(base64.b64decode(csr.status.certificate))
        user = user_of(certificate.public_bytes(Encoding.DER))
        assert (user.name, user.groups) == ("system:node:node-1", ("system:nodes",))


@simulated
async def test_nobody_else_gets_one():
    async with world(nodes=0) as w:
        admin = User("somebody", groups=("system:masters", "system:authenticated"))
        await ask(w, "serving", admin, "kubelet-serving", ("node-1",))
        await w.clock.sleep(60)
        assert (await w.get(CSR, "serving", "")).status.conditions == ()


@simulated
async def test_a_serving_certificate_is_for_the_addresses_of_the_node_and_no_others():
    async with world(nodes=1) as w:
        kubelet = User("system:node:node-1", groups=NODES)
        await w.clock.sleep(2)
        await ask(w, "good", kubelet, "kubelet-serving", ("node-1", "198.18.1.1"))
        await ask(w, "bad", kubelet, "kubelet-serving", ("node-1", "10.96.0.1"))
        await w.clock.sleep(5)
        assert (await w.get(CSR, "good", "")).status.certificate
        assert (await w.get(CSR, "bad", "")).status.conditions == ()


@simulated
async def test_what_a_node_asked_for_a_pod_goes_after_a_quarter_of_an_hour():
    async with world(nodes=0) as w:
        stub = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(new_key(), SHA256())
        spec = {
            "signerName": "example.com/s",
            **{"podName": "p", "podUID": "1", "nodeName": "n", "nodeUID": "2"},
            **{"serviceAccountName": "default", "serviceAccountUID": "3"},
            "stubPKCS10Request": base64.b64encode(stub.public_bytes(Encoding.DER)).decode(),
        }
        await w.create(certificates_v1.PodCertificateRequest, "r", spec=spec)
        await w.clock.sleep(895)
        assert await w.there(certificates_v1.PodCertificateRequest, "r")
        await w.clock.sleep(10)
        assert not await w.there(certificates_v1.PodCertificateRequest, "r")


async def approve(w: World, name: str) -> None:
    csr = await w.get(CSR, name, "")
    made = {"type": "Approved", "status": "True", "reason": "Me", "message": ""}
    changed = msgspec.convert({**msgspec.to_builtins(csr), "status": {"conditions": [made]}}, CSR)
    await w.client.of(CSR).patch(csr, changed, subresource="approval")
    await w.clock.sleep(1)


@simulated
async def test_a_request_goes_when_its_certificate_ends():
    async with world(nodes=0) as w:
        somebody = User("somebody", groups=("system:masters", "system:authenticated"))
        await ask(w, "short", somebody, "kube-apiserver-client", expirationSeconds=600)
        await approve(w, "short")
        assert (await w.get(CSR, "short", "")).status.certificate
        await w.clock.sleep(500)
        assert await w.there(CSR, "short", "")
        await w.clock.sleep(110)
        assert not await w.there(CSR, "short", "")


@simulated
async def test_what_is_approved_and_unfit_fails_and_what_is_old_goes():
    async with world(nodes=0) as w:
        admin = User("somebody", groups=("system:masters", "system:authenticated"))
        await ask(w, "odd", admin, "kube-apiserver-client-kubelet", ("example.com",))
        await approve(w, "odd")
        kinds = {c.type: c.reason for c in (await w.get(CSR, "odd", "")).status.conditions}
        assert kinds == {"Approved": "Me", "Failed": "SignerValidationFailure"}
        await w.clock.sleep(3700)
        assert not await w.there(CSR, "odd", "")


async def token(w: World, name: str, expires: float | None = None, **more: str) -> None:
    data = {"token-id": name, "token-secret": "0123456789abcdef", "usage-bootstrap-signing": "true", **more}
    if expires is not None:
        data["expiration"] = rfc3339(w.clock.now() + expires)
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    await w.create(
        core_v1.Secret, f"bootstrap-token-{name}", "kube-system", type="bootstrap.kubernetes.io/token", data=encoded
    )


@simulated
async def test_cluster_info_is_signed_by_every_token_as_long_as_it_lives():
    async with world(nodes=0) as w:
        await w.create(core_v1.ConfigMap, "cluster-info", "kube-public", data={"kubeconfig": "the content"})
        await token(w, "abcdef", 100)
        await token(w, "unused", **{"usage-bootstrap-signing": "false"})
        await w.clock.sleep(2)
        data = (await w.get(core_v1.ConfigMap, "cluster-info", "kube-public")).data
        assert set(data) == {"kubeconfig", "jws-kubeconfig-abcdef"}
        header, payload, signature = data["jws-kubeconfig-abcdef"].split(".")
        assert payload == ""
        assert json.loads(base64.urlsafe_b64decode(header + "==")) == {"alg": "HS256", "kid": "abcdef"}
        signed = f"{header}.{base64.urlsafe_b64encode(b'the content').decode().rstrip('=')}".encode()
        wanted = hmac.new(b"0123456789abcdef", signed, hashlib.sha256).digest()
        assert base64.urlsafe_b64decode(signature + "=") == wanted
        await w.clock.sleep(110)
        assert not await w.there(core_v1.Secret, "bootstrap-token-abcdef", "kube-system")
        assert await w.there(core_v1.Secret, "bootstrap-token-unused", "kube-system")
        data = (await w.get(core_v1.ConfigMap, "cluster-info", "kube-public")).data
        assert set(data) == {"kubeconfig"}


@simulated
async def test_an_expired_token_goes_however_little_else_is_right_with_it():
    async with world(nodes=0) as w:
        encoded = {"expiration": base64.b64encode(b"garbage").decode()}
        kind = "bootstrap.kubernetes.io/token"
        await w.create(core_v1.Secret, "odd", "kube-system", type=kind, data=encoded)
        await w.create(core_v1.Secret, "elsewhere", "default", type=kind, data=encoded)
        await w.clock.sleep(2)
        assert not await w.there(core_v1.Secret, "odd", "kube-system")
        assert await w.there(core_v1.Secret, "elsewhere")


@simulated
async def test_a_role_that_went_meanwhile_is_not_made_by_its_rules():
    async with world() as w:
        roles = w.client.of(rbac_v1.ClusterRole)
        old = await w.create(rbac_v1.ClusterRole, "sum", "")
        await w.delete(rbac_v1.ClusterRole, "sum", "")
        with pytest.raises(Conflict):
            await roles.apply(old, {"rules": []}, "somebody")
        await w.create(rbac_v1.ClusterRole, "sum", "")
        with pytest.raises(Invalid):
            await roles.apply(old, {"rules": []}, "somebody")


@simulated
async def test_cluster_roles_aggregate_those_that_they_select():
    def rule(resource: str) -> dict[str, Any]:
        return {"verbs": ["get"], "apiGroups": [""], "resources": [resource]}

    def labels(value: str) -> dict[str, Any]:
        return {"labels": {"count": value}}

    async with world() as w:
        selectors = {"clusterRoleSelectors": [{"matchLabels": {"count": "yes"}}, {"matchLabels": {"count": "all"}}]}
        for name, value in (("b", "yes"), ("a", "yes"), ("c", "all"), ("d", "no")):
            await w.create(rbac_v1.ClusterRole, name, "", rules=[rule(name), rule("x")], metadata=labels(value))
        await w.create(rbac_v1.ClusterRole, "sum", "", rules=[rule("old")], aggregationRule=selectors)
        await w.clock.sleep(1)

        async def summed() -> list[str]:
            return [rule.resources[0] for rule in (await w.get(rbac_v1.ClusterRole, "sum", "")).rules]

        assert await summed() == ["a", "x", "b", "c"]
        await w.patch(rbac_v1.ClusterRole, "a", {"metadata": labels("no")}, "")
        await w.delete(rbac_v1.ClusterRole, "c", "")
        await w.clock.sleep(1)
        assert await summed() == ["b", "x"]
        managers = (await w.get(rbac_v1.ClusterRole, "sum", "")).metadata.managedFields
        owner = next(one for one in managers if "f:rules" in (one.fieldsV1 or {}))
        assert (owner.manager, owner.operation) == ("clusterrole-aggregation-controller", "Apply")
        await w.patch(rbac_v1.ClusterRole, "b", {"metadata": labels("no")}, "")
        await w.clock.sleep(1)
        assert await summed() == []
        view = await w.get(rbac_v1.ClusterRole, "view", "")
        parts = [
            await w.get(rbac_v1.ClusterRole, f"system:{name}", "")
            for name in ("aggregate-to-view", "aggregated-metrics-reader")
        ]
        assert view.rules == (*parts[0].rules, *parts[1].rules)
