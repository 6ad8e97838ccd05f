"""Probes: thresholds, gates and delays, on virtual time."""

import asyncio
import contextlib
from collections.abc import Callable

from tests.unit.kubelet.pods import container, run

from pybernetes.aio.simulation import EPOCH, SimulatedClock, run_simulated
from pybernetes.api.types import core_v1
from pybernetes.kubelet.cri.model import ExecResult
from pybernetes.kubelet.hooks import Hooks
from pybernetes.kubelet.pod_actions import Health
from pybernetes.kubelet.probes.prober import Prober, has_probes

EXEC = core_v1.ExecAction(command=("check",))


class Container:
    """Answers exec by the time that has passed."""

    def __init__(self, healthy: Callable[[float], bool], clock: SimulatedClock) -> None:
        self._healthy = healthy
        self._clock = clock

    async def exec(self, container: str, command: tuple[str, ...], timeout: float) -> ExecResult:
        ok = self._healthy(self._clock.monotonic())
        return ExecResult(0 if ok else 1, b"", b"" if ok else b"no")


def history(
    wanted: core_v1.Container,
    healthy: Callable[[float], bool],
    seconds: float,
    old: core_v1.ContainerStatus | None = None,
) -> tuple[list[tuple[float, Health]], list[str]]:
    """When health changed to what, and what was told."""
    changes: list[tuple[float, Health]] = []
    told: list[str] = []

    async def main() -> None:
        clock = SimulatedClock(asyncio.get_running_loop())
        hooks = Hooks(Container(healthy, clock), clock)
        prober = Prober(wanted, run(started=EPOCH), "10.0.0.7", hooks, clock)
        changes.append((0.0, prober.begin(old)))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await prober.run(
                    lambda health: changes.append((clock.monotonic(), health)), lambda reason, text: told.append(text)
                )

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
    assert found[-1][1].unhealthy == "Container c failed liveness probe, will be restarted"
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
