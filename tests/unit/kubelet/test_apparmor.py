"""Whether a node can hold the AppArmor profiles of a Pod."""

from pathlib import Path

import pytest
from tests.unit.kubelet.pods import pod

from pybernetes.api.types import core_v1
from pybernetes.kubelet.apparmor import refuse_apparmor


def wanting(kind: str, name: str | None = None) -> core_v1.Pod:
    profile = core_v1.AppArmorProfile(type=kind, localhostProfile=name)
    return pod(securityContext=core_v1.PodSecurityContext(appArmorProfile=profile))


@pytest.mark.parametrize("kind", ["RuntimeDefault", "Localhost"])
def test_a_kernel_without_apparmor_takes_no_pod_that_wants_it(tmp_path: Path, kind: str) -> None:
    refused = refuse_apparmor(wanting(kind, "p"), tmp_path)
    assert refused is not None
    assert refused.reason == "AppArmor"
    assert refused.message == "Cannot enforce AppArmor: AppArmor is not enabled on the host"
    assert refuse_apparmor(wanting("Unconfined"), tmp_path) is None
    assert refuse_apparmor(pod(), tmp_path) is None


def test_a_profile_must_be_loaded(tmp_path: Path) -> None:
    (tmp_path / "sys/module/apparmor/parameters").mkdir(parents=True)
    (tmp_path / "sys/module/apparmor/parameters/enabled").write_text("Y\n")
    (tmp_path / "sys/kernel/security/apparmor").mkdir(parents=True)
    (tmp_path / "sys/kernel/security/apparmor/profiles").write_text("own profile (enforce)\n")
    assert refuse_apparmor(wanting("RuntimeDefault"), tmp_path) is None
    assert refuse_apparmor(wanting("Localhost", "own profile"), tmp_path) is None
    refused = refuse_apparmor(wanting("Localhost", "other"), tmp_path)
    assert refused is not None
    assert refused.message == 'Cannot enforce AppArmor: profile "other" is not loaded'
