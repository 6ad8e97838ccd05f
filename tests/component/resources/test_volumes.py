"""PersistentVolumes and their claims: sources, what may change, what tables show."""

import pytest

VOLUMES = "/api/v1/persistentvolumes"
CLAIMS = "/api/v1/namespaces/default/persistentvolumeclaims"


def volume(name="v", **spec):
    """On a folder, unless another source is given."""
    given = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], **spec}
    if "csi" not in spec:
        given["hostPath"] = {"path": "/tmp/v"}
    return {"metadata": {"name": name}, "spec": given}


def claim(name="c", **spec):
    given = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, **spec}
    return {"metadata": {"name": name}, "spec": given}


async def test_a_volume_is_pending_and_kept_unless_it_says_otherwise(api):
    made = await api.made(VOLUMES, volume(storageClassName="fast"))
    assert made["spec"] | {"persistentVolumeReclaimPolicy": "Retain", "volumeMode": "Filesystem"} == made["spec"]
    assert made["spec"]["hostPath"] == {"path": "/tmp/v", "type": ""}
    assert made["status"] == {
        "phase": "Pending",
        "lastPhaseTransitionTime": made["metadata"]["creationTimestamp"],
    }
    (row,) = await api.table(VOLUMES)
    assert row.pop("Age").endswith("s")
    assert row == {
        "Name": "v",
        "Capacity": "1Gi",
        "Access Modes": "RWO",
        "Reclaim Policy": "Retain",
        "Status": "Pending",
        "Claim": "",
        "StorageClass": "fast",
        "VolumeAttributesClass": "<unset>",
        "Reason": "",
        "VolumeMode": "Filesystem",
    }


async def test_a_change_of_phase_is_timed(api):
    made = await api.made(VOLUMES, volume())
    path = f"{VOLUMES}/v/status"
    old = {"lastPhaseTransitionTime": "2026-01-01T00:00:00Z"}
    _, told = await api("PATCH", path, {"status": {"phase": "Available", **old}})
    assert told["status"] == {"phase": "Available", **old}
    _, kept = await api("PATCH", path, {"status": {"reason": "why"}})
    assert kept["status"]["lastPhaseTransitionTime"] == old["lastPhaseTransitionTime"]
    _, changed = await api("PATCH", path, {"status": {"phase": "Bound"}})
    assert changed["status"]["lastPhaseTransitionTime"] >= made["metadata"]["creationTimestamp"]


@pytest.mark.parametrize(
    ("source", "faults"),
    [
        ({}, ["spec: Required value: must specify a volume type"]),
        (
            {"nfs": {}, "csi": {"driver": "d", "volumeHandle": "h"}},
            [
                "spec.nfs.server: Required value",
                "spec.nfs.path: Required value",
                'spec.nfs.path: Invalid value: "": must be an absolute path',
                "spec.csi: Forbidden: may not specify more than 1 volume type",
            ],
        ),
        (
            {"hostPath": {"path": "/a/../b", "type": "Odd"}},
            [
                "spec.hostPath.path: Invalid value: \"/a/../b\": must not contain '..'",
                'spec.hostPath.type: Unsupported value: "Odd": supported values: "", "BlockDevice", "CharDevice", '
                '"Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"',
            ],
        ),
        ({"local": {"path": "/a"}}, ["spec.nodeAffinity: Required value: Local volume requires node affinity"]),
        (
            {"csi": {"driver": "d" * 64, "nodeStageSecretRef": {}, "nodePublishSecretRef": {"name": "s"}}},
            [
                "spec.csi.driver: Too long: may not be more than 63 bytes",
                "spec.csi.volumeHandle: Required value",
                "spec.csi.nodePublishSecretRef.namespace: Required value",
            ],
        ),
        (
            {"fc": {"targetWWNs": ["a"], "wwids": ["b"], "lun": 256}},
            [
                'spec.fc.targetWWNs: Invalid value: ["a"]: targetWWNs and wwids can not be specified simultaneously',
                "spec.fc.lun: Invalid value: 256: must be between 0 and 255, inclusive",
            ],
        ),
        (
            {"iscsi": {"iqn": "iqn.2001-04.com:x", "lun": 1, "chapAuthSession": True, "initiatorName": "odd"}},
            [
                "spec.iscsi.targetPortal: Required value",
                "spec.iscsi.secretRef: Required value",
                'spec.iscsi.initiatorname: Invalid value: "odd": must be valid format',
            ],
        ),
        (
            {"azureDisk": {"diskName": "d", "diskURI": "x", "kind": "Managed", "cachingMode": "Odd"}},
            [
                'spec.azureDisk.cachingMode: Unsupported value: "Odd": supported values: "None", "ReadOnly", "ReadWrite"',
                'spec.azureDisk.diskURI: Unsupported value: "x": supported values: "/subscriptions/{sub-id}/'
                'resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"',
            ],
        ),
        (
            {"flexVolume": {"options": {"kubernetes.io/x": "y"}}},
            [
                "spec.flexVolume.driver: Required value",
                'spec.flexVolume.options[kubernetes.io/x]: Invalid value: "kubernetes.io/x": '
                "kubernetes.io and k8s.io namespaces are reserved",
            ],
        ),
    ],
)
async def test_a_volume_has_exactly_one_source(api, source, faults):
    body = volume()
    del body["spec"]["hostPath"]
    body["spec"].update(source)
    assert await api.faults("POST", VOLUMES, body) == faults


async def test_the_rest_of_a_volume_has_rules_too(api):
    body = volume(
        capacity={"storage": "0", "cpu": "1"},
        accessModes=["ReadWriteOncePod", "ReadWriteMany", "Odd"],
        persistentVolumeReclaimPolicy="Burn",
        volumeMode="Odd",
        storageClassName="A",
        volumeAttributesClassName="",
        nodeAffinity={},
    )
    body["spec"]["hostPath"] = {"path": "/"}
    found = await api.faults("POST", VOLUMES, body)
    assert [fault.partition(": ")[0] for fault in found] == [
        "spec.accessModes",
        "spec.accessModes",
        "spec.capacity",
        "spec.capacity[storage]",
        "spec.persistentVolumeReclaimPolicy",
        "spec.nodeAffinity.required",
        "spec.storageClassName",
        "spec.volumeMode",
        "spec.volumeAttributesClassName",
        "spec.csi",
    ]
    body = volume(persistentVolumeReclaimPolicy="Recycle")
    body["spec"]["hostPath"] = {"path": "/"}
    assert await api.faults("POST", VOLUMES, body) == [
        "spec.persistentVolumeReclaimPolicy: Forbidden: may not be 'recycle' for a hostPath mount of '/'"
    ]


async def test_where_a_volume_lies_stays(api):
    old, new = "failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"

    def on(key, zone="a"):
        rule = {"key": key, "operator": "In", "values": [zone]}
        return {"required": {"nodeSelectorTerms": [{"matchExpressions": [rule]}]}}

    await api.made(VOLUMES, volume(csi={"driver": "d.example", "volumeHandle": "h"}, nodeAffinity=on(old)))
    path = f"{VOLUMES}/v"
    (fault,) = await api.faults("PATCH", path, {"spec": {"csi": {"volumeHandle": "i"}}})
    assert fault.startswith(
        "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation\n"
    )
    secret = {"name": "s", "namespace": "n"}
    code, _ = await api("PATCH", path, {"spec": {"csi": {"controllerExpandSecretRef": secret}}})
    assert code == 200
    code, _ = await api("PATCH", path, {"spec": {"nodeAffinity": on(new)}})
    assert code == 200
    (fault,) = await api.faults("PATCH", path, {"spec": {"nodeAffinity": on(new, "b")}})
    assert fault.endswith("field is immutable, except for updating from beta label to GA")
    assert await api.faults("PATCH", path, {"spec": {"volumeMode": "Block"}}) == [
        'volumeMode: Invalid value: "Block": field is immutable'
    ]


async def test_a_claim_asks_for_storage(api):
    made = await api.made(CLAIMS, claim())
    assert (made["spec"]["volumeMode"], made["status"]) == ("Filesystem", {"phase": "Pending"})
    bad = claim("b", accessModes=[], resources={"requests": {"storage": "0"}}, volumeMode="Odd", storageClassName="A")
    bad["spec"]["dataSourceRef"] = {"kind": "X", "apiGroup": "", "name": ""}
    found = await api.faults("POST", CLAIMS, bad)
    assert [fault.partition(" value")[0] for fault in found] == [
        "spec.accessModes: Required",
        "spec.resources[storage]: Invalid",
        "spec.storageClassName: Invalid",
        "spec.volumeMode: Unsupported",
        "spec.dataSource.name: Required",
        "spec.dataSource: Invalid",
        "spec.dataSourceRef.name: Required",
        "spec.dataSourceRef: Invalid",
    ]


async def test_both_fields_of_a_data_source_say_the_same(api):
    snapshot = {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "s"}
    made = await api.made(CLAIMS, claim("a", dataSource=snapshot))
    assert made["spec"]["dataSourceRef"] == snapshot
    other = {"apiGroup": "example.com", "kind": "Backup", "name": "b"}
    made = await api.made(CLAIMS, claim("b", dataSourceRef=other))
    assert made["spec"]["dataSource"] == other
    made = await api.made(CLAIMS, claim("c", dataSource=other))
    assert not {"dataSource", "dataSourceRef"} & set(made["spec"])
    made = await api.made(CLAIMS, claim("d", dataSourceRef={**other, "namespace": "x"}))
    assert not {"dataSource", "dataSourceRef"} & set(made["spec"])


async def bound(api, **spec):
    await api.made(CLAIMS, claim(storageClassName="fast", **spec))
    await api("PATCH", f"{CLAIMS}/c", {"spec": {"volumeName": "v"}})
    status = {"phase": "Bound", "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce", "ReadOnlyMany"]}
    code, _ = await api("PATCH", f"{CLAIMS}/c/status", {"status": status})
    assert code == 200


def of_size(size):
    return {"spec": {"resources": {"requests": {"storage": size}}}}


async def test_a_claim_changes_in_size_and_attributes_only_once_bound(api):
    classes = "/apis/storage.k8s.io/v1/storageclasses"
    await api.made(classes, {"metadata": {"name": "fast"}, "provisioner": "x", "allowVolumeExpansion": True})
    await api.made(CLAIMS, claim(storageClassName="fast"))
    (fault,) = await api.faults("PATCH", f"{CLAIMS}/c", {"spec": {"accessModes": ["ReadWriteMany"]}})
    assert fault.startswith(
        "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName "
        "for bound claims\n"
    )
    (fault,) = await api.faults("PATCH", f"{CLAIMS}/c", {"spec": {"volumeAttributesClassName": "gold"}})
    assert fault.startswith("spec: Forbidden: spec is immutable after creation")
    await api("DELETE", f"{CLAIMS}/c")
    await api("PATCH", f"{CLAIMS}/c", {"metadata": {"finalizers": None}})
    await bound(api)
    for change in (of_size("3Gi"), of_size("2Gi"), {"spec": {"volumeAttributesClassName": "gold"}}):
        code, answer = await api("PATCH", f"{CLAIMS}/c", change)
        assert code == 200, answer
    assert await api.faults("PATCH", f"{CLAIMS}/c", of_size("1Gi")) == [
        "spec.resources.requests.storage: Forbidden: field can not be less than status.capacity"
    ]
    faults = await api.faults("PATCH", f"{CLAIMS}/c", {"spec": {"volumeAttributesClassName": None}})
    assert "spec.volumeAttributesClassName: Forbidden: update from non-nil value to nil is forbidden" in faults
    assert await api.faults("PATCH", f"{CLAIMS}/c", {"spec": {"volumeAttributesClassName": ""}}) == [
        "spec.volumeAttributesClassName: Forbidden: update from non-nil value to an empty string is forbidden"
    ]


async def test_a_claim_without_a_class_may_get_one(api):
    await api.made(CLAIMS, claim())
    code, _ = await api("PATCH", f"{CLAIMS}/c", {"spec": {"storageClassName": "fast"}})
    assert code == 200
    (fault,) = await api.faults("PATCH", f"{CLAIMS}/c", {"spec": {"storageClassName": "slow"}})
    assert fault.startswith("spec: Forbidden: spec is immutable")


async def test_the_status_of_a_claim_has_rules(api):
    await api.made(CLAIMS, claim())
    status = {
        "capacity": {"storage": "-1"},
        "allocatedResourceStatuses": {"storage": "Odd", "cpu": "NodeResizePending"},
    }
    found = await api.faults("PATCH", f"{CLAIMS}/c/status", {"status": status})
    assert found[0] == "status.capacity[storage]: Invalid value: -1: must be a valid resource quantity"
    assert [fault.partition(": supported")[0] for fault in found[1:]] == [
        'status.allocatedResourceStatus: Unsupported value: "cpu"',
        'status.allocatedResourceStatus: Unsupported value: "storage"',
    ]


async def test_the_table_of_claims_shows_what_is_bound(api):
    await bound(api)
    (row,) = await api.table(CLAIMS)
    assert row.pop("Age").endswith("s")
    assert row == {
        "Name": "c",
        "Status": "Bound",
        "Volume": "v",
        "Capacity": "1Gi",
        "Access Modes": "RWO,ROX",
        "StorageClass": "fast",
        "VolumeAttributesClass": "<unset>",
        "VolumeMode": "Filesystem",
    }
