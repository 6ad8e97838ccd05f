"""When device taints end a claim's users: rows of upstream's device_taint_eviction_test.go, as pure arithmetic."""

from collections.abc import Iterable
from typing import Any

import msgspec
import pytest

from pybernetes.aio.clock import parse_time
from pybernetes.api.types.resource_v1 import DeviceTaintRule, ResourceClaim, ResourceSlice
from pybernetes.controllers._device_taints import Eviction, of_claim, selects

TIME = "2026-01-01T00:00:00Z"
SINCE = parse_time(TIME)
TAINT = {"key": "example.com/taint", "value": "something", "effect": "NoExecute", "timeAdded": TIME}
TOLERATED = {"key": TAINT["key"], "operator": "Equal", "value": "something", "effect": "NoExecute"}


def claim(*tolerations: dict[str, Any], device: str = "instance") -> ResourceClaim:
    result = {"request": "r", "driver": "d", "pool": "p", "device": device, "tolerations": tolerations}
    return msgspec.convert({"status": {"allocation": {"devices": {"results": [result]}}}}, ResourceClaim)


def slice_(*taints: dict[str, Any], generation: int = 1, device: str = "instance") -> ResourceSlice:
    devices = [{"name": device, "taints": taints}, {"name": "other"}]
    spec = {"driver": "d", "pool": {"name": "p", "generation": generation, "resourceSliceCount": 1}, "devices": devices}
    return msgspec.convert({"spec": spec}, ResourceSlice)


def rule(name: str = "evict", *, effect: str = "NoExecute", **selector: str) -> DeviceTaintRule:
    spec = {"deviceSelector": selector, "taint": {**TAINT, "effect": effect}}
    return msgspec.convert({"metadata": {"name": name}, "spec": spec}, DeviceTaintRule)


def found(one: ResourceClaim, *slices: ResourceSlice, rules: Iterable[DeviceTaintRule] = ()) -> Eviction | None:
    return of_claim(one, lambda pool: slices if pool == "d/p" else (), rules)


@pytest.mark.parametrize(
    ("tolerations", "after"),
    [
        ([], 0),
        ([{**TOLERATED, "tolerationSeconds": 60}], 60),
        ([{**TOLERATED, "tolerationSeconds": -5}], 0),
        ([TOLERATED], None),
        ([{"operator": "Exists", "effect": "NoExecute"}], None),
        ([{"operator": "Exists"}], None),
        ([{"operator": "Exists", "effect": "NoSchedule"}], 0),
        ([{**TOLERATED, "key": "example.com/other", "tolerationSeconds": 60}], 0),
        ([{**TOLERATED, "value": "else", "tolerationSeconds": 60}], 0),
        ([{**TOLERATED, "operator": "Odd"}], 0),
        (
            [
                {**TOLERATED, "key": "example.com/other", "tolerationSeconds": 20},
                {"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60},
                {"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 30},
            ],
            30,
        ),
        (
            [
                {"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60},
                {"operator": "Exists", "effect": "NoExecute"},
            ],
            None,
        ),
    ],
)
def test_tolerations_say_how_long_a_pod_stays(tolerations: list[dict[str, Any]], after: float | None) -> None:
    wanted = None if after is None else Eviction(SINCE + after)
    assert found(claim(*tolerations), slice_(TAINT)) == wanted


@pytest.mark.parametrize("effect", ["NoSchedule", "None", "unknown-effect"])
def test_only_no_execute_evicts(effect: str) -> None:
    assert found(claim(), slice_({**TAINT, "effect": effect}), rules=[rule(effect=effect, driver="d")]) is None


def test_another_device_or_pool_is_none_of_its_business() -> None:
    assert found(claim(device="other"), slice_(TAINT)) is None
    assert found(claim(), slice_(TAINT, device="instance-other")) is None
    assert found(claim()) is None


def test_the_newest_generation_of_a_pool_counts() -> None:
    assert found(claim(), slice_(TAINT), slice_(generation=2)) is None
    assert found(claim(), slice_(), slice_(TAINT, generation=2)) == Eviction(SINCE)


def test_the_earliest_of_several_taints_counts_and_every_rule_is_a_reason() -> None:
    second = {**TAINT, "key": "example.com/taint-other"}
    tolerations = [
        {"operator": "Exists", "key": TAINT["key"], "effect": "NoExecute", "tolerationSeconds": 60},
        {"operator": "Exists", "key": second["key"], "effect": "NoExecute", "tolerationSeconds": 30},
    ]
    rules = [rule("a", driver="d"), rule("b", device="instance"), rule("c", device="else")]
    one = found(claim(*tolerations), slice_(TAINT, second), rules=rules)
    assert one == Eviction(SINCE + 30, frozenset({"a", "b"}))


def test_a_device_need_not_be_published_for_a_rule_to_be_about_it() -> None:
    assert found(claim(), rules=[rule(driver="d")]) == Eviction(SINCE, frozenset({"evict"}))


@pytest.mark.parametrize(
    ("selector", "held"),
    [({}, True), ({"driver": "d"}, True), ({"driver": "x"}, False), ({"pool": "p", "device": "dev"}, True),
     ({"driver": "d", "pool": "x"}, False), ({"driver": "d", "pool": "p", "device": "x"}, False)],
)  # fmt: skip
def test_a_selector_holds_all_that_it_says(selector: dict[str, str], *, held: bool) -> None:
    assert selects(rule(**selector), "d", "p", "dev") is held


def test_without_a_selector_a_rule_is_about_nothing() -> None:
    assert not selects(msgspec.convert({"spec": {"taint": TAINT}}, DeviceTaintRule), "d", "p", "dev")
