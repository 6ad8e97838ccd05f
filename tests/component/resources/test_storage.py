"""storage.k8s.io: StorageClass, VolumeAttributesClass, CSIDriver, CSINode, CSIStorageCapacity, VolumeAttachment."""

import pytest
from tests.examples_of_kinds import example

STORAGE = "/apis/storage.k8s.io/v1"
CLASSES = f"{STORAGE}/storageclasses"
ATTRIBUTES = f"{STORAGE}/volumeattributesclasses"
DRIVERS = f"{STORAGE}/csidrivers"
NODES = f"{STORAGE}/csinodes"
CAPACITIES = f"{STORAGE}/namespaces/default/csistoragecapacities"
ATTACHMENTS = f"{STORAGE}/volumeattachments"
IMMUTABLE = "field is immutable"


def kind(plural, **fields):
    return {**example("storage.k8s.io", "v1", plural), **fields}


def driver(**spec):
    return kind("csidrivers", spec=spec)


def topology(*rules):
    return {"matchLabelExpressions": [{"key": key, "values": values} for key, values in rules]}


async def test_a_storage_class_deletes_at_once_and_binds_at_once_by_default(api):
    made = await api.made(CLASSES, kind("storageclasses"))
    assert (made["reclaimPolicy"], made["volumeBindingMode"]) == ("Delete", "Immediate")
    assert "generation" not in made["metadata"]
    (row,) = await api.table(CLASSES)
    assert {name: row[name] for name in list(row)[:5]} == {
        "Name": "example",
        "Provisioner": "csi.example.com",
        "ReclaimPolicy": "Delete",
        "VolumeBindingMode": "Immediate",
        "AllowVolumeExpansion": False,
    }
    made["metadata"]["annotations"] = {"storageclass.kubernetes.io/is-default-class": "true"}
    assert (await api("PUT", f"{CLASSES}/example", made))[0] == 200
    (row,) = await api.table(CLASSES)
    assert row["Name"] == "example (default)"


async def test_a_storage_class_is_told_all_its_faults(api):
    terms = [topology(("a b", ["x", "x"]), ("zone", [])), topology(("zone", ["a"]), ("zone", ["a"])), {}]
    bad = kind(
        "storageclasses",
        provisioner="",
        parameters={"": "x"},
        reclaimPolicy="Recycle",
        volumeBindingMode="Later",
        allowedTopologies=terms,
    )
    found = await api.faults("POST", CLASSES, bad)
    assert [fault for fault in found if "a b" not in fault] == [
        "provisioner: Required value",
        'parameters: Invalid value: "": field can not be empty.',
        'reclaimPolicy: Unsupported value: "Recycle": supported values: "Delete", "Retain"',
        'volumeBindingMode: Unsupported value: "Later": supported values: "Immediate", "WaitForFirstConsumer"',
        'allowedTopologies[0].matchLabelExpressions[0].values[1]: Duplicate value: "x"',
        "allowedTopologies[0].matchLabelExpressions[1].values: Required value",
        'allowedTopologies[1].matchLabelExpressions[1].key: Duplicate value: "zone"',
        *['allowedTopologies[2].matchLabelExpressions: Duplicate value: ""'] * 3,
    ]
    assert any(
        fault.startswith('allowedTopologies[0].matchLabelExpressions[0].key: Invalid value: "a b"') for fault in found
    )
    many = kind("storageclasses", parameters={f"k{i}": "" for i in range(513)})
    assert await api.faults("POST", CLASSES, many) == ["parameters: Too long: may not be more than 512 bytes"]
    large = kind("storageclasses", parameters={"a": "x" * 262144})
    assert await api.faults("POST", CLASSES, large) == ["parameters: Too long: may not be more than 262144 bytes"]


async def test_what_makes_a_storage_class_stays(api):
    made = await api.made(CLASSES, kind("storageclasses"))
    changed = made | {"provisioner": "b", "parameters": {"a": "b"}, "reclaimPolicy": "Retain"}
    changed |= {"volumeBindingMode": "WaitForFirstConsumer"}
    assert await api.faults("PUT", f"{CLASSES}/example", changed) == [
        "parameters: Forbidden: updates to parameters are forbidden.",
        "provisioner: Forbidden: updates to provisioner are forbidden.",
        "reclaimPolicy: Forbidden: updates to reclaimPolicy are forbidden.",
        f'volumeBindingMode: Invalid value: "WaitForFirstConsumer": {IMMUTABLE}',
    ]
    made |= {"allowVolumeExpansion": True, "mountOptions": ["ro"]}
    assert (await api("PUT", f"{CLASSES}/example", made))[0] == 200


async def test_an_attributes_class_needs_parameters_and_keeps_them(api):
    bad = kind("volumeattributesclasses", driverName="", parameters={})
    assert await api.faults("POST", ATTRIBUTES, bad) == [
        "driverName: Required value",
        "parameters: Required value: must contain at least one key/value pair",
    ]
    made = await api.made(ATTRIBUTES, kind("volumeattributesclasses"))
    assert await api.faults("PUT", f"{ATTRIBUTES}/example", made | {"driverName": "b", "parameters": {"a": "b"}}) == [
        "driverName: Forbidden: updates to driverName are forbidden.",
        "parameters: Forbidden: updates to parameters are forbidden.",
    ]
    (row,) = await api.table(ATTRIBUTES)
    assert (list(row), row["DriverName"]) == (["Name", "DriverName", "Age"], "csi.example.com")


async def test_a_driver_has_upstream_defaults_and_counts_changes(api):
    made = await api.made(DRIVERS, driver())
    assert made["spec"] == {
        "attachRequired": True,
        "podInfoOnMount": False,
        "volumeLifecycleModes": ["Persistent"],
        "storageCapacity": False,
        "fsGroupPolicy": "ReadWriteOnceWithFSType",
        "requiresRepublish": False,
        "seLinuxMount": False,
    }
    assert "generation" not in made["metadata"]
    _, changed = await api("PATCH", f"{DRIVERS}/example", {"spec": {"tokenRequests": [{"audience": "a"}]}})
    assert changed["metadata"]["generation"] == 1
    (row,) = await api.table(DRIVERS)
    assert [row[name] for name in list(row)[1:7]] == [True, False, False, "a", False, "Persistent"]


async def test_a_driver_is_told_all_its_faults(api):
    requests = [{"audience": "a", "expirationSeconds": 599}, {"audience": "a"}, {"expirationSeconds": 2**32 + 1}]
    bad = driver(
        fsGroupPolicy="X", tokenRequests=requests, volumeLifecycleModes=["Y"], nodeAllocatableUpdatePeriodSeconds=9
    )
    assert await api.faults("POST", DRIVERS, bad) == [
        'spec.fsGroupPolicy: Unsupported value: "X": supported values: "File", "None", "ReadWriteOnceWithFSType"',
        "spec.tokenRequests[0].expirationSeconds: Invalid value: 599: may not specify a duration less than 10 minutes",
        'spec.tokenRequests[1].audience: Duplicate value: "a"',
        "spec.tokenRequests[2].expirationSeconds: Invalid value: 4294967297: may not specify a duration larger than"
        " 2^32 seconds",
        'spec.volumeLifecycleModes: Unsupported value: "Y": supported values: "Persistent", "Ephemeral"',
        "spec.nodeAllocatableUpdatePeriodSeconds: Invalid value: 9: must be greater than or equal to 10 seconds",
    ]
    assert await api.faults("POST", DRIVERS, driver(serviceAccountTokenInSecrets=False)) == [
        "spec.serviceAccountTokenInSecrets: Invalid value: false: serviceAccountTokenInSecrets is set but no"
        " tokenRequests are specified"
    ]
    made = await api.made(DRIVERS, driver())
    made["spec"] |= {"attachRequired": False, "volumeLifecycleModes": ["Ephemeral"], "podInfoOnMount": True}
    assert await api.faults("PUT", f"{DRIVERS}/example", made) == [
        f"spec.attachedRequired: Invalid value: false: {IMMUTABLE}",
        f'spec.volumeLifecycleModes: Invalid value: ["Ephemeral"]: {IMMUTABLE}',
    ]


async def test_drivers_of_a_node_are_told_apart_and_stay(api):
    entries = [
        {"name": "a_b", "nodeID": "", "topologyKeys": ["z", "z"], "allocatable": {"count": -1}},
        {"name": "c", "nodeID": "n" * 257},
        {"name": "c", "nodeID": "n"},
    ]
    found = await api.faults("POST", NODES, kind("csinodes", spec={"drivers": entries}))
    assert found[0].startswith('spec.drivers[0].name: Invalid value: "a_b": a lowercase RFC 1123 subdomain')
    assert found[1:] == [
        "spec.drivers[0].nodeID: Required value",
        "spec.drivers[0].allocatable.count: Invalid value: -1: must be greater than or equal to 0",
        'spec.drivers[0]: Duplicate value: "z"',
        f'spec.drivers[1].nodeID: Invalid value: "{"n" * 257}": must be 256 characters or less',
        'spec.drivers[2].name: Duplicate value: "c"',
    ]
    made = await api.made(NODES, kind("csinodes"))
    made["spec"]["drivers"][0]["allocatable"] = {"count": 3}
    code, made = await api("PUT", f"{NODES}/example", made)
    assert code == 200
    made["spec"]["drivers"][0]["nodeID"] = "n2"
    (fault,) = await api.faults("PUT", f"{NODES}/example", made)
    assert fault.startswith('spec.drivers: Invalid value: {"name":"csi.example.com","nodeID":"n2"')
    assert fault.endswith(IMMUTABLE)
    (row,) = await api.table(NODES)
    assert row["Drivers"] == 1


async def test_the_health_of_volumes_is_not_kept_yet(api):
    await api.made(NODES, kind("csinodes"))
    health = [{"name": "csi.example.com", "healthConditions": [{"status": "Bad", "reason": "Worn"}]}]
    patch = {"metadata": {"labels": {"a": "b"}}, "status": {"storageHealth": health}}
    code, answer = await api("PATCH", f"{NODES}/example/status", patch)
    assert (code, answer["status"], "labels" in answer["metadata"]) == (200, {}, False)


async def test_a_capacity_is_of_one_class_and_part_of_the_cluster(api):
    bad = kind("csistoragecapacities", storageClassName="", capacity="-1", nodeTopology={"matchLabels": {"a b": "c"}})
    found = await api.faults("POST", CAPACITIES, bad)
    assert [fault.partition(":")[0] for fault in found] == ["nodeTopology.matchLabels", "storageClassName", "capacity"]
    assert found[2] == 'capacity: Invalid value: "-1": must be greater than or equal to 0'
    made = await api.made(CAPACITIES, kind("csistoragecapacities"))
    changed = made | {"storageClassName": "b", "nodeTopology": {}, "capacity": "2Gi"}
    assert await api.faults("PUT", f"{CAPACITIES}/example", changed) == [
        f"nodeTopology: Invalid value: {{}}: {IMMUTABLE}",
        f'storageClassName: Invalid value: "b": {IMMUTABLE}',
    ]
    (row,) = await api.table(CAPACITIES)
    assert row == {"Name": "example", "StorageClassName": "fast", "Capacity": "1Gi"}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({}, ["spec.source: Required value: must specify exactly one of inlineVolumeSpec and persistentVolumeName"]),
        (
            {"persistentVolumeName": "a", "inlineVolumeSpec": {}},
            ["spec.source: Forbidden: must specify exactly one of inlineVolumeSpec and persistentVolumeName"],
        ),
        (
            {"inlineVolumeSpec": {"capacity": {"storage": "1"}, "accessModes": ["ReadWriteOnce"]}},
            [
                "spec.source.inlineVolumeSpec.capacity: Forbidden: may not be specified in the context of inline volumes",
                "spec.source.inlineVolumeSpec.csi: Required value: has to be specified in the context of inline volumes",
                "spec.source.inlineVolumeSpec: Required value: must specify a volume type",
            ],
        ),
    ],
)
async def test_an_attachment_has_one_source(api, source, expected):
    bad = kind("volumeattachments")
    bad["spec"]["source"] = source
    assert await api.faults("POST", ATTACHMENTS, bad) == expected


async def test_an_attachment_stays_and_its_status_touches_nothing_else(api):
    made = await api.made(ATTACHMENTS, kind("volumeattachments", status={"attached": True}))
    assert made["status"] == {"attached": False}
    made["spec"]["nodeName"] = "n2"
    (fault,) = await api.faults("PUT", f"{ATTACHMENTS}/example", made)
    assert fault.startswith("spec: Invalid value: {")
    assert fault.endswith(IMMUTABLE)
    error = {"message": "x" * 1025, "errorCode": -1}
    assert await api.faults("PATCH", f"{ATTACHMENTS}/example/status", {"status": {"attachError": error}}) == [
        "status.attachError.message: Too long: may not be more than 262144 bytes",
        "status.attachError.errorCode: Invalid value: -1: must be between 0 and 2147483647, inclusive",
    ]
    patch = {"metadata": {"labels": {"a": "b"}}, "status": {"attached": True}}
    _, changed = await api("PATCH", f"{ATTACHMENTS}/example/status", patch)
    assert (changed["status"]["attached"], "labels" in changed["metadata"]) == (True, False)
    (row,) = await api.table(ATTACHMENTS)
    assert [row[name] for name in list(row)[:5]] == ["example", "csi.example.com", "pv", "n1", True]


@pytest.mark.parametrize("plural", ["csidrivers", "csinodes", "volumeattachments"])
async def test_some_kinds_are_only_updated_from_a_known_version(api, plural):
    made = await api.made(f"{STORAGE}/{plural}", kind(plural))
    del made["metadata"]["resourceVersion"]
    assert await api.faults("PUT", f"{STORAGE}/{plural}/example", made) == [
        "metadata.resourceVersion: Invalid value: 0: must be specified for an update"
    ]


@pytest.mark.parametrize(
    ("plural", "fields", "warning"),
    [
        (
            "storageclasses",
            {"allowedTopologies": [topology(("failure-domain.beta.kubernetes.io/zone", ["a"]))]},
            'allowedTopologies[0].matchLabelExpressions[0].key: deprecated since v1.17; use "topology.kubernetes.io/zone"'
            " instead",
        ),
        (
            "namespaces/default/csistoragecapacities",
            {"nodeTopology": {"matchExpressions": [{"key": "beta.kubernetes.io/os", "operator": "Exists"}]}},
            "nodeTopology.matchExpressions[0].key: beta.kubernetes.io/os is deprecated since v1.14; use"
            ' "kubernetes.io/os" instead',
        ),
        (
            "csidrivers",
            {"spec": {"tokenRequests": [{"audience": "a"}]}},
            "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to prevent possible"
            " logging of tokens in volume attributes",
        ),
    ],
)
async def test_writers_are_warned(api, plural, fields, warning):
    assert await api.warnings("POST", f"{STORAGE}/{plural}", kind(plural.rpartition("/")[2], **fields)) == [warning]


@pytest.mark.parametrize("plural", ["storageclasses", "csidrivers", "volumeattachments"])
async def test_deletion_answers_with_what_is_gone(api, plural):
    made = await api.made(f"{STORAGE}/{plural}", kind(plural))
    _, answer = await api("DELETE", f"{STORAGE}/{plural}/example")
    assert answer["metadata"]["uid"] == made["metadata"]["uid"]
