"""The managed cluster: `pybernetes up`, `down`, `status`. Everything set, nothing to configure; real or simulated nodes."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
from msgspec import Struct

from pybernetes.aio.clock import Clock
from pybernetes.api.names import dns1123_label
from pybernetes.api.types import core_v1
from pybernetes.assembly.cluster import (
    MASTER,
    ClusterRecord,
    LocalCluster,
    claimed,
    existing,
    join_command,
    node_names,
    together,
    until,
)
from pybernetes.assembly.progress import Progress
from pybernetes.client import kubeconfig
from pybernetes.client.rest import Client
from pybernetes.kernel.processes import ProcessRef, kill, kill_and_wait, wait_ended
from pybernetes.localcluster.errors import LocalClusterError, MissingRequirement
from pybernetes.localcluster.image import Built
from pybernetes.localcluster.sandbox import check_machine
from pybernetes.localcluster.spec import STATE_DIR
from pybernetes.localcluster.switch import MAX_NODES

_START_SECONDS = 30.0
_RECORD = "simulated.json"


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
    """Starts a cluster, or switches on what is off of one; what to do next.

    Raises LocalClusterError; of a new cluster nothing is left then.
    """
    _check(settings)
    folder = folder_of(settings.name, settings.state_dir)
    if not settings.simulated:
        try:
            check_machine(existing(settings.state_dir))
        except MissingRequirement as error:
            text = f"{error}\nwithout root or containerd: pybernetes up --simulated-nodes 3"
            raise MissingRequirement(text) from error
    with claimed(folder):
        known = LocalCluster.open(settings.name, clock, settings.state_dir)
        if _simulated(folder) or (known and known.record.complete and _all_on(known)):
            raise LocalClusterError(
                f"cluster {settings.name!r} is up already: see `pybernetes status`, or `pybernetes down` first"
            )
        whole = known is not None and known.record.complete
        if settings.simulated and whole:
            raise LocalClusterError(f"cluster {settings.name!r} has real nodes, switched off: `pybernetes down` first")
        if not settings.simulated and (folder / _RECORD).exists():
            raise LocalClusterError(f"cluster {settings.name!r} has simulated nodes: `pybernetes down` first")
        if settings.simulated:
            await _up_simulated(settings, folder, progress, clock)
        elif known is not None and whole:
            await _switch_on(known, progress, settings.api_port)
        else:
            await _up_nodes(settings, progress, clock)
    which = "" if settings.name == "local" else f" --name {settings.name}"
    which += "" if settings.state_dir == default_state_dir() else f" --state-dir {settings.state_dir}"
    return (
        f"\ncluster {settings.name} is up ({progress.elapsed:.1f} s). To use it:\n\n"
        f"    export KUBECONFIG={folder / 'admin.conf'}\n    kubectl get nodes\n\n"
        f"and when you are done: pybernetes down{which}"
    )


def folder_of(name: str, state_dir: Path) -> Path:
    """A cluster's folder. Raises LocalClusterError for a name that cannot be one."""
    faults = dns1123_label(name)
    if faults:
        raise LocalClusterError(f"{name!r} cannot be a cluster's name: {faults[0]}")
    return state_dir.absolute() / name


def _check(settings: Settings) -> None:
    if settings.simulated < 0:
        raise LocalClusterError("--simulated-nodes must be at least 1")
    if not settings.simulated and settings.nodes < 1:
        raise LocalClusterError("--nodes must be at least 1")
    if settings.nodes > MAX_NODES:
        raise LocalClusterError(f"--nodes must be at most {MAX_NODES}: the switch has no more addresses")
    if not 0 <= settings.api_port <= 65535:
        raise LocalClusterError("--api-port must be a port, 1 to 65535")


async def _up_nodes(settings: Settings, progress: Progress, clock: Clock) -> None:
    record = ClusterRecord(settings.name, node_names(settings.nodes), settings.api_port)
    cluster = LocalCluster(record, clock, settings.state_dir)
    try:
        await _bring_up(cluster, progress)
    except BaseException:
        with progress.step("not up: taken away again"):
            await asyncio.shield(cluster.down())
        raise
    finally:
        cluster.switch.close()


async def _bring_up(cluster: LocalCluster, progress: Progress) -> None:
    """A new cluster, from bare machines to Ready nodes."""
    await cluster.machines_up(progress)
    with progress.step("kubeadm init"):
        command = join_command((await cluster.init()).out)
    names = cluster.record.nodes
    workers = names[1:]

    async def node(name: str) -> None:
        if name != MASTER:
            await cluster.join(name, command)
        await cluster.install_network_on(name)

    with progress.step(f"kubeadm join of {', '.join(workers)}; pod network" if workers else "pod network"):
        await together(*(node(name) for name in names))
    with progress.step("nodes Ready"):
        await cluster.wait_ready(names)
        if not workers:
            await cluster.untaint_master()
        await cluster.add_storage_class()
    cluster.completed()


async def _switch_on(cluster: LocalCluster, progress: Progress, api_port: int) -> None:
    """A whole cluster, some or all of which is off: its disks are kept, whatever happens."""
    try:
        await cluster.switch_on(progress, api_port)
    finally:
        cluster.switch.close()


def _all_on(cluster: LocalCluster) -> bool:
    return cluster.registry.running and all(node.running for node in cluster.nodes.values())


async def _up_simulated(settings: Settings, folder: Path, progress: Progress, clock: Clock) -> None:
    fresh = not (folder / _RECORD).exists()
    with progress.step(f"control plane and {settings.simulated} simulated nodes (Pods run in the API only)"):
        process = await asyncio.to_thread(_launch_simulated, settings, folder)
        try:
            await _wait_simulated(settings, folder, process, clock)
        except BaseException:
            process.kill()
            process.wait()
            if fresh:
                shutil.rmtree(folder, ignore_errors=True)
            raise


def _launch_simulated(settings: Settings, folder: Path) -> "subprocess.Popen[bytes]":
    """The process that is the cluster; it goes on when this one ends."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "admin.conf").unlink(missing_ok=True)
    command = [sys.executable, "-m", "pybernetes.cmd.pybernetes", "--verbose", "serve", f"--folder={folder}"]
    command += [f"--nodes={settings.simulated}", f"--api-port={settings.api_port}"]
    with (folder / "cluster.log").open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    noted = ProcessRef.of(process.pid)
    (folder / _RECORD).write_bytes(msgspec.json.encode(SimulatedRecord(noted.pid, noted.started)))
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
        record = msgspec.json.decode((folder / _RECORD).read_bytes(), type=SimulatedRecord)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
    process = ProcessRef(record.pid, record.started)
    return process if process.alive() else None


async def down(name: str, state_dir: Path, clock: Clock) -> str:
    """Takes a cluster away. Raises LocalClusterError when there is none."""
    folder = folder_of(name, state_dir)
    with claimed(folder):
        if process := _simulated(folder):
            kill(process, signal.SIGTERM)
            if not await wait_ended(process, 10.0):
                await asyncio.to_thread(kill_and_wait, process, 5.0)
        cluster = LocalCluster.open(name, clock, state_dir)
        if cluster is not None:
            await cluster.down()
        elif (folder / _RECORD).exists():
            await asyncio.to_thread(shutil.rmtree, folder)
        elif folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
        else:
            raise LocalClusterError(f"no cluster {name!r}: nothing to take away")
    return f"cluster {name} is gone"


async def status(name: str, state_dir: Path, clock: Clock) -> tuple[str, bool]:
    """What runs, a line each, and whether all of it does."""
    folder = folder_of(name, state_dir)
    if (folder / _RECORD).exists():
        process = _simulated(folder)
        return (
            (f"cluster {name}: simulated nodes, process {process.pid}", True)
            if process
            else (f"cluster {name}: its process has ended", False)
        )
    cluster = LocalCluster.open(name, clock, state_dir)
    if cluster is None:
        return f"no cluster {name!r}: start one with `pybernetes up`", False
    if not cluster.record.complete:
        return f"cluster {name} is half made: `pybernetes up` begins anew, `pybernetes down` takes it away", False
    lines = [f"cluster {name}: API server at https://127.0.0.1:{cluster.record.api_port}"]
    lines += [
        f"  {node.name:<12}{node.spec.address:<16}{'on' if node.running else 'off'}" for node in cluster.nodes.values()
    ]
    lines.append(f"  {'registry':<28}{'on' if cluster.registry.running else 'off'}")
    if not _all_on(cluster):
        lines.append("`pybernetes up` switches on what is off")
    return "\n".join(lines), _all_on(cluster)


def kubeconfig_of(name: str, state_dir: Path) -> str:
    """The administrator's kubeconfig. Raises LocalClusterError."""
    try:
        return (folder_of(name, state_dir) / "admin.conf").read_text()
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
