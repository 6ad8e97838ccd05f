"""StatefulSets and DaemonSets whose controllers fail, restart and see late: no Pod too many, none too few."""

from typing import Any

import pytest
from tests.component.controllers.test_faults import Trouble
from tests.component.controllers.world import template, world

from pybernetes.aio.simulation import run_simulated
from pybernetes.api.objects import Key, Object
from pybernetes.api.types import apps_v1, core_v1, storage_v1
from pybernetes.controllers.local_path_provisioner import STORAGE_CLASS
from pybernetes.testing import Cluster
from pybernetes.testing.virtual import simulated

CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}


async def life(seed: int) -> None:
    async with world(nodes=3) as w:
        await w.client.of(storage_v1.StorageClass).create(STORAGE_CLASS)
        await w.clock.sleep(5)
        trouble = Trouble(w, seed)
        spec = {"replicas": 4, "serviceName": "db", "selector": {"matchLabels": {"app": "db"}}}
        spec |= {"template": template(app="db"), "podManagementPolicy": "Parallel" if seed % 2 else "OrderedReady"}
        spec["volumeClaimTemplates"] = [{"metadata": {"name": "data"}, "spec": CLAIM}]
        spec["persistentVolumeClaimRetentionPolicy"] = {"whenScaled": "Delete"}
        await w.create(apps_v1.StatefulSet, "db", spec=spec)
        agents = {"selector": {"matchLabels": {"app": "agent"}}, "template": template(app="agent")}
        if seed % 2:
            agents["updateStrategy"] = {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
        await w.create(apps_v1.DaemonSet, "agent", spec=agents)
        await w.clock.sleep(5)
        new = {"spec": {"template": {"metadata": {"labels": {"v": "2"}}}}}
        await w.patch(apps_v1.DaemonSet, "agent", new)
        await w.patch(apps_v1.StatefulSet, "db", new)
        await w.clock.sleep(3)
        await w.patch(apps_v1.StatefulSet, "db", {"spec": {"replicas": 2}})
        await w.clock.sleep(60)
        trouble.on = False
        await w.clock.sleep(200)
        s, ds = await w.get(apps_v1.StatefulSet, "db"), await w.get(apps_v1.DaemonSet, "agent")
        assert (s.status.replicas, s.status.updatedReplicas, s.status.availableReplicas) == (2, 2, 2)
        assert s.status.currentRevision == s.status.updateRevision
        assert (ds.status.updatedNumberScheduled, ds.status.numberAvailable) == (3, 3)
        assert sorted(p.metadata.name for p in await w.pods("app=db,v=2")) == ["db-0", "db-1"]
        assert sorted(p.spec.nodeName for p in await w.pods("app=agent,v=2")) == ["node-1", "node-2", "node-3"]
        assert len(await w.pods()) == 5
        revisions = await w.all(apps_v1.ControllerRevision)
        assert sorted((r.metadata.ownerReferences[0].name, r.revision) for r in revisions) == [
            ("agent", 1), ("agent", 2), ("db", 1), ("db", 2),
        ]  # fmt: skip
        claims = await w.all(core_v1.PersistentVolumeClaim)
        assert sorted(c.metadata.name for c in claims) == ["data-db-0", "data-db-1"]
        for loop in w.manager.loops.values():
            loop.counters.errors = loop.counters.races  # failures were the point


@pytest.mark.parametrize("seed", range(4))
def test_whatever_fails_on_the_way_the_sets_end_as_they_should(seed: int):
    run_simulated(life(seed))


def workload(kind: str, **spec: Any) -> Object:
    own = {"selector": {"matchLabels": {"app": kind.lower()}}, "template": template(app=kind.lower()), **spec}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": kind.lower()}, "spec": own}


async def pods(cluster: Cluster, app: str) -> list[core_v1.Pod]:
    found = await cluster.client().of(core_v1.Pod).list("default", labels=f"app={app}")
    return [p for p in found.items if not p.metadata.deletionTimestamp]


@simulated
async def test_controllers_that_see_no_pods_for_a_while_do_nothing_twice():
    async with Cluster(nodes=3) as cluster:
        await cluster.advance(seconds=5)
        await cluster.apply(workload("StatefulSet", replicas=3, serviceName="s", podManagementPolicy="Parallel"))
        await cluster.apply(workload("DaemonSet"))
        await cluster.advance(seconds=10)
        rule = cluster.faults.add(verb="watch", resource="pods", user="system:kube-controller-manager", drop=True)
        made: dict[str, set[str]] = {}
        new = {"spec": {"template": {"metadata": {"labels": {"v": "2"}}}}}
        for kind in (apps_v1.StatefulSet, apps_v1.DaemonSet):
            await cluster.client().of(kind).patch_raw(Key("default", kind.__name__.lower()), new)
        await cluster.advance(seconds=20)
        for app in ("statefulset", "daemonset"):
            left = await pods(cluster, app)
            made[app] = {p.metadata.uid for p in left}
            assert len(left) == 2, "one was removed, and nobody saw that it has gone"
        cluster.faults.remove(rule)
        await cluster.advance(seconds=60)
        for app in ("statefulset", "daemonset"):
            left = await pods(cluster, app)
            assert len(left) == 3
            assert {p.metadata.labels.get("v") for p in left} == {"2"}
