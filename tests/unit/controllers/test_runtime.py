import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.exposition import read
from tests.unit.client.fake import Script, event, pod, pods

from pybernetes.aio.pause import Pause
from pybernetes.aio.simulation import SimulatedClock, run_simulated
from pybernetes.api.errors import Conflict
from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1
from pybernetes.client.informer import Informers
from pybernetes.client.rest import Client
from pybernetes.controllers.runtime import (
    Again,
    Config,
    Context,
    Controller,
    ControllerManager,
    Done,
    Loop,
    Outcome,
    Reconcile,
    Watch,
    chosen,
    known,
    nothing,
)

A, B = Key("default", "a"), Key("default", "b")


@asynccontextmanager
async def running(
    reconcile: Reconcile, *steps: Any, workers: int = 2, pause: Pause | None = None, **more: Any
) -> AsyncIterator[Loop]:
    clock = SimulatedClock(asyncio.get_running_loop())
    informers = Informers(Client(Script(*steps), clock=clock))
    controller = Controller(
        name="test", watches=(Watch(kind=core_v1.Pod, **more),), reconcile=reconcile, rules=(), workers=workers
    )
    loop = Loop(controller, informers, Config(), pause)
    tasks = [asyncio.create_task(informers.run()), asyncio.create_task(loop.run())]
    try:
        yield loop
        assert not any(task.done() for task in tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def test_reconciles_can_be_held_up_and_lose_no_key():
    async def main() -> None:
        seen: list[str] = []

        async def reconcile(key: Key, ctx: Context) -> Outcome:
            seen.append(key.name)
            return Done()

        pause = Pause()
        with pause.holding():
            async with running(reconcile, pods(5, pod("a", 1), pod("b", 2)), pause=pause):
                await asyncio.sleep(1)
                assert not seen
        async with running(reconcile, pods(5, pod("a", 1), pod("b", 2)), pause=pause):
            await asyncio.sleep(1)
            assert sorted(seen) == ["a", "b"]

    run_simulated(main())


def test_every_key_is_reconciled_and_one_that_fails_does_not_stop_the_others():
    async def main() -> None:
        seen: list[str] = []

        async def reconcile(key: Key, ctx: Context) -> Outcome:
            seen.append(key.name)
            if key == A:
                raise ZeroDivisionError
            return Done()

        async with running(reconcile, pods(5, pod("a", 1), pod("b", 2)), [event("MODIFIED", pod("b", 6)), ...]) as loop:
            await asyncio.sleep(600)
            assert seen.count("b") in (1, 2)
            # 5 ms doubling to a minute: about 14 doublings, then once a minute.
            assert 15 <= seen.count("a") <= 30
            assert loop.counters.errors == seen.count("a")

    run_simulated(main())


def test_again_comes_back_at_its_time_and_done_does_not():
    async def main() -> None:
        times: list[float] = []

        async def reconcile(key: Key, ctx: Context) -> Outcome:
            times.append(asyncio.get_running_loop().time())
            return Again(30) if len(times) < 3 else Done()

        async with running(reconcile, pods(5, pod("a", 1)), [...]):
            await asyncio.sleep(600)
            assert [round(time) for time in times] == [0, 30, 60]

    run_simulated(main())


def test_a_slow_key_leaves_the_other_workers_free():
    async def main() -> None:
        done: list[str] = []

        async def reconcile(key: Key, ctx: Context) -> Outcome:
            await asyncio.sleep(1000 if key == A else 1)
            done.append(key.name)
            return Done()

        async with running(reconcile, pods(5, *[pod(n, 1) for n in "abcdef"]), [...]):
            await asyncio.sleep(20)
            assert sorted(done) == list("bcdef")

    run_simulated(main())


def test_races_are_not_faults():
    async def main() -> None:
        async def reconcile(key: Key, ctx: Context) -> Outcome:
            if ctx.queue.failures(key) < 3:
                raise Conflict("late cache")
            return Done()

        async with running(reconcile, pods(5, pod("a", 1)), [...]) as loop:
            await asyncio.sleep(5)
            assert (loop.counters.errors, loop.counters.races, loop.counters.reconciles) == (3, 3, 4)

    run_simulated(main())


def test_both_the_old_and_the_new_state_of_an_object_are_mapped():
    async def main() -> None:
        seen: list[str] = []

        async def reconcile(key: Key, ctx: Context) -> Outcome:
            seen.append(key.name)
            return Done()

        one = pod("a", 1, spec={"containers": [], "nodeName": "n1"})
        two = pod("a", 6, spec={"containers": [], "nodeName": "n2"})
        steps = (pods(5, one), [event("MODIFIED", two), ...])
        async with running(reconcile, *steps, keys=lambda p, ctx: [Key("", p.spec.nodeName)]):
            await asyncio.sleep(5)
            assert set(seen) == {"n1", "n2"}

    run_simulated(main())


def test_what_is_only_looked_up_wakes_nobody_and_is_there():
    async def main() -> None:
        async def reconcile(key: Key, ctx: Context) -> Outcome:
            raise AssertionError("nothing asked for this")

        steps = (pods(5, pod("a", 1)), [event("MODIFIED", pod("a", 6)), ...])
        async with running(reconcile, *steps, keys=nothing) as loop:
            await asyncio.sleep(5)
            assert loop.counters.reconciles == 0
            assert loop.context.cache(core_v1.Pod).get(Key("default", "a")).metadata.resourceVersion == "6"

    run_simulated(main())


def test_state_is_one_a_controller():
    class Memory:
        pass

    async def main() -> None:
        async def reconcile(key: Key, ctx: Context) -> Outcome:
            return Done()

        async with running(reconcile, pods(5), [...]) as first, running(reconcile, pods(5), [...]) as second:
            assert first.context.state(Memory) is first.context.state(Memory)
            assert first.context.state(Memory) is not second.context.state(Memory)

    run_simulated(main())


def test_the_controllers_flag_means_what_it_means_upstream():
    everything = set(known())
    off = {"bootstrap-signer-controller", "token-cleaner-controller"}
    assert set(chosen(["*"])) == everything - off
    assert set(chosen(["*", "bootstrapsigner", "tokencleaner"])) == everything
    assert set(chosen(["*", "-deployment", "-nodeipam"])) == everything - off - {
        "deployment-controller", "node-ipam-controller",
    }  # fmt: skip
    assert set(chosen(["replicaset-controller", "csrsigning"])) == {
        "replicaset-controller", "certificatesigningrequest-signing-controller",
    }  # fmt: skip
    with pytest.raises(ValueError, match='"nope" is not in the list of known controllers'):
        chosen(["nope"])


@pytest.mark.parametrize(
    ("old", "name"),
    [
        ("attachdetach", "persistentvolume-attach-detach-controller"),
        ("pv-protection", "persistentvolume-protection-controller"),
        ("pvc-protection", "persistentvolumeclaim-protection-controller"),
        ("service-cidr-controller", "service-cidrs-controller"),
    ],
)
def test_controllers_have_the_names_that_upstream_had_for_them(old, name):
    assert set(chosen([old])) == {name}
    assert name not in chosen(["*", f"-{old}"])


def test_controllers_that_only_clouds_have_may_be_left_out_and_not_be_asked_for():
    left_out = ["-cloud-node-lifecycle", "-node-route-controller", "-route", "-storage-version-gc"]
    assert chosen(["*", *left_out]) == chosen(["*"])
    with pytest.raises(ValueError, match='"route" is not in the list of known controllers'):
        chosen(["*", "route"])


def test_every_controller_says_what_it_may_do():
    for controller in known().values():
        assert controller.rules, controller.name
        assert controller.watches or controller.background, controller.name


def test_what_is_counted_is_an_exposition_under_upstreams_names():
    async def main() -> None:
        async def reconcile(key: Key, ctx: Context) -> Outcome:
            if key == A and ctx.queue.failures(key) < 2:
                raise Conflict("race")
            await asyncio.sleep(100)
            return Done()

        manager = ControllerManager(
            Client(Script(pods(5, pod("a", 1), pod("b", 2)), ...), clock=SimulatedClock(asyncio.get_running_loop())),
            controllers={
                name: Controller(
                    name=name, queue="shared", watches=(Watch(kind=core_v1.Pod),), reconcile=reconcile, rules=()
                )
                for name in ("one", "two")
            },
        )
        task = asyncio.create_task(manager.run())
        await asyncio.sleep(60)
        found = read(manager.metrics())
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        label = (("name", "shared"),)
        values = {
            name: found[f"workqueue_{name}"].series[f"workqueue_{name}", label]
            for name in ("depth", "adds_total", "retries_total")
        }
        assert values == {"depth": 0, "adds_total": 8, "retries_total": 4}
        assert 239 < found["workqueue_unfinished_work_seconds"].series["workqueue_unfinished_work_seconds", label] < 241
        longest = "workqueue_longest_running_processor_seconds"
        assert 59 < found[longest].series[longest, label] <= 60
        waited, worked = found["workqueue_queue_duration_seconds"], found["workqueue_work_duration_seconds"]
        assert waited.kind == worked.kind == "histogram"
        assert waited.series["workqueue_queue_duration_seconds_count", label] == 8
        assert worked.series["workqueue_work_duration_seconds_count", label] == 4
        assert found["controller_races_total"].series["controller_races_total", (("controller", "one"),)] == 2

    run_simulated(main())
