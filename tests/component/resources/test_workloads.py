"""ReplicationController, ReplicaSet, Deployment: defaults, selectors, scale, generation."""

import copy

import pytest

APPS = "/apis/apps/v1/namespaces/default"
CORE = "/api/v1/namespaces/default"
TEMPLATE = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": "web"}]}}


def deployment(**spec):
    selector = {"matchLabels": {"app": "web"}}
    template = copy.deepcopy(TEMPLATE)
    return {"metadata": {"name": "web"}, "spec": {"selector": selector, "template": template, **spec}}


async def test_a_deployment_rolls_by_default(api):
    spec = (await api.made(f"{APPS}/deployments", deployment()))["spec"]
    assert spec["replicas"] == 1
    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}}
    assert (spec["revisionHistoryLimit"], spec["progressDeadlineSeconds"]) == (10, 600)
    assert spec["template"]["spec"]["restartPolicy"] == "Always"


@pytest.mark.parametrize("plural", ["deployments", "replicasets"])
async def test_the_selector_must_match_and_stay(api, plural):
    bad = deployment(selector={"matchLabels": {"app": "other"}})
    assert await api.faults("POST", f"{APPS}/{plural}", bad) == [
        'spec.template.metadata.labels: Invalid value: {"app":"web"}: `selector` does not match template `labels`'
    ]
    assert await api.faults("POST", f"{APPS}/{plural}", deployment(selector=None)) == [
        "spec.selector: Required value",
        'spec.template.metadata.labels: Invalid value: {"app":"web"}: `selector` does not match template `labels`',
    ]
    assert await api.faults("POST", f"{APPS}/{plural}", deployment(selector={})) == [
        "spec.selector: Invalid value: {}: empty selector is invalid for deployment"
    ]
    odd = {"matchExpressions": [{"key": "app", "operator": "Near", "values": ["web"]}]}
    shown = '{"matchExpressions":[{"key":"app","operator":"Near","values":["web"]}]}'
    assert await api.faults("POST", f"{APPS}/{plural}", deployment(selector=odd)) == [
        'spec.selector.matchExpressions[0].operator: Invalid value: "Near": not a valid selector operator',
        f"spec.selector: Invalid value: {shown}: invalid label selector",
    ]
    made = await api.made(f"{APPS}/{plural}", deployment())
    made["spec"]["selector"] = {"matchLabels": {"app": "v2"}}
    made["spec"]["template"]["metadata"]["labels"] = {"app": "v2"}
    (fault,) = await api.faults("PUT", f"{APPS}/{plural}/web", made)
    assert fault == 'spec.selector: Invalid value: {"matchLabels":{"app":"v2"}}: field is immutable'


async def test_a_strategy_that_cannot_move_is_refused(api):
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}}
    assert await api.faults("POST", f"{APPS}/deployments", deployment(strategy=rolling)) == [
        'spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "0%": may not be 0 when `maxSurge` is 0'
    ]
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "x", "maxUnavailable": "101%"}}
    percent = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%', "
    assert await api.faults("POST", f"{APPS}/deployments", deployment(strategy=rolling)) == [
        f"spec.strategy.rollingUpdate.maxSurge: Invalid value: \"x\": {percent} or '93%', "
        "regex used for validation is '[0-9]+%')",
        'spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "101%": must not be greater than 100%',
    ]
    assert await api.faults("POST", f"{APPS}/deployments", deployment(strategy={"type": "Slow"})) == [
        'spec.strategy: Unsupported value: {"Type":"Slow","RollingUpdate":null}: '
        'supported values: "Recreate", "RollingUpdate"'
    ]
    recreate = {"type": "Recreate", "rollingUpdate": {}}
    assert await api.faults("POST", f"{APPS}/deployments", deployment(strategy=recreate)) == [
        "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"
    ]


async def test_templates_run_for_ever(api):
    bad = deployment()
    bad["spec"]["template"]["spec"] |= {"restartPolicy": "Never", "activeDeadlineSeconds": 3}
    assert await api.faults("POST", f"{APPS}/deployments", bad) == [
        'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"',
        "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in ReplicaSet is not Supported",
    ]


async def test_generation_counts_changes_of_the_spec_and_of_a_deployments_annotations(api):
    path = f"{APPS}/deployments/web"
    assert (await api.made(f"{APPS}/deployments", deployment()))["metadata"]["generation"] == 1
    _, labelled = await api("PATCH", path, {"metadata": {"labels": {"a": "b"}}})
    assert labelled["metadata"]["generation"] == 1
    _, scaled = await api("PATCH", path, {"spec": {"replicas": 3}})
    assert scaled["metadata"]["generation"] == 2
    _, noted = await api("PATCH", f"{path}/status", {"status": {"replicas": 3}})
    assert (noted["metadata"]["generation"], noted["status"]["replicas"]) == (2, 3)
    note = {"metadata": {"annotations": {"a": "b"}}}
    _, noted = await api("PATCH", path, note)
    assert noted["metadata"]["generation"] == 3
    assert (await api("PATCH", path, note))[1]["metadata"]["generation"] == 3
    _, noted = await api("PATCH", f"{path}/status", {"metadata": {"annotations": {"by": "controller"}}})
    assert (noted["metadata"]["generation"], noted["metadata"]["annotations"]) == (3, {"a": "b", "by": "controller"})
    meta = {"name": "rs", "annotations": {}}
    await api.made(f"{APPS}/replicasets", {**deployment(), "kind": "ReplicaSet", "metadata": meta})
    assert (await api("PATCH", f"{APPS}/replicasets/rs", note))[1]["metadata"]["generation"] == 1


async def test_status_is_not_the_clients_on_create(api):
    made = await api.made(f"{APPS}/deployments", {**deployment(), "status": {"replicas": 9}})
    assert not made["status"].get("replicas")


async def test_numbers_of_a_spec_are_checked_together(api):
    bad = deployment(
        replicas=-1, minReadySeconds=600, revisionHistoryLimit=-2, progressDeadlineSeconds=600, strategy={}
    )
    assert await api.faults("POST", f"{APPS}/deployments", bad) == [
        "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
        "spec.revisionHistoryLimit: Invalid value: -2: must be greater than or equal to 0",
        "spec.progressDeadlineSeconds: Invalid value: 600: must be greater than minReadySeconds",
    ]


async def test_counts_in_status_must_fit(api):
    await api.made(f"{APPS}/deployments", deployment())
    status = f"{APPS}/deployments/web/status"
    bad = {"replicas": 1, "readyReplicas": 2, "updatedReplicas": 3, "availableReplicas": -1, "terminatingReplicas": -1}
    assert await api.faults("PATCH", status, {"status": bad}) == [
        "status.availableReplicas: Invalid value: -1: must be greater than or equal to 0",
        "status.terminatingReplicas: Invalid value: -1: must be greater than or equal to 0",
        "status.updatedReplicas: Invalid value: 3: cannot be greater than status.replicas",
        "status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas",
    ]
    assert (await api("PATCH", status, {"status": {"collisionCount": 2}}))[0] == 200
    assert await api.faults("PATCH", status, {"status": {"collisionCount": 1}}) == [
        "status.collisionCount: Invalid value: 1: cannot be decremented"
    ]


async def test_counts_of_a_replicaset_must_fit(api):
    await api.made(f"{APPS}/replicasets", deployment())
    bad = {"replicas": 1, "fullyLabeledReplicas": 2, "availableReplicas": 1, "observedGeneration": -1}
    assert await api.faults("PATCH", f"{APPS}/replicasets/web/status", {"status": bad}) == [
        "status.observedGeneration: Invalid value: -1: must be greater than or equal to 0",
        "status.fullyLabeledReplicas: Invalid value: 2: cannot be greater than status.replicas",
        "status.availableReplicas: Invalid value: 1: cannot be greater than readyReplicas",
    ]


async def test_a_controller_takes_selector_and_labels_from_its_template(api):
    body = {"metadata": {"name": "web"}, "spec": {"template": TEMPLATE}}
    made = await api.made(f"{CORE}/replicationcontrollers", body)
    assert made["spec"]["selector"] == {"app": "web"}
    assert made["metadata"]["labels"] == {"app": "web"}
    assert made["spec"]["replicas"] == 1


@pytest.mark.parametrize(
    ("path", "selector"),
    [(f"{APPS}/deployments", "app=web"), (f"{CORE}/replicationcontrollers", "app=web")],
)
async def test_scale_reads_and_writes_replicas(api, path, selector):
    body = deployment()
    if "replicationcontrollers" in path:
        body["spec"].pop("selector")
    await api.made(path, body)
    _, scale = await api("GET", f"{path}/web/scale")
    assert (scale["kind"], scale["spec"]["replicas"], scale["status"]["selector"]) == ("Scale", 1, selector)
    _, scaled = await api("PATCH", f"{path}/web/scale", {"spec": {"replicas": 4}})
    assert scaled["spec"]["replicas"] == 4
    _, parent = await api("GET", f"{path}/web")
    assert parent["spec"]["replicas"] == 4


async def test_the_table_is_kubectls(api):
    await api.made(f"{APPS}/deployments", deployment(replicas=3))
    await api("PATCH", f"{APPS}/deployments/web/status", {"status": {"replicas": 3, "readyReplicas": 2}})
    (row,) = await api.table(f"{APPS}/deployments")
    assert list(row) == ["Name", "Ready", "Up-to-date", "Available", "Age", "Containers", "Images", "Selector"]
    assert (row["Ready"], row["Containers"], row["Images"], row["Selector"]) == ("2/3", "web", "web", "app=web")
