"""Takes away what a dead cluster left on the machine: processes, control groups, the switch, routes.

Works from the names alone (pyb-<cluster>), so it helps after a kill -9 of everything. Disks stay unless asked.
"""

import logging
import shutil
from contextlib import suppress
from pathlib import Path

from pybernetes.kernel.cgroups import Cgroup, hierarchies
from pybernetes.kernel.namespaces import NETNS_DIR, namespace_id, unpin_netns
from pybernetes.kernel.processes import ProcessRef, kill_and_wait
from pybernetes.localcluster.errors import LocalClusterError
from pybernetes.localcluster.spec import STATE_DIR, cluster_label
from pybernetes.localcluster.switch import our_routes, sweep_routes

log = logging.getLogger(__name__)

_PREFIX = cluster_label("")


def sweep(cluster: str, *, disks: bool = False, state_dir: Path = STATE_DIR) -> None:
    """Removes everything of this cluster from the machine; with `disks` its folder too. Blocking.

    Routes go with the last cluster. Raises LocalClusterError where a process does not end.
    """
    label = cluster_label(cluster)
    group = Cgroup(label)
    clean = group.kill()
    _kill_in_netns(NETNS_DIR / label)
    if not clean or not group.remove():
        raise LocalClusterError(f"processes of cluster {cluster!r} do not end; see /sys/fs/cgroup/*/{label}")
    unpin_netns(label)
    if not clusters():
        sweep_routes()
    if disks:
        shutil.rmtree(state_dir / cluster, ignore_errors=True)
        for folder in (state_dir, STATE_DIR.parent):
            with suppress(OSError):  # not empty: another cluster's disks
                folder.rmdir()


def clusters() -> set[str]:
    """Names of the clusters that have something on this machine now, alive or left over."""
    found = {p.name for p in NETNS_DIR.glob(f"{_PREFIX}*")} if NETNS_DIR.is_dir() else set()
    for hierarchy in hierarchies():
        found |= {p.name for p in hierarchy.root.glob(f"{_PREFIX}*")}
    return {name.removeprefix(_PREFIX) for name in found}


def leftovers(cluster: str) -> list[str]:
    """What is left of a cluster on the machine, disks aside: paths and, without any cluster, routes. Empty after
    sweep()."""
    label = cluster_label(cluster)
    places = [NETNS_DIR / label, *Cgroup(label).folders()]
    found = [str(place) for place in places if place.exists()]
    return found if clusters() else [*found, *(f"route {destination}" for destination in our_routes())]


def _kill_in_netns(path: Path) -> None:
    if not path.exists():
        return
    wanted = namespace_id(path)
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if namespace_id(entry / "ns/net") == wanted:
                kill_and_wait(ProcessRef.of(int(entry.name)), 10.0)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
