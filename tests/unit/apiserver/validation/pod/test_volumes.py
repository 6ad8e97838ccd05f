"""Volumes and their mounts: every source with its path and upstream's words."""

import pytest

from pybernetes.apiserver.validation.pod.spec import validate_pod, validate_template
from pybernetes.rules.poddefaults import default_pod

V = "spec.volumes[0]"
MODE = "must be a number between 0 and 0777 (octal), both inclusive"
SIGNER = "must be a fully qualified domain and path of the form 'example.com/signer-name'"


def pod(volumes, **container):
    made = {
        "metadata": {"name": "web"},
        "spec": {
            "serviceAccountName": "default",
            "volumes": volumes,
            "containers": [{"name": "c", "image": "i:1", **container}],
        },
    }
    default_pod(made)
    return made


def faults(volumes, **container):
    return [str(fault) for fault in validate_pod(pod(volumes, **container))]


SOURCES = [
    (
        {"hostPath": {"path": "/", "type": "Disk"}},
        [f'{V}.hostPath.type: Unsupported value: "Disk": supported values: '],
    ),
    ({"gitRepo": {"directory": "/a"}}, [f"{V}.gitRepo.repository: Req", f'{V}.gitRepo.directory: Invalid value: "/a"']),
    (
        {"gcePersistentDisk": {"partition": 256}},
        [f"{V}.persistentDisk.pdName: Req", f"{V}.persistentDisk.partition: Invalid value: 256: must be between 1 and"],
    ),
    ({"awsElasticBlockStore": {}}, [f"{V}.awsElasticBlockStore.volumeID: Required value"]),
    ({"secret": {"secretName": "s", "defaultMode": 512}}, [f"{V}.secret.defaultMode: Invalid value: 512: {MODE}"]),
    (
        {"configMap": {"name": "c", "items": [{"path": "/a", "mode": -1}]}},
        [
            f"{V}.configMap.items[0].key: Required value",
            f'{V}.configMap.items[0].path: Invalid value: "/a": must be a relative path',
            f"{V}.configMap.items[0].mode: Invalid value: -1: {MODE}",
        ],
    ),
    ({"nfs": {"server": "s", "path": "a"}}, [f'{V}.nfs.path: Invalid value: "a": must be an absolute path']),
    (
        {"iscsi": {"iqn": "iqn.bad", "lun": 256, "chapAuthSession": True, "initiatorName": "x"}},
        [
            f"{V}.iscsi.targetPortal: Required value",
            f'{V}.iscsi.iqn: Invalid value: "iqn.bad": must be valid format',
            f"{V}.iscsi.lun: Invalid value: 256: must be between 0 and 255, inclusive",
            f"{V}.iscsi.secretRef: Required value",
            f'{V}.iscsi.initiatorname: Invalid value: "x": must be valid format starting with iqn, eui, or naa',
        ],
    ),
    ({"glusterfs": {}}, [f"{V}.glusterfs.endpoints: Required value", f"{V}.glusterfs.path: Required value"]),
    ({"flocker": {}}, [f"{V}.flocker: Required value: one of datasetName and datasetUUID is required"]),
    ({"persistentVolumeClaim": {}}, [f"{V}.persistentVolumeClaim.claimName: Required value"]),
    ({"rbd": {}}, [f"{V}.rbd.monitors: Required value", f"{V}.rbd.image: Required value"]),
    ({"cinder": {"secretRef": {}}}, [f"{V}.cinder.volumeID: Required value", f"{V}.cinder.secretRef.name: Required"]),
    ({"cephfs": {}}, [f"{V}.cephfs.monitors: Required value"]),
    (
        {"quobyte": {"registry": "host", "volume": "v"}},
        [f'{V}.quobyte.registry: Invalid value: "host": must be a host:port pair'],
    ),
    (
        {"fc": {"targetWWNs": ["a"], "wwids": ["b"]}},
        [
            f'{V}.fc.targetWWNs: Invalid value: ["a"]: targetWWNs and wwids can not be specified simultaneously',
            f"{V}.fc.lun: Required value: lun is required if targetWWNs is specified",
        ],
    ),
    (
        {"flexVolume": {"driver": "d", "options": {"x.k8s.io/a": "b"}}},
        [f'{V}.flexVolume.options[x.k8s.io/a]: Invalid value: "x.k8s.io/a": kubernetes.io and k8s.io namespaces are'],
    ),
    ({"azureFile": {}}, [f"{V}.azureFile.secretName: Required value", f"{V}.azureFile.shareName: Required value"]),
    (
        {"azureDisk": {"diskName": "d", "diskURI": "x", "kind": "Managed"}},
        [f'{V}.azureDisk.diskURI: Unsupported value: "x": supported values: "/subscriptions/'],
    ),
    ({"storageos": {"volumeName": "A"}}, [f'{V}.storageos.volumeName: Invalid value: "A": a lowercase RFC 1123 label']),
    ({"scaleIO": {"gateway": "g", "system": "s"}}, [f"{V}.scaleIO.volumeName: Required value"]),
    (
        {"csi": {"nodePublishSecretRef": {}}},
        [
            f"{V}.csi.driver: Required value",
            f'{V}.csi.driver: Invalid value: "": a lowercase RFC 1123 subdomain',
            f"{V}.csi.nodePublishSecretRef.name: Required value",
        ],
    ),
    ({"ephemeral": {}}, [f"{V}.ephemeral.volumeClaimTemplate: Required value"]),
    (
        {"ephemeral": {"volumeClaimTemplate": {"metadata": {"name": "n"}, "spec": {"accessModes": ["x"]}}}},
        [
            f"{V}.ephemeral.volumeClaimTemplate.metadata.name: Forbidden: cannot be set",
            f'{V}.ephemeral.volumeClaimTemplate.spec.accessModes: Unsupported value: "x"',
            f"{V}.ephemeral.volumeClaimTemplate.spec.resources[storage]: Required value",
        ],
    ),
    ({"image": {"pullPolicy": "x"}}, [f'{V}.image.pullPolicy: Unsupported value: "x"', f"{V}.image.reference: Req"]),
    (
        {"downwardAPI": {"items": [{"path": "a"}, {"path": "b", "fieldRef": {"fieldPath": "spec.nodeName"}}]}},
        [
            f"{V}.downwardAPI: Required value: one of fieldRef and resourceFieldRef is required",
            f'{V}.downwardAPI.fieldRef.fieldPath: Unsupported value: "spec.nodeName": supported values: "metadata.annot',
        ],
    ),
    (
        {"downwardAPI": {}, "emptyDir": {}},
        [f"{V}.downwarAPI: Forbidden: may not specify more than 1 volume type"],
    ),
]

PROJECTED = [
    ([{"secret": {}}], [f"{V}.projected.sources[0].secret.name: Required value"]),
    (
        [{"secret": {"name": "s"}, "configMap": {"name": "c"}}],
        [f"{V}.projected.sources[0]: Forbidden: may not specify more than 1 volume type per source"],
    ),
    (
        [{"secret": {"name": "s", "items": [{"key": "k", "path": "p"}, {"key": "l", "path": "p"}]}}],
        [f'{V}.projected: Invalid value: "s": conflicting duplicate paths'],
    ),
    (
        [{"serviceAccountToken": {"expirationSeconds": 1}}],
        [
            f"{V}.projected.sources[0].serviceAccountToken.expirationSeconds: Invalid value: 1: may not specify a dura",
            f"{V}.projected.path: Required value",
        ],
    ),
    (
        [{"clusterTrustBundle": {"path": "p"}}],
        [f"{V}.projected.sources[0].clusterTrustBundle: Required value: either name or signerName must be specified"],
    ),
    (
        [{"clusterTrustBundle": {"signerName": "x", "path": "p"}}],
        [f'{V}.projected.sources[0].clusterTrustBundle.signerName: Invalid value: "x": {SIGNER}'],
    ),
    (
        [{"podCertificate": {"signerName": "a.b/c", "keyType": "DSA", "maxExpirationSeconds": 1}}],
        [
            f'{V}.projected.sources[0].podCertificate.keyType: Unsupported value: "DSA"',
            f"{V}.projected.sources[0].podCertificate.maxExpirationSeconds: Invalid value: 1: if provided",
            f"{V}.projected.sources[0].podCertificate: Required value: specify at least one of credentialBundlePath",
        ],
    ),
]


@pytest.mark.parametrize(
    ("source", "wanted"), [*SOURCES, *(({"projected": {"sources": s}}, wanted) for s, wanted in PROJECTED)]
)
def test_a_volume_is_refused_by_path_and_reason(source, wanted):
    found = faults([{"name": "v", **source}])
    assert len(found) == len(wanted), found
    for fault, start in zip(found, wanted, strict=True):
        assert fault.startswith(start)


MOUNTS = [
    ({"mountPath": "/a"}, ["name: Required value", 'name: Not found: ""']),
    ({"name": "v"}, ["mountPath: Required value"]),
]
LIST = "spec.containers[0].volumeMounts"


@pytest.mark.parametrize(("mount", "wanted"), MOUNTS)
def test_a_mount_is_refused_by_its_index(mount, wanted):
    found = faults([{"name": "v", "emptyDir": {}}], volumeMounts=[mount])
    assert found == [f"{LIST}[0].{text}" for text in wanted]


@pytest.mark.parametrize(
    ("mount", "fault"),
    [
        ({"subPath": "/a"}, f'{LIST}.subPath: Invalid value: "/a": must be a relative path'),
        (
            {"subPath": "a", "subPathExpr": "b"},
            f'{LIST}[0].subPathExpr: Invalid value: "b": subPathExpr and subPath are mutually exclusive',
        ),
        (
            {"mountPropagation": "x"},
            f'{LIST}.mountPropagation: Unsupported value: "x": supported values: "Bidirectional"',
        ),
        (
            {"mountPropagation": "Bidirectional"},
            f"{LIST}.mountPropagation: Forbidden: Bidirectional mount propagation is available only to privileged",
        ),
        (
            {"recursiveReadOnly": "Enabled"},
            f"{LIST}.recursiveReadOnly: Forbidden: may only be specified when readOnly is true",
        ),
    ],
)
def test_a_mount_is_refused_by_its_list(mount, fault):
    (found,) = faults([{"name": "v", "emptyDir": {}}], volumeMounts=[{"name": "v", "mountPath": "/v", **mount}])
    assert found.startswith(fault)


def test_a_volume_with_faults_cannot_be_mounted():
    found = faults([{"name": "v", "nfs": {}}], volumeMounts=[{"name": "v", "mountPath": "/v"}])
    assert f'{LIST}[0].name: Not found: "v"' in found


def test_devices_are_claims_and_no_mounts():
    volumes = [{"name": "v", "emptyDir": {}}, {"name": "w", "persistentVolumeClaim": {"claimName": "w"}}]
    devices = [{"name": "v", "devicePath": "/a/../b"}, {"name": "w", "devicePath": "/w"}]
    assert faults(volumes, volumeDevices=devices, volumeMounts=[{"name": "w", "mountPath": "/w"}]) == [
        f'{LIST}[0].name: Invalid value: "w": must not already exist in volumeDevices',
        f'{LIST}[0].mountPath: Invalid value: "/w": must not already exist as a path in volumeDevices',
        'spec.containers[0].volumeDevices[0].name: Invalid value: "v": can only use volume source type of '
        "PersistentVolumeClaim or Ephemeral for block mode",
        "spec.containers[0].volumeDevices[0].devicePath: Invalid value: \"/a/../b\": can not contain backsteps ('..')",
        'spec.containers[0].volumeDevices[1].name: Invalid value: "w": must not already exist in volumeMounts',
        'spec.containers[0].volumeDevices[1].devicePath: Invalid value: "/w": '
        "must not already exist as a path in volumeMounts",
    ]


def test_an_ephemeral_volume_makes_a_claim_that_no_other_volume_names():
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    volumes = [
        {"name": "e", "ephemeral": {"volumeClaimTemplate": {"spec": claim}}},
        {"name": "p", "persistentVolumeClaim": {"claimName": "web-e"}},
    ]
    assert faults(volumes) == [
        'spec.volumes[1].persistentVolumeClaim.claimName: Invalid value: "web-e": '
        "must not reference a PVC that gets created for an ephemeral volume"
    ]


def test_only_a_real_pod_needs_the_reference_of_an_image():
    template = {"spec": pod([{"name": "v", "image": {}}])["spec"]}
    assert list(validate_template(template, "template")) == []


def test_a_token_needs_an_account():
    made = pod([{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}])
    del made["spec"]["serviceAccountName"]
    assert [str(fault) for fault in validate_pod(made)] == [
        f"{V}.projected.sources[0].serviceAccountToken: Forbidden: "
        "must not be specified when serviceAccountName is not set"
    ]


def test_old_cloud_volumes_get_their_defaults():
    volumes = [
        {"name": "a", "azureDisk": {"diskName": "d", "diskURI": "u"}},
        {"name": "b", "rbd": {"monitors": ["m"], "image": "i"}},
        {"name": "c", "iscsi": {"targetPortal": "t", "iqn": "i", "lun": 0}},
        {"name": "d", "scaleIO": {"gateway": "g", "system": "s"}},
    ]
    azure, rbd, iscsi, scale = pod(volumes)["spec"]["volumes"]
    assert azure["azureDisk"]["kind"] == "Shared"
    assert rbd["rbd"]["keyring"] == "/etc/ceph/keyring"
    assert iscsi["iscsi"]["iscsiInterface"] == "default"
    assert scale["scaleIO"]["fsType"] == "xfs"
