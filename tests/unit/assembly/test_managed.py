"""The managed cluster: clear words where there is none, and a simulated one up and down as a user does it."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from pybernetes.aio.clock import SystemClock
from pybernetes.assembly import managed
from pybernetes.assembly.cluster import claimed
from pybernetes.assembly.progress import Progress
from pybernetes.kernel.processes import ProcessRef
from pybernetes.localcluster.errors import LocalClusterError, MissingRequirement

BIN = Path(sys.executable).parent
QUIET = Progress(SystemClock(), quiet=True)


async def test_an_unknown_cluster_is_named(tmp_path: Path) -> None:
    assert await managed.status("none", tmp_path, SystemClock()) == (
        "no cluster 'none': start one with `pybernetes up`",
        False,
    )
    with pytest.raises(LocalClusterError, match="no cluster 'none': nothing to take away"):
        await managed.down("none", tmp_path, SystemClock())
    with pytest.raises(LocalClusterError, match="no cluster 'none': start one"):
        managed.kubeconfig_of("none", tmp_path)


async def test_without_root_it_says_what_works_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(MissingRequirement, match="pybernetes up --simulated-nodes 3") as refused:
        await managed.up(managed.Settings("c", tmp_path, 3, 0, 0), QUIET, SystemClock())
    assert "root" in str(refused.value)
    assert os.listdir(tmp_path) == []


async def test_a_cluster_has_at_least_one_node(tmp_path: Path) -> None:
    with pytest.raises(LocalClusterError, match="--nodes must be at least 1"):
        await managed.up(managed.Settings("c", tmp_path, 0, 0, 0), QUIET, SystemClock())


async def test_a_record_of_a_process_that_is_another_now_is_no_cluster(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "simulated.json").write_text(json.dumps({"pid": os.getpid(), "started": 1}))
    assert await managed.status("c", tmp_path, SystemClock()) == ("cluster c: its process has ended", False)
    assert await managed.down("c", tmp_path, SystemClock()) == "cluster c is gone"
    assert os.listdir(tmp_path) == []


async def test_a_taken_port_is_told_and_nothing_stays(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        settings = managed.Settings("c", tmp_path, 0, 1, taken.getsockname()[1])
        with pytest.raises(LocalClusterError, match="choose another with --api-port"):
            await managed.up(settings, QUIET, SystemClock())
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["", "..", "../x", "/etc", "A_b", "a" * 64])
async def test_a_name_that_is_no_name_touches_nothing(name: str, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "mine").touch()
    with pytest.raises(LocalClusterError, match="cannot be a cluster's name"):
        await managed.up(managed.Settings(name, state, 0, 1, 0), QUIET, SystemClock())
    with pytest.raises(LocalClusterError, match="cannot be a cluster's name"):
        await managed.down(name, state, SystemClock())
    assert (tmp_path / "x" / "mine").exists()
    assert state.exists()


async def test_down_takes_away_only_what_is_a_cluster(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "mine").touch()
    with pytest.raises(LocalClusterError, match="no cluster 'photos'"):
        await managed.down("photos", tmp_path, SystemClock())
    assert (tmp_path / "photos" / "mine").exists()


@pytest.mark.parametrize(
    ("nodes", "simulated", "port", "text"),
    [
        (3, -1, 0, "--simulated-nodes must be at least 1"),
        (300, 0, 0, "--nodes must be at most 244"),
        (3, 0, 70000, "--api-port must be a port"),
        (3, 0, -4, "--api-port must be a port"),
    ],
)
async def test_numbers_that_cannot_be_are_refused(
    nodes: int, simulated: int, port: int, text: str, tmp_path: Path
) -> None:
    with pytest.raises(LocalClusterError, match=text):
        await managed.up(managed.Settings("c", tmp_path, nodes, simulated, port), QUIET, SystemClock())
    assert os.listdir(tmp_path) == []


async def test_two_commands_do_not_work_on_one_cluster(tmp_path: Path) -> None:
    with claimed(managed.folder_of("c", tmp_path)):
        with pytest.raises(LocalClusterError, match="another pybernetes command is working on cluster 'c'"):
            await managed.up(managed.Settings("c", tmp_path, 0, 1, 0), QUIET, SystemClock())
        with pytest.raises(LocalClusterError, match="another pybernetes command"):
            await managed.down("c", tmp_path, SystemClock())
    with pytest.raises(LocalClusterError, match="nothing to take away"):
        await managed.down("c", tmp_path, SystemClock())


@dataclass(frozen=True)
class Shell:
    """The command as a user has it, on clusters of its own."""

    folder: Path

    def run(self, command: str, *words: str, code: int = 0) -> str:
        """Its output; what it says as an error where it is to fail."""
        argv = [str(BIN / "pybernetes"), command, *words, "--state-dir", str(self.folder), "--name", "t"]
        ended = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
        assert ended.returncode == code, ended.stderr + ended.stdout
        assert "Traceback" not in ended.stderr
        return ended.stderr if code and not ended.stdout else ended.stdout

    @property
    def pid(self) -> int:
        """The process that is the cluster."""
        return int(json.loads((self.folder / "t" / "simulated.json").read_text())["pid"])


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    made = Shell(tmp_path)
    yield made
    with suppress(FileNotFoundError, ProcessLookupError):
        os.kill(made.pid, signal.SIGKILL)


def test_up_status_kubeconfig_down(shell: Shell) -> None:
    assert "cluster t is up" in shell.run("up", "--simulated-nodes", "2", "--api-port", "0")
    assert "simulated nodes, process" in shell.run("status")
    assert "is up already" in shell.run("up", "--simulated-nodes", "2", code=1)
    config = shell.folder / "config"
    config.write_text(shell.run("kubeconfig"))
    nodes = subprocess.run(
        [BIN / "kubectl", "--kubeconfig", config, "get", "nodes", "-o", "name"],
        capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    assert nodes.stdout.split() == ["node/simulated-1", "node/simulated-2"]
    process = ProcessRef.of(shell.pid)
    assert shell.run("down") == "cluster t is gone\n"
    assert not process.alive()
    assert not (shell.folder / "t").exists()
    assert "no cluster 't'" in shell.run("status", code=1)


def test_down_after_kill_leaves_nothing(shell: Shell) -> None:
    shell.run("up", "--simulated-nodes", "1")
    os.kill(shell.pid, signal.SIGKILL)
    assert "its process has ended" in shell.run("status", code=1)
    shell.run("down")
    assert not (shell.folder / "t").exists()


def test_two_clusters_come_up_at_once_with_ports_of_their_own(tmp_path: Path) -> None:
    shells = [Shell(tmp_path / name) for name in ("one", "two")]
    try:
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda shell: shell.run("up", "--simulated-nodes", "1"), shells))
        servers = {shell.run("kubeconfig").partition("server: ")[2].split()[0] for shell in shells}
        assert len(servers) == 2
    finally:
        for shell in shells:
            shell.run("down")
