"""The arithmetic of hints: shares of zones, who is hinted where, and that nothing moves without need."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybernetes.api.types import core_v1, meta_v1
from pybernetes.api.types.discovery_v1 import Endpoint, EndpointConditions
from pybernetes.controllers._hints import Share, _balance, allotted, automatic, distributed, ratios, shares


def endpoint(number: int, zone: str | None = "a", node: str | None = "n", *, ready: bool = True) -> Endpoint:
    return Endpoint(
        addresses=(f"10.0.{number // 250}.{number % 250}",),
        zone=zone,
        nodeName=node,
        conditions=EndpointConditions(ready=ready),
    )


def node(zone: str, cpu: str = "4", *, ready: str = "True", **labels: str) -> core_v1.Node:
    named = {"topology.kubernetes.io/zone": zone} if zone else {}
    condition = core_v1.NodeCondition(type="Ready", status=ready)
    return core_v1.Node(
        metadata=meta_v1.ObjectMeta(labels=named | labels),
        status=core_v1.NodeStatus(allocatable={"cpu": cpu}, conditions=(condition,)),
    )


def zones(found: list[Endpoint] | str) -> list[str]:
    assert not isinstance(found, str), found
    return ["" if one.hints is None else ",".join(z.name for z in one.hints.forZones) for one in found]


@pytest.mark.parametrize("how", ["PreferClose", "PreferSameZone"])
def test_close_traffic_is_hinted_at_the_own_zone(how: str) -> None:
    (here, nowhere, ill) = distributed([endpoint(1), endpoint(2, None), endpoint(3, ready=False)], how)
    assert zones([here, nowhere, ill]) == ["a", "", ""]
    assert here.hints is not None
    assert here.hints.forNodes == ()


def test_traffic_of_the_same_node_is_hinted_at_node_and_zone() -> None:
    (here, nowhere) = distributed([endpoint(1), endpoint(2, None, None)], "PreferSameNode")
    assert here.hints is not None
    assert ([z.name for z in here.hints.forZones], [n.name for n in here.hints.forNodes]) == (["a"], ["n"])
    assert nowhere.hints is None


def test_other_words_and_none_give_no_hints() -> None:
    listed = [endpoint(1)]
    assert distributed(listed, None) == distributed(listed, "Whatever") == listed


@pytest.mark.parametrize(
    ("notes", "on"),
    [
        ({}, False),
        ({"service.kubernetes.io/topology-mode": "Auto"}, True),
        ({"service.kubernetes.io/topology-mode": "Disabled"}, False),
        ({"service.kubernetes.io/topology-aware-hints": "auto"}, True),
        ({"service.kubernetes.io/topology-aware-hints": "x", "service.kubernetes.io/topology-mode": "Auto"}, False),
    ],
)
def test_the_annotation_asks_for_topology_aware_hints(notes: dict[str, str], on: bool) -> None:
    assert automatic(core_v1.Service(metadata=meta_v1.ObjectMeta(annotations=notes))) is on


def test_cpus_of_ready_workers_make_the_parts_of_zones() -> None:
    control = {"node-role.kubernetes.io/control-plane": ""}
    nodes = [node("a"), node("a", "2"), node("b", "2"), node("c", ready="False"), node("", **control)]
    assert ratios(nodes) == {"a": 0.75, "b": 0.25}
    assert ratios([node("a"), node("a")]) == {}
    assert ratios([node("a"), node("b"), node("")]) == {}
    assert ratios([node("a"), node("b", "0")]) == {}
    assert ratios([]) == ratios([node("a")]) == {}
    assert ratios([node("a"), node("b", **control)]) == ratios([node("a", ready="False"), node("b")]) == {}
    many = [node("a", cpu) for cpu in ("1", "1", "1", "2")] + [node("b", "3"), node("b", "1500m"), node("c", "500m")]
    assert ratios(many) == {"a": 0.5, "b": 0.45, "c": 0.05}


def test_shares_are_upstreams() -> None:
    assert shares({"a": 0.5, "b": 0.5}, 4) == {"a": Share(2.0, 2), "b": Share(2.0, 2)}
    assert shares({"a": 0.6, "b": 0.4}, 10) == {"a": Share(6.0, 6), "b": Share(4.0, 5)}
    assert "Insufficient Node information" in str(shares({}, 4))
    few = shares({"a": 0.5, "b": 0.3, "c": 0.2}, 2)
    assert few == "Insufficient number of endpoints (2 endpoints, 3 zones)"
    uneven = shares({"a": 0.4, "b": 0.35, "c": 0.25}, 3)
    assert str(uneven).startswith(
        "Unable to allocate minimum required endpoints to each zone without exceeding overload"
    )


def test_a_zone_with_too_many_lends_to_one_with_too_few() -> None:
    listed = [endpoint(n, "a") for n in range(5)] + [endpoint(5, "b")]
    found = zones(allotted(listed, {}, {"a": 0.5, "b": 0.5}))
    assert Counter(found) == {"a": 3, "b": 3}
    assert found[5] == "b"


@pytest.mark.parametrize(
    ("wanted", "there", "after"),
    [
        ({"a": 1.2, "b": 1.1, "c": 1.0}, {"a": 1, "b": 1, "c": 1}, {"a": 1, "b": 1, "c": 1}),
        ({"a": 5.1, "b": 5.1, "c": 5.8}, {"a": 16}, {"a": 6, "b": 5, "c": 5}),
        ({"a": 5.0, "b": 5.6, "c": 5.4}, {"a": 16}, {"a": 5, "b": 6, "c": 5}),
        ({"a": 5.0, "b": 5.6, "c": 5.4}, {"b": 8, "c": 8}, {"a": 5, "b": 6, "c": 5}),
        ({"a": 5.0, "b": 5.0, "c": 5.0}, {"a": 6, "b": 6, "c": 6}, {"a": 6, "b": 6, "c": 6}),
    ],
)
def test_zones_give_and_receive_as_upstreams_do(
    wanted: dict[str, float], there: dict[str, int], after: dict[str, int]
) -> None:
    """Test_getGivingAndReceivingZones."""
    listed = [endpoint(n, zone) for n, zone in enumerate(Counter(there).elements())]
    zones_of = {one.addresses[0]: one.zone or "" for one in listed}
    counts = Counter(there)
    _balance(zones_of, counts, {zone: Share(target, 99) for zone, target in wanted.items()}, listed)
    assert counts == Counter(zones_of.values()) == after


def test_the_first_endpoint_of_a_zone_with_too_many_is_lent() -> None:
    """TestAddHints: "slices to create and update within 3 zone threshold", "2 ready, 1 unready, 1 unknown endpoints"."""
    listed = [endpoint(n, zone) for n, zone in enumerate("abccaaabca")]
    found = zones(allotted(listed, {}, {"a": 0.35, "b": 0.35, "c": 0.30}))
    assert found == list("bbccaaabca")
    ill = [endpoint(3, "b", ready=False), Endpoint(addresses=("10.0.0.9",), zone="b")]
    assert zones(allotted([endpoint(1, "a"), endpoint(2, "b"), *ill], {}, {"a": 0.45, "b": 0.55})) == ["a", "b", "", ""]


def test_without_a_zone_there_are_no_hints_at_all() -> None:
    said = allotted([endpoint(1, "a"), endpoint(2, None)], {}, {"a": 0.5, "b": 0.5})
    assert said == "One or more endpoints do not have a zone specified"


parts = st.sampled_from([{"a": 0.5, "b": 0.5}, {"a": 0.7, "b": 0.3}, {"a": 0.4, "b": 0.35, "c": 0.25}])
listed_endpoints = st.lists(st.tuples(st.sampled_from("abcd"), st.booleans()), max_size=40)


@given(listed_endpoints, parts)
def test_what_is_hinted_stays_hinted_and_every_zone_has_its_least(
    said: list[tuple[str, bool]], wanted: dict[str, float]
) -> None:
    listed = [endpoint(n, zone, ready=ready) for n, (zone, ready) in enumerate(said)]
    found = allotted(listed, {}, wanted)
    if isinstance(found, str):
        return
    hinted = zones(found)
    assert [bool(zone) for zone in hinted] == [ready for _, ready in said]
    before = {one.addresses[0]: zone for one, zone in zip(found, hinted, strict=True) if zone}
    assert zones(allotted(listed, before, wanted)) == hinted
    counts, limits = Counter(zone for zone in hinted if zone), shares(wanted, sum(ready for _, ready in said))
    assert not isinstance(limits, str)
    for zone, share in limits.items():
        assert abs(counts[zone] - share.wanted) < 1.5


@given(listed_endpoints, parts)
def test_one_endpoint_more_moves_few_others(said: list[tuple[str, bool]], wanted: dict[str, float]) -> None:
    listed = [endpoint(n, zone, ready=ready) for n, (zone, ready) in enumerate(said)]
    found = allotted(listed, {}, wanted)
    more = allotted([*listed, endpoint(99, "a")], {} if isinstance(found, str) else _hinted(found), wanted)
    if isinstance(found, str) or isinstance(more, str):
        return
    moved = sum(old != new for old, new in zip(zones(found), zones(more), strict=False))
    assert moved <= 2


def _hinted(found: list[Endpoint]) -> dict[str, str]:
    return {one.addresses[0]: zone for one, zone in zip(found, zones(found), strict=True) if zone}
