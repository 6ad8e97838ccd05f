"""Preflight: each fault of a machine is found, said with its mend, and can be ignored by name."""

import socket
from typing import Any

import pytest

from pybernetes.kubeadm import checks
from pybernetes.kubeadm.checks import BRIDGE, IP_FORWARD, Check, Finding, run_checks
from pybernetes.kubeadm.config import Checks, Node
from pybernetes.kubeadm.errors import KubeadmError


def test_errors_are_listed_with_their_names_as_upstream_does(spoken: Any) -> None:
    with pytest.raises(KubeadmError) as caught:
        run_checks(
            [Check("A", lambda: Finding(("x", "y"))), Check("B", lambda: Finding(warnings=("w",)))],
            Checks(),
            spoken.machine.warn,
        )
    assert str(caught.value) == (
        "[preflight] Some fatal errors occurred:\n\t[ERROR A]: x\n\t[ERROR A]: y\n"
        "[preflight] If you know what you are doing, you can make a check non-fatal with "
        "`--ignore-preflight-errors=...`"
    )
    assert spoken.warned == ["\t[WARNING B]: w"]


@pytest.mark.parametrize("ignored", ["a", "A", "all", "ALL"])
def test_ignored_errors_are_warnings(ignored: str, spoken: Any) -> None:
    run_checks([Check("A", lambda: Finding(("x",)))], Checks(ignored=frozenset({ignored})), spoken.machine.warn)
    assert spoken.warned == ["\t[WARNING A]: x"]


def test_kernel_settings_are_judged_by_proc_sys(spoken: Any) -> None:
    check = checks.sysctl_check(spoken.paths, IP_FORWARD, "sysctl -w x")
    assert check.name == "FileContent--proc-sys-net-ipv4-ip_forward"
    assert check.look().errors == (f"{IP_FORWARD} does not exist: `sysctl -w x`",)
    spoken.write(IP_FORWARD, "0\n")
    assert check.look().errors == (f"{IP_FORWARD} contents are not set to 1: `sysctl -w x`",)
    spoken.write(IP_FORWARD, "1\n")
    assert check.look() == checks.FINE


def test_modprobe_is_tried_only_where_the_setting_is_absent(spoken: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []
    monkeypatch.setattr(checks, "_modprobe", tried.append)
    check = checks.sysctl_check(spoken.paths, BRIDGE, "m")
    check.look()
    assert tried == ["br_netfilter"]
    spoken.write(BRIDGE, "0\n")
    check.look()
    assert tried == ["br_netfilter"]


def test_taken_port_is_found() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        port = sock.getsockname()[1]
        check = checks.port_check(port)
        assert check.look().errors[0].startswith(f"Port {port} is in use")
    assert check.look() == checks.FINE


def test_second_init_is_refused_by_the_manifests_of_the_first(spoken: Any) -> None:
    spoken.write("/etc/kubernetes/manifests/kube-apiserver.yaml", "")
    found = {c.name: c.look() for c in checks.init_checks(spoken.paths, Node(name="m", address="10.0.0.1"), 1)}
    path = "/etc/kubernetes/manifests/kube-apiserver.yaml"
    (text,) = found["FileAvailable--etc-kubernetes-manifests-kube-apiserver.yaml"].errors
    assert text.startswith(f"{path} already exists")
    assert "kubeadm reset" in text


def test_no_container_runtime_is_said_with_its_mend(spoken: Any, tmp_path: Any) -> None:
    node = Node(name="m", address="10.0.0.1", cri_socket=f"unix://{tmp_path}/none.sock")
    found = {c.name: c for c in checks.join_checks(spoken.paths, node, control_plane=False)}["CRI"].look()
    assert found.errors[0].startswith(
        f"container runtime is not running: dial unix {tmp_path}/none.sock: connect: no such"
    )
    assert "systemctl start containerd" in found.errors[0]


def test_only_root_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks.os, "geteuid", lambda: 1000)
    assert checks.root_check().look().errors == ("user is not running as root: run it with sudo",)
