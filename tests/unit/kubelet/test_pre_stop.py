"""preStop hooks: they take from the grace, once, and a hook that is late ends with its container."""

import asyncio

from tests.unit.kubelet.pods import container, pod, run
from tests.unit.kubelet.test_executor import Quiet, SlowRuntime, executor_of, worker_of

from pybernetes.aio.simulation import SimulatedClock, run_simulated
from pybernetes.api.types import core_v1
from pybernetes.kubelet import pod_actions as act
from pybernetes.kubelet.pod_actions import Observed


def stopped(
    wanted: core_v1.Pod, *actions: act.StopContainer, observed: Observed | None = None
) -> tuple[float, Quiet, SlowRuntime]:
    """How long the stops took one after another, the events, and what the runtime was told."""
    took = 0.0
    runtime = SlowRuntime()
    quiet: Quiet | None = None

    async def main() -> None:
        nonlocal took, quiet
        clock = SimulatedClock(asyncio.get_running_loop(), seed=1)
        executor, quiet = executor_of(runtime, clock)
        worker = worker_of(wanted, executor, clock)
        if observed is not None:
            worker.observed = observed
        began = clock.monotonic()
        for action in actions:
            await executor.perform(worker, action)
        took = clock.monotonic() - began

    run_simulated(main())
    assert quiet is not None
    return took, quiet, runtime


def with_pre_stop(seconds: int) -> core_v1.Pod:
    hook = core_v1.LifecycleHandler(sleep=core_v1.SleepAction(seconds=seconds))
    return pod(container(lifecycle=core_v1.Lifecycle(preStop=hook)))


def test_the_pre_stop_hook_takes_its_time_from_the_grace() -> None:
    took, quiet, runtime = stopped(with_pre_stop(8), act.StopContainer("c", "c0", 30.0))
    assert (took, quiet.events, runtime.begun) == (8.0, ["Killing: Stopping container c"], ["stop c0 22"])


def test_a_hook_that_uses_up_the_grace_fails_and_term_gets_two_seconds() -> None:
    took, quiet, runtime = stopped(with_pre_stop(80), act.StopContainer("c", "c0", 10.0))
    assert (took, runtime.begun) == (10.0, ["stop c0 2"])
    assert quiet.events[1:] == ["FailedPreStopHook: PreStopHook failed"]


def test_a_hook_that_takes_longer_than_the_grace_goes_on_until_the_container_has_ended() -> None:
    class Watching(SlowRuntime):
        over_at_stop: list[str] | None = None

        async def stop_container(self, container: str, grace: float) -> None:
            self.over_at_stop = list(quiet.over)

    runtime = Watching()

    async def main() -> None:
        nonlocal quiet
        clock = SimulatedClock(asyncio.get_running_loop(), seed=1)
        executor, quiet = executor_of(runtime, clock)
        await executor.perform(worker_of(with_pre_stop(80), executor, clock), act.StopContainer("c", "c0", 10.0))

    quiet: Quiet
    run_simulated(main())
    assert (runtime.over_at_stop, quiet.over) == ([], ["hook over"])


def test_without_grace_and_by_force_no_hook_is_run() -> None:
    for action in (act.StopContainer("c", "c0", 0.0), act.StopContainer("c", "c0", 2.0, hook=False)):
        took, quiet, runtime = stopped(with_pre_stop(8), action)
        assert (took, quiet.hooks, runtime.begun) == (0.0, 0, [f"stop c0 {action.grace:g}"])


def test_a_second_stop_does_not_run_the_hook_again() -> None:
    actions = (act.StopContainer("c", "c0", 30.0), act.StopContainer("c", "c0", 3.0))
    took, quiet, runtime = stopped(with_pre_stop(8), *actions)
    assert (took, quiet.hooks, runtime.begun) == (8.0, 1, ["stop c0 22", "stop c0 3"])


def test_a_sidecar_has_what_the_others_have_left_of_the_grace() -> None:
    living = Observed(now=0.0, containers=(run(),))
    action = act.StopContainer("side", "side0", 30.0, after=("c",))
    took, _, runtime = stopped(pod(), action, observed=living)
    assert (took, runtime.begun) == (30.0, ["stop side0 2"])
