"""DELETE as upstream does it: what it answers, which finalizers it leaves, when it refuses."""

import pytest

MAPS = "/api/v1/namespaces/default/configmaps"
RCS = "/api/v1/namespaces/default/replicationcontrollers"
EVENTS = "/api/v1/namespaces/default/events"


async def made(api, path, name, **metadata):
    code, obj = await api("POST", path, {"metadata": {"name": name, **metadata}})
    assert code == 201, obj
    return obj


async def test_a_precondition_that_fails_names_the_kind_and_what_it_found(api):
    meta = (await made(api, MAPS, "a"))["metadata"]
    for wanted, why in (
        (
            {"uid": "x"},
            f"the UID in the precondition (x) does not match the UID in record ({meta['uid']}). "
            "The object might have been deleted and then recreated",
        ),
        (
            {"resourceVersion": "1"},
            "the ResourceVersion in the precondition (1) does not match the ResourceVersion in record "
            f"({meta['resourceVersion']}). The object might have been modified",
        ),
    ):
        code, error = await api("DELETE", f"{MAPS}/a", {"preconditions": wanted})
        assert (code, error["message"]) == (409, f'Operation cannot be fulfilled on ConfigMap "a": {why}')
        assert error["details"] == {"name": "a", "kind": "ConfigMap"}


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"propagationPolicy": "Foreground"}, 202),
        ({"propagationPolicy": "Foreground", "dryRun": ["All"]}, 202),
        ({"orphanDependents": False}, 202),
        ({"propagationPolicy": "Background"}, 200),
        ({}, 200),
    ],
)
async def test_who_deletes_with_dependents_is_told_that_the_object_is_still_there(api, options, code):
    await made(api, MAPS, "a", finalizers=["example.com/f"])
    assert (await api("DELETE", f"{MAPS}/a", options))[0] == code


async def test_what_the_collector_leaves_alone_gets_no_finalizer(api):
    event = {"involvedObject": {"namespace": "default", "name": "x", "kind": "Pod"}, "metadata": {"name": "e"}}
    for policy in ("Foreground", "Orphan"):
        assert (await api("POST", EVENTS, event))[0] == 201
        assert (await api("DELETE", f"{EVENTS}/e", {"propagationPolicy": policy}))[1]["status"] == "Success"


async def test_a_finalizer_of_the_object_outweighs_the_default_of_its_kind(api):
    spec = {"selector": {"a": "b"}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": []}}}
    spec["template"]["spec"]["containers"].append({"name": "c", "image": "i"})
    for name, policy, left in (("a", "Foreground", ["foregroundDeletion"]), ("b", None, ["orphan"])):
        assert (await api("POST", RCS, {"metadata": {"name": name}, "spec": spec}))[0] == 201
        await api("DELETE", f"{RCS}/{name}", {"propagationPolicy": policy} if policy else {})
        assert (await api("DELETE", f"{RCS}/{name}"))[1]["metadata"]["finalizers"] == left


async def test_no_grace_brings_the_end_forward_to_its_beginning(api):
    pod = {"metadata": {"name": "p", "finalizers": ["example.com/f"]}, "spec": {"containers": [], "nodeName": "n"}}
    pod["spec"]["containers"].append({"name": "c", "image": "i"})
    path = "/api/v1/namespaces/default/pods"
    assert (await api("POST", path, pod))[0] == 201
    first = (await api("DELETE", f"{path}/p", {"gracePeriodSeconds": 3600}))[1]["metadata"]
    last = (await api("DELETE", f"{path}/p", {"gracePeriodSeconds": 0}))[1]["metadata"]
    assert (first["deletionGracePeriodSeconds"], last["deletionGracePeriodSeconds"]) == (3600, 0)
    assert last["deletionTimestamp"] < first["deletionTimestamp"]
    assert (await api("GET", f"{path}/p"))[1]["metadata"]["deletionTimestamp"] == last["deletionTimestamp"]


async def test_a_uid_is_a_precondition_of_put_and_immutable_to_patches(api):
    uid = (await made(api, MAPS, "a"))["metadata"]["uid"]
    wrong = {"metadata": {"name": "a", "uid": "x", "resourceVersion": "1"}}
    code, error = await api("PUT", f"{MAPS}/a", wrong)
    assert (code, error["message"]) == (
        409,
        'Operation cannot be fulfilled on configmaps "a": StorageError: invalid object, Code: 4, '
        "Key: /registry/configmaps/default/a, ResourceVersion: 0, AdditionalErrorMsg: "
        f"Precondition failed: UID in precondition: x, UID in object meta: {uid}",
    )
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "uid": "x"}}
    for media in ("application/merge-patch+json", "application/apply-patch+yaml"):
        code, error = await api("PATCH", f"{MAPS}/a?fieldManager=m", body, content_type=media)
        why = 'metadata.uid: Invalid value: "x": field is immutable'
        assert (code, error["message"]) == (422, f'ConfigMap "a" is invalid: {why}')


async def test_a_put_that_may_create_does_not_create_what_has_a_uid(api):
    leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
    code, error = await api("PUT", f"{leases}/a", {"metadata": {"name": "a", "uid": "x"}})
    assert (code, error["reason"]) == (409, "Conflict")
    await made(api, leases, "a")
    code, error = await api("PUT", f"{leases}/a", {"metadata": {"name": "a"}})
    why = "metadata.resourceVersion: Invalid value: 0: must be specified for an update"
    assert (code, error["message"]) == (422, f'leases.coordination.k8s.io "a" is invalid: {why}')
