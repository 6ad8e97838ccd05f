"""What the configuration asks of this machine and this process before a node runs: swap, cgroups, kernel, limits."""

import logging
import resource
from collections.abc import Mapping
from pathlib import Path

from pybernetes.kubelet.configuration import Configuration
from pybernetes.kubelet.specs.dns import resolv_conf_warnings

log = logging.getLogger(__name__)

_PROC = Path("/proc")
_CGROUP = Path("/sys/fs/cgroup")
# What upstream wants the kernel to be told (protectKernelDefaults).
_KERNEL: Mapping[str, int] = {
    "vm/overcommit_memory": 1,
    "vm/panic_on_oom": 0,
    "kernel/panic": 10,
    "kernel/panic_on_oops": 1,
    "kernel/keys/root_maxkeys": 1000000,
    "kernel/keys/root_maxbytes": 25000000,
}


def problems_of(config: Configuration, proc: Path = _PROC, cgroup: Path = _CGROUP) -> list[str]:
    """Why a node must not run on this machine. Blocking."""
    found = []
    swaps = _read(proc / "swaps").splitlines()[1:]
    if config.fail_swap_on and swaps:
        found.append(
            "running with swap on is not supported, please disable swap or set --fail-swap-on flag to false. "
            f"/proc/swaps contained: {', '.join(line.split()[0] for line in swaps)}"
        )
    if config.fail_cgroup_v1 and _is_cgroup_v1(cgroup):
        found.append(
            "kubelet is configured to not run on a host using cgroup v1. cgroup v1 support is in maintenance mode"
        )
    if config.protect_kernel_defaults:
        for name, wanted in _KERNEL.items():
            actual = _read(proc / "sys" / name).strip()
            if actual != str(wanted):
                found.append(f"invalid kernel flag: {name}, expected value: {wanted}, actual value: {actual or 'none'}")
    return found


def warnings_of(config: Configuration, cgroup: Path = _CGROUP) -> list[tuple[str, str]]:
    """Reasons and messages of the events that tell what is not well with this machine, although a node runs. Blocking."""
    found = []
    if _is_cgroup_v1(cgroup):
        found.append(("CgroupV1", "cgroup v1 support is in maintenance mode, please migrate to cgroup v2"))
    return found + [("CheckLimitsForResolvConf", text) for text in resolv_conf_warnings(config)]


def apply(config: Configuration, proc: Path = _PROC) -> None:
    """oomScoreAdj and maxOpenFiles of this process. What the machine does not allow is said and left as it is."""
    try:
        (proc / "self/oom_score_adj").write_text(str(config.oom_score_adj))
    except OSError as error:
        log.warning("cannot set oomScoreAdj value=%d error=%s", config.oom_score_adj, error.strerror)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = config.max_open_files if hard == resource.RLIM_INFINITY else min(config.max_open_files, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(wanted, 1), hard))
    except (OSError, ValueError) as error:
        log.warning("cannot set maxOpenFiles value=%d before=%d error=%s", wanted, soft, error)


def _is_cgroup_v1(cgroup: Path) -> bool:
    return not (cgroup / "cgroup.controllers").exists()


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
