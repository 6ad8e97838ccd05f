"""Nodes to routes: what a node must know to reach the Pods of the others. Pure; programmed by the backends."""

import ipaddress
from collections.abc import Iterable

from msgspec import Struct

from pybernetes.api.types.core_v1 import Node


class PodRoute(Struct, frozen=True, order=True):
    """The Pods of a node: their range and the address of their node."""

    pod_cidr: str
    node_address: str
    node: str


class NetworkPlan(Struct, frozen=True):
    """The network as one node sees it. `own` is empty until the node has its range."""

    own: str
    own_address: str
    others: tuple[PodRoute, ...]


def plan(nodes: Iterable[Node], here: str) -> NetworkPlan:
    """The plan of node `here`; nodes without range or address, or with an IPv6 one, are left out."""
    own, own_address = "", ""
    others: dict[str, PodRoute] = {}
    for node in sorted(nodes, key=lambda n: n.metadata.creationTimestamp or ""):
        cidr, address = _ipv4_range(node), internal_address(node)
        if node.metadata.name == here:
            own, own_address = cidr, address
        elif cidr and address:
            others[cidr] = PodRoute(cidr, address, node.metadata.name)
    others.pop(own, None)
    return NetworkPlan(own, own_address, tuple(sorted(others.values())))


def internal_address(node: Node) -> str:
    """The node's first IPv4 address of type InternalIP, or empty."""
    for entry in node.status.addresses:
        if entry.type == "InternalIP" and "." in entry.address:
            return entry.address
    return ""


def _ipv4_range(node: Node) -> str:
    for text in (*node.spec.podCIDRs, node.spec.podCIDR):
        try:
            return str(ipaddress.IPv4Network(text))
        except ValueError:
            continue
    return ""
