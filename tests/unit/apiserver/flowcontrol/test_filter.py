"""The door: who may pass at once, who waits and for how long, and who is sent away. On virtual time."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress

import pytest

from pybernetes.aio.simulation import SimulatedClock, run_simulated
from pybernetes.aio.turns import Turns
from pybernetes.api.errors import BadRequest, GatewayTimeout
from pybernetes.api.objects import User
from pybernetes.apiserver.bulk import Bulk, Slices
from pybernetes.apiserver.flowcontrol.filter import Filter, MaxInFlight, Rejected
from pybernetes.apiserver.flowcontrol.queues import Flow, QueueSet, Queuing
from pybernetes.apiserver.flowcontrol.tally import Tally
from pybernetes.apiserver.flowcontrol.work import ONE, Work
from pybernetes.apiserver.options import Query
from pybernetes.apiserver.requestinfo import RequestInfo
from pybernetes.wire.http import Response

ANSWER = Response(200, body=b"x")
ANN = User("ann", groups=("system:authenticated",))
MASTER = User("root", groups=("system:masters", "system:authenticated"))
GET, CREATE, LIST, WATCH = (RequestInfo(verb, "/api/v1/pods", True, "", "v1", "", "pods") for verb in
                            ("get", "create", "list", "watch"))  # fmt: skip


ONE_QUEUE = Queuing(1, 1, 2)


class OneLevel(Filter):
    """A level of two seats and one queue for two, for everybody."""

    def __init__(self, work: Work = ONE, queuing: Queuing | None = ONE_QUEUE, seats: int = 2) -> None:
        clock = SimulatedClock(asyncio.get_running_loop())
        super().__init__(clock, 60.0)
        self.queues = QueueSet(clock.monotonic)
        self.queues.configure(queuing, seats)
        self.tally = Tally("level", "schema")
        self.only = Flow(self.queues, self.tally)
        self.asked = work

    def flow(self, user: User, info: RequestInfo) -> Flow:
        return self.only

    def work(self, flow: Flow, info: RequestInfo, query: Query) -> Work:
        return self.asked

    async def pass_(self, *waits: float, info: RequestInfo = CREATE, query: Query | None = None) -> Response:
        return await self.passed(self.only, info, query or {}, ANN, answer(*waits))


async def answer(*waits: float) -> Response:
    for seconds in waits:
        await asyncio.sleep(seconds)
    return ANSWER


async def refuse(*waits: float) -> Response:
    await answer(*waits)
    raise KeyError("gone")


def simulated(scenario: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await scenario()

    run_simulated(main())


def now() -> float:
    return asyncio.get_running_loop().time()


@pytest.mark.parametrize("waits", [(), (0,), (1, 0, 5)])
@pytest.mark.parametrize("info", [GET, CREATE])
def test_an_answer_and_a_refusal_arrive_however_often_they_wait(waits: tuple[float, ...], info: RequestInfo) -> None:
    async def scenario() -> None:
        door = OneLevel()
        assert await door.passed(door.only, info, {}, ANN, answer(*waits)) is ANSWER
        with pytest.raises(KeyError):
            await door.passed(door.only, info, {}, ANN, refuse(*waits))
        assert door.queues.idle
        assert door.queues.seats_in_use == 0
        assert sum(door.tally.ran.counts) == 2

    simulated(scenario)


@pytest.mark.parametrize("waits", [(61,), (0, 61), (35, 26)])
def test_a_late_answer_is_cancelled_at_the_limit(waits: tuple[float, ...]) -> None:
    ended: list[float] = []

    async def slow() -> Response:
        try:
            return await answer(*waits)
        finally:
            ended.append(now())

    async def scenario() -> None:
        door = OneLevel()
        with pytest.raises(GatewayTimeout, match="did not complete within the allotted timeout"):
            await door.passed(door.only, GET, {}, ANN, slow())
        assert ended == [60]
        assert door.queues.idle
        await asyncio.sleep(1)  # nothing of the limit is left on the task

    simulated(scenario)


def test_what_handles_its_own_time_limit_may_go_on() -> None:
    async def patient() -> Response:
        with suppress(TimeoutError):
            async with asyncio.timeout(2):
                await asyncio.sleep(100)
        return await answer(3)

    async def scenario() -> None:
        door = OneLevel()
        assert await door.passed(door.only, GET, {}, ANN, patient()) is ANSWER

    simulated(scenario)


def test_a_cancelled_request_is_cancelled_and_gives_its_seat_back() -> None:
    async def scenario() -> None:
        door = OneLevel()
        task = asyncio.create_task(door.pass_(0, 100))
        await asyncio.sleep(1)
        assert door.queues.seats_in_use == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert door.queues.seats_in_use == 0

    simulated(scenario)


def test_a_time_that_cannot_be_read_is_refused_before_anything_is_done() -> None:
    async def scenario() -> None:
        door = OneLevel()
        for text in ("soon", "5"):
            with pytest.raises(BadRequest, match="invalid timeout specified in the request URL"):
                await door.pass_(query={"timeout": [text]})
        with pytest.raises(GatewayTimeout):
            await door.pass_(3, query={"timeout": ["2s"]})

    simulated(scenario)


def test_who_does_not_wait_for_anything_takes_no_seat() -> None:
    seen: list[int] = []

    async def scenario() -> None:
        door = OneLevel()

        async def at_once() -> Response:
            seen.append(door.queues.seats_in_use)
            return ANSWER

        await door.passed(door.only, GET, {}, ANN, at_once())
        assert seen == [0]
        assert door.tally.quick == 1

    simulated(scenario)


def test_more_than_there_are_seats_wait_and_more_than_that_are_sent_away() -> None:
    async def scenario() -> None:
        door = OneLevel()
        tasks = [asyncio.create_task(door.pass_(5)) for _ in range(6)]
        await asyncio.sleep(1)
        assert (door.queues.executing, door.queues.waiting) == (2, 2)
        done = [task for task in tasks if task.done()]
        assert len(done) == 2
        for task in done:
            with pytest.raises(Rejected) as refused:
                await task
            response = refused.value.response()
            assert (response.status, response.headers.get("retry-after")) == (429, "1")
            assert response.body == b"Too many requests, please try again later.\n"
        assert door.tally.rejected == {"queue-full": 2}
        assert door.executing.read() == {"readOnly": 0, "mutating": 2}
        assert door.queued.read() == {"readOnly": 0, "mutating": 2}
        await asyncio.sleep(4.5)
        assert (door.queues.executing, door.queues.waiting) == (2, 0)
        for task in tasks:
            if task not in done:
                assert await task is ANSWER
        assert now() == 10
        assert door.tally.waited.sum == 10  # two of them, five seconds each
        assert door.queues.idle

    simulated(scenario)


def test_even_a_get_waits_where_others_wait() -> None:
    async def scenario() -> None:
        door = OneLevel()
        tasks = [asyncio.create_task(door.pass_(5)) for _ in range(3)]
        await asyncio.sleep(1)
        assert await door.pass_(info=GET) is ANSWER
        assert now() == 5
        await asyncio.gather(*tasks)

    simulated(scenario)


@pytest.mark.parametrize(("query", "info", "patience"), [
    ({}, CREATE, 15), ({"timeout": ["8s"]}, CREATE, 2), ({}, WATCH, 15), ({"timeout": ["8s"]}, WATCH, 15),
])  # fmt: skip
def test_nobody_waits_longer_than_a_quarter_of_his_time(query: Query, info: RequestInfo, patience: float) -> None:
    async def scenario() -> None:
        door = OneLevel()
        holders = [asyncio.create_task(door.pass_(50)) for _ in range(2)]
        await asyncio.sleep(0)
        ran = []

        async def never() -> Response:
            ran.append(1)
            return ANSWER

        with pytest.raises(Rejected):
            await door.passed(door.only, info, query, ANN, never())
        assert now() == patience
        assert not ran
        assert door.tally.rejected == {"time-out": 1}
        assert door.tally.given_up.sum == patience
        assert door.queues.timed_out == 1
        assert door.queues.waiting == 0
        await asyncio.gather(*holders)

    simulated(scenario)


def test_time_in_the_queue_is_time_of_the_request() -> None:
    async def scenario() -> None:
        door = OneLevel()
        holders = [asyncio.create_task(door.pass_(10)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(GatewayTimeout):
            await door.pass_(55)
        assert now() == 60
        await asyncio.gather(*holders)

    simulated(scenario)


def test_a_client_that_goes_away_leaves_its_queue() -> None:
    async def scenario() -> None:
        door = OneLevel()
        holders = [asyncio.create_task(door.pass_(10)) for _ in range(2)]
        await asyncio.sleep(0)
        waiting = asyncio.create_task(door.pass_(1))
        await asyncio.sleep(1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert door.queues.waiting == 0
        assert door.tally.rejected == {"cancelled": 1}
        await asyncio.gather(*holders)
        assert door.queues.idle

    simulated(scenario)


def test_a_client_that_goes_away_just_when_its_turn_comes_frees_its_seat() -> None:
    async def scenario() -> None:
        door = OneLevel(seats=1)
        holder = asyncio.create_task(door.pass_(10))
        await asyncio.sleep(0)
        waiting, next_one = (asyncio.create_task(door.pass_(1)) for _ in range(2))
        await asyncio.sleep(1)
        holder.add_done_callback(lambda _: waiting.cancel())  # its seat has gone to the one that waits
        await holder
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await next_one is ANSWER
        assert door.queues.idle
        assert door.executing.read()["mutating"] == 1

    simulated(scenario)


def test_without_queues_who_finds_no_seat_is_sent_away() -> None:
    async def scenario() -> None:
        door = OneLevel(queuing=None)
        holders = [asyncio.create_task(door.pass_(10)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Rejected):
            await door.pass_()
        assert door.tally.rejected == {"concurrency-limit": 1}
        await asyncio.gather(*holders)
        assert await door.pass_() is ANSWER

    simulated(scenario)


def test_a_wide_request_waits_for_all_its_seats() -> None:
    async def scenario() -> None:
        door = OneLevel()
        holder = asyncio.create_task(door.pass_(5))
        await asyncio.sleep(0)
        door.asked = Work(2)
        assert await door.pass_(info=LIST) is ANSWER
        assert now() == 5
        await holder

    simulated(scenario)


def test_seats_linger_for_those_who_hear_of_a_write() -> None:
    async def scenario() -> None:
        door = OneLevel(Work(1, 2, 0.5), seats=2)
        assert await door.pass_(1) is ANSWER
        assert now() == 1
        assert door.queues.seats_in_use == 2
        door.asked = ONE
        assert await door.pass_(info=GET) is ANSWER
        assert now() == 1.5
        assert door.queues.seats_in_use == 0

    simulated(scenario)


def pieces() -> Iterator[bytes]:
    yield from (b"a", b"b")


@pytest.mark.parametrize("waits", [(), (1,)])
@pytest.mark.parametrize("read", [True, False])
def test_a_list_holds_its_seat_until_it_is_out_or_its_time_is_over(read: bool, waits: tuple[float, ...]) -> None:
    async def scenario() -> None:
        door = OneLevel()
        body = Bulk(Slices(pieces()), Turns())

        async def listed() -> Response:
            await answer(*waits)
            return Response(200, body=body)

        await door.passed(door.only, LIST, {}, ANN, listed())
        assert door.queues.seats_in_use == 1
        if read:
            assert [piece async for piece in body] == [b"a", b"b"]
        else:
            await asyncio.sleep(59.9 - sum(waits))
            assert door.queues.seats_in_use == 1
            await asyncio.sleep(0.2)
        assert door.queues.seats_in_use == 0

    simulated(scenario)


def test_two_plain_limits_for_reads_and_for_writes() -> None:
    async def scenario() -> None:
        door = MaxInFlight(SimulatedClock(asyncio.get_running_loop()), 60.0, 2, 1)

        async def pass_(info: RequestInfo, user: User = ANN) -> Response:
            flow = door.flow(user, info)
            assert flow is not None
            return await door.passed(flow, info, {}, user, answer(10))

        holders = [asyncio.create_task(pass_(info)) for info in (GET, LIST, CREATE)]
        await asyncio.sleep(0)
        for info in (GET, CREATE):
            with pytest.raises(Rejected) as refused:
                await pass_(info)
            assert refused.value.retry_after == 1
        assert await pass_(CREATE, MASTER) is ANSWER, "who may do everything is served in any case"
        assert door.flow(ANN, WATCH) is None
        await asyncio.gather(*holders)

    simulated(scenario)


def test_zero_is_no_limit() -> None:
    async def scenario() -> None:
        door = MaxInFlight(SimulatedClock(asyncio.get_running_loop()), 60.0, 0, 0)
        flow = door.flow(ANN, CREATE)
        assert flow is not None
        answers = await asyncio.gather(*(door.passed(flow, CREATE, {}, ANN, answer(1)) for _ in range(500)))
        assert len(answers) == 500
        assert now() == 1

    simulated(scenario)
