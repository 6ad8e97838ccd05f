import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from msgspec.structs import replace

from pybernetes.aio.simulation import SimulatedClock, run_simulated
from pybernetes.api.errors import AlreadyExists, Forbidden, NotFound
from pybernetes.api.types import core_v1, meta_v1
from pybernetes.client.events import EventRecorder, reference

POD = core_v1.Pod(metadata=meta_v1.ObjectMeta(name="web", namespace="ns", uid="u"))


class Server:
    """Keeps Events by name."""

    def __init__(self) -> None:
        self.clock = SimulatedClock(asyncio.get_running_loop())
        self.events: dict[str, core_v1.Event] = {}
        self.refuse = False
        self.away = False
        self.tries = 0

    def of(self, kind: Any) -> "Server":
        return self

    async def create(self, event: core_v1.Event) -> core_v1.Event:
        self.reach()
        if self.refuse:
            raise Forbidden("the namespace is being terminated")
        if event.metadata.name in self.events:
            raise AlreadyExists(f"{event.metadata.name} already exists")
        self.events[event.metadata.name] = event
        return event

    def reach(self) -> None:
        self.tries += 1
        if self.away:
            raise ConnectionRefusedError("nobody listens")

    async def patch(self, old: core_v1.Event, new: core_v1.Event) -> core_v1.Event:
        self.reach()
        if old.metadata.name not in self.events:
            raise NotFound(f"{old.metadata.name} not found")
        self.events[new.metadata.name] = new
        return new


@asynccontextmanager
async def recording(server: Server) -> AsyncIterator[EventRecorder]:
    """A recorder that runs."""
    client: Any = server
    recorder = EventRecorder(client, "tester", host="n1")
    task = asyncio.create_task(recorder.run())
    yield recorder
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def recorded(*said: tuple[Any, str, str], server: Server, pause: float = 0.0) -> list[core_v1.Event]:
    async with recording(server) as recorder:
        for about, reason, message in said:
            recorder.event(about, "Normal", reason, message)
            await asyncio.sleep(pause)
        await asyncio.sleep(20)
    return list(server.events.values())


def test_an_event_says_who_what_and_when():
    async def main() -> None:
        (event,) = await recorded((POD, "Started", "It runs"), server=Server())
        assert (event.involvedObject.kind, event.involvedObject.name, event.involvedObject.uid) == ("Pod", "web", "u")
        assert (event.source.component, event.source.host) == ("tester", "n1")
        assert (event.reason, event.message, event.count, event.type) == ("Started", "It runs", 1, "Normal")
        assert event.metadata.namespace == "ns"
        assert event.metadata.name.startswith("web.")

    run_simulated(main())


def test_the_same_again_is_counted_and_keeps_its_first_time():
    async def main() -> None:
        said = [(POD, "BackOff", "again")] * 3
        (event,) = await recorded(*said, server=Server(), pause=5)
        assert event.count == 3
        assert event.firstTimestamp != event.lastTimestamp

    run_simulated(main())


def test_two_events_of_one_moment_have_two_names():
    async def main() -> None:
        assert len(await recorded((POD, "A", "x"), (POD, "B", "x"), server=Server())) == 2

    run_simulated(main())


def test_two_components_may_tell_something_of_an_object_at_one_moment():
    """As they do on virtual time."""

    async def main() -> None:
        server = Server()
        async with recording(server) as one, recording(server) as other:
            one.event(POD, "Normal", "Scheduled", "to n1")
            other.event(POD, "Normal", "Pulled", "at once")
            await asyncio.sleep(1)
        assert sorted(event.reason for event in server.events.values()) == ["Pulled", "Scheduled"]

    run_simulated(main())


def test_recorders_of_many_hosts_share_one_sender():
    async def main() -> None:
        first, second = Server(), Server()
        client: Any = second
        async with recording(first) as recorder:
            recorder.beside(client, "n2").event(POD, "Normal", "Started", "It runs")
            recorder.event(POD, "Normal", "Started", "It runs")
            await asyncio.sleep(1)
        assert [e.source.host for e in first.events.values()] == ["n1"]
        assert [(e.source.host, e.reportingInstance) for e in second.events.values()] == [("n2", "n2")]

    run_simulated(main())


def test_many_different_messages_are_combined():
    async def main() -> None:
        said = [(POD, "Failed", f"number {number}") for number in range(20)]
        events = await recorded(*said, server=Server())
        combined = [e for e in events if e.message.startswith("(combined from similar events): ")]
        assert len(events) == 10
        assert [e.count for e in combined] == [11]
        assert combined[0].message.endswith("number 19")

    run_simulated(main())


def test_one_object_has_25_then_one_in_five_minutes_and_others_their_own():
    async def main() -> None:
        other = replace(POD, metadata=replace(POD.metadata, name="other", uid="v"))
        said = [(POD, f"Reason{number}", "x") for number in range(40)]
        events = await recorded(*said, (other, "A", "x"), server=Server())
        assert len(events) == 26

    run_simulated(main())


def test_what_was_held_back_is_counted_when_it_is_told_again():
    async def main() -> None:
        server = Server()
        async with recording(server) as recorder:
            for _ in range(40):
                recorder.event(POD, "Warning", "BackOff", "again")
                await asyncio.sleep(0.01)
            await asyncio.sleep(1)
            assert [e.count for e in server.events.values()] == [25]
            await asyncio.sleep(300)
            recorder.event(POD, "Warning", "BackOff", "again")
            await asyncio.sleep(1)
            assert [e.count for e in server.events.values()] == [41]

    run_simulated(main())


def test_messages_are_combined_while_they_come_within_ten_minutes_of_each_other():
    async def main() -> None:
        server = Server()
        async with recording(server) as recorder:
            for number in range(9):
                recorder.event(POD, "Normal", "Failed", f"number {number}")
            await asyncio.sleep(601)
            recorder.event(POD, "Normal", "Failed", "after a rest")
            await asyncio.sleep(1)
        assert len(server.events) == 10
        assert not any(e.message.startswith("(combined") for e in server.events.values())

    run_simulated(main())


def test_what_is_told_of_the_containers_of_a_pod_is_combined_too():
    async def main() -> None:
        server = Server()
        async with recording(server) as recorder:
            for number in range(12):
                ref = replace(reference(POD), fieldPath=f"spec.containers{{c{number}}}")
                recorder.event(ref, "Normal", "Failed", f"number {number}")
            await asyncio.sleep(1)
        assert [e.count for e in server.events.values() if e.message.startswith("(combined")] == [3]

    run_simulated(main())


def test_an_event_that_was_forgotten_comes_back_with_its_count():
    async def main() -> None:
        server = Server()
        async with recording(server) as recorder:
            for _ in range(2):
                recorder.event(POD, "Normal", "Pulled", "It is told")
            await asyncio.sleep(1)
            (first,) = server.events.values()
            server.events.clear()
            await asyncio.sleep(4000)
            recorder.event(POD, "Normal", "Pulled", "It is told")
            await asyncio.sleep(1)
            (event,) = server.events.values()
            assert (event.count, event.firstTimestamp) == (3, first.firstTimestamp)
            assert event.metadata.name == first.metadata.name

    run_simulated(main())


def test_a_refused_event_is_dropped_and_the_next_is_sent():
    async def main() -> None:
        server = Server()
        server.refuse = True
        assert await recorded((POD, "A", "x"), server=server) == []
        server.refuse = False
        assert len(await recorded((POD, "B", "x"), server=server)) == 1

    run_simulated(main())


def test_what_is_told_before_the_server_is_up_comes_later_in_order_and_counted():
    async def main() -> None:
        server = Server()
        server.away = True
        async with recording(server) as recorder:
            for reason in ("Starting", "Pulled", "Pulled"):
                recorder.event(POD, "Normal", reason, "It is told")
            await asyncio.sleep(100)
            assert 8 <= server.tries <= 11  # one waits for the server, those behind it wait for it
            server.away = False
            await asyncio.sleep(10.1)
            assert [(e.reason, e.count) for e in server.events.values()] == [("Starting", 1), ("Pulled", 2)]
            server.away = True
            recorder.event(POD, "Normal", "Pulled", "It is told")
            await asyncio.sleep(50)
            server.away = False
            await asyncio.sleep(10.1)
            assert [e.count for e in server.events.values()] == [1, 3]

    run_simulated(main())


def test_an_event_is_given_up_after_twelve_tries():
    async def main() -> None:
        server = Server()
        server.away = True
        async with recording(server) as recorder:
            recorder.event(POD, "Normal", "Lost", "x")
            await asyncio.sleep(120)
            assert server.tries == 12
            server.away = False
            recorder.event(POD, "Normal", "Kept", "x")
            await asyncio.sleep(1)
            assert [e.reason for e in server.events.values()] == ["Kept"]

    run_simulated(main())
