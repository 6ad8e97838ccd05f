"""CronJobs, and the removal of Jobs that have ended, with the real API server. Time begins at 2026-01-01T00:00:00Z."""

import asyncio
from typing import Any

import pytest
from tests.component.controllers.world import Mortal, World, controllers, simulated, world

from pybernetes.aio.clock import parse_time, rfc3339
from pybernetes.aio.simulation import run_simulated
from pybernetes.api.errors import ApiError, Forbidden
from pybernetes.api.types import batch_v1, core_v1
from pybernetes.controllers import cronjob
from pybernetes.controllers._job_books import finished
from pybernetes.wire.http import Request, Response

CronJob, Job = batch_v1.CronJob, batch_v1.Job
SCHEDULED = "batch.kubernetes.io/cronjob-scheduled-timestamp"
BEGIN = int(parse_time("2026-01-01T00:00:00Z"))


def template(seconds: int = 5, code: int = 0, **spec: Any) -> dict[str, Any]:
    notes = {"simulated.pybernetes.io/run-seconds": f"{seconds}", "simulated.pybernetes.io/exit-code": f"{code}"}
    pod = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "one"}]}
    return {"spec": {"backoffLimit": 0, "template": {"metadata": {"annotations": notes}, "spec": pod}, **spec}}


async def cron(w: World, name: str = "tick", schedule: str = "* * * * *", **spec: Any) -> batch_v1.CronJob:
    spec.setdefault("jobTemplate", template())
    return await w.create(CronJob, name, spec={"schedule": schedule, **spec})


def name_at(time: float, name: str = "tick") -> str:
    return f"{name}-{int(time) // 60}"


async def names(w: World) -> list[str]:
    return sorted(job.metadata.name for job in await w.all(Job))


async def until_second(w: World, second: int) -> None:
    """Until so many seconds after the beginning."""
    await w.clock.sleep(BEGIN + second - w.clock.now())


@simulated
async def test_a_cron_job_makes_a_job_at_every_time():
    async with world() as w:
        await cron(w)
        await until_second(w, 61)
        (made,) = await w.all(Job)
        assert made.metadata.name == name_at(BEGIN + 60)
        assert made.metadata.annotations[SCHEDULED] == "2026-01-01T00:01:00Z"
        assert made.metadata.ownerReferences[0].kind == "CronJob"
        status = (await w.get(CronJob, "tick")).status
        assert status.lastScheduleTime == "2026-01-01T00:01:00Z"
        assert [(ref.kind, ref.name, ref.uid) for ref in status.active] == [
            ("Job", made.metadata.name, made.metadata.uid)
        ]
        await until_second(w, 75)
        status = (await w.get(CronJob, "tick")).status
        assert status.active == ()
        assert status.lastSuccessfulTime == (await w.get(Job, made.metadata.name)).status.completionTime
        await until_second(w, 135)
        assert await names(w) == [name_at(BEGIN + 60), name_at(BEGIN + 120)]
        told = await w.events("tick")
        assert f"SuccessfulCreate: Created job {made.metadata.name}" in told
        assert f"SawCompletedJob: Saw completed job: {made.metadata.name}, condition: Complete" in told


@simulated
async def test_jobs_run_beside_each_other_where_that_is_allowed():
    async with world() as w:
        await cron(w, concurrencyPolicy="Allow", jobTemplate=template(1000))
        await until_second(w, 185)
        assert len((await w.get(CronJob, "tick")).status.active) == 3
        assert len(await w.pods()) == 3


@simulated
async def test_a_job_waits_for_the_one_before_where_two_are_forbidden():
    async with world() as w:
        await cron(w, concurrencyPolicy="Forbid", jobTemplate=template(200))
        await until_second(w, 250)
        assert await names(w) == [name_at(BEGIN + 60)]
        text = "Not starting job because prior execution is running and concurrency policy is Forbid"
        assert f"JobAlreadyActive: {text}" in await w.events("tick")
        await until_second(w, 270)  # the first has ended: the last one missed begins
        assert await names(w) == [name_at(BEGIN + 60), name_at(BEGIN + 240)]


@simulated
async def test_a_job_takes_the_place_of_the_one_before():
    async with world() as w:
        await cron(w, concurrencyPolicy="Replace", jobTemplate=template(1000))
        await until_second(w, 125)
        assert await names(w) == [name_at(BEGIN + 120)]
        assert [ref.name for ref in (await w.get(CronJob, "tick")).status.active] == [name_at(BEGIN + 120)]
        await until_second(w, 150)
        assert len(await w.all(core_v1.Pod)) == 1
        assert f"SuccessfulDelete: Deleted job {name_at(BEGIN + 60)}" in await w.events("tick")


@simulated
async def test_a_suspended_cron_job_makes_none_and_still_forgets_old_ones():
    async with world() as w:
        await cron(w)
        await until_second(w, 250)
        assert len(await names(w)) == 3
        await w.patch(CronJob, "tick", {"spec": {"suspend": True}})
        await until_second(w, 600)
        assert len(await names(w)) == 3
        await w.patch(CronJob, "tick", {"spec": {"successfulJobsHistoryLimit": 1}})
        await w.clock.sleep(1)
        assert await names(w) == [name_at(BEGIN + 240)]


@simulated
async def test_the_oldest_that_ended_go_first_by_how_they_ended():
    async with world() as w:
        await cron(w, jobTemplate=template(2, 1), failedJobsHistoryLimit=2)
        await until_second(w, 310)
        assert await names(w) == [name_at(BEGIN + 240), name_at(BEGIN + 300)]
        await w.patch(CronJob, "tick", {"spec": {"jobTemplate": template(2), "successfulJobsHistoryLimit": 0}})
        await until_second(w, 370)
        assert await names(w) == [name_at(BEGIN + 240), name_at(BEGIN + 300)]
        assert (await w.get(CronJob, "tick")).status.lastSuccessfulTime is not None


@simulated
async def test_times_are_those_of_the_zone():
    async with world() as w:
        await cron(w, schedule="32 5 * * *", timeZone="Asia/Kolkata")
        await until_second(w, 119)
        assert await names(w) == []
        await until_second(w, 121)
        (made,) = await w.all(Job)
        assert made.metadata.name == name_at(BEGIN + 120)
        assert made.metadata.annotations[SCHEDULED] == "2026-01-01T05:32:00+05:30"


@simulated
async def test_every_so_many_seconds_counts_from_the_beginning():
    async with world() as w:
        made = await cron(w, schedule="@every 90s")
        await until_second(w, 290)
        began = parse_time(made.metadata.creationTimestamp or "")
        assert await names(w) == [name_at(began + 90), name_at(began + 180), name_at(began + 270)]


@simulated
async def test_a_schedule_that_never_comes_costs_nothing():
    async with world() as w:
        await cron(w, schedule="0 0 30 2 *")
        await w.clock.sleep(5)
        looks = w.manager.loops["cronjob-controller"].counters
        before = looks.reconciles
        await w.clock.sleep(7200)
        assert (looks.reconciles, await names(w)) == (before, [])


@simulated
async def test_a_zone_that_is_unknown_is_told_once():
    def unknown(name: str) -> None:
        raise ValueError(f"unknown time zone {name}")

    async with world() as w:
        with pytest.MonkeyPatch.context() as patches:
            patches.setattr(cronjob, "time_zone", unknown)
            await cron(w, timeZone="Europe/Berlin")
            await until_second(w, 300)
            assert await names(w) == []
            assert await w.events("tick") == [
                'UnknownTimeZone: invalid timeZone: "Europe/Berlin": unknown time zone Europe/Berlin'
            ]


@simulated
async def test_a_zone_that_is_unknown_is_told_of_a_suspended_cron_job_too():
    def unknown(name: str) -> None:
        raise ValueError(f"unknown time zone {name}")

    async with world() as w:
        with pytest.MonkeyPatch.context() as patches:
            patches.setattr(cronjob, "time_zone", unknown)
            await cron(w, timeZone="Europe/Berlin", suspend=True)
            await w.clock.sleep(1)
            text = 'invalid timeZone: "Europe/Berlin": unknown time zone Europe/Berlin'
            assert await w.events("tick") == [f"UnknownTimeZone: {text}"]


@simulated
async def test_old_jobs_go_though_the_next_one_is_refused():
    """A quota of Jobs that is full of old ones: upstream's "avoiding a deadlock"."""

    def refuse(request: Request) -> ApiError | None:
        return Forbidden("exceeded quota") if request.method == "POST" and request.path.endswith("/jobs") else None

    async with world() as w:
        await cron(w, successfulJobsHistoryLimit=3)
        await until_second(w, 190)
        assert len(await names(w)) == 3
        w.wire.refuse = refuse
        await w.patch(CronJob, "tick", {"spec": {"successfulJobsHistoryLimit": 1}})
        await until_second(w, 230)
        await until_second(w, 245)
        assert await names(w) == [name_at(BEGIN + 180)]
        assert "FailedCreate: Error creating job: exceeded quota" in await w.events("tick")
        w.wire.refuse = lambda request: None
        await until_second(w, 320)
        assert name_at(BEGIN + 300) in await names(w)
        loop = w.manager.loops["cronjob-controller"]
        loop.counters.errors = loop.counters.races  # the refusals were the point


@simulated
async def test_a_quota_of_jobs_that_old_ones_fill_does_not_stop_a_cron_job():
    async with world() as w:
        await w.create(core_v1.ResourceQuota, "jobs", spec={"hard": {"count/jobs.batch": "1"}})
        await w.clock.sleep(5)
        await cron(w, successfulJobsHistoryLimit=0)
        await until_second(w, 200)
        status = (await w.get(CronJob, "tick")).status
        assert status.lastScheduleTime == rfc3339(BEGIN + 180)


@simulated
async def test_an_old_job_that_cannot_be_deleted_does_not_hold_up_the_next_one():
    def refuse(request: Request) -> ApiError | None:
        return Forbidden("not now") if request.method == "DELETE" and "/jobs/" in request.path else None

    async with world() as w:
        w.wire.refuse = refuse
        await cron(w, successfulJobsHistoryLimit=0)
        await until_second(w, 125)
        assert await names(w) == [name_at(BEGIN + 60), name_at(BEGIN + 120)]
        assert "FailedDelete: Deleted job: not now" in await w.events("tick")
        w.wire.refuse = lambda request: None
        await until_second(w, 230)
        assert await names(w) == []


@simulated
async def test_every_so_many_seconds_counts_on_from_the_last_time_when_it_changes():
    async with world() as w:
        made = await cron(w, schedule="@every 3m")
        began = parse_time(made.metadata.creationTimestamp or "")
        await w.clock.sleep(began + 360 + 59 - w.clock.now())
        assert await names(w) == [name_at(began + 180), name_at(began + 360)]
        await w.patch(CronJob, "tick", {"spec": {"schedule": "@every 1m"}})
        await w.clock.sleep(3)
        assert (await names(w))[-1] == name_at(began + 420)
        await w.clock.sleep(30)
        await w.patch(CronJob, "tick", {"spec": {"schedule": "@every 2m"}})
        await w.clock.sleep(60)
        assert (await names(w))[-1] == name_at(began + 420)
        await w.clock.sleep(30)
        assert (await names(w))[-1] == name_at(began + 540)


@simulated
async def test_of_times_that_a_change_of_schedule_makes_past_none_is_made_up_for():
    async with world() as w:
        made = await cron(w, schedule="@every 1h")
        began = parse_time(made.metadata.creationTimestamp or "")
        await w.clock.sleep(630)
        await w.patch(CronJob, "tick", {"spec": {"schedule": "@every 1m"}})
        await w.clock.sleep(20)
        assert await names(w) == []
        await w.clock.sleep(15)
        assert await names(w) == [name_at(began + 660)]


@simulated
async def test_of_missed_times_the_last_one_is_made_up_for():
    async with world(only=("*", "-cronjob-controller")) as w:
        await cron(w, "few", "*/10 * * * *")
        await cron(w, "many")
        await cron(w, "late", "0 * * * *", startingDeadlineSeconds=60)
        await cron(w, "soon", "0 * * * *", startingDeadlineSeconds=600)
        await until_second(w, 3 * 3600 + 150)
        task = controllers(w, "cronjob-controller")
        await w.clock.sleep(5)
        wanted = {"few": 3 * 3600, "many": 3 * 3600 + 120, "soon": 3 * 3600}
        assert await names(w) == sorted(name_at(BEGIN + at, name) for name, at in wanted.items())
        text = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
        assert f"TooManyMissedTimes: {text}" in await w.events("many")
        assert f"TooManyMissedTimes: {text}" not in await w.events("few")
        task.cancel()


@simulated
async def test_a_schedule_that_changes_starts_nothing_of_before():
    async with world() as w:
        await cron(w, schedule="0 12 * * *")
        await until_second(w, 1000)
        await w.patch(CronJob, "tick", {"spec": {"schedule": "*/10 * * * *"}})
        await until_second(w, 1150)
        assert await names(w) == []
        await until_second(w, 1205)
        assert await names(w) == [name_at(BEGIN + 1200)]


@simulated
async def test_an_active_job_that_somebody_deletes_is_missed():
    async with world() as w:
        await cron(w, concurrencyPolicy="Forbid", jobTemplate=template(1000))
        await until_second(w, 90)
        await w.delete(Job, name_at(BEGIN + 60), propagation="Background")
        await until_second(w, 95)
        assert (await w.get(CronJob, "tick")).status.active == ()
        assert f"MissingJob: Active job went missing: {name_at(BEGIN + 60)}" in await w.events("tick")
        await until_second(w, 125)
        assert await names(w) == [name_at(BEGIN + 120)]


@simulated
async def test_a_job_that_somebody_makes_of_it_is_told_and_does_not_count():
    async with world() as w:
        made = await cron(w, concurrencyPolicy="Forbid", jobTemplate=template(1000))
        owner = {
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "name": "tick",
            "uid": made.metadata.uid,
            "controller": True,
        }
        await w.create(Job, "by-hand", metadata={"ownerReferences": [owner]}, **template(1000))
        await until_second(w, 65)
        assert await names(w) == ["by-hand", name_at(BEGIN + 60)]
        told = [line for line in await w.events("tick") if line.startswith("UnexpectedJob")]
        assert told == ["UnexpectedJob: Saw a job that the controller did not create or forgot: by-hand"]


@simulated
async def test_a_cron_job_that_is_deleted_takes_its_jobs_along():
    async with world() as w:
        await cron(w, jobTemplate=template(1000))
        await until_second(w, 70)
        await w.delete(CronJob, "tick", propagation="Background")
        await w.clock.sleep(60)
        assert (await names(w), await w.all(core_v1.Pod)) == ([], ())


@simulated
async def test_nothing_is_written_between_two_times():
    async with world() as w:
        await cron(w, schedule="0 12 * * *")
        await cron(w, "rests", suspend=True)
        await w.clock.sleep(5)
        w.wire.writes.clear()
        await w.clock.sleep(4 * 3600)
        assert [line for line in w.wire.writes if "jobs" in line or "events" in line] == []


@pytest.mark.parametrize("policy", ["Allow", "Replace"])
def test_a_controller_that_ends_between_any_two_writes_has_made_one_job_for_each_time(policy: str):
    async def life(w: World, last: int) -> int:
        """Two minutes of a CronJob whose controller is another one after so many writes."""
        name = f"tick-{last}"
        wires = [Mortal(w, last)]
        task = controllers(w, "cronjob-controller", wires[0])
        await w.clock.sleep(30 - w.clock.now() % 60 + 60)
        spec = {"jobTemplate": template(1000 if policy == "Replace" else 3), "successfulJobsHistoryLimit": 0}
        await cron(w, name, concurrencyPolicy=policy, **spec)
        began, seen = w.clock.now() - 30, set()
        while w.clock.now() < began + 165:
            await w.clock.sleep(1)
            seen |= {job.metadata.uid: job.metadata.name for job in await w.all(Job)}.items()
            if wires[-1].dead.is_set():
                task.cancel()
                await w.clock.sleep(10)  # a Job may end meanwhile
                wires.append(Mortal(w, 0))
                task = controllers(w, "cronjob-controller", wires[-1])
        assert sorted(made for _, made in seen) == [name_at(began + 60, name), name_at(began + 120, name)], last
        status = (await w.get(CronJob, name)).status
        assert status.lastScheduleTime == rfc3339(began + 120)
        assert len(status.active) == (policy == "Replace")
        await w.delete(CronJob, name, propagation="Background")
        await w.clock.sleep(20)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return sum(wire.writes for wire in wires)

    async def main() -> None:
        async with world(only=("*", "-cronjob-controller")) as w:
            last, writes = 0, 1
            while last <= writes:
                made = await life(w, last)
                writes = made if not last else writes
                last += 1
            assert last > 5

    run_simulated(main())


# --- Jobs that go after their end


async def ended(w: World, name: str) -> float:
    """When the Job ended."""

    async def holds() -> bool:
        return finished(await w.get(Job, name)) is not None

    await w.until(holds)
    end = finished(await w.get(Job, name))
    assert end is not None
    return parse_time(end.lastTransitionTime or "")


@simulated
async def test_a_job_goes_with_its_pods_so_long_after_its_end():
    async with world() as w:
        for name, code in (("good", 0), ("bad", 1)):
            await w.create(Job, name, **template(3, code, ttlSecondsAfterFinished=20))
        await w.create(Job, "stays", **template(3))
        await w.create(Job, "runs", **template(1000, ttlSecondsAfterFinished=0))
        end = max(await ended(w, "good"), await ended(w, "bad"))
        await w.clock.sleep(end + 18 - w.clock.now())
        assert await names(w) == ["bad", "good", "runs", "stays"]
        await w.clock.sleep(4)
        assert await names(w) == ["runs", "stays"]
        assert len(await w.all(core_v1.Pod)) == 2


@simulated
async def test_a_longer_time_that_comes_late_is_heeded():
    async with world() as w:
        await w.create(Job, "work", **template(1, ttlSecondsAfterFinished=30))
        await ended(w, "work")
        await w.clock.sleep(25)
        await w.patch(Job, "work", {"spec": {"ttlSecondsAfterFinished": 100}})
        await w.clock.sleep(60)
        assert await names(w) == ["work"]
        await w.patch(Job, "work", {"spec": {"ttlSecondsAfterFinished": 0}})
        await w.clock.sleep(2)
        assert await names(w) == []


@simulated
async def test_what_changes_at_the_last_moment_keeps_a_job():
    for moment in ("before the live read", "after it"):
        async with world() as w:
            send = w.wire._send

            async def interposed(request: Request, moment: str = moment, send: Any = send, w: World = w) -> Response:
                longer = {"spec": {"ttlSecondsAfterFinished": 1000}}
                last = request.method == "GET" and request.target.endswith("/jobs/work")
                if last and moment == "before the live read":
                    await w.patch(Job, "work", longer)
                response: Response = await send(request)
                if last and moment == "after it":
                    await w.patch(Job, "work", longer)
                return response

            w.wire._send = interposed
            await w.create(Job, "work", **template(1, ttlSecondsAfterFinished=10))
            await ended(w, "work")
            await w.clock.sleep(60)
            assert await names(w) == ["work"]
