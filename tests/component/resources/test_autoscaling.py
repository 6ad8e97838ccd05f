"""HorizontalPodAutoscaler: v2 as stored, v1 as the same object, refusals, tables."""

import orjson

V2 = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers"
V1 = "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers"
ALPHA = "autoscaling.alpha.kubernetes.io/"
TARGET = {"kind": "Deployment", "name": "web", "apiVersion": "apps/v1"}
CPU = {
    "type": "Resource",
    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
}
PODS = {"type": "Pods", "pods": {"metric": {"name": "rps"}, "target": {"type": "AverageValue", "averageValue": "10"}}}
OBJECT = {
    "type": "Object",
    "object": {
        "describedObject": {"kind": "Service", "name": "front", "apiVersion": "v1"},
        "metric": {"name": "hits", "selector": {"matchLabels": {"a": "b"}}},
        "target": {"type": "Value", "value": "2k"},
    },
}
EXTERNAL = {"type": "External", "external": {"metric": {"name": "queue"}, "target": {"type": "Value", "value": "30"}}}
SIDECAR = {
    "type": "ContainerResource",
    "containerResource": {
        "name": "memory",
        "container": "app",
        "target": {"type": "AverageValue", "averageValue": "1Gi"},
    },
}


def scaler(**spec):
    return {"metadata": {"name": "web"}, "spec": {"scaleTargetRef": TARGET, "maxReplicas": 5, **spec}}


async def test_an_autoscaler_has_defaults(api):
    made = await api.made(
        V2, scaler(behavior={"scaleUp": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 9}]}})
    )
    spec = made["spec"]
    assert (spec["minReplicas"], spec["metrics"]) == (1, [CPU])
    assert spec["behavior"] == {
        "scaleUp": {
            "stabilizationWindowSeconds": 0,
            "selectPolicy": "Max",
            "policies": [{"type": "Pods", "value": 1, "periodSeconds": 9}],
        },
        "scaleDown": {
            "selectPolicy": "Max",
            "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
        },
    }
    assert "behavior" not in (await api.made(V2, scaler() | {"metadata": {"name": "plain"}}))["spec"]


async def test_both_versions_show_the_same_object(api):
    made = await api.made(V1, scaler(targetCPUUtilizationPercentage=60))
    assert (made["apiVersion"], made["spec"]["targetCPUUtilizationPercentage"]) == ("autoscaling/v1", 60)
    assert made["spec"]["minReplicas"] == 1
    _, new = await api("GET", f"{V2}/web")
    assert new["apiVersion"] == "autoscaling/v2"
    assert new["spec"]["metrics"][0]["resource"]["target"] == {"type": "Utilization", "averageUtilization": 60}
    assert new["metadata"]["uid"] == made["metadata"]["uid"]
    _, changed = await api("PATCH", f"{V1}/web", {"spec": {"targetCPUUtilizationPercentage": 70, "maxReplicas": 9}})
    assert changed["spec"]["targetCPUUtilizationPercentage"] == 70
    _, new = await api("GET", f"{V2}/web")
    assert (new["spec"]["maxReplicas"], new["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"]) == (
        9,
        70,
    )
    assert (await api.made(V1, scaler() | {"metadata": {"name": "plain"}}))["spec"][
        "targetCPUUtilizationPercentage"
    ] == 80


async def test_what_v1_has_no_fields_for_is_in_annotations(api):
    tolerant = {"scaleDown": {"tolerance": "0.05"}}
    metrics = [OBJECT, PODS, CPU, SIDECAR, EXTERNAL]
    made = await api.made(V2, scaler(metrics=metrics, behavior=tolerant))
    conditions = [
        {"type": "AbleToScale", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z", "reason": "Ready"}
    ]
    current = [
        {"type": "Pods", "pods": {"metric": {"name": "rps"}, "current": {"averageValue": "7"}}},
        {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 33, "averageValue": "10m"}}},
    ]
    status = {"currentReplicas": 2, "desiredReplicas": 3, "currentMetrics": current, "conditions": conditions}
    assert (await api("PATCH", f"{V2}/web/status", {"status": status}))[0] == 200
    _, old = await api("GET", f"{V1}/web")
    assert old["spec"]["targetCPUUtilizationPercentage"] == 80
    assert old["status"] == {"currentReplicas": 2, "desiredReplicas": 3, "currentCPUUtilizationPercentage": 33}
    notes = {key.removeprefix(ALPHA): orjson.loads(text) for key, text in old["metadata"]["annotations"].items()}
    assert [metric["type"] for metric in notes["metrics"]] == ["Object", "Pods", "ContainerResource", "External"]
    assert notes["metrics"][0]["object"] == {
        "target": {"kind": "Service", "name": "front", "apiVersion": "v1"},
        "metricName": "hits",
        "targetValue": "2k",
        "selector": {"matchLabels": {"a": "b"}},
    }
    assert notes["current-metrics"][1]["resource"] == {
        "name": "cpu",
        "currentAverageUtilization": 33,
        "currentAverageValue": "10m",
    }
    assert notes["behavior"]["ScaleDown"] == {
        "StabilizationWindowSeconds": None,
        "SelectPolicy": "Max",
        "Policies": [{"Type": "Percent", "Value": 100, "PeriodSeconds": 15}],
        "Tolerance": "50m",
    }
    assert notes["conditions"] == conditions
    code, _ = await api("PUT", f"{V1}/web", old)
    _, new = await api("GET", f"{V2}/web")
    assert code == 200
    assert new["spec"] == {**made["spec"], "metrics": [OBJECT, PODS, SIDECAR, EXTERNAL, CPU]}
    assert new["status"] == status
    assert "annotations" not in new["metadata"]


async def test_annotations_that_cannot_be_read_count_for_nothing(api):
    wrong = ("{", "5", "[5]", '[{"type":"Pods","pods":7}]', "null", '{"a":1}', '[{"type":3}]', '"x"')
    for number, text in enumerate(wrong):
        keys = ("metrics", "current-metrics", "behavior", "conditions")
        body = scaler() | {
            "metadata": {"name": f"n{number}", "annotations": {ALPHA + key: text for key in keys}},
        }
        code, answer = await api("POST", V1, body)
        assert code in (201, 422), answer
    body = scaler() | {"metadata": {"name": "v2", "annotations": {f"{ALPHA}metrics": "[]", "kept": "yes"}}}
    assert (await api.made(V2, body))["metadata"]["annotations"] == {"kept": "yes"}


async def test_an_autoscaler_is_checked_as_a_whole(api):
    bad = {
        "metadata": {"name": "web"},
        "spec": {"minReplicas": -2, "maxReplicas": -3, "scaleTargetRef": {"kind": "a/b"}},
    }
    assert await api.faults("POST", V2, bad) == [
        "spec.minReplicas: Invalid value: -2: must be greater than or equal to 0",
        "spec.maxReplicas: Invalid value: -3: must be greater than 0",
        "spec.maxReplicas: Invalid value: -3: must be greater than or equal to `minReplicas`",
        "spec.scaleTargetRef.kind: Invalid value: \"a/b\": may not contain '/'",
        "spec.scaleTargetRef.name: Required value",
        'spec.scaleTargetRef.apiVersion: Invalid value: "": apiVersion must specify API group',
    ]
    none = scaler(minReplicas=0, scaleTargetRef={"kind": "ReplicationController", "name": "web", "apiVersion": "v1"})
    assert await api.faults("POST", V2, none) == [
        "spec.metrics: Forbidden: must specify at least one Object or External metric to support scaling to zero replicas",
    ]


async def test_nothing_may_be_left_running_where_something_outside_is_measured(api):
    made = await api.made(V2, scaler(minReplicas=0, metrics=[EXTERNAL, CPU]))
    assert made["spec"]["minReplicas"] == 0
    _, changed = await api("PATCH", f"{V2}/web", {"spec": {"minReplicas": 1}})
    assert (made["metadata"]["generation"], changed["metadata"]["generation"]) == (1, 2)


async def test_metrics_are_checked_one_by_one(api):
    both = {"type": "Value", "value": "1", "averageValue": "-1"}
    metrics = [
        {"type": "Magic"},
        {"type": "Pods", "resource": CPU["resource"]},
        {**CPU, "pods": PODS["pods"]},
        {"type": "Resource", "resource": {"target": {"averageUtilization": 0, "averageValue": "0"}}},
        {"type": "Object", "object": {"target": {"type": "Value"}}},
        {"type": "External", "external": {"metric": {"name": "a/b"}, "target": both}},
        {
            "type": "ContainerResource",
            "containerResource": {"name": "apples", "container": "A", "target": {"type": "x"}},
        },
    ]
    found = await api.faults("POST", V2, scaler(metrics=metrics))
    listed = '"ContainerResource", "External", "Object", "Pods", "Resource"'
    path = "spec.metrics"
    types = "must be either Utilization, Value, or AverageValue"
    assert [fault for fault in found if "[6].containerResource.container" not in fault] == [
        *[f'{path}[0].type: Unsupported value: "Magic": supported values: {listed}'] * 2,
        f"{path}[1].pods: Required value: must populate information for the given metric source",
        f"{path}[2].pods: Forbidden: must populate the given metric source only",
        f"{path}[3].resource.name: Required value: must specify a resource name",
        f"{path}[3].resource.target.type: Required value: must specify a metric target type",
        f'{path}[3].resource.target.type: Invalid value: "": {types}',
        f'{path}[3].resource.target.averageValue: Invalid value: "0": must be positive',
        f"{path}[3].resource.target.averageUtilization: Invalid value: 0: must be greater than 0",
        f"{path}[3].resource.target.averageValue: Forbidden: may not set both a target raw value and a target utilization",
        f"{path}[4].object.describedObject.kind: Required value",
        f"{path}[4].object.describedObject.name: Required value",
        f"{path}[4].object.metric.name: Required value: must specify a metric name",
        f"{path}[4].object.target.averageValue: Required value: must set either a target value or averageValue",
        f"{path}[5].external.metric.name: Invalid value: \"a/b\": may not contain '/'",
        f'{path}[5].external.target.averageValue: Invalid value: "-1": must be positive',
        f"{path}[5].external.target.value: Forbidden: may not set both a target value for metric and a per-pod target",
        f'{path}[6].containerResource.name: Invalid value: "apples": must be a standard resource type or fully qualified',
        f'{path}[6].containerResource.name: Invalid value: "apples": must be a standard resource for containers',
        f'{path}[6].containerResource.target.type: Invalid value: "x": {types}',
        f"{path}[6].containerResource.target.averageUtilization: Required value: must set either a target raw value or "
        "a target utilization",
    ]


async def test_behavior_is_checked(api):
    up = {
        "stabilizationWindowSeconds": 3601,
        "selectPolicy": "Some",
        "tolerance": "-1",
        "policies": [{"type": "Nodes", "value": 0, "periodSeconds": 1801}, {"type": "Pods", "value": 1}],
    }
    down = {"stabilizationWindowSeconds": -1}
    path = "spec.behavior.scaleUp"
    assert await api.faults("POST", V2, scaler(behavior={"scaleUp": up, "scaleDown": down})) == [
        f"{path}.stabilizationWindowSeconds: Invalid value: 3601: must be less than or equal to 3600",
        f'{path}.selectPolicy: Unsupported value: "Some": supported values: "Disabled", "Max", "Min"',
        f'{path}.policies[0].type: Unsupported value: "Nodes": supported values: "Percent", "Pods"',
        f"{path}.policies[0].value: Invalid value: 0: must be greater than zero",
        f"{path}.policies[0].periodSeconds: Invalid value: 1801: must be less than or equal to 1800",
        f"{path}.policies[1].periodSeconds: Invalid value: 0: must be greater than zero",
        f'{path}.tolerance: Invalid value: "-1": must be greater than or equal to 0',
        "spec.behavior.scaleDown.stabilizationWindowSeconds: Invalid value: -1: must be greater than or equal to zero",
    ]


async def test_replicas_of_a_status_are_not_negative(api):
    await api.made(V2, scaler())
    condition = {"type": "AbleToScale", "status": "True", "observedGeneration": -1}
    bad = {"currentReplicas": -1, "desiredReplicas": -1, "currentMetrics": None, "conditions": [condition]}
    assert await api.faults("PATCH", f"{V2}/web/status", {"status": bad}) == [
        "status.currentReplicas: Invalid value: -1: must be greater than or equal to 0",
        "status.desiredReplicas: Invalid value: -1: must be greater than or equal to 0",
        "status.conditions[0].observedGeneration: Invalid value: -1: must be greater than or equal to 0",
    ]


async def test_the_table_is_kubectls_in_both_versions(api):
    average = {
        "type": "External",
        "external": {"metric": {"name": "q"}, "target": {"type": "AverageValue", "averageValue": "4"}},
    }
    await api.made(V2, scaler(metrics=[CPU, PODS, OBJECT, EXTERNAL, average]))
    await api.made(V2, scaler(metrics=[average, SIDECAR]) | {"metadata": {"name": "two"}})
    await api.made(V2, scaler() | {"metadata": {"name": "plain"}})
    current = [{"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 33}}}]
    status = {"currentReplicas": 2, "desiredReplicas": 2, "currentMetrics": current}
    assert (await api("PATCH", f"{V2}/plain/status", {"status": status}))[0] == 200
    for path in (V2, V1):
        rows = {row["Name"]: row for row in await api.table(path)}
        names = ["Name", "Reference", "Targets", "MinPods", "MaxPods", "Replicas", "Age"]
        assert list(rows["web"]) == names
        assert list(rows["plain"].values())[1:6] == ["Deployment/web", "cpu: 33%/80%", "1", 5, 2]
        assert rows["two"]["Targets"] == "<unknown>/4 (avg), memory: <unknown>/1Gi"
    (row,) = [row for row in await api.table(V2) if row["Name"] == "web"]
    assert row["Targets"] == "cpu: <unknown>/80%, <unknown>/10 + 3 more..."
