"""What is missing on a machine is said in one line, with the mend."""

from pathlib import Path

import pytest

from pybernetes.localcluster import sandbox
from pybernetes.localcluster.errors import LocalClusterError, MissingRequirement, NodeDown
from pybernetes.localcluster.sandbox import NodeSandbox, Result, check_machine
from pybernetes.localcluster.spec import NodeSpec
from pybernetes.localcluster.switch import Switch, node_address, port_name


def _refusal(monkeypatch: pytest.MonkeyPatch, *, uid: int = 0, path: str = "/nowhere", kind: str = "ext4") -> str:
    monkeypatch.setattr(sandbox.os, "geteuid", lambda: uid)
    monkeypatch.setattr(sandbox, "node_path", lambda: path)
    monkeypatch.setattr(sandbox.mounts, "filesystem_of", lambda _: kind)
    with pytest.raises(MissingRequirement) as caught:
        check_machine(Path("/x"))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_without_root_simulated_nodes_are_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _refusal(monkeypatch, uid=1000) == "nodes need root: run with sudo, or use --simulated-nodes N"


def test_a_missing_program_names_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("nsenter", "setpriv"):
        (tmp_path / name).touch(0o755)
    assert _refusal(monkeypatch, path=str(tmp_path)) == (
        "containerd is missing: apt-get install containerd (or make setup)"
    )
    for name in ("containerd", "ctr", "runc"):
        (tmp_path / name).touch(0o755)
    assert _refusal(monkeypatch, path=str(tmp_path)) == (
        "docker-registry is missing: apt-get install docker-registry (or make setup)"
    )


def test_state_on_an_overlay_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("nsenter", "setpriv", "containerd", "ctr", "runc", "docker-registry"):
        (tmp_path / name).touch(0o755)
    assert "choose a folder on a disk with --state-dir" in _refusal(monkeypatch, path=str(tmp_path), kind="overlay")


def test_a_node_that_is_off_says_so(tmp_path: Path) -> None:
    spec = NodeSpec(cluster="c", name="n", address=node_address(0), state_dir=str(tmp_path))
    node = NodeSandbox(spec, Switch("c"))
    assert not node.running
    with pytest.raises(NodeDown, match="node n is powered off"):
        node.path("/etc/hosts")
    (tmp_path / "init.json").write_text('{"pid": 1, "started": 1}')
    assert not node.running, "a pid that another process has now is not the node"


def test_a_failed_command_shows_its_last_line() -> None:
    assert Result(0, "fine\n", "").check() == "fine\n"
    with pytest.raises(LocalClusterError, match="command in node failed with 2: the reason"):
        Result(2, "", "something\nthe reason\n").check()


def test_node_addresses_are_counted_from_the_first() -> None:
    assert [node_address(n) for n in (0, 1, 20)] == ["172.30.0.11", "172.30.0.12", "172.30.0.31"]


def test_ports_of_nodes_with_long_names_are_told_apart() -> None:
    names = [f"a-node-with-a-long-name-{n}" for n in range(3)]
    assert port_name("worker-1") == "worker-1"
    assert len({port_name(name) for name in names}) == 3
    assert all(len(port_name(name)) <= 15 for name in names)
