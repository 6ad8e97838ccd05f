"""The official Python client, unmodified: list, watch, create."""

import pytest

from tests.e2e.conftest import Up

kubernetes = pytest.importorskip("kubernetes", reason="the official client is a development dependency: make setup")


def test_pods_are_created_listed_and_watched(up: Up, namespace: str):
    from kubernetes import client, config, watch

    with config.new_client_from_config(str(up.kubeconfig)) as api:
        core = client.CoreV1Api(api)
        container = client.V1Container(name="http-go", image="gasbugs/http-go")
        pod = client.V1Pod(
            metadata=client.V1ObjectMeta(name="from-python"), spec=client.V1PodSpec(containers=[container])
        )
        created = core.create_namespaced_pod(namespace, pod)
        assert created.metadata.uid
        assert [item.metadata.name for item in core.list_namespaced_pod(namespace).items] == ["from-python"]
        follower = watch.Watch()
        phases = []
        for event in follower.stream(core.list_namespaced_pod, namespace, timeout_seconds=90):
            phases.append(event["object"].status.phase)
            if phases[-1] == "Running":
                follower.stop()
        assert phases[-1] == "Running"
        core.delete_namespaced_pod("from-python", namespace, grace_period_seconds=1)
