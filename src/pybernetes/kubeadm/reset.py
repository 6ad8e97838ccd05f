"""kubeadm reset: undoes on this machine what init or join did. What others made (the pod network's files) is left."""

import shutil
import socket
import subprocess
from pathlib import Path

from pybernetes.kubeadm import config as c
from pybernetes.kubeadm import runtime
from pybernetes.kubeadm.checks import KUBELET_PORT, root_check, run_checks
from pybernetes.kubeadm.cluster import wait_for
from pybernetes.kubeadm.commands import Machine
from pybernetes.kubeadm.config import Checks

STOP_SECONDS = 30.0
CONFS = (
    c.ADMIN_CONF,
    c.SUPER_ADMIN_CONF,
    c.KUBELET_CONF,
    c.BOOTSTRAP_CONF,
    c.CONTROLLER_MANAGER_CONF,
    c.SCHEDULER_CONF,
)
_LEFT = """
The reset process does not clean CNI configuration: remove /etc/cni/net.d yourself.
It does not reset or clean up nftables rules or kubeconfig files of users: check $HOME/.kube/config."""


async def reset(machine: Machine, checks: Checks, cri_socket: str) -> None:
    """Stops the services, removes Pods and files. Raises KubeadmError only before anything is changed."""
    paths, say = machine.paths, machine.say
    say("[preflight] Running pre-flight checks")
    run_checks([root_check()], checks, machine.warn)
    folders = [c.MANIFESTS, c.KUBELET_DIR, c.PKI]
    if paths.at(f"{c.MANIFESTS}/kube-apiserver.yaml").exists() or paths.at(c.STORE_PATH).exists():
        folders.append(c.STORE_DIR)
    say("[reset] Stopping the kubelet service")
    paths.at(f"{c.SERVICES}/kubelet.json").unlink(missing_ok=True)
    _empty(machine, c.MANIFESTS)
    await _stopped(machine)
    _remove_pods(machine, cri_socket)
    say(f'[reset] Unmounting mounted directories in "{c.KUBELET_DIR}"')
    if not _unmount(machine, paths.at(c.KUBELET_DIR)):
        folders.remove(c.KUBELET_DIR)  # what is mounted there belongs to somebody else
    say(f"[reset] Deleting contents of directories: [{' '.join(folders)}]")
    for folder in folders:
        _empty(machine, folder)
    say(f"[reset] Deleting files: [{' '.join(CONFS)}]")
    for path in CONFS:
        paths.at(path).unlink(missing_ok=True)
    say(_LEFT)


async def _stopped(machine: Machine) -> None:
    """Waits until the kubelet is gone: it would start its static Pods anew."""
    if not machine.paths.at(c.SERVICES).is_dir():
        machine.warn("[reset] No supervisor was found on this machine. Please ensure that the kubelet is stopped")
        return

    async def quiet() -> bool | None:
        return None if _listening(KUBELET_PORT) else True

    if not await wait_for(machine.clock, STOP_SECONDS, quiet):
        machine.warn(f"[reset] The kubelet still runs after {STOP_SECONDS:.0f}s")


def _listening(port: int) -> bool:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("", port))
        except OSError:
            return True
    return False


def _remove_pods(machine: Machine, cri_socket: str) -> None:
    try:
        count = runtime.remove_pods(cri_socket)
    except runtime.RuntimeFailedError as error:
        machine.warn(f"[reset] Failed to remove containers: {error}")
    else:
        machine.say(f"[reset] Removed {count} Pods of the container runtime")


def _unmount(machine: Machine, folder: Path) -> bool:
    try:
        lines = Path("/proc/mounts").read_text().splitlines()
    except OSError:
        return False
    clean = True
    inside = [line.split()[1].replace("\\040", " ") for line in lines]
    for mount in sorted((m for m in inside if m.startswith(f"{folder}/")), reverse=True):
        done = subprocess.run(["umount", mount], check=False, capture_output=True, text=True, timeout=30)
        if done.returncode != 0:
            clean = False
            machine.warn(f"[reset] Failed to unmount {mount}: {done.stderr.strip()}")
    return clean


def _empty(machine: Machine, path: str) -> None:
    folder = machine.paths.at(path)
    if not folder.is_dir():
        return
    for entry in folder.iterdir():
        try:
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        except OSError as error:
            machine.warn(f"[reset] Failed to delete {entry}: {error.strerror}")
