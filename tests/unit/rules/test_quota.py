"""What objects charge against quotas, and which quotas concern them."""

import pytest
import yaml

from pybernetes.api.objects import GroupResource
from pybernetes.rules.podresources import of_pod
from pybernetes.rules.quota import (
    CLAIMS,
    DEVICES,
    PODS,
    SERVICES,
    all_in_scope,
    best_effort,
    concerns,
    counted,
    extended_names,
    handles,
    shown,
    unset,
    usage,
)

NOW = 1_800_000_000.0
DEPLOYMENTS = GroupResource("apps", "deployments")


def obj(text):
    return yaml.safe_load(text)


@pytest.mark.parametrize(
    ("resource", "text", "charged"),
    [
        (PODS, "{}", "count/pods=1,pods=1"),
        (PODS, "{status: {phase: Succeeded}}", "count/pods=1"),
        (
            PODS,
            "{spec: {containers: [{resources: {requests: {cpu: 100m, hugepages-2Mi: 4Mi, example.com/gpu: '2',"
            " memory: 1Gi}, limits: {cpu: '1', example.com/gpu: '2'}}}], overhead: {cpu: 50m}}}",
            "count/pods=1,cpu=150m,hugepages-2Mi=4Mi,limits.cpu=1050m,memory=1Gi,pods=1,requests.cpu=150m,"
            "requests.example.com/gpu=2,requests.hugepages-2Mi=4Mi,requests.memory=1Gi",
        ),
        (
            PODS,
            "{spec: {containers: [{resources: {requests: {deviceclass.resource.kubernetes.io/gpu: '2'}}}]}}",
            "count/pods=1,pods=1,requests.deviceclass.resource.kubernetes.io/gpu=2",
        ),
        (CLAIMS, "{}", "count/persistentvolumeclaims=1,persistentvolumeclaims=1"),
        (
            CLAIMS,
            "{spec: {storageClassName: a, resources: {requests: {storage: 1500m}}}}",
            "a.storageclass.storage.k8s.io/persistentvolumeclaims=1,a.storageclass.storage.k8s.io/requests.storage=2,"
            "count/persistentvolumeclaims=1,persistentvolumeclaims=1,requests.storage=2",
        ),
        (
            CLAIMS,
            "{spec: {resources: {requests: {storage: 1Gi}}}, status: {allocatedResources: {storage: 2Gi}}}",
            "count/persistentvolumeclaims=1,persistentvolumeclaims=1,requests.storage=2Gi",
        ),
        (
            SERVICES,
            "{spec: {type: LoadBalancer, ports: [{}, {}]}}",
            "count/services=1,services=1,services.loadbalancers=1,services.nodeports=2",
        ),
        (
            SERVICES,
            "{spec: {type: LoadBalancer, allocateLoadBalancerNodePorts: false, ports: [{nodePort: 30000}, {}]}}",
            "count/services=1,services=1,services.loadbalancers=1,services.nodeports=1",
        ),
        (
            DEVICES,
            "{spec: {devices: {requests: [{exactly: {deviceClassName: a, allocationMode: ExactCount, count: 2}},"
            " {exactly: {deviceClassName: a, allocationMode: All}}, {firstAvailable:"
            " [{deviceClassName: b, count: 3}, {deviceClassName: b, count: 5}, {deviceClassName: c, count: 1}]}]}}}",
            "a.deviceclass.resource.k8s.io/devices=34,b.deviceclass.resource.k8s.io/devices=5,"
            "c.deviceclass.resource.k8s.io/devices=1,count/resourceclaims.resource.k8s.io=1,"
            "requests.deviceclass.resource.kubernetes.io/a=34,requests.deviceclass.resource.kubernetes.io/b=5,"
            "requests.deviceclass.resource.kubernetes.io/c=1",
        ),
        (DEPLOYMENTS, "{}", "count/deployments.apps=1"),
        (GroupResource("", "secrets"), "{}", "count/secrets=1,secrets=1"),
    ],
)
def test_an_object_charges(resource, text, charged):
    found = usage(resource, obj(text), NOW)
    assert shown(found) == charged
    assert all(concerns(resource, name) for name in found)


def test_devices_count_under_the_name_that_their_class_gives_them_too():
    claim = obj("{spec: {devices: {requests: [{exactly: {deviceClassName: a, count: 2}}]}}}")
    classes = [
        obj("{metadata: {name: a}, spec: {extendedResourceName: example.com/gpu}}"),
        obj("{metadata: {name: b}}"),
    ]
    found = usage(DEVICES, claim, NOW, extended_names(classes))
    assert shown(found) == (
        "a.deviceclass.resource.k8s.io/devices=2,count/resourceclaims.resource.k8s.io=1,"
        "requests.deviceclass.resource.kubernetes.io/a=2,requests.example.com/gpu=2"
    )
    assert all(concerns(DEVICES, name) for name in found)


@pytest.mark.parametrize(
    ("resource", "names"),
    [
        (PODS, ["services", "count/services", "example.com/gpu", "requests.storage", "limits.example.com/gpu"]),
        (CLAIMS, ["pods", "a.storageclass.storage.k8s.io/other"]),
        (DEPLOYMENTS, ["deployments", "deployments.apps", "count/deployments"]),
        (GroupResource("", "endpoints"), ["endpoints"]),
    ],
)
def test_what_is_another_resources_does_not_concern_it(resource, names):
    assert not any(concerns(resource, name) for name in names)


def test_sidecars_add_up_and_init_containers_do_not():
    pod = obj(
        "{spec: {initContainers: [{name: s, restartPolicy: Always, resources: {requests: {cpu: '1'}}},"
        " {name: i, resources: {requests: {cpu: '3'}}}], containers: [{name: a, resources: {requests: {cpu: '2'}}}]}}"
    )
    assert shown(of_pod(pod, "requests")) == "cpu=4"


def test_pod_level_amounts_stand_in_for_the_sum():
    pod = obj(
        "{spec: {resources: {requests: {cpu: '5'}}, containers: [{resources: {requests: {cpu: '1', memory: '7'}}}]}}"
    )
    assert shown(of_pod(pod, "requests")) == "cpu=5,memory=7"


def test_a_resize_counts_the_larger_until_it_is_done():
    pod = obj(
        "{spec: {containers: [{name: a, resources: {requests: {cpu: '1'}}}]},"
        " status: {containerStatuses: [{name: a, resources: {requests: {cpu: '3'}}, allocatedResources: {cpu: '2'}}]}}"
    )
    assert shown(of_pod(pod, "requests", actual=True)) == "cpu=3"
    pod["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "9"
    assert shown(of_pod(pod, "requests", actual=True)) == "cpu=9"
    pod["status"]["conditions"] = [{"type": "PodResizePending", "reason": "Infeasible"}]
    assert shown(of_pod(pod, "requests", actual=True)) == "cpu=3"


def test_a_pod_whose_grace_is_long_over_counts_no_more():
    def at(seconds):
        meta = {"deletionTimestamp": "2027-01-15T08:00:00Z", "deletionGracePeriodSeconds": 30}
        return counted({"metadata": meta}, NOW + seconds)

    assert at(30)
    assert not at(31)
    assert counted({"metadata": {"deletionTimestamp": "nonsense", "deletionGracePeriodSeconds": 1}}, NOW)


SCOPED = [
    ({"scopes": ["Terminating"]}, "{spec: {activeDeadlineSeconds: 0}}", True),
    ({"scopes": ["Terminating"]}, "{}", False),
    ({"scopes": ["NotTerminating", "BestEffort"]}, "{spec: {containers: [{}]}}", True),
    ({"scopes": ["NotBestEffort"]}, "{spec: {containers: [{resources: {limits: {cpu: '1'}}}]}}", True),
    ({"scopes": ["BestEffort"]}, "{spec: {containers: [{resources: {limits: {cpu: '1'}}}]}}", False),
    ({"scopes": ["CrossNamespacePodAffinity"]}, "{}", False),
    (
        {"scopes": ["CrossNamespacePodAffinity"]},
        "{spec: {affinity: {podAffinity: {preferredDuringSchedulingIgnoredDuringExecution:"
        " [{podAffinityTerm: {namespaces: [a]}}]}}}}",
        True,
    ),
]
CLASSES = [
    ("In", ["a"], "a", True),
    ("In", ["a"], "b", False),
    ("In", ["a"], "", False),
    ("NotIn", ["a"], "b", True),
    ("NotIn", ["a"], "", True),
    ("NotIn", ["a"], "a", False),
    ("Exists", [], "a", True),
    ("Exists", [], "", False),
    ("DoesNotExist", [], "", True),
    ("DoesNotExist", [], "a", False),
]


@pytest.mark.parametrize(("spec", "text", "holds"), SCOPED)
def test_scopes_hold_for(spec, text, holds):
    assert all_in_scope(PODS, {"spec": spec}, obj(text)) is holds


@pytest.mark.parametrize(("operator", "values", "name", "holds"), CLASSES)
def test_classes_are_selected(operator, values, name, holds):
    def quota(scope):
        term = {"scopeName": scope, "operator": operator, "values": values}
        return {"spec": {"scopeSelector": {"matchExpressions": [term]}}}

    assert all_in_scope(PODS, quota("PriorityClass"), {"spec": {"priorityClassName": name}}) is holds
    claim = {"spec": {"volumeAttributesClassName": name}}
    assert all_in_scope(CLAIMS, quota("VolumeAttributesClass"), claim) is holds
    assert not all_in_scope(SERVICES, quota("PriorityClass"), {})


def test_what_containers_leave_out_is_told_by_resource():
    pod = obj(
        "{spec: {initContainers: [{name: i}], containers: [{name: b, resources: {requests: {cpu: '1'}}}, {name: a}]}}"
    )
    assert unset(pod, ["requests.cpu", "limits.memory", "pods", "ephemeral-storage"]) == (
        "must specify limits.memory for: a,b,i; requests.cpu for: a,i"
    )
    assert unset(pod, ["pods"]) == ""
    assert unset({"spec": {**pod["spec"], "resources": {"limits": {"cpu": "1"}}}}, ["cpu"]) == ""


def test_requests_that_can_change_what_is_used():
    deadline = {"spec": {"activeDeadlineSeconds": 5}}
    assert handles(PODS, "CREATE", "", {}, None)
    assert not handles(PODS, "CREATE", "binding", {}, None)
    assert handles(PODS, "UPDATE", "resize", {}, {})
    assert handles(PODS, "UPDATE", "", deadline, {})
    assert not handles(PODS, "UPDATE", "", deadline, deadline)
    assert handles(CLAIMS, "UPDATE", "status", obj("{status: {allocatedResources: {storage: '1'}}}"), {})
    assert not handles(CLAIMS, "UPDATE", "status", {}, {})
    assert handles(SERVICES, "UPDATE", "", {}, {})
    assert not handles(DEPLOYMENTS, "UPDATE", "", {}, {})
    assert handles(DEPLOYMENTS, "CREATE", "", {}, None)


def test_the_class_that_a_pod_was_given_counts():
    assert best_effort(
        {"status": {"qosClass": "BestEffort"}, "spec": {"containers": [{"resources": {"limits": {"cpu": "1"}}}]}}
    )
    assert not best_effort({"spec": {"resources": {"requests": {"cpu": "1"}}}})
