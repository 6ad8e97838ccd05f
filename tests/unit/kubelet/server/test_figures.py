"""What the kubelet tells of the node in numbers: read seldom, and under upstream's names."""

import asyncio
from math import isfinite
from pathlib import Path

import pytest
from tests.unit.kubelet.fakes import at_once
from tests.unit.kubelet.pods import REF, container, pod, run

from pybernetes.aio.simulation import EPOCH, SimulatedClock, run_simulated
from pybernetes.api.errors import NotFound
from pybernetes.api.types import core_v1
from pybernetes.kernel.cgroups import Hierarchy
from pybernetes.kubelet.cgroup_details import Details, DeviceIo
from pybernetes.kubelet.cgroups import PodCgroups
from pybernetes.kubelet.configuration import Configuration
from pybernetes.kubelet.cri.model import Layer, RuntimeRefused
from pybernetes.kubelet.server import disk_meter, figures, meter
from pybernetes.kubelet.server.cadvisor import detail_metrics
from pybernetes.kubelet.server.disk_meter import DiskMeter, volumes_of
from pybernetes.kubelet.server.exposition import cadvisor_metrics, resource_metrics, volume_metrics
from pybernetes.kubelet.server.figures import Figures
from pybernetes.kubelet.server.meter import Meter, PodUse, Sample
from pybernetes.kubelet.server.summary import summary
from pybernetes.kubelet.settings import Settings

GROUP = "/kubepods/podX"
NET = """Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:     9       9    0    0    0     0          0         0        9       9    0    0    0     0       0          0
  eth0:    10       2    1    3    0     0          0         0       20       4    5    6    0     0       0          0
"""


class Machine:
    """Files of a machine with cgroup v2: a Pod with one container that has a network of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.proc, self.root, self.groups = folder / "proc", folder / "kubelet", folder / "cgroup"
        self.reads = 0
        self.layers_asked = 0
        self.refuses = False
        (self.proc / "7" / "net").mkdir(parents=True)
        for name, text in (
            ("meminfo", "MemTotal: 1000 kB\nMemFree: 400 kB\nMemAvailable: 600 kB\nCached: 50 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n"),
            ("stat", "cpu 100 0 0 0 0 0 0 0\n"),
            ("loadavg", "0 0 0 1/42 7\n"),
            ("7/net/dev", NET),
        ):  # fmt: skip
            (self.proc / name).write_text(text)
        for name in ("self/net", "net", "sys/kernel"):
            (self.proc / name).mkdir(parents=True)
        (self.proc / "self/net/dev").write_text(NET.replace("eth0", "ens3"))
        (self.proc / "net/route").write_text("Iface\tDestination\nens3\t00000000\n")
        for name in ("pid_max", "threads-max"):
            (self.proc / "sys/kernel" / name).write_text("1000")
        for name in ("", "/kubepods", GROUP, f"{GROUP}/c0"):
            (self.groups / name.strip("/")).mkdir(parents=True, exist_ok=True)
        (self.groups / GROUP.strip("/") / "c0" / "cgroup.procs").write_text("7\n")
        self.uses_cpu(1.0)
        (self.root / "pods" / REF.uid / "volumes" / "kubernetes.io~empty-dir" / "v").mkdir(parents=True)

    def uses_cpu(self, seconds: float) -> None:
        for name in (GROUP, f"{GROUP}/c0"):
            folder = self.groups / name.strip("/")
            (folder / "cpu.stat").write_text(f"usage_usec {round(seconds * 1e6)}\n")
            (folder / "memory.current").write_text("8192\n")
            (folder / "memory.stat").write_text("anon 4096\ninactive_file 1024\nfile 2048\n")
            (folder / "memory.max").write_text("16384\n")
            (folder / "pids.current").write_text("3\n")

    # as the runtime
    def pid(self) -> int | None:
        return None

    async def image_folder(self) -> str:
        if self.refuses:
            raise RuntimeRefused("UNIMPLEMENTED", "no")
        return str(self.root)

    async def layers(self, uid: str) -> dict[str, Layer]:
        self.layers_asked += 1
        return {"c0": Layer(4000, 4)}

    def use(self, **spec: object) -> PodUse:
        volumes = (core_v1.Volume(name="v", emptyDir=core_v1.EmptyDirVolumeSource()),)
        started = pod(container(), **{"volumes": volumes, **spec})
        return PodUse(REF, GROUP, started, (run(),))

    def settings(self, **config: object) -> Settings:
        return Settings(
            "n1",
            ("10.0.0.1",),
            Configuration(pod_logs_dir=str(self.folder / "logs"), **config),
            root=self.root,
            memory=1000,
        )

    def meter(self, clock: SimulatedClock, **spec: object) -> Meter:
        def uses() -> list[PodUse]:
            self.reads += 1
            return [self.use(**spec)]

        tree = PodCgroups("/", (Hierarchy(self.groups, 2, ()),))
        return Meter(tree, uses, clock, self.pid, self.proc)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    for module in (meter, disk_meter, figures):
        monkeypatch.setattr(module.asyncio, "to_thread", at_once)
    return Machine(tmp_path)


def test_samples_are_shared_for_two_seconds_and_two_make_a_rate(machine: Machine) -> None:
    async def main() -> tuple[Sample, Sample]:
        clock = SimulatedClock(asyncio.get_running_loop())
        made = machine.meter(clock)
        first = await made.sample()
        assert (await asyncio.gather(made.sample(), made.sample())) == [first, first]
        assert machine.reads == 1
        await clock.sleep(4)
        machine.uses_cpu(3.0)
        return first, await made.sample()

    first, second = run_simulated(main())
    assert first.rates == {}
    assert second.rates[REF.uid] == second.rates["c0"] == 500_000_000
    assert (second.networks[REF.uid][0].name, second.networks[REF.uid][0].tx_errors) == ("eth0", 5)
    assert second.processes == (1000, 42)


def test_a_rate_is_not_that_of_an_hour_ago(machine: Machine) -> None:
    async def main() -> Sample:
        clock = SimulatedClock(asyncio.get_running_loop())
        made = machine.meter(clock)
        await made.sample()
        await clock.sleep(3600)
        return await made.sample()

    assert run_simulated(main()).rates == {}


def both(machine: Machine, **config: object) -> tuple[Sample, disk_meter.DiskSample]:
    """A sample of everything."""

    async def main() -> tuple[Sample, disk_meter.DiskSample]:
        clock = SimulatedClock(asyncio.get_running_loop())
        sample = await machine.meter(clock).sample()
        disks = DiskMeter(machine.settings(**config), machine, lambda: sample.uses, clock)  # type: ignore[arg-type]
        walking = asyncio.create_task(disks.run())
        try:
            return sample, await disks.sample(sample.uses)
        finally:
            walking.cancel()

    return run_simulated(main())


def test_the_summary_has_all_that_eviction_and_people_look_for(machine: Machine) -> None:
    sample, disks = both(machine)
    found = summary("n1", "then", sample, disks)
    node, (shown,) = found["node"], found["pods"]
    assert node["memory"]["workingSetBytes"] == 400 * 1024
    assert node["memory"]["availableBytes"] == 600 * 1024
    assert node["network"]["name"] == "ens3"
    assert node["rlimit"] == {"time": node["cpu"]["time"], "maxpid": 1000, "curproc": 42}
    assert {"kubelet", "pods"} >= {one["name"] for one in node["systemContainers"]}
    assert set(node["runtime"]) == {"imageFs", "containerFs"}
    (inside,) = shown["containers"]
    assert inside["memory"]["workingSetBytes"] == 8192 - 1024
    assert inside["memory"]["availableBytes"] == 16384 - 7168
    assert inside["rootfs"]["usedBytes"] == 4000
    assert shown["network"]["interfaces"][0]["rxBytes"] == 10
    assert shown["process_stats"] == {"process_count": 3}
    (volume,) = shown["volume"]
    assert (volume["name"], "pvcRef" in volume) == ("v", False)
    assert shown["ephemeral-storage"]["usedBytes"] == 4000 + inside["logs"]["usedBytes"] + volume["usedBytes"]
    brief = summary("n1", "then", sample, None)
    assert {"fs", "runtime", "rlimit", "network"}.isdisjoint(brief["node"])
    assert {"volume", "ephemeral-storage", "network"}.isdisjoint(brief["pods"][0])


def test_pods_on_the_nodes_network_have_none_of_their_own(machine: Machine) -> None:
    async def main() -> Sample:
        return await machine.meter(SimulatedClock(asyncio.get_running_loop()), hostNetwork=True).sample()

    sample = run_simulated(main())
    assert sample.networks == {REF.uid: ()}
    assert "network" not in summary("n1", "", sample, None)["pods"][0]


def test_resource_metrics_have_upstreams_names_and_times(machine: Machine) -> None:
    sample, _ = both(machine)
    text = "\n".join(resource_metrics(sample))
    at = round(EPOCH * 1000)
    labels = '{container="c",namespace="default",pod="web"}'
    for line in (
        f"container_cpu_usage_seconds_total{labels} 1 {at}",
        f"container_memory_working_set_bytes{labels} 7168 {at}",
        f"container_start_time_seconds{labels} 1",
        f'pod_cpu_usage_seconds_total{{namespace="default",pod="web"}} 1 {at}',
        f"node_memory_working_set_bytes {400 * 1024} {at}",
        "resource_scrape_error 0",
    ):
        assert line in text.splitlines(), line
    assert "\nscrape_error" not in text  # hidden since 1.30


def test_cadvisors_rows_name_containers_pods_and_the_node(machine: Machine) -> None:
    sample, disks = both(machine)
    lines = [line.rpartition(" ")[0] for line in cadvisor_metrics(sample, disks, 2, 1000)]
    inside = f'container="c",id="{GROUP}/c0",image="",name="c0",namespace="default",pod="web"'
    whole = f'container="",id="{GROUP}",image="",name="",namespace="default",pod="web"'
    for line in (
        f'container_cpu_usage_seconds_total{{{inside},cpu="total"}} 1',
        f"container_memory_rss{{{whole}}} 4096",
        f'container_network_receive_bytes_total{{{whole},interface="eth0"}} 10',
        f'container_network_transmit_packets_dropped_total{{{whole},interface="eth0"}} 6',
        f"container_fs_usage_bytes{{{inside}}} 4000",
        f"container_spec_memory_limit_bytes{{{inside}}} 16384",
    ):
        assert line in lines, line
    assert "machine_cpu_cores" in lines


def test_dashboards_find_throttling_kills_and_disks_of_each_group(machine: Machine) -> None:
    sample, _ = both(machine)
    io = (DeviceIo("999:1", 10, 20, 1, 2),)
    details = {
        f"{GROUP}/c0": Details(
            user=500_000_000,
            periods=9,
            throttled=3,
            throttled_time=2_000_000_000,
            oom_kills=1,
            own_processes=2,
            descriptors=7,
            sockets=1,
            open_files=1024,
            io=io,
        )
    }
    lines = [line.rpartition(" ")[0] for line in detail_metrics(sample, details, "999:0")]
    whole = f'container="",id="{GROUP}",image="",name="",namespace="default",pod="web"'
    inside = f'container="c",id="{GROUP}/c0",image="",name="c0",namespace="default",pod="web"'
    for line in (
        f"container_cpu_user_seconds_total{{{inside}}} 0.5",
        f"container_cpu_cfs_periods_total{{{inside}}} 9",
        f"container_cpu_cfs_throttled_periods_total{{{inside}}} 3",
        f"container_cpu_cfs_throttled_seconds_total{{{inside}}} 2",
        f"container_oom_events_total{{{inside}}} 1",
        f"container_threads{{{inside}}} 3",
        f'container_fs_reads_bytes_total{{{inside},device="999:1"}} 10',
        f'container_fs_writes_total{{{inside},device="999:1"}} 2',
        f'container_blkio_device_usage_total{{{inside},device="999:1",major="999",minor="1",operation="Write"}} 20',
        f'container_fs_writes_bytes_total{{{whole},device="999:0"}} 0',
        f"container_processes{{{inside}}} 2",
        f"container_file_descriptors{{{inside}}} 7",
        f"container_sockets{{{inside}}} 1",
        f'container_ulimits_soft{{{inside},ulimit="max_open_files"}} 1024',
    ):
        assert line in lines, line
    assert len([line for line in lines if line.startswith("container_cpu_cfs_periods_total{")]) == 1
    assert "machine_swap_bytes" in lines


def test_a_claims_volume_is_named_and_shown_once(machine: Machine) -> None:
    source = core_v1.PersistentVolumeClaimVolumeSource(claimName="data")
    use = machine.use(volumes=(core_v1.Volume(name="v", persistentVolumeClaim=source),))
    volumes = volumes_of(machine.root, [use])
    (volume,) = volumes[REF.uid]
    assert volume.claim == "data"
    _, disks = both(machine)
    disks = disk_meter.replace(disks, volumes=volumes)
    lines = [*volume_metrics(disks, [use, use])]
    assert len([line for line in lines if line.startswith("kubelet_volume_stats_used_bytes{")]) == 1
    assert any('namespace="default",persistentvolumeclaim="data"' in line for line in lines)


def test_volumes_are_walked_once_a_period_and_never_where_that_is_switched_off(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    walks = 0

    def walked(root: Path, uses: object) -> dict[str, list[disk_meter.VolumeUse]]:
        nonlocal walks
        walks += 1
        return {}

    monkeypatch.setattr(disk_meter, "volumes_of", walked)

    async def main(period: float, asks: int) -> int:
        nonlocal walks
        walks = 0
        clock = SimulatedClock(asyncio.get_running_loop())
        disks = DiskMeter(machine.settings(volume_stats_agg_period=period), machine, lambda: [], clock)  # type: ignore[arg-type]
        walking = asyncio.create_task(disks.run())
        for _ in range(asks):
            await disks.sample([])
            await clock.sleep(10)
        walking.cancel()
        return walks

    assert run_simulated(main(60.0, 11)) == 2
    assert run_simulated(main(-1.0, 3)) == 0
    assert machine.layers_asked == 14


def test_a_runtime_that_tells_nothing_leaves_the_rest(machine: Machine) -> None:
    machine.refuses = True
    _, disks = both(machine)
    assert disks.layers == {}
    assert disks.images == disks.node


def test_pages_are_those_of_upstream(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> dict[str, str]:
        clock = SimulatedClock(asyncio.get_running_loop())
        shown = Figures(machine.settings(), machine, PodCgroups("/", ()), lambda: [], lambda: [], clock)  # type: ignore[arg-type]
        shown._meter = machine.meter(clock)
        walking = asyncio.create_task(shown.run())
        try:
            with pytest.raises(NotFound):
                await shown.metrics("nothing")
            pages = {name: await shown.metrics(name) for name in ("", "resource", "cadvisor", "probes")}
        finally:
            walking.cancel()
        return {name: bytes(page.body).decode() for name, page in pages.items()}  # type: ignore[arg-type]

    pages = run_simulated(main())
    for name in (
        "kubelet_node_name{",
        'kubelet_desired_pods{static=""} 0',
        'kubelet_desired_pods{static="true"} 0',
        "kubelet_running_pods ",
        "kubernetes_build_info{",
        "process_open_fds ",
    ):
        assert f"\n{name}" in pages[""], name
    assert "process_start_time_seconds" in pages["probes"]
    for page in pages.values():
        for line in page.splitlines():
            assert line.startswith("#") or isfinite(float(line.rpartition(" ")[2])), line
