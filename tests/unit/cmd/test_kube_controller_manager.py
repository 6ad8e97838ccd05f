import pytest

from pybernetes.cmd import kube_controller_manager


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--kubeconfig", "/nope"], "cannot read /nope: No such file or directory"),
        (["--root-ca-file", "/nope"], "cannot read /nope: No such file or directory"),
        (["--controllers", "nope"], '"nope" is not in the list of known controllers'),
        (["--allocate-node-cidrs"], "--allocate-node-cidrs needs --cluster-cidr"),
        (["--cluster-signing-cert-file", "/dev/null"], "go together"),
        (
            [
                "--cluster-signing-kubelet-client-cert-file",
                "/dev/null",
                "--cluster-signing-kubelet-client-key-file",
                "/x",
            ],
            "cannot read /x: No such file or directory",
        ),
    ],
)
def test_what_cannot_start_says_why_in_a_line(arguments, said, capsys):
    with pytest.raises(SystemExit) as end:
        kube_controller_manager.main(arguments)
    assert end.value.code == 1
    error = capsys.readouterr().err
    assert said in error
    assert error.startswith("kube-controller-manager: ")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("flag", "value"),
    [("tolerance", "-0.1"), ("tolerance", "nan"), ("tolerance", "much"), ("sync-period", "0s"), ("sync-period", "-1s")],
)
def test_autoscalers_are_looked_at_now_and_then_and_bear_a_share(flag, value, capsys):
    with pytest.raises(SystemExit):
        kube_controller_manager.main([f"--horizontal-pod-autoscaler-{flag}={value}"])
    assert f"--horizontal-pod-autoscaler-{flag}" in capsys.readouterr().err
