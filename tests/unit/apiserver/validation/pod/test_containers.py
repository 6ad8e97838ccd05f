"""Containers beyond the plain ones: restart rules, signals, resources, init and ephemeral containers, scheduling."""

import pytest

from pybernetes.apiserver.validation.pod.spec import validate_pod
from pybernetes.rules.poddefaults import default_pod

C = "spec.containers[0]"
HARD = "requiredDuringSchedulingIgnoredDuringExecution"


def pod(spec=None, **container):
    made = {
        "metadata": {"name": "web"},
        "spec": {"containers": [{"name": "c", "image": "i:1", **container}], **(spec or {})},
    }
    default_pod(made)
    return made


def faults(spec=None, **container):
    return [str(fault) for fault in validate_pod(pod(spec, **container))]


def matches(found, wanted):
    assert len(found) == len(wanted), found
    for fault, start in zip(found, wanted, strict=True):
        assert fault.startswith(start), fault


RULE = {"action": "Restart", "exitCodes": {"operator": "In", "values": [1]}}
CONTAINERS = [
    (
        {"restartPolicyRules": [RULE]},
        [f"{C}.restartPolicy: Required value: must specify restartPolicy when restart rules are used"],
    ),
    (
        {"restartPolicy": "x", "restartPolicyRules": [{"action": "Stop"}, {"action": "Restart", "exitCodes": {}}]},
        [
            f'{C}.restartPolicy: Unsupported value: "x": supported values: "Always", "Never", "OnFailure"',
            f'{C}.restartPolicyRules[0].action: Unsupported value: "Stop": supported values: "Restart", "RestartAll',
            f"{C}.restartPolicyRules[0].exitCodes: Required value: must be specified",
            f'{C}.restartPolicyRules[1].exitCodes.operator: Unsupported value: "": supported values: "In", "NotIn"',
        ],
    ),
    (
        {"restartPolicy": "Never", "restartPolicyRules": [RULE] * 21},
        [f"{C}.restartPolicyRules: Too many: 21: must have at most 20 items"],
    ),
    (
        {"lifecycle": {"stopSignal": "SIGUSR1"}},
        [f"{C}.lifecycle.stopSignal: Forbidden: may not be set for containers with empty `spec.os.name`"],
    ),
    (
        {"lifecycle": {"preStop": {"sleep": {"seconds": 31}}}},
        [f"{C}.lifecycle.preStop.sleep: Invalid value: 31: must be non-negative and less than termination"],
    ),
    ({"livenessProbe": {"grpc": {"port": 0}}}, [f"{C}.livenessProbe.grpc.port: Invalid value: 0: must be between"]),
    (
        {"readinessProbe": {"exec": {}, "terminationGracePeriodSeconds": 0}},
        [
            f"{C}.readinessProbe.exec.command: Required value",
            f"{C}.readinessProbe.terminationGracePeriodSeconds: Invalid value: 0: must be greater than 0",
            f"{C}.readinessProbe.terminationGracePeriodSeconds: Invalid value: 0: must not be set for readinessProbes",
        ],
    ),
    (
        {"resizePolicy": [{"resourceName": "gpu"}, {"resourceName": "gpu", "restartPolicy": "NotRequired"}]},
        [
            f'{C}.resizePolicy: Unsupported value: "gpu": supported values: "cpu", "memory"',
            f"{C}.resizePolicy: Required value",
            f'{C}.resizePolicy[1]: Duplicate value: "gpu"',
            f'{C}.resizePolicy: Unsupported value: "gpu"',
        ],
    ),
    (
        {"resources": {"limits": {"hugepages-2Mi": "3Mi", "cpus": "1", "example.com/x": "1500m", "a.b/c d": "1"}}},
        [
            f'{C}.resources.limits[hugepages-2Mi]: Invalid value: "3Mi": 3Mi is not positive integer multiple of',
            f'{C}.resources.limits[cpus]: Invalid value: "cpus": must be a standard resource type or fully qualified',
            f'{C}.resources.limits[cpus]: Invalid value: "cpus": must be a standard resource for containers',
            f'{C}.resources.limits[example.com/x]: Invalid value: "1500m": must be an integer',
            f'{C}.resources.limits[a.b/c d]: Invalid value: "a.b/c d": name part must consist',
            f'{C}.resources.limits[a.b/c d]: Invalid value: "a.b/c d": doesn\'t follow extended resource name standard',
        ],
    ),
    (
        {"resources": {"claims": [{}, {"name": "x"}, {"name": "x"}]}},
        [
            f"{C}.resources.claims[0]: Required value",
            f'{C}.resources.claims[1]: Not found: "x": must be one of the names in pod.spec.resourceClaims which is',
            f'{C}.resources.claims[2]: Duplicate value: "x"',
            f'{C}.resources.claims[2]: Not found: "x"',
        ],
    ),
    (
        {"env": [{"name": "A", "valueFrom": {"fileKeyRef": {"key": "1", "path": "/a"}}}]},
        [
            f'{C}.env[0].valueFrom.fileKeyRef.key: Invalid value: "1": a valid environment variable name must',
            f"{C}.env[0].valueFrom.fileKeyRef.volumeName: Required value",
            f'{C}.env[0].valueFrom.fileKeyRef.path: Invalid value: "/a": must be a relative path',
        ],
    ),
    (
        {"env": [{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "2"}}}]},
        [
            f'{C}.env[0].valueFrom.resourceFieldRef.divisor: Invalid value: "limits.cpu": only divisor\'s values 1m and 1'
        ],
    ),
    (
        {"env": [{"name": "A", "valueFrom": {}}]},
        [
            f'{C}.env[0].valueFrom: Invalid value: "": must specify one of: `fieldRef`, `resourceFieldRef`, '
            "`configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
        ],
    ),
]


@pytest.mark.parametrize(("container", "wanted"), CONTAINERS)
def test_a_container_is_refused_by_path_and_reason(container, wanted):
    found = faults(**container)
    # Limits become requests, and hugepages alone need cpu or memory: both told elsewhere.
    matches([fault for fault in found if "HugePages require" not in fault and ".requests[" not in fault], wanted)


SPREAD = {"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "ScheduleAnyway"}
TERM = {"matchExpressions": [{"key": "a", "operator": "In", "values": ["b c"]}]}
SPECS = [
    (
        {"topologySpreadConstraints": [{**SPREAD, "minDomains": 1, "matchLabelKeys": ["k"]}, dict(SPREAD)]},
        [
            'spec.topologySpreadConstraints[0].{topologyKey, whenUnsatisfiable}: Duplicate value: "{z, ScheduleAnyway}"',
            "spec.topologySpreadConstraints[0].minDomains: Invalid value: 1: can only use minDomains if whenUnsatisf",
            "spec.topologySpreadConstraints[0].matchLabelKeys: Forbidden: must not be specified when labelSelector",
        ],
    ),
    (
        {"affinity": {"nodeAffinity": {HARD: {"nodeSelectorTerms": [TERM]}}}},
        [f'spec.affinity.nodeAffinity.{HARD}.nodeSelectorTerms[0].matchExpressions[0].values[0]: Invalid value: "b c"'],
    ),
    (
        {"affinity": {"podAffinity": {HARD: [{"topologyKey": "z", "namespaces": ["A"], "matchLabelKeys": ["k"]}]}}},
        [
            f'spec.affinity.podAffinity.{HARD}[0].namespace: Invalid value: "A"',
            f"spec.affinity.podAffinity.{HARD}[0].matchLabelKeys: Forbidden: must not be specified when labelSelector",
        ],
    ),
    (
        {"tolerations": [{"key": "k", "operator": "Gt", "value": "01"}]},
        ['spec.tolerations[0].value: Invalid value: "01": '],
    ),
    ({"preemptionPolicy": "x"}, ['spec.preemptionPolicy: Unsupported value: "x": supported values: "PreemptLower']),
    ({"overhead": {"cpu": "-1"}}, ['spec.overhead.limits[cpu]: Invalid value: "-1": must be greater than or equal']),
    (
        {"hostnameOverride": "x" * 65, "setHostnameAsFQDN": True},
        ["spec.hostnameOverride: Too long", "spec.hostnameOverride: Invalid value", "spec.hostnameOverride: Forbidden"],
    ),
    (
        {"dnsConfig": {"nameservers": ["1.1.1.1"] * 4, "searches": ["a_b.", "A"], "options": [{}]}},
        [
            'spec.dnsConfig.nameservers: Invalid value: ["1.1.1.1","1.1.1.1","1.1.1.1","1.1.1.1"]: must not have more',
            'spec.dnsConfig.searches[1]: Invalid value: "A"',
            "spec.dnsConfig.options[0]: Required value: must not be empty",
        ],
    ),
    (
        {"resourceClaims": [{"name": "a"}, {"name": "a", "resourceClaimName": "x"}]},
        [
            'spec.resourceClaims[0]: Invalid value: {"name":"a"}: must specify one of: `resourceClaimName`',
            'spec.resourceClaims[1].name: Duplicate value: "a"',
        ],
    ),
    (
        {"resources": {"limits": {"gpu": "1"}, "claims": [{"name": "x"}]}},
        [
            "spec.resources.claims: Forbidden: claims cannot be set for Resources at pod-level",
            'spec.resources.limits[gpu]: Invalid value: "gpu": must be a standard resource type or fully qualified',
            'spec.resources.claims[0]: Not found: "x"',
        ],
    ),
    ({"schedulingGroup": {}}, ["spec.schedulingGroup.podGroupName: Required value"]),
]


@pytest.mark.parametrize(("spec", "wanted"), SPECS)
def test_a_spec_is_refused_by_path_and_reason(spec, wanted):
    found = faults(spec)
    if "hostnameOverride" in spec:
        assert [fault.partition(":")[0] for fault in found] == ["spec.hostnameOverride"] * len(found)
        assert len(found) >= 2
        return
    matches(found, wanted)


def test_a_pod_gives_its_containers_what_they_ask_for_together():
    amounts = {"resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "3"}}}
    spec = {
        "resources": {"requests": {"cpu": "1500m"}, "limits": {"cpu": "2"}},
        "initContainers": [{"name": "s", "image": "s", "restartPolicy": "Always", **amounts}],
    }
    assert faults(spec, **amounts) == [
        'spec.resources.requests[cpu]: Invalid value: "1500m": '
        "must be greater than or equal to aggregate container requests of 2",
        'spec.resources.containers[0][cpu].limits: Invalid value: "3": must be less than or equal to pod limits of 2',
    ]


def test_pod_level_requests_come_from_containers_else_from_limits():
    spec = {"resources": {"limits": {"cpu": "2", "memory": "1Gi"}}}
    made = pod(spec, resources={"requests": {"cpu": "1"}})
    assert made["spec"]["resources"]["requests"] == {"cpu": "1", "memory": "1Gi"}


def test_port_names_are_the_containers_own():
    ports = {"ports": [{"containerPort": 80, "name": "http"}]}
    made = pod(**ports)
    made["spec"]["containers"].append({**made["spec"]["containers"][0], "name": "d"})
    assert list(validate_pod(made)) == []


def test_an_ephemeral_container_is_no_real_one():
    container = {
        "name": "c",
        "image": " e",
        "targetContainerName": "x",
        "startupProbe": {"exec": {"command": ["a"]}},
        "volumeMounts": [{"name": "v", "mountPath": "/v", "subPath": "a"}],
    }
    spec = {"ephemeralContainers": [container], "volumes": [{"name": "v"}]}
    at = "spec.ephemeralContainers[0]"
    matches(
        faults(spec),
        [
            f'{at}.image: Invalid value: " e": must not have leading or trailing whitespace',
            f'{at}.name: Duplicate value: "c"',
            f'{at}.targetContainerName: Not found: "x"',
            f"{at}.startupProbe: Forbidden: cannot be set for an Ephemeral Container",
            f"{at}.volumeMounts[0].subPath: Forbidden: cannot be set for an Ephemeral Container",
        ],
    )
