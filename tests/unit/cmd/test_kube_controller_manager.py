import argparse

import pytest

from pybernetes.cmd import kube_controller_manager
from pybernetes.cmd.kube_controller_manager import duration


@pytest.mark.parametrize(("text", "seconds"), [("40s", 40), ("1m30s", 90), ("8760h", 8760 * 3600), ("1.5h", 5400)])
def test_durations_are_those_of_go(text: str, seconds: float):
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["40", "", "s", "1m 2s", "-1s"])
def test_other_texts_are_no_durations(text: str):
    with pytest.raises(argparse.ArgumentTypeError):
        duration(text)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--kubeconfig", "/nope"], "cannot read /nope: No such file or directory"),
        (["--root-ca-file", "/nope"], "cannot read /nope: No such file or directory"),
        (["--controllers", "nope"], '"nope" is not in the list of known controllers'),
        (["--allocate-node-cidrs"], "--allocate-node-cidrs needs --cluster-cidr"),
        (["--cluster-signing-cert-file", "/dev/null"], "it is empty"),
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
