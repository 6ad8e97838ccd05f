"""Plugins on requests that other rules would stop first, or that come from nodes: straight through the chain."""

from copy import deepcopy

import pytest
from tests.component.apiserver.admitted import NS, PODS, pod, serving

from pybernetes.api.errors import ApiError, Forbidden, InternalError, NotFound
from pybernetes.api.objects import User

NODE = User("system:node:n", groups=("system:nodes", "system:authenticated"))
GIB = {"cpu": "1", "memory": "1Gi"}


@pytest.fixture
async def api():
    async with serving() as made:
        yield made


async def refusal(api, *args, **more):
    with pytest.raises(Forbidden) as found:
        await api.judge(*args, **more)
    return found.value.message.partition(" is forbidden: ")[2]


def resized(old, **requests):
    new = deepcopy(old)
    new["spec"]["containers"][0]["resources"] = {"requests": requests, "limits": requests}
    return new


async def running(api, *, system="linux"):
    node = {"metadata": {"name": "n", "labels": {"kubernetes.io/os": system}}}
    await api.ok("POST", "/api/v1/nodes", node)
    await api.status("/api/v1/nodes/n", {"allocatable": {"cpu": "4", "memory": "4Gi"}})
    made = pod(resources={"requests": GIB, "limits": GIB}, nodeName="n")
    return await api.ok("POST", PODS, made)


async def test_a_resize_keeps_within_the_node(api):
    old = await running(api)
    await api.judge("pods/resize", "UPDATE", resized(old, cpu="2", memory="2Gi"), old)
    assert await refusal(api, "pods/resize", "UPDATE", resized(old, cpu="5", memory="5Gi"), old) == (
        "node didn't have enough allocatable resources: cpu, requested: 5000, allocatable: 4000; "
        "memory, requested: 5368709120, allocatable: 4294967296"
    )


async def test_a_resize_needs_a_node_that_can(api):
    old = await running(api, system="windows")
    assert await refusal(api, "pods/resize", "UPDATE", resized(old, cpu="2", memory="2Gi"), old) == (
        'pod resize is only supported on linux nodes, node "n" is "windows"'
    )


async def test_a_resize_keeps_within_limit_ranges_and_is_charged(api):
    old = await running(api)
    limit = {"type": "Container", "max": {"cpu": "3"}}
    await api.ok("POST", f"{NS}/limitranges", {"metadata": {"name": "r"}, "spec": {"limits": [limit]}})
    hard = {"requests.memory": "3Gi"}
    await api.ok("POST", f"{NS}/resourcequotas", {"metadata": {"name": "q"}, "spec": {"hard": hard}})
    await api.status(f"{NS}/resourcequotas/q", {"hard": hard, "used": {"requests.memory": "1Gi"}})
    assert await refusal(api, "pods/resize", "UPDATE", resized(old, cpu="4", memory="1Gi"), old) == (
        "maximum cpu usage per Container is 3, but limit is 4"
    )
    assert await refusal(api, "pods/resize", "UPDATE", resized(old, cpu="1", memory="4Gi"), old) == (
        "exceeded quota: q, requested: requests.memory=3Gi, used: requests.memory=1Gi, limited: requests.memory=3Gi"
    )
    await api.judge("pods/resize", "UPDATE", resized(old, cpu="1", memory="2Gi"), old)
    quota = await api.ok("GET", f"{NS}/resourcequotas/q")
    assert quota["status"]["used"] == {"requests.memory": "2Gi"}


async def test_audit_annotations_say_what_was_judged(api):
    labels = {f"pod-security.kubernetes.io/{mode}": "baseline" for mode in ("enforce", "audit")}
    await api.ok("PATCH", "/api/v1/namespaces/default", {"metadata": {"labels": labels}})
    judged = pod()
    judged["metadata"]["namespace"] = "default"
    request = await api.judge("pods", "CREATE", judged)
    assert request.audit_annotations == {"pod-security.kubernetes.io/enforce-policy": "baseline:latest"}


async def test_a_debugger_is_judged_as_any_container(api):
    labels = {"pod-security.kubernetes.io/enforce": "baseline"}
    await api.ok("PATCH", "/api/v1/namespaces/default", {"metadata": {"labels": labels}})
    old = await api.ok("POST", PODS, pod())
    new = deepcopy(old)
    new["spec"]["ephemeralContainers"] = [{"name": "d", "image": "i", "securityContext": {"privileged": True}}]
    text = await refusal(api, "pods/ephemeralcontainers", "UPDATE", new, old)
    assert text == (
        'violates PodSecurity "baseline:latest": privileged (container "d" must not set '
        "securityContext.privileged=true)"
    )


CLAIM = {"metadata": {"name": "x"}, "spec": {}, "status": {"phase": "Bound"}}
SLICE = {"metadata": {"name": "x"}, "spec": {"nodeName": "other"}}
OF_NODES = [
    ("persistentvolumeclaims", "UPDATE", CLAIM, CLAIM, "may only update PVC status"),
    (
        "persistentvolumeclaims/status",
        "UPDATE",
        {**CLAIM, "status": {}},
        CLAIM,
        'node "n" is not allowed to update fields other than status.capacity and status.conditions',
    ),
    (
        "csinodes.storage.k8s.io",
        "CREATE",
        {"metadata": {"name": "x"}},
        None,
        "can only access CSINode with the same name as the requesting node",
    ),
    (
        "resourceslices.resource.k8s.io",
        "CREATE",
        SLICE,
        None,
        "can only create ResourceSlice with the same NodeName as the requesting node",
    ),
    (
        "resourceslices.resource.k8s.io",
        "DELETE",
        {},
        SLICE,
        "can only delete ResourceSlice with the same NodeName as the requesting node",
    ),
    (
        "leases.coordination.k8s.io",
        "UPDATE",
        {"metadata": {"name": "n", "namespace": "default"}},
        CLAIM,
        'can only access leases in the "kube-node-lease" system namespace',
    ),
    ("nodes", "UPDATE", {"metadata": {"name": "x"}}, CLAIM, 'node "n" is not allowed to modify node "x"'),
    (
        "pods/exec",
        "CONNECT",
        {},
        None,
        None,
    ),
    (
        "pods/ephemeralcontainers",
        "UPDATE",
        {"metadata": {"name": "p"}},
        {"metadata": {"name": "p"}},
        "unexpected pod subresource \"ephemeralcontainers\", only 'status' and 'eviction' are allowed",
    ),
    (
        "pods",
        "CREATE",
        {"metadata": {"name": "p", "namespace": "default"}},
        None,
        'pod does not have "kubernetes.io/config.mirror" annotation, node "n" can only create mirror pods',
    ),
]


@pytest.mark.parametrize(("path", "operation", "obj", "old", "message"), OF_NODES)
async def test_a_node_touches_what_is_its_own(api, path, operation, obj, old, message):
    if message is None:
        await api.judge(path, operation, obj, old, user=NODE)
        return
    assert await refusal(api, path, operation, deepcopy(obj), deepcopy(old), name="x", user=NODE) == message


async def test_a_node_changes_its_own_node_but_for_what_steers_pods_to_it(api):
    old = {"metadata": {"name": "n", "labels": {"a": "b"}}, "spec": {}}
    labels = {"a": "c", "node-role.kubernetes.io/x": "", "kubernetes.io/hostname": "n"}
    await api.judge("nodes", "UPDATE", {**old, "metadata": {"name": "n"}}, old, name="n", user=NODE)
    for new, message in (
        (
            {**old, "metadata": {"name": "n", "labels": labels}},
            "is not allowed to modify labels: node-role.kubernetes.io/x",
        ),
        ({**old, "spec": {"taints": [{"key": "k"}]}}, 'node "n" is not allowed to modify taints'),
        (
            {**old, "spec": {"configSource": {"configMap": {}}}},
            'node "n" is not allowed to update configSource to a new non-nil configSource',
        ),
        (
            {**old, "metadata": {**old["metadata"], "ownerReferences": [{"name": "o"}]}},
            'node "n" is not allowed to modify ownerReferences',
        ),
    ):
        assert await refusal(api, "nodes", "UPDATE", new, old, name="n", user=NODE) == message


async def test_a_node_asks_tokens_for_audiences_that_its_pods_name(api):
    await running(api)
    found = await api.ok("GET", f"{PODS}/p")
    reference = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": found["metadata"]["uid"]}

    def asked(*audiences, **bound):
        spec = {"audiences": list(audiences), "boundObjectRef": {**reference, **bound}}
        return {"metadata": {"name": "default", "namespace": "default"}, "spec": spec}

    path = "serviceaccounts/token"
    await api.judge(path, "CREATE", asked(), name="default", user=NODE)
    for body, message in (
        (asked(kind="Secret"), "node requested token not bound to a pod"),
        (asked(uid=""), "node requested token with a pod binding without a uid"),
        (
            asked(uid="x"),
            "the UID in the bound object reference (x) does not match the UID in record. The object might have been "
            "deleted and then recreated",
        ),
        (asked("a", "b"), "node may only request 0 or 1 audiences"),
        (
            asked("vault"),
            'audience "vault" not found in pod spec volume, system:node:n is not authorized to request tokens for this '
            "audience",
        ),
    ):
        assert await refusal(api, path, "CREATE", body, name="default", user=NODE) == message


async def test_a_node_asks_certificates_for_pods_that_run_on_it_as_the_api_knows_them(api):
    account = await api.ok("POST", f"{NS}/serviceaccounts", {"metadata": {"name": "robot"}})
    node = await api.ok("POST", "/api/v1/nodes", {"metadata": {"name": "n"}})
    projected = {"sources": [{"podCertificate": {"signerName": "a.example/s", "keyType": "ED25519",
                                                 "credentialBundlePath": "x"}}]}  # fmt: skip
    volumes = [{"name": "v", "projected": projected}]
    made = {name: await api.ok("POST", PODS, pod(name, nodeName=at, serviceAccountName="robot", volumes=volumes))
            for name, at in (("p", "n"), ("elsewhere", "m"))}  # fmt: skip

    def asked(name="p", **more):
        spec = {
            "signerName": "a.example/s",
            "podName": name,
            "podUID": made[name]["metadata"]["uid"] if name in made else "x",
            "serviceAccountName": "robot",
            "serviceAccountUID": account["metadata"]["uid"],
            "nodeName": "n",
            "nodeUID": node["metadata"]["uid"],
            **more,
        }
        return {"metadata": {"generateName": "req-", "namespace": "default"}, "spec": spec}

    path = "podcertificaterequests.certificates.k8s.io"
    await api.judge(path, "CREATE", asked(), user=NODE)
    await api.judge(path, "CREATE", asked(podUID="x"))  # the rule is for nodes
    for operation, body, message in (
        (
            "CREATE",
            asked(nodeName="m"),
            'PodCertificateRequest.Spec.NodeName="m", which is not the requesting node "n"',
        ),
        (
            "CREATE",
            asked("elsewhere"),
            'pod "default/elsewhere" is not running on node "n" named in the PodCertificateRequest',
        ),
        (
            "CREATE",
            asked(serviceAccountName="default"),
            'PodCertificateRequest for pod "default/p" contains serviceAccountName ("default") that differs from '
            'running pod ("robot")',
        ),
        (
            "CREATE",
            asked(signerName="b.example/s"),
            'pod "default/p" does not mount a podCertificate projected volume for signer "b.example/s"',
        ),
        ("DELETE", asked(), "unexpected operation DELETE"),
    ):
        assert await refusal(api, path, operation, body, user=NODE) == message
    with pytest.raises(NotFound):
        await api.judge(path, "CREATE", asked("absent"), user=NODE)
    for more, message in (
        ({"nodeUID": "x"}, 'names node UID "x", inconsistent with the running node'),
        ({"podUID": "x"}, 'contains pod UID ("x") which differs from running pod'),
        ({"serviceAccountUID": "x"}, 'names service account UID "x", which differs from the running service account'),
    ):
        with pytest.raises(InternalError) as found:
            await api.judge(path, "CREATE", asked(**more), user=NODE)
        assert found.value.message.startswith(f'PodCertificateRequest for pod "default/p" {message}')


async def test_owner_references_are_for_those_who_may_delete():
    async with serving(enable_admission=("OwnerReferencesPermissionEnforcement",)) as api:
        user = User("u", groups=("system:authenticated",))
        owner = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "1"}
        owned = {"metadata": {"name": "c", "namespace": "default", "ownerReferences": [owner]}}
        assert await refusal(api, "configmaps", "CREATE", owned, user=user) == (
            "cannot set an ownerRef on a resource you can't delete: , <nil>"
        )
        await api.judge("configmaps", "UPDATE", owned, owned, user=user)
        rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["delete"]}]
        roles = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
        await api.ok("POST", f"{roles}/roles", {"metadata": {"name": "r"}, "rules": rules})
        subject = {"kind": "User", "name": "u", "apiGroup": "rbac.authorization.k8s.io"}
        reference = {"kind": "Role", "name": "r", "apiGroup": "rbac.authorization.k8s.io"}
        binding = {"metadata": {"name": "r"}, "subjects": [subject], "roleRef": reference}
        await api.ok("POST", f"{roles}/rolebindings", binding)
        await api.judge("configmaps", "CREATE", owned, user=user)
        owned["metadata"]["ownerReferences"] = [{**owner, "blockOwnerDeletion": True}]
        assert await refusal(api, "configmaps", "CREATE", owned, user=user) == (
            "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on: , "
            "<nil>"
        )
        owned["metadata"]["ownerReferences"] = [{**owner, "kind": "Nonsense", "blockOwnerDeletion": True}]
        assert "cannot find RESTMapping for APIVersion v1 Kind Nonsense" in await refusal(
            api, "configmaps", "CREATE", owned, user=user
        )


ODD = [
    {},
    {"spec": {}},
    {"spec": {"containers": [{}], "volumes": [{}], "initContainers": [{}]}},
    {"spec": {"containers": [{"resources": {}}], "tolerations": [{}], "affinity": {"podAffinity": {}}}},
    {"spec": {"containers": [{"env": [{}], "envFrom": [{}], "ports": [{}]}], "serviceAccountName": ""}},
    {"spec": {"resources": {"requests": {"storage": "-1", "cpu": "-1"}}}, "status": {}},
    {"spec": {"containers": [{"resources": {"requests": {"cpu": "-5", "x/y": "9E"}}}], "ports": [{}]}},
    {"spec": {"devices": {"requests": [{}, {"exactly": {}}, {"firstAvailable": [{}]}]}, "type": "NodePort"}},
]
PATHS = [
    "pods",
    "pods/resize",
    "pods/ephemeralcontainers",
    "pods/binding",
    "persistentvolumeclaims",
    "persistentvolumeclaims/status",
    "services",
    "nodes",
    "namespaces",
    "deployments.apps",
    "cronjobs.batch",
    "ingresses.networking.k8s.io",
    "priorityclasses.scheduling.k8s.io",
    "resourceclaims.resource.k8s.io",
    "certificatesigningrequests.certificates.k8s.io",
]
EVERY = ("AlwaysPullImages", "LimitPodHardAntiAffinityTopology", "DenyServiceExternalIPs", "PodNodeSelector")
EVERY += ("ExtendedResourceToleration", "PodTolerationRestriction", "NodeRestriction", "NamespaceExists")
EVERY += ("OwnerReferencesPermissionEnforcement",)


async def test_no_plugin_stumbles_over_an_odd_object():
    """Refusals are fine; anything else than an ApiError fails the test."""
    async with serving(enable_admission=EVERY) as api:
        hard = {
            "cpu": "1",
            "requests.storage": "1",
            "services.nodeports": "1",
            "a.deviceclass.resource.k8s.io/devices": "1",
        }
        await api.ok("POST", f"{NS}/resourcequotas", {"metadata": {"name": "q"}, "spec": {"hard": hard}})
        await api.status(f"{NS}/resourcequotas/q", {"hard": hard, "used": dict.fromkeys(hard, "0")})
        limits = [
            {"type": kind, "min": {"cpu": "1"}, "max": {"cpu": "2"}, "maxLimitRequestRatio": {"cpu": "2"}}
            for kind in ("Container", "Pod")
        ]
        limits.append({"type": "PersistentVolumeClaim", "min": {"storage": "1"}})
        await api.ok("POST", f"{NS}/limitranges", {"metadata": {"name": "r"}, "spec": {"limits": limits}})
        labels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}
        await api.ok("PATCH", "/api/v1/namespaces/default", {"metadata": {"labels": labels}})
        judged = 0
        for path in PATHS:
            for odd in ODD:
                for user in (NODE, User("u")):
                    for operation, old in (("CREATE", None), ("UPDATE", {}), ("DELETE", odd)):
                        meta = {"name": "p", "namespace": "" if path in ("nodes", "namespaces") else "default"}
                        new = {} if operation == "DELETE" else {"metadata": dict(meta), **deepcopy(odd)}
                        before = None if old is None else {"metadata": dict(meta), **deepcopy(old)}
                        judged += 1
                        try:
                            await api.judge(path, operation, new, before, user=user)
                        except ApiError:
                            continue
        assert judged == len(PATHS) * len(ODD) * 6


async def test_a_resize_through_the_api_is_charged_and_bounded(api):
    await running(api)
    hard = {"cpu": "3"}
    await api.ok("POST", f"{NS}/resourcequotas", {"metadata": {"name": "q"}, "spec": {"hard": hard}})
    await api.status(f"{NS}/resourcequotas/q", {"hard": hard, "used": {"cpu": "1"}})

    def to(cpu):
        amounts = {"cpu": cpu, "memory": "1Gi"}
        return {"spec": {"containers": [{"name": "c", "resources": {"requests": amounts, "limits": amounts}}]}}

    await api.ok("PATCH", f"{PODS}/p/resize", to("2"))
    assert (await api.ok("GET", f"{NS}/resourcequotas/q"))["status"]["used"] == {"cpu": "2"}
    assert "exceeded quota: q, requested: cpu=2" in await api.refused("PATCH", f"{PODS}/p/resize", to("4"))
    assert "allocatable: 4000" in await api.refused("PATCH", f"{PODS}/p/resize", to("5"))
    assert (await api.ok("GET", f"{NS}/resourcequotas/q"))["status"]["used"] == {"cpu": "2"}
