"""CNI commands that need no kernel: what is refused, and how."""

import asyncio
import json
from pathlib import Path
from typing import Any

from pybernetes.aio.simulation import run_simulated
from pybernetes.network.agent import PodNetwork, drop_broken_results


def _call(network: PodNetwork, command: str, config: object = None, **more: str) -> tuple[int, Any]:
    variables = {"CNI_COMMAND": command, "CNI_CONTAINERID": "c", "CNI_NETNS": "/gone", "CNI_IFNAME": "eth0"} | more
    head = "".join(f"{k}={v}\n" for k, v in variables.items())
    body = json.dumps(config or {"cniVersion": "0.4.0", "type": "pybernetes"})
    return run_simulated(network.handle(f"{head}\n{body}".encode()))


def test_before_the_node_has_a_range_the_runtime_is_asked_to_come_again(tmp_path: Path) -> None:
    code, answer = _call(PodNetwork(tmp_path), "ADD")
    assert code == 1
    assert answer == {"cniVersion": "0.4.0", "code": 11, "msg": "the node has no podCIDR yet"}
    assert list(tmp_path.iterdir()) == []


def test_check_of_an_unknown_container_fails(tmp_path: Path) -> None:
    code, answer = _call(PodNetwork(tmp_path), "CHECK")
    assert (code, answer["msg"]) == (1, "container c has no address")


def test_version_needs_nothing(tmp_path: Path) -> None:
    code, answer = _call(PodNetwork(tmp_path), "VERSION", {"cniVersion": "1.0.0"})
    assert (code, answer["cniVersion"]) == (0, "1.0.0")


def test_an_unknown_version_is_refused_in_the_runtimes_words(tmp_path: Path) -> None:
    code, answer = _call(PodNetwork(tmp_path), "ADD", {"cniVersion": "7.0.0", "type": "pybernetes"})
    assert (code, answer["code"]) == (1, 1)


def test_garbage_is_an_answer_too(tmp_path: Path) -> None:
    code, answer = asyncio.run(PodNetwork(tmp_path).handle(b"\xff\xfe"))
    assert code == 1
    assert answer is not None
    assert answer["code"] == 6


def test_half_written_results_of_the_runtime_are_dropped(tmp_path: Path) -> None:
    (tmp_path / "pod-network-a-eth0").write_text("")
    (tmp_path / "pod-network-b-eth0").write_text('{"kind": "cniCacheV1"}')
    assert [p.name for p in drop_broken_results(tmp_path)] == ["pod-network-a-eth0"]
    assert drop_broken_results(tmp_path / "nothing") == []
