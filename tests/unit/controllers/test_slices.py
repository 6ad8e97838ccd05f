"""How endpoints are spread over slices, and addresses over subsets: the rows of upstream's own tables."""

import pytest

from pybernetes.api.types.core_v1 import EndpointAddress, EndpointPort, EndpointSubset, ObjectReference
from pybernetes.api.types.discovery_v1 import Endpoint, EndpointConditions, EndpointSlice
from pybernetes.controllers._slices import filled
from pybernetes.controllers._subsets import entries, repacked, truncated
from pybernetes.controllers.endpointslice_mirroring import canonical


def endpoints(*numbers: int, ready: bool = True) -> list[Endpoint]:
    conditions = EndpointConditions(ready=ready)
    return [Endpoint(addresses=(f"10.{n // 250}.{n % 250}.1",), conditions=conditions) for n in numbers]


def lengths(there: list[list[Endpoint]], wanted: list[Endpoint]) -> tuple[list[int], list[str]]:
    """Of the slices afterwards, and what was done."""
    slices = [EndpointSlice(endpoints=tuple(listed)) for listed in there]
    done, sizes = [], []
    for found, content in filled(slices, wanted):
        if content is None:
            done.append("delete")
            continue
        sizes.append(len(content))
        if found is None:
            done.append("create")
        elif found.endpoints != content:
            done.append("update")
    return sorted(sizes), sorted(done)


def test_what_fills_no_slice_goes_into_the_unchanged_one_that_it_fills_best():
    """TestReconcileEndpointSlicesSomePreexisting."""
    pods = endpoints(*range(250))
    assert lengths([pods[1:-4:4], pods[3:-4:4]], pods) == ([61, 89, 100], ["create", "update"])


def test_what_fits_into_no_single_unchanged_slice_gets_a_new_one():
    """TestReconcileEndpointSlicesSomePreexistingWorseAllocation."""
    pods = endpoints(*range(300))
    assert lengths([pods[1:-4:4], pods[3:-4:4]], pods) == ([52, 74, 74, 100], ["create", "create"])


def test_slices_that_change_anyway_are_filled_up_the_fullest_first():
    """TestReconcileEndpointSlicesUpdatePacking."""
    first, second = endpoints(*range(80)), endpoints(*range(100, 120))
    wanted = [
        *endpoints(0, ready=False),
        *first[1:],
        *endpoints(100, ready=False),
        *second[1:],
        *endpoints(*range(200, 215)),
    ]
    assert lengths([first, second], wanted) == ([20, 95], ["update", "update"])


def test_many_slices_of_few_endpoints_are_not_packed_anew_while_nothing_changes():
    """TestReconcileEndpointSlicesRecycling."""
    pods = endpoints(*range(300))
    assert lengths([pods[n : n + 30] for n in range(0, 300, 30)], pods) == ([30] * 10, [])


@pytest.mark.parametrize(
    ("there", "after"),
    [
        ([], ([0], ["create"])),
        ([[]], ([0], [])),
        ([endpoints(1)], ([0], ["update"])),
        ([[], []], ([0], ["delete"])),
        ([endpoints(1), endpoints(2)], ([0], ["delete", "update"])),
    ],
)
def test_one_empty_slice_is_there_when_there_are_no_endpoints(there, after):
    assert lengths(there, []) == after


def test_an_emptied_slice_goes_while_others_have_endpoints():
    first, second = endpoints(*range(60)), endpoints(*range(60, 120))
    assert lengths([first, second], first) == ([60], ["delete"])


def port(name: str, number: int) -> EndpointPort:
    return EndpointPort(name=name, port=number, protocol="TCP")


def address(ip: str, uid: str = "") -> EndpointAddress:
    return EndpointAddress(ip=ip, targetRef=ObjectReference(uid=uid) if uid else None)


def test_ports_that_the_same_addresses_have_are_one_subset():
    """TestPackSubsets: "two sets of identical ports", "... different ports, same addresses"."""
    http, https = port("http", 80), port("https", 443)
    one, two = address("10.0.0.1"), address("10.0.0.2")

    def pack(*subsets: EndpointSubset) -> tuple[EndpointSubset, ...]:
        return repacked(entries(subsets))

    apart = pack(EndpointSubset(addresses=(one,), ports=(http,)), EndpointSubset(addresses=(one,), ports=(https,)))
    assert apart == (EndpointSubset(addresses=(one,), ports=(http, https)),)
    merged = pack(EndpointSubset(addresses=(two,), ports=(http,)), EndpointSubset(addresses=(one, two), ports=(http,)))
    assert merged == (EndpointSubset(addresses=(one, two), ports=(http,)),)
    split = pack(EndpointSubset(addresses=(one,), ports=(http, https)), EndpointSubset(addresses=(two,), ports=(http,)))
    assert split == (
        EndpointSubset(addresses=(one, two), ports=(http,)),
        EndpointSubset(addresses=(one,), ports=(https,)),
    )


def test_addresses_of_different_pods_and_states_are_kept_apart_and_those_without_ports_are_kept():
    http = port("http", 80)
    one, other = address("10.0.0.1", "a"), address("10.0.0.1", "b")
    packed = repacked([((http,), other, True), ((http,), one, False)])
    assert packed == (EndpointSubset(addresses=(other,), notReadyAddresses=(one,), ports=(http,)),)
    assert repacked([((), one, True)]) == (EndpointSubset(addresses=(one,)),)
    assert repacked([]) == ()


@pytest.mark.parametrize(
    ("sizes", "after"),
    [
        ([], None),
        ([(500, 500)], None),
        ([(1000, 1)], [(1000, 0)]),
        ([(500, 501)], [(500, 500)]),
        ([(1001, 5)], [(1000, 0)]),
        ([(800, 100), (800, 100)], [(500, 0), (500, 0)]),
        ([(400, 400), (400, 100)], [(400, 160), (400, 40)]),
        ([(1000, 0), (1, 0)], [(1000, 0)]),
    ],
)
def test_too_many_addresses_are_left_out_after_each_subsets_part_those_that_wait_first(sizes, after):
    """TestTruncateEndpoints."""

    def many(number: int) -> tuple[EndpointAddress, ...]:
        return tuple(address(f"10.0.{n // 250}.{n % 250}") for n in range(number))

    subsets = [EndpointSubset(addresses=many(ready), notReadyAddresses=many(waiting)) for ready, waiting in sizes]
    found = truncated(subsets)
    if after is None:
        assert found is None
    else:
        assert found is not None
        assert [(len(subset.addresses), len(subset.notReadyAddresses)) for subset in found] == after


@pytest.mark.parametrize(
    ("text", "ip"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("010.000.00.001", "10.0.0.1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("::ffff:1.2.3.4", "1.2.3.4"),
        ("this-is-not-an-ip", None),
        ("10.0.0", None),
        ("10..0.1", None),
        ("10.0.0.256", None),
    ],
)
def test_addresses_of_old_endpoints_are_written_as_slices_have_them(text, ip):
    assert canonical(text) == ip
