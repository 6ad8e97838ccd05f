"""Nodes become routes."""

from pybernetes.api.types.core_v1 import Node, NodeAddress, NodeSpec, NodeStatus
from pybernetes.api.types.meta_v1 import ObjectMeta
from pybernetes.network.plan import NetworkPlan, PodRoute, plan


def _node(name: str, cidr: str, address: str, kind: str = "InternalIP") -> Node:
    return Node(
        metadata=ObjectMeta(name=name),
        spec=NodeSpec(podCIDR=cidr, podCIDRs=(cidr,) if cidr else ()),
        status=NodeStatus(addresses=(NodeAddress(type=kind, address=address),)),
    )


def test_every_other_node_with_range_and_address_gets_a_route() -> None:
    nodes = [
        _node("a", "10.244.0.0/24", "172.30.0.11"),
        _node("b", "10.244.1.0/24", "172.30.0.12"),
        _node("no-range", "", "172.30.0.13"),
        _node("no-address", "10.244.3.0/24", "host", "Hostname"),
        _node("other-family", "fd00::/64", "172.30.0.14"),
    ]
    wanted = NetworkPlan("10.244.0.0/24", "172.30.0.11", (PodRoute("10.244.1.0/24", "172.30.0.12", "b"),))
    assert plan(nodes, "a") == wanted
    assert plan(reversed(nodes), "a") == wanted


def test_a_node_that_is_not_there_yet_has_no_range_but_knows_the_others() -> None:
    found = plan([_node("b", "10.244.1.0/24", "172.30.0.12")], "a")
    assert found.own == ""
    assert len(found.others) == 1


def test_a_range_of_our_own_is_never_routed_away() -> None:
    nodes = [_node("a", "10.244.0.0/24", "172.30.0.11"), _node("old", "10.244.0.0/24", "172.30.0.99")]
    assert plan(nodes, "a").others == ()
