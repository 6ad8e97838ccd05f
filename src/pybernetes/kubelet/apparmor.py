"""AppArmor on this node: whether it can hold a Pod's profiles, asked once before the Pod starts. See "Restrict a
Container's Access to Resources with AppArmor". specs/security.py says which profile a container wants.
"""

from pathlib import Path

from pybernetes.api.types import core_v1
from pybernetes.kubelet.pod_actions import Verdict
from pybernetes.kubelet.pod_containers import containers_of
from pybernetes.kubelet.specs.security import apparmor

_ENABLED = "sys/module/apparmor/parameters/enabled"
_LOADED = "sys/kernel/security/apparmor/profiles"


def refuse_apparmor(pod: core_v1.Pod, root: Path = Path("/")) -> Verdict | None:
    """A verdict where a profile other than Unconfined is wanted and cannot be had here. `root` has sys/ in it."""
    containers = containers_of(pod)
    wanted = [profile for c in containers if (profile := apparmor(pod, c)) is not None and profile.kind != "Unconfined"]
    if not wanted:
        return None
    if not _enabled(root):
        return _verdict("AppArmor is not enabled on the host")
    try:
        loaded = _loaded(root)
    except OSError as error:
        return _verdict(f"could not read loaded profiles: {error.strerror}")
    missing = [p.ref for p in wanted if p.kind == "Localhost" and p.ref not in loaded]
    return _verdict(f'profile "{missing[0]}" is not loaded') if missing else None


def _verdict(why: str) -> Verdict:
    return Verdict("AppArmor", f"Cannot enforce AppArmor: {why}")


def _enabled(root: Path) -> bool:
    try:
        return (root / _ENABLED).read_text().startswith("Y")
    except OSError:
        return False


def _loaded(root: Path) -> frozenset[str]:
    """Lines are `name (mode)`."""
    lines = (root / _LOADED).read_text().splitlines()
    return frozenset(line.rpartition(" (")[0] for line in lines)
