"""Security contexts, operating systems and the annotations that stand for profiles."""

import pytest

from pybernetes.apiserver.validation.pod.annotations import validate_agreement, validate_annotations
from pybernetes.apiserver.validation.pod.spec import validate_pod
from pybernetes.rules.poddefaults import default_pod

C = "spec.containers[0].securityContext"
P = "spec.securityContext"
WINDOWS = "cannot be set for a windows pod"
SYSCTLS = {"sysctls": [{"name": "net.core.somaxconn"}, {"name": "kernel.shmmax"}]}
HOST_USER = {"windowsOptions": {"runAsUserName": "a\\b\\c", "gmsaCredentialSpec": ""}}


def pod(spec=None, annotations=None, **container):
    made = {
        "metadata": {"name": "web", "annotations": annotations or {}},
        "spec": {"containers": [{"name": "c", "image": "i:1", **container}], **(spec or {})},
    }
    default_pod(made)
    return made


def faults(spec=None, **container):
    return [str(fault) for fault in validate_pod(pod(spec, **container))]


CONTEXTS = [
    ({"procMount": "x"}, [f'{C}.procMount: Unsupported value: "x": supported values: "Default", "Unmasked"']),
    ({"procMount": "Unmasked"}, [f'{C}.procMount: Invalid value: "Unmasked": `hostUsers` must be false to use']),
    ({"seccompProfile": {}}, [f"{C}.seccompProfile.type: Required value: type is required when seccompProfile is set"]),
    (
        {"seccompProfile": {"type": "Localhost", "localhostProfile": "/a"}},
        [f'{C}.seccompProfile.localhostProfile: Invalid value: "/a": must be a relative path'],
    ),
    (
        {"appArmorProfile": {"type": "Localhost", "localhostProfile": " a"}},
        [f'{C}.appArmorProfile.localhostProfile: Invalid value: " a": must not be padded with whitespace'],
    ),
    (
        {"allowPrivilegeEscalation": False, "privileged": True, "capabilities": {"add": ["CAP_SYS_ADMIN"]}},
        [f"{C}: Invalid value: ", f"{C}: Invalid value: "],
    ),
    (
        HOST_USER,
        [
            f'{C}.windowsOptions.gmsaCredentialSpec: Invalid value: "": gmsaCredentialSpec cannot be an empty string',
            f'{C}.windowsOptions.runAsUserName: Invalid value: "a\\\\b\\\\c": runAsUserName cannot contain more than',
        ],
    ),
]


@pytest.mark.parametrize(("context", "wanted"), CONTEXTS)
def test_a_containers_context_is_refused(context, wanted):
    found = faults(securityContext=context)
    assert len(found) == len(wanted), found
    for fault, start in zip(found, wanted, strict=True):
        assert fault.startswith(start)


SPECS = [
    ({"securityContext": {"seLinuxChangePolicy": "x"}}, [f"{P}.seLinuxChangePolicy: Unsupported value"]),
    ({"securityContext": {"supplementalGroupsPolicy": "x"}}, [f"{P}.supplementalGroupsPolicy: Unsupported value"]),
    ({"securityContext": {"fsGroupChangePolicy": "x"}}, [f"{P}.fsGroupChangePolicy: Unsupported value"]),
    (
        {"hostNetwork": True, "securityContext": SYSCTLS},
        [
            f"{P}.sysctls[0].name: Invalid value: \"net.core.somaxconn\": may not be specified when 'hostNetwork' is true"
        ],
    ),
    (
        {"hostIPC": True, "securityContext": SYSCTLS},
        [f"{P}.sysctls[1].name: Invalid value: \"kernel.shmmax\": may not be specified when 'hostIPC' is true"],
    ),
    (
        {"hostUsers": False, "hostNetwork": True, "hostPID": True},
        [
            "spec.hostNetwork: Forbidden: when `pod.Spec.HostUsers` is false",
            "spec.HostPID: Forbidden: when `pod.Spec.HostUsers` is false",
        ],
    ),
    ({"os": {"name": "bsd"}}, ['spec.os: Unsupported value: "bsd": supported values: "linux", "windows"']),
    ({"os": {"name": ""}}, ["spec.os.name: Required value: cannot be empty"]),
    (
        {"os": {"name": "linux"}, "securityContext": {"windowsOptions": {}}},
        [f"{P}.windowsOptions: Forbidden: windows options cannot be set for a linux pod"],
    ),
    (
        {"os": {"name": "windows"}, "hostPID": True, "securityContext": {"runAsUser": 1}},
        [f"spec.hostPID: Forbidden: {WINDOWS}", f"{P}.runAsUser: Forbidden: {WINDOWS}"],
    ),
    (
        {"securityContext": {"windowsOptions": {"hostProcess": True}}},
        ["spec.hostNetwork: Invalid value: false: hostNetwork must be true if pod contains any hostProcess containers"],
    ),
]


@pytest.mark.parametrize(("spec", "wanted"), SPECS)
def test_a_pods_context_is_refused(spec, wanted):
    found = faults(spec)
    assert len(found) == len(wanted), found
    for fault, start in zip(found, wanted, strict=True):
        assert fault.startswith(start)


ANNOTATIONS = {
    "kubernetes.io/config.mirror": "x",
    "scheduler.alpha.kubernetes.io/tolerations": '[{"operator": "x", "key": "k"}]',
    "controller.kubernetes.io/pod-deletion-cost": "+1",
    "seccomp.security.alpha.kubernetes.io/pod": "x",
    "container.apparmor.security.beta.kubernetes.io/other": "x",
}


def test_annotations_that_mean_something_are_judged():
    made = pod(annotations=ANNOTATIONS)
    found = [str(f) for f in validate_annotations(made["metadata"], made["spec"], "metadata.annotations")]
    at = "metadata.annotations"
    assert found == [
        f'{at}[kubernetes.io/config.mirror]: Invalid value: "x": must set spec.nodeName if mirror pod annotation is set',
        f'{at}.scheduler.alpha.kubernetes.io/tolerations[0].operator: Unsupported value: "x": supported values: '
        '"Equal", "Exists", "Gt", "Lt"',
        f'{at}[controller.kubernetes.io/pod-deletion-cost]: Invalid value: "+1": must be a 32bit integer',
        f'{at}.seccomp.security.alpha.kubernetes.io/pod: Invalid value: "x": must be a valid seccomp profile',
        f'{at}[container.apparmor.security.beta.kubernetes.io/other]: Invalid value: "other": container not found',
        f'{at}[container.apparmor.security.beta.kubernetes.io/other]: Invalid value: "x": '
        'invalid AppArmor profile name: "x"',
    ]


@pytest.mark.parametrize(
    ("profile", "text", "field"),
    [
        ({"type": "Unconfined"}, "runtime/default", "type"),
        ({"type": "RuntimeDefault"}, "unconfined", "type"),
        ({"type": "Localhost", "localhostProfile": "a"}, "localhost/b", "localhostProfile"),
        ({"type": "Localhost", "localhostProfile": "a"}, "localhost/a", None),
        ({"type": "RuntimeDefault"}, "runtime/default", None),
    ],
)
def test_an_annotation_and_its_field_agree(profile, text, field):
    annotations = {"container.apparmor.security.beta.kubernetes.io/c": text}
    made = pod(annotations=annotations, securityContext={"appArmorProfile": profile})
    found = [str(fault) for fault in validate_agreement(made["metadata"], made["spec"], "spec")]
    word = "profile" if field == "localhostProfile" else "type"
    assert found == (
        [f"{C}.appArmorProfile.{field}: Forbidden: apparmor {word} in annotation and field must match"] if field else []
    )
