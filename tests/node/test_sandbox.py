"""A node of namespaces with a real containerd: on, off, on again, and nothing left."""

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio
from cri_api.v1 import api_pb2 as cri_pb
from tests.node.cri import Cri, until

from pybernetes.kernel.processes import ProcessRef, kill_and_wait, wait_ended
from pybernetes.localcluster import containerd
from pybernetes.localcluster.errors import LocalClusterError, NodeDown
from pybernetes.localcluster.image import build_image
from pybernetes.localcluster.registry import URL, Registry
from pybernetes.localcluster.sandbox import NodeSandbox
from pybernetes.localcluster.services import unit_text
from pybernetes.localcluster.spec import SERVICES_DIR, NodeSpec, Unit
from pybernetes.localcluster.sweep import leftovers, sweep
from pybernetes.localcluster.switch import HostRoutes, Switch, node_address

CLUSTER = "test-sandbox"
STATE = Path("/var/lib/pybernetes/test")
pytestmark = pytest.mark.asyncio(loop_scope="module")


class Machines:
    """What the tests of this module share."""

    def __init__(self) -> None:
        self.switch = Switch(CLUSTER)
        self.registry = Registry(self.switch, STATE / CLUSTER / "registry")
        files = containerd.node_files({"docker.io": URL})
        self.nodes = [
            NodeSandbox(
                NodeSpec(
                    cluster=CLUSTER, name=f"n{i}", address=node_address(i), files=files,
                    state_dir=str(STATE / CLUSTER / "nodes" / f"n{i}"),
                ),
                self.switch,
            )
            for i in range(2)
        ]  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def machines() -> AsyncIterator[Machines]:
    await asyncio.to_thread(sweep, CLUSTER, disks=True, state_dir=STATE)
    made = Machines()
    try:
        await made.switch.up()
        await made.registry.start()
        for node in made.nodes:
            await node.start()
            await containerd.prepare(node)
        yield made
    finally:
        made.switch.close()
        await asyncio.to_thread(sweep, CLUSTER, disks=True, state_dir=STATE)
        assert leftovers(CLUSTER) == []


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def image(machines: Machines, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("image")
    (folder / "Containerfile").write_text('FROM busybox\nCMD ["sleep", "1000"]\n')
    built = build_image(folder, "test/sleeper", folder / "x.tar")
    assert await machines.registry.push(built) == built.digest
    assert await machines.registry.push(built) == built.digest
    return built.reference


async def test_a_node_is_a_machine_of_its_own(machines: Machines) -> None:
    node = machines.nodes[0]
    script = "hostname; cat /etc/hostname; grep memory /proc/self/cgroup | cut -d: -f3; cat /proc/1/comm; ls /root/.."
    out = (await node.exec(["sh", "-c", script])).check().split()
    assert out[:3] == ["n0", "n0", "/"]
    assert {"etc", "var", "usr"} <= set(out)
    other = machines.nodes[1]
    await node.exec(["sh", "-c", "echo mine > /etc/kubernetes/only-here"])
    assert (await other.exec(["ls", "/etc/kubernetes"])).out.split() == ["manifests"]
    assert not _exists("/etc/kubernetes/only-here")


async def test_nodes_reach_each_other_and_nothing_else(machines: Machines) -> None:
    node, other = machines.nodes
    assert (await node.exec(["busybox", "ping", "-c1", "-W2", other.spec.address])).code == 0
    assert (await node.exec(["ip", "route", "get", "192.0.2.1"])).code != 0
    await machines.switch.cut("n1")
    assert (await node.exec(["busybox", "ping", "-c1", "-W1", other.spec.address])).code != 0
    await machines.switch.mend("n1")
    assert (await node.exec(["busybox", "ping", "-c1", "-W2", other.spec.address])).code == 0


async def test_a_command_that_takes_too_long_is_killed_in_the_node(machines: Machines) -> None:
    node = machines.nodes[0]
    with pytest.raises(LocalClusterError, match="did not end"):
        await node.exec(["sleep", "987654"], timeout=0.3)
    await until(lambda: "987654" not in _command_lines(node), "sleep is gone")


async def test_a_container_runs_and_a_power_cut_leaves_nothing(machines: Machines, image: str) -> None:
    node = machines.nodes[0]
    runtime = Cri(node.path(containerd.SOCKET))
    assert runtime.version() == "containerd"
    assert runtime.pull(image).startswith("sha256:")
    _, container = runtime.run_pod("p1", image, ["sleep", "1000"])
    assert runtime.exec(container, ["hostname"]) == (0, "n0\n")
    runtime.close()
    other = machines.nodes[1]
    assert (await other.exec(["busybox", "ping", "-c1", "-W2", node.spec.address])).code == 0
    boot_id = (await node.exec(["cat", "/proc/sys/kernel/random/boot_id"])).out
    living = _members(_namespaces(node.pid))
    assert len(living) > 1

    await node.power_off()

    assert not node.running
    assert {pid for pid, since in living.items() if _since(pid) == since} == set()
    assert [f for f in leftovers(CLUSTER) if f.endswith("/n0")] == []
    with pytest.raises(NodeDown):
        await node.exec(["true"])

    await node.power_on()
    await containerd.prepare(node)
    runtime = Cri(node.path(containerd.SOCKET))
    assert runtime.version() == "containerd"
    assert runtime.state(container) == cri_pb.CONTAINER_EXITED
    assert (await node.exec(["cat", "/proc/sys/kernel/random/boot_id"])).out != boot_id
    # The neighbour remembers the node's hardware address, and it still holds
    assert (await other.exec(["busybox", "ping", "-c1", "-W2", node.spec.address])).code == 0
    for item in runtime.runtime.ListPodSandbox(cri_pb.ListPodSandboxRequest()).items:
        runtime.remove(item.id)
    _, container = runtime.run_pod("p2", image, ["sleep", "1000"])
    assert runtime.state(container) == cri_pb.CONTAINER_RUNNING

    before = int((await node.exec(["pidof", "containerd"])).out)
    await node.exec(["kill", "-9", str(before)])
    await until(lambda: _pid(node, "containerd") not in (None, before), "containerd is back")
    await containerd.wait_ready(node)
    runtime.close()
    runtime = Cri(node.path(containerd.SOCKET))
    runtime.version()
    assert runtime.state(container) == cri_pb.CONTAINER_RUNNING
    runtime.close()


async def test_a_unit_runs_while_its_file_is_there(machines: Machines) -> None:
    node = machines.nodes[1]
    file = node.path(f"{SERVICES_DIR}/sleeper.json")
    file.write_text(unit_text(Unit(command=("sleep", "1000"))))
    await until(lambda: _pid(node, "sleep") is not None, "the unit's command runs")
    first = _pid(node, "sleep")
    await node.exec(["kill", "-9", str(_inner(first))])
    await until(lambda: _pid(node, "sleep") not in (None, first), "it is started again")
    file.unlink()
    await until(lambda: _pid(node, "sleep") is None, "it is stopped")


async def test_a_listening_socket_is_handed_to_whoever_asks_in_the_node(machines: Machines) -> None:
    """The socket belongs to this machine, the process that accepts to the node."""
    listener = socket.create_server(("127.0.0.1", 0))
    program = (
        "import socket; u = socket.socket(socket.AF_UNIX); u.connect('/run/pybernetes/listen/door.sock')\n"
        "s = socket.socket(fileno=socket.recv_fds(u, 1, 1)[1][0])\nwhile True:\n c, _ = s.accept()\n"
        ' c.sendall(f"on {socket.gethostname()}".encode()); c.close()'
    )
    files = {
        f"{SERVICES_DIR}/server.json": unit_text(Unit(command=("python", "-c", program))),
        f"{SERVICES_DIR}/other.json": unit_text(Unit(command=("sh", "-c", "ls -l /proc/self/fd; echo; sleep 1000"))),
    }
    spec = NodeSpec(cluster=CLUSTER, name="door", address=node_address(5), files=files,
                    state_dir=str(STATE / CLUSTER / "nodes" / "door"))  # fmt: skip
    node = NodeSandbox(spec, machines.switch)
    try:
        await node.start(listen={"door": listener.fileno()})
        for _ in range(2):
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            assert await asyncio.wait_for(reader.read(), 10) == b"on door"
            writer.close()
            await writer.wait_closed()
            await node.power_off()
            await node.power_on()
        text = node.path("/var/log/pybernetes/other.log")
        await until(lambda: text.exists() and text.read_text().endswith("\n\n"), "the other service's log")
        assert "socket:" not in text.read_text()
    finally:
        listener.close()
        await node.remove()


async def test_a_node_that_cannot_start_says_why_and_leaves_nothing(machines: Machines) -> None:
    spec = NodeSpec(cluster=CLUSTER, name="broken", address="not-an-address",
                    state_dir=str(STATE / CLUSTER / "nodes" / "broken"))  # fmt: skip
    node = NodeSandbox(spec, machines.switch)
    with pytest.raises((LocalClusterError, OSError)):
        await node.start()
    assert not node.running
    assert [f for f in leftovers(CLUSTER) if f.endswith("/broken")] == []
    await node.remove()


async def test_a_node_whose_maker_dies_before_the_cable_is_in_ends(machines: Machines) -> None:
    spec = NodeSpec(cluster=CLUSTER, name="orphan", address=node_address(7),
                    state_dir=str(STATE / CLUSTER / "nodes" / "orphan"))  # fmt: skip
    node = NodeSandbox(spec, machines.switch)
    file = _write_spec(spec)
    launcher = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pybernetes.localcluster.init", file, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert launcher.stdout is not None
        assert launcher.stdin is not None
        first = ProcessRef.of(json.loads(await launcher.stdout.readline())["pid"])
        launcher.stdin.close()
        assert await wait_ended(first, 10)
        await launcher.wait()
    finally:
        await node.remove()
    assert [f for f in leftovers(CLUSTER) if f.endswith("/orphan")] == []


def _write_spec(spec: NodeSpec) -> str:
    file = Path(spec.state_dir) / "spec.json"
    file.parent.mkdir(parents=True)
    file.write_bytes(msgspec.json.encode(spec))
    return str(file)


async def test_host_routes_are_tagged_and_go_again() -> None:
    routes = HostRoutes(["192.0.2.128/25"])
    await routes.add()
    try:
        shown = await _run("ip", "route", "show", "proto", "112")
        assert "unreachable 192.0.2.128/25" in shown
    finally:
        await routes.remove()
    assert "192.0.2.128/25" not in await _run("ip", "route", "show", "proto", "112")


async def test_sweep_takes_away_a_cluster_whose_processes_were_all_killed() -> None:
    switch = Switch("test-sweep")
    registry = Registry(switch, STATE / "test-sweep" / "registry")
    spec = NodeSpec(cluster="test-sweep", name="n0", address=node_address(0), files=containerd.node_files(),
                    state_dir=str(STATE / "test-sweep" / "nodes" / "n0"))  # fmt: skip
    node = NodeSandbox(spec, switch)
    try:
        await switch.up()
        await registry.start()
        await node.start()
        kill_and_wait(ProcessRef.of(node.pid), 10)
        switch.close()
        assert leftovers("test-sweep") != []
    finally:
        switch.close()
        await asyncio.to_thread(sweep, "test-sweep", disks=True, state_dir=STATE)
    assert leftovers("test-sweep") == []
    assert not registry.running
    assert not (STATE / "test-sweep").exists()


async def _run(*argv: str) -> str:
    process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    return out.decode()


def _exists(path: str) -> bool:
    return Path(path).exists()


def _namespaces(pid: int) -> list[int]:
    return [Path(f"/proc/{pid}/ns/{kind}").stat().st_ino for kind in ("net", "pid", "mnt")]


def _members(inodes: list[int]) -> dict[str, str]:
    """Processes that live in one of these namespaces, and since when: pids are given again, and so are namespaces' numbers."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if any((entry / "ns" / kind).stat().st_ino in inodes for kind in ("net", "pid", "mnt")):
                    found[entry.name] = _since(entry.name)
            except OSError:
                continue
    return found


def _since(pid: str) -> str:
    """When a process began, in ticks of the kernel; empty where there is none, or it has ended and nobody has asked how."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def _node_pids(node: NodeSandbox) -> list[int]:
    home = Path(f"/proc/{node.pid}/ns/pid").stat().st_ino
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (entry / "ns/pid").stat().st_ino == home:
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def _command_lines(node: NodeSandbox) -> str:
    lines = []
    for pid in _node_pids(node):
        try:
            lines.append(Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return "\n".join(lines)


def _pid(node: NodeSandbox, program: str) -> int | None:
    """Pid of a node's process by its program, in the node's own numbers for containerd, outside ones else."""
    for pid in _node_pids(node):
        try:
            if Path(f"/proc/{pid}/comm").read_text().strip() == program and _parent(pid) == node.pid:
                return _inner(pid) if program == "containerd" else pid
        except OSError:
            continue
    return None


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _inner(pid: int | None) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("NSpid:"):
            return int(line.split()[-1])
    raise ProcessLookupError(pid)
