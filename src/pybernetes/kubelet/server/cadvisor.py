"""More rows of /metrics/cadvisor: throttling, OOM kills, disk operations and limits of each group. Pure; see exposition.py."""

from collections.abc import Callable, Iterator, Mapping

from pybernetes.kubelet.cgroup_details import Details, DeviceIo, name_of
from pybernetes.kubelet.server.exposition import Values, family, rows
from pybernetes.kubelet.server.meter import Sample
from pybernetes.kubelet.usage import Usage
from pybernetes.wire.metrics import labelled

_NANO = 1_000_000_000
_Row = tuple[str, Usage, Details]


def groups(sample: Sample) -> list[str]:
    """The groups that are shown."""
    return [
        "/",
        *(path for use in sample.uses for path in (use.group, *(f"{use.group}/{run.id}" for run in use.containers))),
    ]


def detail_metrics(sample: Sample, details: Mapping[str, Details], disk: str) -> Iterator[str]:
    """`details` by group; `disk` is the device (`8:0`) that containers write to, also where they have not yet."""
    shown: list[_Row] = [
        (labels, usage, details.get(path, Details()))
        for path, (labels, usage, _) in zip(groups(sample), rows(sample), strict=True)
    ]

    def values(field: Callable[[Details], float | None]) -> Values:
        return [(labels, field(found)) for labels, _, found in shown]

    at = sample.at
    for name, about, kind, each in (
        ("container_cpu_user_seconds_total", "Cumulative user cpu time consumed in seconds.", "counter",
         values(lambda d: _seconds(d.user))),
        ("container_cpu_system_seconds_total", "Cumulative system cpu time consumed in seconds.", "counter",
         values(lambda d: _seconds(d.system))),
        ("container_cpu_cfs_periods_total", "Number of elapsed enforcement period intervals.", "counter",
         values(lambda d: d.periods)),
        ("container_cpu_cfs_throttled_periods_total", "Number of throttled period intervals.", "counter",
         values(lambda d: d.throttled)),
        ("container_cpu_cfs_throttled_seconds_total", "Total time duration the container has been throttled.", "counter",
         values(lambda d: _seconds(d.throttled_time))),
        ("container_memory_max_usage_bytes", "Maximum memory usage recorded in bytes", "gauge",
         values(lambda d: d.most_memory)),
        ("container_memory_failcnt", "Number of memory usage hits limits", "counter", values(lambda d: d.failures)),
        ("container_memory_mapped_file", "Size of memory mapped files in bytes.", "gauge", values(lambda d: d.mapped)),
        ("container_oom_events_total", "Count of out of memory events observed for the container", "counter",
         values(lambda d: d.oom_kills)),
        ("container_threads", "Number of threads running inside the container", "gauge",
         [(labels, usage.processes) for labels, usage, _ in shown]),
        ("container_threads_max", "Maximum number of threads allowed inside the container, infinity if value is zero",
         "gauge", [(labels, found.threads_max or 0) for labels, _, found in shown]),
        ("container_spec_cpu_period", "CPU period of the container.", "gauge", values(lambda d: d.period)),
        ("container_spec_cpu_quota", "CPU quota of the container.", "gauge", values(lambda d: d.quota)),
        ("container_spec_cpu_shares", "CPU share of the container.", "gauge", values(lambda d: d.shares)),
        ("container_spec_memory_reservation_limit_bytes", "Memory reservation limit for the container.", "gauge",
         values(lambda d: d.reservation)),
        ("container_spec_memory_swap_limit_bytes", "Memory swap limit for the container.", "gauge",
         values(lambda d: d.swap_limit)),
        ("container_memory_failures_total", "Cumulative count of memory allocation failures.", "counter",
         [(f"{labels},failure_type=\"{fault}\",scope=\"hierarchy\"", count) for labels, usage, _ in shown
          for fault, count in (("pgfault", usage.faults), ("pgmajfault", usage.major_faults))]),
    ):  # fmt: skip
        yield from family(name, about, kind, each, at)
    yield from _processes(shown, at)
    yield from _disks(shown, disk, at)
    about = "Amount of swap memory available on the machine."
    yield from family("machine_swap_bytes", about, "gauge", [("", sample.swap_capacity)], None)


def _processes(shown: list[_Row], at: float) -> Iterator[str]:
    """Of groups that have processes themselves: containers."""
    for name, about, values in (
        ("container_processes", "Number of processes running inside the container.",
         [(labels, found.own_processes) for labels, _, found in shown]),
        ("container_file_descriptors", "Number of open file descriptors for the container.",
         [(labels, found.descriptors) for labels, _, found in shown]),
        ("container_sockets", "Number of open sockets for the container.",
         [(labels, found.sockets) for labels, _, found in shown]),
        ("container_ulimits_soft", "Soft ulimit values for the container root process. Unlimited if -1, except priority"
         " and nice", [(f'{labels},ulimit="max_open_files"', found.open_files) for labels, _, found in shown]),
    ):  # fmt: skip
        yield from family(name, about, "gauge", values, at)


def _disks(shown: list[_Row], disk: str, at: float) -> Iterator[str]:
    rows = [(labels, io) for labels, _, found in shown for io in found.io or (DeviceIo(disk),)]

    def each(field: Callable[[DeviceIo], int]) -> Values:
        return [(f"{labels},{labelled(('device',), (name_of(io.device),))}", field(io)) for labels, io in rows]

    for name, about, values in (
        ("container_fs_reads_bytes_total", "Cumulative count of bytes read", each(lambda io: io.read_bytes)),
        ("container_fs_reads_total", "Cumulative count of reads completed", each(lambda io: io.reads)),
        ("container_fs_writes_bytes_total", "Cumulative count of bytes written", each(lambda io: io.written_bytes)),
        ("container_fs_writes_total", "Cumulative count of writes completed", each(lambda io: io.writes)),
    ):
        yield from family(name, about, "counter", values, at)
    names = ("device", "major", "minor", "operation")
    used = [
        (f"{labels},{labelled(names, (name_of(io.device), *io.device.split(':'), way))}", size)
        for labels, io in rows
        for way, size in (("Read", io.read_bytes), ("Write", io.written_bytes))
    ]
    yield from family("container_blkio_device_usage_total", "Blkio Device bytes usage", "counter", used, at)


def _seconds(nanos: int | None) -> float | None:
    return None if nanos is None else nanos / _NANO
