"""Rules of faults, against a handler that answers everything."""

import asyncio
import threading
from collections import Counter

import orjson
import pytest
from tests.unit.testing.calls import request

from pybernetes.aio.clock import SystemClock
from pybernetes.aio.simulation import SimulatedClock, run_simulated
from pybernetes.api.errors import BY_REASON, Conflict
from pybernetes.testing.audit import Audit
from pybernetes.testing.errors import OptionError
from pybernetes.testing.faults import Faults
from pybernetes.testing.traffic import Traffic
from pybernetes.wire.http import Dropped, Handler, Request, Response

PODS = "/api/v1/namespaces/shop/pods"


class Site:
    """Traffic before a handler that counts what reaches it."""

    def __init__(self, clock=None) -> None:
        self.faults = Faults(clock or SystemClock(seed=1))
        self.audit = Audit()
        self.reached: Counter[str] = Counter()
        self.handler: Handler = Traffic(self.faults.clock, self.faults, self.audit).around(self._answer)

    async def _answer(self, asked: Request) -> Response:
        self.reached[asked.method] += 1
        return Response(404 if "missing" in asked.target else 200, body=b"{}")

    async def __call__(self, method: str, target: str = PODS, **more: str) -> Response:
        return await self.handler(request(method, target, **more))


async def test_a_rule_refuses_what_it_selects_and_nothing_else():
    site = Site()
    with site.faults.add(verb="create", resource="pods", error="Forbidden") as rule:
        assert (await site("POST")).status == 403
        assert (await site("GET")).status == 200
        assert (await site("POST", "/api/v1/namespaces/shop/services")).status == 200
    assert rule.hits == 1
    assert (await site("POST")).status == 200
    assert site.reached == {"POST": 2, "GET": 1}


@pytest.mark.parametrize("reason", BY_REASON)
async def test_every_reason_is_the_status_of_the_api(reason):
    site = Site()
    site.faults.add(error=reason)
    response = await site("PUT", f"{PODS}/web-0")
    status = orjson.loads(response.body)
    assert (status["kind"], status["reason"], status["code"]) == ("Status", reason, BY_REASON[reason].code)
    assert response.status == BY_REASON[reason].code
    assert status["message"]


async def test_refusals_use_the_words_that_clients_know():
    site = Site()
    for reason, text in (
        (
            "Conflict",
            'Operation cannot be fulfilled on deployments.apps "web": the object has been modified; '
            "please apply your changes to the latest version and try again",
        ),
        ("NotFound", 'deployments.apps "web" not found'),
        (
            "Forbidden",
            'deployments.apps "web" is forbidden: User "alice" cannot update resource "deployments" in API group "apps" '
            'in the namespace "shop"',
        ),
    ):
        with site.faults.add(error=reason):
            response = await site("PUT", "/apis/apps/v1/namespaces/shop/deployments/web")
        status = orjson.loads(response.body)
        assert status["message"] == text
        assert status["details"] == {"name": "web", "group": "apps", "kind": "deployments"}


async def test_too_many_requests_says_when_to_come_back_and_others_where_they_are_told_to():
    site = Site()
    with site.faults.add(error="TooManyRequests"):
        assert (await site("GET")).headers.get("retry-after") == "1"
    with site.faults.add(error="ServiceUnavailable"):
        assert "retry-after" not in (await site("GET")).headers
    with site.faults.add(error="ServiceUnavailable", retry_after=7, message="come later"):
        response = await site("GET")
        assert response.headers.get("retry-after") == "7"
        assert orjson.loads(response.body)["message"] == "come later"


async def test_an_error_of_ones_own_is_given_as_it_is():
    site = Site()
    site.faults.add(error=Conflict("mine", details={"kind": "x"}))
    assert orjson.loads((await site("GET")).body)["message"] == "mine"


async def test_a_dropped_request_never_arrives_and_a_written_one_does():
    site = Site()
    with site.faults.add(drop=True), pytest.raises(Dropped):
        await site("POST")
    assert site.reached["POST"] == 0
    with site.faults.add(drop=True, written=True), pytest.raises(Dropped):
        await site("POST")
    assert site.reached["POST"] == 1
    with site.faults.add(error="InternalError", written=True):
        assert (await site("POST")).status == 500
    assert site.reached["POST"] == 2


async def test_what_the_server_refuses_is_not_written():
    site = Site()
    with site.faults.add(drop=True, written=True) as rule:
        assert (await site("PUT", f"{PODS}/missing")).status == 404
    assert rule.hits == 0


async def test_times_and_after_count_what_is_selected():
    site = Site()
    with site.faults.add(verb="get", error="InternalError", after=1, times=2) as rule:
        codes = [(await site("GET", f"{PODS}/a")).status for _ in range(5)]
        await site("POST")
    assert codes == [200, 500, 500, 200, 200]
    assert (rule.hits, rule.seen) == (2, 3)


def test_chance_is_the_clocks():
    def drawn() -> list[int]:
        async def main() -> list[int]:
            site = Site(SimulatedClock(asyncio.get_running_loop(), seed=3))
            site.faults.add(error="InternalError", probability=0.5)
            return [(await site("GET")).status for _ in range(20)]

        return run_simulated(main())

    first = drawn()
    assert set(first) == {200, 500}
    assert drawn() == first


def test_a_delay_is_of_the_clusters_clock():
    async def main() -> None:
        site = Site(SimulatedClock(asyncio.get_running_loop()))
        site.faults.add(verb="create", delay=30)
        site.faults.add(verb="create", error="Timeout", delay=12)
        response = await site("POST")
        assert (response.status, site.faults.clock.monotonic()) == (504, 42)
        (call,) = site.audit.calls(verb="create")
        assert call.seconds == 42
        site.faults.clear()
        site.faults.add(delay=8, written=True)
        await site("POST")
        assert site.faults.clock.monotonic() == 50
        assert site.reached["POST"] == 1

    run_simulated(main())


async def test_the_first_rule_that_decides_does_and_later_ones_are_not_hit():
    site = Site()
    first, second = site.faults.add(error="Conflict", times=1), site.faults.add(error="InternalError")
    assert [(await site("GET")).status for _ in range(2)] == [409, 500]
    assert (first.hits, second.hits) == (1, 1)
    site.faults.clear()
    assert (await site("GET")).status == 200
    first.remove()


async def test_a_rule_says_what_it_is():
    rule = Site().faults.add(verb="update", resource="pods", error="Conflict", times=3)
    assert str(rule) == "verb='update', resource='pods', error='Conflict', times=3"
    assert repr(rule) == f"<Rule {rule}: 0 hits>"


async def test_rules_can_be_added_from_another_thread():
    site = Site()
    site.faults.attach(asyncio.get_running_loop(), int)
    made = []
    thread = threading.Thread(target=lambda: made.append(site.faults.add(error="Conflict")))
    thread.start()
    while thread.is_alive():
        await asyncio.sleep(0)
    assert (await site("GET")).status == 409
    assert site.faults.rules == tuple(made)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"error": "Broken"}, "error: 'Broken' is not allowed; allowed: BadRequest, Unauthorized, Forbidden"),
        ({"error": 500}, "error: 500 is not allowed"),
        ({}, "give it error, drop, stale or delay"),
        ({"verb": "get"}, "give it error, drop, stale or delay"),
        ({"drop": 1}, "drop: 1 is not allowed; allowed: True or False"),
        ({"drop": True, "error": "Conflict"}, "error and drop do not go together"),
        ({"delay": -1}, "delay: -1 is not allowed"),
        ({"delay": "1s"}, "delay: '1s' is not allowed"),
        ({"drop": True, "times": 0}, "times: 0 is not allowed; allowed: a count from 1"),
        ({"drop": True, "times": True}, "times: True is not allowed"),
        ({"drop": True, "after": -1}, "after: -1 is not allowed"),
        ({"drop": True, "probability": 0}, "probability: 0 is not allowed"),
        ({"drop": True, "message": "x"}, "message goes with error only"),
        ({"drop": True, "retry_after": 1}, "retry_after goes with error only"),
        ({"error": "Expired", "expire": True}, "expire goes with drop only"),
        ({"delay": 1, "events": 1}, "events goes with drop or error only"),
        ({"drop": True, "written": True, "events": 1}, "neither with stale nor with events"),
        ({"drop": True, "events": 1, "verb": "list"}, "events are those of watches"),
        ({"drop": True, "colour": "red"}, "there is no word 'colour' for rules; known: verb, .*probability"),
        ({"drop": True, "verb": "POST"}, r"there is no 'POST' \(POST is create\)"),
    ],
)
def test_wrong_rules_are_refused_with_what_is_allowed(words, says):
    faults = Faults(SystemClock())
    with pytest.raises(OptionError, match=says):
        faults.add(**words)
    assert faults.quiet
