"""How objects look inside error messages."""

import pytest

from pybernetes.apiserver.validation.internal import internal

CASES = [
    ({"type": "X"}, "flowcontrol.v1.FlowDistinguisherMethod", {"Type": "X"}),
    ({"kind": "Role"}, "rbac.v1.RoleRef", {"APIGroup": "", "Kind": "Role", "Name": ""}),
    (
        {"protocol": "TCP", "port": 80},
        "core.v1.ServicePort",
        {"Name": "", "Protocol": "TCP", "AppProtocol": None, "Port": 80, "TargetPort": 0, "NodePort": 0},
    ),
    ({"cidrs": ["a"]}, "networking.v1.ServiceCIDRSpec", {"CIDRs": ["a"]}),
    ({"cidrs": []}, "networking.v1.ServiceCIDRSpec", {"CIDRs": None}),
    (
        {"attacher": "a", "source": {"persistentVolumeName": "p"}, "nodeName": "n"},
        "storage.v1.VolumeAttachmentSpec",
        {"Attacher": "a", "Source": {"PersistentVolumeName": "p", "InlineVolumeSpec": None}, "NodeName": "n"},
    ),
    (
        {"minAvailable": 1, "selector": {"matchLabels": {"a": "b"}}},
        "policy.v1.PodDisruptionBudgetSpec",
        {
            "MinAvailable": 1,
            "Selector": {"matchLabels": {"a": "b"}},
            "MaxUnavailable": None,
            "UnhealthyPodEvictionPolicy": None,
        },
    ),
    (None, "rbac.v1.RoleRef", None),
]


@pytest.mark.parametrize(("given", "kind", "shown"), CASES)
def test_every_field_is_shown_by_its_own_name(given, kind, shown):
    found = internal(given, f"io.k8s.api.{kind}")
    assert found == shown
    assert list(found or ()) == list(shown or ()), "in the order of the type"


def test_a_context_shows_what_it_leaves_out_too():
    found = internal({"privileged": True, "capabilities": {"add": ["x"]}}, "io.k8s.api.core.v1.SecurityContext")
    assert found["Capabilities"] == {"Add": ["x"], "Drop": None}
    assert (found["Privileged"], found["SELinuxOptions"], found["RunAsUser"]) == (True, None, None)
