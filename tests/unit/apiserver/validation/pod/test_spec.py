"""The Pod spec: every refusal with its path and upstream's words."""

import pytest

from pybernetes.apiserver.validation.pod.spec import validate_new_pod, validate_pod
from pybernetes.rules.poddefaults import default_pod

BAD_ID = "Invalid value: -1: must be between 0 and 2147483647, inclusive"


def pod(spec=None, **container):
    made = {
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"containers": [{"name": "web", "image": "web:1", **container}], **(spec or {})},
    }
    default_pod(made)
    return made


def faults(spec=None, **container):
    return [str(fault) for fault in validate_pod(pod(spec, **container))]


def test_the_plainest_pod_is_valid():
    assert faults() == []


C = "spec.containers[0]"

CONTAINERS = [
    ({"name": ""}, f"{C}.name: Required value"),
    ({"image": ""}, f"{C}.image: Required value"),
    ({"image": " web"}, f'{C}.image: Invalid value: " web": must not have leading or trailing whitespace'),
    (
        {"imagePullPolicy": "Often"},
        f'{C}.imagePullPolicy: Unsupported value: "Often": supported values: "Always", "IfNotPresent", "Never"',
    ),
    ({"ports": [{}]}, f"{C}.ports[0].containerPort: Required value"),
    (
        {"ports": [{"containerPort": 70000}]},
        f"{C}.ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
    ),
    (
        {"ports": [{"containerPort": 80, "protocol": "QUIC"}]},
        f'{C}.ports[0].protocol: Unsupported value: "QUIC": supported values: "SCTP", "TCP", "UDP"',
    ),
    (
        {"ports": [{"containerPort": 80, "name": "a"}, {"containerPort": 81, "name": "a"}]},
        f'{C}.ports[1].name: Duplicate value: "a"',
    ),
    (
        {"ports": [{"containerPort": 80, "hostPort": 1}, {"containerPort": 81, "hostPort": 1}]},
        f'{C}.ports[1].hostPort: Duplicate value: "TCP//1"',
    ),
    ({"env": [{"value": "x"}]}, f"{C}.env[0].name: Required value"),
    (
        {"env": [{"name": "a=b"}]},
        f'{C}.env[0].name: Invalid value: "a=b": a valid environment variable name must consist only of printable '
        "ASCII characters other than '='",
    ),
    (
        {"env": [{"name": "A", "value": "x", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]},
        f'{C}.env[0].valueFrom: Invalid value: "": may not be specified when `value` is not empty',
    ),
    (
        {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s"}}}]},
        f"{C}.env[0].valueFrom.secretKeyRef.key: Required value",
    ),
    (
        {"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.unknown"}}}]},
        f'{C}.env[0].valueFrom.fieldRef.fieldPath: Invalid value: "spec.unknown": error converting fieldPath: '
        "field label not supported: spec.unknown",
    ),
    (
        {"envFrom": [{}]},
        f'{C}.envFrom: Invalid value: "": must specify one of: `configMapRef` or `secretRef`',
    ),
    (
        {"volumeMounts": [{"name": "v", "mountPath": "/v"}]},
        f'{C}.volumeMounts[0].name: Not found: "v"',
    ),
    (
        {"livenessProbe": {}},
        f"{C}.livenessProbe: Required value: must specify a handler type",
    ),
    (
        {"livenessProbe": {"tcpSocket": {"port": 80}, "successThreshold": 2}},
        f"{C}.livenessProbe.successThreshold: Invalid value: 2: must be 1",
    ),
    (
        {"readinessProbe": {"tcpSocket": {"port": 80}, "exec": {"command": ["x"]}}},
        f"{C}.readinessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type",
    ),
    (
        {"resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}},
        f'{C}.resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1',
    ),
    (
        {"resources": {"requests": {"example.com/gpu": "1"}}},
        f"{C}.resources.limits: Required value: Limit must be set for non overcommitable resources",
    ),
    (
        {"resources": {"requests": {"memory": "-1"}}},
        f'{C}.resources.requests[memory]: Invalid value: "-1": must be greater than or equal to 0',
    ),
    (
        {"livenessProbe": {"httpGet": {"port": 80, "httpHeaders": [{"name": "X_Y"}]}}},
        f'{C}.livenessProbe.httpGet.httpHeaders: Invalid value: "X_Y": a valid HTTP header must consist of '
        "alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')",
    ),
    ({"securityContext": {"runAsUser": -1}}, f"{C}.securityContext.runAsUser: {BAD_ID}"),
]

SPECS = [
    ({"containers": []}, "spec.containers: Required value"),
    (
        {"restartPolicy": "Sometimes"},
        'spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"',
    ),
    (
        {"dnsPolicy": "None"},
        "spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None",
    ),
    (
        {"activeDeadlineSeconds": 0},
        "spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive",
    ),
    (
        {"volumes": [{"name": "v", "emptyDir": {}, "hostPath": {"path": "/"}}]},
        "spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type",
    ),
    (
        {"volumes": [{"name": "v"}, {"name": "v"}]},
        'spec.volumes[1].name: Duplicate value: "v"',
    ),
    ({"volumes": [{"name": "v", "secret": {}}]}, "spec.volumes[0].secret.secretName: Required value"),
    ({"volumes": [{"name": "v", "image": {}}]}, "spec.volumes[0].image.reference: Required value"),
    (
        {"volumes": [{"name": "v", "emptyDir": {"sizeLimit": "-1"}}]},
        "spec.volumes[0].emptyDir.sizeLimit: Forbidden: SizeLimit field must be a valid resource quantity",
    ),
    (
        {"securityContext": {"sysctls": [{"name": "kernel.shm_rmid_forced"}, {"name": "kernel.shm_rmid_forced"}]}},
        'spec.securityContext.sysctls[1].name: Duplicate value: "kernel.shm_rmid_forced"',
    ),
    (
        {"securityContext": {"sysctls": [{"name": "a..b"}]}},
        'spec.securityContext.sysctls[0].name: Invalid value: "a..b": must have at most 253 characters and match',
    ),
    (
        {"resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}},
        'spec.resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1',
    ),
    (
        {"volumes": [{"name": "v", "hostPath": {"path": "/a/../b"}}]},
        "spec.volumes[0].hostPath.path: Invalid value: \"/a/../b\": must not contain '..'",
    ),
    (
        {"volumes": [{"name": "v", "configMap": {"name": "c", "items": [{"key": "k", "path": "../x"}]}}]},
        "spec.volumes[0].configMap.items[0].path: Invalid value: \"../x\": must not contain '..'",
    ),
    (
        {"tolerations": [{"operator": "Exists", "value": "x", "key": "k"}]},
        "spec.tolerations[0].operator: Invalid value: \"x\": value must be empty when `operator` is 'Exists'",
    ),
    (
        {"tolerations": [{"key": "k", "effect": "NoSchedule", "tolerationSeconds": 1}]},
        'spec.tolerations[0].effect: Invalid value: "NoSchedule": '
        "effect must be 'NoExecute' when `tolerationSeconds` is set",
    ),
    (
        {"topologySpreadConstraints": [{"topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"}]},
        "spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero",
    ),
    (
        {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {}}}},
        "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: "
        "Required value: must have at least one node selector term",
    ),
    (
        {"hostPID": True, "shareProcessNamespace": True},
        "spec.securityContext.shareProcessNamespace: Invalid value: true: ShareProcessNamespace and HostPID cannot both be enabled",
    ),
    ({"securityContext": {"fsGroup": -1}}, f"spec.securityContext.fsGroup: {BAD_ID}"),
    (
        {"initContainers": [{"name": "i", "image": "i", "readinessProbe": {"tcpSocket": {"port": 1}}}]},
        "spec.initContainers[0].readinessProbe: Forbidden: may not be set for init containers without "
        "restartPolicy=Always",
    ),
    (
        {"initContainers": [{"name": "web", "image": "i"}]},
        'spec.initContainers[0].name: Duplicate value: "web"',
    ),
    ({"hostAliases": [{"ip": "1.2.3"}]}, "spec.hostAliases[0].ip: Invalid value: "),
]


@pytest.mark.parametrize(("container", "fault"), CONTAINERS)
def test_a_container_is_refused_by_path_and_reason(container, fault):
    assert faults(**container) == [fault]


@pytest.mark.parametrize(("spec", "fault"), SPECS)
def test_a_spec_is_refused_by_path_and_reason(spec, fault):
    (found,) = faults(spec)
    assert found.startswith(fault)


def test_a_gated_pod_names_no_node():
    made = pod({"nodeName": "n", "schedulingGates": [{"name": "a.b/c"}]})
    assert [str(fault) for fault in validate_new_pod(made)] == [
        "spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared"
    ]


def test_all_faults_come_at_once():
    assert len(faults({"restartPolicy": "x", "dnsPolicy": "y"}, name="", image="")) == 4


def test_host_network_ports_must_be_the_containers_own():
    made = pod({"hostNetwork": True}, ports=[{"containerPort": 80, "hostPort": 81}])
    assert [str(f) for f in validate_pod(made)] == [
        f"{C}.ports[0].hostPort: Invalid value: 81: must match `containerPort` when `hostNetwork` is true"
    ]


def test_a_sidecar_may_have_probes():
    sidecar = {"name": "s", "image": "s", "restartPolicy": "Always", "startupProbe": {"exec": {"command": ["true"]}}}
    assert faults({"initContainers": [sidecar]}) == []
