"""Which devices are tainted, and when that ends the Pods that use them (KEP-5055). Pure.

Taints come from the drivers, with the devices in ResourceSlices, and from administrators, as DeviceTaintRules. What counts of
a pool are the slices of its newest generation.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from pybernetes.aio.clock import parse_time
from pybernetes.api.types.resource_v1 import (
    Device,
    DeviceRequestAllocationResult,
    DeviceTaint,
    DeviceTaintRule,
    DeviceToleration,
    ResourceClaim,
    ResourceSlice,
)

NO_EXECUTE = "NoExecute"

Pools = Callable[[str], Iterable[ResourceSlice]]
"""The slices of a pool, by pool_of()."""


def pool_of(driver: str, pool: str) -> str:
    """The name of a pool among those of all drivers."""
    return f"{driver}/{pool}"


@dataclass(frozen=True, slots=True)
class Eviction:
    """That a Pod has to go."""

    at: float
    """Seconds since 1970."""
    rules: frozenset[str] = frozenset()
    """The names of the DeviceTaintRules among the reasons."""

    def with_(self, other: "Eviction | None") -> "Eviction":
        """For both reasons: at the earlier time."""
        return self if other is None else Eviction(min(self.at, other.at), self.rules | other.rules)


def of_claim(claim: ResourceClaim, pools: Pools, rules: Iterable[DeviceTaintRule]) -> Eviction | None:
    """What the taints of a claim's devices mean for its users."""
    found: Eviction | None = None
    allocation = claim.status.allocation
    for result in allocation.devices.results if allocation is not None else ():
        for taint, rule in _taints(result, pools, rules):
            at = _end(taint, result.tolerations)
            if at is not None:
                found = Eviction(at, frozenset((rule,) if rule else ())).with_(found)
    return found


def devices_of(slices: Iterable[ResourceSlice]) -> Iterator[Device]:
    """The devices of a pool."""
    there = list(slices)
    newest = max((one.spec.pool.generation for one in there), default=0)
    for one in there:
        if one.spec.pool.generation == newest:
            yield from one.spec.devices


def selects(rule: DeviceTaintRule, driver: str, pool: str, device: str) -> bool:
    """Whether a rule is about a device; without a selector it is about none."""
    selector = rule.spec.deviceSelector
    return selector is not None and (
        selector.driver in (None, driver) and selector.pool in (None, pool) and selector.device in (None, device)
    )


def results_selected(rule: DeviceTaintRule, claim: ResourceClaim) -> list[DeviceRequestAllocationResult]:
    """The devices of a claim that a rule is about."""
    allocation = claim.status.allocation
    results = allocation.devices.results if allocation is not None else ()
    return [one for one in results if selects(rule, one.driver, one.pool, one.device)]


def executing(device: Device) -> list[DeviceTaint]:
    """Taints of a device that evict."""
    return [taint for taint in device.taints if taint.effect == NO_EXECUTE]


def _taints(
    result: DeviceRequestAllocationResult, pools: Pools, rules: Iterable[DeviceTaintRule]
) -> Iterator[tuple[DeviceTaint, str]]:
    """Those that evict from a device, each with the name of its rule; "" for a driver's."""
    for device in devices_of(pools(pool_of(result.driver, result.pool))):
        if device.name == result.device:
            yield from ((taint, "") for taint in executing(device))
    for rule in rules:
        if rule.spec.taint.effect == NO_EXECUTE and selects(rule, result.driver, result.pool, result.device):
            yield rule.spec.taint, rule.metadata.name or ""


def _end(taint: DeviceTaint, tolerations: Iterable[DeviceToleration]) -> float | None:
    """When the taint ends who uses its device; None never. Of several tolerations the shortest counts, unless one is for ever."""
    if not taint.timeAdded:
        return None  # the API server fills it in
    seconds = 0.0
    covering = [toleration for toleration in tolerations if _tolerates(toleration, taint)]
    if covering:
        limits = [t.tolerationSeconds for t in covering]
        if None in limits:
            return None
        seconds = max(0.0, float(min(limit for limit in limits if limit is not None)))
    return parse_time(taint.timeAdded) + seconds


def _tolerates(toleration: DeviceToleration, taint: DeviceTaint) -> bool:
    """An empty effect or key means all of them."""
    if toleration.effect not in ("", taint.effect) or toleration.key not in ("", taint.key):
        return False
    return toleration.operator == "Exists" or (toleration.operator in ("", "Equal") and toleration.value == taint.value)
