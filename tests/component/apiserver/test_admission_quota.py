"""Quota admission without the controller: what is refused, what is charged, and what is given back."""

import asyncio

import pytest
from tests.component.apiserver.admitted import NS, PODS, pod, serving

QUOTAS = f"{NS}/resourcequotas"
CLAIMS = f"{NS}/persistentvolumeclaims"
DEVICES = "/apis/resource.k8s.io/v1"


@pytest.fixture
async def api():
    async with serving() as made:
        yield made


async def quota(api, hard, name="q", used=None, **spec):
    """A quota that somebody has counted."""
    await api.ok("POST", QUOTAS, {"metadata": {"name": name}, "spec": {"hard": hard, **spec}})
    await api.status(f"{QUOTAS}/{name}", {"hard": hard, "used": dict.fromkeys(hard, "0") | (used or {})})


async def used(api, name="q"):
    return (await api.ok("GET", f"{QUOTAS}/{name}"))["status"]["used"]


def maps(api, name, query=""):
    return api("POST", f"{NS}/configmaps{query}", {"metadata": {"name": name}})


async def test_fifty_creates_at_once_are_admitted_up_to_the_limit_and_no_further(api):
    await quota(api, {"count/configmaps": "30"})
    answers = await asyncio.gather(*(maps(api, f"c{number}") for number in range(50)))
    codes = [code for code, _ in answers]
    assert (codes.count(201), codes.count(403)) == (30, 20)
    assert await used(api) == {"count/configmaps": "30"}


async def test_fifty_creates_at_once_take_few_writes(api):
    await quota(api, {"count/configmaps": "100"})
    before = int((await api.ok("GET", f"{QUOTAS}/q"))["metadata"]["resourceVersion"])
    await asyncio.gather(*(maps(api, f"c{number}") for number in range(50)))
    after = int((await api.ok("GET", f"{QUOTAS}/q"))["metadata"]["resourceVersion"])
    assert (await used(api))["count/configmaps"] == "50"
    assert after - before < 60, "50 objects, and a charge for many of them together"


async def test_what_fails_afterwards_is_given_back(api):
    await quota(api, {"configmaps": "5"})
    assert (await maps(api, "c"))[0] == 201
    for _ in range(10):
        assert (await maps(api, "c"))[0] == 409
    assert await used(api) == {"configmaps": "1"}


async def test_a_dry_run_is_judged_and_not_charged(api):
    await quota(api, {"configmaps": "1"})
    assert (await maps(api, "c", "?dryRun=All"))[0] == 201
    assert await used(api) == {"configmaps": "0"}
    await maps(api, "c")
    assert (await maps(api, "d", "?dryRun=All"))[0] == 403


async def test_of_several_quotas_all_are_charged_or_none(api):
    await quota(api, {"configmaps": "5"}, "a")
    await quota(api, {"configmaps": "1"}, "b")
    await quota(api, {"configmaps": "5"}, "c")
    answers = await asyncio.gather(*(maps(api, f"c{number}") for number in range(4)))
    refusals = [answer["message"] for code, answer in answers if code == 403]
    assert len(refusals) == 3
    assert all("exceeded quota: b, requested: configmaps=1, used: configmaps=1" in text for text in refusals)
    assert [(await used(api, name))["configmaps"] for name in "abc"] == ["1", "1", "1"]


async def test_a_quota_that_was_filled_by_another_server_is_asked_again(api):
    """What the cache says is only a first guess: the charge itself decides."""
    await quota(api, {"configmaps": "2"}, "a")
    await quota(api, {"configmaps": "1"}, "b")
    ledger = api.server.handlers._writes._admission._plugins[-1][1].validate.__self__._ledger
    stale = ledger.quotas("default")
    await api.status(f"{QUOTAS}/b", {"used": {"configmaps": "1"}})
    ledger.quotas = lambda namespace: stale
    code, answer = await maps(api, "c")
    assert (code, "exceeded quota: b" in answer["message"]) == (403, True)
    assert (await used(api, "a"))["configmaps"] == "0", "given back"


async def test_quotas_of_cpu_and_memory_want_every_container_to_say_its_own(api):
    await quota(api, {"limits.cpu": "2", "memory": "1Gi"})
    assert await api.refused("POST", PODS, pod()) == (
        'pods "p" is forbidden: failed quota: q: must specify limits.cpu for: c; memory for: c'
    )
    amounts = {"requests": {"memory": "1Gi"}, "limits": {"cpu": "1", "memory": "1Gi"}}
    await api.ok("POST", PODS, pod(resources=amounts))
    message = await api.refused("POST", PODS, pod("q", resources=amounts))
    assert message == (
        'pods "q" is forbidden: exceeded quota: q, requested: memory=1Gi, used: memory=1Gi, limited: memory=1Gi'
    )


async def test_a_quota_whose_use_is_unknown_refuses(api):
    await api.ok("POST", QUOTAS, {"metadata": {"name": "q"}, "spec": {"hard": {"configmaps": "1"}}})
    await api.status(f"{QUOTAS}/q", {"hard": {"configmaps": "1"}})
    code, answer = await maps(api, "c")
    assert (code, answer["message"]) == (
        403,
        'configmaps "c" is forbidden: status unknown for quota: q, resources: configmaps',
    )


async def test_a_quota_that_nobody_has_counted_yet_limits_nothing(api):
    await api.ok("POST", QUOTAS, {"metadata": {"name": "q"}, "spec": {"hard": {"configmaps": "0"}}})
    assert (await maps(api, "c"))[0] == 201


async def test_scopes_choose_pods(api):
    high = {"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}
    await quota(api, {"pods": "0"}, "high", scopeSelector={"matchExpressions": [high]})
    await quota(api, {"pods": "0"}, "ending", scopes=["Terminating"])
    classes = "/apis/scheduling.k8s.io/v1/priorityclasses"
    await api.ok("POST", classes, {"metadata": {"name": "high"}, "value": 10})
    await api.ok("POST", PODS, pod())
    assert "exceeded quota: high" in await api.refused("POST", PODS, pod("h", priorityClassName="high"))
    assert "exceeded quota: ending" in await api.refused("POST", PODS, pod("e", activeDeadlineSeconds=5))
    message = await api.refused("PATCH", f"{PODS}/p", {"spec": {"activeDeadlineSeconds": 5}})
    assert "exceeded quota: ending, requested: pods=1, used: pods=0, limited: pods=0" in message


async def test_devices_are_charged_by_whatever_name_they_are_asked_for(api):
    spec = {"extendedResourceName": "example.com/gpu"}
    await api.ok("POST", f"{DEVICES}/deviceclasses", {"metadata": {"name": "gpu"}, "spec": spec})
    await quota(api, {"requests.example.com/gpu": "3"})
    asked = {"name": "r", "exactly": {"deviceClassName": "gpu", "count": 2}}
    claims = f"{DEVICES}/namespaces/default/resourceclaims"
    body = {"metadata": {"name": "one"}, "spec": {"devices": {"requests": [asked]}}}
    await api.ok("POST", claims, body)
    assert await used(api) == {"requests.example.com/gpu": "2"}
    message = await api.refused("POST", claims, {**body, "metadata": {"name": "two"}})
    assert "requested: requests.example.com/gpu=2, used: requests.example.com/gpu=2" in message


async def test_claims_are_charged_by_class_and_for_growing(api):
    gold = "gold.storageclass.storage.k8s.io/requests.storage"
    await quota(api, {"requests.storage": "10Gi", gold: "2Gi"})
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "3Gi"}}, "storageClassName": "gold"}
    message = await api.refused("POST", CLAIMS, {"metadata": {"name": "c"}, "spec": spec})
    assert message.endswith(f"requested: {gold}=3Gi, used: {gold}=0, limited: {gold}=2Gi")
    await api.ok("POST", CLAIMS, {"metadata": {"name": "c"}, "spec": {**spec, "storageClassName": "tin"}})
    assert await used(api) == {"requests.storage": "3Gi", gold: "0"}
    classes = "/apis/storage.k8s.io/v1/storageclasses"
    await api.ok("POST", classes, {"metadata": {"name": "tin"}, "provisioner": "p", "allowVolumeExpansion": True})
    await api.status(f"{CLAIMS}/c", {"phase": "Bound"})
    grown = {"spec": {"resources": {"requests": {"storage": "5Gi"}}}}
    await api.ok("PATCH", f"{CLAIMS}/c", grown)
    assert (await used(api))["requests.storage"] == "5Gi"
    grown["spec"]["resources"]["requests"]["storage"] = "50Gi"
    message = await api.refused("PATCH", f"{CLAIMS}/c", grown)
    assert message.endswith(
        "exceeded quota: q, requested: requests.storage=45Gi, used: requests.storage=5Gi, limited: requests.storage=10Gi"
    )


async def test_a_service_is_charged_when_its_type_changes(api):
    await quota(api, {"services.nodeports": "1"})
    for name in "ab":
        await api.ok("POST", f"{NS}/services", {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}]}})
    await api.ok("PATCH", f"{NS}/services/a", {"spec": {"type": "NodePort"}})
    assert await used(api) == {"services.nodeports": "1"}
    assert "exceeded quota: q" in await api.refused("PATCH", f"{NS}/services/b", {"spec": {"type": "NodePort"}})
    await api.ok("PATCH", f"{NS}/services/a", {"metadata": {"labels": {"a": "b"}}})
    assert await used(api) == {"services.nodeports": "1"}


async def test_what_is_limited_by_configuration_needs_a_quota_that_covers_it():
    critical = {"scopeName": "PriorityClass", "operator": "In", "values": ["system-cluster-critical"]}
    limited = [
        {"resource": "pods", "matchScopes": [critical]},
        {"resource": "persistentvolumeclaims", "matchContains": ["gold"]},
    ]
    async with serving(admission_configuration={"ResourceQuota": {"limitedResources": limited}}) as api:
        await api.ok("POST", PODS, pod())
        made = pod("s", priorityClassName="system-cluster-critical")
        assert await api.refused("POST", PODS, made) == (
            'pods "s" is forbidden: insufficient quota to match these scopes: '
            "[{PriorityClass In [system-cluster-critical]}]"
        )
        await quota(api, {"pods": "1"}, scopeSelector={"matchExpressions": [critical]})
        await api.ok("POST", PODS, made)
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1"}}}
        spec["storageClassName"] = "gold"
        message = await api.refused("POST", CLAIMS, {"metadata": {"name": "c"}, "spec": spec})
        assert "insufficient quota to consume: gold.storageclass.storage.k8s.io/persistentvolumeclaims," in message


async def test_custom_resources_are_counted_by_their_full_name(api):
    schema = {"openAPIV3Schema": {"type": "object"}}
    definition = {
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
    }
    await api.ok("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
    widgets = "/apis/example.com/v1/namespaces/default/widgets"
    for _ in range(200):
        if (await api("GET", widgets))[0] == 200:
            break
        await asyncio.sleep(0.01)
    await quota(api, {"count/widgets.example.com": "1"})
    widget = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "a"}}
    await api.ok("POST", widgets, widget)
    message = await api.refused("POST", widgets, {**widget, "metadata": {"name": "b"}})
    assert message.startswith('widgets.example.com "b" is forbidden: exceeded quota: q')
