"""What of a Pod may change."""

import copy

import pytest

from pybernetes.apiserver.validation.pod.update import validate_pod_update
from pybernetes.rules.poddefaults import default_pod


def pod(**spec):
    made = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i:1"}], **spec}}
    default_pod(made)
    return made


def faults(change, **spec):
    old = pod(**spec)
    new = copy.deepcopy(old)
    change(new["spec"])
    return [str(fault) for fault in validate_pod_update(new, old)]


def test_the_image_may_change():
    assert faults(lambda spec: spec["containers"][0].update(image="i:2")) == []


def test_other_fields_may_not_and_the_text_shows_which():
    (fault,) = faults(lambda spec: spec.update(hostNetwork=True))
    assert fault.startswith("spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,")
    assert "\n+ \tHostNetwork: true,\n" in fault


def test_containers_may_not_be_added():
    def add(spec):
        spec["containers"].append({"name": "d", "image": "d"})

    assert faults(add) == ["spec.containers: Forbidden: pod updates may not add or remove containers"]


@pytest.mark.parametrize(
    ("new", "fault"),
    [
        (20, ["spec.activeDeadlineSeconds: Invalid value: 20: must be less than or equal to previous value"]),
        (5, []),
        (
            None,
            ["spec.activeDeadlineSeconds: Invalid value: null: must not update from a positive integer to nil value"],
        ),
    ],
)
def test_a_deadline_only_comes_nearer(new, fault):
    assert faults(lambda spec: spec.update(activeDeadlineSeconds=new), activeDeadlineSeconds=10) == fault


def test_tolerations_are_added_and_their_seconds_changed():
    held = {"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
    more = {"key": "b", "operator": "Exists"}
    assert faults(lambda s: s.update(tolerations=[{**held, "tolerationSeconds": 1}, more]), tolerations=[held]) == []
    assert faults(lambda s: s.update(tolerations=[more]), tolerations=[held]) == [
        "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"
    ]


def test_gates_only_go():
    gate = {"name": "example.com/a"}
    assert faults(lambda s: s.update(schedulingGates=[]), schedulingGates=[gate]) == []
    assert faults(lambda s: s.update(schedulingGates=[gate])) == [
        "spec.schedulingGates[0].name: Forbidden: only deletion is allowed, but found new scheduling gate 'example.com/a'"
    ]


def test_a_gated_pod_may_be_narrowed():
    gates = [{"name": "example.com/a"}]
    assert faults(lambda s: s.update(nodeSelector={"a": "b"}), schedulingGates=gates) == []
    assert faults(lambda s: s.update(nodeSelector={"a": "b"})) != []
    assert faults(lambda s: s.update(nodeSelector={"x": "y"}), schedulingGates=gates, nodeSelector={"a": "b"}) != []


def test_a_negative_grace_may_become_one():
    assert faults(lambda s: s.update(terminationGracePeriodSeconds=1), terminationGracePeriodSeconds=-1) == []
    assert faults(lambda s: s.update(terminationGracePeriodSeconds=1)) != []


def test_empty_and_absent_are_the_same():
    assert faults(lambda s: s.update(nodeSelector={}, hostAliases=[])) == []
