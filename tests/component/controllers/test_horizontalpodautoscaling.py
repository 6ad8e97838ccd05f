"""HorizontalPodAutoscalers on virtual time: targets, metrics, windows, conditions and events."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.component.controllers.metrics import MetricsApis
from tests.component.controllers.world import World, deployment, simulated, template, world

from pybernetes.api.types import apps_v1, autoscaling_v2
from pybernetes.api.types.autoscaling_v2 import HorizontalPodAutoscaler

CPU = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}
PERIOD = 15.0


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
