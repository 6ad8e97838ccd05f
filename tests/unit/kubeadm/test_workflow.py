"""Phases: found, ordered, run, and named when they fail."""

import pytest

from pybernetes.aio.discover import DiscoveryError
from pybernetes.api.errors import Forbidden
from pybernetes.kubeadm.config import Checks, InitConfig, Networking, Node
from pybernetes.kubeadm.errors import KubeadmError
from pybernetes.kubeadm.tokens import Token
from pybernetes.kubeadm.workflow import Context, Phase, ordered, phases_of, run_phases


async def nothing(context: Context[InitConfig]) -> None:
    pass


def context_of(checks: Checks, spoken: object) -> Context[InitConfig]:
    machine = spoken.machine  # type: ignore[attr-defined]
    token = Token("abcdef", "0123456789abcdef")
    config = InitConfig(node=Node(name="m1", address="10.0.0.1"), networking=Networking(), token=token, checks=checks)
    return Context(config, machine.paths, machine.clock, machine.say, machine.warn)


def test_init_and_join_run_in_upstreams_order() -> None:
    assert [phase.name for phase in phases_of("init")] == [
        "preflight",
        "certs",
        "kubeconfig",
        "control-plane",
        "kubelet-start",
        "wait-control-plane",
        "upload-config",
        "upload-certs",
        "mark-control-plane",
        "bootstrap-token",
        "addon-kube-proxy",
    ]
    assert [phase.name for phase in phases_of("join")] == [
        "preflight",
        "discovery",
        "control-plane-preflight",
        "control-plane-prepare",
        "kubelet-start",
        "kubelet-wait-bootstrap",
        "addon-kube-proxy",
        "control-plane-join",
        "wait-control-plane",
    ]


def test_an_order_that_cannot_be_is_a_fault_at_start() -> None:
    first = Phase(name="a", help="", run=nothing, after=("b",))
    with pytest.raises(DiscoveryError, match="which there is not"):
        ordered([first])
    with pytest.raises(DiscoveryError, match="wait for each other"):
        ordered([first, Phase(name="b", help="", run=nothing, after=("a",))])


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (KubeadmError("why"), "error execution phase p: why"),
        (Forbidden("no"), "error execution phase p: no"),
        (PermissionError(13, "Permission denied", "/etc/x"), "error execution phase p: /etc/x: permission denied"),
        (ConnectionError("dial tcp"), "error execution phase p: dial tcp"),
    ],
)
async def test_failure_names_the_phase_and_ends_the_run(error: Exception, text: str, spoken: object) -> None:
    async def fail(context: Context[InitConfig]) -> None:
        raise error

    context = context_of(Checks(), spoken)
    with pytest.raises(KubeadmError) as caught:
        await run_phases(context, [Phase(name="p", help="", run=fail), Phase(name="q", help="", run=nothing)])
    assert str(caught.value) == text
    assert context.started == ["p"]


async def test_skipped_phases_do_not_run(spoken: object) -> None:
    context = context_of(Checks(skipped_phases=frozenset({"p"})), spoken)
    await run_phases(context, [Phase(name="p", help="", run=nothing), Phase(name="q", help="", run=nothing)])
    assert context.started == ["q"]
