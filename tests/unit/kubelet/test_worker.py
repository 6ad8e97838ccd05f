"""What a Pod's worker reports, and when: with a runtime and an API in memory, on virtual time."""

import asyncio
from collections.abc import Awaitable, Sequence
from contextlib import suppress

import pytest
from msgspec.structs import replace
from tests.unit.kubelet.pods import REF, container, pod, run, sandbox

from pybernetes.aio.simulation import SimulatedClock, run_simulated
from pybernetes.api.types import core_v1
from pybernetes.kubelet import pod_actions as act
from pybernetes.kubelet.cri.events import Exit
from pybernetes.kubelet.cri.model import Container, Sandbox, State
from pybernetes.kubelet.failures import ActionFailed
from pybernetes.kubelet.worker import PodWorker


class Node:
    """Runtime, executor and reporter of one Pod. Each action takes `took` seconds and works."""

    def __init__(self, clock: SimulatedClock, took: float) -> None:
        self.clock = clock
        self.took = took
        self.made_sandboxes: list[Sandbox] = []
        self.made: list[Container] = []
        self.sent: list[core_v1.PodStatus] = []
        self.performed: list[act.Action] = []
        self.told: list[tuple[str, ...]] = []
        self.probed: float | None = None
        """Seconds after which a readiness probe succeeds; None: there is none."""
        self.in_api = pod()

    async def sandboxes(self, uid: str) -> Sequence[Sandbox]:
        return self.made_sandboxes

    async def containers(self, uid: str) -> Sequence[Container]:
        return self.made

    async def perform(self, worker: PodWorker, action: act.Action) -> None:
        await self.clock.sleep(self.took)
        self.performed.append(action)
        if isinstance(action, act.RunSandbox):
            self.made_sandboxes = [sandbox()]
        elif isinstance(action, act.StartContainer | act.CreateContainer):
            state = "CREATED" if isinstance(action, act.CreateContainer) else "RUNNING"
            self.made = [run(state=type(run().state)[state])]

    async def termination_message(self, worker: PodWorker, ended: Container) -> str:
        return ""

    def tell(self, worker: PodWorker, *said: str) -> None:
        self.told.append(said)

    def probes(self, worker: PodWorker, of: Container) -> Awaitable[None] | None:
        if self.probed is None:
            return None
        assert worker.pod is not None
        was_ready = any(status.ready for status in worker.pod.status.containerStatuses)
        worker.health[of.id] = act.Health(ready=was_ready, answered=False)
        return self._probe(worker, of, self.probed)

    async def _probe(self, worker: PodWorker, of: Container, after: float) -> None:
        await self.clock.sleep(after)
        worker.health[of.id] = act.Health()
        worker.wake(look=False)

    def known(self, found: core_v1.Pod) -> core_v1.Pod:
        return self.in_api

    def forget(self, uid: str) -> None:
        return

    async def report(self, found: core_v1.Pod, status: core_v1.PodStatus) -> bool:
        self.sent.append(status)
        self.in_api = replace(self.in_api, status=status)
        return True


async def started(
    took: float, probed: float | None = None, wanted: core_v1.Pod | None = None
) -> tuple[Node, PodWorker, asyncio.Task[None]]:
    clock = SimulatedClock(asyncio.get_running_loop(), seed=1)
    node = Node(clock, took)
    node.probed = probed
    node.in_api = wanted or node.in_api
    worker = PodWorker(REF, node, node, node, clock)
    worker.update(node.in_api)
    task = asyncio.create_task(worker.run())
    await clock.sleep(10 + 10 * took)
    return node, worker, task


async def end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def ready(status: core_v1.PodStatus) -> bool:
    return any(c.type == "Ready" and c.status == "True" for c in status.conditions)


def test_a_start_that_is_quick_is_told_once_begun_and_once_done() -> None:
    async def main() -> None:
        node, _, task = await started(0.01)
        assert [(s.phase, ready(s)) for s in node.sent] == [("Pending", False), ("Running", True)]
        await end(task)

    run_simulated(main())


def test_a_start_that_is_slow_is_told_step_by_step() -> None:
    async def main() -> None:
        node, _, task = await started(5.0)
        assert len([s for s in node.sent if s.phase == "Pending"]) > 1
        assert ready(node.sent[-1])
        await end(task)

    run_simulated(main())


def test_a_container_is_not_told_ready_before_its_probe_says_so() -> None:
    async def main() -> None:
        node, _, task = await started(0.01, probed=5.0)
        assert [ready(s) for s in node.sent] == [*([False] * (len(node.sent) - 1)), True]
        assert ("Running", False) in [(s.phase, ready(s)) for s in node.sent]
        await end(task)

    run_simulated(main())


def test_what_an_earlier_kubelet_has_reported_holds_until_a_probe_says_otherwise() -> None:
    async def main() -> None:
        node, worker, task = await started(0.01, probed=100.0)
        before = node.sent[-1]
        assert not ready(before)
        conditions = tuple(
            core_v1.PodCondition(
                type=c.type, status="True", observedGeneration=1, lastTransitionTime="2025-12-31T00:00:00Z"
            )
            for c in before.conditions
        )
        statuses = tuple(replace(s, ready=True) for s in before.containerStatuses)
        earlier = replace(
            before, startTime="2025-12-30T00:00:00Z", conditions=conditions, containerStatuses=statuses, message="old"
        )
        node.in_api = replace(node.in_api, status=earlier)
        worker.took_up()
        await node.clock.sleep(1)
        assert node.sent[-1] == replace(earlier, message="")
        await node.clock.sleep(100)
        assert node.sent[-1] == replace(earlier, message="")
        await end(task)

    run_simulated(main())


def test_the_end_of_a_deadline_is_told_once() -> None:
    async def main() -> None:
        node, _, task = await started(0.01, wanted=pod(activeDeadlineSeconds=3))
        message = "Pod was active on the node longer than the specified deadline"
        assert node.told == [("", "Normal", "DeadlineExceeded", message)]
        await end(task)

    run_simulated(main())


def test_what_others_made_of_our_conditions_is_put_right_after_ten_seconds() -> None:
    async def main() -> None:
        node, worker, task = await started(0.01)
        before = len(node.sent)
        wrong = tuple(replace(c, status="False") if c.type == "Ready" else c for c in node.in_api.status.conditions)
        for _ in range(20):
            node.in_api = replace(node.in_api, status=replace(node.in_api.status, conditions=wrong))
            worker.update(node.in_api)
            await node.clock.sleep(1)
        await node.clock.sleep(11)
        assert ready(node.in_api.status)
        assert len(node.sent) - before <= 4
        await end(task)

    run_simulated(main())


def test_work_for_a_pod_that_ends_is_given_up() -> None:
    async def main() -> None:
        node, worker, task = await started(0.01)

        async def pull() -> None:
            await asyncio.Event().wait()

        pulling = asyncio.create_task(worker.unless_ending(pull()))
        await node.clock.sleep(1)
        assert not pulling.done()
        gone = replace(node.in_api.metadata, deletionTimestamp="2026-01-01T00:00:00Z")
        node.in_api = replace(node.in_api, metadata=gone)
        worker.update(node.in_api)
        await node.clock.sleep(1)
        with pytest.raises(ActionFailed):
            await pulling
        await end(task)

    run_simulated(main())


def test_a_sidecar_waits_for_the_others_but_no_longer_than_it_may() -> None:
    async def main() -> None:
        node, worker, task = await started(0.01)
        began = node.clock.monotonic()
        await worker.all_ended(("c",), 5.0)
        assert node.clock.monotonic() - began == 5.0
        waiting = asyncio.create_task(worker.all_ended(("c",), 100.0))
        await node.clock.sleep(1)
        assert not waiting.done()
        node.made = [replace(node.made[0], state=State.EXITED)]
        worker.wake()
        await node.clock.sleep(0.001)
        assert waiting.done()
        await end(task)

    run_simulated(main())


class LacksImages(Node):
    """No image can be pulled; `image` is of a volume."""

    image = ""

    async def perform(self, worker: PodWorker, action: act.Action) -> None:
        if not isinstance(action, act.PullImage):
            await super().perform(worker, action)
            return
        failed = ActionFailed("ErrImagePull", "no such image", first=10.0)
        failed.image = self.image
        raise failed


@pytest.mark.parametrize(("of_volume", "told"), [("", "busybox:1"), ("data:2", "data:2")])
def test_back_off_names_the_image_that_lacks(of_volume: str, told: str) -> None:
    async def main() -> None:
        clock = SimulatedClock(asyncio.get_running_loop(), seed=1)
        node = LacksImages(clock, 0.01)
        node.image = of_volume
        worker = PodWorker(REF, node, node, node, clock)
        worker.update(node.in_api)
        task = asyncio.create_task(worker.run())
        await clock.sleep(5)
        assert ("c", "Normal", "BackOff", f'Back-off pulling image "{told}"') in node.told
        await end(task)

    run_simulated(main())


def ended_by_event(code: int, wanted: core_v1.Pod) -> core_v1.PodStatus:
    """What is told right after the runtime's event, while its list still says that the container runs."""
    told: list[core_v1.PodStatus] = []

    async def main() -> None:
        node, worker, task = await started(0.01, wanted=wanted)
        worker.ended("c0", Exit(code, node.clock.now()))
        await node.clock.sleep(0.02)
        told.append(node.sent[-1])
        await end(task)

    run_simulated(main())
    return told[0]


def test_an_end_that_the_runtime_announces_is_told_before_its_list_knows() -> None:
    status = ended_by_event(3, pod(policy="Never")).containerStatuses[0]
    assert status.state.terminated is not None
    assert (status.state.terminated.exitCode, status.state.terminated.reason) == (3, "Error")


def test_what_may_have_been_killed_for_want_of_memory_waits_for_the_runtimes_word() -> None:
    limits = core_v1.ResourceRequirements(limits={"memory": "1Mi"})
    wanted = pod(container(resources=limits), policy="Never")
    for code in (137, 1):  # the kernel may have killed a child, and its parent fail because of it
        assert ended_by_event(code, wanted).containerStatuses[0].state.running is not None
    assert ended_by_event(0, wanted).containerStatuses[0].state.terminated is not None


class SlowToRestart(Node):
    """The second container takes five seconds to be made, and the worker learns of it from the action alone."""

    async def perform(self, worker: PodWorker, action: act.Action) -> None:
        if not isinstance(action, act.CreateContainer) or action.attempt == 0:
            await super().perform(worker, action)
            return
        await self.clock.sleep(5)
        again = run(state=State.CREATED, id="c1", attempt=1)
        self.made = [again, *self.made]
        worker.learn(again)


def test_a_pod_that_is_deleted_while_it_restarts_ends_although_the_runtime_was_late_with_the_end_before() -> None:
    async def main() -> None:
        clock = SimulatedClock(asyncio.get_running_loop(), seed=1)
        node = SlowToRestart(clock, 0.01)
        worker = PodWorker(REF, node, node, node, clock)
        worker.update(node.in_api)
        task = asyncio.create_task(worker.run())
        await clock.sleep(10)
        worker.ended("c0", Exit(1, clock.now()))
        await clock.sleep(1)
        node.made = [replace(node.made[0], state=State.EXITED, exit_code=1)]
        await clock.sleep(3)
        deleted = replace(node.in_api.metadata, deletionTimestamp="2026-01-01T00:00:00Z", deletionGracePeriodSeconds=1)
        node.in_api = replace(node.in_api, metadata=deleted)
        worker.update(node.in_api)
        await clock.sleep(10)
        assert any(isinstance(action, act.StopSandbox) for action in node.performed)
        await end(task)

    run_simulated(main())
