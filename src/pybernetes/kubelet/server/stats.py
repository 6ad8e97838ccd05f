"""/stats/summary (stats/v1alpha1 Summary) and /metrics/resource: what the node, its Pods and their containers use."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from pybernetes.aio.clock import rfc3339
from pybernetes.kubelet.cgroups import PodCgroups
from pybernetes.kubelet.cri.model import Container, PodRef
from pybernetes.kubelet.usage import Disk, Usage, read_disk, read_machine_usage

_NANO = 1_000_000_000
_SHORTEST = 1.0
"""Seconds between two samples that give a rate."""


class PodUse(Struct, frozen=True):
    """One running Pod, as it is asked about."""

    ref: PodRef
    group: str
    """Its cgroup."""
    started: str
    containers: tuple[Container, ...]


class Sample(Struct, frozen=True):
    """All figures of one moment. `containers` by id, `pods` by uid."""

    at: float
    node: Usage
    disk: Disk
    pods: dict[str, Usage]
    containers: dict[str, Usage]


class Meter:
    """Takes samples; keeps the last two that are a second apart, so that there is a rate."""

    def __init__(self, cgroups: PodCgroups, root: Path) -> None:
        self._cgroups = cgroups
        self._root = root
        self._before: Sample | None = None
        self._last: Sample | None = None

    def sample(self, pods: Sequence[PodUse], now: float) -> Sample:
        """Reads everything. Blocking."""
        made = Sample(
            at=now,
            node=read_machine_usage(self._cgroups.node_folders()),
            disk=read_disk(self._root),
            pods={pod.ref.uid: self._cgroups.usage(pod.group) for pod in pods},
            containers={run.id: self._cgroups.usage(f"{pod.group}/{run.id}") for pod in pods for run in pod.containers},
        )
        if self._last is None or made.at - self._last.at >= _SHORTEST:
            self._before, self._last = self._last, made
        return made

    def rate(self, made: Sample, kind: str, name: str = "") -> int | None:
        """Nanoseconds of CPU a second, since the sample before; None where there is none."""
        before = self._before
        if before is None or made.at - before.at < _SHORTEST:
            return None
        old, new = _pick(before, kind, name), _pick(made, kind, name)
        if old is None or new is None or old.cpu is None or new.cpu is None:
            return None
        return max(0, round((new.cpu - old.cpu) / (made.at - before.at)))


def _pick(sample: Sample, kind: str, name: str) -> Usage | None:
    if kind == "node":
        return sample.node
    return (sample.pods if kind == "pods" else sample.containers).get(name)


def summary(meter: Meter, sample: Sample, pods: Iterable[PodUse], node: str, started: str) -> dict[str, Any]:
    """The body of /stats/summary."""
    at = rfc3339(sample.at)
    return {
        "node": {
            "nodeName": node,
            "startTime": started,
            **_both(sample.node, meter.rate(sample, "node"), at),
            "fs": _disk(sample.disk, at),
            "runtime": {"imageFs": _disk(sample.disk, at), "containerFs": _disk(sample.disk, at)},
        },
        "pods": [
            {
                "podRef": {"name": pod.ref.name, "namespace": pod.ref.namespace, "uid": pod.ref.uid},
                "startTime": pod.started,
                "containers": [
                    {
                        "name": run.name,
                        "startTime": rfc3339(run.started),
                        **_both(sample.containers[run.id], meter.rate(sample, "containers", run.id), at),
                    }
                    for run in pod.containers
                ],
                **_both(sample.pods[pod.ref.uid], meter.rate(sample, "pods", pod.ref.uid), at),
            }
            for pod in pods
        ],
    }


def _both(usage: Usage, rate: int | None, at: str) -> dict[str, Any]:
    cpu = {"time": at, "usageNanoCores": rate, "usageCoreNanoSeconds": usage.cpu}
    memory = {
        "time": at,
        "usageBytes": usage.memory,
        "workingSetBytes": usage.working_set,
        "rssBytes": usage.rss,
        "pageFaults": usage.faults,
        "majorPageFaults": usage.major_faults,
    }
    return {"cpu": _without_none(cpu), "memory": _without_none(memory)}


def _without_none(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _disk(disk: Disk, at: str) -> dict[str, Any]:
    return {
        "time": at,
        "availableBytes": disk.available,
        "capacityBytes": disk.capacity,
        "usedBytes": disk.used,
        "inodesFree": disk.inodes_free,
        "inodes": disk.inodes,
        "inodesUsed": disk.inodes - disk.inodes_free,
    }


def resource_metrics(sample: Sample, pods: Sequence[PodUse]) -> str:
    """The body of /metrics/resource: Prometheus text, each value with its time."""
    runs = [
        (f'{{container="{run.name}",namespace="{pod.ref.namespace}",pod="{pod.ref.name}"}}', run)
        for pod in pods
        for run in pod.containers
    ]
    of_pods = [(f'{{namespace="{p.ref.namespace}",pod="{p.ref.name}"}}', sample.pods[p.ref.uid]) for p in pods]
    of_runs = [(labels, sample.containers[run.id]) for labels, run in runs]
    starts = [(labels, run.started) for labels, run in runs]
    lines = [
        *_series("container_cpu_usage_seconds_total", "Cumulative cpu time consumed by the container in core-seconds",
                 [(labels, _seconds(u)) for labels, u in of_runs], sample.at),
        *_series("container_memory_working_set_bytes", "Current working set of the container in bytes",
                 [(labels, u.working_set) for labels, u in of_runs], sample.at),
        *_series("container_start_time_seconds", "Start time of the container since unix epoch in seconds",
                 starts, None),
        *_series("node_cpu_usage_seconds_total", "Cumulative cpu time consumed by the node in core-seconds",
                 [("", _seconds(sample.node))], sample.at),
        *_series("node_memory_working_set_bytes", "Current working set of the node in bytes",
                 [("", sample.node.working_set)], sample.at),
        *_series("pod_cpu_usage_seconds_total", "Cumulative cpu time consumed by the pod in core-seconds",
                 [(labels, _seconds(u)) for labels, u in of_pods], sample.at),
        *_series("pod_memory_working_set_bytes", "Current working set of the pod in bytes",
                 [(labels, u.working_set) for labels, u in of_pods], sample.at),
        *_series("resource_scrape_error", "1 if there was an error while getting container metrics, 0 otherwise",
                 [("", 0)], None),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _seconds(usage: Usage) -> float | None:
    return None if usage.cpu is None else usage.cpu / _NANO


def _series(
    name: str, about: str, values: Sequence[tuple[str, float | None]], at: float | None
) -> Iterator[str]:  # fmt: skip
    found = [(labels, value) for labels, value in values if value is not None]
    if not found:
        return
    yield f"# HELP {name} [STABLE] {about}"
    yield f"# TYPE {name} {'counter' if name.endswith('_total') else 'gauge'}"
    stamp = "" if at is None else f" {round(at * 1000)}"
    for labels, value in found:
        yield f"{name}{labels} {value:.15g}{stamp}" if isinstance(value, float) else f"{name}{labels} {value}{stamp}"
