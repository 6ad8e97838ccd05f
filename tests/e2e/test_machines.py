"""`pybernetes up` and `down` under hostile hands: killed, interrupted, repeated, beside another, without root."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from pybernetes.assembly.door import open_door, port_of
from pybernetes.localcluster.errors import MissingRequirement
from pybernetes.localcluster.sandbox import check_machine
from pybernetes.localcluster.spec import STATE_DIR
from pybernetes.localcluster.sweep import clusters, leftovers, sweep
from tests.e2e.conftest import BIN

NAME, OTHER = "e2e-machines", "e2e-other"
PYBERNETES = str(BIN / "pybernetes")


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Nothing of ours is on the machine, before and after."""
    try:
        check_machine(Path("/var/lib"))
    except MissingRequirement as error:
        pytest.skip(str(error))
    for name in (NAME, OTHER):
        sweep(name, disks=True)
    yield
    for name in (NAME, OTHER):
        sweep(name, disks=True)
        assert leftovers(name) == []


def run(*words: str, code: int = 0, name: str = NAME) -> str:
    """A pybernetes command to its end; all that it said."""
    argv = [PYBERNETES, words[0], "--name", name, *words[1:]]
    ended = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=200, check=False)
    assert ended.returncode == code, ended.stdout
    assert "Traceback" not in ended.stdout
    return ended.stdout


def kubectl(*words: str, name: str = NAME) -> str:
    argv = [str(BIN / "kubectl"), "--kubeconfig", str(STATE_DIR / name / "admin.conf"), *words]
    ended = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def interrupted(number: signal.Signals, after: str) -> tuple[int, str]:
    """`up` that gets a signal once it has said `after`; its exit code and its words."""
    process = subprocess.Popen(
        [PYBERNETES, "up", "--nodes", "2", "--name", NAME],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if after in line:
            process.send_signal(number)
            break
    said += process.stdout.read()
    process.stdout.close()
    return process.wait(60), said


def machine() -> str:
    """What `up` must leave as it was: the machine's addresses, routes, tables, settings and mounts."""
    commands = ("ip -o addr", "ip route", "ip -6 route", "ip rule", "nft list ruleset", "sysctl -a --pattern forward")
    outputs = [subprocess.run(c.split(), capture_output=True, text=True, check=False).stdout for c in commands]
    mounts = sorted(line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines())
    kept = "\n".join([*outputs, *mounts]).replace("\\", "")
    return "\n".join(line for line in kept.splitlines() if "valid_lft" not in line and "/run/netns" not in line)


@pytest.mark.parametrize("moment", ["the machine is fit", "a switch", "machines with", "kubeadm init", "kubeadm join"])
def test_up_after_kill_9_of_up_begins_anew(moment: str):
    code, said = interrupted(signal.SIGKILL, moment)
    assert code == -signal.SIGKILL, said
    assert "half made" in run("status", code=1)
    assert "is up" in run("up", "--nodes", "1")
    assert json.loads(kubectl("get", "nodes", "-o", "json"))["items"][0]["metadata"]["name"] == "master"
    run("down")
    assert leftovers(NAME) == []
    assert not (STATE_DIR / NAME).exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("moment", ["the machine is fit", "machines with", "kubeadm init"])
def test_an_interrupted_up_leaves_nothing(number: signal.Signals, moment: str):
    code, said = interrupted(number, moment)
    assert code == 130, said
    assert "Traceback" not in said
    assert leftovers(NAME) == []
    assert not (STATE_DIR / NAME).exists()
    assert "nothing to take away" in run("down", code=1)


def test_down_that_was_killed_is_ended_by_the_next_or_by_up():
    for end in ("down", "up"):
        run("up", "--nodes", "1")
        process = subprocess.Popen([PYBERNETES, "down", "--name", NAME])
        record = STATE_DIR / NAME / "cluster.json"
        while record.exists() and '"complete":true' in record.read_text():
            time.sleep(0.005)
        process.kill()
        process.wait()
        run(end)
    run("down")


def test_the_machine_stays_as_it_was():
    if clusters():
        pytest.skip("another cluster is on this machine: its routes come and go")
    before = machine()
    run("up", "--nodes", "1")
    run("down")
    assert machine() == before


def test_two_clusters_live_side_by_side():
    run("up", "--nodes", "1")
    run("up", "--nodes", "1", name=OTHER)
    kubectl("create", "configmap", "mine")
    assert "mine" not in kubectl("get", "configmaps", "-o", "name", name=OTHER)
    assert "is up already" in run("up", code=1)
    run("down", name=OTHER)
    assert "mine" in kubectl("get", "configmaps", "-o", "name")
    run("down")


def test_a_cluster_outlives_a_reboot_of_the_machine():
    run("up", "--nodes", "2")
    kubectl("create", "configmap", "kept")
    boots = kubectl("get", "nodes", "-o", "jsonpath={.items[*].status.nodeInfo.bootID}")
    sweep(NAME)  # everything but the disks goes
    assert "switches on what is off" in run("status", code=1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", int(run("status", code=1).partition("127.0.0.1:")[2].split()[0])))
        taken.listen()
        assert "choose another with --api-port" in run("up", code=1)
        with open_door() as free:
            port = port_of(free)
        assert "is up" in run("up", "--api-port", str(port))
    assert "kept" in kubectl("get", "configmaps", "-o", "name")
    kubectl("wait", "nodes", "--all", "--for=condition=Ready", "--timeout=60s")
    assert not set(boots.split()) & set(
        kubectl("get", "nodes", "-o", "jsonpath={.items[*].status.nodeInfo.bootID}").split()
    )
    run("down")


def test_a_taken_port_is_said_before_anything_is_made():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        said = run("up", "--api-port", str(taken.getsockname()[1]), code=1)
    assert "Address already in use; choose another with --api-port" in said
    assert not (STATE_DIR / NAME).exists()


def test_a_disk_that_is_too_small_is_said_and_nothing_stays(tmp_path: Path):
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "small", str(disk)], check=True)
    try:
        said = run("up", "--nodes", "1", "--state-dir", str(disk), code=1)
        assert f"{disk} has 1 MB free, a cluster needs 640" in said
        assert os.listdir(disk) == []
        assert leftovers(NAME) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_state_folder_on_an_overlay_is_refused(tmp_path: Path):
    for name in ("lower", "upper", "work", "disk"):
        (tmp_path / name).mkdir()
    layers = ",".join(f"{kind}dir={tmp_path / kind}" for kind in ("lower", "upper", "work"))
    made = subprocess.run(["mount", "-t", "overlay", "overlay", "-o", layers, str(tmp_path / "disk")], check=False)
    if made.returncode:
        pytest.skip("an overlay cannot be mounted here")
    try:
        said = run("up", "--state-dir", str(tmp_path / "disk" / "state"), code=1)
        assert "choose a folder on a disk with --state-dir" in said
        assert os.listdir(tmp_path / "disk") == []
    finally:
        subprocess.run(["umount", str(tmp_path / "disk")], check=True)


def test_without_root_simulated_nodes_work(tmp_path_factory: pytest.TempPathFactory):
    python = shutil.which("python3", path="/usr/bin")  # one that everybody may run, with the packages of this one
    home = Path("/var/tmp/pybernetes-e2e-home")
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    os.chown(home, 65534, 65534)
    paths = os.pathsep.join(path for path in sys.path if path)
    environment = {"HOME": str(home), "PATH": "/usr/bin:/bin", "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}

    def nobody(*words: str) -> "subprocess.CompletedProcess[str]":
        argv = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", str(python), "-m", *words]
        return subprocess.run(argv, env=environment, cwd=home, capture_output=True, text=True, timeout=100, check=False)

    try:
        if python is None or nobody("pybernetes.cmd.pybernetes", "--version").returncode:
            pytest.skip("no Python here that nobody may run")
        refused = nobody("pybernetes.cmd.pybernetes", "up")
        assert refused.returncode == 1
        assert "need root" in refused.stderr
        assert "pybernetes up --simulated-nodes" in refused.stderr
        started = nobody("pybernetes.cmd.pybernetes", "up", "--simulated-nodes", "2")
        assert started.returncode == 0, started.stderr
        conf = str(home / ".local/state/pybernetes/clusters/local/admin.conf")
        shown = nobody("pybernetes.cmd.kubectl", "--kubeconfig", conf, "get", "nodes", "-o", "name")
        assert shown.stdout.split() == ["node/simulated-1", "node/simulated-2"]
        assert nobody("pybernetes.cmd.pybernetes", "down").returncode == 0
    finally:
        nobody("pybernetes.cmd.pybernetes", "down")
        shutil.rmtree(home, ignore_errors=True)


def test_a_full_disk_refuses_writes_and_heals(tmp_path: Path):
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1g", "small", str(disk)], check=True)
    kubeconfig = str(disk / NAME / "admin.conf")

    def ask(*words: str) -> "subprocess.CompletedProcess[str]":
        argv = [str(BIN / "kubectl"), "--kubeconfig", kubeconfig, *words]
        return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)

    def fill() -> None:
        with suppress(OSError), (disk / "fill").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))

    def written(count: int, prefix: str) -> tuple[set[str], str]:
        answers = [ask("create", "configmap", f"{prefix}-{i}", "-o", "name") for i in range(count)]
        return {a.stdout.strip() for a in answers if a.returncode == 0}, "".join(a.stderr for a in answers)

    try:
        run("up", "--nodes", "1", "--state-dir", str(disk))
        acknowledged, _ = written(3, "before")
        assert len(acknowledged) == 3
        fill()
        more, said = written(40, "full")  # the store's file has some room of its own left
        acknowledged |= more
        assert "the disk is full; free some space and try again" in said
        api = subprocess.run(["pgrep", "-f", "kube-apiserver"], capture_output=True, text=True, check=True).stdout
        ours = [pid for pid in api.split() if f"pyb-{NAME}/" in Path(f"/proc/{pid}/cgroup").read_text()]
        os.kill(int(ours[0]), signal.SIGKILL)
        (disk / "fill").unlink()
        for _ in range(100):
            if ask("create", "configmap", "healed").returncode == 0:
                break
            threading.Event().wait(0.1)
        there = set(ask("get", "configmaps", "-o", "name").stdout.split())
        assert acknowledged | {"configmap/healed"} <= there
        run("down", "--state-dir", str(disk))
        assert os.listdir(disk) == []
    finally:
        sweep(NAME, disks=True, state_dir=disk)
        subprocess.run(["umount", str(disk)], check=True)
