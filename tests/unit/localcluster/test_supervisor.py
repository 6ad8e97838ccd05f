"""The node's first process keeps services running."""

import asyncio
import signal
from collections.abc import Mapping
from itertools import pairwise

from pybernetes.aio.simulation import SimulatedClock, run_simulated
from pybernetes.localcluster.services import Service
from pybernetes.localcluster.supervisor import GOOD_RUN, POLL, TERM_GRACE, Supervisor


class FakeWatcher:
    def __init__(self, *services: Service) -> None:
        self.services = {s.name: s for s in services}

    def scan(self) -> Mapping[str, Service]:
        return dict(self.services)


class FakeProcesses:
    """Processes that live until told to end."""

    def __init__(self, *, obedient: bool = True) -> None:
        self.obedient = obedient
        self.started: list[tuple[float, str]] = []
        self.alive: dict[int, str] = {}
        self.signals: list[tuple[float, str, signal.Signals]] = []
        self._ended: list[tuple[int, int]] = []
        self._next = 100

    def start(self, service: Service) -> int:
        if service.command[0] == "missing":
            self.started.append((_now(), service.name))
            raise FileNotFoundError(2, "not found on PATH", "missing")
        self._next += 1
        self.alive[self._next] = service.name
        self.started.append((_now(), service.name))
        return self._next

    def signal(self, pid: int, number: signal.Signals) -> None:
        self.signals.append((_now(), self.alive[pid], number))
        if self.obedient or number == signal.SIGKILL:
            self.end(pid, -number)

    def end(self, pid: int, code: int = 1) -> None:
        del self.alive[pid]
        self._ended.append((pid, code))

    def reap(self) -> list[tuple[int, int]]:
        ended, self._ended = self._ended, []
        return ended


def _now() -> float:
    return asyncio.get_running_loop().time()


def _simulate(watcher: FakeWatcher, processes: FakeProcesses, script) -> None:
    async def main() -> None:
        clock = SimulatedClock(asyncio.get_running_loop())
        supervisor = Supervisor(watcher, processes, clock)
        task = asyncio.create_task(supervisor.run())
        await script(supervisor, clock)
        task.cancel()

    run_simulated(main())


def test_a_service_that_ends_is_started_again_with_growing_pauses() -> None:
    processes = FakeProcesses()

    async def script(supervisor: Supervisor, clock: SimulatedClock) -> None:
        for _ in range(6):
            await clock.sleep(0.01)
            while not supervisor.pids:
                await clock.sleep(0.1)
            processes.end(supervisor.pids["api"])
            await clock.sleep(POLL * 1.1)
        times = [t for t, _ in processes.started]
        pauses = [b - a for a, b in pairwise(times)]
        assert pauses == sorted(pauses)
        assert pauses[-1] > 3.9

    _simulate(FakeWatcher(Service("api", ("api",))), processes, script)


def test_a_good_run_starts_over_with_the_first_pause() -> None:
    processes = FakeProcesses()

    async def script(supervisor: Supervisor, clock: SimulatedClock) -> None:
        for _ in range(4):
            await clock.sleep(GOOD_RUN + 5)
            processes.end(supervisor.pids["api"])
        ended = clock.monotonic()
        await clock.sleep(2)
        assert processes.started[-1][0] - ended < 1

    _simulate(FakeWatcher(Service("api", ("api",))), processes, script)


def test_a_changed_file_restarts_only_its_service() -> None:
    watcher = FakeWatcher(Service("a", ("a",), stamp=(("f", 1, 1),)), Service("b", ("b",)))
    processes = FakeProcesses()

    async def script(supervisor: Supervisor, clock: SimulatedClock) -> None:
        await clock.sleep(1)
        before = supervisor.pids
        watcher.services["a"] = Service("a", ("a",), stamp=(("f", 2, 1),))
        await clock.sleep(2)
        assert supervisor.pids["b"] == before["b"]
        assert supervisor.pids["a"] != before["a"]
        assert [name for _, name, _ in processes.signals] == ["a"]

    _simulate(watcher, processes, script)


def test_a_removed_service_is_asked_and_then_killed() -> None:
    watcher, processes = FakeWatcher(Service("a", ("a",))), FakeProcesses(obedient=False)

    async def script(supervisor: Supervisor, clock: SimulatedClock) -> None:
        await clock.sleep(1)
        watcher.services.clear()
        await clock.sleep(TERM_GRACE + 2)
        assert [s for _, _, s in processes.signals] == [signal.SIGTERM, signal.SIGKILL]
        assert processes.signals[1][0] - processes.signals[0][0] >= TERM_GRACE
        assert supervisor.pids == {}

    _simulate(watcher, processes, script)


def test_a_command_that_is_not_there_is_tried_again_and_harms_no_other() -> None:
    processes = FakeProcesses()

    async def script(supervisor: Supervisor, clock: SimulatedClock) -> None:
        await clock.sleep(5)
        assert supervisor.pids.keys() == {"b"}
        assert len([n for _, n in processes.started if n == "a"]) > 3

    _simulate(FakeWatcher(Service("a", ("missing",)), Service("b", ("b",))), processes, script)


def test_stop_ends_everything_and_run() -> None:
    processes = FakeProcesses()

    async def main() -> None:
        supervisor = Supervisor(
            FakeWatcher(Service("a", ("a",))), processes, SimulatedClock(asyncio.get_running_loop())
        )
        task = asyncio.create_task(supervisor.run())
        await asyncio.sleep(1)
        supervisor.stop()
        await task
        assert processes.alive == {}

    run_simulated(main())
