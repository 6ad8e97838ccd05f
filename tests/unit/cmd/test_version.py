"""--version of the components."""

import re
from collections.abc import Callable

import pytest

from pybernetes import KUBERNETES_VERSION
from pybernetes.cmd import kube_apiserver, kube_controller_manager, kube_proxy, kube_scheduler, kubeadm, kubelet

MAINS = [kube_apiserver.main, kube_controller_manager.main, kube_proxy.main, kube_scheduler.main, kubelet.main]
INFO = re.compile(
    r'version\.Info\{Major:"1", Minor:"\d+", EmulationMajor:"", EmulationMinor:"", MinCompatibilityMajor:"", '
    rf'MinCompatibilityMinor:"", GitVersion:"{KUBERNETES_VERSION}", GitCommit:"[^"]*", GitTreeState:"clean", '
    r'BuildDate:"[^"]+", GoVersion:"[^"]*", Compiler:"\w+[\d.]+", Platform:"linux/\w+"\}\n'
)


@pytest.mark.parametrize("main", MAINS)
def test_every_component_tells_its_version_in_two_ways(
    main: Callable[[list[str]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    for flag in ("--version", "--version=true", "--version=T"):
        with pytest.raises(SystemExit) as ended:
            main([flag])
        assert (ended.value.code, capsys.readouterr().out) == (0, f"Kubernetes {KUBERNETES_VERSION}\n")
    with pytest.raises(SystemExit) as ended:
        main(["--version=raw"])
    assert ended.value.code == 0
    assert INFO.fullmatch(capsys.readouterr().out)


@pytest.mark.parametrize("main", MAINS)
def test_another_version_is_refused(main: Callable[[list[str]], None], capsys: pytest.CaptureFixture[str]) -> None:
    for text, why in (
        ("maybe", 'invalid argument "maybe" for "--version" flag: strconv.ParseBool: parsing "maybe": invalid syntax'),
        ("v0.1.0", f'invalid argument "v0.1.0" for "--version" flag: the version is {KUBERNETES_VERSION}'),
    ):
        with pytest.raises(SystemExit) as ended:
            main([f"--version={text}"])
        assert ended.value.code in (1, 2)
        assert why in capsys.readouterr().err


@pytest.mark.parametrize("parser", [kube_apiserver.parser, kube_proxy.parser])
def test_false_and_the_version_itself_let_the_command_run(parser: Callable[[], object]) -> None:
    for text in ("false", "0", KUBERNETES_VERSION):
        parser().parse_args([f"--version={text}"])


def test_kubeadm_tells_all_that_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    assert kubeadm.main(["version"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("kubeadm version: &")
    assert INFO.fullmatch(said.removeprefix("kubeadm version: &"))
    assert kubeadm.main(["version", "-o", "yaml"]) == 0
    assert f"  gitVersion: {KUBERNETES_VERSION}\n" in capsys.readouterr().out
