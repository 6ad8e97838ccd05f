"""What dashboards show of a cgroup, from the files of both versions."""

from pathlib import Path

from pybernetes.kubelet.cgroup_details import Details, DeviceIo, read_details


def write(folder: Path, **files: str) -> Path:
    folder.mkdir()
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    return folder


def test_files_of_v1_lie_in_a_folder_for_each_controller(tmp_path: Path) -> None:
    cpu = write(
        tmp_path / "cpu",
        cpu__stat="nr_periods 10\nnr_throttled 4\nthrottled_time 5000\n",
        cpu__shares="512\n",
        cpu__cfs_quota_us="50000\n",
        cpu__cfs_period_us="100000\n",
    )
    counts = write(tmp_path / "cpuacct", cpuacct__stat="user 100\nsystem 50\n")
    memory = write(
        tmp_path / "memory",
        memory__stat="mapped_file 1\ntotal_mapped_file 4096\n",
        memory__oom_control="oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
        memory__failcnt="7\n",
        memory__max_usage_in_bytes="9000\n",
        memory__soft_limit_in_bytes="9223372036854771712\n",
        memory__memsw__limit_in_bytes="8192\n",
    )
    pids = write(tmp_path / "pids", pids__max="max\n")
    blkio = write(
        tmp_path / "blkio",
        blkio__throttle__io_service_bytes_recursive="999:0 Read 10\n999:0 Write 20\n999:0 Total 30\nTotal 30\n",
        blkio__throttle__io_serviced_recursive="999:0 Read 1\n999:0 Write 2\n",
    )
    assert read_details([cpu, counts, memory, pids, blkio]) == Details(
        user=1_000_000_000,
        system=500_000_000,
        periods=10,
        throttled=4,
        throttled_time=5000,
        shares=512,
        quota=50000,
        period=100000,
        most_memory=9000,
        failures=7,
        mapped=4096,
        oom_kills=2,
        reservation=0,
        swap_limit=8192,
        io=(DeviceIo("999:0", 10, 20, 1, 2),),
    )


def test_files_of_v2_lie_in_one_folder(tmp_path: Path) -> None:
    group = write(
        tmp_path / "g",
        cpu__stat="usage_usec 9\nuser_usec 5\nsystem_usec 4\nnr_periods 10\nnr_throttled 4\nthrottled_usec 5\n",
        cpu__weight="100\n",
        cpu__max="max 100000\n",
        memory__stat="file_mapped 4096\n",
        memory__events="low 0\nmax 3\noom 1\noom_kill 1\n",
        memory__peak="9000\n",
        memory__swap__max="max\n",
        pids__max="64\n",
        io__stat="999:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n",
    )
    found = read_details([group])
    assert (found.user, found.system) == (5000, 4000)
    # Without a quota nothing is throttled, and nothing is told of it.
    assert (found.periods, found.throttled, found.throttled_time, found.quota) == (None, None, None, None)
    assert (found.shares, found.period, found.threads_max) == (2597, 100000, 64)
    assert (found.most_memory, found.failures, found.mapped, found.oom_kills) == (9000, 3, 4096, 1)
    assert (found.reservation, found.swap_limit) == (0, 0)
    assert found.io == (DeviceIo("999:0", 10, 20, 1, 2),)


def test_what_is_not_there_is_not_known(tmp_path: Path) -> None:
    assert read_details([tmp_path / "gone"]) == Details(reservation=0, swap_limit=0)


def test_its_processes_are_looked_at_where_they_are_wanted(tmp_path: Path) -> None:
    group = write(tmp_path / "g", cgroup__procs="7\n8\n9\n")
    proc = tmp_path / "proc"
    for pid, targets in {"7": ("socket:[1]", "/dev/null"), "8": ("pipe:[2]",)}.items():
        (proc / pid / "fd").mkdir(parents=True)
        for number, target in enumerate(targets):
            (proc / pid / "fd" / str(number)).symlink_to(target)
    (proc / "7" / "limits").write_text("Limit  Soft Limit  Hard Limit  Units\nMax open files  1024  4096  files\n")
    found = read_details([group], proc=proc)
    assert (found.own_processes, found.descriptors, found.sockets, found.open_files) == (3, 3, 1, 1024)
    (proc / "7" / "limits").write_text("Max open files  unlimited  unlimited  files\n")
    assert read_details([group], proc=proc).open_files == -1
    assert read_details([group], processes=False, proc=proc).descriptors is None
