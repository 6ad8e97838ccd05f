"""Pods through the API: what updates, status and subresources may change, budgets, bindings, warnings."""

import pytest

from pybernetes.apiserver.resources.core._pod_eviction import BUDGETS

CORE = "/api/v1/namespaces/default"
PODS = f"{CORE}/pods"
POLICY = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
AMOUNTS = {"cpu": "100m", "memory": "100Mi"}


def pod(name="p", spec=None, **container):
    containers = [{"name": "c", "image": "i:1", **container}]
    return {"metadata": {"name": name, "labels": {"app": "a"}}, "spec": {"containers": containers, **(spec or {})}}


async def patched(api, path, body):
    code, answer = await api("PATCH", path, body)
    assert code == 200, answer
    return answer


async def running(api, name="p", **more):
    """A Pod that runs on a Node."""
    await api.made(PODS, pod(name, {"nodeName": "n"}, **more))
    ready = {"conditions": [{"type": "Ready", "status": "True"}], "phase": "Running"}
    return await patched(api, f"{PODS}/{name}/status", {"status": ready})


# --- updates


async def test_a_refused_update_says_what_differs(api):
    await api.made(PODS, pod())
    (fault,) = await api.faults("PATCH", f"{PODS}/p", {"spec": {"hostname": "other"}})
    assert fault.startswith("spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,")
    assert '+ \tHostname: "other",\n' in fault


async def test_mirror_and_app_armor_annotations_stay(api):
    await api.made(PODS, pod())
    note = {"kubernetes.io/config.mirror": "x", "container.apparmor.security.beta.kubernetes.io/c": "unconfined"}
    assert sorted(await api.faults("PATCH", f"{PODS}/p", {"metadata": {"annotations": note}})) == [
        "metadata.annotations[container.apparmor.security.beta.kubernetes.io/c]: Forbidden: "
        "may not add AppArmor annotations",
        "metadata.annotations[kubernetes.io/config.mirror]: Forbidden: may not add mirror pod annotation",
    ]


async def test_creation_tells_all_faults_at_once(api):
    wrong = pod("p", {"ephemeralContainers": [{"name": "e", "image": "e"}], "restartPolicy": "x"}, image="")
    faults = await api.faults("POST", PODS, wrong)
    assert faults == [
        "spec.containers[0].image: Required value",
        'spec.restartPolicy: Unsupported value: "x": supported values: "Always", "OnFailure", "Never"',
        "spec.ephemeralContainers: Forbidden: cannot be set on create",
    ]


async def test_label_keys_become_part_of_selectors(api):
    rule = {
        "maxSkew": 1,
        "topologyKey": "z",
        "whenUnsatisfiable": "DoNotSchedule",
        "matchLabelKeys": ["app", "missing"],
        "labelSelector": {},
    }
    made = await api.made(PODS, pod("p", {"topologySpreadConstraints": [rule]}))
    selector = made["spec"]["topologySpreadConstraints"][0]["labelSelector"]
    assert selector == {"matchExpressions": [{"key": "app", "operator": "In", "values": ["a"]}]}


async def test_an_old_app_armor_annotation_fills_the_field_and_warns(api):
    given = pod()
    given["metadata"]["annotations"] = {"container.apparmor.security.beta.kubernetes.io/c": "localhost/x"}
    (text,) = await api.warnings("POST", PODS, given)
    assert 'deprecated since v1.30; use the "appArmorProfile" field instead' in text
    _, made = await api("GET", f"{PODS}/p")
    profile = made["spec"]["containers"][0]["securityContext"]["appArmorProfile"]
    assert profile == {"type": "Localhost", "localhostProfile": "x"}


# --- status


async def test_status_keeps_what_no_write_takes_back(api):
    await running(api)
    answer = await patched(api, f"{PODS}/p/status", {"status": {"qosClass": None}, "spec": {"hostname": "h"}})
    assert answer["status"]["qosClass"] == "BestEffort"
    assert "hostname" not in answer["spec"]
    assert answer["metadata"]["generation"] == 1


async def test_a_status_is_refused_for_all_that_cannot_be(api):
    await running(api)
    wrong = {
        "qosClass": "Guaranteed",
        "nominatedNodeName": "m",
        "observedGeneration": -1,
        "podIPs": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}],
        "hostIP": "10.0.0.3",
        "hostIPs": [{"ip": "10.0.0.4"}],
        "conditions": [{"type": "a b", "status": "True"}],
        "resourceClaimStatuses": [{"name": "none"}],
    }
    faults = await api.faults("PATCH", f"{PODS}/p/status", {"status": wrong})
    assert [fault.partition(": Invalid value")[0].partition(": Forbidden")[0] for fault in faults] == [
        "status.conditions[0].Type",
        "status.nominatedNodeName",
        "status.observedGeneration",
        "status.qosClass",
        "status.resourceClaimStatuses[0].name",
        "status.podIPs",
        "status.hostIPs[0].ip",
    ]


@pytest.mark.parametrize(
    ("policy", "code", "allowed"),
    [("Always", 1, True), ("OnFailure", 1, True), ("OnFailure", 0, False), ("Never", 1, False)],
)
async def test_a_container_that_is_not_restarted_stays_terminated(api, policy, code, allowed):
    await api.made(PODS, pod("p", {"nodeName": "n", "restartPolicy": policy}))
    ended = {"containerStatuses": [{"name": "c", "state": {"terminated": {"exitCode": code}}}]}
    await patched(api, f"{PODS}/p/status", {"status": ended})
    again = {"containerStatuses": [{"name": "c", "state": {"running": {}}}]}
    answered, answer = await api("GET", f"{PODS}/p")
    answer["status"]["containerStatuses"] = again["containerStatuses"]
    answered, answer = await api("PUT", f"{PODS}/p/status", answer)
    assert (answered == 200) is allowed
    if not allowed:
        (cause,) = answer["details"]["causes"]
        assert cause["field"] == "status.containerStatuses[0].state"


# --- subresources


async def test_an_ephemeral_container_is_never_changed_or_removed(api):
    await api.made(PODS, pod())
    path = f"{PODS}/p/ephemeralcontainers"
    await patched(api, path, {"spec": {"ephemeralContainers": [{"name": "e", "image": "e"}]}})
    _, obj = await api("GET", path)
    obj["spec"]["ephemeralContainers"][0]["image"] = "other"
    (fault,) = await api.faults("PUT", path, obj)
    assert fault.startswith('spec.ephemeralContainers: Forbidden: existing ephemeral containers "e" may not be changed')
    obj["spec"]["ephemeralContainers"] = [{"name": "f", "image": "f", "ports": [{"containerPort": 1}]}]
    assert await api.faults("PUT", path, obj) == [
        "spec.ephemeralContainers[0].ports: Forbidden: cannot be set for an Ephemeral Container",
        'spec.ephemeralContainers: Forbidden: existing ephemeral containers "e" may not be removed\n',
    ]


C = "spec.containers[0].resources.requests"


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"requests": {"memory": None}}, f"{C}: Forbidden: resource requests cannot be removed"),
        ({"limits": AMOUNTS}, 'spec: Invalid value: "Burstable": Pod QOS Class may not change'),
        ({"requests": {"ephemeral-storage": "1Gi"}}, "spec: Forbidden: only cpu and memory resources are mutable"),
        ({"requests": {"cpu": "-1"}}, f'{C}[cpu]: Invalid value: "-1"'),
    ],
)
async def test_a_resize_is_refused(api, change, fault):
    await api.made(PODS, pod(resources={"requests": AMOUNTS}))
    faults = await api.faults(
        "PATCH", f"{PODS}/p/resize", {"spec": {"containers": [{"name": "c", "resources": change}]}}
    )
    assert faults[0].startswith(fault)


async def test_containers_are_not_renamed_by_a_resize(api):
    made = await api.made(PODS, pod(resources={"requests": AMOUNTS}))
    made["spec"]["containers"][0]["name"] = "other"
    assert "spec.containers[0].name: Forbidden: containers may not be renamed or reordered on resize" in (
        await api.faults("PUT", f"{PODS}/p/resize", made)
    )


async def test_a_memory_limit_shrinks_and_a_dry_run_does_not(api):
    await api.made(PODS, pod(resources={"requests": AMOUNTS, "limits": {"memory": "1Gi"}}))
    less = {"spec": {"containers": [{"name": "c", "resources": {"limits": {"memory": "512Mi"}}}]}}
    dry = await patched(api, f"{PODS}/p/resize?dryRun=All", less)
    assert dry["spec"]["containers"][0]["resources"]["limits"]["memory"] == "512Mi"
    _, stored = await api("GET", f"{PODS}/p")
    assert stored["spec"]["containers"][0]["resources"]["limits"]["memory"] == "1Gi"
    answer = await patched(api, f"{PODS}/p/resize", less)
    assert answer["spec"]["containers"][0]["resources"]["limits"]["memory"] == "512Mi"


async def test_a_pod_as_a_whole_is_resized(api):
    await api.made(PODS, pod("p", {"resources": {"requests": AMOUNTS}}))
    answer = await patched(api, f"{PODS}/p/resize", {"spec": {"resources": {"requests": {"cpu": "200m"}}}})
    assert answer["spec"]["resources"]["requests"] == {"cpu": "200m", "memory": "100Mi"}
    (fault,) = await api.faults("PATCH", f"{PODS}/p/resize", {"spec": {"resources": {"requests": {"cpu": None}}}})
    assert fault == "spec.resources.requests: Forbidden: pod-level resource requests cannot be removed"


async def test_a_bound_pod_has_its_nodes_topology_and_no_nomination(api):
    zone = {"topology.kubernetes.io/zone": "z", "other": "x"}
    await api.made("/api/v1/nodes", {"metadata": {"name": "n", "labels": zone}})
    await api.made(PODS, pod())
    await patched(api, f"{PODS}/p/status", {"status": {"nominatedNodeName": "m"}})
    body = {"metadata": {"name": "p", "annotations": {"a": "b"}}, "target": {"kind": "Node", "name": "n"}}
    assert (await api("POST", f"{CORE}/bindings", body))[0] == 201
    _, bound = await api("GET", f"{PODS}/p")
    assert bound["metadata"]["labels"] == {"app": "a", "topology.kubernetes.io/zone": "z"}
    assert bound["metadata"]["annotations"] == {"a": "b"}
    assert "nominatedNodeName" not in bound["status"]
    assert bound["metadata"]["generation"] == 1


async def test_a_gated_pod_is_not_bound(api):
    await api.made(PODS, pod("p", {"schedulingGates": [{"name": "a.b/c"}]}))
    code, answer = await api("POST", f"{PODS}/p/binding", {"target": {"name": "n"}})
    assert (code, answer["message"]) == (
        409,
        'Operation cannot be fulfilled on pods/binding "p": pod p has non-empty .spec.schedulingGates',
    )


@pytest.mark.parametrize(
    ("query", "faults"),
    [
        ("tailLines=-1", ["tailLines: Invalid value: -1: must be greater than or equal to 0"]),
        ("limitBytes=0", ["limitBytes: Invalid value: 0: must be greater than 0"]),
        (
            "sinceSeconds=1&sinceTime=2020-01-01T00:00:00Z",
            [": Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified"],
        ),
        (
            "stream=Stdout&tailLines=1",
            [": Forbidden: `tailLines` and specific `stream` are mutually exclusive for now"],
        ),
        ("stream=X", ['stream: Unsupported value: "X": supported values: "All", "Stderr", "Stdout"']),
    ],
)
async def test_log_options_are_judged(api, query, faults):
    await api.made(PODS, pod())
    code, answer = await api("GET", f"{PODS}/p/log?{query}")
    assert (code, answer["details"]["kind"]) == (422, "PodLogOptions")
    assert [f"{cause.get('field', '')}: {cause['message']}" for cause in answer["details"]["causes"]] == faults


# --- eviction


async def budget(api, name="b", spec=None, **status):
    given = {"metadata": {"name": name}, "spec": {"minAvailable": 1, "selector": {}, **(spec or {})}}
    await api.made(POLICY, given)
    await patched(api, f"{POLICY}/{name}/status", {"status": {"observedGeneration": 1, **status}})


async def evicted(api, name="p", query="", **options):
    body = {"metadata": {"name": name}, **({"deleteOptions": options} if options else {})}
    return await api("POST", f"{PODS}/{name}/eviction{query}", body)


async def test_an_eviction_spends_the_budget_once(api):
    await running(api)
    await budget(api, disruptionsAllowed=1, currentHealthy=2, desiredHealthy=1, expectedPods=2)
    for query, left in (("?dryRun=All", 1), ("", 0)):
        assert (await evicted(api, query=query))[0] == 201
        _, found = await api("GET", f"{POLICY}/b")
        assert found["status"]["disruptionsAllowed"] == left
    assert list(found["status"]["disruptedPods"]) == ["p"]
    assert found["status"]["conditions"][0]["reason"] == "InsufficientPods"
    _, dying = await api("GET", f"{PODS}/p")
    target = next(c for c in dying["status"]["conditions"] if c["type"] == "DisruptionTarget")
    assert target["reason"] == "EvictionByEvictionAPI"
    assert dying["metadata"]["generation"] == 2


FAILED = {
    "type": "DisruptionAllowed",
    "status": "False",
    "reason": "SyncFailed",
    "message": "why",
    "lastTransitionTime": "2020-01-01T00:00:00Z",
}


@pytest.mark.parametrize(
    ("status", "cause", "after"),
    [
        ({"desiredHealthy": 3, "currentHealthy": 2}, "needs 3 healthy pods and has 2 currently", None),
        ({"observedGeneration": 0}, "is still being processed by the server.", 10),
        (
            {"conditions": [FAILED]},
            "does not allow evicting pods currently because it failed sync: why",
            None,
        ),
    ],
)
async def test_a_spent_budget_answers_429(api, status, cause, after):
    await running(api)
    counts = {"disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0}
    await budget(api, **{**counts, **status})
    code, answer = await evicted(api)
    assert (code, answer["reason"]) == (429, "TooManyRequests")
    assert answer["message"] == "Cannot evict pod as it would violate the pod's disruption budget."
    assert answer["details"]["causes"] == [
        {"reason": "DisruptionBudget", "message": f"The disruption budget b {cause}"}
    ]
    assert answer["details"].get("retryAfterSeconds") == after


async def test_two_budgets_are_one_too_many(api):
    await running(api)
    counts = {"disruptionsAllowed": 1, "currentHealthy": 1, "desiredHealthy": 0, "expectedPods": 1}
    await budget(api, "a", **counts)
    await budget(api, "b", **counts)
    code, answer = await evicted(api)
    assert code == 500
    assert answer["message"] == (
        "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
    )


@pytest.mark.parametrize(("policy", "code"), [("AlwaysAllow", 201), ("IfHealthyBudget", 429)])
async def test_a_pod_that_is_not_ready_goes_if_the_budget_says_so(api, policy, code):
    await running(api)
    await patched(api, f"{PODS}/p/status", {"status": {"conditions": [{"type": "Ready", "status": "False"}]}})
    spec = {"unhealthyPodEvictionPolicy": policy}
    await budget(api, spec=spec, disruptionsAllowed=0, currentHealthy=0, desiredHealthy=1, expectedPods=1)
    assert (await evicted(api))[0] == code


async def test_a_pending_pod_asks_no_budget(api):
    await api.made(PODS, pod())
    await budget(api, disruptionsAllowed=0, currentHealthy=0, desiredHealthy=1, expectedPods=1)
    assert (await evicted(api))[0] == 201
    assert (await api("GET", f"{PODS}/p"))[0] == 404


async def test_an_eviction_keeps_preconditions_and_finalizers(api):
    given = pod()
    given["metadata"]["finalizers"] = ["a.b/c"]
    await api.made(PODS, given)
    code, answer = await evicted(api, preconditions={"uid": "other"})
    assert (code, answer["reason"]) == (409, "Conflict")
    assert (await evicted(api))[0] == 201
    _, dying = await api("GET", f"{PODS}/p")
    assert dying["metadata"]["deletionGracePeriodSeconds"] == 0


def test_budgets_are_those_of_policy():
    assert str(BUDGETS) == "poddisruptionbudgets.policy"
