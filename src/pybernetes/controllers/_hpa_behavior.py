"""How fast a HorizontalPodAutoscaler may go: windows, policies and limits between a recommendation and a size. Pure.

Two ways, as upstream: without `behavior` the old limit of twice the replicas (4 at least) and the cluster's window for
shrinking; with it the windows and policies of each direction. What was recommended and done is in a History: memory that
a restart may lose, which makes the autoscaler no faster than its windows allow from then on.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import ceil
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from pybernetes.api.types.autoscaling_v2 import HPAScalingPolicy, HPAScalingRules

UP_FACTOR, UP_LEAST = 2, 4
"""Without `behavior`: so many times the replicas, and so many at least, in one step."""
UP_POLICIES = (
    HPAScalingPolicy(type="Pods", value=4, periodSeconds=15),
    HPAScalingPolicy(type="Percent", value=100, periodSeconds=15),
)
DOWN_POLICIES = (HPAScalingPolicy(type="Percent", value=100, periodSeconds=15),)


class Past(NamedTuple):
    """Replicas that were recommended, or by how many it changed (always positive); when, in seconds."""

    at: float
    replicas: int


@dataclass(slots=True)
class History:
    """Of one autoscaler."""

    recommended: list[Past] = field(default_factory=list)
    added: list[Past] = field(default_factory=list)
    removed: list[Past] = field(default_factory=list)

    def begin(self, replicas: int, now: float) -> None:
        """What there is when it is first looked at counts as recommended: a restart shrinks nothing at once."""
        if not self.recommended:
            self.recommended.append(Past(now, replicas))

    def changed(self, before: int, after: int, up: HPAScalingRules, down: HPAScalingRules, now: float) -> None:
        """Remembers a change of size, for as long as any policy looks back."""
        longest = max((policy.periodSeconds for rules in (up, down) for policy in rules.policies), default=0)
        for past in (self.added, self.removed):
            past[:] = [one for one in past if one.at >= now - longest]
        (self.added if after > before else self.removed).append(Past(now, abs(after - before)))


class Ruled(Struct, frozen=True):
    """A number and why it is that: a condition's reason and message."""

    replicas: int
    reason: str
    message: str


READY = ("ReadyForNewScale", "recommended size matches current size")
_HIGHEST = "recent recommendations were higher than current one, applying the highest recent recommendation"
_LOWEST = "recent recommendations were lower than current one, applying the lowest recent recommendation"
_RANGE = ("DesiredWithinRange", "the desired count is within the acceptable range")
_FEW = ("TooFewReplicas", "the desired replica count is less than the minimum replica count")
_MANY = ("TooManyReplicas", "the desired replica count is more than the maximum replica count")
_FAST_UP = ("ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate")
_FAST_DOWN = ("ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate")


def settled(rules: HPAScalingRules | None, *, up: bool, window: float) -> HPAScalingRules:
    """Rules with what is not said filled in; `window` is the cluster's for shrinking, in seconds."""
    rules = rules or HPAScalingRules()
    seconds = rules.stabilizationWindowSeconds
    if seconds is None:
        seconds = 0 if up else int(window)
    policies = rules.policies or (UP_POLICIES if up else DOWN_POLICIES)
    select = rules.selectPolicy or "Max"
    return replace(rules, stabilizationWindowSeconds=seconds, policies=policies, selectPolicy=select)


# --- windows


def stabilized(history: History, desired: int, window: float, now: float) -> Ruled:
    """Without `behavior`: the most of what was recommended within the window."""
    history.recommended = [past for past in history.recommended if past.at >= now - window]
    most = max((past.replicas for past in history.recommended), default=desired)
    history.recommended.append(Past(now, desired))
    if most > desired:
        return Ruled(most, "ScaleDownStabilized", _HIGHEST)
    return Ruled(desired, *READY)


def stabilized_by(
    history: History, current: int, desired: int, up: HPAScalingRules, down: HPAScalingRules, now: float
) -> Ruled:
    """With `behavior`: not above the least of the window for growing, not below the most of that for shrinking."""
    since_up, since_down = now - (up.stabilizationWindowSeconds or 0), now - (down.stabilizationWindowSeconds or 0)
    past = history.recommended
    least = min((one.replicas for one in past if one.at > since_up), default=desired)
    most = max((one.replicas for one in past if one.at > since_down), default=desired)
    history.recommended = [one for one in past if one.at >= min(since_up, since_down)] + [Past(now, desired)]
    found = min(max(current, min(least, desired)), max(most, desired))
    if found == desired:
        return Ruled(found, *READY)
    if desired >= current:
        return Ruled(found, "ScaleUpStabilized", _LOWEST)
    return Ruled(found, "ScaleDownStabilized", _HIGHEST)


# --- limits


def limited(current: int, desired: int, least: int, most: int) -> Ruled:
    """Without `behavior`: within the bounds, and not too fast up."""
    fastest = max(UP_FACTOR * current, UP_LEAST)
    if desired < least:
        return Ruled(least, *_FEW)
    if desired > min(most, fastest):
        return Ruled(min(most, fastest), *(_FAST_UP if most > fastest else _MANY))
    return Ruled(desired, *_RANGE)


def limited_by(
    history: History,
    bounds: tuple[int, int],
    current: int,
    desired: int,
    rules: tuple[HPAScalingRules, HPAScalingRules],
    now: float,
) -> Ruled:
    """With `behavior`: within the bounds (least, most), and as fast as the rules (up, down) allow."""
    least, most = bounds
    up, down = rules
    if desired > current:
        fastest = max(current, _farthest(history, current, up, now, up=True))
        if desired > min(most, fastest):
            return Ruled(min(most, fastest), *(_FAST_UP if most > fastest else _MANY))
    elif desired < current:
        fastest = min(current, _farthest(history, current, down, now, up=False))
        if desired < max(least, fastest):
            return Ruled(max(least, fastest), *(_FAST_DOWN if least < fastest else _FEW))
    return Ruled(desired, *_RANGE)


def _farthest(history: History, current: int, rules: HPAScalingRules, now: float, *, up: bool) -> int:
    """How far up, or down, the policies let it go."""
    if rules.selectPolicy == "Disabled":
        return current
    sign, found = (1 if up else -1), []
    for policy in rules.policies:
        start = _at_start(history, current, policy.periodSeconds, now)
        if policy.type == "Pods":
            found.append(start + sign * policy.value)
        else:  # away from the start: rounded the other way it might never change
            rounded = ceil if up else int
            found.append(rounded(start * (1 + sign * policy.value / 100)))
    highest = up is (rules.selectPolicy != "Min")
    return (max if highest else min)(found, default=current)


def _at_start(history: History, current: int, seconds: int, now: float) -> int:
    """Replicas at the start of a period that ends now."""
    return current - _since(history.added, now - seconds) + _since(history.removed, now - seconds)


def _since(past: Iterable[Past], begin: float) -> int:
    return sum(one.replicas for one in past if one.at > begin)
