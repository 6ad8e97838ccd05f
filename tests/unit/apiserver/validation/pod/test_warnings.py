"""Warnings about Pods and templates."""

from pybernetes.apiserver.validation.pod.warnings import warn_pod, warn_template

HARD, SOFT = "requiredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution"
OLD_LABEL = "beta.kubernetes.io/arch"
SPEC = {
    "nodeSelector": {OLD_LABEL: "amd64"},
    "affinity": {
        "nodeAffinity": {HARD: {"nodeSelectorTerms": [{"matchExpressions": [{"key": OLD_LABEL}]}]}},
        "podAffinity": {HARD: [{}], SOFT: [{}]},
    },
    "topologySpreadConstraints": [{"topologyKey": OLD_LABEL}],
    "volumes": [
        {"name": "a", "gitRepo": {}},
        {"name": "b", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
        {"name": "c", "projected": {"sources": [{"secret": {"items": [{"path": "t"}]}}]}},
    ],
    "hostAliases": [{"ip": "1.1.1.1"}, {"ip": "1.1.1.1"}],
    "imagePullSecrets": [{}],
    "overhead": {"memory": "100m"},
    "terminationGracePeriodSeconds": -1,
    "containers": [
        {
            "name": "c",
            "resources": {"limits": {"memory": "1500m"}},
            "env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}, {"name": "A", "value": "$(A)3"}],
            "ports": [
                {"containerPort": 80, "protocol": "TCP"},
                {"containerPort": 80, "protocol": "TCP"},
                {"containerPort": 80, "protocol": "TCP", "hostPort": 80},
            ],
        }
    ],
}
NOTES = {
    "scheduler.alpha.kubernetes.io/critical-pod": "",
    "seccomp.security.alpha.kubernetes.io/pod": "x",
    "container.apparmor.security.beta.kubernetes.io/c": "unconfined",
}
NULL = "a null labelSelector results in matching no pod"


def test_a_template_is_warned_about_everything_at_once():
    at = "spec.template.spec"
    notes = "spec.template.metadata.annotations"
    node = f"{at}.affinity.nodeAffinity.{HARD}.nodeSelectorTerms[0].matchExpressions[0].key"
    arch = 'deprecated since v1.14; use "kubernetes.io/arch" instead'
    assert list(warn_template({"metadata": {"annotations": NOTES}, "spec": SPEC}, "spec.template")) == [
        f"{at}.nodeSelector[{OLD_LABEL}]: {arch}",
        f"{node}: {OLD_LABEL} is {arch}",
        f"{at}.topologySpreadConstraints[0].topologyKey: {OLD_LABEL} is {arch}",
        f"{at}.topologySpreadConstraints[0].labelSelector: {NULL}",
        f'{notes}[scheduler.alpha.kubernetes.io/critical-pod]: non-functional in v1.16+; use the "priorityClassName" '
        "field instead",
        f"{at}.volumes[0].gitRepo: deprecated in v1.11",
        f'{at}.volumes[2].projected.sources.secrets[0]: has duplicated path with ServiceAccountToken "t"',
        f'{at}.hostAliases[1].ip: duplicate ip "1.1.1.1"',
        f'{at}.imagePullSecrets[0].name: invalid empty name ""',
        f'{at}.overhead[memory]: fractional byte value "100m" is invalid, must be an integer',
        f'{notes}[seccomp.security.alpha.kubernetes.io/pod]: non-functional in v1.27+; use the "seccompProfile" field '
        "instead",
        f'{notes}[container.apparmor.security.beta.kubernetes.io/c]: deprecated since v1.30; use the "appArmorProfile" '
        "field instead",
        f'{at}.containers[0].resources.limits[memory]: fractional byte value "1500m" is invalid, must be an integer',
        f'{at}.containers[0].env[1]: hides previous definition of "A", which may be dropped when using apply',
        f"{at}.containers[0].ports[1]: duplicate port definition with {at}.containers[0].ports[0]",
        f"{at}.containers[0].ports[2]: overlapping port definition with {at}.containers[0].ports[0]",
        f"{at}.containers[0].ports[2]: overlapping port definition with {at}.containers[0].ports[1]",
        f"{at}.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1",
        f"{at}.affinity.podAffinity.{HARD}[0].labelSelector: {NULL}",
        f"{at}.affinity.podAffinity.{SOFT}[0].podAffinityTerm.labelSelector: {NULL}",
    ]


def test_a_name_that_is_no_hostname_is_told_at_creation_only():
    pod = {"metadata": {"name": "a.b"}, "spec": {"containers": []}}
    (text,) = warn_pod(pod, None)
    assert text == (
        "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; "
        "a DNS label is recommended: [must not contain dots]"
    )
    assert list(warn_pod(pod, pod)) == []
