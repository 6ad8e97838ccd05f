"""How endpoints are spread over slices, and addresses over subsets: the rows of upstream's own tables."""

import pytest
from msgspec.structs import replace

from pybernetes.api.objects import Key
from pybernetes.api.types.core_v1 import (
    Container,
    ContainerPort,
    EndpointAddress,
    EndpointPort,
    EndpointSubset,
    ObjectReference,
    Pod,
    PodCondition,
    PodIP,
    PodSpec,
    PodStatus,
    Service,
    ServicePort,
    ServiceSpec,
)
from pybernetes.api.types.discovery_v1 import Endpoint, EndpointConditions, EndpointSlice
from pybernetes.api.types.meta_v1 import ObjectMeta
from pybernetes.controllers._endpoints import Triggers, families
from pybernetes.controllers._slices import filled
from pybernetes.controllers._subsets import entries, repacked, truncated
from pybernetes.controllers.endpointslice import endpoints as by_ports
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
        ([(50, 50), *[(100, 100)] * 4], None),
        ([(100, 100)] * 5, None),
        (
            [(90, 101), (110, 200), (50, 200), (10, 201), (20, 298)],
            [(90, 73), (110, 144), (50, 144), (10, 145), (20, 214)],
        ),
        (
            [(205, 100), (400, 200), (402, 200), (400, 200), (693, 300)],
            [(98, 0), (191, 0), (192, 0), (191, 0), (328, 0)],
        ),
        ([(997, 4)], [(997, 3)]),
        ([(1000, 10)], [(1000, 0)]),
    ],
)
def test_too_many_addresses_are_left_out_after_each_subsets_part_those_that_wait_first(sizes, after):
    """TestTruncateEndpoints, TestSyncServiceOverCapacity."""

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


@pytest.mark.parametrize(
    ("ip", "given", "found"),
    [
        ("10.0.0.10", (), ("IPv4",)),
        ("2000::1", (), ("IPv6",)),
        ("None", (), ("IPv4", "IPv6")),
        ("10.0.0.10", ("IPv4",), ("IPv4",)),
        ("2000::1", ("IPv6", "IPv4"), ("IPv6", "IPv4")),
        ("None", ("IPv6",), ("IPv6",)),
    ],
)
def test_a_service_that_an_old_server_stored_has_the_families_of_its_address(ip, given, found):
    """TestSupportedServiceAddressType."""
    assert families(Service(spec=ServiceSpec(clusterIP=ip, ipFamilies=given))) == found


def ready(ip: str, *others: str, name: str = "p", **spec: object) -> Pod:
    addresses = tuple(PodIP(ip=one) for one in (ip, *others))
    conditions = (PodCondition(type="Ready", status="True"),)
    status = PodStatus(podIP=ip, podIPs=addresses, conditions=conditions)
    return Pod(metadata=ObjectMeta(name=name, namespace="test"), spec=PodSpec(**spec), status=status)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("is_ready", "terminating", "publishes", "found"),
    [
        (True, False, False, (True, True, False)),
        (True, False, True, (True, True, False)),
        (False, False, False, (False, False, False)),
        (False, False, True, (True, False, False)),
        (True, True, False, (False, True, True)),
        (True, True, True, (True, True, True)),
        (False, True, False, (False, False, True)),
        (False, True, True, (True, False, True)),
    ],
)
def test_an_endpoint_says_whether_it_is_ready_serves_and_terminates(is_ready, terminating, publishes, found):
    """TestPodToEndpoint, TestEndpointSliceTerminating."""
    given = ready("1.2.3.5", "fd00::5", nodeName="node-1", hostname="own", subdomain="foo")
    conditions = (PodCondition(type="Ready", status="True" if is_ready else "False"),)
    going = "2026-01-01T00:00:00Z" if terminating else None
    given = replace(
        given,
        metadata=replace(given.metadata, uid="u", deletionTimestamp=going),
        status=replace(given.status, conditions=conditions),
    )
    spec = ServiceSpec(clusterIP="None", publishNotReadyAddresses=publishes)
    service = Service(metadata=ObjectMeta(name="foo", namespace="test"), spec=spec)
    ((one,),) = by_ports(service, [given], "IPv4", {"node-1": "us-central1-a"}.get).values()
    assert one == Endpoint(
        addresses=("1.2.3.5",),
        conditions=EndpointConditions(**dict(zip(("ready", "serving", "terminating"), found, strict=True))),
        hostname="own",
        nodeName="node-1",
        zone="us-central1-a",
        targetRef=ObjectReference(kind="Pod", namespace="test", name="p", uid="u"),
    )


def test_named_ports_are_looked_for_in_containers_and_then_in_sidecars_of_the_same_protocol():
    """TestGetEndpointPorts."""

    def container(number: int, protocol: str = "TCP", restarts: str | None = None) -> Container:
        ports = (ContainerPort(name="http", containerPort=number, protocol=protocol),)
        return Container(name="c", ports=ports, restartPolicy=restarts)

    named = ServicePort(name="web", port=80, targetPort="http", protocol="TCP", appProtocol="example.com/custom")
    service = Service(metadata=ObjectMeta(name="foo"), spec=ServiceSpec(clusterIP="10.0.0.1", ports=(named,)))

    def found(**spec: object) -> list[int | None]:
        (ports,) = by_ports(service, [ready("1.2.3.4", **spec)], "IPv4", lambda node: None)
        assert all((p.name, p.protocol, p.appProtocol) == ("web", "TCP", "example.com/custom") for p in ports)
        return [p.port for p in ports]

    assert found(containers=(container(8090),), initContainers=(container(8080, restarts="Always"),)) == [8090]
    assert found(containers=(), initContainers=(container(8080, restarts="Always"),)) == [8080]
    assert found(containers=(), initContainers=(container(8080),)) == []
    assert found(containers=(container(53, "UDP"),)) == []


def test_the_times_that_are_answered_to_are_counted_pod_by_pod():
    """TestNewService, TestPodsAdded, TestPodsRemoved of the trigger time tracker."""

    def since(name: str, time: str) -> Pod:
        conditions = (PodCondition(type="Ready", status="True", lastTransitionTime=f"2026-01-01T00:00:{time}Z"),)
        return Pod(metadata=ObjectMeta(name=name, namespace="test"), status=PodStatus(conditions=conditions))

    def at(time: str) -> str:
        return f"2026-01-01T00:00:{time}Z"

    web, triggers = Service(metadata=ObjectMeta(name="web", namespace="test", creationTimestamp=at("10"))), Triggers()
    assert triggers.next(web, [since("a", "01"), since("b", "30")]) == at("10")
    assert triggers.next(web, [since("a", "01"), since("b", "30")]) == ""
    assert triggers.next(web, [since("a", "20"), since("b", "30")]) == at("20")
    assert triggers.next(web, [since("a", "20")]) == ""
    assert triggers.next(web, [since("a", "40"), since("b", "35")]) == at("35")
    triggers.forget(Key("test", "web"))
    assert triggers.next(web, [since("a", "50")]) == at("10")
