"""What every backend of the service proxy must do, on real packets. A backend's test gives the fixture `backend`.

A lab of network namespaces: a node with two Pods (routed /32s) and a machine outside on the node's network.
"""

import asyncio
import os
import socket
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio

from pybernetes.api.objects import Key
from pybernetes.kernel.namespaces import NamespaceThread, pin_netns, unpin_netns
from pybernetes.kernel.netlink import Netlink, Route
from pybernetes.proxy.backend import ProxyBackend, ProxyConfig
from pybernetes.rules.services import BackendEndpoint, DataplanePort, ServicePortName

NODE, OUTSIDE = "172.31.9.1", "172.31.9.2"
PODS = {"a": "10.245.0.2", "b": "10.245.0.3"}
VIP, EXTERNAL = "10.96.0.10", "192.0.2.7"
WEB = Key("default", "web")


def service(*endpoints: str, target: int = 8080, protocol: str = "TCP", **more: object) -> DataplanePort:
    found = tuple(BackendEndpoint(PODS[e], target, local=True) for e in endpoints)
    fields: dict = {
        "name": ServicePortName("default", "web", "", protocol),
        "cluster_ips": (VIP,),
        "port": 80,
        "protocol": protocol,
        "node_port": 30080,
        "external_ips": (EXTERNAL,),
        "affinity_seconds": 0,
        "endpoints": found,
        "external_endpoints": found,
        "external_local": False,
    }
    return DataplanePort(**(fields | more))


class Lab:
    """The namespaces, and sockets in them."""

    def __init__(self) -> None:
        self.paths = {name: str(pin_netns(f"pyb-test-proxy-{name}")) for name in ("node", "out", *PODS)}
        self.threads = {name: NamespaceThread(path, f"lab-{name}") for name, path in self.paths.items()}
        self._open: list[socket.socket] = []
        self._tasks: list[asyncio.Task[None]] = []

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        for sock in self._open:
            sock.close()
        for thread in self.threads.values():
            thread.close()
        for name in self.paths:
            unpin_netns(f"pyb-test-proxy-{name}")

    def link(self, where: str, work: Callable[[Netlink], object]) -> None:
        def run() -> None:
            link = Netlink()
            try:
                work(link)
            finally:
                link.close()

        self.threads[where].call(run)

    def cable(self, where: str, name: str, address: str, gateway: str, routed: str) -> None:
        """A veth from the node (end `name`) to `where` (end eth0)."""
        fd = os.open(self.paths[where], os.O_RDONLY)

        def at_node(link: Netlink) -> None:
            link.add_veth(name, "eth0", fd)
            link.up(name)
            link.add_address(name, gateway)
            if routed:
                link.replace_route(Route(routed, device=name))

        def at_end(link: Netlink) -> None:
            link.up("lo")
            link.up("eth0")
            link.add_address("eth0", address)
            via = gateway.partition("/")[0]
            if address.endswith("/32"):
                link.replace_route(Route(f"{via}/32", device="eth0"))
            link.replace_route(Route("0.0.0.0/0", gateway=via))

        self.link("node", at_node)
        self.link(where, at_end)
        os.close(fd)

    def build(self) -> None:
        self.link("node", lambda link: link.up("lo"))
        for setting in ("ip_forward=1", "conf/all/rp_filter=0", "conf/default/rp_filter=0"):
            name, _, value = setting.partition("=")
            self.threads["node"].call(_write, f"/proc/sys/net/ipv4/{name}", value)
        for name, address in PODS.items():
            self.cable(name, f"pod-{name}", f"{address}/32", "169.254.1.1/32", f"{address}/32")
        self.cable("out", "uplink", f"{OUTSIDE}/24", f"{NODE}/24", "")
        self.link("node", lambda link: link.replace_route(Route("0.0.0.0/0", gateway=OUTSIDE)))

    def _socket(self, where: str, kind: int) -> socket.socket:
        sock = self.threads[where].call(socket.socket, socket.AF_INET, kind)
        sock.setblocking(False)
        self._open.append(sock)
        return sock

    def serve_tcp(self, where: str, port: int = 8080) -> None:
        """Answers every connection with "<where> <address of the client>"."""
        sock = self._socket(where, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("0.0.0.0", port))
        sock.listen(64)

        async def loop() -> None:
            while True:
                client, peer = await asyncio.get_running_loop().sock_accept(sock)
                client.send(f"{where} {peer[0]}".encode())
                client.close()

        self._tasks.append(asyncio.create_task(loop()))

    def serve_udp(self, where: str, port: int) -> None:
        sock = self._socket(where, socket.SOCK_DGRAM)
        sock.bind(("0.0.0.0", port))

        async def loop() -> None:
            while True:
                _, peer = await asyncio.get_running_loop().sock_recvfrom(sock, 64)
                await asyncio.get_running_loop().sock_sendto(sock, f"{where} {peer[0]}".encode(), peer)

        self._tasks.append(asyncio.create_task(loop()))

    async def get(self, where: str, address: str, port: int = 80, timeout: float = 2.0) -> str:
        """One TCP connection; raises ConnectionRefusedError, TimeoutError."""
        sock = self._socket(where, socket.SOCK_STREAM)
        try:
            async with asyncio.timeout(timeout):
                await asyncio.get_running_loop().sock_connect(sock, (address, port))
                return (await asyncio.get_running_loop().sock_recv(sock, 64)).decode()
        finally:
            sock.close()

    def udp_client(self, where: str, address: str, port: int = 80) -> Callable[[], Awaitable[str]]:
        """Asks again and again from one port, as a resolver may."""
        sock = self._socket(where, socket.SOCK_DGRAM)
        sock.connect((address, port))

        async def ask() -> str:
            async with asyncio.timeout(2.0):
                await asyncio.get_running_loop().sock_sendall(sock, b"?")
                return (await asyncio.get_running_loop().sock_recv(sock, 64)).decode()

        return ask


def _write(path: str, value: str) -> None:
    with open(path, "w") as file:
        file.write(value)


class ProxyBackendSuite:
    """Derive and override `make`; mark the class for root."""

    make: Callable[[ProxyConfig], ProxyBackend]

    @pytest_asyncio.fixture
    async def lab(self) -> AsyncIterator[Lab]:
        made = Lab()
        try:
            made.build()
            for name in PODS:
                made.serve_tcp(name)
                made.serve_udp(name, 5353)
            yield made
        finally:
            made.close()

    @pytest_asyncio.fixture
    async def backend(self, lab: Lab) -> AsyncIterator[ProxyBackend]:
        made = type(self).make(ProxyConfig(netns=lab.paths["node"]))
        await made.sync({}, full=True)
        try:
            yield made
        finally:
            await made.close()

    async def test_a_pod_reaches_every_endpoint_and_keeps_its_address(self, lab: Lab, backend: ProxyBackend) -> None:
        await backend.sync({WEB: [service("a", "b")]}, full=False)
        answers = Counter([await lab.get("a", VIP) for _ in range(40)])
        assert {a.split()[0] for a in answers} == {"a", "b"}
        assert answers[f"b {PODS['a']}"] > 5

    async def test_a_pod_reaches_itself(self, lab: Lab, backend: ProxyBackend) -> None:
        await backend.sync({WEB: [service("a")]}, full=False)
        assert (await lab.get("a", VIP)).startswith("a ")

    async def test_a_host_process_reaches_services(self, lab: Lab, backend: ProxyBackend) -> None:
        await backend.sync({WEB: [service("b")]}, full=False)
        assert (await lab.get("node", VIP)).startswith("b ")
        assert (await lab.get("node", NODE, 30080)).startswith("b ")

    async def test_an_endpoint_on_the_node_itself_is_reached(self, lab: Lab, backend: ProxyBackend) -> None:
        """As the API server behind the Service `kubernetes` on its own machine."""
        lab.serve_tcp("node", 6443)
        here = (BackendEndpoint(NODE, 6443, local=True),)
        await backend.sync({WEB: [service(endpoints=here, external_endpoints=here)]}, full=False)
        for where, address, port in (("a", VIP, 80), ("node", VIP, 80), ("out", NODE, 30080), ("node", NODE, 30080)):
            assert (await lab.get(where, address, port)).startswith("node "), where
        assert await lab.get("a", VIP) == f"node {PODS['a']}"

    async def test_outside_reaches_node_ports_and_external_addresses(self, lab: Lab, backend: ProxyBackend) -> None:
        await backend.sync({WEB: [service("b")]}, full=False)
        for address, port in ((NODE, 30080), (EXTERNAL, 80)):
            pod, peer = (await lab.get("out", address, port)).split()
            assert pod == "b"
            assert peer != OUTSIDE

    async def test_local_policy_keeps_the_clients_address(self, lab: Lab, backend: ProxyBackend) -> None:
        await backend.sync({WEB: [service("b", external_local=True)]}, full=False)
        assert await lab.get("out", NODE, 30080) == f"b {OUTSIDE}"

    async def test_without_endpoints_connections_are_refused(self, lab: Lab, backend: ProxyBackend) -> None:
        await backend.sync({WEB: [service("b")]}, full=False)
        await backend.sync({WEB: [service()]}, full=False)
        for where, address, port in (
            ("a", VIP, 80), ("node", VIP, 80), ("out", NODE, 30080), ("a", EXTERNAL, 80), ("node", NODE, 30080),
        ):  # fmt: skip
            with pytest.raises(ConnectionRefusedError):
                await lab.get(where, address, port)
        with pytest.raises(ConnectionRefusedError):
            await lab.udp_client("a", VIP)()

    async def test_a_service_that_is_gone_or_never_was_is_refused(self, lab: Lab, backend: ProxyBackend) -> None:
        await backend.sync({WEB: [service("b")]}, full=False)
        await backend.sync({WEB: []}, full=False)
        for where in ("a", "node"):
            with pytest.raises(ConnectionRefusedError):
                await lab.get(where, VIP)
            with pytest.raises(ConnectionRefusedError):
                await lab.get(where, "10.97.1.2", 443)

    async def test_local_policy_without_local_endpoints_says_nothing(self, lab: Lab, backend: ProxyBackend) -> None:
        await backend.sync({WEB: [service("b", external_local=True, external_endpoints=())]}, full=False)
        with pytest.raises(TimeoutError):
            await lab.get("out", NODE, 30080, timeout=0.3)
        assert (await lab.get("a", VIP)).startswith("b ")

    async def test_affinity_keeps_a_client_at_one_endpoint(self, lab: Lab, backend: ProxyBackend) -> None:
        await backend.sync({WEB: [service("a", "b", affinity_seconds=60)]}, full=False)
        assert len({(await lab.get("out", NODE, 30080)).split()[0] for _ in range(12)}) == 1

    async def test_connections_follow_changes_of_endpoints(self, lab: Lab, backend: ProxyBackend) -> None:
        for endpoints in (["a"], ["a", "b"], ["b"], [], ["b"], ["b", "a"], ["a"]):
            await backend.sync({WEB: [service(*endpoints)]}, full=False)
            if endpoints:
                seen = {(await lab.get("out", NODE, 30080)).split()[0] for _ in range(16)}
                assert seen == set(endpoints)

    async def test_udp_leaves_an_endpoint_that_is_gone(self, lab: Lab, backend: ProxyBackend) -> None:
        await backend.sync({WEB: [service("a", target=5353, protocol="UDP")]}, full=False)
        clients = [lab.udp_client("b", VIP), lab.udp_client("out", NODE, 30080)]
        assert [(await ask()).split()[0] for ask in clients] == ["a", "a"]
        await backend.sync({WEB: [service("b", target=5353, protocol="UDP")]}, full=False)
        assert [(await ask()).split()[0] for ask in clients] == ["b", "b"]

    async def test_a_full_sync_replaces_what_was_there(self, lab: Lab, backend: ProxyBackend) -> None:
        other = service("b", cluster_ips=("10.96.0.11",), node_port=0, external_ips=())
        await backend.sync({WEB: [service("a")]}, full=False)
        await backend.sync({Key("default", "other"): [other]}, full=True)
        assert (await lab.get("a", "10.96.0.11")).startswith("b ")
        with pytest.raises(ConnectionRefusedError):
            await lab.get("a", VIP)
