"""The body of GET /stats/summary (stats/v1alpha1 Summary) from samples. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from pybernetes.aio.clock import rfc3339
from pybernetes.kubelet.cri.model import Container
from pybernetes.kubelet.eviction.ranking import Space
from pybernetes.kubelet.server.disk_meter import DiskSample, VolumeUse
from pybernetes.kubelet.server.meter import PodUse, Sample
from pybernetes.kubelet.usage import Disk, Interface, Usage


def summary(name: str, started: str, sample: Sample, disks: DiskSample | None) -> dict[str, Any]:
    """Of the node `name`, whose kubelet began at `started`. Without `disks` only what is cheap: CPU and memory."""
    at = rfc3339(sample.at)
    node = {
        "nodeName": name,
        "systemContainers": [
            {"name": one, "startTime": started, **_both(usage, sample.rates.get(one), at)}
            for one, usage in sample.system.items()
            if usage.cpu is not None
        ],
        "startTime": started,
        **_both(sample.node, sample.rates.get("node"), at),
        "swap": _swap(sample.node, at, sample.swap_capacity),
    }
    if disks is not None:
        own = rfc3339(disks.at)
        most, now = sample.processes
        node |= {
            "network": _network(sample.network, sample.default_interface, at),
            "fs": _disk(disks.node, own),
            "runtime": {"imageFs": _disk(disks.images, own), "containerFs": _disk(disks.images, own)},
            "rlimit": {"time": at, "maxpid": most, "curproc": now},
        }
    return {"node": node, "pods": [_pod(use, sample, disks, at) for use in sample.uses]}


def _pod(use: PodUse, sample: Sample, disks: DiskSample | None, at: str) -> dict[str, Any]:
    uid = use.ref.uid
    usage = sample.pods[uid]
    found: dict[str, Any] = {
        "podRef": {"name": use.ref.name, "namespace": use.ref.namespace, "uid": uid},
        "startTime": use.pod.status.startTime,
        "containers": [_container(run, sample, disks, at) for run in use.containers],
        **_both(usage, sample.rates.get(uid), at),
        "swap": _swap(usage, at),
    }
    if disks is not None:
        network = sample.networks.get(uid, ())
        if network:
            found["network"] = _network(network, "eth0", at)
        volumes = disks.volumes.get(uid, ())
        if volumes:
            found["volume"] = [_volume(volume, use.ref.namespace, rfc3339(disks.volumes_at)) for volume in volumes]
        found["ephemeral-storage"] = _space(_ephemeral(use, disks, volumes), disks.node, rfc3339(disks.at))
        if usage.processes is not None:
            found["process_stats"] = {"process_count": usage.processes}
    return found


def _container(run: Container, sample: Sample, disks: DiskSample | None, at: str) -> dict[str, Any]:
    usage = sample.containers[run.id]
    found: dict[str, Any] = {
        "name": run.name,
        "startTime": rfc3339(run.started),
        **_both(usage, sample.rates.get(run.id), at),
        "swap": _swap(usage, at),
    }
    if disks is not None:
        own, layer = rfc3339(disks.at), disks.layers.get(run.id)
        if layer is not None:
            found["rootfs"] = _space(Space(layer.size, layer.inodes), disks.images, own)
        if run.id in disks.logs:
            found["logs"] = _space(disks.logs[run.id], disks.node, own)
    return found


def _ephemeral(use: PodUse, disks: DiskSample, volumes: Sequence[VolumeUse]) -> Space:
    """What goes with the Pod and lies on the node's disk."""
    total = Space()
    for run in use.containers:
        layer = disks.layers.get(run.id)
        total += disks.logs.get(run.id, Space()) + (Space(layer.size, layer.inodes) if layer else Space())
    return sum((volume.used for volume in volumes if volume.local and not volume.claim), total)


def _volume(volume: VolumeUse, namespace: str, at: str) -> dict[str, Any]:
    found = {**_space(volume.used, volume.disk, at), "name": volume.name}
    if volume.claim:
        found["pvcRef"] = {"name": volume.claim, "namespace": namespace}
    return found


def _both(usage: Usage, rate: int | None, at: str) -> dict[str, Any]:
    cpu = {"time": at, "usageNanoCores": rate, "usageCoreNanoSeconds": usage.cpu}
    free = None if usage.limit is None or usage.working_set is None else max(0, usage.limit - usage.working_set)
    memory = {
        "time": at,
        "availableBytes": free,
        "usageBytes": usage.memory,
        "workingSetBytes": usage.working_set,
        "rssBytes": usage.rss,
        "pageFaults": usage.faults,
        "majorPageFaults": usage.major_faults,
    }
    return {"cpu": _known(cpu), "memory": _known(memory)}


def _swap(usage: Usage, at: str, capacity: int | None = None) -> dict[str, Any]:
    used = usage.swap or 0
    free = None if capacity is None else max(0, capacity - used)
    return _known({"time": at, "swapAvailableBytes": free, "swapUsageBytes": used})


def _known(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _network(interfaces: Sequence[Interface], default: str, at: str) -> dict[str, Any]:
    shown = [
        {
            "name": one.name,
            "rxBytes": one.rx_bytes,
            "rxErrors": one.rx_errors,
            "txBytes": one.tx_bytes,
            "txErrors": one.tx_errors,
        }
        for one in interfaces
    ]
    main: dict[str, Any] = next((one for one in shown if one["name"] == default), shown[0] if shown else {})
    return {"time": at, **main, "interfaces": shown}


def _disk(disk: Disk, at: str) -> dict[str, Any]:
    return _space(Space(disk.used, disk.inodes - disk.inodes_free), disk, at)


def _space(used: Space, disk: Disk, at: str) -> dict[str, Any]:
    return {
        "time": at,
        "availableBytes": disk.available,
        "capacityBytes": disk.capacity,
        "usedBytes": used.size,
        "inodesFree": disk.inodes_free,
        "inodes": disk.inodes,
        "inodesUsed": used.inodes,
    }
