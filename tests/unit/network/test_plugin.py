"""The CNI program: what it sends, what it prints, and its patience with an agent that comes and goes."""

import json
import platform
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import pybernetes.network
from pybernetes.network.cni import parse_request

PROGRAM = Path(pybernetes.network.__file__).parent / "native" / "cni"
CONFIG = json.dumps({"cniVersion": "0.4.0", "type": "pybernetes", "filler": "x" * 100_000}).encode()

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="the program is built for x86_64")


def _call(path: Path, serve: Callable[[socket.socket], object]) -> "subprocess.CompletedProcess[bytes]":
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        env = {"CNI_COMMAND": "ADD", "CNI_CONTAINERID": "c", "CNI_NETNS": "/n", "CNI_IFNAME": "eth0", "HOME": "/x",
               "PYBERNETES_CNI_SOCKET": str(path)}  # fmt: skip
        try:
            return subprocess.run([PROGRAM], input=CONFIG, capture_output=True, env=env, timeout=30, check=False)
        finally:
            thread.join()


def _receive(peer: socket.socket) -> bytes:
    data = b""
    while part := peer.recv(65536):
        data += part
    return data


@pytest.mark.parametrize("code", [0, 1])
def test_it_hands_over_everything_and_gives_back_the_answer(tmp_path: Path, code: int) -> None:
    heard: list[bytes] = []
    answer = b"y" * 200_000

    def serve(listener: socket.socket) -> None:
        peer, _ = listener.accept()
        with peer:
            heard.append(_receive(peer))
            peer.sendall(f"{code}\n".encode() + answer)

    result = _call(tmp_path / "s", serve)
    assert (result.returncode, result.stdout) == (code, answer)
    request = parse_request(heard[0])
    assert (request.command, request.container, request.config["filler"]) == ("ADD", "c", "x" * 100_000)
    assert b"HOME" not in heard[0]


def test_an_agent_killed_at_work_is_asked_again(tmp_path: Path) -> None:
    def serve(listener: socket.socket) -> None:
        for answer in (b"", b"0\n{}\n"):
            peer, _ = listener.accept()
            with peer:
                _receive(peer)
                peer.sendall(answer)

    result = _call(tmp_path / "s", serve)
    assert (result.returncode, result.stdout) == (0, b"{}\n")
