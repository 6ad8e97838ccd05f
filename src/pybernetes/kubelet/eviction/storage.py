"""Local storage that single Pods may use: limits of emptyDirs, containers and Pods, and how much lies there.

See "Local ephemeral storage". The judgement is pure; `measure` walks folders: call it in a thread.
"""

import os
from pathlib import Path

from pybernetes.api.quantity import BINARY, of_int, parse
from pybernetes.api.types import core_v1
from pybernetes.kubelet.eviction.ranking import PodUsage, Space
from pybernetes.rules.requests import EPHEMERAL_STORAGE, pod_limits

EMPTY_DIR, POD, CONTAINER = "emptydirfs.limit", "ephemeralpodfs.limit", "ephemeralcontainerfs.limit"
"""Signals under which such evictions are counted."""
_BLOCK = 512


def on_disk(volume: core_v1.Volume) -> bool:
    """Whether it is an emptyDir on the node's disk."""
    return volume.emptyDir is not None and volume.emptyDir.medium == ""


def limited(pod: core_v1.Pod) -> bool:
    """Whether anything is limited, so that it must be measured at all."""
    containers = (*pod.spec.containers, *pod.spec.initContainers)
    return any(EPHEMERAL_STORAGE in c.resources.limits for c in containers) or any(
        v.emptyDir is not None and on_disk(v) and v.emptyDir.sizeLimit for v in pod.spec.volumes
    )


def excess(pod: core_v1.Pod, use: PodUsage, *, dedicated: bool) -> tuple[str, str] | None:
    """The signal and message of the first limit that the Pod is over; None while it keeps them all."""
    for volume in pod.spec.volumes:
        limit = parse(volume.emptyDir.sizeLimit) if volume.emptyDir is not None and volume.emptyDir.sizeLimit else None
        used = use.volumes.get(volume.name)
        if limit and used is not None and used.size > limit.value():
            return EMPTY_DIR, f'Usage of EmptyDir volume "{volume.name}" exceeds the limit "{limit}". '
    most = pod_limits(pod).get(EPHEMERAL_STORAGE)
    if most is not None and use.disk().size > most:
        texts = (c.resources.limits.get(EPHEMERAL_STORAGE) for c in (*pod.spec.containers, *pod.spec.initContainers))
        shown = of_int(most, next((parse(text).format for text in texts if text), BINARY))
        return POD, f"Pod ephemeral local storage usage exceeds the total limit of containers {shown}. "
    for container in pod.spec.containers:
        text, one = container.resources.limits.get(EPHEMERAL_STORAGE), use.containers.get(container.name)
        if text is None or one is None or not parse(text):
            continue
        used = one.logs if dedicated else one.logs + one.root
        if used.size > parse(text).value():
            limit = parse(text)
            return CONTAINER, f'Container {container.name} exceeded its local ephemeral storage limit "{limit}". '
    return None


def measure(folder: Path) -> Space:
    """What a folder holds, on its own file system: blocks that are in use, as du(1). What goes meanwhile is left out."""
    try:
        top = os.lstat(folder)
    except OSError:
        return Space()
    size, inodes, linked = top.st_blocks * _BLOCK, 1, set[int]()
    waiting = [os.fspath(folder)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    found = entry.stat(follow_symlinks=False)
                    if found.st_dev != top.st_dev or found.st_ino in linked:
                        continue
                    if found.st_nlink > 1 and not entry.is_dir(follow_symlinks=False):
                        linked.add(found.st_ino)
                    size, inodes = size + found.st_blocks * _BLOCK, inodes + 1
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
        except OSError:
            continue
    return Space(size, inodes)
