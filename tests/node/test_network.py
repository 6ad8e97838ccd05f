"""The pod network on two nodes with real containers: addresses, routes, Pods that reach each other."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
import pytest_asyncio
from tests.node import world
from tests.node.cri import Cri, until

from pybernetes.localcluster import containerd
from pybernetes.localcluster.image import build_image
from pybernetes.localcluster.sandbox import NodeSandbox
from pybernetes.localcluster.services import unit_text
from pybernetes.localcluster.spec import SERVICES_DIR, NodeSpec, Unit
from pybernetes.localcluster.sweep import leftovers, sweep
from pybernetes.localcluster.switch import Switch, node_address
from pybernetes.network.install import CNI_CONFIG, install, write_file

CLUSTER = "test-network"
STATE = Path("/var/lib/pybernetes/test")
IMAGE = "docker.io/test/net:latest"
WORLD = "/etc/pybernetes/world.json"
PROGRAM = "/etc/pybernetes/world.py"
"""world.py as nodes have it: the checkout may lie where they cannot see it."""
pytestmark = pytest.mark.asyncio(loop_scope="module")

NODES = [world.node_object(f"n{i}", node_address(i), f"10.244.{i}.0/24") for i in range(2)]


class Network:
    """Two nodes with the agent running."""

    def __init__(self) -> None:
        self.switch = Switch(CLUSTER)
        self.nodes = [
            NodeSandbox(
                NodeSpec(
                    cluster=CLUSTER, name=f"n{i}", address=node_address(i), files=containerd.node_files(),
                    state_dir=str(STATE / CLUSTER / "nodes" / f"n{i}"),
                ),
                self.switch,
            )
            for i in range(2)
        ]  # fmt: skip
        self.cri: list[Cri] = []

    def write_world(self, **objects: list[dict]) -> None:
        for node in self.nodes:
            world.write_world(node.path(WORLD), **objects)

    async def start(self, folder: Path) -> None:
        (folder / "Containerfile").write_text('FROM busybox\nCMD ["sleep", "1000"]\n')
        built = build_image(folder, IMAGE, folder / "x.tar")
        await self.switch.up()
        for node in self.nodes:
            await node.start()
            await containerd.prepare(node)
            await containerd.import_image(node, built.archive)
            self.cri.append(Cri(node.path(containerd.SOCKET)))
            assert not self.cri[-1].network_ready()
        self.write_world(nodes=NODES)
        for node in self.nodes:
            node.path(PROGRAM).write_bytes(Path(world.__file__).read_bytes())
        for node in self.nodes:
            program = [sys.executable, PROGRAM, "agent", node.name, WORLD]
            install(node.path("/"))
            unit = node.path(f"{SERVICES_DIR}/agent.json")  # no kubelet runs here to start its Pod
            write_file(unit, unit_text(Unit(command=tuple(program))))
        for cri in self.cri:
            await until(cri.network_ready, "the network is ready")

    def pod(self, node: int, name: str, host_port: int = 0) -> tuple[str, str, str]:
        """Sandbox, container, address."""
        cri = self.cri[node]
        command = ["sh", "-c", SERVER]
        sandbox, container = cri.run_pod(name, IMAGE, command, host_network=False, host_port=host_port)
        return sandbox, container, cri.address(sandbox)


SERVER = "mkdir -p /www; hostname > /www/index.html; trap 'exit 0' TERM; httpd -f -p 8080 -h /www & wait"


def _get(address: str, port: int = 8080) -> list[str]:
    # busybox wget crashes in a bare root; nc does
    return ["sh", "-c", f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 3 {address} {port} | tail -n 1"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def network(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Network]:
    await asyncio.to_thread(sweep, CLUSTER, disks=True, state_dir=STATE)
    made = Network()
    try:
        await made.start(tmp_path_factory.mktemp("image"))
        yield made
    finally:
        for cri in made.cri:
            cri.close()
        made.switch.close()
        await asyncio.to_thread(sweep, CLUSTER, disks=True, state_dir=STATE)
        assert leftovers(CLUSTER) == []


async def test_pods_of_two_nodes_reach_each_other_and_themselves(network: Network) -> None:
    pods = [network.pod(0, "a"), network.pod(0, "b"), network.pod(1, "c")]
    try:
        assert [p[2] for p in pods] == ["10.244.0.2", "10.244.0.3", "10.244.1.2"]
        for (_, container, _), cri in zip(pods, (0, 0, 1), strict=True):
            for (_, _, address), name in zip(pods, "abc", strict=True):
                assert network.cri[cri].exec(container, _get(address)) == (0, f"{name}\n")
        node = network.nodes[1]
        assert (await node.exec(["busybox", *_get(pods[0][2])])).out == "a\n"
        links = (await node.exec(["ip", "-br", "link"])).out
        assert links.count("pyb") == 1
    finally:
        for (sandbox, _, _), cri in zip(pods, (0, 0, 1), strict=True):
            network.cri[cri].remove(sandbox)
    assert "pyb" not in (await network.nodes[0].exec(["ip", "-br", "link"])).out
    assert (await network.nodes[0].exec(["ls", "/var/lib/cni/pybernetes"])).out == "last\n"


async def test_nothing_of_a_pod_leaves_the_cluster(network: Network) -> None:
    sandbox, container, _ = network.pod(0, "x")
    try:
        code, said = network.cri[0].exec(container, ["sh", "-c", "nc -w 2 192.0.2.1 80 < /dev/null; echo $?"])
        assert code == 0
        assert said.startswith("1\n")
        assert "unreachable" in said
    finally:
        network.cri[0].remove(sandbox)


async def test_the_agent_may_restart_under_running_pods(network: Network) -> None:
    node = network.nodes[0]
    sandbox, _, address = network.pod(0, "stays")
    try:
        await node.exec(["pkill", "-9", "-f", "world.py agent"])
        later, container, _ = await asyncio.to_thread(network.pod, 0, "later")
        assert network.cri[0].exec(container, _get(address)) == (0, "stays\n")
        network.cri[0].remove(later)
    finally:
        network.cri[0].remove(sandbox)


async def test_services_reach_pods_of_both_nodes(network: Network) -> None:
    """The service proxy beside the agent: from a Pod, from a node, and by node port from the other node."""
    for node in network.nodes:
        unit = Unit(command=(sys.executable, PROGRAM, "proxy", node.name, WORLD))
        write_file(node.path(f"{SERVICES_DIR}/kube-proxy.json"), unit_text(unit))
    pods = [network.pod(0, "web-0"), network.pod(1, "web-1")]
    client = network.pod(0, "client")
    try:
        service, piece = world.service_objects("web", "10.96.0.80", 30080, {f"n{i}": p[2] for i, p in enumerate(pods)})
        network.write_world(nodes=NODES, services=[service], endpointslices=[piece])

        async def answers(*argv: str) -> str:
            return " ".join([network.cri[0].exec(client[1], list(argv))[1].strip() for _ in range(8)])

        await _until_async(
            lambda: answers(*_get("10.96.0.80", 80)), lambda text: {"web-0", "web-1"} == set(text.split())
        )
        for node, other in (network.nodes, network.nodes[::-1]):
            for address, port in (("10.96.0.80", 80), (other.spec.address, 30080), (node.spec.address, 30080)):
                assert (await node.exec(["busybox", *_get(address, port)])).out.strip() in ("web-0", "web-1")
        assert network.cri[0].exec(pods[0][1], _get("10.96.0.80", 80))[1].startswith("web-")

        network.write_world(nodes=NODES, services=[service])
        await _until_async(lambda: answers(*_get("10.96.0.80", 80)), lambda text: text.count("refused") == 8)
    finally:
        network.write_world(nodes=NODES)
        for (sandbox, _, _), cri in zip([*pods, client], (0, 1, 0), strict=True):
            network.cri[cri].remove(sandbox)


async def test_a_host_port_is_open_while_its_pod_runs(network: Network) -> None:
    here, there = network.nodes
    sandbox, container, _ = network.pod(0, "door", host_port=8088)
    ask = ["busybox", *_get(here.spec.address, 8088)]
    try:
        for node in (there, here):
            assert (await node.exec(ask)).out == "door\n"
        assert network.cri[0].exec(container, _get(here.spec.address, 8088)) == (0, "door\n")
        assert (await here.exec(["busybox", *_get("127.0.0.1", 8088)])).out == "door\n"
        await here.exec(["pkill", "-9", "-f", "world.py agent"])
        assert (await there.exec(ask)).out == "door\n"
        with pytest.raises(grpc.RpcError, match="cannot open host ports 8088/tcp"):
            await asyncio.to_thread(network.pod, 0, "second", 8088)
        assert (await there.exec(ask)).out == "door\n"
    finally:
        network.cri[0].remove(sandbox)
    assert (await there.exec(ask)).out == ""


async def test_routes_follow_the_nodes(network: Network) -> None:
    async def routes() -> str:
        return (await network.nodes[0].exec(["ip", "route", "show", "proto", "113"])).out

    assert (await routes()).split()[:3] == ["10.244.1.0/24", "via", node_address(1)]
    network.write_world(nodes=[*NODES, world.node_object("n2", node_address(2), "10.244.2.0/24")])
    await _until_async(routes, lambda text: "10.244.2.0/24" in text)
    network.write_world(nodes=[NODES[0], world.node_object("n1", node_address(3), "10.244.1.0/24")])
    await _until_async(routes, lambda text: f"via {node_address(3)}" in text and "10.244.2.0/24" not in text)
    network.write_world(nodes=NODES)
    await _until_async(routes, lambda text: f"via {node_address(1)}" in text)


async def test_after_a_power_cut_addresses_are_given_back(network: Network) -> None:
    node = network.nodes[1]
    network.pod(1, "lost")
    assert (await node.exec(["ls", "/var/lib/cni/pybernetes"])).out.count("10.244.1.") == 1
    network.cri.pop().close()
    await node.power_off()
    await node.power_on()
    await containerd.prepare(node)
    network.cri.append(Cri(node.path(containerd.SOCKET)))
    await _until_async(
        lambda: _out(node, ["sh", "-c", "ls /var/lib/cni/pybernetes; ls /run/pybernetes"]),
        lambda text: text == "last\ncni.sock\n",
    )
    sandbox, container, address = await asyncio.to_thread(network.pod, 1, "again")
    assert address.startswith("10.244.1.")
    assert network.cri[1].exec(container, _get(address)) == (0, "again\n")
    network.cri[1].remove(sandbox)


async def test_a_refusal_is_a_cni_error_with_exit_code_1(network: Network) -> None:
    node = network.nodes[0]
    config = json.dumps({"cniVersion": "0.4.0", "name": "x", "type": "pybernetes"}).encode()
    base = {"CNI_CONTAINERID": "ghost", "CNI_IFNAME": "eth0", "CNI_NETNS": "/var/run/netns/ghost"}
    plugin = ["/opt/cni/bin/pybernetes"]

    async def call(command: str) -> tuple[int, dict]:
        result = await node.exec(plugin, env=base | {"CNI_COMMAND": command}, stdin=config)
        return result.code, json.loads(result.out or "{}")

    assert await call("DEL") == (0, {})
    code, said = await call("ADD")
    assert (code, said["code"]) == (1, 5)
    assert "No such file" in said["msg"]
    code, said = await call("CHECK")
    assert (code, said["code"]) == (1, 100)
    code, said = await call("VERSION")
    assert (code, "1.0.0" in said["supportedVersions"]) == (0, True)
    assert (await node.exec(["ls", "/var/lib/cni/pybernetes"])).out == "last\n"
    assert CNI_CONFIG.name in (await node.exec(["ls", "/etc/cni/net.d"])).out


async def _out(node: NodeSandbox, argv: list[str]) -> str:
    return (await node.exec(argv)).out


async def _until_async(ask, good, timeout: float = 20.0) -> None:
    deadline = asyncio.get_running_loop().time() + timeout
    while not good(text := await ask()):
        assert asyncio.get_running_loop().time() < deadline, text
        await asyncio.sleep(0.05)
