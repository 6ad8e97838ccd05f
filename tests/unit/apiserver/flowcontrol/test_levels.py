"""Levels: seats by shares, borrowing every ten seconds, levels that come and go."""

from math import ceil

import pytest

from pybernetes.apiserver.flowcontrol.levels import Levels
from pybernetes.apiserver.flowcontrol.objects import mandatory_levels, suggested_levels
from pybernetes.apiserver.flowcontrol.queues import Flow, Ticket
from pybernetes.apiserver.flowcontrol.tally import Tally
from pybernetes.apiserver.flowcontrol.work import ONE


class World:
    def __init__(self, seats=600):
        self.now = 0.0
        self.levels = Levels(seats, lambda: self.now)

    def digest(self, **specs):
        self.levels.digest({name: {"metadata": {"name": name, "uid": f"u-{name}"}, "spec": spec}
                            for name, spec in specs.items()})  # fmt: skip

    def cluster(self):
        self.digest(**{**suggested_levels(), **mandatory_levels()})

    def limits(self):
        return {name: level.queues.limit for name, level in self.levels.by_name.items()}

    def come(self, name, count, work=ONE):
        level = self.levels.by_name[name]
        flow = Flow(level.queues, Tally(name, "s"))
        tickets = [Ticket(flow, work) for _ in range(count)]
        return tickets, [level.queues.offer(ticket) for ticket in tickets]

    def pass_(self, seconds, *used):
        for _ in range(round(seconds / 10)):
            self.now += 10
            self.levels.adjust(frozenset(used))


def limited(shares=10, lendable=0, queues=0, **more):
    response = {"type": "Reject"}
    if queues:
        response = {"type": "Queue", "queuing": {"queues": queues, "handSize": 2, "queueLengthLimit": 50}}
    given = {"nominalConcurrencyShares": shares, "lendablePercent": lendable, "limitResponse": response, **more}
    return {"type": "Limited", "limited": given}


def test_a_cluster_has_upstreams_nominal_limits():
    world = World()
    world.cluster()
    found = {
        name: (level.limits.nominal, level.limits.lower, level.widest) for name, level in world.levels.by_name.items()
    }
    assert found == {
        "exempt": (0, 0, 0),
        "catch-all": (13, 13, 0),
        "global-default": (49, 24, 8),
        "leader-election": (25, 25, 4),
        "node-high": (98, 73, 15),
        "system": (74, 50, 12),
        "workload-high": (98, 49, 15),
        "workload-low": (245, 24, 37),
    }
    assert sum(world.limits().values()) == pytest.approx(602, abs=4), "all seats are somebody's"


def test_even_without_objects_there_are_the_two_that_must_be():
    world = World()
    assert set(world.levels.by_name) == {"exempt", "catch-all"}
    assert world.levels.by_name["exempt"].queues.open
    assert world.limits()["catch-all"] == 600


def test_seats_go_to_who_wants_them_and_come_back():
    world = World()
    world.cluster()
    world.come("workload-high", 400)
    before = world.limits()["workload-high"]
    world.pass_(10)
    assert world.limits()["workload-high"] > 1.5 * before
    assert all(
        level.limits.lower <= level.queues.limit <= level.limits.upper for level in world.levels.by_name.values()
    )
    queues = world.levels.by_name["workload-high"].queues
    while not queues.idle:
        queues.finish(next(iter(queues.running)))
    world.pass_(3600)
    assert world.limits()["workload-high"] == pytest.approx(before, abs=2)


def test_what_is_lent_is_no_more_than_a_level_lends():
    world = World(100)
    world.digest(lender=limited(50, 40), borrower=limited(50, 0, 4, borrowingLimitPercent=30), **mandatory())
    nominal = world.levels.by_name["lender"].limits.nominal
    world.come("borrower", 300)
    world.pass_(100)
    assert world.limits()["lender"] >= nominal - ceil(nominal * 0.4)
    borrower = world.levels.by_name["borrower"]
    assert world.limits()["borrower"] <= ceil(borrower.limits.nominal * 1.3)


def mandatory():
    return dict(mandatory_levels())


def test_a_level_whose_requests_take_no_seat_keeps_one():
    world = World(100)
    world.digest(idle=limited(1, 100, 4), busy=limited(99, 0, 4), **mandatory())
    world.come("busy", 200)
    world.pass_(100)
    assert world.limits()["idle"] == 0
    world.pass_(10, "idle")
    assert world.limits()["idle"] >= 1


def test_a_level_that_is_gone_stays_until_its_requests_are_answered():
    world = World()
    world.cluster()
    (ticket,), _ = world.come("system", 1)
    world.digest(**mandatory())
    level = world.levels.by_name["system"]
    assert level.quiescing
    assert not world.levels.reap()
    level.queues.finish(ticket)
    assert world.levels.reap()
    world.digest(**mandatory())
    assert "system" not in world.levels.by_name


def test_one_that_comes_back_goes_on():
    world = World()
    world.cluster()
    world.come("system", 1)
    level = world.levels.by_name["system"]
    world.digest(**mandatory())
    world.cluster()
    assert world.levels.by_name["system"] is level
    assert not level.quiescing


def test_changed_queues_and_shares_count_at_once():
    world = World(60)
    world.digest(a=limited(10, 0, 4), **mandatory())
    (_, reasons) = world.come("a", 80)
    level = world.levels.by_name["a"]
    executing = level.queues.executing
    assert not any(reasons[:executing])
    world.digest(a=limited(1000, 0, 8), **mandatory())
    assert level.queues.executing > executing, "who waited is served"
    assert len(level.queues.queues) == 8


def test_what_cannot_be_followed_is_left_out(caplog):
    world = World()
    world.digest(odd={"type": "Limited"}, **mandatory())
    assert "odd" not in world.levels.by_name
    assert "cannot be followed" in caplog.text
