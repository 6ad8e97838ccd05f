"""All volumes of a Pod together: what fails is told in upstream's words, what is torn down is gone and nothing else."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.unit.kubelet.fakes import FakeSources
from tests.unit.kubelet.pods import container, pod

from pybernetes.aio.clock import SystemClock
from pybernetes.aio.simulation import SimulatedClock, run_simulated
from pybernetes.api.types import core_v1
from pybernetes.kernel import mounts
from pybernetes.kubelet.downward import Facts
from pybernetes.kubelet.metrics import VOLUME_SECONDS
from pybernetes.kubelet.volume import Mounted, VolumeError, VolumeType
from pybernetes.kubelet.volume_manager import Volumes

EMPTY = core_v1.EmptyDirVolumeSource()


@pytest.fixture
def volumes(tmp_path: Path) -> Volumes:
    return Volumes(tmp_path, FakeSources(), SystemClock(), Facts)


def volume(name: str = "v", **source: object) -> core_v1.Volume:
    return core_v1.Volume(name=name, **source)  # type: ignore[arg-type] # fields by name


async def test_a_volume_without_source_is_an_empty_dir(volumes: Volumes) -> None:
    assert (await volumes.set_up(pod(volumes=(volume(),))))["v"].path.is_dir()


async def failure(volumes: Volumes, *wanted: core_v1.Volume) -> tuple[str, ...]:
    with pytest.raises(VolumeError) as caught:
        await volumes.set_up(pod(volumes=wanted))
    return caught.value.messages


async def test_a_driver_that_is_not_there_is_said_so(volumes: Volumes) -> None:
    said = 'MountVolume.SetUp failed for volume "v" : kubernetes.io/csi: mounter.SetUpAt failed to get CSI client: '
    why = "driver name d.example not found in the list of registered CSI drivers"
    assert await failure(volumes, volume(csi=core_v1.CSIVolumeSource(driver="d.example"))) == (said + why,)


@pytest.mark.parametrize(
    "source",
    [
        {"nfs": core_v1.NFSVolumeSource(server="x", path="/")},
        {"iscsi": core_v1.ISCSIVolumeSource()},
        {"gitRepo": core_v1.GitRepoVolumeSource(repository="r")},
    ],
)
async def test_a_type_that_is_not_there_is_said_so(volumes: Volumes, source: Mapping[str, object]) -> None:
    lists = "unmounted volumes=[v], unattached volumes=[], failed to process volumes=[v]"
    why = 'failed to get Plugin from volumeSpec for volume "v" err=no volume plugin matched'
    assert await failure(volumes, volume(**source)) == (f"Unable to attach or mount volumes: {lists}: {why}",)


async def test_each_volume_that_fails_is_told_and_the_others_are_there(volumes: Volumes) -> None:
    missing = [volume(name, configMap=core_v1.ConfigMapVolumeSource(name=name)) for name in ("a", "b")]
    said = await failure(volumes, *missing, volume("e", emptyDir=EMPTY))
    assert said == (
        'MountVolume.SetUp failed for volume "a" : configmap "a" not found',
        'MountVolume.SetUp failed for volume "b" : configmap "b" not found',
    )
    assert (volumes.pod_folder("uid-1") / "volumes/kubernetes.io~empty-dir/e").is_dir()


async def test_metrics_tell_how_many_volumes_there_are_and_how_setting_them_up_went(volumes: Volumes) -> None:
    def done(plugin: str, status: str) -> int:
        found = VOLUME_SECONDS.values.get(("false", "volume_mount", status, f"kubernetes.io/{plugin}"))
        return sum(found.counts) if found is not None else 0

    good, bad = done("empty-dir", "success"), done("host-path", "fail-unknown")
    nowhere = core_v1.HostPathVolumeSource(path="/nowhere", type="Directory")
    await failure(volumes, volume("e", emptyDir=EMPTY), volume("h", hostPath=nowhere))
    assert (done("empty-dir", "success"), done("host-path", "fail-unknown")) == (good + 1, bad + 1)
    assert volumes.totals() == {
        ("kubernetes.io/empty-dir", "desired_state_of_world"): 1,
        ("kubernetes.io/empty-dir", "actual_state_of_world"): 1,
        ("kubernetes.io/host-path", "desired_state_of_world"): 1,
    }
    await volumes.tear_down("uid-1")
    assert volumes.totals() == {}


def test_a_pod_that_waits_long_is_told_as_a_whole(tmp_path: Path) -> None:
    async def main() -> None:
        clock = SimulatedClock(asyncio.get_running_loop())
        volumes = Volumes(tmp_path, FakeSources(), clock, Facts)
        wanted = volume("a", configMap=core_v1.ConfigMapVolumeSource(name="a"))
        counts = []
        for _ in range(4):
            counts.append(len(await failure(volumes, wanted)))
            await clock.sleep(62)
        assert counts == [1, 1, 2, 1]

    run_simulated(main())


async def test_the_long_wait_has_upstreams_words(volumes: Volumes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pybernetes.kubelet.volume_manager._PATIENCE", 0.0)
    wanted = [volume(n, configMap=core_v1.ConfigMapVolumeSource(name=n)) for n in ("b", "a")]
    await failure(volumes, *wanted)
    lists = "unmounted volumes=[a b], unattached volumes=[], failed to process volumes=[]"
    said = f"Unable to attach or mount volumes: {lists}: timed out waiting for the condition"
    assert (await failure(volumes, *wanted))[-1] == said


def test_a_slow_change_of_ownership_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        clock = SimulatedClock(asyncio.get_running_loop())
        told: list[tuple[str, str]] = []
        volumes = Volumes(tmp_path, FakeSources(), clock, Facts, lambda p, reason, text: told.append((reason, text)))

        async def prepare(request):  # type: ignore[no-untyped-def] # a VolumeRequest
            for _ in range(3):
                request.counted()
            return lambda: Mounted(tmp_path)

        async def slow(function, *args):  # type: ignore[no-untyped-def] # in place of asyncio.to_thread
            await clock.sleep(95)
            return function(*args)

        monkeypatch.setattr(asyncio, "to_thread", slow)
        volumes._types["emptyDir"] = VolumeType(field="emptyDir", folder="f", prepare=prepare)
        await volumes.set_up(pod(volumes=(volume(emptyDir=EMPTY),)))
        reason = "VolumePermissionChangeInProgress"
        assert told == [(reason, "Setting volume ownership for uid-1/volumes/v, processed 3 files.")] * 2

    run_simulated(main())


async def test_a_restarted_kubelet_finds_what_is_mounted(volumes: Volumes, tmp_path: Path) -> None:
    wanted = pod(volumes=(volume("e", emptyDir=EMPTY), volume("h", hostPath=core_v1.HostPathVolumeSource(path="/"))))
    before = await volumes.set_up(wanted)
    again = Volumes(tmp_path, FakeSources(), SystemClock(), Facts)
    assert await again.of(wanted, container()) == before
    assert await again.of(wanted, container()) is await again.of(wanted, container())


async def test_what_is_gone_is_torn_down_with_success(volumes: Volumes) -> None:
    path = (await volumes.set_up(pod(volumes=(volume(),))))["v"].path
    await volumes.tear_down("uid-1")
    assert not path.exists()
    await volumes.tear_down("uid-1")
    await volumes.forget("uid-1")
    await volumes.forget("never-there")


@pytest.mark.root
async def test_teardown_takes_mounts_away_and_deletes_nothing_behind_them(volumes: Volumes, tmp_path: Path) -> None:
    """As a privileged container with Bidirectional propagation may leave it."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("x")
    path = (await volumes.set_up(pod(volumes=(volume(emptyDir=core_v1.EmptyDirVolumeSource(medium="Memory")),))))[
        "v"
    ].path
    for name in ("a", "a/b"):
        (path / name).mkdir()
        mounts.mount("tmpfs", path / name, "tmpfs")
    (path / "a/b/c").mkdir()
    mounts.bind(outside, path / "a/b/c")
    (path / "link").symlink_to(outside)
    (path / "mount with space").mkdir()
    mounts.bind(outside, path / "mount with space")
    await volumes.tear_down("uid-1")
    await volumes.forget("uid-1")
    assert not volumes.pod_folder("uid-1").exists()
    assert (outside / "kept").read_text() == "x"


@pytest.mark.root
async def test_what_is_still_mounted_keeps_the_folder_until_it_can_go(
    volumes: Volumes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("x")
    path = (await volumes.set_up(pod(volumes=(volume(),))))["v"].path
    (path / "m").mkdir()
    mounts.bind(outside, path / "m")
    with monkeypatch.context() as stuck:
        stuck.setattr(mounts, "unmount_below", lambda folder: None)
        with pytest.raises(OSError, match="something is mounted there"):
            await volumes.tear_down("uid-1")
        with pytest.raises(OSError, match="something is mounted there"):
            await volumes.forget("uid-1")
    assert (outside / "kept").read_text() == "x"
    await volumes.tear_down("uid-1")
    assert not path.exists()
    assert (outside / "kept").read_text() == "x"


async def test_a_full_disk_is_an_error_of_that_volume(volumes: Volumes, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> bool:
        raise OSError(28, "No space left on device")

    sources = volumes._sources
    assert isinstance(sources, FakeSources)
    sources.config_maps["m"] = core_v1.ConfigMap(data={"a": "1"})
    wanted = volume(configMap=core_v1.ConfigMapVolumeSource(name="m"))
    with monkeypatch.context() as broken:
        broken.setattr("pybernetes.kubelet.volume_manager.write_atomically", full)
        said = await failure(volumes, wanted)
    assert said == ('MountVolume.SetUp failed for volume "v" : no space left on device',)
    await volumes.set_up(pod(volumes=(wanted,)))
