"""reset undoes what init and join did, and nothing else."""

from typing import Any

import pytest

from pybernetes.kubeadm import reset as module
from pybernetes.kubeadm.config import Checks
from pybernetes.kubeadm.reset import reset

ANYWAY = Checks(ignored=frozenset({"all"}))
MADE = (
    "/etc/kubernetes/manifests/kube-apiserver.yaml",
    "/etc/kubernetes/pki/ca.key",
    "/etc/kubernetes/admin.conf",
    "/etc/kubernetes/kubelet.conf",
    "/var/lib/kubelet/config.yaml",
    "/var/lib/kubelet/pki/kubelet.crt",
    "/var/lib/pybernetes/apiserver/store.db",
    "/etc/pybernetes/services/kubelet.json",
)
KEPT = (
    "/etc/cni/net.d/10-net.conflist",
    "/etc/pybernetes/services/containerd.json",
    "/etc/kubernetes/own.yaml",
    "/var/lib/pybernetes/clusters/one/disk",
)


async def test_made_files_go_and_others_stay(spoken: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_listening", lambda port: False)
    for path in (*MADE, *KEPT):
        spoken.write(path, "x")
    await reset(spoken.machine, ANYWAY, "/none.sock")
    assert [path for path in MADE if spoken.paths.at(path).exists()] == []
    assert [path for path in KEPT if not spoken.paths.at(path).exists()] == []
    assert any("dial unix /none.sock" in text for text in spoken.warned)


async def test_files_are_deleted_only_after_the_services_have_stopped(
    spoken: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoken.paths.at("/etc/pybernetes/services").mkdir(parents=True)
    spoken.write("/var/lib/pybernetes/apiserver/store.db", "x")
    running = [True, True, True]
    monkeypatch.setattr(module, "_listening", lambda port: bool(running))

    async def stop() -> None:
        assert spoken.paths.at("/var/lib/pybernetes/apiserver/store.db").exists()
        running.pop()

    spoken.clock.hook = stop
    await reset(spoken.machine, ANYWAY, "/none.sock")
    assert not spoken.paths.at("/var/lib/pybernetes/apiserver/store.db").exists()


async def test_reset_of_a_clean_machine_is_fine(spoken: Any) -> None:
    await reset(spoken.machine, ANYWAY, "/none.sock")
    assert "[reset] Stopping the kubelet service" in spoken.said
