"""Queues of a level: who is next. A clock that the test moves, and no loop."""

import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybernetes.apiserver.flowcontrol.queues import CANCELLED, TIME_OUT, Flow, QueueSet, Queuing, State, Ticket, hand_of
from pybernetes.apiserver.flowcontrol.tally import Tally
from pybernetes.apiserver.flowcontrol.work import ONE, Work


class World:
    """A level, its time, and who was let in."""

    def __init__(self, queuing: Queuing | None, seats: int, *, exempt: bool = False) -> None:
        self.now = 0.0
        self.level = QueueSet(lambda: self.now, exempt=exempt)
        self.level.configure(queuing, seats)
        self.tally = Tally("level", "schema")
        self.begun: list[str] = []
        self.named: dict[Ticket, str] = {}

    def flow(self, name: str) -> Flow:
        return Flow(self.level, self.tally, name)

    def come(self, flow: Flow, name: str = "", work: Work = ONE) -> tuple[Ticket, str]:
        ticket = Ticket(flow, work)
        self.named[ticket] = name
        reason = self.level.offer(ticket)
        ticket.granted = lambda: self.begun.append(name)  # of one that waits
        return ticket, reason

    def serve(self, seconds: float) -> list[str]:
        """Everybody who is being answered is done after so long; who they were."""
        self.now += seconds
        served = list(self.level.running)
        for ticket in served:
            self.level.finish(ticket)
            if ticket.linger:
                self.level.release(ticket)
        return [self.named[ticket] for ticket in served]


def test_seats_are_taken_then_queues_then_nothing_is() -> None:
    world = World(Queuing(1, 1, 2), 2)
    flow = world.flow("a")
    assert [world.come(flow)[1] for _ in range(5)] == ["", "", "", "", "queue-full"]
    assert (world.level.executing, world.level.waiting, world.level.rejected) == (2, 2, 1)
    assert not world.level.open


def test_a_noisy_flow_does_not_starve_another() -> None:
    """A hundred of one wait when another comes: of the seats that become free they get every second one."""
    world = World(Queuing(64, 4, 100), 4)
    noisy, quiet = world.flow("noisy"), world.flow("calm")
    assert not set(noisy.hand) & set(quiet.hand)
    for _ in range(100):
        world.come(noisy, "noisy")
    for _ in range(6):
        world.come(quiet, "quiet")
    served: list[str] = []
    while "quiet" in (world.named[t] for queue in world.level.backlog for t in queue.waiting):
        served += world.serve(0.01)
    assert len(served) <= 24
    assert world.level.waiting > 70


def test_flows_with_requests_get_the_same_however_many_they_have() -> None:
    world = World(Queuing(128, 1, 1000), 10)
    flows = {name: world.flow(name) for name in ("a", "b", "c")}
    assert len({flow.hand for flow in flows.values()}) == 3
    for name, count in (("a", 900), ("b", 300), ("c", 100)):
        for _ in range(count):
            world.come(flows[name], name)
    served: list[str] = []
    while len(served) < 240:
        served += world.serve(0.02)
    counts = [served.count(name) for name in flows]
    assert max(counts) - min(counts) <= 20, counts


def test_seats_not_requests_are_shared() -> None:
    """Lists of five seats and gets of one: both flows get the same seats."""
    world = World(Queuing(128, 1, 1000), 10)
    wide, narrow = world.flow("wide"), world.flow("narrow")
    for _ in range(400):
        world.come(wide, "wide", Work(5))
        world.come(narrow, "narrow")
    served: list[str] = []
    while len(served) < 400:
        served += world.serve(0.01)
    seats = {"wide": 5 * served.count("wide"), "narrow": served.count("narrow")}
    assert 0.7 < seats["wide"] / seats["narrow"] < 1.5, seats


def test_who_takes_longer_has_fewer_turns() -> None:
    """What a request really took counts, not the guess before it."""
    world = World(Queuing(128, 1, 1000), 2)
    slow, fast = world.flow("slow"), world.flow("fast")
    for _ in range(300):
        world.come(slow, "slow")
        world.come(fast, "fast")
    ends: list[tuple[float, Ticket]] = []
    served = {"slow": 0, "fast": 0}
    known: set[Ticket] = set()
    while served["slow"] + served["fast"] < 200:
        for ticket in world.level.running:
            if ticket not in known:
                known.add(ticket)
                ends.append((world.now + (0.04 if world.named[ticket] == "slow" else 0.01), ticket))
        ends.sort(key=lambda pair: pair[0])
        world.now, ticket = ends.pop(0)
        world.level.finish(ticket)
        served[world.named[ticket]] += 1
    assert served["fast"] > 2.5 * served["slow"], served


def test_a_queue_that_was_empty_has_saved_nothing_up() -> None:
    world = World(Queuing(128, 1, 1000), 1)
    busy, late = world.flow("busy"), world.flow("late")
    for _ in range(200):
        world.come(busy, "busy")
    for _ in range(50):
        world.serve(0.1)
    for _ in range(50):
        world.come(late, "late")
    served = [name for _ in range(40) for name in world.serve(0.1)]
    assert 15 <= served.count("late") <= 25, served


def test_a_wide_request_is_not_overtaken_and_runs_alone_where_it_is_wider_than_the_level() -> None:
    world = World(Queuing(4, 1, 50), 3)
    flow = world.flow("a")
    first, _ = world.come(flow)
    wide, _ = world.come(flow, "wide", Work(5))
    narrow, _ = world.come(flow, "narrow")
    assert (wide.state, narrow.state) == (State.WAITING, State.WAITING)
    assert world.tally.unaccommodated > 0
    world.level.finish(first)
    assert wide.state is State.EXECUTING
    assert narrow.state is State.WAITING
    world.level.finish(wide)
    assert narrow.state is State.EXECUTING


def test_what_lingers_is_squeezed_into_the_seats_there_are() -> None:
    world = World(Queuing(4, 1, 50), 2)
    flow = world.flow("a")
    first, _ = world.come(flow)
    ticket, _ = world.come(flow, "b", Work(1, 4, 0.1))
    world.level.finish(first)
    assert (ticket.state, ticket.seats, ticket.linger) == (State.EXECUTING, 2, pytest.approx(0.2))
    world.level.finish(ticket)
    assert (world.level.executing, world.level.seats_in_use) == (0, 2)
    world.level.release(ticket)
    assert world.level.seats_in_use == 0


def test_whoever_gives_up_makes_room() -> None:
    world = World(Queuing(1, 1, 2), 1)
    flow = world.flow("a")
    world.come(flow)
    one, _ = world.come(flow, "one")
    two, _ = world.come(flow, "two")
    assert world.come(flow)[1] == "queue-full"
    world.level.leave(one, TIME_OUT)
    three, reason = world.come(flow, "three")
    assert reason == ""
    world.level.leave(three, CANCELLED)
    world.serve(1)
    assert world.begun == ["two"]
    assert two.state is State.EXECUTING
    assert (world.level.timed_out, world.level.cancelled, world.level.rejected) == (1, 1, 3)


def test_more_seats_let_in_who_waits_at_once_and_fewer_wait_until_some_are_free() -> None:
    world = World(Queuing(2, 1, 50), 1)
    flow = world.flow("a")
    for number in range(6):
        world.come(flow, str(number))
    world.level.configure(Queuing(2, 1, 50), 4)
    assert world.begun == ["1", "2", "3"]
    world.level.configure(Queuing(2, 1, 50), 2)
    world.level.finish(next(iter(world.level.running)))
    assert world.begun == ["1", "2", "3"]
    world.serve(1)
    assert world.begun == ["1", "2", "3", "4", "5"]


@pytest.mark.parametrize("queuing", [Queuing(1, 1, 50), None])
def test_queues_that_are_no_more_are_emptied(queuing: Queuing | None) -> None:
    world = World(Queuing(16, 4, 50), 1)
    for number in range(8):
        world.come(world.flow(str(number)), str(number))
    world.level.configure(queuing, 1)
    new = world.flow("new")
    if queuing is None:
        assert world.come(new)[1] == "concurrency-limit"
    else:
        assert world.come(new, "new")[1] == ""
    for _ in range(10):
        world.serve(1)
    assert set(world.begun) >= {str(number) for number in range(1, 8)}
    assert world.level.idle


def test_without_queues_seats_are_all_there_is() -> None:
    world = World(None, 2)
    flow = world.flow("a")
    assert [world.come(flow)[1] for _ in range(3)] == ["", "", "concurrency-limit"]
    assert world.come(flow, work=Work(3))[1] == "concurrency-limit"
    world.serve(1)
    assert world.come(flow, work=Work(3))[1] == "", "one that is wider than the level runs when it is alone"


def test_the_exempt_never_wait() -> None:
    world = World(None, 0, exempt=True)
    flow = world.flow("a")
    assert {world.come(flow, work=Work(9))[1] for _ in range(100)} == {""}
    assert world.level.seats_in_use == 900
    assert world.level.open


def test_a_level_without_seats_serves_nobody() -> None:
    world = World(Queuing(4, 2, 50), 0)
    ticket, reason = world.come(world.flow("a"))
    assert (ticket.state, reason, world.level.open) == (State.WAITING, "", False)


# --- laws

steps = st.lists(
    st.tuples(st.sampled_from(["come", "finish", "leave", "limit", "queues", "pass"]), st.integers(0, 40)), max_size=80
)


@given(steps, st.integers(0, 2**32))
def test_nothing_is_lost_and_no_more_seats_are_taken_than_there_are(
    script: Sequence[tuple[str, int]], seed: int
) -> None:
    chance = random.Random(seed)
    world = World(Queuing(8, 3, 5), 6)
    level = world.level
    everyone: list[Ticket] = []
    limit_was_lowered = False
    for step, number in script:
        running = list(level.running)
        waiting = [ticket for queue in level.backlog for ticket in queue.waiting]
        match step:
            case "come":
                work = ONE if number % 3 else Work(1 + number % 4, number % 5, 0.1 * (number % 2))
                everyone.append(world.come(world.flow(str(number % 7)), "", work)[0])
                limit_was_lowered = limit_was_lowered and level.seats_in_use > level.limit
            case "finish" if running:
                ticket = chance.choice(running)
                level.finish(ticket)
                if ticket.linger:
                    level.release(ticket)
            case "leave" if waiting:
                level.leave(chance.choice(waiting), CANCELLED)
            case "limit":
                limit_was_lowered = limit_was_lowered or number % 9 < level.seats_in_use
                level.configure(level.queuing, number % 9)
            case "queues":
                level.configure(Queuing(3 + number % 6, 3, 5), level.limit)
            case "pass":
                world.now += number / 10
        waiting = [ticket for queue in level.backlog for ticket in queue.waiting]
        assert level.waiting == len(waiting)
        assert level.seats_waiting == sum(ticket.seats for ticket in waiting)
        assert level.executing == len(level.running)
        assert level.seats_in_use == sum(ticket.seats for ticket in level.running)
        wide = any(ticket.seats > level.limit for ticket in level.running)
        assert level.seats_in_use <= level.limit or wide or limit_was_lowered
        if waiting and not level.running:
            assert level.limit == 0, "somebody waits though everything is free"
        assert level.open is (not waiting and level.seats_in_use < level.limit)


@given(st.text(), st.text(), st.integers(1, 512), st.integers(1, 8))
def test_a_hand_has_different_queues_and_is_always_the_same(schema: str, flow: str, queues: int, size: int) -> None:
    queuing = Queuing(queues, min(size, queues), 50)
    hand = hand_of(schema, flow, queuing)
    assert len(set(hand)) == len(hand) == queuing.hand_size
    assert all(0 <= queue < queues for queue in hand)
    assert hand == hand_of(schema, flow, queuing)


def test_hands_are_dealt_evenly() -> None:
    dealt = [queue for user in range(2000) for queue in hand_of("s", f"user-{user}", Queuing(64, 6, 50))]
    counts = [dealt.count(queue) for queue in range(64)]
    assert min(counts) > 120
    assert max(counts) < 260
