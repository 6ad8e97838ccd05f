"""One look at one HorizontalPodAutoscaler: as many replicas as what is measured asks for.

It reads the target's scale (_hpa_targets.py), asks each metric (_hpa_proposals.py), takes the largest answer, holds it to
windows, policies and bounds (_hpa_behavior.py), and writes the scale and the status where they change. What fails is an
event and a condition, and waits for the next look like everything else.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal, NoReturn

from msgspec.structs import replace

from pybernetes.aio.clock import rfc3339
from pybernetes.api.errors import ApiError, Conflict, NotFound
from pybernetes.api.objects import Key
from pybernetes.api.quantity import parse
from pybernetes.api.selectors import Selector
from pybernetes.api.selectors import parse as parse_selector
from pybernetes.api.types.autoscaling_v2 import (
    HorizontalPodAutoscaler,
    HorizontalPodAutoscalerCondition,
    HorizontalPodAutoscalerStatus,
    HPAScalingRules,
    MetricSpec,
    MetricStatus,
)
from pybernetes.api.types.core_v1 import Pod
from pybernetes.controllers import _hpa_behavior as behavior
from pybernetes.controllers._expectations import LastWrites
from pybernetes.controllers._hpa_counts import AutoscalerCounts, Fault, action
from pybernetes.controllers._hpa_metrics import CustomVersion, Metrics
from pybernetes.controllers._hpa_proposals import Computed, Meter, MetricFailed
from pybernetes.controllers._hpa_replicas import Seen, Start, Tolerances
from pybernetes.controllers._hpa_targets import Found, NoTarget, Targets
from pybernetes.controllers._kinds import Kinds
from pybernetes.controllers.runtime import Again, Context, Done, Outcome
from pybernetes.rules.conditions import find, put_at

ABLE, ACTIVE, LIMITED, SCALED_TO_ZERO = "AbleToScale", "ScalingActive", "ScalingLimited", "ScaledToZero"
_UNABLE = "the HPA was unable to compute the replica count: "
_BELOW = "Current number of replicas below Spec.MinReplicas"
_BEHIND = 1.0
"""Seconds until a cache that is behind our last write is looked at again."""


@dataclass(slots=True)
class Memory:
    """What the controller remembers. All of it may be lost."""

    kinds: Kinds = field(default_factory=Kinds)
    custom: CustomVersion = field(default_factory=CustomVersion)
    writes: LastWrites = field(default_factory=LastWrites)
    histories: dict[Key, tuple[str, behavior.History]] = field(default_factory=dict)
    """With the uid of the autoscaler that they are of."""
    selectors: dict[str, dict[str, Selector]] = field(default_factory=dict)
    """Of each autoscaler's Pods, by namespace and name."""

    def history(self, hpa: HorizontalPodAutoscaler) -> behavior.History:
        """The autoscaler's own; a namesake made later begins anew."""
        key, uid = Key(hpa.metadata.namespace, hpa.metadata.name), hpa.metadata.uid
        if self.histories.get(key, ("", None))[0] != uid:
            self.histories[key] = uid, behavior.History()
        return self.histories[key][1]

    def forget(self, key: Key) -> None:
        """The autoscaler is gone."""
        self.histories.pop(key, None)
        self.writes.forget(key)
        others = self.selectors.get(key.namespace, {})
        others.pop(key.name, None)
        if not others:
            self.selectors.pop(key.namespace, None)

    def selecting(self, pods: Iterable[Pod], namespace: str) -> list[Key]:
        """All autoscalers of a namespace whose targets have one of these Pods. Pods of one template are asked about once."""
        labels = {tuple(sorted(pod.metadata.labels.items())) for pod in pods}
        found = {
            name
            for each in labels
            for name, selector in self.selectors.get(namespace, {}).items()
            if selector.matches(dict(each))
        }
        return [Key(namespace, name) for name in sorted(found)]


class _Stopped(Exception):
    """This look ends here: what is to be said has been said."""


class Look:
    """One look at one autoscaler."""

    def __init__(self, ctx: Context, hpa: HorizontalPodAutoscaler) -> None:
        self._ctx, self._hpa = ctx, hpa
        self._memory = ctx.state(Memory)
        self._key = Key(hpa.metadata.namespace, hpa.metadata.name)
        self._now = ctx.clock.now()
        self._targets = Targets(ctx.client, self._memory.kinds)
        self._conditions = hpa.status.conditions
        self._status = hpa.status
        self._counts = ctx.metrics(AutoscalerCounts)
        self._fault: Fault = "none"
        spec = hpa.spec
        self._least = 1 if spec.minReplicas is None else spec.minReplicas
        window = ctx.config.hpa_downscale_stabilization
        rules = spec.behavior
        self._up = behavior.settled(rules.scaleUp if rules else None, up=True, window=window)
        self._down = behavior.settled(rules.scaleDown if rules else None, up=False, window=window)

    async def run(self) -> None:
        """Raises Conflict, NotFound, OSError; other refusals are told."""
        began, before = self._ctx.clock.monotonic(), self._status
        with suppress(_Stopped):
            await self._scale()
        await self._report()
        status = self._status
        scaled = status.desiredReplicas if status.lastScaleTime != before.lastScaleTime else status.currentReplicas
        done = action(status.currentReplicas, scaled)
        self._counts.looked(done, self._fault, self._ctx.clock.monotonic() - began)
        self._counts.wanted.set(status.desiredReplicas, self._key.namespace, self._key.name)

    # --- what to do

    async def _scale(self) -> None:
        try:
            found = await self._targets.read(self._hpa.spec.scaleTargetRef, self._key.namespace)
        except NoTarget as error:
            self._tell("Warning", "FailedGetScale", str(error))
            told = f"the HPA controller was unable to get the target's current scale: {error}"
            self._set(ABLE, False, "FailedGetScale", told)
            self._fault = "spec" if error.senseless else "internal"
            return
        told = "the HPA controller was able to get the target's current scale"
        self._set(ABLE, True, "SucceededGetScale", told)
        current = found.scale.spec.replicas
        self._memory.history(self._hpa).begin(current, self._ctx.clock.monotonic())
        most = self._hpa.spec.maxReplicas
        metrics: tuple[MetricStatus, ...] = ()
        if current == 0 and not self._may_leave_zero():
            told = "scaling is disabled since the replica count of the target is zero"
            self._set(ACTIVE, False, "ScalingDisabled", told)
            desired, reason = 0, ""
        elif current > most:
            desired, reason = most, "Current number of replicas above Spec.MaxReplicas"
        elif 0 < current < self._least:
            desired, reason = self._least, _BELOW
        else:
            desired, reason, metrics = await self._measured(found)
        if desired != current:
            await self._rescale(found, desired, reason, metrics)
        self._counted(current, desired, metrics, scaled=desired != current)

    def _may_leave_zero(self) -> bool:
        """At zero there is an end to scaling, unless it was this controller that went there (KEP-2021)."""
        gone = find(self._conditions, SCALED_TO_ZERO)
        ours = gone is not None and gone.status == "True"
        return ours and (self._least > 0 or self._measures_outside())

    def _measures_outside(self) -> bool:
        """Whether anything tells a load without Pods."""
        return any(metric.type in ("Object", "External") for metric in self._hpa.spec.metrics)

    async def _measured(self, found: Found) -> tuple[int, str, tuple[MetricStatus, ...]]:
        """Replicas by the metrics, held to what may be; why; and what was measured."""
        current = found.scale.spec.replicas
        selector = self._selected(found)
        wanted, name, metrics = await self._largest(found, selector)
        wanted = max(wanted, 0)
        reason = f"{name} above target" if wanted > current else "All metrics below target" if wanted < current else ""
        desired = self._ruled(current, wanted)
        if current == 0:
            desired, reason = max(desired, self._least), reason or _BELOW
        return desired, reason, metrics

    def _ruled(self, current: int, wanted: int) -> int:
        """A recommendation within windows, policies and bounds, and the conditions that say so."""
        history, now = self._memory.history(self._hpa), self._ctx.clock.monotonic()
        bounds = (self._least, self._hpa.spec.maxReplicas)
        if self._hpa.spec.behavior is None:
            window = self._ctx.config.hpa_downscale_stabilization
            stable = behavior.stabilized(history, wanted, window, now)
            held = behavior.limited(current, stable.replicas, *bounds)
        else:
            rules = (self._up, self._down)
            stable = behavior.stabilized_by(history, current, wanted, *rules, now)
            held = behavior.limited_by(history, bounds, current, stable.replicas, rules, now)
        self._set(ABLE, True, stable.reason, stable.message)
        self._set(LIMITED, held.replicas != stable.replicas, held.reason, held.message)
        return held.replicas

    async def _rescale(self, found: Found, desired: int, reason: str, metrics: tuple[MetricStatus, ...]) -> None:
        current = found.scale.spec.replicas
        key = Key(self._key.namespace, self._hpa.spec.scaleTargetRef.name)
        try:
            if not await self._targets.write(found, key, desired):
                raise Conflict(f"{key} was scaled by somebody else meanwhile")  # look at that, not at what was
        except Conflict:
            raise
        except ApiError as error:
            said = f"New size: {desired}; reason: {reason}; error: {error.message}"
            self._tell("Warning", "FailedRescale", said)
            told = f"the HPA controller was unable to update the target scale: {error.message}"
            self._set(ABLE, False, "FailedUpdateScale", told)
            self._counted(current, self._hpa.status.desiredReplicas, metrics)
            self._fault = "internal"
            raise _Stopped from None
        told = f"the HPA controller was able to update the target scale to {desired}"
        self._set(ABLE, True, "SucceededRescale", told)
        self._tell("Normal", "SuccessfulRescale", f"New size: {desired}; reason: {reason}")
        if self._hpa.spec.behavior is not None:
            history = self._memory.history(self._hpa)
            history.changed(current, desired, self._up, self._down, self._ctx.clock.monotonic())
        if desired == 0 and self._least == 0 and self._measures_outside():
            self._set(SCALED_TO_ZERO, True, "ScaledToZero", "the HPA controller scaled the workload to zero")
        else:
            told = "the HPA controller did not scale the workload to zero"
            self._set(SCALED_TO_ZERO, False, "NotScaledToZero", told)

    # --- what is measured

    def _selected(self, found: Found) -> Selector:
        """The target's own selector, if no other autoscaler has its Pods."""
        current, text = found.scale.spec.replicas, found.scale.status.selector
        if not text:
            self._tell("Warning", "SelectorRequired", "selector is required")
            told = "the HPA target's scale is missing a selector"
            self._set(ACTIVE, False, "InvalidSelector", told)
            self._unscaled(current, "selector is required")
        try:
            selector = parse_selector(text)
        except ValueError as error:
            told = f"couldn't convert selector into a corresponding internal selector object: {error}"
            self._tell("Warning", "InvalidSelector", told)
            self._set(ACTIVE, False, "InvalidSelector", told)
            self._unscaled(current, told)
        namespace, name = self._key.namespace, self._key.name
        self._memory.selectors.setdefault(namespace, {})[name] = selector
        several = self._memory.selecting(self._pods(selector), namespace)
        if len(several) > 1:
            listed = " ".join(map(str, several[:2]))
            told = f"pods by selector {text} are controlled by more than one HPA (e.g. [{listed}])"
            self._tell("Warning", "AmbiguousSelector", told)
            self._set(ACTIVE, False, "AmbiguousSelector", told)
            self._unscaled(current, told)
        return selector

    def _pods(self, selector: Selector) -> tuple[Pod, ...]:
        everybody = self._ctx.cache(Pod).of(self._key.namespace)
        return tuple(pod for pod in everybody if selector.matches(pod.metadata.labels))

    async def _largest(self, found: Found, selector: Selector) -> tuple[int, str, tuple[MetricStatus, ...]]:
        """The largest of what the metrics want. If some fail, it does not shrink by what the others say."""
        current = found.scale.spec.replicas
        meter = self._meter(found, selector)
        computed: list[Computed] = []
        failed: list[MetricFailed] = []
        statuses: list[MetricStatus] = []
        for spec in self._hpa.spec.metrics:
            try:
                one = await self._computed(meter, spec)
            except MetricFailed as error:
                self._tell("Warning", error.reason, error.told)
                failed.append(error)
                statuses.append(MetricStatus())
            else:
                computed.append(one)
                statuses.append(one.status)
        if failed:
            self._fault = failed[0].fault
        best = max(computed, key=lambda one: one.replicas, default=None)
        if best is None or (failed and best.replicas < current):
            told = "no metrics"
            if failed:
                self._set(ACTIVE, False, failed[0].reason, _UNABLE + failed[0].told)
                count = f"{len(failed)} invalid out of {len(statuses)}"
                told = f"invalid metrics ({count}), first error is: {failed[0]}"
            self._unscaled(current, told, tuple(statuses))
        told = f"the HPA was able to successfully calculate a replica count from {best.name}"
        self._set(ACTIVE, True, "ValidMetricFound", told)
        return best.replicas, best.name, tuple(statuses)

    async def _computed(self, meter: Meter, spec: MetricSpec) -> Computed:
        began, done = self._ctx.clock.monotonic(), "none"
        fault: Fault = "none"
        try:
            one = await meter.compute(spec)
            done = action(self._hpa.status.currentReplicas, one.replicas)
            return one
        except MetricFailed as error:
            fault = error.fault
            raise
        finally:
            self._counts.computed(spec.type, done, fault, self._ctx.clock.monotonic() - began)

    def _meter(self, found: Found, selector: Selector) -> Meter:
        ctx, rules, config = self._ctx, self._hpa.spec.behavior, self._ctx.config
        tolerances = Tolerances(
            up=_tolerance(rules.scaleUp if rules else None, config.hpa_tolerance),
            down=_tolerance(rules.scaleDown if rules else None, config.hpa_tolerance),
        )
        start = Start(config.hpa_cpu_initialization_period, config.hpa_initial_readiness_delay)
        return Meter(
            client=ctx.client,
            metrics=Metrics(ctx.client, self._memory.custom),
            kinds=self._memory.kinds,
            namespace=self._key.namespace,
            selector=selector,
            seen=Seen(found.scale.spec.replicas, self._pods(selector), tolerances, start, self._now),
            there=found.scale.status.replicas,
        )

    def _unscaled(self, current: int, told: str, metrics: tuple[MetricStatus, ...] = ()) -> NoReturn:
        self._tell("Warning", "FailedComputeMetricsReplicas", told)
        if self._fault == "none":
            self._fault = "internal"
        self._counted(current, self._hpa.status.desiredReplicas, metrics)
        raise _Stopped

    # --- what to say

    def _tell(self, kind: Literal["Normal", "Warning"], reason: str, message: str) -> None:
        self._ctx.events.event(self._hpa, kind, reason, message)

    def _set(self, kind: str, status: bool, reason: str, message: str) -> None:
        made = HorizontalPodAutoscalerCondition(
            type=kind,
            status="True" if status else "False",
            reason=reason,
            message=message,
            observedGeneration=self._hpa.metadata.generation,
        )
        self._conditions = put_at(self._conditions, made, rfc3339(self._now))

    def _counted(self, current: int, desired: int, metrics: tuple[MetricStatus, ...], *, scaled: bool = False) -> None:
        last = rfc3339(self._now) if scaled else self._hpa.status.lastScaleTime
        self._status = HorizontalPodAutoscalerStatus(
            lastScaleTime=last, currentReplicas=current, desiredReplicas=desired, currentMetrics=metrics
        )

    async def _report(self) -> None:
        """Writes the status if it changed. Nobody else does: a change of the autoscaler meanwhile is no reason to lose it."""
        generation = self._hpa.metadata.generation
        status = replace(self._status, conditions=self._conditions, observedGeneration=generation)
        if status == self._hpa.status:
            return
        api = self._ctx.api(HorizontalPodAutoscaler)
        seen = self._hpa
        try:
            try:
                written = await api.patch(seen, replace(seen, status=status), subresource="status", lock=True)
            except Conflict:
                seen = await api.get(self._key)
                if seen.metadata.uid != self._hpa.metadata.uid:
                    return
                written = await api.patch(seen, replace(seen, status=status), subresource="status", lock=True)
        except (Conflict, NotFound):
            raise
        except ApiError as error:
            self._tell("Warning", "FailedUpdateStatus", error.message)
            return
        self._memory.writes.wrote(written, self._now)


def _tolerance(rules: HPAScalingRules | None, general: float) -> float:
    if rules is None or rules.tolerance is None:
        return general
    return parse(rules.tolerance).nanos / 10**9


async def look(key: Key, ctx: Context) -> Outcome:
    """Looks, and asks for another look after the sync period. Raises Conflict, NotFound, OSError."""
    memory = ctx.state(Memory)
    counts, cache = ctx.metrics(AutoscalerCounts), ctx.cache(HorizontalPodAutoscaler)
    counts.autoscalers.set(len(cache))
    hpa = cache.get(key)
    if hpa is None:
        memory.forget(key)
        counts.wanted.forget(key.namespace, key.name)
        return Done()
    if memory.writes.behind(hpa, ctx.clock.now()):
        return Again(_BEHIND)
    await Look(ctx, hpa).run()
    return Again(ctx.config.hpa_sync_period)
