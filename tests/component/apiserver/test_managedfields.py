"""metadata.managedFields of ordinary writes: by whom, of what, reset, and never a write of its own."""

import pytest

MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"


def pod(**metadata):
    return {"metadata": {"name": "p", **metadata}, "spec": {"containers": [{"name": "c", "image": "i"}]}}


def owners(obj):
    return [(e["manager"], e["operation"], e.get("subresource", "")) for e in obj["metadata"].get("managedFields", [])]


async def test_a_creator_owns_what_it_sent_and_what_is_default_but_not_what_the_server_adds(api):
    _, made = await api("POST", PODS, pod(labels={"a": "b"}), user_agent="tool/v1.2 (linux) x/y")
    (entry,) = made["metadata"]["managedFields"]
    assert {name: value for name, value in entry.items() if name not in ("fieldsV1", "time")} == {
        "manager": "tool",
        "operation": "Update",
        "apiVersion": "v1",
        "fieldsType": "FieldsV1",
    }
    assert entry["time"] == made["metadata"]["creationTimestamp"]
    assert entry["fieldsV1"]["f:metadata"] == {"f:labels": {".": {}, "f:a": {}}}
    spec = entry["fieldsV1"]["f:spec"]
    assert "f:volumes" not in spec  # admission mounts the token
    assert spec["f:containers"]['k:{"name":"c"}'] == {
        ".": {},
        **{f"f:{name}": {} for name in ("image", "imagePullPolicy", "name", "resources")},
        **{f"f:{name}": {} for name in ("terminationMessagePath", "terminationMessagePolicy")},
    }
    assert spec["f:securityContext"] == {}
    assert "f:status" not in entry["fieldsV1"]


@pytest.mark.parametrize(
    ("query", "agent", "name"),
    [
        ("?fieldManager=me", "tool/1", "me"),
        ("", "", "unknown"),
        ("", "no slash", "no slash"),
        ("", "x" * 200, "x" * 128),
        ("", "/1", "unknown"),
    ],
)
async def test_a_manager_is_named_by_the_request_or_by_the_program(api, query, agent, name):
    _, made = await api("POST", f"{MAPS}{query}", {"metadata": {"name": "m"}, "data": {"k": "v"}}, user_agent=agent)
    assert owners(made) == [(name, "Update", "")]


async def test_status_scale_and_the_object_itself_are_different_managers(api):
    template = {"metadata": {"labels": {"a": "b"}}, "spec": pod()["spec"]}
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    await api("POST", f"{DEPLOYMENTS}?fieldManager=x", {"metadata": {"name": "d"}, "spec": spec})
    one = f"{DEPLOYMENTS}/d"
    await api(
        "PATCH",
        f"{one}/status?fieldManager=x",
        {"status": {"replicas": 1}, "spec": {"paused": True}},
        content_type=MERGE,
    )
    await api("PATCH", f"{one}/scale?fieldManager=x", {"spec": {"replicas": 4}}, content_type=MERGE)
    _, now = await api("GET", one)
    entries = {entry.get("subresource", ""): entry for entry in now["metadata"]["managedFields"]}
    assert {entry["apiVersion"] for entry in entries.values()} == {"apps/v1"}
    assert entries["status"]["fieldsV1"] == {"f:status": {"f:replicas": {}}}
    assert entries["scale"]["fieldsV1"] == {"f:spec": {"f:replicas": {}}}
    assert "f:replicas" not in entries[""]["fieldsV1"]["f:spec"]


async def test_entries_that_come_back_unread_lose_nothing_and_those_that_are_left_out_neither(api):
    await api("POST", f"{MAPS}?fieldManager=x", {"metadata": {"name": "m"}, "data": {"k": "v"}})
    _, got = await api("GET", f"{MAPS}/m")
    got["data"]["l"] = "w"
    _, put = await api("PUT", f"{MAPS}/m?fieldManager=y", got)
    assert owners(put) == [("x", "Update", ""), ("y", "Update", "")]
    put["metadata"].pop("managedFields")
    _, again = await api("PUT", f"{MAPS}/m?fieldManager=z", put)
    assert owners(again) == [("x", "Update", ""), ("y", "Update", "")]
    put["metadata"]["managedFields"] = [{"manager": "q", "operation": "Nothing"}]
    _, again = await api("PUT", f"{MAPS}/m?fieldManager=z", put)
    assert owners(again) == [("x", "Update", ""), ("y", "Update", "")]


@pytest.mark.parametrize("empty", [[], [{}]])
@pytest.mark.parametrize("kind", [MERGE, JSON_PATCH, "PUT"])
async def test_an_empty_list_resets_the_account(api, empty, kind):
    _, made = await api("POST", MAPS, {"metadata": {"name": "m"}, "data": {"k": "v"}})
    if kind == "PUT":
        made["metadata"]["managedFields"] = empty
        _, now = await api("PUT", f"{MAPS}/m", made)
    elif kind == MERGE:
        _, now = await api("PATCH", f"{MAPS}/m", {"metadata": {"managedFields": empty}}, content_type=kind)
    else:
        change = [{"op": "replace", "path": "/metadata/managedFields", "value": empty}]
        _, now = await api("PATCH", f"{MAPS}/m", change, content_type=kind)
    assert "managedFields" not in now["metadata"]
    _, now = await api("PATCH", f"{MAPS}/m", {"data": {"k": "w"}}, content_type=MERGE)
    assert "managedFields" not in now["metadata"]


async def test_entries_can_be_written_as_kubectl_does_to_migrate(api):
    _, made = await api("POST", f"{MAPS}?fieldManager=old", {"metadata": {"name": "m"}, "data": {"k": "v"}})
    (entry,) = made["metadata"]["managedFields"]
    entry |= {"manager": "new", "operation": "Apply"}
    change = [{"op": "replace", "path": "/metadata/managedFields", "value": [entry]}]
    _, now = await api("PATCH", f"{MAPS}/m", change, content_type=JSON_PATCH)
    assert owners(now) == [("new", "Apply", "")]


async def test_a_write_that_changes_nothing_writes_nothing(api):
    _, made = await api("POST", f"{MAPS}?fieldManager=x", {"metadata": {"name": "m"}, "data": {"k": "v"}})
    _, same = await api("PATCH", f"{MAPS}/m?fieldManager=y", {"data": {"k": "v"}}, content_type=MERGE)
    assert same == made


async def test_what_is_removed_is_nobodys(api):
    await api("POST", f"{MAPS}?fieldManager=x", {"metadata": {"name": "m"}, "data": {"k": "v"}})
    _, now = await api("PATCH", f"{MAPS}/m?fieldManager=y", {"data": None}, content_type=MERGE)
    assert owners(now) == []


async def test_a_created_object_may_bring_its_entries(api):
    entry = {"manager": "z", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1"}
    entry["fieldsV1"] = {"f:data": {"f:k": {}, "f:gone": {}}}
    body = {"metadata": {"name": "m", "managedFields": [entry]}, "data": {"k": "v"}}
    _, made = await api("POST", f"{MAPS}?fieldManager=x", body)
    # Creation adds every field, so what was brought is the creator's but for what is not there.
    assert owners(made) == [("z", "Apply", ""), ("x", "Update", "")]
    assert made["metadata"]["managedFields"][0]["fieldsV1"] == {"f:data": {"f:gone": {}}}


async def test_what_a_part_changes_is_owned_through_its_subresource(api):
    body = pod()
    body["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "1"}}
    await api("POST", f"{PODS}?fieldManager=x", body)
    change = {"spec": {"containers": [{"name": "c", "image": "other", "resources": {"requests": {"cpu": "2"}}}]}}
    kind = "application/strategic-merge-patch+json"
    code, now = await api("PATCH", f"{PODS}/p/resize?fieldManager=y", change, content_type=kind)
    assert code == 200
    assert sorted(owners(now)) == [("x", "Update", ""), ("y", "Update", "resize")]
    (mine,) = (e["fieldsV1"] for e in now["metadata"]["managedFields"] if e["manager"] == "y")
    container = {"f:resources": {"f:requests": {"f:cpu": {}}}}
    assert mine["f:spec"] == {"f:containers": {'k:{"name":"c"}': container}}
