"""Eviction thresholds of a configuration."""

import pytest

from pybernetes.kubelet.configuration import Configuration
from pybernetes.kubelet.thresholds import Amount, Threshold, hard, thresholds


def test_defaults_are_upstreams() -> None:
    found = hard(Configuration())
    assert found["memory.available"] == Amount(100 * 2**20)
    assert found["nodefs.available"].of(1000) == 100
    assert found["imagefs.inodesFree"].of(1000) == 50


def test_zero_and_whole_percent_are_no_thresholds() -> None:
    assert hard(Configuration(eviction_hard={"memory.available": "0%", "nodefs.available": "100%"})) == {}


def test_soft_ones_have_a_grace_and_both_a_minimum_reclaim() -> None:
    config = Configuration(
        eviction_hard={"memory.available": "1Gi"},
        eviction_soft={"memory.available": "2Gi"},
        eviction_soft_grace_period={"memory.available": "1m30s"},
        eviction_minimum_reclaim={"memory.available": "0"},
    )
    assert thresholds(config) == (
        Threshold("memory.available", Amount(2**30)),
        Threshold("memory.available", Amount(2 * 2**30), 90.0),
    )


def test_every_problem_is_told() -> None:
    config = Configuration(
        eviction_hard={
            "memory.free": "1Gi",
            "memory.available": "-1",
            "nodefs.available": "101%",
            "pid.available": "x%",
        },
        eviction_soft={"nodefs.available": "10%"},
        eviction_soft_grace_period={"imagefs.available": "-1s", "memory.available": "1"},
        eviction_minimum_reclaim={"memory.available": "-5"},
    )
    with pytest.raises(ValueError, match="unsupported") as error:
        thresholds(config)
    assert sorted(str(error.value).splitlines()) == [
        "eviction percentage threshold nodefs.available must be <= 100%: 101%",
        "eviction percentage threshold pid.available is no percentage: x%",
        "eviction threshold memory.available must be positive: -1",
        "grace period must be specified for the soft eviction threshold nodefs.available",
        "invalid eviction grace period specified: -1s, must be a positive value",
        "negative eviction minimum reclaim specified for memory.available",
        'time: missing unit in duration "1"',
        "unsupported eviction signal memory.free",
    ]
