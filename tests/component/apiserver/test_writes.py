"""Creating, changing and deleting as clients see it."""

import asyncio

MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"


def cm(name, **meta):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **meta}, "data": {"a": "1"}}


def pod(name, **meta):
    return {"metadata": {"name": name, **meta}, "spec": {"containers": [{"name": "c", "image": "i"}]}}


def deployment(name):
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    return {"metadata": {"name": name}, "spec": {"selector": {"matchLabels": labels}, "template": template}}


async def test_the_server_says_who_an_object_is(api):
    sent = cm("a", uid="mine", creationTimestamp="2001-01-01T00:00:00Z", generation=7)
    status, made = await api("POST", MAPS, sent)
    assert status == 201
    assert made["metadata"]["uid"] != "mine"
    assert not made["metadata"]["creationTimestamp"].startswith("2001")
    assert "generation" not in made["metadata"]
    assert (await api("GET", f"{MAPS}/a"))[1] == made


async def test_what_was_answered_is_what_is_read(api):
    for number in range(20):
        _, made = await api("POST", MAPS, cm(f"m{number}"))
        _, read = await api("GET", f"{MAPS}/m{number}?resourceVersion=0")
        assert read["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


async def test_names_are_generated_and_checked(api):
    _, made = await api("POST", MAPS, {"metadata": {"generateName": "web-"}})
    assert made["metadata"]["name"].startswith("web-")
    assert len(made["metadata"]["name"]) == 9
    status, error = await api("POST", MAPS, cm("Not_Good"))
    assert (status, error["reason"]) == (422, "Invalid")
    assert error["details"]["causes"][0]["field"] == "metadata.name"
    status, error = await api("POST", MAPS, {"data": {}})
    assert status == 422
    assert "name or generateName is required" in error["message"]


async def test_a_second_create_is_a_conflict(api):
    await api("POST", MAPS, cm("a"))
    status, error = await api("POST", MAPS, cm("a"))
    assert (status, error["reason"], error["message"]) == (409, "AlreadyExists", 'configmaps "a" already exists')


async def test_an_object_of_another_place_or_kind_is_refused(api):
    status, error = await api("POST", MAPS, cm("a", namespace="other"))
    assert (status, error["message"]) == (
        400,
        "the namespace of the provided object does not match the namespace sent on the request",
    )
    status, error = await api("POST", MAPS, {**cm("a"), "kind": "Secret"})
    assert status == 400
    assert 'Secret in version "v1" cannot be handled as a ConfigMap' in error["message"]
    status, error = await api("POST", MAPS, {**cm("a"), "apiVersion": "apps/v1"})
    assert (status, error["reason"]) == (400, "BadRequest")
    status, error = await api("PUT", f"{MAPS}/b", cm("a"))
    assert status == 400


async def test_put_keeps_what_the_server_owns_and_compares_versions(api):
    _, made = await api("POST", MAPS, cm("a"))
    status, put = await api("PUT", f"{MAPS}/a", {**cm("a"), "data": {"a": "2"}})
    assert status == 200
    assert put["metadata"]["uid"] == made["metadata"]["uid"]
    assert put["metadata"]["creationTimestamp"] == made["metadata"]["creationTimestamp"]
    status, error = await api("PUT", f"{MAPS}/a", {**made, "data": {"a": "3"}})
    assert (status, error["reason"]) == (409, "Conflict")
    assert error["message"].endswith(
        "the object has been modified; please apply your changes to the latest version and try again"
    )
    status, error = await api("PUT", f"{MAPS}/a", cm("a", uid="another"))
    assert (status, "Precondition failed: UID" in error["message"]) == (409, True)
    assert (await api("PUT", f"{MAPS}/none", cm("none")))[0] == 404


async def test_an_equal_update_writes_nothing(api):
    _, made = await api("POST", MAPS, cm("a"))
    before = await api.store.revision()
    for body in (cm("a"), made):
        _, put = await api("PUT", f"{MAPS}/a", body)
        assert put == made
    await api("PATCH", f"{MAPS}/a", {"data": {"a": "1"}}, content_type=MERGE)
    assert await api.store.revision() == before


async def test_generation_counts_changes_of_spec_alone(api):
    _, made = await api("POST", DEPLOYMENTS, deployment("web"))
    assert made["metadata"]["generation"] == 1
    one = f"{DEPLOYMENTS}/web"
    _, labelled = await api("PATCH", one, {"metadata": {"labels": {"x": "y"}}}, content_type=MERGE)
    assert labelled["metadata"]["generation"] == 1
    _, scaled = await api("PATCH", one, {"spec": {"replicas": 3}}, content_type=MERGE)
    assert scaled["metadata"]["generation"] == 2
    _, seen = await api("PATCH", f"{one}/status", {"status": {"observedGeneration": 2}}, content_type=MERGE)
    assert seen["metadata"]["generation"] == 2
    assert seen["status"]["observedGeneration"] == 2


async def test_status_and_spec_are_written_apart(api):
    await api("POST", DEPLOYMENTS, {**deployment("web"), "status": {"replicas": 9}})
    one = f"{DEPLOYMENTS}/web"
    _, made = await api("GET", one)
    assert made["status"] == {}
    both = {"spec": {"replicas": 5}, "status": {"replicas": 4}}
    _, main = await api("PATCH", one, both, content_type=MERGE)
    assert (main["spec"]["replicas"], main["status"]) == (5, {})
    both = {"spec": {"replicas": 7}, "status": {"replicas": 4}, "metadata": {"annotations": {"a": "b"}}}
    _, status = await api("PATCH", f"{one}/status", both, content_type=MERGE)
    assert (status["spec"]["replicas"], status["status"]["replicas"]) == (5, 4)
    assert status["metadata"]["annotations"] == {"a": "b"}


async def test_scale_is_a_window_on_replicas(api):
    await api("POST", DEPLOYMENTS, deployment("web"))
    one = f"{DEPLOYMENTS}/web/scale"
    _, scale = await api("GET", one)
    assert (scale["kind"], scale["spec"], scale["status"]) == (
        "Scale",
        {"replicas": 1},
        {"replicas": 0, "selector": "app=web"},
    )
    scale["spec"]["replicas"] = 4
    status, put = await api("PUT", one, scale)
    assert (status, put["spec"]["replicas"]) == (200, 4)
    assert (await api("PUT", one, scale))[0] == 409
    _, patched = await api("PATCH", one, {"spec": {"replicas": 2}}, content_type=MERGE)
    assert patched["spec"]["replicas"] == 2
    assert (await api("GET", f"{DEPLOYMENTS}/web"))[1]["spec"]["replicas"] == 2
    status, error = await api("PATCH", one, {"spec": {"replicas": -1}}, content_type=MERGE)
    assert (status, error["reason"]) == (422, "Invalid")


async def test_three_kinds_of_patches_by_content_type_alone(api):
    await api("POST", PODS, pod("p"))
    one = f"{PODS}/p?fieldManager=x"
    strategic = {"spec": {"containers": [{"name": "c", "image": "j"}]}}
    _, patched = await api("PATCH", one, strategic, content_type=STRATEGIC)
    assert patched["spec"]["containers"][0]["image"] == "j"
    assert patched["spec"]["containers"][0]["terminationMessagePolicy"] == "File"
    operations = [{"op": "replace", "path": "/spec/containers/0/image", "value": "k"}]
    _, patched = await api("PATCH", one, operations, content_type=JSON_PATCH)
    assert patched["spec"]["containers"][0]["image"] == "k"
    _, patched = await api("PATCH", one, {"metadata": {"labels": {"a": "b"}}}, content_type=MERGE)
    assert patched["metadata"]["labels"] == {"a": "b"}
    assert (await api("PATCH", one, b"a: b", content_type="application/apply-patch+yaml"))[0] == 400
    assert (await api("PATCH", one, b"a: b", content_type="application/apply-patch+cbor"))[0] == 415
    assert (await api("PATCH", one, {}, content_type="application/json"))[0] == 415
    assert (await api("PATCH", one, [], content_type=MERGE))[0] == 400
    assert (await api("PATCH", one, {"metadata": {"name": "q"}}, content_type=MERGE))[0] == 400


async def test_a_patch_that_names_a_version_conflicts_and_one_that_does_not_is_tried_again(api):
    await api("POST", MAPS, cm("a"))
    stale = {"metadata": {"resourceVersion": "1"}, "data": {"x": "y"}}
    assert (await api("PATCH", f"{MAPS}/a", stale, content_type=MERGE))[0] == 409
    patches = [api("PATCH", f"{MAPS}/a", {"data": {f"k{n}": "v"}}, content_type=MERGE) for n in range(20)]
    answers = await asyncio.gather(*patches)
    assert {status for status, _ in answers} == {200}
    _, now = await api("GET", f"{MAPS}/a")
    assert len(now["data"]) == 21


async def test_dry_run_tells_and_writes_nothing(api):
    before = await api.store.revision()
    status, made = await api("POST", f"{MAPS}?dryRun=All", cm("a"))
    assert (status, made["metadata"]["name"]) == (201, "a")
    await api("POST", MAPS, cm("b"))
    await api("PATCH", f"{MAPS}/b?dryRun=All", {"data": {"x": "y"}}, content_type=MERGE)
    await api("DELETE", f"{MAPS}/b?dryRun=All")
    assert await api.store.revision() == before + 1
    status, error = await api("POST", f"{MAPS}?dryRun=some", cm("a"))
    assert (status, error["message"]) == (
        422,
        'CreateOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: ["some"]: supported values: "All"',
    )


async def test_strict_reports_every_problem_and_warn_sends_warnings(api):
    body = b'{"metadata":{"name":"a","nope":1},"data":{"a":"1", "a":"2"},"more":true}'
    status, error = await api("POST", f"{MAPS}?fieldValidation=Strict", body)
    assert status == 400
    for text in ('unknown field "metadata.nope"', 'unknown field "more"', 'duplicate field "data.a"'):
        assert text in error["message"]
    response = await api.send("POST", MAPS, body)
    assert response.status == 201
    assert len(response.headers.all("warning")) == 3
    response = await api.send("POST", f"{MAPS}?fieldValidation=Ignore", body.replace(b'"a",', b'"b",', 1))
    assert (response.status, response.headers.all("warning")) == (201, [])


async def test_the_last_finalizer_takes_the_object_with_it(api):
    await api("POST", MAPS, cm("a", finalizers=["example.com/hold"]))
    status, marked = await api("DELETE", f"{MAPS}/a")
    assert status == 200
    assert marked["metadata"]["deletionTimestamp"]
    events = await api.watch(f"{MAPS}?watch=1")
    assert (await api("DELETE", f"{MAPS}/a"))[0] == 200
    refused = {"metadata": {"finalizers": ["example.com/hold", "example.com/more"]}}
    assert (await api("PATCH", f"{MAPS}/a", refused, content_type=MERGE))[0] == 422
    freed = [{"op": "remove", "path": "/metadata/finalizers"}]
    assert (await api("PATCH", f"{MAPS}/a", freed, content_type=JSON_PATCH))[0] == 200
    assert (await api("GET", f"{MAPS}/a"))[0] == 404
    assert await events.names(2) == ["ADDED a", "DELETED a"]
    await events.close()


async def test_propagation_policies_become_finalizers(api):
    for policy, finalizer in (("Foreground", "foregroundDeletion"), ("Orphan", "orphan")):
        await api("POST", MAPS, cm("a"))
        body = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": policy}
        _, marked = await api("DELETE", f"{MAPS}/a", body)
        assert marked["metadata"]["finalizers"] == [finalizer]
        _, gone = await api("DELETE", f"{MAPS}/a?propagationPolicy=Background")
        assert gone["status"] == "Success"
    assert (await api("DELETE", f"{MAPS}/a?propagationPolicy=Never"))[0] == 422


async def test_preconditions_are_checked_only_when_they_are_sent(api):
    _, made = await api("POST", MAPS, cm("a"))
    for wrong in ({"uid": "other"}, {"resourceVersion": "1"}):
        status, error = await api("DELETE", f"{MAPS}/a", {"preconditions": wrong})
        assert (status, "in the precondition" in error["message"]) == (409, True)
    status, gone = await api("DELETE", f"{MAPS}/a", {"preconditions": {"uid": made["metadata"]["uid"]}})
    assert (status, gone["details"]["kind"]) == (200, "configmaps")
    status, error = await api("DELETE", f"{MAPS}/a")
    assert (status, error["message"]) == (404, 'configmaps "a" not found')


async def test_a_scheduled_pod_goes_gracefully_and_its_kubelet_ends_it(api):
    await api("POST", PODS, pod("p"))
    target = {"apiVersion": "v1", "kind": "Node", "name": "n1"}
    status, _ = await api("POST", f"{PODS}/p/binding", {"metadata": {"name": "p"}, "target": target})
    assert status == 201
    _, marked = await api("DELETE", f"{PODS}/p")
    assert marked["metadata"]["deletionGracePeriodSeconds"] == 30
    assert marked["metadata"]["generation"] == 2
    _, shorter = await api("DELETE", f"{PODS}/p?gracePeriodSeconds=5")
    assert shorter["metadata"]["deletionGracePeriodSeconds"] == 5
    _, same = await api("DELETE", f"{PODS}/p?gracePeriodSeconds=20")
    assert same["metadata"]["deletionGracePeriodSeconds"] == 5
    assert (await api("DELETE", f"{PODS}/p?gracePeriodSeconds=0"))[0] == 200
    assert (await api("GET", f"{PODS}/p"))[0] == 404


async def test_a_pod_without_a_node_goes_at_once(api):
    await api("POST", PODS, pod("p"))
    assert (await api("DELETE", f"{PODS}/p"))[0] == 200
    assert (await api("GET", f"{PODS}/p"))[0] == 404


async def test_deletecollection_takes_what_is_selected(api):
    for name, tier in (("a", "x"), ("b", "x"), ("c", "y")):
        await api("POST", MAPS, cm(name, labels={"tier": tier}))
    status, deleted = await api("DELETE", f"{MAPS}?labelSelector=tier%3Dx")
    assert (status, deleted["kind"], len(deleted["items"])) == (200, "ConfigMapList", 2)
    _, left = await api("GET", MAPS)
    assert [item["metadata"]["name"] for item in left["items"]] == ["c"]


async def test_a_lease_is_created_by_put_and_wants_a_version_afterwards(api):
    leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
    lease = {"metadata": {"name": "l"}, "spec": {"holderIdentity": "a"}}
    assert (await api("PUT", f"{leases}/l", lease))[0] == 201
    status, error = await api("PUT", f"{leases}/l", {**lease, "spec": {"holderIdentity": "b"}})
    assert status == 422
    assert "must be specified for an update" in error["message"]


async def test_a_namespace_stays_until_it_is_finalized(api):
    await api("POST", "/api/v1/namespaces", {"metadata": {"name": "n"}})
    _, marked = await api("DELETE", "/api/v1/namespaces/n")
    assert marked["status"]["phase"] == "Terminating"
    marked["spec"]["finalizers"] = []
    assert (await api("PUT", "/api/v1/namespaces/n/finalize", marked))[0] == 200
    assert (await api("GET", "/api/v1/namespaces/n"))[0] == 404


async def test_a_full_store_is_said_plainly(api):
    await api.store.close()
    status, error = await api("POST", MAPS, cm("a"))
    assert (status, error["reason"]) == (503, "ServiceUnavailable")


async def test_a_generated_name_that_is_taken_is_generated_again(api, monkeypatch):
    tries = iter(["aaaaa", "aaaaa", "aaaaa", "bbbbb", *["bbbbb"] * 8])
    monkeypatch.setattr(api.server.storage.clock.random, "choices", lambda letters, k: list(next(tries)))
    names = [(await api("POST", MAPS, {"metadata": {"generateName": "x-"}}))[1]["metadata"]["name"] for _ in "ab"]
    assert names == ["x-aaaaa", "x-bbbbb"]
    status, error = await api("POST", MAPS, {"metadata": {"generateName": "x-"}})
    assert (status, error["reason"], error["details"]["retryAfterSeconds"]) == (409, "AlreadyExists", 1)
    assert error["message"] == (
        'configmaps "x-bbbbb" already exists, the server was not able to generate a unique name for the object'
    )
