"""Ranges of Pod addresses: the rows of upstream's tables of its range allocator and its sets."""

from types import SimpleNamespace
from typing import cast

import pytest

from pybernetes.controllers.node_ipam import Figures, _Ranges
from pybernetes.controllers.runtime import Config, Context


def a_context(*cluster: str) -> Context:
    figures = Figures()
    return cast(Context, SimpleNamespace(config=Config(cluster_cidrs=cluster), metrics=lambda kind: figures))


@pytest.mark.parametrize(
    ("cluster", "size", "taken", "given"),
    [
        ("127.123.234.0/24", 30, (), "127.123.234.0/30"),
        ("127.123.234.0/24", 30, ("127.123.234.0/26",), "127.123.234.64/30"),
        (
            "127.123.234.0/24",
            30,
            tuple(f"127.123.234.{n}" for n in ("0/26", "64/30", "68/30", "72/30", "80/30")),
            "127.123.234.76/30",
        ),
        ("10.10.0.0/22", 24, ("10.10.0.0/24", "10.10.2.0/24"), "10.10.1.0/24"),
        ("10.10.0.0/22", 24, ("10.10.0.1/24",), "10.10.1.0/24"),
        ("10.10.0.0/22", 24, ("172.16.0.0/24", "fd00::/64"), "10.10.0.0/24"),
        ("127.123.234.0/30", 30, (), "127.123.234.0/30"),
        ("127.123.234.0/30", 30, ("127.123.234.0/30",), None),
        ("127.123.234.0/28", 30, ("127.123.234.0/24",), None),
        ("beef:1234::/30", 30, (), "beef:1234::/30"),
        ("2001:db8:1234::/48", 64, ("2001:db8:1234::/61",), "2001:db8:1234:8::/64"),
        ("2001:db8:1234:ff00::/56", 72, (), "2001:db8:1234:ff00::/72"),
        ("2001:db8:1234:ff00::/56", 72, ("2001:db8:1234:ff00::/72",), "2001:db8:1234:ff00:100::/72"),
    ],
)
def test_the_first_range_that_nobody_has_is_given(cluster, size, taken, given):
    """TestAllocateOrOccupyCIDRSuccess, TestCIDRSetFullyAllocated, TestIndexToCIDRBlock."""
    ctx, ranges = a_context(cluster), _Ranges()
    ranges.set("others", taken, ctx)
    assert ranges.free(cluster, size, ctx) == given


@pytest.mark.parametrize("cluster", ["127.123.0.0/16", "beef::/16"])
def test_all_ranges_are_given_once_and_again_when_they_are_free(cluster):
    """TestCIDRSet_RandomishAllocation, TestCIDRSet_AllocationOccupied."""
    ctx, ranges = a_context(cluster), _Ranges()

    def give(count: int) -> list[str]:
        given = []
        for number in range(count):
            found = ranges.free(cluster, 24, ctx)
            assert found is not None
            ranges.set(f"node-{number}", (found,), ctx)
            given.append(found)
        assert ranges.free(cluster, 24, ctx) is None
        return given

    first = give(256)
    for number in range(256):
        ranges.set(f"node-{number}", (), ctx)
    for number in range(128, 256):
        ranges.set(f"kept-{number}", (first[number],), ctx)
    assert give(128) == first[:128]


@pytest.mark.parametrize(
    ("taken", "allocated"),
    [
        ("127.0.0.0/8", 256),
        ("127.0.0.0/2", 256),
        ("127.0.0.0/16", 1),
        ("127.0.0.0/15", 2),
        ("127.0.1.0/24", 1),
        ("126.0.0.0/8", 0),
        ("fd00::/64", 0),
    ],
)
def test_what_others_have_of_a_cluster_range_is_counted_in_nodes_ranges(taken, allocated):
    """TestOccupy."""
    ctx = cast(
        Context,
        SimpleNamespace(
            config=Config(cluster_cidrs=("127.0.0.0/8",), node_cidr_mask_size=16), metrics=lambda kind: figures
        ),
    )
    figures = Figures()
    ranges = _Ranges()
    for _ in range(2):
        ranges.set("others", (taken,), ctx)
    assert sum(figures.allocated.values.values()) == allocated
    ranges.set("others", (), ctx)
    assert sum(figures.released.values.values()) == allocated
    assert sum(figures.usage.values.values()) == 0
