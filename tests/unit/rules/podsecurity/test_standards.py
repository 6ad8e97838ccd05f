"""What each check of the Pod Security Standards says, word by word, and since which version it does."""

import pytest

from pybernetes.rules.podsecurity.evaluate import brief, detailed, violations
from pybernetes.rules.podsecurity.policy import Policy, Standard, of_labels, stricter

LATEST = Standard("baseline").minor


def told(level, spec, minor=LATEST, **meta):
    return detailed(violations(Standard(level, minor), meta, spec))


def contained(*names, **context):
    return [{"name": name, "securityContext": context} for name in names]


BASELINE = [
    ({"hostNetwork": True, "hostPID": True, "hostIPC": True}, "host namespaces (hostNetwork=true, hostPID=true, hostIPC=true)"),
    (
        {"containers": contained("a", privileged=True), "initContainers": contained("i", privileged=True)},
        'privileged (containers "i", "a" must not set securityContext.privileged=true)',
    ),
    (
        {"containers": contained("a", capabilities={"add": ["NET_RAW", "CHOWN", "BPF"]})},
        'non-default capabilities (container "a" must not include "BPF", "NET_RAW" in securityContext.capabilities.add)',
    ),
    ({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}, 'hostPath volumes (volume "v")'),
    (
        {"containers": [{"name": "a", "ports": [{"hostPort": 80}, {"hostPort": 443}]}]},
        'hostPort (container "a" uses hostPorts 443, 80)',
    ),
    (
        {"containers": [{"name": "a", "livenessProbe": {"httpGet": {"host": "h"}}}]},
        'probe or lifecycle host (container "a" uses probe or lifecycle host "h")',
    ),
    (
        {"containers": contained("a", "b", procMount="Unmasked")},
        'procMount (containers "a", "b" must not set securityContext.procMount to "Unmasked")',
    ),
    (
        {"securityContext": {"seLinuxOptions": {"type": "x", "user": "u"}}, "containers": contained("a", seLinuxOptions={"role": "r"})},
        'seLinuxOptions (pod and container "a" set forbidden securityContext.seLinuxOptions: type "x"; user may not be '
        "set; role may not be set)",
    ),
    (
        {"securityContext": {"seccompProfile": {"type": "Unconfined"}}},
        'seccompProfile (pod must not set securityContext.seccompProfile.type to "Unconfined")',
    ),
    (
        {"securityContext": {"sysctls": [{"name": "kernel.msgmax"}, {"name": "net.ipv4.tcp_rmem"}]}},
        "forbidden sysctls (kernel.msgmax)",
    ),
    (
        {"securityContext": {"windowsOptions": {"hostProcess": True}}},
        "hostProcess (pod must not set securityContext.windowsOptions.hostProcess=true)",
    ),
    (
        {"securityContext": {"appArmorProfile": {"type": "Unconfined"}}},
        'forbidden AppArmor profile (pod must not set AppArmor profile type to "Unconfined")',
    ),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "text"), BASELINE)
def test_baseline_forbids(spec, text):
    assert told("baseline", spec) == text
    assert told("privileged", spec) == ""


RESTRICTED = [
    (
        {"volumes": [{"name": "n", "nfs": {}}, {"name": "h", "hostPath": {}}, {"name": "e", "emptyDir": {}}]},
        'restricted volume types (volumes "n", "h" use restricted volume types "hostPath", "nfs")',
    ),
    ({"securityContext": {"runAsUser": 0}}, "runAsUser=0 (pod must not set runAsUser=0)"),
    (
        {"securityContext": {"runAsNonRoot": False}},
        "runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false)",
    ),
]


@pytest.mark.parametrize(("spec", "text"), RESTRICTED)
def test_restricted_demands(spec, text):
    assert told("restricted", spec) == text


def test_restricted_wants_every_capability_dropped():
    own = {"allowPrivilegeEscalation": False, "capabilities": {"add": ["CHOWN", "NET_BIND_SERVICE"]}}
    spec = {
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": contained("a", **own),
    }
    assert told("restricted", spec) == (
        'unrestricted capabilities (container "a" must set securityContext.capabilities.drop=["ALL"]; container "a" '
        'must not include "CHOWN" in securityContext.capabilities.add)'
    )


VERSIONS = [
    ("baseline", {"containers": [{"name": "a", "startupProbe": {"tcpSocket": {"host": "h"}}}]}, 34, True),
    ("baseline", {"securityContext": {"sysctls": [{"name": "net.ipv4.tcp_rmem"}]}}, 32, False),
    ("baseline", {"securityContext": {"sysctls": [{"name": "net.ipv4.tcp_notsent_lowat"}]}}, 37, False),
    ("baseline", {"securityContext": {"seLinuxOptions": {"type": "container_engine_t"}}}, 31, False),
    ("baseline", {"hostUsers": False, "containers": contained("a", procMount="Unmasked")}, 35, False),
    ("restricted", {"containers": contained("a", runAsNonRoot=True)}, 8, True),
    ("restricted", {"securityContext": {"runAsUser": 0}}, 23, True),
    ("restricted", {"hostUsers": False, "securityContext": {"runAsUser": 0}}, 35, False),
]


@pytest.mark.parametrize(("level", "spec", "since", "forbidden"), VERSIONS)
def test_a_standard_of_a_version_is_what_it_was_then(level, spec, since, forbidden):
    assert bool(told(level, spec, since)) is forbidden
    assert bool(told(level, spec, since - 1)) is not forbidden


def test_windows_pods_need_not_say_what_windows_does_not_know():
    own = {"securityContext": {"runAsNonRoot": True}, "containers": [{"name": "a"}]}
    assert told("restricted", own, 24)
    assert told("restricted", {**own, "os": {"name": "windows"}}) == ""


def test_old_versions_know_seccomp_by_annotation():
    annotations = {"seccomp.security.alpha.kubernetes.io/pod": "unconfined"}
    text = 'seccompProfile (forbidden annotation seccomp.security.alpha.kubernetes.io/pod="unconfined")'
    assert told("baseline", {}, 18, annotations=annotations) == text
    assert told("baseline", {}, 19, annotations=annotations) == ""


def test_baseline_comes_first_and_each_check_once():
    spec = {"hostNetwork": True, "volumes": [{"name": "h", "hostPath": {}}], "containers": [{"name": "a"}]}
    assert brief(violations(Standard("restricted"), {}, spec)) == (
        "host namespaces, allowPrivilegeEscalation != false, unrestricted capabilities, restricted volume types, "
        "runAsNonRoot != true, seccompProfile"
    )


def test_labels_say_the_policy_and_defaults_the_rest():
    prefix = "pod-security.kubernetes.io/"
    policy, faults = of_labels({f"{prefix}enforce": "baseline", f"{prefix}warn-version": "v1.3"}, Policy())
    assert not faults
    assert [str(one) for one in (policy.enforce, policy.audit, policy.warn)] == [
        "baseline:latest",
        "privileged:latest",
        "privileged:v1.3",
    ]
    policy, faults = of_labels({f"{prefix}enforce": "x", f"{prefix}warn": "x"}, Policy())
    assert (policy.enforce.level, policy.warn.level, len(faults)) == ("restricted", "privileged", 2)


def test_levels_are_ordered():
    assert stricter("restricted", "baseline")
    assert stricter("baseline", "privileged")
    assert not stricter("baseline", "baseline")


@pytest.mark.parametrize("spec", [{}, {"containers": [{}]}, {"volumes": [{}]}, {"securityContext": {}}])
@pytest.mark.parametrize("level", ["baseline", "restricted"])
def test_a_spec_that_says_little_is_judged_all_the_same(spec, level):
    assert isinstance(told(level, spec), str)
