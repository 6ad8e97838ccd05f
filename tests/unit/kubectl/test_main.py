"""kubectl's outside: unknown commands, help, errors and exit codes."""

import pytest

from pybernetes.api.errors import NotFound, invalid, required
from pybernetes.kubectl import main


def test_an_unknown_command_is_named(capsys: pytest.CaptureFixture[str]):
    assert main.run(["frobnicate"]) == 1
    assert capsys.readouterr().err == 'error: unknown command "frobnicate" for "kubectl"\n'


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]):
    assert main.run(["--help"]) == 0
    out = capsys.readouterr().out
    for name in ("get", "describe", "apply", "create", "delete", "logs", "exec", "scale", "rollout", "config"):
        assert f"  {name} " in out


@pytest.mark.parametrize("name", main._names())
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]):
    assert main.run([name, "--help"]) == 0
    assert f"usage: kubectl {name}" in capsys.readouterr().out


def test_a_server_that_is_away_is_said_in_kubectls_words(capsys: pytest.CaptureFixture[str], tmp_path):
    (tmp_path / "config").write_text("apiVersion: v1\nkind: Config\n")
    code = main.run(["get", "pods", f"--kubeconfig={tmp_path}/config", "--server=http://127.0.0.1:1"])
    assert code == 1
    err = capsys.readouterr().err
    assert err == "The connection to the server 127.0.0.1:1 was refused - did you specify the right host or port?\n"


def test_a_missing_kubeconfig_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path):
    assert main.run(["get", "pods", f"--kubeconfig={tmp_path}/none"]) == 1
    assert capsys.readouterr().err == f"error: stat {tmp_path}/none: no such file or directory\n"


def test_server_errors_have_kubectls_form():
    assert main.server_error(NotFound('pods "x" not found')) == 'Error from server (NotFound): pods "x" not found'
    one = invalid("", "Pod", "x", [required("spec.containers")])
    assert main.server_error(one) == 'The Pod "x" is invalid: spec.containers: Required value'
    two = invalid("", "Pod", "x", [required("spec.containers"), required("spec.dnsPolicy")])
    assert main.server_error(two) == (
        'The Pod "x" is invalid: \n* spec.containers: Required value\n* spec.dnsPolicy: Required value'
    )
