"""Namespaces, config maps, secrets, nodes, events, accounts and Pods through the whole pipeline."""

import base64

from pybernetes.api.objects import User

CORE = "/api/v1/namespaces/default"


def pod(name="web", **spec):
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "web", "image": "web"}], **spec}}


async def test_a_namespace_stays_until_its_finalizers_are_gone(api):
    made = await api.made("/api/v1/namespaces", {"metadata": {"name": "x"}})
    assert made["metadata"]["labels"] == {"kubernetes.io/metadata.name": "x"}
    assert (made["spec"], made["status"]) == ({"finalizers": ["kubernetes"]}, {"phase": "Active"})
    _, dying = await api("DELETE", "/api/v1/namespaces/x")
    assert dying["status"]["phase"] == "Terminating"
    assert dying["metadata"]["deletionTimestamp"]
    body = {"metadata": {"name": "late"}}
    code, error = await api("POST", "/api/v1/namespaces/x/configmaps", body)
    assert code == 403
    assert error["message"] == (
        'configmaps "late" is forbidden: unable to create new content in namespace x because it is being terminated'
    )
    assert error["details"]["causes"][0]["reason"] == "NamespaceTerminating"
    code, _ = await api("PUT", "/api/v1/namespaces/x/finalize", {"metadata": {"name": "x"}, "spec": {}})
    assert code == 200
    assert (await api("GET", "/api/v1/namespaces/x"))[0] == 404


async def test_nothing_is_created_in_a_namespace_that_is_not_there(api):
    code, error = await api("POST", "/api/v1/namespaces/no/configmaps", {"metadata": {"name": "c"}})
    assert (code, error["message"]) == (404, 'namespaces "no" not found')


async def test_the_systems_namespaces_stay(api):
    text = await api.refused("DELETE", "/api/v1/namespaces/kube-system")
    assert text == 'namespaces "kube-system" is forbidden: this namespace may not be deleted'


async def test_a_namespace_is_a_label(api):
    (fault,) = await api.faults("POST", "/api/v1/namespaces", {"metadata": {"name": "a.b"}})
    assert fault == 'metadata.name: Invalid value: "a.b": must not contain dots'


async def test_an_immutable_config_map_keeps_its_data_but_not_its_labels(api):
    await api.made(f"{CORE}/configmaps", {"metadata": {"name": "c"}, "data": {"a": "1"}, "immutable": True})
    path = f"{CORE}/configmaps/c"
    assert await api.faults("PATCH", path, {"data": {"a": "2"}}) == [
        "data: Forbidden: field is immutable when `immutable` is set"
    ]
    assert await api.faults("PATCH", path, {"immutable": False}) == [
        "immutable: Forbidden: field is immutable when `immutable` is set"
    ]
    assert (await api("PATCH", path, {"metadata": {"labels": {"a": "b"}}}))[0] == 200


async def test_config_map_keys_are_file_names(api):
    found = await api.faults("POST", f"{CORE}/configmaps", {"metadata": {"name": "c"}, "data": {"a/b": "", "..": ""}})
    assert found[0] == "data[..]: Invalid value: \"..\": must not be '..'"
    assert found[1].startswith('data[a/b]: Invalid value: "a/b": a valid config key must consist of')


async def test_secrets_are_opaque_unless_their_type_demands_keys(api):
    text = base64.b64encode(b"x").decode()
    made = await api.made(f"{CORE}/secrets", {"metadata": {"name": "s"}, "stringData": {"a": "x"}})
    assert (made["type"], made["data"]) == ("Opaque", {"a": text})
    assert "stringData" not in made
    bad = {"metadata": {"name": "t"}, "type": "kubernetes.io/tls", "data": {"tls.crt": text}}
    assert await api.faults("POST", f"{CORE}/secrets", bad) == ["data[tls.key]: Required value"]
    (fault,) = await api.faults("PATCH", f"{CORE}/secrets/s", {"type": "other"})
    assert fault == 'type: Invalid value: "other": field is immutable'


async def test_a_new_node_is_tainted_until_it_is_ready(api):
    body = {"metadata": {"name": "n1"}, "status": {"capacity": {"cpu": "2"}}}
    made = await api.made("/api/v1/nodes", body)
    assert made["spec"]["taints"] == [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]
    assert made["status"]["allocatable"] == {"cpu": "2"}
    code, _ = await api("PATCH", "/api/v1/nodes/n1", {"spec": {"podCIDR": "10.244.1.0/24"}})
    assert code == 200
    _, node = await api("GET", "/api/v1/nodes/n1")
    assert node["spec"]["podCIDRs"] == ["10.244.1.0/24"]
    (row,) = await api.table("/api/v1/nodes")
    assert (row["Status"], row["Roles"], row["Internal-IP"]) == ("Unknown", "<none>", "<none>")


async def test_an_event_is_about_its_own_namespace(api):
    body = {"metadata": {"name": "e"}, "involvedObject": {"namespace": "other", "kind": "Pod"}}
    assert await api.faults("POST", f"{CORE}/events", body) == [
        'involvedObject.namespace: Invalid value: "other": does not match event.namespace'
    ]


async def test_events_are_found_by_what_they_are_about(api):
    for name in ("a", "b"):
        about = {"kind": "Pod", "namespace": "default", "name": name}
        await api.made(f"{CORE}/events", {"metadata": {"name": name}, "involvedObject": about, "reason": "Pulled"})
    _, found = await api("GET", f"{CORE}/events?fieldSelector=involvedObject.name%3Da,reason%3DPulled")
    assert [event["metadata"]["name"] for event in found["items"]] == ["a"]
    rows = await api.table(f"{CORE}/events")
    assert list(rows[0])[:5] == ["Last Seen", "Type", "Reason", "Object", "Subobject"]
    assert rows[0]["Object"] == "pod/a"


async def test_a_pod_is_completed_by_admission(api):
    spec = (await api.made(f"{CORE}/pods", pod()))["spec"]
    assert (spec["serviceAccountName"], spec["priority"]) == ("default", 0)
    assert spec["preemptionPolicy"] == "PreemptLowerPriority"
    assert {t["key"]: t["tolerationSeconds"] for t in spec["tolerations"]} == {
        "node.kubernetes.io/not-ready": 300,
        "node.kubernetes.io/unreachable": 300,
    }
    (volume,) = spec["volumes"]
    assert volume["name"].startswith("kube-api-access-")
    assert [next(iter(source)) for source in volume["projected"]["sources"]] == [
        "serviceAccountToken",
        "configMap",
        "downwardAPI",
    ]
    assert spec["containers"][0]["volumeMounts"] == [
        {"name": volume["name"], "readOnly": True, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}
    ]


async def test_a_pod_may_do_without_a_token(api):
    spec = (await api.made(f"{CORE}/pods", pod(automountServiceAccountToken=False)))["spec"]
    assert "volumes" not in spec


async def test_a_pods_account_must_be_there(api):
    text = await api.refused("POST", f"{CORE}/pods", pod(serviceAccountName="robot"))
    assert text == (
        'pods "web" is forbidden: error looking up service account default/robot: serviceaccount "robot" not found'
    )


async def test_priority_comes_from_the_class(api):
    made = await api.made(f"{CORE}/pods", pod(priorityClassName="system-node-critical"))
    assert made["spec"]["priority"] == 2_000_001_000
    assert "no PriorityClass with name gold was found" in await api.refused(
        "POST", f"{CORE}/pods", pod("b", priorityClassName="gold")
    )
    assert "must not be provided in pod spec" in await api.refused("POST", f"{CORE}/pods", pod("b", priority=5))


async def test_a_put_without_what_admission_gave_is_no_change(api):
    made = await api.made(f"{CORE}/pods", pod())
    for field in ("priority", "preemptionPolicy"):
        made["spec"].pop(field)
    code, answer = await api("PUT", f"{CORE}/pods/web", made)
    assert (code, answer["metadata"]["resourceVersion"]) == (200, made["metadata"]["resourceVersion"])


async def test_a_pod_is_bound_once(api):
    await api.made(f"{CORE}/pods", pod())
    binding = {"metadata": {"name": "web"}, "target": {"kind": "Node", "name": "n1"}}
    assert (await api("POST", f"{CORE}/pods/web/binding", binding))[0] == 201
    _, bound = await api("GET", f"{CORE}/pods/web")
    assert bound["spec"]["nodeName"] == "n1"
    assert bound["status"]["conditions"][0]["type"] == "PodScheduled"
    code, error = await api("POST", f"{CORE}/pods/web/binding", binding)
    assert (code, error["message"]) == (
        409,
        'Operation cannot be fulfilled on pods/binding "web": pod web is already assigned to node "n1"',
    )
    assert await api.faults("POST", f"{CORE}/pods/web/binding", {"target": {"kind": "Pod"}}) == [
        'target.kind: Unsupported value: "Pod": supported values: "Node", "<empty>"',
        "target.name: Required value",
    ]


async def test_a_bound_pod_dies_gracefully_and_an_unbound_one_at_once(api):
    await api.made(f"{CORE}/pods", pod("a"))
    await api.made(f"{CORE}/pods", pod("b"))
    await api("POST", f"{CORE}/bindings", {"metadata": {"name": "b"}, "target": {"name": "n1"}})
    await api("DELETE", f"{CORE}/pods/a")
    assert (await api("GET", f"{CORE}/pods/a"))[0] == 404
    await api("DELETE", f"{CORE}/pods/b")
    _, dying = await api("GET", f"{CORE}/pods/b")
    assert (dying["metadata"]["deletionGracePeriodSeconds"], dying["metadata"]["generation"]) == (30, 2)
    assert (await api.table(f"{CORE}/pods"))[0]["Status"] == "Terminating"
    await api("DELETE", f"{CORE}/pods/b?gracePeriodSeconds=0")
    assert (await api("GET", f"{CORE}/pods/b"))[0] == 404


async def test_an_evicted_pod_says_why_it_goes(api):
    await api.made(f"{CORE}/pods", pod())
    await api("POST", f"{CORE}/bindings", {"metadata": {"name": "web"}, "target": {"name": "n1"}})
    code, _ = await api("POST", f"{CORE}/pods/web/eviction", {"metadata": {"name": "web"}})
    assert code == 201
    _, dying = await api("GET", f"{CORE}/pods/web")
    reasons = {c["type"]: c.get("reason") for c in dying["status"]["conditions"]}
    assert reasons["DisruptionTarget"] == "EvictionByEvictionAPI"
    assert dying["metadata"]["deletionTimestamp"]


async def test_pods_are_found_by_their_node(api):
    await api.made(f"{CORE}/pods", pod("a"))
    await api.made(f"{CORE}/pods", pod("b"))
    await api("POST", f"{CORE}/bindings", {"metadata": {"name": "b"}, "target": {"name": "n1"}})
    for selector, names in (("spec.nodeName%3Dn1", ["b"]), ("spec.nodeName%3D,status.phase%3DPending", ["a"])):
        _, found = await api("GET", f"/api/v1/pods?fieldSelector={selector}")
        assert [item["metadata"]["name"] for item in found["items"]] == names


async def test_a_token_says_who_and_where(api):
    await api.made(f"{CORE}/pods", pod())
    _, made = await api("GET", f"{CORE}/pods/web")
    ref = {"kind": "Pod", "apiVersion": "v1", "name": "web", "uid": made["metadata"]["uid"]}
    answer = await api.made(f"{CORE}/serviceaccounts/default/token", {"spec": {"boundObjectRef": ref}})
    token = answer["status"]["token"]
    review = await api.made("/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": token}})
    assert review["status"]["authenticated"] is True
    user = review["status"]["user"]
    assert user["username"] == "system:serviceaccount:default:default"
    assert user["extra"]["authentication.kubernetes.io/pod-name"] == ["web"]
    bad = await api.made("/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": "nonsense"}})
    assert not bad["status"].get("authenticated")
    assert await api.faults("POST", f"{CORE}/serviceaccounts/default/token", {"spec": {"expirationSeconds": 5}}) == [
        "spec.expirationSeconds: Invalid value: 5: may not specify a duration less than 10 minutes"
    ]


async def test_who_am_i(api):
    bob = User("bob", groups=("staff", "system:authenticated"))
    answer = await api.made("/apis/authentication.k8s.io/v1/selfsubjectreviews", {}, user=bob)
    assert answer["status"]["userInfo"] == {"username": "bob", "groups": ["staff", "system:authenticated"]}


async def test_a_lease_needs_its_revision_to_be_replaced(api):
    path = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
    await api.made(path, {"metadata": {"name": "l"}, "spec": {"holderIdentity": "a"}})
    assert (await api("PUT", f"{path}/l", {"metadata": {"name": "l"}}))[0] == 422
    (row,) = await api.table(path)
    assert row["Holder"] == "a"


async def test_dry_runs_of_actions_write_nothing(api):
    await api.made(f"{CORE}/pods", pod())
    await api.made("/api/v1/namespaces", {"metadata": {"name": "x"}})
    binding = {"metadata": {"name": "web"}, "target": {"name": "n1"}}
    for method, path, body in (
        ("POST", f"{CORE}/pods/web/binding?dryRun=All", binding),
        ("POST", f"{CORE}/bindings?dryRun=All", binding),
        ("POST", f"{CORE}/pods/web/eviction?dryRun=All", {"metadata": {"name": "web"}}),
        ("PUT", "/api/v1/namespaces/x/finalize?dryRun=All", {"metadata": {"name": "x"}, "spec": {}}),
    ):
        code, answer = await api(method, path, body)
        assert code in (200, 201), answer
    assert "nodeName" not in (await api("GET", f"{CORE}/pods/web"))[1]["spec"]
    assert (await api("GET", "/api/v1/namespaces/x"))[1]["spec"] == {"finalizers": ["kubernetes"]}
