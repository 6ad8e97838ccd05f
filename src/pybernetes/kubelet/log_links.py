"""/var/log/containers: a link to each container's log, named after Pod, namespace, container and id.

Collectors of logs read that folder. executor.py makes a link when a container has started; kubelet.py sweeps dead ones.
"""

import shutil
from pathlib import Path

from pybernetes.api.types import core_v1

_LONGEST_NAME = 255
_SUFFIX = ".log"


def link_of(folder: Path, pod: core_v1.Pod, container: str, id: str) -> Path:
    """Where the link of one run is."""
    name = f"{pod.metadata.name}_{pod.metadata.namespace}_{container}-{id}"
    return folder / (name[: _LONGEST_NAME - len(_SUFFIX)] + _SUFFIX)


def make_link(link: Path, log: Path) -> None:
    """Points `link` to a run's log. Blocking. Raises OSError."""
    link.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(log)


def remove_run(folder: Path, log: Path, id: str) -> None:
    """Removes a run's log, what rotation made of it, and its link. Blocking. Raises OSError."""
    for file in (*log.parent.glob(f"{log.name}*"), *folder.glob(f"*-{id}{_SUFFIX}")):
        file.unlink(missing_ok=True)


def remove_dead(folder: Path) -> None:
    """Removes links to logs that are gone. Blocking. Raises OSError."""
    for link in folder.glob(f"*{_SUFFIX}"):
        if link.is_symlink() and not link.exists():
            link.unlink(missing_ok=True)


def remove_logs(logs: Path, uid: str) -> None:
    """Removes the folder of a Pod's logs. Raises OSError."""
    for folder in logs.glob(f"*_{uid}"):
        shutil.rmtree(folder)
