"""HorizontalPodAutoscalers on virtual time: targets, metrics, windows, conditions and events."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from tests.component.controllers.metrics import MetricsApis
from tests.component.controllers.world import (
    Mortal,
    World,
    controllers,
    deployment,
    every_second,
    simulated,
    template,
    world,
)

from pybernetes.api.errors import ApiError, Conflict, Forbidden
from pybernetes.api.types import apps_v1, autoscaling_v2, rbac_v1
from pybernetes.api.types.autoscaling_v2 import HorizontalPodAutoscaler
from pybernetes.controllers.runtime import Config
from pybernetes.wire.http import Request, Response

CPU = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}
PERIOD = 15.0
NAME = "horizontal-pod-autoscaler-controller"
REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"


@asynccontextmanager
async def scaled(**how: Any) -> AsyncIterator[tuple[World, MetricsApis]]:
    """A world with metrics APIs and nodes."""
    async with world(**how) as w:
        apis = MetricsApis(w)
        w.wire.serve = apis
        yield w, apis


async def shop(w: World, replicas: int = 1, name: str = "web", cpu: str = "100m") -> None:
    """A Deployment whose Pods run, and ask for so much CPU; none: for nothing."""
    pods = template(app=name)
    if cpu:
        pods["spec"]["containers"][0]["resources"] = {"requests": {"cpu": cpu}}
    await deployment(w, name, replicas, template=pods)

    async def run() -> bool:
        return (await w.get(apps_v1.Deployment, name)).status.readyReplicas == replicas

    await w.until(run)


async def scaler(w: World, name: str = "web", *metrics: Any, **spec: Any) -> HorizontalPodAutoscaler:
    target = {"kind": "Deployment", "name": "web", "apiVersion": "apps/v1"}
    body = {"scaleTargetRef": target, "maxReplicas": 10, "metrics": metrics or (CPU,), **spec}
    return await w.create(HorizontalPodAutoscaler, name, spec=body)


async def size(w: World, name: str = "web") -> int | None:
    return (await w.get(apps_v1.Deployment, name)).spec.replicas


async def conditions(w: World, name: str = "web") -> dict[str, tuple[str, str]]:
    found = (await w.get(HorizontalPodAutoscaler, name)).status.conditions
    return {c.type: (c.status, c.reason) for c in found}


async def message(w: World, kind: str, name: str = "web") -> str:
    found = (await w.get(HorizontalPodAutoscaler, name)).status.conditions
    return next(c.message for c in found if c.type == kind)


@simulated
async def test_load_makes_a_deployment_grow_and_five_minutes_without_make_it_shrink():
    async with scaled() as (w, apis):
        apis.load(40)
        await shop(w)
        await scaler(w)
        await w.clock.sleep(60)
        assert await size(w) == 1
        found = await w.get(HorizontalPodAutoscaler, "web")
        assert found.status.currentMetrics[0].resource == autoscaling_v2.ResourceMetricStatus(
            name="cpu", current=autoscaling_v2.MetricValueStatus(averageUtilization=40, averageValue="40m")
        )
        assert (found.status.currentReplicas, found.status.desiredReplicas) == (1, 1)
        assert found.status.observedGeneration == found.metadata.generation == 1
        assert found.status.lastScaleTime is None
        assert await conditions(w) == {
            "AbleToScale": ("True", "ReadyForNewScale"),
            "ScalingActive": ("True", "ValidMetricFound"),
            "ScalingLimited": ("False", "DesiredWithinRange"),
        }

        apis.load(300)

        async def grown() -> bool:
            return await size(w) == 6

        await w.until(grown, 120)
        assert (await w.get(HorizontalPodAutoscaler, "web")).status.lastScaleTime is not None
        await w.clock.sleep(60)
        assert await size(w) == 6

        apis.load(30)
        quiet = w.clock.monotonic()

        async def shrunk() -> bool:
            return await size(w) == 1

        await w.clock.sleep(60)
        assert await conditions(w) == {
            "AbleToScale": ("True", "ScaleDownStabilized"),
            "ScalingActive": ("True", "ValidMetricFound"),
            "ScalingLimited": ("False", "DesiredWithinRange"),
            "ScaledToZero": ("False", "NotScaledToZero"),
        }
        await w.until(shrunk, 400)
        assert 300 <= w.clock.monotonic() - quiet <= 300 + 2 * PERIOD
        told = await w.events("web")
        name = "cpu resource utilization (percentage of request)"
        assert f"SuccessfulRescale: New size: 6; reason: {name} above target" in told
        assert "SuccessfulRescale: New size: 1; reason: All metrics below target" in told


def metric(kind: str, target: dict[str, Any], **source: Any) -> dict[str, Any]:
    """One of a spec: `metric("Pods", AVERAGE, metric={"name": "rps"})`."""
    return {"type": kind, kind[0].lower() + kind[1:]: {"target": target, **source}}


def value(text: str) -> dict[str, Any]:
    return {"type": "Value", "value": text}


def average(text: str) -> dict[str, Any]:
    return {"type": "AverageValue", "averageValue": text}


async def grown(w: World, wanted: int, seconds: float = 60, name: str = "web") -> None:
    async def holds() -> bool:
        return await size(w, name) == wanted

    await w.until(holds, seconds)


@simulated
async def test_every_kind_of_metric_scales_and_shows_what_it_saw():
    async with scaled() as (w, apis):
        apis.used = lambda pod, count: {"c": {"cpu": "30m", "memory": "200Mi"}}
        apis.versions = ("v1beta2", "v1beta1")
        apis.custom = {"ingresses.networking.k8s.io/hits": {"front": "5k"}}
        apis.external = {"queue": [2, "500m", 1.5]}
        await shop(w)
        front = {"kind": "Ingress", "name": "front", "apiVersion": "networking.k8s.io/v1"}
        labels = {"name": "queue", "selector": {"matchLabels": {"a": "b"}}}
        tenth = {"type": "Utilization", "averageUtilization": 10}
        percent = {"averageUtilization": 30, "averageValue": "30m"}
        hits = {"metric": {"name": "hits"}, "describedObject": front}
        queue = {"metric": {"name": "queue"}}
        printed = "&LabelSelector{MatchLabels:map[string]string{a: b,},MatchExpressions:[]LabelSelectorRequirement{},}"
        kinds: tuple[tuple[dict[str, Any], int, dict[str, Any], str], ...] = (
            (metric("Resource", average("100Mi"), name="memory"), 2, {"averageValue": "200Mi"}, "memory resource"),
            (
                *(metric("ContainerResource", tenth, name="cpu", container="c"), 3, percent),
                "cpu container resource utilization (percentage of request)",
            ),
            (metric("Pods", average("10"), metric={"name": "rps"}), 3, {"averageValue": "25"}, "pods metric rps"),
            (metric("Object", value("2k"), **hits), 3, {"value": "5k"}, "Ingress metric hits"),
            (metric("Object", average("1250"), **hits), 4, {"averageValue": "5k"}, "external metric hits(nil)"),
            (metric("External", value("2"), metric=labels), 2, {"value": "4"}, f"external metric queue({printed})"),
            (metric("External", average("1"), **queue), 4, {"averageValue": "4"}, "external metric queue(nil)"),
        )
        for number, (spec, wanted, current, called) in enumerate(kinds):
            kind = f"{spec['type'].lower()}-{number}"
            await w.patch(apps_v1.Deployment, "web", {"spec": {"replicas": 1}})
            await w.clock.sleep(30)
            apis.custom["pods/rps"] = {pod.metadata.name: "25" for pod in await w.pods("app=web")}
            await scaler(w, kind, spec)
            await w.clock.sleep(3)
            assert await size(w) == wanted, kind
            found = (await w.get(HorizontalPodAutoscaler, kind)).status
            (source,) = (dict(part) for part in spec.values() if isinstance(part, dict))
            del source["target"]
            (shown,) = map(msgspec.to_builtins, found.currentMetrics)
            assert shown == {**spec, **{key: {**source, "current": current} for key in spec if key != "type"}}, kind
            assert called in await message(w, "ScalingActive", kind)
            assert f"SuccessfulRescale: New size: {wanted}; reason: {called} above target" in await w.events(kind)
            await w.delete(HorizontalPodAutoscaler, kind)
        assert {ask.partition("?")[0].rpartition("/namespaces/")[0] for ask in apis.asked} >= {
            "/apis/metrics.k8s.io/v1beta1",
            "/apis/custom.metrics.k8s.io/v1beta2",
            "/apis/external.metrics.k8s.io/v1beta1",
        }
        assert "/apis/external.metrics.k8s.io/v1beta1/namespaces/default/queue?labelSelector=a=b" in apis.asked


@simulated
async def test_the_custom_metrics_api_is_spoken_in_the_version_that_is_there():
    async with scaled() as (w, apis):
        apis.versions = ("v1beta1",)
        apis.custom = {"metrics/busy": {"default": 7}}
        await shop(w)
        space = {"kind": "Namespace", "name": "other", "apiVersion": "v1"}
        await scaler(w, "web", metric("Object", value("2"), metric={"name": "busy"}, describedObject=space))
        await grown(w, 4)
        assert "/apis/custom.metrics.k8s.io/v1beta1/namespaces/default/metrics/busy" in apis.asked
        apis.versions = ("v9",)
        await w.clock.sleep(60)
        assert "no known available metric versions found" in await message(w, "ScalingActive")


@simulated
async def test_apis_that_are_not_there_are_told_in_upstreams_words():
    async with scaled() as (w, _):
        await shop(w)
        ingress = {"kind": "Service", "name": "front", "apiVersion": "v1"}
        specs = {
            "FailedGetResourceMetric": CPU,
            "FailedGetPodsMetric": metric("Pods", average("10"), metric={"name": "rps"}),
            "FailedGetObjectMetric": metric("Object", value("2"), metric={"name": "hits"}, describedObject=ingress),
            "FailedGetExternalMetric": metric("External", value("2"), metric={"name": "queue"}),
        }
        custom = (
            "unable to fetch metrics from custom metrics API: no custom metrics API (custom.metrics.k8s.io) registered"
        )
        nothing = "the server could not find the requested resource (get"
        told = {
            "FailedGetResourceMetric": "failed to get cpu utilization: unable to get metrics for resource cpu: unable to fetch "
            f"metrics from resource metrics API: {nothing} pods.metrics.k8s.io)",
            "FailedGetPodsMetric": f"unable to get metric rps: {custom}",
            "FailedGetObjectMetric": f"unable to get metric hits on Service default/front: {custom}",
            "FailedGetExternalMetric": "unable to get external metric default/queue/nil: unable to fetch metrics from external "
            f"metrics API: {nothing} queue.external.metrics.k8s.io)",
        }
        for reason, spec in specs.items():
            name = reason.lower()
            await scaler(w, name, spec)
            await w.clock.sleep(3)
            assert await conditions(w, name) == {
                "AbleToScale": ("True", "SucceededGetScale"),
                "ScalingActive": ("False", reason),
            }
            assert (
                await message(w, "ScalingActive", name)
                == f"the HPA was unable to compute the replica count: {told[reason]}"
            )
            events = await w.events(name)
            assert f"{reason}: {told[reason]}" in events
            assert any(
                event.startswith(
                    "FailedComputeMetricsReplicas: invalid metrics (1 invalid out of 1), first error is: failed"
                )
                for event in events
            )
            await w.delete(HorizontalPodAutoscaler, name)
        assert await size(w) == 1


@simulated
async def test_of_several_metrics_the_largest_counts_and_one_that_fails_only_holds_back():
    async with scaled() as (w, apis):
        apis.load(300)
        apis.external = {"queue": [2]}
        await shop(w, 3)
        outside = metric("External", average("1"), metric={"name": "queue"})
        await scaler(w, "web", CPU, outside)
        await grown(w, 6)
        apis.external = None
        apis.load(450)
        await grown(w, 9, 90)
        apis.load(10)
        await w.clock.sleep(400)
        assert await size(w) == 9
        assert (await conditions(w))["ScalingActive"] == ("False", "FailedGetExternalMetric")
        found = (await w.get(HorizontalPodAutoscaler, "web")).status
        assert [one.type for one in found.currentMetrics] == ["Resource", ""]
        apis.external = {"queue": [2]}
        await grown(w, 2, 60)


@simulated
async def test_a_missing_request_is_an_error_not_zero():
    async with scaled() as (w, apis):
        apis.load(100)
        await shop(w, cpu="")
        await scaler(w)
        await w.clock.sleep(40)
        name = (await w.pods("app=web"))[0].metadata.name
        assert (await message(w, "ScalingActive")).endswith(
            f"failed to get cpu utilization: missing request for cpu in container c of Pod {name}"
        )
        assert await size(w) == 1


@simulated
async def test_bounds_come_before_any_metric():
    async with scaled() as (w, apis):
        await shop(w, 5)
        await scaler(w, "web", maxReplicas=3)
        await grown(w, 3, 5)
        assert (
            "SuccessfulRescale: New size: 3; reason: Current number of replicas above Spec.MaxReplicas"
            in await w.events("web")
        )
        await w.patch(HorizontalPodAutoscaler, "web", {"spec": {"minReplicas": 7, "maxReplicas": 9}})
        await grown(w, 7, 5)
        assert (
            "SuccessfulRescale: New size: 7; reason: Current number of replicas below Spec.MinReplicas"
            in await w.events("web")
        )
        assert not apis.asked
        assert await message(w, "AbleToScale") == "the HPA controller was able to update the target scale to 7"


@simulated
async def test_no_replicas_are_an_end_to_scaling_unless_the_autoscaler_went_there():
    async with scaled() as (w, apis):
        apis.external = {"queue": [0]}
        await shop(w, 0)
        outside = metric("External", average("1"), metric={"name": "queue"})
        await scaler(w, "web", outside, minReplicas=0)
        await w.clock.sleep(30)
        assert (await conditions(w))["ScalingActive"] == ("False", "ScalingDisabled")
        apis.external["queue"] = [3]
        await w.clock.sleep(60)
        assert await size(w) == 0
        await w.patch(apps_v1.Deployment, "web", {"spec": {"replicas": 1}})
        await grown(w, 3)
        apis.external["queue"] = [0]
        await grown(w, 0, 400)
        assert (await conditions(w))["ScaledToZero"] == ("True", "ScaledToZero")
        apis.external["queue"] = [2]
        await grown(w, 2, 30)
        assert (await conditions(w))["ScaledToZero"] == ("False", "NotScaledToZero")
        apis.external["queue"] = [0]
        await grown(w, 0, 400)
        await w.patch(HorizontalPodAutoscaler, "web", {"spec": {"minReplicas": 2}})
        await grown(w, 2, 30)
        told = "SuccessfulRescale: New size: 2; reason: Current number of replicas below Spec.MinReplicas"
        assert (await w.events("web")).count(told) == 1


@simulated
async def test_behavior_says_how_fast_and_after_how_long():
    async with scaled() as (w, apis):
        apis.load(1000)
        await shop(w)
        up = {"policies": [{"type": "Pods", "value": 2, "periodSeconds": 60}], "stabilizationWindowSeconds": 30}
        down = {"selectPolicy": "Disabled"}
        await scaler(w, "web", behavior={"scaleUp": up, "scaleDown": down})
        await w.clock.sleep(20)
        assert await size(w) == 1
        assert (await conditions(w))["AbleToScale"] == ("True", "ScaleUpStabilized")
        await grown(w, 3, 30)
        assert (await conditions(w))["ScalingLimited"] == ("True", "ScaleUpLimit")
        third = w.clock.monotonic()
        await grown(w, 5, 90)
        assert w.clock.monotonic() - third > 60 - PERIOD
        apis.load(10)
        await w.clock.sleep(400)
        assert await size(w) == 5
        assert (await conditions(w))["ScalingLimited"] == ("True", "ScaleDownLimit")
        quick = {
            "stabilizationWindowSeconds": 0,
            "selectPolicy": "Max",
            "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
        }
        await w.patch(HorizontalPodAutoscaler, "web", {"spec": {"behavior": {"scaleDown": quick}}})
        await grown(w, 1, 5)


@simulated
async def test_tolerance_is_of_the_cluster_or_of_the_autoscaler():
    async with scaled(config=Config(hpa_tolerance=0.3)) as (w, apis):
        apis.cpu(lambda pod, count: 60)
        await shop(w, 5)
        await scaler(w)
        await w.clock.sleep(60)
        assert await size(w) == 5
        await w.patch(HorizontalPodAutoscaler, "web", {"spec": {"behavior": {"scaleUp": {"tolerance": "0.05"}}}})
        await grown(w, 6, 5)


@simulated
async def test_without_behavior_it_at_most_doubles_in_one_look():
    async with scaled() as (w, apis):
        apis.cpu(lambda pod, count: 1000)
        await shop(w)
        await scaler(w, maxReplicas=30)
        await grown(w, 4, 30)
        assert (await conditions(w))["ScalingLimited"] == ("True", "ScaleUpLimit")
        await grown(w, 8, 90)


@simulated
async def test_pods_that_start_or_say_nothing_weaken_what_the_others_say():
    async with scaled() as (w, apis):
        await shop(w, 2)
        silent = (await w.pods("app=web"))[0].metadata.name
        apis.cpu(lambda pod, count: None if pod.metadata.name == silent else 90)
        await scaler(w)
        await w.clock.sleep(60)
        assert await size(w) == 2  # 180 % of the target where it is known; with an idle one: 90 %
        apis.cpu(lambda pod, count: None if pod.metadata.name == silent else 40)
        await w.clock.sleep(400)
        assert await size(w) == 2  # 80 %; with a busy one: above


@simulated
async def test_two_autoscalers_of_the_same_pods_both_stop():
    async with scaled() as (w, apis):
        apis.load(1000)
        await shop(w)
        await scaler(w, "first", maxReplicas=2)
        await grown(w, 2)
        await scaler(w, "second", maxReplicas=9)
        await w.clock.sleep(40)
        assert await size(w) == 2
        told = "pods by selector app=web are controlled by more than one HPA (e.g. [default/first default/second])"
        for name in ("first", "second"):
            assert (await conditions(w, name))["ScalingActive"] == ("False", "AmbiguousSelector")
            assert await message(w, "ScalingActive", name) == told
            assert f"AmbiguousSelector: {told}" in await w.events(name)
        await w.delete(HorizontalPodAutoscaler, "first")
        await grown(w, 9, 120)


@simulated
async def test_a_target_that_is_not_there_is_told_and_found_when_it_comes():
    async with scaled() as (w, apis):
        apis.load(1000)
        await scaler(w)
        await w.clock.sleep(3)
        assert await conditions(w) == {"AbleToScale": ("False", "FailedGetScale")}
        told = 'the HPA controller was unable to get the target\'s current scale: deployments.apps "web" not found'
        assert await message(w, "AbleToScale") == told
        assert 'FailedGetScale: deployments.apps "web" not found' in await w.events("web")
        found = {"kind": "Ship", "name": "web", "apiVersion": "sea.example.com/v1"}
        await scaler(w, "ship", scaleTargetRef=found)
        await w.clock.sleep(3)
        assert (await message(w, "AbleToScale", "ship")).endswith(
            'no matches for kind "Ship" in group "sea.example.com"'
        )
        await scaler(w, "daemons", scaleTargetRef={"kind": "DaemonSet", "name": "web", "apiVersion": "apps/v1"})
        await w.clock.sleep(3)
        assert (await message(w, "AbleToScale", "daemons")).endswith("the server could not find the requested resource")
        await shop(w)
        await grown(w, 10, 120)


def ships(selector: bool) -> dict[str, Any]:
    """A kind with a subresource `scale`."""
    scale = {"specReplicasPath": ".spec.crew", "statusReplicasPath": ".status.crew"}
    if selector:
        scale["labelSelectorPath"] = ".status.selector"
    part = {"type": "object", "properties": {"crew": {"type": "integer"}, "selector": {"type": "string"}}}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "subresources": {"status": {}, "scale": scale},
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": part, "status": part}}},
    }
    return {
        "metadata": {"name": "ships.sea.example.com"},
        "spec": {
            "group": "sea.example.com",
            "scope": "Namespaced",
            "names": {"plural": "ships", "singular": "ship", "kind": "Ship", "listKind": "ShipList"},
            "versions": [version],
        },
    }


CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
SHIPS = "/apis/sea.example.com/v1/namespaces/default/ships"


async def launch(w: World, selector: bool, told: str) -> None:
    """A Ship with a crew of one, as soon as there are any."""
    await w.client.raw("POST", CRDS, ships(selector))

    async def there() -> bool:
        try:
            await w.client.raw("GET", SHIPS)
        except ApiError:
            return False
        return True

    await w.until(there)
    made = {"apiVersion": "sea.example.com/v1", "kind": "Ship", "metadata": {"name": "web"}}
    await w.client.raw("POST", SHIPS, {**made, "spec": {"crew": 1}})
    await sail(w, crew=1, selector=told)


async def sail(w: World, **status: Any) -> None:
    merge = {"content-type": "application/merge-patch+json"}
    await w.client.raw("PATCH", f"{SHIPS}/web/status", {"status": status}, headers=merge)


@simulated
async def test_a_custom_resource_with_a_scale_is_scaled():
    async with scaled() as (w, apis):
        apis.load(300)
        await shop(w)
        ship = {"kind": "Ship", "name": "web", "apiVersion": "sea.example.com/v1"}
        await scaler(w, scaleTargetRef=ship)
        await w.clock.sleep(3)
        assert (await conditions(w))["AbleToScale"] == ("False", "FailedGetScale")
        await launch(w, selector=True, told="app=web")

        async def crewed() -> bool:
            return bool((await w.client.raw("GET", f"{SHIPS}/web"))["spec"]["crew"] == 4)

        await w.until(crewed, 90)


@simulated
async def test_a_scale_without_a_selector_and_one_that_makes_no_sense_are_told():
    async with scaled() as (w, apis):
        apis.load(300)
        await launch(w, selector=True, told="")
        ship = {"kind": "Ship", "name": "web", "apiVersion": "sea.example.com/v1"}
        await scaler(w, scaleTargetRef=ship)
        await w.clock.sleep(3)
        assert (await conditions(w))["ScalingActive"] == ("False", "InvalidSelector")
        assert await message(w, "ScalingActive") == "the HPA target's scale is missing a selector"
        assert "SelectorRequired: selector is required" in await w.events("web")
        await sail(w, selector="a b, (")
        await w.clock.sleep(PERIOD)
        assert (await message(w, "ScalingActive")).startswith("couldn't convert selector into a corresponding internal")


HOSTILE: list[Any] = ["NaN", "+Inf", "", "many", [1], None, True, {"a": 1}, "9" * 5000 + "x"]
HUGE: list[Any] = ["1e400", 2**70, 1e300]


@simulated
async def test_numbers_that_are_none_change_nothing_and_crash_nothing():
    async with scaled() as (w, apis):
        await shop(w, 2)
        await scaler(w)
        for amount in HOSTILE:
            apis.used = lambda pod, count, amount=amount: {"c": {"cpu": amount}}
            await w.clock.sleep(PERIOD)
            assert (await conditions(w))["ScalingActive"] == ("False", "FailedGetResourceMetric"), amount
        apis.load(100)
        for wrong in (
            {"metadata": 5},
            {"timestamp": "yesterday", "containers": [{"name": "c", "usage": {"cpu": "1"}}]},
            7,
        ):
            apis.more = [wrong]
            await w.clock.sleep(PERIOD)
            assert (await conditions(w))["ScalingActive"] == ("False", "FailedGetResourceMetric"), wrong
        await w.delete(HorizontalPodAutoscaler, "web")
        apis.external = {"queue": HOSTILE}
        await scaler(w, "queue", metric("External", value("2"), metric={"name": "queue"}))
        await w.clock.sleep(3)
        assert (await conditions(w, "queue"))["ScalingActive"] == ("False", "FailedGetExternalMetric")
        assert await size(w) == 2


@simulated
async def test_numbers_below_nothing_and_beyond_all_measure_stay_within_bounds():
    async with scaled() as (w, apis):
        await shop(w, 2)
        await scaler(w)
        apis.cpu(lambda pod, count: -50)
        await grown(w, 1, 400)
        for amount in HUGE:
            apis.used = lambda pod, count, amount=amount: {"c": {"cpu": amount}}
            await grown(w, 10, 120)
            assert (await conditions(w))["ScalingActive"] == ("True", "ValidMetricFound")
            await w.patch(apps_v1.Deployment, "web", {"spec": {"replicas": 1}})


@simulated
async def test_a_metrics_server_that_hangs_holds_up_nobody():
    async with scaled() as (w, apis):
        apis.load(40)
        await shop(w)

        async def serve(request: Request) -> Response | None:
            if "external" in request.target:
                await asyncio.Future()
            return await apis(request)

        w.wire.serve = serve
        await scaler(w, "queue", metric("External", value("2"), metric={"name": "queue"}))
        await w.clock.sleep(40)
        told = "the server did not answer within 30 s (get queue.external.metrics.k8s.io)"
        assert (await message(w, "ScalingActive", "queue")).endswith(told)


@simulated
async def test_an_autoscaler_at_rest_writes_nothing_and_one_that_fails_a_few_events():
    async with scaled() as (w, apis):
        apis.cpu(lambda pod, count: 50)
        await shop(w, 2)
        await scaler(w)
        await scaler(w, "lost", scaleTargetRef={"kind": "Deployment", "name": "lost", "apiVersion": "apps/v1"})
        await scaler(w, "queue", metric("External", value("2"), metric={"name": "queue"}))
        await w.delete(HorizontalPodAutoscaler, "queue")
        await w.clock.sleep(120)
        w.wire.writes.clear()
        await w.clock.sleep(3600)
        own = [write for write in w.wire.writes if "/leases" not in write and "/nodes" not in write]
        assert [write for write in own if "/events" not in write] == []
        assert 1 <= len(own) <= 25 + 3600 / 300
        assert await size(w) == 2


@simulated
async def test_a_cluster_without_autoscalers_is_asked_nothing():
    async with scaled() as (w, apis):
        await shop(w)
        await w.clock.sleep(120)
        assert not apis.asked
        loop = w.manager.loops[NAME]
        assert loop.counters.reconciles == 0


@simulated
async def test_somebody_else_who_scales_meanwhile_is_not_overruled_by_what_was():
    async with scaled() as (w, apis):
        apis.load(300)
        await shop(w)
        done: list[asyncio.Future[Any]] = []

        def refuse(request: Request) -> ApiError | None:
            if request.method != "PUT" or not request.path.endswith("/scale") or done:
                return None
            done.append(asyncio.ensure_future(w.patch(apps_v1.Deployment, "web", {"spec": {"replicas": 0}})))
            return Conflict("race")

        w.wire.refuse = refuse
        await scaler(w)
        await w.clock.sleep(60)
        assert len(done) == 1
        assert await size(w) == 0
        assert (await conditions(w))["ScalingActive"] == ("False", "ScalingDisabled")


@simulated
async def test_a_scale_that_cannot_be_written_is_told_and_tried_again():
    async with scaled() as (w, apis):
        apis.load(300)
        await shop(w)
        w.wire.refuse = lambda request: (
            Forbidden("no") if request.method == "PUT" and "/scale" in request.path else None
        )
        await scaler(w)
        await w.clock.sleep(40)
        assert (await conditions(w))["AbleToScale"] == ("False", "FailedUpdateScale")
        name = "cpu resource utilization (percentage of request)"
        assert f"FailedRescale: New size: 4; reason: {name} above target; error: no" in await w.events("web")
        w.wire.refuse = lambda request: None
        await grown(w, 6)


@simulated
async def test_every_second_write_may_fail_and_the_last_scale_time_is_kept():
    async with scaled() as (w, apis):
        apis.load(300)
        await shop(w)
        w.wire.refuse = every_second(NAME)
        await scaler(w)
        await grown(w, 6, 120)
        await w.clock.sleep(60)
        found = (await w.get(HorizontalPodAutoscaler, "web")).status
        assert (found.currentReplicas, found.desiredReplicas) == (6, 6)
        assert found.lastScaleTime is not None


@simulated
async def test_a_controller_that_starts_anew_shrinks_nothing_at_once():
    async with world(only=("*", f"-{NAME}")) as w:
        apis = w.wire.serve = MetricsApis(w)
        apis.load(300)
        await shop(w, 6)
        await scaler(w)
        for load in (300, 10):
            apis.load(load)
            running = controllers(w, NAME, w.wire)
            await w.clock.sleep(290)
            assert await size(w) == 6
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        running = controllers(w, NAME, w.wire)
        await w.clock.sleep(290)
        assert await size(w) == 6
        await grown(w, 1, 60)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@simulated
async def test_the_controller_may_do_what_it_does_and_no_more():
    async with world(nodes=0) as w:

        async def may(verb: str, group: str, resource: str, subresource: str = "") -> bool:
            attributes = {
                "verb": verb,
                "group": group,
                "resource": resource,
                "subresource": subresource,
                "namespace": "default",
            }
            spec = {"user": NAME, "resourceAttributes": attributes}
            found = await w.client.raw("POST", REVIEWS, {"spec": spec})
            return bool(found["status"]["allowed"])

        role = {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": "system:controller:horizontal-pod-autoscaler",
        }
        subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": NAME}
        await w.create(rbac_v1.ClusterRoleBinding, "alone", "", roleRef=role, subjects=[subject])
        for asked in (
            ("get", "apps", "deployments", "scale"),
            ("update", "sea.example.com", "ships", "scale"),
            ("list", "metrics.k8s.io", "pods"),
            ("get", "custom.metrics.k8s.io", "pods", "rps"),
            ("list", "external.metrics.k8s.io", "queue"),
            ("patch", "autoscaling", "horizontalpodautoscalers", "status"),
        ):
            assert await may(*asked), asked
        for asked in (
            ("get", "apps", "deployments"),
            ("update", "apps", "deployments"),
            ("update", "autoscaling", "horizontalpodautoscalers"),
            ("delete", "", "pods"),
            ("list", "metrics.k8s.io", "nodes"),
            ("get", "", "secrets"),
        ):
            assert not await may(*asked), asked


@simulated
async def test_whatever_write_a_controller_ends_after_the_next_one_goes_on():
    async with world(only=("*", f"-{NAME}")) as w:
        apis = w.wire.serve = MetricsApis(w)
        apis.external = {"queue": [5]}
        await shop(w)
        outside = metric("External", average("1"), metric={"name": "queue"})
        for last in range(1, 5):
            name = f"try-{last}"
            await w.patch(apps_v1.Deployment, "web", {"spec": {"replicas": 3}})
            await scaler(w, name, outside)
            mortal = Mortal(w, last)

            async def send(request: Request, mortal: Mortal = mortal) -> Response:
                return await apis(request) or await mortal(request)

            running = controllers(w, NAME, send)
            await w.clock.sleep(20)
            assert mortal.dead.is_set() is (last <= 3)  # the scale, the status, and the status at rest
            running.cancel()
            running = controllers(w, NAME, w.wire)
            await w.clock.sleep(20)
            assert await size(w) == 5
            found = (await w.get(HorizontalPodAutoscaler, name)).status
            assert (found.currentReplicas, found.desiredReplicas) == (5, 5)
            running.cancel()
            await w.delete(HorizontalPodAutoscaler, name)
