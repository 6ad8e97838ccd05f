"""Figures: what the kubelet tells of itself, its node and its Pods in numbers: /metrics and its like, /stats/summary.

meter.py and disk_meter.py sample; summary.py and exposition.py write; kubelet/metrics.py has what is counted.
"""

import asyncio
import os
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pybernetes.aio.clock import Clock, rfc3339
from pybernetes.api import facts
from pybernetes.api.errors import NotFound
from pybernetes.kubelet import metrics
from pybernetes.kubelet import pod_machine as machine
from pybernetes.kubelet.cgroup_details import Details, device_of
from pybernetes.kubelet.cgroups import PodCgroups
from pybernetes.kubelet.cri.model import Runtime
from pybernetes.kubelet.server.cadvisor import detail_metrics, groups
from pybernetes.kubelet.server.disk_meter import DiskMeter
from pybernetes.kubelet.server.exposition import cadvisor_metrics, resource_metrics, scrape_errors, volume_metrics
from pybernetes.kubelet.server.meter import Meter, PodUse, Sample
from pybernetes.kubelet.server.summary import summary
from pybernetes.kubelet.settings import Settings
from pybernetes.kubelet.worker import PodWorker
from pybernetes.wire.http import Headers, Response
from pybernetes.wire.metrics import MEDIA_TYPE, head, labelled, process_lines, series, text


class Figures:
    """Answers for the API. `workers` are those of the node's Pods, `uses` tells which run."""

    def __init__(
        self,
        settings: Settings,
        runtime: Runtime,
        cgroups: PodCgroups,
        uses: Callable[[], Sequence[PodUse]],
        workers: Callable[[], Sequence[PodWorker]],
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._workers = workers
        self.volumes: Callable[[], Mapping[tuple[str, str], int]] = dict
        """How many there are by plugin and state."""
        self._began = clock.now()
        self._cgroups = cgroups
        self._meter = Meter(cgroups, uses, clock, runtime.pid)
        self._disks = DiskMeter(settings, runtime, uses, clock)

    async def run(self) -> None:
        """Walks through volumes while somebody asks, until cancelled."""
        await self._disks.run()

    async def summary(self, *, only_cpu_and_memory: bool = False) -> dict[str, Any]:
        """/stats/summary."""
        sample = await self._meter.sample()
        disks = None if only_cpu_and_memory else await self._disks.sample(sample.uses)
        return summary(self._settings.node_name, rfc3339(self._began), sample, disks)

    async def metrics(self, page: str) -> Response:
        """/metrics, or the page below it. Raises NotFound."""
        if page == "":
            lines = await self._own()
        elif page == "resource":
            lines = await self._resource()
        elif page == "cadvisor":
            sample = await self._meter.sample()
            disks = await self._disks.sample(sample.uses)
            details = await asyncio.to_thread(self._details, sample)
            lines = [
                *cadvisor_metrics(sample, disks, os.cpu_count() or 1, self._settings.memory),
                *detail_metrics(sample, details, await asyncio.to_thread(device_of, self._settings.root)),
            ]
        elif page == "probes":
            lines = [*head("process_start_time_seconds", "Start time of the process since unix epoch in seconds.", "gauge"),
                     series("process_start_time_seconds", "", self._began)]  # fmt: skip
            return _exposition(text(metrics.OF_PROBES, lines))
        else:
            raise NotFound("404 page not found\n")
        return _exposition("\n".join([*lines, ""]))

    def _details(self, sample: Sample) -> dict[str, Details]:
        return {path: self._cgroups.details(path) for path in groups(sample)}

    async def _resource(self) -> list[str]:
        try:
            sample = await self._meter.sample()
        except OSError:
            return [*scrape_errors(1)]
        return [*resource_metrics(sample)]

    async def _own(self) -> list[str]:
        sample = await self._meter.sample()
        disks = await self._disks.sample(sample.uses)
        counted = [line for family in metrics.ALL for line in family.lines()]
        process = await asyncio.to_thread(lambda: [*process_lines(self._began)])
        return [*counted, *self._node(sample), *volume_metrics(disks, sample.uses), *process]

    def _node(self, sample: Sample) -> Iterator[str]:
        """What is looked up when it is asked for."""
        workers = self._workers()
        sandboxes = [w for w in workers if machine.current_sandbox(w.observed) is not None]
        states: dict[str, int] = {}
        for worker in workers:
            for run in worker.observed.containers:
                states[run.state.name.lower()] = states.get(run.state.name.lower(), 0) + 1
        release = f"v{facts.RELEASE}.0"
        major, minor = facts.RELEASE.split(".")
        for name, about, values in (
            ("kubelet_node_name", "[ALPHA] The node's name. The count is always 1.",
             {labelled(("node",), (self._settings.node_name,)): 1}),
            ("kubelet_running_pods", "[BETA] Number of pods that have a running pod sandbox", {"": len(sandboxes)}),
            ("kubelet_running_containers", "[BETA] Number of containers currently running",
             {labelled(("container_state",), (state,)): count for state, count in sorted(states.items())}),
            ("kubelet_active_pods", "[ALPHA] The number of pods the kubelet considers active and which are being"
             " considered when admitting new pods.", {"": len([w for w in workers if w.pod is not None])}),
            ("kubelet_desired_pods", "[ALPHA] The number of pods the kubelet is being instructed to run. static is true if"
             " the pod is not from the apiserver.", _by_source(w for w in workers if w.pod is not None)),
            ("volume_manager_total_volumes", "[ALPHA] Number of volumes in Volume Manager",
             {labelled(("plugin_name", "state"), named): count for named, count in sorted(self.volumes().items())}),
            ("kubernetes_build_info", "[BETA] A metric with a constant '1' value, labelled by what was built.",
             {labelled(("git_version", "major", "minor", "platform"),
                       (release, major, minor, f"linux/{platform.machine()}")): 1}),
        ):  # fmt: skip
            if values:
                yield from head(name, about, "gauge")
                for labels, value in values.items():
                    yield series(name, labels, value)


def _by_source(workers: Iterator[PodWorker]) -> dict[str, int]:
    """How many of the Pods come from the API, and how many from this machine."""
    found = {labelled(("static",), (static,)): 0 for static in ("", "true")}
    for worker in workers:
        assert worker.pod is not None
        static = worker.pod.metadata.annotations.get("kubernetes.io/config.source", "api") != "api"
        found[labelled(("static",), ("true" if static else "",))] += 1
    return found


def _exposition(body: str) -> Response:
    return Response(200, Headers.lowered([("content-type", MEDIA_TYPE)]), body.encode())
