"""/metrics/resource and /metrics/cadvisor from samples, in Prometheus' text format and under upstream's names. Pure."""

from collections.abc import Iterable, Iterator, Sequence

from pybernetes.kubelet.cri.model import Container
from pybernetes.kubelet.server.disk_meter import DiskSample
from pybernetes.kubelet.server.meter import PodUse, Sample
from pybernetes.kubelet.usage import Interface, Usage
from pybernetes.wire.metrics import head, labelled, series

_NANO = 1_000_000_000
_CADVISOR = ("container", "id", "image", "name", "namespace", "pod")
Values = Iterable[tuple[str, float | None]]
"""Labels, and what there is; None where nothing is known."""


def resource_metrics(sample: Sample) -> Iterator[str]:
    """/metrics/resource: what autoscaling and `kubectl top` read; each value with its time."""
    runs = [(_run_labels(use, run), sample.containers[run.id], run) for use in sample.uses for run in use.containers]
    pods = [(labelled(("namespace", "pod"), (use.ref.namespace, use.ref.name)), sample.pods[use.ref.uid])
            for use in sample.uses]  # fmt: skip
    at = sample.at
    for name, about, usages in (
        ("container", "container", [(labels, usage) for labels, usage, _ in runs]),
        ("node", "node", [("", sample.node)]),
        ("pod", "pod", pods),
    ):
        yield from family(f"{name}_cpu_usage_seconds_total", f"[STABLE] Cumulative cpu time consumed by the {about} in"
                           " core-seconds", "counter", [(labels, _seconds(u)) for labels, u in usages], at)  # fmt: skip
        yield from family(f"{name}_memory_working_set_bytes", f"[STABLE] Current working set of the {about} in bytes",
                           "gauge", [(labels, u.working_set) for labels, u in usages], at)  # fmt: skip
        yield from family(f"{name}_swap_usage_bytes", f"[ALPHA] Current swap usage of the {about} in bytes", "gauge",
                           [(labels, u.swap or 0) for labels, u in usages], at)  # fmt: skip
    yield from family(
        "container_start_time_seconds",
        "[STABLE] Start time of the container since unix epoch in seconds",
        "gauge",
        [(labels, run.started) for labels, _, run in runs],
        None,
    )
    yield from scrape_errors(0)


def scrape_errors(failed: int) -> Iterator[str]:
    """The end of /metrics/resource; all of it where nothing could be read."""
    text = "1 if there was an error while getting container metrics, 0 otherwise"
    yield from family("resource_scrape_error", f"[STABLE] {text}", "gauge", [("", failed)], None)


def cadvisor_metrics(sample: Sample, disks: DiskSample | None, cpus: int, memory: int) -> Iterator[str]:
    """/metrics/cadvisor: the essentials. A Pod's own rows have an empty container, the node's are those of `/`."""
    shown = [*rows(sample)]
    at = sample.at
    for name, about, kind, values in (
        ("container_cpu_usage_seconds_total", "Cumulative cpu time consumed in seconds.", "counter",
         [(f'{labels},cpu="total"', _seconds(u)) for labels, u, _ in shown]),
        ("container_memory_working_set_bytes", "Current working set in bytes.", "gauge",
         [(labels, u.working_set) for labels, u, _ in shown]),
        ("container_memory_usage_bytes", "Current memory usage in bytes, including all memory regardless of when it was"
         " accessed", "gauge", [(labels, u.memory) for labels, u, _ in shown]),
        ("container_memory_rss", "Size of RSS in bytes.", "gauge", [(labels, u.rss) for labels, u, _ in shown]),
        ("container_memory_cache", "Number of bytes of page cache memory.", "gauge",
         [(labels, u.cache) for labels, u, _ in shown]),
        ("container_memory_swap", "Container swap usage in bytes.", "gauge",
         [(labels, u.swap) for labels, u, _ in shown]),
        ("container_spec_memory_limit_bytes", "Memory limit for the container.", "gauge",
         [(labels, u.limit or 0) for labels, u, run in shown if run is not None]),
        ("container_start_time_seconds", "Start time of the container since unix epoch in seconds.", "gauge",
         [(labels, run.started) for labels, _, run in shown if run is not None]),
        ("container_last_seen", "Last time a container was seen by the exporter", "gauge",
         [(labels, at) for labels, _, _ in shown]),
    ):  # fmt: skip
        yield from family(name, about, kind, values, at)
    yield from _networks(sample)
    if disks is not None:
        yield from _file_systems(sample, disks)
    yield from family("machine_cpu_cores", "Number of logical CPU cores.", "gauge", [("", cpus)], None)
    yield from family("machine_memory_bytes", "Amount of memory installed on the machine.", "gauge", [("", memory)],
                       None)  # fmt: skip
    yield from family("container_scrape_error", "1 if there was an error while getting container metrics, 0 otherwise",
                       "gauge", [("", 0)], None)  # fmt: skip


def volume_metrics(disks: DiskSample, uses: Sequence[PodUse]) -> Iterator[str]:
    """kubelet_volume_stats_*: of PersistentVolumeClaims, once each."""
    found = {}
    for use in uses:
        for volume in disks.volumes.get(use.ref.uid, ()):
            if volume.claim:
                labels = labelled(("namespace", "persistentvolumeclaim"), (use.ref.namespace, volume.claim))
                found[labels] = volume
    for name, about, values in (
        ("available_bytes", "Number of available bytes in the volume", {k: v.disk.available for k, v in found.items()}),
        ("capacity_bytes", "Capacity in bytes of the volume", {k: v.disk.capacity for k, v in found.items()}),
        ("inodes", "Maximum number of inodes in the volume", {k: v.disk.inodes for k, v in found.items()}),
        ("inodes_free", "Number of free inodes in the volume", {k: v.disk.inodes_free for k, v in found.items()}),
        ("inodes_used", "Number of used inodes in the volume", {k: v.used.inodes for k, v in found.items()}),
        ("used_bytes", "Number of used bytes in the volume", {k: v.used.size for k, v in found.items()}),
    ):
        yield from family(f"kubelet_volume_stats_{name}", f"[ALPHA] {about}", "gauge", values.items(), None)


def rows(sample: Sample) -> Iterator[tuple[str, Usage, Container | None]]:
    """Labels, usage and container of the node, and of each Pod and its containers."""
    yield _labels("", "/", "", "", "", ""), sample.node, None
    for use in sample.uses:
        ref = use.ref
        yield _labels("", use.group, "", "", ref.namespace, ref.name), sample.pods[ref.uid], None
        for run in use.containers:
            labels = _labels(run.name, f"{use.group}/{run.id}", run.image, run.id, ref.namespace, ref.name)
            yield labels, sample.containers[run.id], run


def _labels(*values: str) -> str:
    return labelled(_CADVISOR, values)


def _networks(sample: Sample) -> Iterator[str]:
    rows: list[tuple[str, Interface]] = []
    for use in sample.uses:
        labels = _labels("", use.group, "", "", use.ref.namespace, use.ref.name)
        for one in sample.networks.get(use.ref.uid, ()):
            rows.append((f"{labels},{labelled(('interface',), (one.name,))}", one))
    node = _labels("", "/", "", "", "", "")
    rows += [(f"{node},{labelled(('interface',), (one.name,))}", one) for one in sample.network]
    for way, word in (("rx", "receive"), ("tx", "transmit")):
        for what, text in (
            ("bytes", "bytes"),
            ("packets", "packets"),
            ("errors", "errors"),
            ("dropped", "packets_dropped"),
        ):
            values = [(labels, float(getattr(one, f"{way}_{what}"))) for labels, one in rows]
            about = f"Cumulative count of {text.replace('_', ' ')} {'received' if way == 'rx' else 'transmitted'}"
            yield from family(f"container_network_{word}_{text}_total", about, "counter", values, sample.at)


def _file_systems(sample: Sample, disks: DiskSample) -> Iterator[str]:
    node = _labels("", "/", "", "", "", "")
    used: list[tuple[str, float | None]] = [(node, disks.node.used)]
    limit: list[tuple[str, float | None]] = [(node, disks.node.capacity)]
    for labels, _, run in rows(sample):
        layer = disks.layers.get(run.id) if run is not None else None
        if layer is not None:
            used.append((labels, layer.size))
            limit.append((labels, disks.images.capacity))
    about = "Number of bytes that {} by the container on this filesystem."
    yield from family("container_fs_usage_bytes", about.format("are consumed"), "gauge", used, disks.at)
    yield from family("container_fs_limit_bytes", about.format("can be consumed"), "gauge", limit, disks.at)


def _run_labels(use: PodUse, run: Container) -> str:
    return labelled(("container", "namespace", "pod"), (run.name, use.ref.namespace, use.ref.name))


def _seconds(usage: Usage) -> float | None:
    return None if usage.cpu is None else usage.cpu / _NANO


def family(name: str, about: str, kind: str, values: Values, at: float | None) -> Iterator[str]:
    """A family of series, with their time where `at` is one; nothing where nothing is known."""
    found = [(labels, value) for labels, value in values if value is not None]
    if found:
        yield from head(name, about, kind)
        for labels, value in found:
            yield series(name, labels, value, at)
