"""The flat table: texts of transactions, and that changes in place end where a whole table would."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from pybernetes.api.objects import Key
from pybernetes.proxy.backends._flat import FlatTable, keep_slots
from pybernetes.rules.services import BackendEndpoint, DataplanePort, ServicePortName

CIDR = "10.96.0.0/12"


def port(name: str = "web", count: int = 2, first: int = 0, **more: object) -> DataplanePort:
    endpoints = tuple(BackendEndpoint(f"10.244.0.{first + i + 2}", 8080) for i in range(count))
    fields: dict = {
        "name": ServicePortName("default", name, "", "TCP"),
        "cluster_ips": ("10.96.0.10",),
        "port": 80,
        "protocol": "TCP",
        "node_port": 0,
        "external_ips": (),
        "affinity_seconds": 0,
        "endpoints": endpoints,
        "external_endpoints": endpoints,
        "external_local": False,
    }
    return DataplanePort(**(fields | more))


def _run(state: dict, text: str) -> None:
    """nftables in small: what `text` makes of the elements, with the kernel's refusals."""
    if text.startswith("add table"):
        state.clear()
    for verb, name, body in re.findall(r"^(add|delete) element ip kube-proxy (\S+) \{ (.*) \}$", text, re.M):
        for element in body.split(", "):
            key, _, value = element.partition(" : ")
            if verb == "add":
                assert (name, key) not in state, "File exists"
                state[name, key] = value
            else:
                assert state.pop((name, key), None) is not None, "No such file"


def test_a_service_is_elements_of_shared_sets() -> None:
    state: dict = {}
    _run(state, FlatTable(CIDR).change({Key("default", "web"): [port(node_port=30080)]}, full=True).text)
    assert state == {
        ("random-2", "10.96.0.10 . tcp . 80"): "",
        ("endpoints", "10.96.0.10 . tcp . 80 . 0x0"): "10.244.0.2 . 8080",
        ("endpoints", "10.96.0.10 . tcp . 80 . 0x1"): "10.244.0.3 . 8080",
        ("node-random-2", "tcp . 30080"): "",
        ("node-masqueraded", "tcp . 30080"): "",
        ("node-endpoints", "tcp . 30080 . 0x0"): "10.244.0.2 . 8080",
        ("node-endpoints", "tcp . 30080 . 0x1"): "10.244.0.3 . 8080",
        ("hairpin", "10.244.0.2 . 10.244.0.2"): "",
        ("hairpin", "10.244.0.3 . 10.244.0.3"): "",
    }


def test_one_more_endpoint_changes_only_what_it_must() -> None:
    table = FlatTable(CIDR)
    table.change({Key("default", "web"): [port(count=2)]}, full=True)
    text = table.change({Key("default", "web"): [port(count=3)]}, full=False).text
    assert text.splitlines() == [
        "add set ip kube-proxy random-3 { type ipv4_addr . inet_proto . inet_service; }",
        "add rule ip kube-proxy services ip daddr . meta l4proto . th dport @random-3 meta mark set numgen random mod 3 "
        "dnat to ip daddr . meta l4proto . th dport . meta mark map @endpoints",
        "delete element ip kube-proxy random-2 { 10.96.0.10 . tcp . 80 }",
        "add element ip kube-proxy random-3 { 10.96.0.10 . tcp . 80 }",
        "add element ip kube-proxy endpoints { 10.96.0.10 . tcp . 80 . 0x2 : 10.244.0.4 . 8080 }",
        "add element ip kube-proxy hairpin { 10.244.0.4 . 10.244.0.4 }",
    ]
    assert table.change({Key("default", "web"): [port(count=3)]}, full=False).text == ""


def test_no_endpoints_is_refused_and_local_policy_is_dropped() -> None:
    state: dict = {}
    ports = [port(count=0, external_ips=("192.0.2.7",), node_port=30080, external_local=True)]
    _run(state, FlatTable(CIDR).change({Key("default", "web"): ports}, full=True).text)
    assert set(state) == {
        ("refused", "10.96.0.10 . tcp . 80"),
        ("dropped", "192.0.2.7 . tcp . 80"),
        ("node-dropped", "tcp . 30080"),
    }


def test_affinity_draws_by_the_clients_address() -> None:
    text = FlatTable(CIDR).change({Key("default", "web"): [port(affinity_seconds=10800)]}, full=True).text
    assert "@sticky-2 meta mark set jhash ip saddr mod 2 dnat" in text
    assert "numgen" not in text


def test_two_services_with_one_external_address_do_not_break_each_other() -> None:
    table, state = FlatTable(CIDR), {}
    one = port("a", cluster_ips=("10.96.0.1",), external_ips=("192.0.2.7",))
    two = port("b", first=8, cluster_ips=("10.96.0.2",), external_ips=("192.0.2.7",))
    _run(state, table.change({Key("d", "a"): [one], Key("d", "b"): [two]}, full=True).text)
    place = ("endpoints", "192.0.2.7 . tcp . 80 . 0x0")
    assert state[place] == "10.244.0.2 . 8080"
    _run(state, table.change({Key("d", "a"): []}, full=False).text)
    assert state[place] == "10.244.0.10 . 8080"


def test_lost_udp_endpoints_are_named_and_tcp_ones_are_not() -> None:
    for protocol, wanted in (("UDP", {("10.244.0.3", 8080)}), ("TCP", set())):
        table = FlatTable(CIDR)
        table.change({Key("d", "dns"): [port(protocol=protocol, count=2)]}, full=True)
        change = table.change({Key("d", "dns"): [port(protocol=protocol, count=1)]}, full=False)
        assert {slot for _, slot in change.stale_udp} == wanted


def test_ipv6_is_left_out() -> None:
    ports = [port(cluster_ips=("fd00::1", "10.96.0.1"), endpoints=(BackendEndpoint("fd00::9", 1),))]
    state: dict = {}
    _run(state, FlatTable(CIDR).change({Key("d", "x"): ports}, full=True).text)
    assert set(state) == {("refused", "10.96.0.1 . tcp . 80")}


def test_slots_stay_where_they_can() -> None:
    a, b, c, d = (("10.0.0.1", i) for i in range(4))
    assert keep_slots((a, b, c), (c, b, a)) == (a, b, c)
    assert keep_slots((a, b, c), (b, c)) == (c, b)
    assert keep_slots((a, b), (b, d, c)) == (c, b, d)


_PORTS = st.builds(
    port,
    count=st.integers(0, 4),
    first=st.integers(0, 3),
    cluster_ips=st.sampled_from([("10.96.0.1",), ("10.96.0.2",)]),
    external_ips=st.sampled_from([(), ("192.0.2.7",)]),
    node_port=st.sampled_from([0, 30080, 30081]),
    affinity_seconds=st.sampled_from([0, 60]),
    external_local=st.booleans(),
    protocol=st.sampled_from(["TCP", "UDP"]),
)
_STEPS = st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.lists(_PORTS, max_size=2)), max_size=12)


@settings(max_examples=60)
@given(_STEPS)
def test_changes_in_place_end_where_a_whole_table_does(steps: list) -> None:
    table, state, world = FlatTable(CIDR), {}, {}
    _run(state, table.change({}, full=True).text)
    for name, ports in steps:
        world[Key("d", name)] = ports
        _run(state, table.change({Key("d", name): ports}, full=False).text)
    whole: dict = {}
    _run(whole, FlatTable(CIDR).change(world, full=True).text)
    assert {place for place in state if "endpoints" not in place[0]} == {
        place for place in whole if "endpoints" not in place[0]
    }
    assert sorted(_pairs(state)) == sorted(_pairs(whole))


def _pairs(state: dict) -> list[tuple[str, str]]:
    """Frontend and endpoint without the slot, which may differ."""
    return [(key.rpartition(" . ")[0], value) for (name, key), value in state.items() if "endpoints" in name]
