"""README's first command: the demonstration runs to its end, again right after, and leaves nothing on the machine."""

import os
import signal
import subprocess
import threading

import pytest

from pybernetes.localcluster.sweep import leftovers
from tests.e2e.conftest import BIN


def killed_at(title: str) -> None:
    """A demonstration that is killed with -9 once it has said `title`."""
    process = subprocess.Popen([str(BIN / "pybernetes"), "demo"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if title in line:
            break
    process.kill()
    process.stdout.close()
    process.wait()
    assert leftovers("demo") != []


def test_the_demonstration_goes_the_whole_way_and_cleans_up():
    if os.geteuid() != 0:
        pytest.skip("the demonstration needs root")
    killed_at("3. kubeadm init")  # what a killed one left is not in the way of the next
    ended = subprocess.run([str(BIN / "pybernetes"), "demo"], capture_output=True, text=True, timeout=500, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    for claim in (
        "the answer is the Pod's name",
        "imageID has the registry's digest",
        "side reaches web on localhost",
        "the Service goes on answering",
    ):
        assert f"- {claim}" in ended.stdout
    assert leftovers("demo") == []


def test_ctrl_c_takes_everything_away():
    if os.geteuid() != 0:
        pytest.skip("the demonstration needs root")
    process = subprocess.Popen(
        [str(BIN / "pybernetes"), "demo"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "2. Each host prepared" in line:
            process.send_signal(signal.SIGINT)
            break
    patience = threading.Timer(60, process.kill)
    patience.start()
    _, err = process.communicate()
    patience.cancel()
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert leftovers("demo") == []
