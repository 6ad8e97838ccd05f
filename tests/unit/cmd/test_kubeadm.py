"""The kubeadm command: flags, exit codes, and one clear text on the error output."""

from pathlib import Path

import pytest

from pybernetes.cmd.kubeadm import main


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["join", "10.0.0.1:6443"], 3, "pass --token"),
        (["join", "10.0.0.1:6443", "--token", "x"], 3, 'the bootstrap token "x" was not of the form'),
        (["join", "10.0.0.1", "--token", "abcdef.0123456789abcdef"], 3, "missing port in address"),
        (["init", "--apiserver-advertise-address", "10.0.0.1", "--pod-network-cidr", "x"], 3, "networking.podSubnet"),
        (["init", "--nonsense"], 1, "--nonsense"),
        (["init", "--token-ttl", "5"], 1, 'missing unit in duration "5"'),
        (["token", "list", "--kubeconfig", "/nonexistent"], 1, "no such file or directory"),
        (["frobnicate"], 1, "frobnicate"),
        (["init", "phase", "frobnicate", "--apiserver-advertise-address=10.0.0.1"], 1, "control-plane  "),
        ([], 1, "COMMAND"),
    ],
)
def test_wrong_use_is_one_text_and_an_exit_code(
    arguments: list[str], code: int, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == code
    said = capsys.readouterr()
    assert text in said.err
    assert "Traceback" not in said.err
    assert said.out == ""


def test_one_phase_runs_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--apiserver-advertise-address=10.0.0.1", f"--rootfs={tmp_path}", "--node-name=m1"]
    assert main(["init", "phase", "certs", "all", *flags]) == 0
    assert (tmp_path / "etc/kubernetes/pki/apiserver.crt").exists()
    assert main(["init", "phase", "kubeconfig", *flags]) == 0
    assert (tmp_path / "etc/kubernetes/admin.conf").exists()
    assert not (tmp_path / "etc/kubernetes/manifests").exists()
    assert "initialized successfully" not in capsys.readouterr().out


def test_configuration_file_stands_for_flags_and_is_not_mixed_with_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "kubeadm.yaml"
    file.write_text(
        "apiVersion: kubeadm.k8s.io/v1beta4\nkind: InitConfiguration\n"
        "localAPIEndpoint: {advertiseAddress: 10.0.0.7}\nbootstrapTokens: [{ttl: 1h}]\n"
    )
    flags = [f"--config={file}", f"--rootfs={tmp_path}", "--node-name=m1"]
    assert main(["init", "phase", "certs", *flags]) == 0
    assert "10.0.0.7" in capsys.readouterr().out
    assert main(["init", *flags, "--pod-network-cidr=10.0.0.0/8"]) == 3
    assert "can not mix '--config' with arguments [pod-network-cidr]" in capsys.readouterr().err


def test_small_commands_answer(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version", "-o", "short"]) == 0
    assert main(["config", "images", "list"]) == 0
    assert main(["token", "generate", "-v", "1"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "v1.37.0"
    assert "registry.k8s.io/kube-apiserver:v1.37.0" in said
