"""Local storage that single Pods may use."""

import os
from pathlib import Path

from tests.unit.kubelet.pods import container, pod

from pybernetes.api.types import core_v1
from pybernetes.kubelet.eviction.ranking import ContainerUse, PodUsage, Space
from pybernetes.kubelet.eviction.storage import excess, limited, measure

MEBI = 1 << 20
KEPT = PodUsage(containers={"c": ContainerUse(root=Space(MEBI), logs=Space(MEBI))}, volumes={"v": Space(MEBI)})


def with_volume(limit: str | None, medium: str = "") -> core_v1.Pod:
    source = core_v1.EmptyDirVolumeSource(sizeLimit=limit, medium=medium)
    return pod(volumes=(core_v1.Volume(name="v", emptyDir=source),))


def with_limit(limit: str) -> core_v1.Pod:
    wants = core_v1.ResourceRequirements(limits={"ephemeral-storage": limit})
    return pod(container(resources=wants))


def test_an_empty_dir_over_its_limit_ends_its_pod() -> None:
    assert excess(with_volume("1Mi"), KEPT, dedicated=False) is None
    over = PodUsage(volumes={"v": Space(MEBI + 1)})
    assert excess(with_volume("1Mi"), over, dedicated=False) == (
        "emptydirfs.limit",
        'Usage of EmptyDir volume "v" exceeds the limit "1Mi". ',
    )
    assert excess(with_volume(None), over, dedicated=False) is None


def test_all_containers_and_volumes_count_for_the_pod() -> None:
    assert excess(with_limit("3Mi"), KEPT, dedicated=False) is None
    assert excess(with_limit("2Mi"), KEPT, dedicated=False) == (
        "ephemeralpodfs.limit",
        "Pod ephemeral local storage usage exceeds the total limit of containers 2Mi. ",
    )


def test_a_limit_is_told_in_the_units_it_was_given_in() -> None:
    assert excess(with_limit("2M"), KEPT, dedicated=False) == (
        "ephemeralpodfs.limit",
        "Pod ephemeral local storage usage exceeds the total limit of containers 2M. ",
    )


def test_a_container_answers_for_its_own_limit() -> None:
    greedy = container("greedy", resources=core_v1.ResourceRequirements(limits={"ephemeral-storage": "1Mi"}))
    other = container("other", resources=core_v1.ResourceRequirements(limits={"ephemeral-storage": "1Gi"}))
    use = PodUsage(containers={"greedy": ContainerUse(root=Space(2 * MEBI))})
    assert excess(pod(greedy, other), use, dedicated=False) == (
        "ephemeralcontainerfs.limit",
        'Container greedy exceeded its local ephemeral storage limit "1Mi". ',
    )
    # With a file system for images, that is where containers write; their logs still count.
    assert excess(pod(greedy, other), use, dedicated=True) is None


def test_only_pods_with_limits_are_measured() -> None:
    assert limited(with_volume("1Mi"))
    assert limited(with_limit("1Mi"))
    assert not limited(with_volume(None))
    assert not limited(with_volume("1Mi", medium="Memory"))
    assert not limited(pod())


def test_a_folder_is_measured_in_blocks_without_counting_links_twice(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    data = tmp_path / "below" / "data"
    data.write_bytes(b"x" * 65536)
    os.sync()
    os.link(data, tmp_path / "again")
    (tmp_path / "loop").symlink_to(tmp_path)
    found = measure(tmp_path)
    assert found.inodes == 4  # two folders, one file, one symbolic link
    assert 65536 <= found.size < 2 * 65536
    assert measure(tmp_path / "missing") == Space()
