"""StatefulSet, DaemonSet, ControllerRevision: defaults, what may change, refusals, tables."""

import pytest

APPS = "/apis/apps/v1/namespaces/default"
SETS, DAEMONS, REVISIONS = f"{APPS}/statefulsets", f"{APPS}/daemonsets", f"{APPS}/controllerrevisions"
GENERATION = "deprecated.daemonset.template.generation"
MISMATCH = 'Invalid value: {"app":"db"}: `selector` does not match template `labels`'


def named(**spec):
    template = {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [{"name": "db", "image": "db"}]}}
    return {
        "metadata": {"name": "db"},
        "spec": {"selector": {"matchLabels": {"app": "db"}}, "template": template, **spec},
    }


def claim(name="data"):
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return {"metadata": {"name": name}, "spec": spec}


async def test_a_statefulset_has_defaults(api):
    made = await api.made(SETS, named(volumeClaimTemplates=[claim()]))
    spec = made["spec"]
    assert (spec["replicas"], spec["podManagementPolicy"], spec["revisionHistoryLimit"]) == (1, "OrderedReady", 10)
    assert spec["updateStrategy"] == {"type": "RollingUpdate", "rollingUpdate": {"partition": 0, "maxUnavailable": 1}}
    assert spec["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}
    (made_claim,) = spec["volumeClaimTemplates"]
    assert (made_claim["kind"], made_claim["apiVersion"]) == ("PersistentVolumeClaim", "v1")
    assert (made_claim["spec"]["volumeMode"], made_claim["status"]) == ("Filesystem", {"phase": "Pending"})
    assert (made["metadata"]["generation"], made["status"]) == (1, {"replicas": 0, "availableReplicas": 0})


async def test_a_statefulset_is_checked_as_a_whole(api):
    bad = named(
        podManagementPolicy="Fast",
        updateStrategy={"type": "OnDelete", "rollingUpdate": {"partition": 1}},
        persistentVolumeClaimRetentionPolicy={"whenDeleted": "Keep"},
        replicas=-1,
        minReadySeconds=-2,
        ordinals={"start": -3},
        selector={},
        serviceName="a.b",
    )
    bad["spec"]["template"]["spec"] |= {"restartPolicy": "Never", "activeDeadlineSeconds": 5}
    found = await api.faults("POST", SETS, bad)
    assert [fault for fault in found if "spec.template.spec.containers" not in fault] == [
        "spec.podManagementPolicy: Invalid value: \"Fast\": must be 'OrderedReady' or 'Parallel'",
        'spec.updateStrategy.rollingUpdate: Invalid value: {"Partition":1,"MaxUnavailable":null}: '
        "only allowed for updateStrategy 'RollingUpdate'",
        'spec.persistentVolumeClaimRetentionPolicy.whenDeleted: Unsupported value: "Keep": '
        'supported values: "Retain", "Delete"',
        "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
        "spec.minReadySeconds: Invalid value: -2: must be greater than or equal to 0",
        "spec.ordinals.start: Invalid value: -3: must be greater than or equal to 0",
        "spec.selector: Invalid value: {}: empty selector is invalid for statefulset",
        'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"',
        "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in StatefulSet is not Supported",
        'spec.serviceName: Invalid value: "a.b": must not contain dots',
    ]


@pytest.mark.parametrize(
    ("strategy", "fault"),
    [
        (
            {"type": "Slow"},
            'spec.updateStrategy: Invalid value: {"Type":"Slow","RollingUpdate":null}: '
            "must be 'RollingUpdate' or 'OnDelete'",
        ),
        (
            {"rollingUpdate": {"partition": -1}},
            "spec.updateStrategy.rollingUpdate.partition: Invalid value: -1: must be greater than or equal to 0",
        ),
        (
            {"rollingUpdate": {"maxUnavailable": 0}},
            "spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: 0: cannot be 0",
        ),
        (
            {"rollingUpdate": {"maxUnavailable": "101%"}},
            'spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: "101%": must not be greater than 100%',
        ),
    ],
)
async def test_how_a_statefulset_moves_is_checked(api, strategy, fault):
    assert await api.faults("POST", SETS, named(updateStrategy=strategy)) == [fault]


async def test_a_statefulset_needs_a_selector_that_matches(api):
    assert await api.faults("POST", SETS, named(selector=None)) == [
        "spec.selector: Required value",
        f"spec.template.metadata.labels: {MISMATCH}",
    ]


async def test_containers_may_mount_the_claims_of_their_set(api):
    body = named(volumeClaimTemplates=[claim()])
    body["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    made = await api.made(SETS, body)
    assert "volumes" not in made["spec"]["template"]["spec"]


async def test_claims_of_a_set_are_checked(api):
    bad = claim() | {"spec": {"accessModes": ["Sometimes"], "resources": {"requests": {"storage": "0"}}}}
    modes = '"ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"'
    path = "spec.volumeClaimTemplates[0].spec"
    assert await api.faults("POST", SETS, named(volumeClaimTemplates=[bad])) == [
        f'{path}.accessModes: Unsupported value: "Sometimes": supported values: {modes}',
        f'{path}.resources[storage]: Invalid value: "0": must be greater than zero',
    ]


async def test_most_of_a_statefulset_stays(api):
    made = await api.made(SETS, named(serviceName="db"))
    changes = {
        "replicas": 3,
        "ordinals": {"start": 2},
        "updateStrategy": {"type": "OnDelete", "rollingUpdate": None},
        "revisionHistoryLimit": 3,
        "minReadySeconds": 2,
        "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete"},
        "template": {"metadata": {"annotations": {"a": "b"}}},
    }
    code, changed = await api("PATCH", f"{SETS}/db", {"spec": changes})
    assert (code, changed["metadata"]["generation"]) == (200, 2), changed
    for change in ({"serviceName": "other"}, {"podManagementPolicy": "Parallel"}, {"volumeClaimTemplates": [claim()]}):
        assert await api.faults("PATCH", f"{SETS}/db", {"spec": change}) == [
            "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "
            "'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' "
            "are forbidden"
        ]
    assert made["metadata"]["generation"] == 1


async def test_a_statefulset_is_called_as_its_pods_can_be(api):
    bad = named()
    bad["metadata"]["name"] = "a.b"
    assert await api.faults("POST", SETS, bad) == ['metadata.name: Invalid value: "a.b": must not contain dots']


async def test_the_status_of_a_statefulset_must_fit(api):
    await api.made(SETS, named())
    bad = {"replicas": 1, "readyReplicas": 2, "currentReplicas": 2, "updatedReplicas": 2, "availableReplicas": 3}
    above = "cannot be greater than status.replicas"
    assert await api.faults("PATCH", f"{SETS}/db/status", {"status": bad}) == [
        f"status.readyReplicas: Invalid value: 2: {above}",
        f"status.currentReplicas: Invalid value: 2: {above}",
        f"status.updatedReplicas: Invalid value: 2: {above}",
        f"status.availableReplicas: Invalid value: 3: {above}",
        "status.availableReplicas: Invalid value: 3: cannot be greater than status.readyReplicas",
    ]


async def test_a_statefulset_scales(api):
    await api.made(SETS, named())
    _, scaled = await api("PATCH", f"{SETS}/db/scale", {"spec": {"replicas": 2}})
    assert (scaled["spec"], scaled["status"]) == ({"replicas": 2}, {"replicas": 0, "selector": "app=db"})


async def test_a_daemonset_counts_its_templates(api):
    made = await api.made(DAEMONS, named())
    assert made["spec"]["updateStrategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0},
    }
    assert made["spec"]["revisionHistoryLimit"] == 10
    assert (made["metadata"]["generation"], made["metadata"]["annotations"]) == (1, {GENERATION: "1"})
    template = {"metadata": {"annotations": {"a": "b"}}}
    _, changed = await api("PATCH", f"{DAEMONS}/db", {"spec": {"template": template}})
    assert (changed["metadata"]["generation"], changed["metadata"]["annotations"][GENERATION]) == (2, "2")
    _, other = await api("PATCH", f"{DAEMONS}/db", {"spec": {"minReadySeconds": 4}})
    assert (other["metadata"]["generation"], other["metadata"]["annotations"][GENERATION]) == (3, "2")
    other["metadata"]["annotations"][GENERATION] = "9"
    _, put = await api("PUT", f"{DAEMONS}/db/status", other)
    assert put["metadata"]["annotations"][GENERATION] == "2"
    other["metadata"].pop("resourceVersion")
    assert (await api("PUT", f"{DAEMONS}/db", other))[1]["metadata"]["annotations"][GENERATION] == "2"


async def test_a_template_generation_that_is_no_number_is_refused(api):
    body = named()
    body["metadata"]["annotations"] = {GENERATION: "many"}
    code, answer = await api("POST", DAEMONS, body)
    assert (code, answer["message"]) == (400, 'strconv.ParseInt: parsing "many": invalid syntax')


async def test_a_daemonset_is_checked_as_a_whole(api):
    rolling = {"maxUnavailable": "120%", "maxSurge": 1}
    bad = named(updateStrategy={"rollingUpdate": rolling}, minReadySeconds=-1, revisionHistoryLimit=-1, selector=None)
    assert await api.faults("POST", DAEMONS, bad) == [
        f"spec.template.metadata.labels: {MISMATCH}",
        "spec.minReadySeconds: Invalid value: -1: must be greater than or equal to 0",
        'spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: "120%": must not be greater than 100%',
        "spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: may not be set when maxUnavailable is non-zero",
        "spec.revisionHistoryLimit: Invalid value: -1: must be greater than or equal to 0",
    ]
    none = named(updateStrategy={"rollingUpdate": {"maxUnavailable": 0}})
    assert await api.faults("POST", DAEMONS, none) == [
        "spec.updateStrategy.rollingUpdate.maxUnavailable: Required value: cannot be 0 when maxSurge is 0"
    ]
    assert await api.faults("POST", DAEMONS, named(updateStrategy={"type": "Slow"}, selector={})) == [
        "spec.selector: Invalid value: {}: empty selector is invalid for daemonset",
        'spec.updateStrategy: Unsupported value: {"Type":"Slow","RollingUpdate":null}: '
        'supported values: "RollingUpdate", "OnDelete"',
    ]


async def test_the_selector_of_a_daemonset_stays(api):
    made = await api.made(DAEMONS, named())
    made["spec"]["selector"] = {"matchLabels": {"app": "db", "v": "2"}}
    made["spec"]["template"]["metadata"]["labels"]["v"] = "2"
    assert await api.faults("PUT", f"{DAEMONS}/db", made) == [
        'spec.selector: Invalid value: {"matchLabels":{"app":"db","v":"2"}}: field is immutable'
    ]


async def test_a_revision_never_changes(api):
    body = {"metadata": {"name": "r"}, "data": {"spec": {"a": 1}}, "revision": 1}
    made = await api.made(REVISIONS, body)
    assert "generation" not in made["metadata"]
    assert (await api("PATCH", f"{REVISIONS}/r", {"revision": 4}))[1]["revision"] == 4
    assert await api.faults("PATCH", f"{REVISIONS}/r", {"data": {"spec": {"a": 2}}, "revision": -1}) == [
        "revision: Invalid value: -1: must be greater than or equal to 0",
        'data: Invalid value: {"spec":{"a":2}}: field is immutable',
    ]
    assert await api.faults("POST", REVISIONS, {"metadata": {"name": "x"}, "revision": 1}) == [
        "data: Required value: data is mandatory"
    ]


async def test_tables_are_kubectls(api):
    owner = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "db", "uid": "u", "controller": True}
    await api.made(REVISIONS, {"metadata": {"name": "r", "ownerReferences": [owner]}, "data": {}, "revision": 3})
    (row,) = await api.table(REVISIONS)
    assert list(row) == ["Name", "Controller", "Revision", "Age"]
    assert (row["Controller"], row["Revision"]) == ("daemonset.apps/db", 3)
    await api.made(SETS, named(replicas=3))
    (row,) = await api.table(SETS)
    assert list(row) == ["Name", "Ready", "Age", "Containers", "Images"]
    assert (row["Ready"], row["Containers"]) == ("0/3", "db")
    await api.made(DAEMONS, named())
    (row,) = await api.table(DAEMONS)
    counts = ["Desired", "Current", "Ready", "Up-to-date", "Available"]
    assert list(row) == ["Name", *counts, "Node Selector", "Age", "Containers", "Images", "Selector"]
    assert ([row[name] for name in counts], row["Node Selector"]) == ([0] * 5, "<none>")
