"""HorizontalPodAutoscalers: both versions have every verb, and show each other's objects."""

import pytest

PATH = "/apis/autoscaling/{}/namespaces/default/horizontalpodautoscalers"
TARGET = {"kind": "Deployment", "name": "web", "apiVersion": "apps/v1"}


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_autoscalers_have_every_verb(api, version):
    status = {"currentReplicas": 1, "desiredReplicas": 2}
    scaler = {"metadata": {"name": "web"}, "spec": {"scaleTargetRef": TARGET, "maxReplicas": 3}}
    await api.cycle(PATH.format(version), scaler, status=status)


async def test_a_watch_shows_what_another_version_writes(api):
    seen = await api.watch(f"{PATH.format('v1')}?watch=1&resourceVersion=0")
    scaler = {"metadata": {"name": "web"}, "spec": {"scaleTargetRef": TARGET, "maxReplicas": 3}}
    await api.ok("POST", PATH.format("v2"), scaler)
    added = await seen.until("ADDED")
    assert (added["apiVersion"], added["spec"]["targetCPUUtilizationPercentage"]) == ("autoscaling/v1", 80)
