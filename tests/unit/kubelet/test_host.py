"""What the configuration asks of the machine."""

from pathlib import Path

import pytest

from pybernetes.kubelet import host
from pybernetes.kubelet.configuration import Configuration


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    (tmp_path / "swaps").write_text("Filename Type Size Used Priority\n")
    for name, value in (("vm/overcommit_memory", 1), ("vm/panic_on_oom", 0), ("kernel/panic", 10),
                        ("kernel/panic_on_oops", 1), ("kernel/keys/root_maxkeys", 1000000),
                        ("kernel/keys/root_maxbytes", 25000000)):  # fmt: skip
        file = tmp_path / "sys" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{value}\n")
    return tmp_path


def test_swap_is_refused_unless_it_is_allowed(proc: Path) -> None:
    assert host.problems_of(Configuration(), proc) == []
    (proc / "swaps").write_text("Filename Type Size Used Priority\n/dev/sda2 partition 1 0 -2\n")
    (problem,) = host.problems_of(Configuration(), proc)
    assert "disable swap or set --fail-swap-on flag to false. /proc/swaps contained: /dev/sda2" in problem
    assert host.problems_of(Configuration(fail_swap_on=False), proc) == []


def test_cgroup_v1_is_refused_when_told_so(proc: Path, tmp_path: Path) -> None:
    (problem,) = host.problems_of(Configuration(fail_cgroup_v1=True), proc, tmp_path / "cgroup")
    assert "configured to not run on a host using cgroup v1" in problem
    (tmp_path / "cgroup").mkdir()
    (tmp_path / "cgroup/cgroup.controllers").write_text("cpu memory")
    assert host.problems_of(Configuration(fail_cgroup_v1=True), proc, tmp_path / "cgroup") == []


def test_cgroup_v1_is_told_of_where_it_is_not_refused(tmp_path: Path) -> None:
    config = Configuration(resolv_conf="")
    text = "cgroup v1 support is in maintenance mode, please migrate to cgroup v2"
    assert host.warnings_of(config, tmp_path) == [("CgroupV1", text)]
    (tmp_path / "cgroup.controllers").write_text("cpu memory")
    assert host.warnings_of(config, tmp_path) == []
    gone = Configuration(resolv_conf=str(tmp_path / "none"))
    assert [reason for reason, _ in host.warnings_of(gone, tmp_path)] == ["CheckLimitsForResolvConf"]


def test_other_kernel_settings_are_refused_when_they_are_protected(proc: Path) -> None:
    config = Configuration(protect_kernel_defaults=True)
    assert host.problems_of(config, proc) == []
    (proc / "sys/vm/overcommit_memory").write_text("0\n")
    assert host.problems_of(config, proc) == [
        "invalid kernel flag: vm/overcommit_memory, expected value: 1, actual value: 0"
    ]


def test_the_process_gets_its_oom_score(tmp_path: Path) -> None:
    (tmp_path / "self").mkdir()
    host.apply(Configuration(oom_score_adj=-5, max_open_files=2**40), tmp_path)
    assert (tmp_path / "self/oom_score_adj").read_text() == "-5"
