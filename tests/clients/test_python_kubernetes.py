"""The official Python client: typed and dynamic calls, watch, patches, apply, custom resources, leader election."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config, dynamic, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic.exceptions import ConflictError

from tests.clients.conftest import HERE, Cluster
from tests.clients.test_kubectl_shows import CRD


@pytest.fixture
def api(cluster: Cluster) -> Iterator[client.ApiClient]:
    with config.new_client_from_config(str(cluster.kubeconfig)) as made:
        yield made


def config_map(name: str, **data: str) -> client.V1ConfigMap:
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name), data=data)


def test_create_read_replace_patch_list_delete(api: client.ApiClient, namespace: str):
    core = client.CoreV1Api(api)
    made = core.create_namespaced_config_map(namespace, config_map("one", a="b"))
    assert made.metadata.uid
    made.data["c"] = "d"
    replaced = core.replace_namespaced_config_map("one", namespace, made)
    with pytest.raises(ApiException) as stale:
        core.replace_namespaced_config_map("one", namespace, made)
    assert (stale.value.status, stale.value.reason) == (409, "Conflict")
    assert replaced.metadata.resource_version != made.metadata.resource_version
    patched = core.patch_namespaced_config_map("one", namespace, {"data": {"a": None, "e": "f"}})
    assert patched.data == {"c": "d", "e": "f"}
    operations = [{"op": "remove", "path": "/data/c"}]
    assert core.patch_namespaced_config_map("one", namespace, operations).data == {"e": "f"}
    first = core.list_namespaced_config_map(namespace, limit=1)
    rest = core.list_namespaced_config_map(namespace, limit=1, _continue=first.metadata._continue)
    assert [item.metadata.name for item in first.items + rest.items] == ["kube-root-ca.crt", "one"]
    assert core.delete_namespaced_config_map("one", namespace)["status"] == "Success"
    with pytest.raises(ApiException, match='configmaps \\\\"one\\\\" not found'):
        core.read_namespaced_config_map("one", namespace)


def test_a_deployment_scales_and_its_pods_are_watched(api: client.ApiClient, namespace: str):
    apps, core = client.AppsV1Api(api), client.CoreV1Api(api)
    labels = {"app": "web"}
    template = client.V1PodTemplateSpec(
        metadata=client.V1ObjectMeta(labels=labels),
        spec=client.V1PodSpec(containers=[client.V1Container(name="web", image="web:1")]),
    )
    spec = client.V1DeploymentSpec(replicas=1, selector=client.V1LabelSelector(match_labels=labels), template=template)
    apps.create_namespaced_deployment(
        namespace, client.V1Deployment(metadata=client.V1ObjectMeta(name="web"), spec=spec)
    )
    running: set[str] = set()
    apps.patch_namespaced_deployment_scale("web", namespace, {"spec": {"replicas": 2}})
    for event in watch.Watch().stream(core.list_namespaced_pod, namespace, timeout_seconds=20):
        if event["object"].status.phase == "Running":
            running.add(event["object"].metadata.name)
        if len(running) == 2:
            break
    assert len(running) == 2
    pod = core.read_namespaced_pod(running.pop(), namespace)
    assert pod.metadata.owner_references[0].kind == "ReplicaSet"
    core.create_namespaced_pod_eviction(
        pod.metadata.name, namespace, client.V1Eviction(metadata=client.V1ObjectMeta(name=pod.metadata.name))
    )


def test_server_side_apply_and_conflicts_with_the_dynamic_client(api: client.ApiClient, namespace: str):
    maps = dynamic.DynamicClient(api).resources.get(api_version="v1", kind="ConfigMap")

    def apply(manager: str, value: str, **options: Any) -> Any:
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}, "data": {"a": value}}
        return maps.server_side_apply(namespace=namespace, name="one", body=body, field_manager=manager, **options)

    assert apply("first", "b").data.a == "b"
    with pytest.raises(ConflictError) as conflict:
        apply("second", "c")
    assert 'Apply failed with 1 conflict: conflict with \\"first\\": .data.a' in str(conflict.value.body)
    assert apply("second", "c", force_conflicts=True).data.a == "c"


def test_custom_resources_typed_and_dynamic(api: client.ApiClient, namespace: str):
    definitions, customs = client.ApiextensionsV1Api(api), client.CustomObjectsApi(api)
    made = {**CRD, "metadata": {"name": "breads.python.example.com"}}
    made["spec"] = {**CRD["spec"], "group": "python.example.com", "names": {"kind": "Bread", "plural": "breads"}}  # type: ignore[dict-item]
    definitions.create_custom_resource_definition(made)
    try:
        for event in watch.Watch().stream(definitions.list_custom_resource_definition, timeout_seconds=20):
            conditions = {
                c.type: c.status for c in (event["object"].status and event["object"].status.conditions) or []
            }
            if event["object"].metadata.name.startswith("breads") and conditions.get("Established") == "True":
                break
        body = {
            "apiVersion": "python.example.com/v1",
            "kind": "Bread",
            "metadata": {"name": "rye"},
            "spec": {"ovens": 1},
        }
        place = ("python.example.com", "v1", namespace, "breads")
        assert customs.create_namespaced_custom_object(*place, body)["spec"] == {"flour": "rye", "ovens": 1}
        warm = customs.patch_namespaced_custom_object_status(*place, "rye", {"status": {"warm": True}})
        assert warm["status"] == {"warm": True}
        breads = dynamic.DynamicClient(api).resources.get(api_version="python.example.com/v1", kind="Bread")
        assert [bread.metadata.name for bread in breads.get(namespace=namespace).items] == ["rye"]
        with pytest.raises(ApiException, match="should be greater than or equal to 1"):
            customs.patch_namespaced_custom_object(*place, "rye", {"spec": {"ovens": 0}})
    finally:
        definitions.delete_custom_resource_definition("breads.python.example.com")


def test_discovery_and_versions(api: client.ApiClient):
    assert client.VersionApi(api).get_code().git_version == "v1.37.0"
    groups = {group.name for group in client.ApisApi(api).get_api_versions().groups}
    assert {"apps", "batch", "networking.k8s.io"} <= groups
    review = client.V1SelfSubjectAccessReview(
        spec=client.V1SelfSubjectAccessReviewSpec(resource_attributes=client.V1ResourceAttributes(verb="*"))
    )
    assert client.AuthorizationV1Api(api).create_self_subject_access_review(review).status.allowed


def test_one_of_two_candidates_leads_until_it_is_gone(cluster: Cluster, api: client.ApiClient, namespace: str):
    def holder() -> str:
        return str(client.CoordinationV1Api(api).read_namespaced_lease("lock", namespace).spec.holder_identity)

    def candidate(name: str) -> tuple[str | Path, ...]:
        return (sys.executable, "-u", HERE / "candidate.py", namespace, name)

    with cluster.started(*candidate("one")) as one:
        assert one.stdout is not None
        assert one.stdout.readline() == "one leads\n"
        with cluster.started(*candidate("two")) as two:
            assert holder() == "one"
            one.kill()
            assert two.stdout is not None
            assert two.stdout.readline() == "two leads\n"
            assert holder() == "two"
