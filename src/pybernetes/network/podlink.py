"""A Pod's cable: a routed veth pair. Its end in the Pod is eth0 with a /32, the other end stands on the node.

No bridge: every packet of a Pod is routed by its node, so Services on the same node need no bridge netfilter, and a Pod
that reaches itself through a Service needs no hairpin port. All functions block and belong in a worker thread.
"""

import errno
import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from pybernetes.kernel.namespaces import NamespaceThread
from pybernetes.kernel.netlink import Netlink, Route, suppress_errno
from pybernetes.network.cni import GATEWAY, Attached

T = TypeVar("T")

PREFIX = "pyb"
"""What the node's ends of Pod cables begin with."""


def host_name(sandbox: str, interface: str) -> str:
    """The name of the node's end: fixed by the sandbox, so that DEL finds it without a record."""
    return PREFIX + hashlib.sha256(f"{sandbox}/{interface}".encode()).hexdigest()[:11]


def attach(sandbox: str, interface: str, netns: str, address: str, mtu: int = 1500) -> Attached:
    """Plugs the Pod in. What an earlier attempt left of the same cable is removed first. Raises OSError."""
    name = host_name(sandbox, interface)
    host = Netlink()
    try:
        host.delete_link(name)
        _veth(host, name, interface, netns, mtu)
        try:
            host.up(name)
            host_mac = host.hardware_address(name)
            pod_mac = _inside(netns, lambda pod: _configure(pod, interface, address, host_mac))
            host.replace_neighbour(name, address, pod_mac)
            host.replace_route(Route(f"{address}/32", device=name))
        except OSError:
            host.delete_link(name)
            raise
    finally:
        host.close()
    return Attached(address, name, host_mac, pod_mac)


def detach(sandbox: str, interface: str) -> bool:
    """Unplugs: address, routes and neighbours go with the link. False where there was none."""
    host = Netlink()
    try:
        return host.delete_link(host_name(sandbox, interface))
    finally:
        host.close()


def check(sandbox: str, interface: str, netns: str) -> None:
    """Raises OSError where one end of the cable is missing."""
    host = Netlink()
    try:
        if host.index(host_name(sandbox, interface)) is None:
            raise OSError(errno.ENODEV, "the node's end of the cable is missing", host_name(sandbox, interface))
    finally:
        host.close()
    if _inside(netns, lambda pod: pod.index(interface)) is None:
        raise OSError(errno.ENODEV, "the Pod has no such interface", interface)


def loopback_up(netns: str, interface: str) -> None:
    """The `loopback` plugin's job."""
    _inside(netns, lambda pod: pod.up(interface))


def remove_strangers(known: set[str]) -> list[str]:
    """Removes cables whose name is not known, left by a Pod of which nothing else is left."""
    host = Netlink()
    try:
        gone = [name for name in host.link_names(PREFIX) if name not in known]
        for name in gone:
            host.delete_link(name)
    finally:
        host.close()
    return gone


def prepare_node() -> None:
    """Settings of the node's network namespace that routing between Pods needs."""
    for name, value in (
        ("ip_forward", "1"),
        ("conf/all/send_redirects", "0"),
        ("conf/default/send_redirects", "0"),
        ("conf/all/rp_filter", "0"),  # the higher of `all` and the link's own counts
        ("conf/default/rp_filter", "0"),
    ):
        with suppress(PermissionError):  # /proc/sys read-only: whoever set the node up has decided
            (Path("/proc/sys/net/ipv4") / name).write_text(value)


def _veth(host: Netlink, name: str, interface: str, netns: str, mtu: int) -> None:
    namespace = os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
    try:
        host.add_veth(name, interface, namespace, mtu=mtu)
    finally:
        os.close(namespace)


def _configure(pod: Netlink, interface: str, address: str, host_mac: str) -> str:
    with suppress_errno(errno.EEXIST):
        pod.up("lo")
    pod.add_address(interface, f"{address}/32")
    pod.up(interface)
    pod.replace_neighbour(interface, GATEWAY, host_mac)
    pod.replace_route(Route(f"{GATEWAY}/32", device=interface))
    pod.replace_route(Route("0.0.0.0/0", gateway=GATEWAY, device=interface, source=address))
    return pod.hardware_address(interface)


def _inside(netns: str, work: Callable[[Netlink], T]) -> T:
    def run() -> T:
        link = Netlink()
        try:
            return work(link)
        finally:
            link.close()

    thread = NamespaceThread(netns, "pod-link")
    try:
        return thread.call(run)
    finally:
        thread.close()
