"""What groups use, from the kernel's files."""

from pathlib import Path

from pybernetes.kubelet.usage import Usage, read_machine_usage, read_usage


def write(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    return folder


def test_version_1_counts_in_two_hierarchies(tmp_path: Path) -> None:
    cpu = write(tmp_path / "cpuacct", cpuacct__usage="1500\n")
    stat = "rss 1\ntotal_rss 30\ntotal_inactive_file 40\ntotal_pgfault 5\ntotal_pgmajfault 1\n"
    memory = write(tmp_path / "memory", memory__usage_in_bytes="100\n", memory__stat=stat)
    assert read_usage([cpu, memory]) == Usage(1500, 100, 60, 30, 5, 1)


def test_version_2_counts_in_one(tmp_path: Path) -> None:
    stat = "anon 30\ninactive_file 40\npgfault 5\npgmajfault 1\n"
    group = write(tmp_path / "g", cpu__stat="usage_usec 7\n", memory__current="100\n", memory__stat=stat)
    assert read_usage([group]) == Usage(7000, 100, 60, 30, 5, 1)


def test_a_group_that_is_gone_uses_nothing_known(tmp_path: Path) -> None:
    assert read_usage([tmp_path / "gone"]) == Usage()


def test_a_machine_whose_root_group_does_not_count_is_read_from_proc(tmp_path: Path) -> None:
    meminfo = "MemTotal: 100 kB\nMemFree: 20 kB\nMemAvailable: 60 kB\n"
    proc = write(tmp_path / "proc", meminfo=meminfo, stat="cpu  100 0 50 800 50 0 0 0 0 0\ncpu0 1\n")
    found = read_machine_usage([], proc)
    assert (found.memory, found.working_set) == (80 * 1024, 40 * 1024)
    assert found.cpu == 1_500_000_000
