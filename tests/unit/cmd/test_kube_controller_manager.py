import argparse
from pathlib import Path

import pytest

from pybernetes.aio.clock import SystemClock
from pybernetes.client.pacing import Paced
from pybernetes.cmd import _leading, kube_controller_manager
from pybernetes.cmd._controller_flags import ACCEPTED, CONCURRENCY, add_flags, config_of, controllers_of, paced
from pybernetes.cmd._daemon import StartError
from pybernetes.controllers._zones import Rates
from pybernetes.controllers.runtime import known
from pybernetes.wire.http import Request, Response


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


def options(*arguments: str) -> argparse.Namespace:
    parser = _leading.parser(kube_controller_manager.COMPONENT)
    add_flags(parser)
    return parser.parse_args(arguments)


def test_help_names_all_controllers(capsys):
    with pytest.raises(SystemExit):
        kube_controller_manager.main(["--help"])
    said = "".join(capsys.readouterr().out.split())  # names are broken at their hyphens
    assert all(name in said for name in known())
    assert "Notof'*':bootstrap-signer-controller,token-cleaner-controller" in said


@pytest.mark.parametrize(("flag", "name"), CONCURRENCY.items())
def test_workers_of_a_controller_are_as_many_as_its_flag_says(flag: str, name: str) -> None:
    plain, found = controllers_of(options()), controllers_of(options(f"--{flag}=7"))
    assert plain.keys() == found.keys()
    assert {one for one in found if found[one] != plain[one]} == {name} & found.keys()
    if name in found:
        assert found[name].workers == 7


def test_flags_reach_the_controllers() -> None:
    found = config_of(
        options(
            *("--node-monitor-period=2s", "--node-eviction-rate=0.5", "--secondary-node-eviction-rate=0"),
            *("--large-cluster-size-threshold=7", "--unhealthy-zone-threshold=0.3", "--max-endpoints-per-slice=1000"),
            *("--service-cluster-ip-range=10.96.0.0/12,fd00::/108", "--mirroring-max-endpoints-per-subset=5"),
            *("--legacy-service-account-token-clean-up-period=48h", "--disable-force-detach-on-timeout"),
            *("--endpoint-updates-batch-period=1s", "--endpointslice-updates-batch-period=500ms"),
            "--mirroring-endpointslice-updates-batch-period=2s",
        )
    )
    assert (config_of(options()).force_detach, found.force_detach) == (True, False)
    assert found.node_monitor_period == 2
    assert found.rates == Rates(eviction=0.5, secondary=0, large_cluster=7, unhealthy_zone=0.3)
    assert (found.endpoints_per_slice, found.mirrored_per_subset) == (1000, 5)
    batches = (found.endpoint_batch_period, found.slice_batch_period, found.mirror_batch_period)
    assert batches == (1, 0.5, 2)
    assert found.legacy_token_period == 2 * 86400
    assert found.service_cidrs == ("10.96.0.0/12", "fd00::/108")


def test_recyclers_look_as_their_files_say(tmp_path: Path) -> None:
    file = tmp_path / "pod.yaml"
    file.write_text("metadata: {namespace: kube-system}\nspec: {containers: [{name: c, image: i}]}\n")
    flag = "--pv-recycler"
    found = config_of(
        options(
            *(f"{flag}-pod-template-filepath-nfs={file}", f"{flag}-minimum-timeout-nfs=7"),
            *(f"{flag}-increment-timeout-nfs=2", f"{flag}-timeout-increment-hostpath=3"),
        )
    ).recyclers
    assert found.nfs_template is not None
    assert found.nfs_template.metadata.namespace == "kube-system"
    assert (found.nfs_minimum, found.nfs_increment, found.host_path_minimum, found.host_path_increment) == (7, 2, 60, 3)
    file.write_text("spec: 5")
    with pytest.raises(StartError, match="holds no Pod"):
        config_of(options(f"{flag}-pod-template-filepath-hostpath={file}"))


def test_without_the_garbage_collector_the_others_run() -> None:
    assert set(controllers_of(options())) - set(controllers_of(options("--enable-garbage-collector=false"))) == {
        "garbage-collector-controller"
    }


@pytest.mark.parametrize(
    "flag",
    [
        "--max-endpoints-per-slice=1001",
        "--concurrent-job-syncs=0",
        "--node-eviction-rate=-1",
        "--cluster-cidr=x",
        "--legacy-service-account-token-clean-up-period=0s",
    ],
)
def test_values_that_no_flag_may_have_are_refused(flag: str) -> None:
    with pytest.raises(SystemExit) as end:
        options(flag)
    assert end.value.code == 2


def test_help_names_every_flag_by_its_part(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        kube_controller_manager.main(["--help"])
    assert end.value.code == 0
    said = capsys.readouterr().out
    parts = ("leader election:", "serving:", "controllers:", "nodes:", "certificates and accounts:", "endpoints:")
    assert all(f"\n{part}\n" in said for part in (*parts, "concurrency:", "accepted:"))
    assert all(f"--{flag}" in said for flag in (*CONCURRENCY, *ACCEPTED, "use-service-account-credentials"))


def pace(*arguments: str) -> tuple[float, float] | None:
    """Requests in a second and at once; None: as many as there are."""

    async def send(request: Request) -> Response:
        return Response(200)

    found = paced(options(*arguments), send, SystemClock())
    if found is send:
        return None
    assert isinstance(found, Paced)
    return 1 / found._each, round(found._ahead / found._each) + 1


def test_requests_are_held_back_only_where_somebody_says_so() -> None:
    assert pace() is None
    assert pace("--kube-api-qps=50", "--kube-api-burst=100") == (50, 100)
    assert pace("--kube-api-qps=50") == (50, 30)
    assert pace("--kube-api-burst=7") == (20, 7)
    assert pace("--kube-api-qps=0", "--kube-api-burst=0") == (5, 10)
    assert pace("--kube-api-qps=-1", "--kube-api-burst=7") is None


@pytest.mark.parametrize("wrong", ["--kube-api-qps=nan", "--kube-api-qps=much", "--kube-api-burst=-1"])
def test_a_pace_is_a_number(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        options(wrong)
    assert wrong.partition("=")[0] in capsys.readouterr().err
