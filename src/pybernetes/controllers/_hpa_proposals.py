"""One metric of a HorizontalPodAutoscaler: read it, ask how many replicas it wants, and say so in its status.

_hpa_metrics.py reads, _hpa_replicas.py computes; here are the kinds of metrics and upstream's words for each.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import NoReturn

from msgspec import Struct

from pybernetes.api.errors import ApiError
from pybernetes.api.objects import Key
from pybernetes.api.quantity import BINARY, DECIMAL, of_milli, parse
from pybernetes.api.selectors import Selector, of_label_selector
from pybernetes.api.types import meta_v1
from pybernetes.api.types.autoscaling_v2 import (
    ContainerResourceMetricStatus,
    CrossVersionObjectReference,
    ExternalMetricSource,
    ExternalMetricStatus,
    MetricIdentifier,
    MetricSpec,
    MetricStatus,
    MetricTarget,
    MetricValueStatus,
    ObjectMetricSource,
    ObjectMetricStatus,
    PodsMetricStatus,
    ResourceMetricStatus,
)
from pybernetes.client.rest import Client
from pybernetes.controllers._hpa_counts import Fault
from pybernetes.controllers._hpa_metrics import Metrics, resource_name
from pybernetes.controllers._hpa_replicas import (
    CannotCompute,
    Proposal,
    Seen,
    by_average,
    by_share,
    by_total,
    by_utilization,
)
from pybernetes.controllers._hpa_targets import NoTarget, targets_of
from pybernetes.controllers._kinds import Kinds
from pybernetes.rules.goquote import label_selector


class MetricFailed(Exception):
    """A metric that says nothing. The text is that of the whole; `told` is for the metric's own event and condition."""

    def __init__(self, reason: str, told: str, error: str, *, fault: Fault = "internal") -> None:
        super().__init__(error)
        self.reason, self.told, self.fault = reason, told, fault


class Computed(Struct, frozen=True):
    """What a metric wants."""

    replicas: int
    name: str
    """What it is called in events and conditions: `cpu resource utilization (percentage of request)`."""
    status: MetricStatus


class Meter(Struct, frozen=True):
    """All that one look at one autoscaler's metrics takes."""

    client: Client
    metrics: Metrics
    kinds: Kinds
    namespace: str
    selector: Selector
    """Of the target's Pods."""
    seen: Seen
    there: int
    """Replicas that the target says there are; `seen.current` is what is wanted of it."""

    async def compute(self, spec: MetricSpec) -> Computed:
        """Raises MetricFailed, OSError."""
        computing = _KINDS.get(spec.type)
        if computing is None:
            told = f'unknown metric source type "{spec.type}"'
            raise MetricFailed("InvalidMetricSourceType", told, told, fault="spec")
        return await computing(self, spec)


async def _resource(meter: Meter, spec: MetricSpec) -> Computed:
    source = spec.resource
    if source is None:
        _unset("FailedGetResourceMetric", "resource")
    try:
        proposal, name = await _of_resource(meter, source.name, "", source.target)
    except CannotCompute as error:
        whole = f"failed to get {source.name} resource metric value: {error}"
        raise MetricFailed("FailedGetResourceMetric", str(error), whole) from None
    status = ResourceMetricStatus(name=source.name, current=_used(source.name, proposal))
    return Computed(proposal.replicas, name, MetricStatus(type=spec.type, resource=status))


async def _container_resource(meter: Meter, spec: MetricSpec) -> Computed:
    source = spec.containerResource
    if source is None:
        _unset("FailedGetContainerResourceMetric", "container resource")
    try:
        proposal, name = await _of_resource(meter, source.name, source.container, source.target)
    except CannotCompute as error:
        whole = f"failed to get {source.container} container metric value: {error}"
        raise MetricFailed("FailedGetContainerResourceMetric", str(error), whole) from None
    status = ContainerResourceMetricStatus(
        name=source.name, container=source.container, current=_used(source.name, proposal)
    )
    return Computed(proposal.replicas, name, MetricStatus(type=spec.type, containerResource=status))


async def _of_resource(meter: Meter, name: str, container: str, target: MetricTarget) -> tuple[Proposal, str]:
    average = target.averageValue is not None
    if not average and target.averageUtilization is None:
        wanted = "neither an average utilization target nor an average value (usage) target was set"
        raise CannotCompute(f"invalid resource metric source: {wanted}")
    try:
        try:
            samples = await meter.metrics.of_resource(name, container, meter.namespace, meter.selector)
        except CannotCompute as error:
            raise CannotCompute(f"unable to get metrics for resource {name}: {error}") from None
        if average:
            return by_average(meter.seen, samples, name, _milli(target.averageValue)), f"{name} resource"
        proposal = by_utilization(meter.seen, samples, name, container, target.averageUtilization or 0)
    except CannotCompute as error:
        raise CannotCompute(f"failed to get {name} {'usage' if average else 'utilization'}: {error}") from None
    kind = "container resource" if container else "resource"
    return proposal, f"{name} {kind} utilization (percentage of request)"


async def _pods(meter: Meter, spec: MetricSpec) -> Computed:
    source = spec.pods
    if source is None:
        _unset("FailedGetPodsMetric", "pods")
    metric = source.metric
    try:
        selector = _selector(metric.selector)
        try:
            samples = await meter.metrics.of_pods(metric.name, meter.namespace, meter.selector, selector)
        except CannotCompute as error:
            raise CannotCompute(f"unable to get metric {metric.name}: {error}") from None
        proposal = by_average(meter.seen, samples, "", _milli(source.target.averageValue))
    except CannotCompute as error:
        whole = f"failed to get pods metric value: {error}"
        raise MetricFailed("FailedGetPodsMetric", str(error), whole) from None
    status = PodsMetricStatus(metric=metric, current=MetricValueStatus(averageValue=_shown(proposal.value)))
    return Computed(proposal.replicas, f"pods metric {metric.name}", MetricStatus(type=spec.type, pods=status))


async def _object(meter: Meter, spec: MetricSpec) -> Computed:
    source = spec.object
    if source is None:
        _unset("FailedGetObjectMetric", "object")
    metric, target, about = source.metric, source.target, source.describedObject
    shared = target.type == "AverageValue" and target.averageValue is not None
    try:
        if not shared and (target.type != "Value" or target.value is None):
            wanted = "neither a value target nor an average value target was set"
            raise CannotCompute(f"invalid object metric source: {wanted}")
        value = await _of_object(meter, source)
        proposal = _against(meter, value, target, shared)
    except CannotCompute as error:
        inner = f"failed to get {metric.name} object metric: {error}" if shared else str(error)
        whole = f"failed to get object metric value: {inner}"
        raise MetricFailed("FailedGetObjectMetric", str(error), whole) from None
    name = _outside_name(metric) if shared else f"{about.kind} metric {metric.name}"
    status = ObjectMetricStatus(metric=metric, describedObject=about, current=_total(proposal, shared))
    return Computed(proposal.replicas, name, MetricStatus(type=spec.type, object=status))


def _against(meter: Meter, value: int, target: MetricTarget, shared: bool) -> Proposal:
    """What a value (in thousandths) asks for: `shared` by all Pods there are, or as a whole."""
    if shared:
        return by_share(meter.there, value, _milli(target.averageValue), meter.seen.tolerances)
    return by_total(meter.seen, value, _milli(target.value))


async def _of_object(meter: Meter, source: ObjectMetricSource) -> int:
    about, metric = source.describedObject, source.metric
    try:
        resource = await _resource_of(meter, about)
        key = Key(meter.namespace, about.name)
        return await meter.metrics.of_object(metric.name, resource, key, _selector(metric.selector))
    except CannotCompute as error:
        where = f"{about.kind} {meter.namespace}/{about.name}"
        raise CannotCompute(f"unable to get metric {metric.name} on {where}: {error}") from None


async def _resource_of(meter: Meter, about: CrossVersionObjectReference) -> str:
    try:
        target = (await targets_of(meter.client, meter.kinds, about))[0]
    except (NoTarget, ApiError) as error:
        raise CannotCompute(f"unable to fetch metrics from custom metrics API: {error}") from None
    return resource_name(target.plural, target.group)


async def _external(meter: Meter, spec: MetricSpec) -> Computed:
    source = spec.external
    if source is None:
        _unset("FailedGetExternalMetric", "external")
    metric, target = source.metric, source.target
    shared = target.averageValue is not None
    try:
        if not shared and target.value is None:
            wanted = "neither a value target nor an average value target was set"
            raise CannotCompute(f"invalid external metric source: {wanted}")
        value = await _of_outside(meter, source)
        proposal = _against(meter, value, target, shared)
    except CannotCompute as error:
        called = f"{metric.name} external metric" if shared else f"external metric {metric.name}"
        whole = f"failed to get {metric.name} external metric value: failed to get {called}: {error}"
        raise MetricFailed("FailedGetExternalMetric", str(error), whole) from None
    status = ExternalMetricStatus(metric=metric, current=_total(proposal, shared))
    return Computed(proposal.replicas, _outside_name(metric), MetricStatus(type=spec.type, external=status))


async def _of_outside(meter: Meter, source: ExternalMetricSource) -> int:
    metric = source.metric
    try:
        return await meter.metrics.of_outside(metric.name, meter.namespace, _selector(metric.selector))
    except CannotCompute as error:
        what = f"{meter.namespace}/{metric.name}/{label_selector(metric.selector)}"
        raise CannotCompute(f"unable to get external metric {what}: {error}") from None


_KINDS: Mapping[str, Callable[[Meter, MetricSpec], Awaitable[Computed]]] = {
    "Resource": _resource,
    "ContainerResource": _container_resource,
    "Pods": _pods,
    "Object": _object,
    "External": _external,
}


# --- words and numbers


def _unset(reason: str, kind: str) -> NoReturn:
    told = f"invalid {kind} metric source: it is not set"
    raise MetricFailed(reason, told, told)


def _selector(selector: meta_v1.LabelSelector | None) -> Selector:
    try:
        return of_label_selector(selector)
    except ValueError as error:
        raise CannotCompute(str(error)) from None


def _milli(text: str | None) -> int:
    try:
        return parse(text or "0").milli_value()
    except ValueError as error:
        raise CannotCompute(str(error)) from None


def _shown(value: int, form: str = DECIMAL) -> str:
    return str(of_milli(value, form))


def _used(resource: str, proposal: Proposal) -> MetricValueStatus:
    """Memory in Ki and Mi, as metrics servers tell it."""
    value = _shown(proposal.value, BINARY if resource == "memory" else DECIMAL)
    return MetricValueStatus(averageUtilization=proposal.percent, averageValue=value)


def _total(proposal: Proposal, shared: bool) -> MetricValueStatus:
    shown = _shown(proposal.value)
    return MetricValueStatus(averageValue=shown) if shared else MetricValueStatus(value=shown)


def _outside_name(metric: MetricIdentifier) -> str:
    return f"external metric {metric.name}({label_selector(metric.selector)})"
