"""API priority and fairness of a whole server: who is served while many others wait. On simulated time."""

import asyncio
from collections import Counter

import pytest
from tests.component.api import ADMIN, TABLE, serving

from pybernetes.aio.simulation import run_simulated
from pybernetes.api.objects import User
from pybernetes.apiserver import bulk
from pybernetes.apiserver.config import InFlight, Times
from pybernetes.store.memory import MemoryStore
from pybernetes.wire.http import read_body

GROUP = "/apis/flowcontrol.apiserver.k8s.io/v1"
SCHEMAS, LEVELS = f"{GROUP}/flowschemas", f"{GROUP}/prioritylevelconfigurations"
MAPS = "/api/v1/namespaces/default/configmaps"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
COMMIT_SECONDS = 1.0
DUMPS = "/debug/api_priority_and_fairness"


def user(name, *groups):
    return User(name, groups=(*groups, "system:authenticated"))


NOISY, CALM = user("noisy"), user("calm")
NODE = user("system:node:n", "system:nodes")
MANAGER = user("system:kube-controller-manager")
SCHEDULER = user("system:kube-scheduler")


class SlowStore(MemoryStore):
    """Takes its time with every write, once it is `slow`: requests are under way together."""

    slow = False

    async def create(self, *words, **more):
        if self.slow:
            await asyncio.sleep(COMMIT_SECONDS)
        return await super().create(*words, **more)


def simulated(scenario, **config):
    """Runs a scenario (api, clock) against a server whose store is slow, where everybody may do everything."""

    async def main():
        store = SlowStore()
        modes = ("AlwaysAllow",)
        async with serving(store=store, account=False, authorization_modes=modes, enable_admission=(), **config) as api:
            await asyncio.sleep(1)
            store.slow = True
            await scenario(api, api.server.clock)

    run_simulated(main())


class Load:
    """Writers of one user, each with its next write as soon as the last one is answered."""

    def __init__(self, api, who, writers, place=MAPS):
        self.codes = Counter()
        self.seconds = []
        self._api, self._who, self._place = api, who, place
        self._tasks = [asyncio.create_task(self._write(number)) for number in range(writers)]

    async def _write(self, number):
        loop = asyncio.get_running_loop()
        for turn in range(1_000_000):
            began = loop.time()
            name = f"{self._who.name.replace(':', '-')}-{number}-{turn}"
            response = await self._api.send("POST", self._place, {"metadata": {"name": name}}, user=self._who)
            self.codes[response.status] += 1
            if response.status == 429:
                await asyncio.sleep(int(response.headers.get("retry-after")))
            else:
                self.seconds.append(loop.time() - began)

    async def end(self):
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def figures(text, name):
    """Labels to value of a metric."""
    found = {}
    for line in text.splitlines():
        if line.startswith((f"{name}{{", f"{name} ")):
            labels, _, value = line.removeprefix(name).rpartition(" ")
            found[labels.strip("{}")] = float(value)
    return found


async def metrics(api):
    return (await read_body(await api.send("GET", "/metrics"))).decode()


def test_the_system_goes_on_while_hundreds_of_one_user_wait():
    async def scenario(api, clock):
        load = Load(api, NOISY, 600)
        await asyncio.sleep(5)
        assert load.codes[429] > 0
        assert load.codes[201] > 0
        text = await metrics(api)
        waiting = figures(text, "apiserver_flowcontrol_current_inqueue_requests")
        assert waiting['priority_level="global-default",flow_schema="global-default"'] == 300, "six full queues"
        for number in range(5):
            for who, place in ((ADMIN, MAPS), (NODE, LEASES), (MANAGER, MAPS), (SCHEDULER, MAPS)):
                began = clock.monotonic()
                name = f"{who.name.replace(':', '-')}-{number}"
                assert (await api("POST", place, {"metadata": {"name": name}}, user=who))[0] == 201
                assert clock.monotonic() - began == pytest.approx(COMMIT_SECONDS), who.name
                began = clock.monotonic()
                assert (await api("GET", f"{place}/{name}", user=who))[0] == 200
                assert clock.monotonic() == began, who.name
        code, _ = await api("GET", "/healthz", user=None)
        assert code == 200
        await load.end()

    simulated(scenario)


def test_a_noisy_user_does_not_starve_another_of_the_same_level():
    async def scenario(api, clock):
        noisy = Load(api, NOISY, 500)
        await asyncio.sleep(5)
        calm = Load(api, CALM, 5)
        await asyncio.sleep(60)
        assert calm.codes[429] == 0
        assert max(calm.seconds) < 5 * COMMIT_SECONDS, "it never waits behind what the noisy one has waiting"
        assert calm.codes[201] > 5 * 60 / COMMIT_SECONDS / 3
        assert noisy.codes[201] > calm.codes[201], "seats that the calm one does not want are not left empty"
        await noisy.end()
        await calm.end()

    simulated(scenario)


def test_answers_say_what_they_were_taken_for():
    async def scenario(api, clock):
        uids = {}
        for plural in (SCHEMAS, LEVELS):
            for obj in (await api.ok("GET", plural))["items"]:
                uids[obj["metadata"]["uid"]] = obj["metadata"]["name"]

        async def taken(method, target, who, body=None):
            response = await api.send(method, target, body, user=who)
            await read_body(response)
            found = [response.headers.all(f"X-Kubernetes-PF-{kind}-UID") for kind in ("FlowSchema", "PriorityLevel")]
            return response.status, *(uids[uid] for (uid,) in found)

        for _ in range(2):
            assert await taken("GET", "/version", NOISY) == (200, "global-default", "global-default")
            assert await taken("GET", "/openapi/v2", NOISY) == (200, "global-default", "global-default")
        assert await taken("GET", f"{MAPS}/none", NODE) == (404, "system-nodes", "system")
        assert await taken("GET", MAPS, ADMIN) == (200, "exempt", "exempt")
        assert await taken("POST", MAPS, SCHEDULER, {"metadata": {"name": "a"}}) == (
            201,
            "kube-scheduler",
            "workload-high",
        )
        watch = await api.send("GET", f"{MAPS}?watch=1", user=NOISY)
        assert uids[watch.headers.get("x-kubernetes-pf-flowschema-uid")] == "global-default"
        await watch.body.aclose()
        missing = await api.send("GET", "/api/v1/namespaces/default/pods/p/log", user=NOISY)
        assert "x-kubernetes-pf-flowschema-uid" not in missing.headers, "streams are not limited"

    simulated(scenario)


def level(name, **limited):
    given = {"nominalConcurrencyShares": 10, "limitResponse": {"type": "Reject"}, **limited}
    return {"metadata": {"name": name}, "spec": {"type": "Limited", "limited": given}}


def schema(name, of, precedence=50, **rule):
    everything = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": True}
    rules = [{"subjects": [{"kind": "User", "user": {"name": "noisy"}}], "resourceRules": [{**everything, **rule}]}]
    spec = {"priorityLevelConfiguration": {"name": of}, "matchingPrecedence": precedence, "rules": rules}
    return {"metadata": {"name": name}, "spec": spec}


async def queued(api, shares):
    """A level of so many shares that neither lends nor borrows, for the group `shared`."""
    queuing = {"queues": 64, "handSize": 6, "queueLengthLimit": 50}
    more = {"borrowingLimitPercent": 0, "limitResponse": {"type": "Queue", "queuing": queuing}}
    await api.made(LEVELS, level("shared", nominalConcurrencyShares=shares, **more))
    made = schema("shared", "shared")
    made["spec"]["rules"][0]["subjects"] = [{"kind": "Group", "group": {"name": "shared"}}]
    made["spec"]["distinguisherMethod"] = {"type": "ByUser"}
    await api.made(SCHEMAS, made)


async def dangling(api, name):
    conditions = (await api.ok("GET", f"{SCHEMAS}/{name}")).get("status", {}).get("conditions", [])
    return next((one["status"] for one in conditions if one["type"] == "Dangling"), None)


def test_a_schema_counts_as_soon_as_it_is_there_and_no_longer_once_it_is_gone():
    async def scenario(api, clock):
        async def of(who):
            response = await api.send("GET", MAPS, user=who)
            return response.headers.get("x-kubernetes-pf-flowschema-uid")

        usual = await of(NOISY)
        assert await of(CALM) == usual
        await api.made(LEVELS, level("strict"))
        made = await api.made(SCHEMAS, schema("strict", "strict", resources=["configmaps"]))
        assert await of(NOISY) == made["metadata"]["uid"]
        assert await of(CALM) == usual
        changed = await api.ok("PATCH", f"{SCHEMAS}/strict", {"spec": {"matchingPrecedence": 9950}})
        assert await of(NOISY) == usual
        await api.ok("PATCH", f"{SCHEMAS}/strict", {"spec": {"matchingPrecedence": 60}})
        assert await of(NOISY) == changed["metadata"]["uid"]
        await api.ok("DELETE", f"{SCHEMAS}/strict")
        assert await of(NOISY) == usual

    simulated(scenario)


def test_a_schema_whose_level_is_missing_says_so_and_is_passed_over():
    async def scenario(api, clock):
        for obj in (await api.ok("GET", SCHEMAS))["items"]:
            assert await dangling(api, obj["metadata"]["name"]) == "False"
        await api.made(SCHEMAS, schema("lost", "nowhere"))
        await asyncio.sleep(1)
        assert await dangling(api, "lost") == "True"
        assert (await api.send("GET", MAPS, user=NOISY)).status == 200
        rows = {row["Name"]: row["MissingPL"] for row in await api.table(SCHEMAS)}
        assert (rows["lost"], rows["exempt"]) == ("True", "False")
        await api.made(LEVELS, level("nowhere"))
        await asyncio.sleep(1)
        assert await dangling(api, "lost") == "False"
        await api.ok("DELETE", f"{LEVELS}/nowhere")
        await asyncio.sleep(1)
        assert await dangling(api, "lost") == "True"
        await api.ok("PUT", f"{SCHEMAS}/lost/status", {**schema("lost", "nowhere"), "status": {}})
        await asyncio.sleep(1)
        assert await dangling(api, "lost") == "True", "it is kept true"

    simulated(scenario)


def test_a_level_without_queues_refuses_what_is_too_much():
    async def scenario(api, clock):
        await api.made(LEVELS, level("strict", nominalConcurrencyShares=0, borrowingLimitPercent=0))
        await api.made(SCHEMAS, schema("strict", "strict"))
        await asyncio.sleep(1)
        answers = await asyncio.gather(
            *(api.send("POST", MAPS, {"metadata": {"name": f"n-{number}"}}, user=NOISY) for number in range(3))
        )
        assert sorted(one.status for one in answers) == [201, 429, 429], "one at a time, where there is no seat at all"
        (refused, _) = (one for one in answers if one.status == 429)
        assert refused.body == b"Too many requests, please try again later.\n"
        assert refused.headers.get("content-type") == "text/plain; charset=utf-8"
        assert int(refused.headers.get("retry-after")) >= 1
        assert refused.headers.get("x-kubernetes-pf-prioritylevel-uid")
        text = await metrics(api)
        rejected = figures(text, "apiserver_flowcontrol_rejected_requests_total")
        assert rejected == {'priority_level="strict",flow_schema="strict",reason="concurrency-limit"': 2}
        total = figures(text, "apiserver_request_total")
        assert any('code="429"' in labels and count == 2 for labels, count in total.items())

    simulated(scenario)


def test_two_noisy_users_share_evenly():
    async def scenario(api, clock):
        await queued(api, 20)
        loads = [Load(api, user(name, "shared"), count) for name, count in (("ann", 200), ("bob", 100))]
        await asyncio.sleep(60)
        done = [load.codes[201] for load in loads]
        assert 0.8 < done[0] / done[1] < 1.25, done
        for load in loads:
            await load.end()

    simulated(scenario)


def test_metrics_and_dumps_tell_of_levels_queues_and_requests():
    async def scenario(api, clock):
        load = Load(api, NOISY, 200)
        await asyncio.sleep(5.5)
        text = await metrics(api)
        at = 'priority_level="global-default",flow_schema="global-default"'
        executing = figures(text, "apiserver_flowcontrol_current_executing_requests")[at]
        limit = figures(text, "apiserver_flowcontrol_current_limit_seats")['priority_level="global-default"']
        assert executing == limit
        assert figures(text, "apiserver_flowcontrol_current_executing_seats")[at] == executing
        assert figures(text, "apiserver_flowcontrol_current_inqueue_requests")[at] == 200 - executing
        assert figures(text, "apiserver_flowcontrol_nominal_limit_seats") == {
            f'priority_level="{name}"': seats
            for name, seats in (
                *(("exempt", 0), ("catch-all", 13), ("global-default", 49), ("leader-election", 25)),
                *(("node-high", 98), ("system", 74), ("workload-high", 98), ("workload-low", 245)),
            )
        }
        assert (
            figures(text, "apiserver_flowcontrol_dispatched_requests_total")[at] == sum(load.codes.values()) + executing
        )
        waited = figures(text, "apiserver_flowcontrol_request_wait_duration_seconds_count")
        assert waited[f'{at},execute="true"'] == sum(load.codes.values()) + executing
        assert figures(text, "apiserver_current_inflight_requests")['request_kind="mutating"'] == executing
        assert figures(text, "apiserver_current_inqueue_requests")['request_kind="mutating"'] >= 200 - executing
        rows = await dumped(api, "dump_priority_levels")
        (row,) = (row for row in rows if row["PriorityLevelName"] == "global-default")
        assert (row["WaitingRequests"], row["ExecutingRequests"]) == (f"{200 - executing:.0f}", f"{executing:.0f}")
        assert (row["IsIdle"], row["IsQuiescing"]) == ("false", "false")
        queues = [row for row in await dumped(api, "dump_queues") if row["PriorityLevelName"] == "global-default"]
        assert len(queues) == 128
        assert sum(int(row["PendingRequests"]) for row in queues) == 200 - executing
        requests = await dumped(api, "dump_requests?includeRequestDetails=1")
        waiting = [row for row in requests if row["RequestIndexInQueue"] != "-1"]
        assert len(waiting) == 200 - executing
        assert {row["StartTime"] for row in waiting} == {"0001-01-01T00:00:00Z"}
        assert {(row["UserName"], row["Verb"], row["Resource"], row["FlowDistingsher"]) for row in waiting} == {
            ("noisy", "create", "configmaps", "noisy")
        }
        await load.end()
        assert all(row["IsIdle"] == "true" for row in await dumped(api, "dump_priority_levels"))

    simulated(scenario)


def test_what_requests_were_taken_for_is_remembered_within_bounds():
    async def scenario(api, clock):
        remembered = api.server._fairness._flows
        await api.send("GET", MAPS, user=NOISY)
        assert len(remembered) == 1
        for _ in range(3):
            await api.send("GET", MAPS, user=NOISY)
        assert len(remembered) == 1
        await api.send("GET", f"/{'x' * 5000}", user=NOISY)
        assert len(remembered) == 1
        for number in range(5000):
            await api.send("GET", f"/{number}", user=NOISY)
        assert 1000 > len(remembered) > 0

    simulated(scenario)


def test_debugging_pages_are_not_listed():
    async def scenario(api, clock):
        paths = (await api.ok("GET", "/"))["paths"]
        assert "/metrics" in paths
        assert not any("debug" in path for path in paths)

    simulated(scenario)


async def dumped(api, page):
    lines = (await read_body(await api.send("GET", f"{DUMPS}/{page}"))).decode().splitlines()
    names = [name.strip() for name in lines[0].split(",")]
    return [dict(zip(names, (cell.strip() for cell in line.split(",")), strict=True)) for line in lines[1:]]


def test_seats_are_borrowed_where_they_are_wanted():
    async def scenario(api, clock):
        limit = 'priority_level="global-default"'
        before = figures(await metrics(api), "apiserver_flowcontrol_current_limit_seats")[limit]
        load = Load(api, NOISY, 350)
        await asyncio.sleep(30)
        during = figures(await metrics(api), "apiserver_flowcontrol_current_limit_seats")[limit]
        assert during > 2 * before
        await load.end()

    simulated(scenario)


def test_a_watch_takes_its_seat_only_until_its_first_state_is_out(monkeypatch):
    monkeypatch.setattr(bulk, "SLICE", 1000)

    async def scenario(api, clock):
        for number in range(30):
            await api.made(MAPS, {"metadata": {"name": f"m-{number}"}, "data": {"a": "x" * 200}})
        streams = [await api.watch(f"{MAPS}?watch=1", user=NOISY) for _ in range(20)]
        at = 'priority_level="global-default",flow_schema="global-default"'

        async def executing():
            return figures(await metrics(api), "apiserver_flowcontrol_current_executing_requests")[at]

        assert await executing() == 20
        for events in streams[:5]:
            assert len(await events.names(30)) == 30
        await api.made(MAPS, {"metadata": {"name": "new"}})
        for events in streams[:5]:
            assert await events.names(1) == ["ADDED new"]
        assert await executing() == 15
        await streams[5].close()
        assert await executing() == 14
        await asyncio.sleep(60)
        assert await executing() == 0, "one that does not read keeps its seat for a request's time"
        for events in streams:
            await events.close()
        text = await metrics(api)
        watched = figures(text, "apiserver_flowcontrol_request_execution_seconds_count")
        assert watched[f'{at},type="watch"'] == 20

    simulated(scenario)


def test_writes_that_many_watch_are_wider():
    async def scenario(api, clock):
        streams = [await api.watch(f"{MAPS}?watch=1&resourceVersion=1", user=ADMIN) for _ in range(40)]
        await asyncio.gather(
            *(api.made(MAPS, {"metadata": {"name": f"m-{number}"}}, user=NOISY) for number in range(30))
        )
        text = await metrics(api)
        at = 'priority_level="global-default",flow_schema="global-default"'
        assert figures(text, "apiserver_flowcontrol_work_estimated_seats_sum")[at] == 30 * 4
        assert figures(text, "apiserver_flowcontrol_watch_count_samples_sum")[at] == 30 * 40
        for events in streams:
            await events.close()

    simulated(scenario)


def test_two_plain_limits_where_fairness_is_off():
    async def scenario(api, clock):
        answers = await asyncio.gather(
            *(api.send("POST", MAPS, {"metadata": {"name": f"n-{number}"}}, user=NOISY) for number in range(10)),
            *(api.send("POST", MAPS, {"metadata": {"name": f"a-{number}"}}, user=ADMIN) for number in range(3)),
        )
        assert [one.status for one in answers] == [201] * 4 + [429] * 6 + [201] * 3
        refused = answers[4]
        assert (refused.headers.get("retry-after"), refused.body) == (
            "1",
            b"Too many requests, please try again later.\n",
        )
        assert "x-kubernetes-pf-flowschema-uid" not in refused.headers
        text = await metrics(api)
        assert "apiserver_flowcontrol" not in text
        assert figures(text, "apiserver_current_inflight_requests")['request_kind="mutating"'] == 7
        assert (await api("GET", f"{DUMPS}/dump_queues"))[0] == 404
        assert (await api.ok("GET", MAPS, user=NOISY, accept=TABLE))["kind"] == "Table"

    simulated(scenario, in_flight=InFlight(400, 4, False))


def test_who_waits_too_long_is_sent_away():
    async def scenario(api, clock):
        await queued(api, 1)
        began, who = clock.monotonic(), user("ann", "shared")
        answers = await asyncio.gather(
            *(api.send("POST", MAPS, {"metadata": {"name": f"n-{number}"}}, user=who) for number in range(8))
        )
        assert Counter(one.status for one in answers) == {201: 3, 429: 5}, (
            "one seat, a second each, two seconds to wait"
        )
        assert clock.monotonic() - began == 3 * COMMIT_SECONDS
        rejected = figures(await metrics(api), "apiserver_flowcontrol_rejected_requests_total")
        assert rejected == {'priority_level="shared",flow_schema="shared",reason="time-out"': 5}

    simulated(scenario, times=Times(request=8.5), in_flight=InFlight(1, 0))
