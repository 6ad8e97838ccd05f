"""Controllers whose requests fail at random, before or after the server has acted: the world ends as it should."""

import random

import pytest
from msgspec.structs import replace
from tests.component.controllers.world import World, deployment, template, world

from pybernetes.aio.simulation import run_simulated
from pybernetes.api.errors import ApiError, Conflict, InternalError, ServiceUnavailable
from pybernetes.api.objects import Key
from pybernetes.api.types import apps_v1, batch_v1, core_v1, discovery_v1
from pybernetes.controllers._job_books import TRACKING
from pybernetes.wire.http import Request, Response

CHANCE = 0.2


class Trouble:
    """Refuses, cuts before the request, or cuts after it was done; never reads of leases, always by the seed."""

    def __init__(self, w: World, seed: int) -> None:
        self._random = random.Random(seed)
        self.on = True
        inner = w.wire._send

        async def send(request: Request) -> Response:
            dice = self._random.random()
            if self.on and dice < CHANCE / 2:
                raise ConnectionError("cut before")
            response = await inner(request)
            if self.on and dice > 1 - CHANCE / 2 and isinstance(response.body, bytes):
                raise ConnectionError("cut after")
            return response

        w.wire._send = send
        w.wire.refuse = self.refuse

    def refuse(self, request: Request) -> ApiError | None:
        if not self.on or request.method == "GET" or self._random.random() > CHANCE:
            return None
        return self._random.choice((Conflict("race"), InternalError("broken"), ServiceUnavailable("away")))


async def jobs(w: World) -> None:
    """A Job, and a CronJob of short ones."""
    pod = template()
    pod["metadata"]["annotations"] = {"simulated.pybernetes.io/run-seconds": "5"}
    pod["spec"]["restartPolicy"] = "Never"
    await w.create(batch_v1.Job, "work", spec={"completions": 6, "parallelism": 3, "template": pod})
    tick = {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": pod}}}
    await w.create(batch_v1.CronJob, "tick", spec=tick)


async def life(seed: int) -> None:
    async with world(nodes=3) as w:
        trouble = Trouble(w, seed)
        await w.create(core_v1.Namespace, "gone")
        await w.create(core_v1.ConfigMap, "c", "gone")
        await deployment(w, replicas=5)
        spec = {"replicas": 4, "selector": {"app": "rc"}, "template": template(app="rc")}
        await w.create(core_v1.ReplicationController, "rc", spec=spec)
        await jobs(w)
        await w.create(core_v1.Service, "web", spec={"selector": {"app": "web"}, "ports": [{"port": 80}]})
        await w.clock.sleep(3)
        await w.patch(apps_v1.Deployment, "web", {"spec": {"template": {"metadata": {"labels": {"v": "2"}}}}})
        await w.delete(core_v1.Namespace, "gone", "")
        await w.clock.sleep(4)
        await w.patch(apps_v1.Deployment, "web", {"spec": {"replicas": 8}})
        await w.delete(core_v1.ReplicationController, "rc", propagation="Orphan" if seed % 2 else "Foreground")
        await w.clock.sleep(60)
        trouble.on = False
        await w.clock.sleep(200)
        d = await w.get(apps_v1.Deployment, "web")
        assert (d.status.replicas, d.status.updatedReplicas, d.status.availableReplicas) == (8, 8, 8)
        assert d.status.observedGeneration == d.metadata.generation
        assert len(await w.pods("app=web")) == 8
        sets = await w.all(apps_v1.ReplicaSet)
        assert sorted(rs.spec.replicas or 0 for rs in sets) == [0, 8]
        assert not await w.there(core_v1.ReplicationController, "rc")
        assert len(await w.pods("app=rc")) == (4 if seed % 2 else 0)
        assert not await w.there(core_v1.Namespace, "gone", "")
        slices = await w.all(discovery_v1.EndpointSlice, labels="kubernetes.io/service-name=web")
        assert sum(len(s.endpoints) for s in slices) == 8
        done = (await w.get(batch_v1.Job, "work")).status
        assert (done.active, done.succeeded, done.failed, done.terminating) == (0, 6, 0, 0)
        assert [c.type for c in done.conditions] == ["SuccessCriteriaMet", "Complete"]
        assert not any(TRACKING in p.metadata.finalizers for p in await w.pods("batch.kubernetes.io/job-name=work"))
        made = [job.metadata.name for job in await w.all(batch_v1.Job) if job.metadata.name != "work"]
        assert len(made) == 3  # as many as are kept
        assert (await w.get(batch_v1.CronJob, "tick")).status.active == ()
        (subset,) = (await w.get(core_v1.Endpoints, "web")).subsets
        assert len(subset.addresses) == 8
        for loop in w.manager.loops.values():
            loop.counters.errors = loop.counters.races  # failures were the point


@pytest.mark.parametrize("seed", range(6))
def test_whatever_fails_on_the_way_the_world_ends_as_it_should(seed: int):
    run_simulated(life(seed))


def test_a_patch_of_an_object_that_has_a_namesake_now_is_a_conflict() -> None:
    async def run() -> None:
        async with world() as w:
            api = w.client.of(core_v1.ConfigMap)
            await w.create(core_v1.ConfigMap, "c")
            key = Key("default", "c")
            old = await api.get(key)
            await api.delete(key)
            await w.create(core_v1.ConfigMap, "c")
            with pytest.raises(Conflict):
                await api.patch(old, replace(old, data={"meant": "for another"}))
            assert not (await api.get(key)).data

    run_simulated(run())
