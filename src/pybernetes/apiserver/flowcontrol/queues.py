"""Queues: who of those that wait at one priority level has the next free seat. Pure, on the time it is given.

Fair queuing for server requests (KEP-1040): each queue has a mark `next_r` on a meter `r` that runs as fast as a queue
that is never empty gets seat-seconds. The request with the lowest mark at its end goes first, so that queues with
requests share the seats evenly, however many requests each has. A flow has a hand of queues and joins the one with the
least work, so that few flows share all of theirs. levels.py has a QueueSet for each level; filter.py keeps the time.
"""

import hashlib
from collections.abc import Callable, Sequence
from enum import Enum

from msgspec import Struct

from pybernetes.apiserver.flowcontrol.sharing import Demand
from pybernetes.apiserver.flowcontrol.tally import Tally
from pybernetes.apiserver.flowcontrol.work import SERVICE_SECONDS, Work

QUEUE_FULL, CONCURRENCY_LIMIT = "queue-full", "concurrency-limit"
TIME_OUT, CANCELLED = "time-out", "cancelled"
"""Why a request was not served (the `reason` of apiserver_flowcontrol_rejected_requests_total)."""


class Queuing(Struct, frozen=True):
    """How a level queues: spec.limited.limitResponse.queuing."""

    queues: int
    hand_size: int
    length: int
    """Requests that may wait in one queue."""


class Flow:
    """Requests that are one to their level: those of a schema, by user or namespace where it says so."""

    __slots__ = ("distinguisher", "hand", "headers", "queues", "tally")

    def __init__(
        self, queues: "QueueSet", tally: Tally, distinguisher: str = "", headers: Sequence[tuple[str, str]] = ()
    ) -> None:
        self.queues = queues
        self.tally = tally
        self.distinguisher = distinguisher
        self.headers = headers
        """What every answer says of it."""
        self.hand = hand_of(tally.schema, distinguisher, queues.queuing)
        """Indexes of the queues that they may wait in."""


class State(Enum):
    """Where a ticket is."""

    NEW = 0
    WAITING = 1
    EXECUTING = 2
    LINGERING = 3
    """Answered; those who hear of the write keep the seats for a moment."""
    GONE = 4


class Queue:
    """One queue: those that wait in it, oldest first, and what its requests have in use."""

    __slots__ = ("executing", "index", "next_r", "seats_in_use", "seats_waiting", "waiting", "work_waiting")

    def __init__(self, index: int) -> None:
        self.index = index
        self.waiting: dict[Ticket, None] = {}
        self.executing = self.seats_in_use = self.seats_waiting = 0
        self.work_waiting = 0.0
        """Seat-seconds."""
        self.next_r = 0.0
        """Where on the meter the next of its requests begins."""


class Ticket:
    """One request at its level."""

    __slots__ = (
        "arrival",
        "arrival_r",
        "began",
        "flow",
        "granted",
        "linger",
        "queue",
        "seats",
        "state",
        "total",
        "work",
    )

    def __init__(self, flow: Flow, work: Work) -> None:
        self.flow = flow
        self.work = work
        self.seats, self.total, self.linger = work.seats, work.total, work.linger
        self.granted: Callable[[], None] | None = None
        """Called when one that has waited has its seats."""
        self.state = State.NEW
        self.queue: Queue | None = None
        self.arrival = self.began = self.arrival_r = 0.0


class QueueSet:
    """Seats and queues of one level. `now` gives seconds that only rise."""

    def __init__(self, now: Callable[[], float], *, exempt: bool = False) -> None:
        self.exempt = exempt
        """Every request is served at once; what is in use is counted all the same."""
        self.queuing: Queuing | None = None
        """None: who finds no seat is refused."""
        self.limit = 0
        """Seats."""
        self.queues: list[Queue] = []
        self.demand = Demand(now)
        self.waiting = self.executing = self.seats_in_use = self.seats_waiting = 0
        self.running: dict[Ticket, None] = {}
        self.backlog: dict[Queue, None] = {}
        """Queues in which somebody waits."""
        self.rejected = self.timed_out = self.cancelled = 0
        """Since the level is there: all who were not served, and two kinds of them."""
        self.open = exempt
        """Whether a request of one seat may begin at once."""
        self.r = self.dispatch_r = self.latest_s = 0.0
        """The meter; where it was at the last dispatch, and where that request began on it."""
        self._now = now
        self._at = now()
        self._active = 0
        """Queues that are not empty, or of which a request is being answered."""
        self._robin = -1
        self._enqueued = 0

    @property
    def idle(self) -> bool:
        """Whether nobody waits or is answered."""
        return not self.waiting and not self.executing

    def configure(self, queuing: Queuing | None, limit: int) -> None:
        """What holds from now on. Queues that are no more are emptied, and get nobody else."""
        self._sync()
        wanted = queuing.queues if queuing is not None else 0
        del self.queues[wanted:]
        self.queues += [Queue(index) for index in range(len(self.queues), wanted)]
        self.queuing, self.limit = queuing, limit
        self._dispatch()
        self._note()

    def offer(self, ticket: Ticket) -> str:
        """Empty where it begins at once or waits (its `state` says), else the reason why it is refused."""
        self._sync()
        ticket.arrival, ticket.arrival_r = self._at, self.r
        if self.exempt or self.queuing is None:
            if not self.exempt and not self._accommodates(ticket.seats):
                self.rejected += 1
                return CONCURRENCY_LIMIT
            self._start(ticket, None)
            return ""
        queue = self._chosen(ticket.flow.hand)
        if self.seats_in_use >= self.limit and len(queue.waiting) >= self.queuing.length:
            self.rejected += 1
            return QUEUE_FULL
        self._enqueue(ticket, queue)
        self._dispatch()
        self._note()
        return ""

    def begin(self, ticket: Ticket) -> None:
        """Takes the seats of a request that has begun, because there was room."""
        self._sync()
        ticket.arrival, ticket.arrival_r = self._at, self.r
        self._start(ticket, self._chosen(ticket.flow.hand) if self.queues else None)

    def leave(self, ticket: Ticket, reason: str) -> None:
        """One that waits gives up: its time is over, or its client is gone."""
        self._sync()
        self._dequeue(ticket)
        ticket.state = State.GONE
        self.rejected += 1
        if reason == TIME_OUT:
            self.timed_out += 1
        else:
            self.cancelled += 1
        self._dispatch()
        self._note()

    def finish(self, ticket: Ticket) -> None:
        """One is answered. Whoever calls must call release() `ticket.linger` seconds later, where that is not 0."""
        self._sync()
        self.executing -= 1
        del self.running[ticket]
        ticket.state = State.LINGERING
        queue = ticket.queue
        if queue is not None:
            queue.executing -= 1
            # The mark was moved on by a guess; now it is known how long it took.
            queue.next_r -= ticket.work.initial * (SERVICE_SECONDS - (self._at - ticket.began))
            _bound(queue)
            self._left(queue)
        if ticket.linger <= 0:
            self._release(ticket)
        self._dispatch()
        self._note()

    def release(self, ticket: Ticket) -> None:
        """The seats of one that lingered are free."""
        self._sync()
        self._release(ticket)
        self._dispatch()
        self._note()

    # --- inside

    def _sync(self) -> None:
        """The meter as of now: until here everything was as it is."""
        now = self._now()
        if self._active:
            self.r += min(self.seats_in_use + self.seats_waiting, self.limit) / self._active * (now - self._at)
        self._at = now

    def _note(self) -> None:
        self.open = self.exempt or (not self.waiting and self.seats_in_use < self.limit)
        self.demand.set(self.seats_in_use + self.seats_waiting)

    def _accommodates(self, seats: int) -> bool:
        if seats > self.limit:
            return not self.executing  # it would wait for ever else
        return self.seats_in_use + seats <= self.limit

    def _chosen(self, hand: Sequence[int]) -> Queue:
        """The queue of the hand with the least work waiting; hands that overlap are not tried in the same order."""
        queues, size = self.queues, len(hand)
        offset = self._enqueued % size
        self._enqueued += 1
        if not self.waiting:
            return queues[hand[offset]]
        turned = (queues[hand[(offset + at) % size]] for at in range(size))
        return min(turned, key=lambda queue: queue.work_waiting)

    def _enqueue(self, ticket: Ticket, queue: Queue) -> None:
        self._joined(queue)
        queue.waiting[ticket] = None
        queue.seats_waiting += ticket.seats
        queue.work_waiting += ticket.total
        self.backlog[queue] = None
        self.waiting += 1
        self.seats_waiting += ticket.seats
        ticket.queue, ticket.state = queue, State.WAITING
        _bound(queue)

    def _dequeue(self, ticket: Ticket) -> Queue:
        queue = ticket.queue
        assert queue is not None
        del queue.waiting[ticket]
        queue.seats_waiting -= ticket.seats
        queue.work_waiting = queue.work_waiting - ticket.total if queue.waiting else 0.0
        self.waiting -= 1
        self.seats_waiting -= ticket.seats
        if not queue.waiting:
            del self.backlog[queue]
        _bound(queue)
        self._left(queue)
        return queue

    def _joined(self, queue: Queue) -> None:
        if not queue.waiting and not queue.executing:
            self._active += 1
            queue.next_r = self.r

    def _left(self, queue: Queue) -> None:
        if not queue.waiting and not queue.executing:
            self._active -= 1

    def _start(self, ticket: Ticket, queue: Queue | None) -> None:
        self.executing += 1
        self.seats_in_use += ticket.seats
        self.running[ticket] = None
        ticket.queue, ticket.state, ticket.began = queue, State.EXECUTING, self._at
        if queue is not None:
            self._joined(queue)
            queue.executing += 1
            queue.seats_in_use += ticket.seats
            self.dispatch_r, self.latest_s = self.r, queue.next_r
            queue.next_r += ticket.total
        self._note()

    def _release(self, ticket: Ticket) -> None:
        ticket.state = State.GONE
        self.seats_in_use -= ticket.seats
        if ticket.queue is not None:
            ticket.queue.seats_in_use -= ticket.seats

    def _dispatch(self) -> None:
        """Lets in who can be."""
        while self.waiting and self.seats_in_use < self.limit:
            queue = self._next()
            ticket = next(iter(queue.waiting))
            if not self._accommodates(ticket.seats):
                ticket.flow.tally.unaccommodated += 1
                return  # nobody overtakes it: it would never find enough free at once
            self._robin = queue.index
            self._dequeue(ticket)
            if ticket.work.final > self.limit > 0:
                # The same work on the seats there are.
                ticket.linger *= ticket.work.final / self.limit
                ticket.seats = max(ticket.work.initial, self.limit)
            self._start(ticket, queue)
            _bound(queue)
            if ticket.granted is not None:
                ticket.granted()

    def _next(self) -> Queue:
        """The queue whose oldest request would end first on the meter; of equal ones the next after the last chosen."""
        count, after = max(len(self.queues), 1), self._robin + 1

        def key(queue: Queue) -> tuple[float, int]:
            return queue.next_r + next(iter(queue.waiting)).total, (queue.index - after) % count

        return min(self.backlog, key=key)


def _bound(queue: Queue) -> None:
    """No request begins on the meter before it came: a queue that uses less than its share saves nothing up."""
    for oldest in queue.waiting:
        queue.next_r = max(queue.next_r, oldest.arrival_r)
        return


def hand_of(schema: str, distinguisher: str, queuing: Queuing | None) -> tuple[int, ...]:
    """The queues of a flow: dealt by its hash, each once (shuffle sharding)."""
    if queuing is None:
        return ()
    value = 0
    if queuing.queues > 1:
        digest = hashlib.sha256(f"{schema}\0{distinguisher}".encode()).digest()
        value = int.from_bytes(digest[:8], "little")
    hand = list[int]()
    for dealt in range(queuing.hand_size):
        value, card = divmod(value, queuing.queues - dealt)
        for taken in sorted(hand):
            if card >= taken:
                card += 1
        hand.append(card)
    return tuple(hand)
