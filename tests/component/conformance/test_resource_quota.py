"""Quotas, with the controller that counts: upstream's test/e2e/apimachinery/resource_quota.go."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from tests.component.api import STRATEGIC
from tests.component.conformance.e2e import workloads
from tests.component.controllers.world import simulated

from pybernetes.aio.clock import SystemClock
from pybernetes.api.objects import User
from pybernetes.client.rest import Client
from pybernetes.client.transport import direct
from pybernetes.controllers.runtime import ControllerManager, chosen

MANAGER = User("system:kube-controller-manager", groups=("system:authenticated",))
CORE = "/api/v1/namespaces/default"
QUOTAS = f"{CORE}/resourcequotas"
HARD = {
    "pods": "5",
    "services": "10",
    "services.nodeports": "1",
    "services.loadbalancers": "1",
    "replicationcontrollers": "10",
    "resourcequotas": "1",
    "configmaps": "10",
    "secrets": "10",
    "persistentvolumeclaims": "10",
    "requests.storage": "10Gi",
    "cpu": "1",
    "memory": "500Mi",
    "ephemeral-storage": "50Gi",
    "gold.storageclass.storage.k8s.io/persistentvolumeclaims": "10",
    "gold.storageclass.storage.k8s.io/requests.storage": "10Gi",
    "count/replicasets.apps": "5",
    "requests.example.com/dongle": "3",
}


@pytest.fixture
async def quotas(api):
    """The API with the quota controller at work, and the collector that lets a deleted ReplicationController go."""
    found = Quotas(api)
    async with controller(api):
        yield found


@asynccontextmanager
async def controller(api):
    client = Client(direct(api.server.handler, MANAGER), clock=SystemClock(seed=2))
    manager = ControllerManager(
        client, controllers=chosen(["resourcequota-controller", "garbage-collector-controller"])
    )
    task = asyncio.create_task(manager.run())
    try:
        yield manager
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class Quotas:
    def __init__(self, api):
        self.api = api

    async def made(self, hard, name="q", **spec):
        """A quota, once it is counted."""
        await self.api.ok("POST", QUOTAS, {"metadata": {"name": name}, "spec": {"hard": hard, **spec}})
        await self.counted({}, name)

    async def counted(self, expected, name="q"):
        """Waits until the quota uses so much."""
        for _ in range(400):
            status = (await self.api.ok("GET", f"{QUOTAS}/{name}"))["status"]
            used = status.get("used", {})
            if "hard" in status and expected.items() <= used.items():
                return status
            await asyncio.sleep(0.01)
        raise AssertionError(f"{used} never came to {expected}")


def pod(name, cpu="", memory="", limits=None, **spec):
    requests = {"cpu": cpu, "memory": memory} if cpu else {}
    resources = {"requests": {**requests, **spec.pop("more", {})}, "limits": limits or {}}
    container = {"name": "c", "image": "one", "resources": resources}
    return {"metadata": {"name": name}, "spec": {"containers": [container], **spec}}


@pytest.mark.conformance(
    "[sig-api-machinery] ResourceQuota should create a ResourceQuota and ensure its status is promptly calculated. "
    "[Conformance]"
)
async def test_a_quotas_status_is_counted_at_once(quotas):
    await quotas.made(HARD)
    status = await quotas.counted({"resourcequotas": "1"})
    assert status["hard"] == HARD
    nothing = dict.fromkeys(HARD, "0") | {"services": "1", "resourcequotas": "1"}
    assert {name: text for name, text in status["used"].items() if name != "services"} == {
        name: text for name, text in nothing.items() if name != "services"
    }


LIVES = {
    "service": ("services", {"spec": {"type": "NodePort", "ports": [{"port": 80}]}}, {"services.nodeports": "1"}),
    "secret": ("secrets", {"stringData": {"a": "b"}}, {"secrets": "1"}),
    "configMap": ("configmaps", {"data": {"a": "b"}}, {"configmaps": "1"}),
    "replication controller": (
        "replicationcontrollers",
        {"spec": {"replicas": 0, "selector": {"a": "b"}, "template": None}},
        {"replicationcontrollers": "1"},
    ),
    "replica set": (
        "replicasets",
        {"spec": {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": None}},
        {"count/replicasets.apps": "1"},
    ),
}
TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "one"}]}}


@pytest.mark.parametrize(
    "what",
    [
        pytest.param(
            what,
            marks=pytest.mark.conformance(
                f"[sig-api-machinery] ResourceQuota should create a ResourceQuota and capture the life of a {what}. "
                "[Conformance]"
            ),
        )
        for what in LIVES
    ],
)
async def test_a_quota_captures_the_life_of(quotas, what):
    plural, obj, used = LIVES[what]
    if "template" in obj.get("spec", {}):
        obj = {"spec": {**obj["spec"], "template": TEMPLATE}}
    root = "/apis/apps/v1/namespaces/default" if plural == "replicasets" else CORE
    await quotas.made(HARD)
    await quotas.api.ok("POST", f"{root}/{plural}", {"metadata": {"name": "one"}, **obj})
    await quotas.counted(used)
    await quotas.api.ok("DELETE", f"{root}/{plural}/one")
    await quotas.counted(dict.fromkeys(used, "0"))


@pytest.mark.conformance(
    "[sig-api-machinery] ResourceQuota should create a ResourceQuota and capture the life of a service. [Conformance]"
)
async def test_node_ports_and_load_balancers_have_quotas_of_their_own(quotas):
    await quotas.made(HARD)
    before = int((await quotas.counted({}))["used"]["services"])
    await quotas.api.ok("POST", f"{CORE}/services", {"metadata": {"name": "c"}, "spec": {"ports": [{"port": 80}]}})
    await quotas.api.ok(
        "POST", f"{CORE}/services", {"metadata": {"name": "n"}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}}
    )
    await quotas.counted({"services": f"{before + 2}", "services.nodeports": "1", "services.loadbalancers": "0"})
    balanced = {"metadata": {"name": "l"}, "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]}}
    code, answer = await quotas.api("POST", f"{CORE}/services", balanced)
    assert code == 403
    assert "exceeded quota: q, requested: services.nodeports=1, used: services.nodeports=1" in answer["message"]
    bare = {**balanced, "spec": {**balanced["spec"], "allocateLoadBalancerNodePorts": False}}
    await quotas.api.ok("POST", f"{CORE}/services", bare)
    await quotas.counted({"services.nodeports": "1", "services.loadbalancers": "1"})
    for name in "cnl":
        await quotas.api.ok("DELETE", f"{CORE}/services/{name}")
    await quotas.counted({"services": f"{before}", "services.nodeports": "0", "services.loadbalancers": "0"})


@pytest.mark.conformance(
    "[sig-api-machinery] ResourceQuota should create a ResourceQuota and capture the life of a pod. [Conformance]"
)
async def test_a_quota_captures_the_life_of_a_pod(quotas):
    api, pods = quotas.api, f"{CORE}/pods"
    await quotas.made(HARD)
    amounts = {"ephemeral-storage": "30Gi", "requests.example.com/dongle": "2"}
    more = {"ephemeral-storage": "30Gi", "example.com/dongle": "2"}
    await api.ok("POST", pods, pod("p", "500m", "252Mi", limits={"example.com/dongle": "2"}, more=more))
    await quotas.counted({"pods": "1", "cpu": "500m", "memory": "252Mi", **amounts})
    code, answer = await api("POST", pods, pod("big", "600m", "100Mi"))
    assert code == 403
    assert answer["message"] == (
        'pods "big" is forbidden: exceeded quota: q, requested: cpu=600m, used: cpu=500m, limited: cpu=1'
    )
    dongles = {"example.com/dongle": "2"}
    code, answer = await api("POST", pods, pod("dongled", "100m", "10Mi", limits=dongles, more=dongles))
    assert code == 403
    assert "requests.example.com/dongle=2" in answer["message"]
    resized = await api.ok("GET", f"{pods}/p")
    wanted = {"cpu": "100m", "memory": "100Mi", "ephemeral-storage": "10Gi"}
    resized["spec"]["containers"][0]["resources"]["requests"] = wanted
    code, _ = await api("PUT", f"{pods}/p", resized)
    assert code == 422, "resources cannot be changed on the Pod itself"
    await quotas.counted({"pods": "1", "cpu": "500m", "memory": "252Mi", **amounts})
    await api.ok("DELETE", f"{pods}/p?gracePeriodSeconds=0")
    await quotas.counted({"pods": "0", "cpu": "0", "memory": "0", **dict.fromkeys(amounts, "0")})


async def _life_in_scopes(quotas, mine, other, made, **used):
    """The Pod is counted in its own quota alone, until it is gone."""
    nothing = {"pods": "0", **dict.fromkeys(used, "0")}
    await quotas.api.ok("POST", f"{CORE}/pods", made)
    await quotas.counted({"pods": "1", **used}, mine)
    await quotas.counted(nothing, other)
    await quotas.api.ok("DELETE", f"{CORE}/pods/{made['metadata']['name']}?gracePeriodSeconds=0")
    await quotas.counted(nothing, mine)


LIMITS = {"cpu": "1", "memory": "400Mi"}


@pytest.mark.conformance(
    "[sig-api-machinery] ResourceQuota should verify ResourceQuota with terminating scopes. [Conformance]"
)
async def test_pods_that_end_and_pods_that_stay_have_quotas_of_their_own(quotas):
    hard = {"requests.cpu": "1", "requests.memory": "500Mi", "limits.cpu": "2", "limits.memory": "1Gi"}
    await quotas.made({"pods": "5", **hard}, "ending", scopes=["Terminating"])
    await quotas.made({"pods": "5", **hard}, "staying", scopes=["NotTerminating"])
    used = {"requests.cpu": "500m", "requests.memory": "200Mi", "limits.cpu": "1", "limits.memory": "400Mi"}
    await _life_in_scopes(quotas, "staying", "ending", pod("p", "500m", "200Mi", LIMITS), **used)
    ending = pod("terminating-pod", "500m", "200Mi", LIMITS, activeDeadlineSeconds=3600)
    await _life_in_scopes(quotas, "ending", "staying", ending, **used)


@pytest.mark.conformance(
    "[sig-api-machinery] ResourceQuota should verify ResourceQuota with best effort scope. [Conformance]"
)
async def test_pods_that_ask_for_nothing_have_a_quota_of_their_own(quotas):
    await quotas.made({"pods": "5"}, "best", scopes=["BestEffort"])
    await quotas.made({"pods": "5"}, "other", scopes=["NotBestEffort"])
    await _life_in_scopes(quotas, "best", "other", pod("p"))
    await _life_in_scopes(quotas, "other", "best", pod("burstable-pod", "500m", "200Mi", LIMITS))


async def test_a_claim_is_in_the_quotas_of_the_class_that_it_has_and_of_the_one_that_it_wants(quotas):
    api, one = quotas.api, f"{CORE}/persistentvolumeclaims/c"
    for name in ("gold", "silver"):
        term = {"scopeName": "VolumeAttributesClass", "operator": "In", "values": [name]}
        await quotas.made({"persistentvolumeclaims": "1"}, name, scopeSelector={"matchExpressions": [term]})
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": ""}
    claim = {"metadata": {"name": "c"}, "spec": {**spec, "volumeAttributesClassName": "gold", "volumeName": "v"}}
    await api.made(f"{CORE}/persistentvolumeclaims", claim)
    code, answer = await api("POST", f"{CORE}/persistentvolumeclaims", {**claim, "metadata": {"name": "other"}})
    assert (code, "exceeded quota: gold" in answer["message"]) == (403, True)
    await api.ok("PATCH", f"{one}/status", {"status": {"phase": "Bound", "currentVolumeAttributesClassName": "gold"}})
    await api.ok("PATCH", one, {"spec": {"volumeAttributesClassName": "silver"}})
    for name in ("gold", "silver"):
        await quotas.counted({"persistentvolumeclaims": "1"}, name)
    await api.ok("PATCH", f"{one}/status", {"status": {"currentVolumeAttributesClassName": "silver"}})
    await quotas.counted({"persistentvolumeclaims": "0"}, "gold")
    await quotas.counted({"persistentvolumeclaims": "1"}, "silver")


async def test_a_pod_that_gets_a_deadline_goes_over_to_the_quota_of_those_that_end(quotas):
    api = quotas.api
    for name, scope in (("ending", "Terminating"), ("staying", "NotTerminating")):
        terms = [{"scopeName": scope, "operator": "Exists"}]
        await quotas.made({"pods": "1"}, name, scopeSelector={"matchExpressions": terms})
    await api.made(f"{CORE}/pods", pod("p"))
    await quotas.counted({"pods": "1"}, "staying")
    await api.ok("PATCH", f"{CORE}/pods/p", {"spec": {"activeDeadlineSeconds": 3600}})
    code, answer = await api("POST", f"{CORE}/pods", pod("other", activeDeadlineSeconds=3600))
    assert (code, "exceeded quota: ending" in answer["message"]) == (403, True)
    await quotas.counted({"pods": "1"}, "ending")
    await quotas.counted({"pods": "0"}, "staying")


@pytest.mark.conformance(
    "[sig-api-machinery] ResourceQuota should be able to update and delete ResourceQuota. [Conformance]"
)
async def test_a_quota_is_changed_and_deleted(quotas):
    api = quotas.api
    await quotas.made({"cpu": "1", "memory": "500Mi"})
    quota = {"metadata": {"name": "q", "creationTimestamp": None}, "spec": {"hard": {"cpu": "2", "memory": "1Gi"}}}
    updated = await api.ok("PUT", f"{QUOTAS}/q", {**quota, "status": {}})
    assert updated["spec"]["hard"] == {"cpu": "2", "memory": "1Gi"}
    assert (await api.ok("GET", f"{QUOTAS}/q"))["spec"] == updated["spec"]
    while (await quotas.counted({}))["hard"] != {"cpu": "2", "memory": "1Gi"}:
        await asyncio.sleep(0.01)
    await api.ok("DELETE", f"{QUOTAS}/q")
    assert (await api("GET", f"{QUOTAS}/q"))[0] == 404


async def test_every_kind_that_is_served_is_counted_by_its_full_name(quotas):
    await quotas.made({"count/leases.coordination.k8s.io": "1", "count/widgets.example.com": "1"})
    leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
    await quotas.api.ok("POST", leases, {"metadata": {"name": "a"}})
    status = await quotas.counted({"count/leases.coordination.k8s.io": "1"})
    assert "count/widgets.example.com" not in status["used"], "nobody knows what that is"
    code, answer = await quotas.api("POST", leases, {"metadata": {"name": "b"}})
    assert (code, "exceeded quota: q" in answer["message"]) == (403, True)


async def test_a_pod_that_has_ended_gives_back_what_it_used(quotas):
    await quotas.made({"pods": "1", "count/pods": "2"})
    await quotas.api.ok("POST", f"{CORE}/pods", pod("p"))
    await quotas.counted({"pods": "1", "count/pods": "1"})
    ended = {"status": {"phase": "Succeeded"}}
    await quotas.api.ok("PATCH", f"{CORE}/pods/p/status", ended)
    await quotas.counted({"pods": "0", "count/pods": "1"})


@pytest.mark.conformance(
    "[sig-api-machinery] ResourceQuota should manage the lifecycle of a ResourceQuota [Conformance]"
)
async def test_quotas_are_made_found_patched_and_deleted_by_label(api):
    one, selected = f"{QUOTAS}/e2e-quota", "labelSelector=e2e-rq-label%3De2e-quota"
    meta = {"name": "e2e-quota", "labels": {"e2e-rq-label": "e2e-quota"}}
    made = await api.ok("POST", QUOTAS, {"metadata": meta, "spec": {"hard": {"cpu": "1", "memory": "500Mi"}}})
    assert await api.ok("GET", one) == made
    assert len((await api.ok("GET", f"/api/v1/resourcequotas?{selected}"))["items"]) == 1
    change = {"metadata": {"labels": {"e2e-quota": "patched"}}, "spec": {"hard": {"memory": "750Mi"}}}
    patched = await api.ok("PATCH", one, change, content_type=STRATEGIC)
    assert patched["metadata"]["labels"]["e2e-quota"] == "patched"
    assert patched["spec"]["hard"] == {"cpu": "1", "memory": "750Mi"}
    await api.ok("DELETE", f"{QUOTAS}?{selected}")
    assert (await api("GET", one))[0] == 404


@pytest.mark.conformance(
    "[sig-api-machinery] ResourceQuota should apply changes to a resourcequota status [Conformance]"
)
@simulated
async def test_a_quotas_status_is_written_leaves_its_spec_and_is_put_right():
    async with workloads(nodes=1) as k:
        one, selected = f"{QUOTAS}/e2e-rq-status", "labelSelector=e2e-rq-label%3De2e-rq-status"

        async def hard(since, **wanted):
            def told(kind, quota):
                return quota.get("status", {}).get("hard") == wanted

            await k.seen(QUOTAS, since, told, query=f"&{selected}", seconds=300)

        since = await k.since(f"/api/v1/resourcequotas?{selected}")
        meta = {"name": "e2e-rq-status", "labels": {"e2e-rq-label": "e2e-rq-status"}}
        made = await k.made(QUOTAS, {"metadata": meta, "spec": {"hard": {"cpu": "500m", "memory": "500Mi"}}})
        limits = made["spec"]["hard"]
        await k.updated(one, lambda quota: quota.update(status={"hard": limits}), below="/status")
        await hard(since, cpu="500m", memory="500Mi")
        since = await k.since(f"/api/v1/resourcequotas?{selected}")
        patched = await k.ok("PATCH", one, {"spec": {"hard": {"cpu": "1", "memory": "1Gi"}}})
        await k.ok("PATCH", f"{one}/status", {"status": {"hard": patched["spec"]["hard"]}})
        await hard(since, cpu="1", memory="1Gi")
        assert (await k.ok("GET", f"{one}/status"))["status"]["hard"] == {"cpu": "1", "memory": "1Gi"}
        since = await k.since(f"/api/v1/resourcequotas?{selected}")
        again = await k.ok("PATCH", f"{one}/status", {"status": {"hard": {"cpu": "2", "memory": "2Gi"}}})
        assert again["status"]["hard"] == {"cpu": "2", "memory": "2Gi"}
        await hard(since, cpu="2", memory="2Gi")

        async def put_right():
            quota = await k.ok("GET", one)
            return quota["spec"]["hard"] == quota["status"]["hard"] == {"cpu": "1", "memory": "1Gi"}

        await k.poll(put_right, 360, every=5)


async def test_what_is_freed_during_a_burst_lets_no_more_in_than_there_is_room_for(quotas):
    """The count after a deletion must not miss what was charged and is not stored yet."""
    api, maps = quotas.api, f"{CORE}/configmaps"
    await quotas.made({"configmaps": "20"})
    for number in range(5):
        await api.ok("POST", maps, {"metadata": {"name": f"old{number}"}})

    async def freed():
        for number in range(5):
            await api.ok("DELETE", f"{maps}/old{number}")
            await asyncio.sleep(0.05)

    async def burst():
        for number in range(10):
            await asyncio.gather(
                *(api("POST", maps, {"metadata": {"name": f"c{number}-{other}"}}) for other in range(10))
            )
            await asyncio.sleep(0.03)

    await asyncio.gather(freed(), burst())
    await quotas.counted({"configmaps": str(len((await api.ok("GET", maps))["items"]))})
    assert len((await api.ok("GET", maps))["items"]) <= 20
