"""What a Pod gets that says nothing."""

import copy

import pytest

from pybernetes.apiserver.validation.pod.qos import qos_class
from pybernetes.rules.poddefaults import default_pod, default_template, pull_policy


def defaulted(spec=None, **container):
    pod = {"metadata": {}, "spec": {"containers": [{"name": "c", "image": "i:1", **container}], **(spec or {})}}
    default_pod(pod)
    return pod["spec"]


def test_a_bare_pod_gets_upstreams_defaults():
    assert defaulted() == {
        "containers": [
            {
                "name": "c",
                "image": "i:1",
                "imagePullPolicy": "IfNotPresent",
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
                "resources": {},
            }
        ],
        "dnsPolicy": "ClusterFirst",
        "restartPolicy": "Always",
        "schedulerName": "default-scheduler",
        "terminationGracePeriodSeconds": 30,
        "securityContext": {},
        "enableServiceLinks": True,
    }


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("busybox", "Always"),
        ("busybox:latest", "Always"),
        ("busybox:1.36", "IfNotPresent"),
        ("registry:5000/busybox", "Always"),
        ("registry:5000/busybox:1", "IfNotPresent"),
        ("busybox@sha256:00", "IfNotPresent"),
        ("busybox:latest@sha256:00", "Always"),
    ],
)
def test_pull_policy_comes_from_the_tag(image, policy):
    assert pull_policy(image) == policy


def test_defaulting_twice_changes_nothing():
    spec = defaulted(
        {"volumes": [{"name": "v"}, {"name": "s", "secret": {"secretName": "s"}}]},
        livenessProbe={"httpGet": {"port": 80}},
    )
    again = {"metadata": {}, "spec": copy.deepcopy(spec)}
    default_pod(again)
    assert again["spec"] == spec


def test_requests_come_from_limits_in_pods_and_not_in_templates():
    limits = {"cpu": "1", "memory": "1Gi"}
    spec = defaulted(resources={"limits": limits, "requests": {"cpu": "500m"}})
    assert spec["containers"][0]["resources"]["requests"] == {"cpu": "500m", "memory": "1Gi"}
    template = {"spec": {"containers": [{"name": "c", "image": "i", "resources": {"limits": limits}}]}}
    default_template(template)
    assert "requests" not in template["spec"]["containers"][0]["resources"]
    assert "enableServiceLinks" not in template["spec"]


def test_probe_numbers_of_zero_are_unset():
    probe = defaulted(livenessProbe={"httpGet": {"port": 80}, "timeoutSeconds": 0})["containers"][0]["livenessProbe"]
    assert probe == {
        "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
        "timeoutSeconds": 1,
        "periodSeconds": 10,
        "successThreshold": 1,
        "failureThreshold": 3,
    }


def test_a_volume_without_source_is_an_empty_dir():
    assert defaulted({"volumes": [{"name": "v"}]})["volumes"] == [{"name": "v", "emptyDir": {}}]


def test_files_get_modes_and_tokens_an_hour():
    volumes = [
        {"name": "a", "configMap": {"name": "c"}},
        {"name": "b", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
    ]
    made = defaulted({"volumes": volumes})["volumes"]
    assert made[0]["configMap"]["defaultMode"] == 0o644
    assert made[1]["projected"] == {
        "sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 3600}}],
        "defaultMode": 0o644,
    }


def test_host_network_takes_every_port_of_the_host():
    spec = defaulted(
        {"hostNetwork": True, "initContainers": [{"name": "i", "image": "i", "ports": [{"containerPort": 9}]}]},
        ports=[{"containerPort": 80}],
    )
    assert spec["containers"][0]["ports"] == [{"containerPort": 80, "protocol": "TCP", "hostPort": 80}]
    assert spec["initContainers"][0]["ports"][0]["hostPort"] == 9


def test_the_old_name_of_the_service_account_follows_the_new_one():
    assert defaulted({"serviceAccount": "a"})["serviceAccountName"] == "a"
    assert defaulted({"serviceAccountName": "b"})["serviceAccount"] == "b"


@pytest.mark.parametrize(
    ("resources", "qos"),
    [
        ({}, "BestEffort"),
        ({"requests": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}}, "Guaranteed"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1024Mi"}}, "Guaranteed"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}, "Burstable"),
        ({"requests": {"cpu": "0"}}, "BestEffort"),
        ({"requests": {"ephemeral-storage": "1Gi"}}, "BestEffort"),
    ],
)
def test_quality_of_service_comes_from_requests_and_limits(resources, qos):
    assert qos_class(defaulted(resources=resources)) == qos
