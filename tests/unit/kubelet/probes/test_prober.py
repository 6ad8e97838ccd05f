"""Probes: thresholds, gates and delays, on virtual time."""

import asyncio
import contextlib
from collections.abc import Callable

from msgspec.structs import replace
from tests.unit.kubelet.pods import container, run

from pybernetes.aio.simulation import EPOCH, SimulatedClock, run_simulated
from pybernetes.api.types import core_v1
from pybernetes.kubelet import metrics
from pybernetes.kubelet.cri.model import ExecResult
from pybernetes.kubelet.hooks import Hooks
from pybernetes.kubelet.pod_actions import Health
from pybernetes.kubelet.probes.prober import Prober, Target, has_probes

EXEC = core_v1.ExecAction(command=("check",))


class Container:
    """Answers exec by the time that has passed."""

    def __init__(self, healthy: Callable[[float], bool], clock: SimulatedClock) -> None:
        self._healthy = healthy
        self._clock = clock
        self.asked: list[tuple[str, ...]] = []

    async def exec(self, container: str, command: tuple[str, ...], timeout: float) -> ExecResult:
        self.asked.append(command)
        ok = self._healthy(self._clock.monotonic())
        return ExecResult(0 if ok else 1, b"", b"" if ok else b"no")


def history(
    wanted: core_v1.Container,
    healthy: Callable[[float], bool],
    seconds: float,
    old: core_v1.ContainerStatus | None = None,
    *,
    ends: float = 1e9,
    jitter: float = 0.0,
) -> tuple[list[tuple[float, Health]], list[str]]:
    """When health changed to what, and what was told."""
    changes: list[tuple[float, Health]] = []
    told: list[str] = []

    async def main() -> None:
        clock = SimulatedClock(asyncio.get_running_loop())

        def note(health: Health) -> None:
            shown = replace(health, answered=True)
            if not changes or changes[-1][1] != shown:
                changes.append((clock.monotonic(), shown))

        hooks = Hooks(Container(healthy, clock), clock)
        prober = Prober(Target(wanted, run(started=EPOCH), "10.0.0.7"), hooks, clock, jitter)
        note(prober.begin(old))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await prober.run(note, lambda reason, text: told.append(text), lambda: clock.monotonic() >= ends)

    run_simulated(main())
    return changes, told


def test_a_container_without_probes_has_none() -> None:
    assert not has_probes(container())


def test_a_container_is_not_ready_before_its_first_success() -> None:
    probe = core_v1.Probe(exec=EXEC, periodSeconds=5, initialDelaySeconds=3)
    found, told = history(container(readinessProbe=probe), lambda t: t > 6, 20)
    assert found == [(0.0, Health(ready=False)), (8.0, Health(ready=True))]
    assert told == ["Readiness probe failed: no"]


def test_ready_is_lost_after_so_many_failures_in_a_row() -> None:
    probe = core_v1.Probe(exec=EXEC, periodSeconds=1, failureThreshold=3)
    found, _ = history(container(readinessProbe=probe), lambda t: t < 5 or t == 6, 20)
    assert found == [(0.0, Health(ready=False)), (0.0, Health(ready=True)), (9.0, Health(ready=False))]


def test_liveness_asks_for_a_restart() -> None:
    probe = core_v1.Probe(exec=EXEC, periodSeconds=2, failureThreshold=2, terminationGracePeriodSeconds=4)
    found, told = history(container(livenessProbe=probe), lambda t: t < 3, 10)
    assert found[-1][0] == 6.0
    assert found[-1][1].unhealthy == "Container c failed liveness probe"
    assert found[-1][1].grace == 4.0
    assert "Liveness probe failed: no" in told


def test_the_startup_probe_holds_back_both_others() -> None:
    wanted = container(
        startupProbe=core_v1.Probe(exec=EXEC, periodSeconds=1, failureThreshold=30),
        livenessProbe=core_v1.Probe(exec=EXEC, periodSeconds=1, failureThreshold=1),
        readinessProbe=core_v1.Probe(exec=EXEC, periodSeconds=1),
    )
    found, _ = history(wanted, lambda t: t >= 5, 10)
    assert found[0] == (0.0, Health(started=False, ready=False))
    assert found[1] == (5.0, Health(started=True, ready=False))
    assert found[2] == (5.0, Health(started=True, ready=True))


def test_a_container_that_was_ready_stays_so_when_the_kubelet_restarts() -> None:
    probe = core_v1.Probe(exec=EXEC, periodSeconds=1)
    old = core_v1.ContainerStatus(name="c", ready=True, started=True)
    found, _ = history(container(readinessProbe=probe), lambda t: True, 5, old)
    assert found == [(0.0, Health(ready=True))]


def test_it_is_known_whether_probes_have_said_if_a_container_is_ready() -> None:
    probe = core_v1.Probe(exec=EXEC, periodSeconds=1, failureThreshold=3)
    found: list[tuple[float, bool, bool]] = []

    async def main() -> None:
        clock = SimulatedClock(asyncio.get_running_loop())
        target = Target(container(readinessProbe=probe, startupProbe=probe), run(started=EPOCH), "10.0.0.7")
        prober = Prober(target, Hooks(Container(lambda t: t < 1, clock), clock), clock)
        found.append((0.0, prober.begin(None).started, prober.begin(None).answered))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(10):
                await prober.run(
                    lambda health: found.append((clock.monotonic(), health.started, health.answered)),
                    lambda *_: None,
                )

    run_simulated(main())
    # What startup says is no answer, one success is one, and so are as many failures as count.
    assert found == [(0.0, False, False), (0.0, True, False), (0.0, True, True), (3.0, True, True)]


def test_a_container_that_is_unhealthy_is_asked_no_more() -> None:
    metrics.forget_probes(run().pod.uid)
    probe = core_v1.Probe(exec=EXEC, periodSeconds=1, failureThreshold=2)
    history(container(livenessProbe=probe), lambda t: False, 30)
    assert {labels[:2]: n for labels, n in metrics.PROBES.values.items()} == {("Liveness", "failed"): 2}


def test_readiness_alone_is_asked_while_the_pod_ends() -> None:
    wanted = container(
        livenessProbe=core_v1.Probe(exec=EXEC, periodSeconds=1, failureThreshold=1),
        readinessProbe=core_v1.Probe(exec=EXEC, periodSeconds=1, failureThreshold=1),
    )
    found, told = history(wanted, lambda t: t < 5, 10, ends=4)
    assert found[-1] == (5.0, Health(ready=False))
    assert all(text.startswith("Readiness") for text in told)


def test_a_pod_that_ends_before_it_has_started_is_left_in_peace() -> None:
    wanted = container(startupProbe=core_v1.Probe(exec=EXEC, periodSeconds=1, failureThreshold=5))
    found, told = history(wanted, lambda t: False, 20, ends=2.5)
    assert found == [(0.0, Health(started=False, ready=False))]
    assert len(told) == 3


def test_success_may_have_to_come_more_than_once() -> None:
    probe = core_v1.Probe(exec=EXEC, periodSeconds=1, successThreshold=3)
    found, _ = history(container(readinessProbe=probe), lambda t: t != 1, 10)
    assert found == [(0.0, Health(ready=False)), (4.0, Health(ready=True))]


def test_probes_of_containers_that_ran_before_the_kubelet_are_spread() -> None:
    probe = core_v1.Probe(exec=EXEC, periodSeconds=10)
    unready = core_v1.ContainerStatus(name="c", started=True)
    found, _ = history(container(readinessProbe=probe), lambda t: True, 20, unready, jitter=0.25)
    assert found == [(0.0, Health(ready=False)), (2.5, Health(ready=True))]


def test_a_container_of_which_nothing_is_known_is_asked_at_once() -> None:
    probe = core_v1.Probe(exec=EXEC, periodSeconds=10)
    found, _ = history(container(readinessProbe=probe), lambda t: True, 20, jitter=0.25)
    assert found == [(0.0, Health(ready=False)), (0.0, Health(ready=True))]


def test_a_probe_that_cannot_be_made_says_nothing_of_the_container() -> None:
    metrics.forget_probes(run().pod.uid)
    probe = core_v1.Probe(httpGet=core_v1.HTTPGetAction(port="nowhere"), periodSeconds=1, failureThreshold=1)
    found, told = history(container(livenessProbe=probe), lambda t: True, 2.5)
    assert found == [(0.0, Health())]
    assert told == ['Liveness probe errored and resulted in unknown state: port "nowhere" not found'] * 3
    assert {labels[1] for labels in metrics.PROBES.values} == {"unknown"}


def test_counts_go_with_the_pod() -> None:
    metrics.forget_probes(run().pod.uid)
    history(container(readinessProbe=core_v1.Probe(exec=EXEC, periodSeconds=1)), lambda t: True, 4.5)
    assert list(metrics.PROBES.values.items()) == [(("Readiness", "successful", "c", "web", "default", "uid-1"), 5)]
    metrics.forget_probes(run().pod.uid)
    assert not metrics.PROBES.values
    assert not metrics.PROBE_SECONDS.values
