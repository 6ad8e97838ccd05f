"""The managed cluster: `pybernetes up`, `down`, `status`. Everything set, nothing to configure; real or simulated nodes."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
from msgspec import Struct

from pybernetes.aio.clock import Clock
from pybernetes.api.types import core_v1
from pybernetes.assembly.cluster import ClusterRecord, LocalCluster, free_port, join_command, node_names, until
from pybernetes.assembly.progress import Progress
from pybernetes.client import kubeconfig
from pybernetes.client.rest import Client
from pybernetes.kernel.processes import ProcessRef, kill, kill_and_wait, wait_ended
from pybernetes.localcluster.errors import LocalClusterError, MissingRequirement
from pybernetes.localcluster.image import Built
from pybernetes.localcluster.sandbox import check_machine
from pybernetes.localcluster.spec import STATE_DIR

_START_SECONDS = 30.0


class Settings(Struct, frozen=True):
    """What `up` was asked for. `simulated` above 0: that many simulated nodes and no real one."""

    name: str
    state_dir: Path
    nodes: int
    simulated: int
    api_port: int


class SimulatedRecord(Struct, frozen=True):
    """What simulated.json holds: the process that is the cluster."""

    pid: int
    started: int


def default_state_dir() -> Path:
    """Where clusters lie: the machine's state for root, else the user's (XDG_STATE_HOME)."""
    if os.geteuid() == 0:
        return STATE_DIR
    home = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(home) / "pybernetes" / "clusters"


async def up(settings: Settings, progress: Progress, clock: Clock) -> str:
    """Starts a cluster; what to do next. Raises LocalClusterError; nothing is left then."""
    folder = settings.state_dir / settings.name
    if _running(settings.name, settings.state_dir, clock):
        raise LocalClusterError(
            f"cluster {settings.name!r} is up already: see `pybernetes status`, or `pybernetes down` first"
        )
    if settings.simulated:
        await _up_simulated(settings, folder, progress, clock)
    else:
        await _up_nodes(settings, progress, clock)
    return (
        f"\ncluster {settings.name} is up ({progress.elapsed:.1f} s). To use it:\n\n"
        f"    export KUBECONFIG={folder / 'admin.conf'}\n    kubectl get nodes\n\nand when you are done: pybernetes down"
        + (f" --name {settings.name}" if settings.name != "local" else "")
    )


async def _up_nodes(settings: Settings, progress: Progress, clock: Clock) -> None:
    if settings.nodes < 1:
        raise LocalClusterError("--nodes must be at least 1")
    try:
        check_machine(settings.state_dir if settings.state_dir.exists() else Path("/var/lib"))
    except MissingRequirement as error:
        raise MissingRequirement(f"{error}\nwithout root or containerd: pybernetes up --simulated-nodes 3") from error
    record = ClusterRecord(settings.name, node_names(settings.nodes), settings.api_port or free_port())
    cluster = LocalCluster(record, clock, settings.state_dir)
    try:
        await cluster.machines_up(progress)
        with progress.step("kubeadm init"):
            command = join_command((await cluster.init()).out)
        workers = record.nodes[1:]
        if workers:
            with progress.step(f"kubeadm join of {', '.join(workers)}"):
                async with asyncio.TaskGroup() as group:
                    for name in workers:
                        group.create_task(cluster.join(name, command), name=f"join.{name}")
        with progress.step("pod network, nodes Ready"):
            await cluster.install_network()
            await cluster.wait_ready(record.nodes)
            if not workers:
                await cluster.untaint_master()
    except BaseException:
        with progress.step("not up: taken away again"):
            await asyncio.shield(cluster.down())
        raise
    finally:
        cluster.switch.close()


async def _up_simulated(settings: Settings, folder: Path, progress: Progress, clock: Clock) -> None:
    with progress.step(f"control plane and {settings.simulated} simulated nodes (Pods run in the API only)"):
        process = await asyncio.to_thread(_launch_simulated, settings, folder)
        try:
            await _wait_simulated(settings, folder, process, clock)
        except BaseException:
            process.kill()
            process.wait()
            (folder / "simulated.json").unlink(missing_ok=True)
            raise


def _launch_simulated(settings: Settings, folder: Path) -> "subprocess.Popen[bytes]":
    """The process that is the cluster; it goes on when this one ends."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "admin.conf").unlink(missing_ok=True)
    command = [sys.executable, "-m", "pybernetes.cmd.pybernetes", "--verbose", "serve", f"--folder={folder}"]
    command += [f"--nodes={settings.simulated}", f"--api-port={settings.api_port or free_port()}"]
    with (folder / "cluster.log").open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    noted = ProcessRef.of(process.pid)
    (folder / "simulated.json").write_bytes(msgspec.json.encode(SimulatedRecord(noted.pid, noted.started)))
    return process


async def _wait_simulated(settings: Settings, folder: Path, process: "subprocess.Popen[bytes]", clock: Clock) -> None:
    """Until all nodes are Ready."""
    deadline = clock.monotonic() + _START_SECONDS
    while not (folder / "admin.conf").exists():
        if process.poll() is not None or clock.monotonic() > deadline:
            lines = (folder / "cluster.log").read_text(errors="replace").strip().splitlines()
            raise LocalClusterError(f"the control plane did not start: {lines[-1] if lines else 'it said nothing'}")
        await clock.sleep(0.05)
    transport = kubeconfig.transport_of(kubeconfig.load(folder / "admin.conf"))
    try:
        client = Client(transport, clock=clock, user_agent="pybernetes")
        await until(client, core_v1.Node, lambda nodes: len(nodes) == settings.simulated, "simulated nodes registered")
    finally:
        await transport.aclose()


def _simulated(folder: Path) -> ProcessRef | None:
    try:
        record = msgspec.json.decode((folder / "simulated.json").read_bytes(), type=SimulatedRecord)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
    process = ProcessRef(record.pid, record.started)
    return process if process.alive() else None


def _running(name: str, state_dir: Path, clock: Clock) -> bool:
    if _simulated(state_dir / name):
        return True
    cluster = LocalCluster.open(name, clock, state_dir)
    return cluster is not None and any(node.running for node in cluster.nodes.values())


async def down(name: str, state_dir: Path, clock: Clock) -> str:
    """Takes a cluster away. Raises LocalClusterError when there is none."""
    folder = state_dir / name
    if process := _simulated(folder):
        kill(process, signal.SIGTERM)
        if not await wait_ended(process, 10.0):
            await asyncio.to_thread(kill_and_wait, process, 5.0)
    cluster = LocalCluster.open(name, clock, state_dir)
    if cluster is not None:
        await cluster.down()
    elif not folder.exists():
        raise LocalClusterError(f"no cluster {name!r}: nothing to take away")
    import shutil

    await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
    return f"cluster {name} is gone"


async def status(name: str, state_dir: Path, clock: Clock) -> tuple[str, bool]:
    """What runs, a line each, and whether all of it does."""
    folder = state_dir / name
    if (folder / "simulated.json").exists():
        process = _simulated(folder)
        return (
            (f"cluster {name}: simulated nodes, process {process.pid}", True)
            if process
            else (f"cluster {name}: its process has ended", False)
        )
    cluster = LocalCluster.open(name, clock, state_dir)
    if cluster is None:
        return f"no cluster {name!r}: start one with `pybernetes up`", False
    lines = [f"cluster {name}: API server at https://127.0.0.1:{cluster.record.api_port}"]
    lines += [
        f"  {node.name:<12}{node.spec.address:<16}{'on' if node.running else 'off'}" for node in cluster.nodes.values()
    ]
    lines.append(f"  {'registry':<28}{'on' if cluster.registry.running else 'off'}")
    return "\n".join(lines), all(node.running for node in cluster.nodes.values()) and cluster.registry.running


def kubeconfig_of(name: str, state_dir: Path) -> str:
    """The administrator's kubeconfig. Raises LocalClusterError."""
    try:
        return (state_dir / name / "admin.conf").read_text()
    except OSError as error:
        raise LocalClusterError(f"no cluster {name!r}: start one with `pybernetes up`") from error


async def push(built: Built, name: str, state_dir: Path, clock: Clock) -> str:
    """Pushes an image to a cluster's registry; its digest. Raises LocalClusterError."""
    cluster = LocalCluster.open(name, clock, state_dir)
    if cluster is None:
        raise LocalClusterError(f"no cluster {name!r} with a registry: start one with `pybernetes up`")
    try:
        return await cluster.push(built)
    finally:
        cluster.switch.close()
