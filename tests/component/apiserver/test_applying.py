"""Server-side apply through the pipeline: creation, conflicts, subresources, and what a configuration may not be."""

from pathlib import Path

import orjson
import pytest

from pybernetes.api.objects import User

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
ONE = f"{DEPLOYMENTS}/d"
MAPS = "/api/v1/namespaces/default/configmaps"
GOLDEN = Path(__file__).parent / "golden"
ANNOTATION = "kubectl.kubernetes.io/last-applied-configuration"


def deployment(**spec):
    container = {"name": "c", "image": "one", "ports": [{"containerPort": 80}]}
    template = {"metadata": {"labels": {"app": "d"}}, "spec": {"containers": [container]}}
    fixed = {"selector": {"matchLabels": {"app": "d"}}, "template": template}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d"},
        "spec": {"replicas": 3, **fixed, **spec},
    }


def config_map(name="m", **data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def status(**values):
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "status": values}


def scale(replicas):
    return {
        "apiVersion": "autoscaling/v1",
        "kind": "Scale",
        "metadata": {"name": "d"},
        "spec": {"replicas": replicas},
    }


async def apply(api, target, body, manager="a", query="", **more):
    return await api("PATCH", f"{target}?fieldManager={manager}{query}", body, content_type=APPLY, **more)


async def applied(api, target, body, manager="a", query=""):
    code, answer = await apply(api, target, body, manager, query)
    assert code in (200, 201), answer
    return answer


def owners(obj):
    """manager, operation and subresource of every entry."""
    return [(e["manager"], e["operation"], e.get("subresource", "")) for e in obj["metadata"]["managedFields"]]


async def test_what_is_not_there_is_created_and_applying_it_again_writes_nothing(api):
    code, made = await apply(api, ONE, deployment())
    assert code == 201
    assert owners(made) == [("a", "Apply", "")]
    assert made["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"]["f:replicas"] == {}
    code, again = await apply(api, ONE, deployment())
    assert (code, again) == (200, made)


async def test_yaml_and_json_are_the_same(api):
    text = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata:\n  k: 'v'\n"
    made = await applied(api, f"{MAPS}/m", text)
    assert await applied(api, f"{MAPS}/m", config_map(k="v")) == made


async def test_a_conflict_names_owners_and_fields(api):
    await applied(api, ONE, deployment(), "a team")
    await api("PATCH", f"{ONE}?fieldManager=hand", {"metadata": {"labels": {"x": "1"}}}, content_type=MERGE)
    await api("PATCH", f"{ONE}/scale?fieldManager=hpa", {"spec": {"replicas": 7}}, content_type=MERGE)
    wanted = deployment(replicas=5)
    wanted["metadata"]["labels"] = {"x": "2"}
    wanted["spec"]["template"]["spec"]["containers"][0] |= {
        "image": "two",
        "ports": [{"containerPort": 80, "name": "p"}],
    }
    code, answer = await apply(api, ONE, wanted, "me")
    assert (code, answer["reason"]) == (409, "Conflict")
    shown = answer["message"] + "\n\n" + orjson.dumps(answer["details"], option=orjson.OPT_INDENT_2).decode() + "\n"
    assert shown == (GOLDEN / "apply_conflict.txt").read_text()
    forced = await applied(api, ONE, wanted, "me", "&force=true")
    assert forced["spec"]["replicas"] == 5
    code, answer = await apply(api, ONE, deployment(replicas=6), "b")
    assert answer["message"].startswith('Apply failed with 2 conflicts: conflicts with "me":\n- .spec.replicas')


async def test_what_a_manager_applies_no_more_goes_unless_somebody_owns_it(api):
    await applied(api, f"{MAPS}/m", config_map(mine="1", both="2"))
    await applied(api, f"{MAPS}/m", config_map(both="2"), "b")
    nothing = {name: value for name, value in config_map().items() if name != "data"}
    left = await applied(api, f"{MAPS}/m", nothing)
    assert left["data"] == {"both": "2"}
    assert owners(left) == [("b", "Apply", "")]


async def test_a_default_comes_back_where_a_field_is_applied_no_more(api):
    wanted = deployment()
    await applied(api, ONE, wanted)
    del wanted["spec"]["replicas"]
    answer = await applied(api, ONE, wanted)
    assert answer["spec"]["replicas"] == 1


async def test_status_is_applied_by_its_own_manager_and_nothing_else_is(api):
    await applied(api, ONE, {**deployment(), "status": {"replicas": 9}})
    code, answer = await apply(api, f"{DEPLOYMENTS}/none/status", status(replicas=1))
    assert code == 404
    condition = {"type": "X", "status": "True"}
    answer = await applied(
        api, f"{ONE}/status", {**status(replicas=2, conditions=[condition]), "spec": {"replicas": 8}}
    )
    assert (answer["status"]["replicas"], answer["spec"]["replicas"]) == (2, 3)
    assert owners(answer) == [("a", "Apply", ""), ("a", "Apply", "status")]
    main, of_status = (entry["fieldsV1"] for entry in answer["metadata"]["managedFields"])
    assert ("f:status" in main, "f:spec" in of_status) == (False, False)
    assert of_status["f:status"]["f:conditions"] == {'k:{"type":"X"}': {".": {}, "f:status": {}, "f:type": {}}}
    answer = await applied(api, f"{ONE}/status", status())
    assert not answer["status"]


async def test_scale_is_applied_to_the_replicas_of_the_parent(api):
    await applied(api, ONE, deployment())
    code, answer = await apply(api, f"{ONE}/scale", scale(7), "hpa")
    assert (code, answer["message"]) == (409, 'Apply failed with 1 conflict: conflict with "a": .spec.replicas')
    assert (await applied(api, f"{ONE}/scale", scale(7), "hpa", "&force=true"))["spec"]["replicas"] == 7
    _, parent = await api("GET", ONE)
    assert owners(parent) == [("a", "Apply", ""), ("hpa", "Apply", "scale")]
    assert parent["metadata"]["managedFields"][1]["fieldsV1"] == {"f:spec": {"f:replicas": {}}}
    code, answer = await apply(api, f"{ONE}/scale", scale(-1), "hpa")
    assert code == 422
    await api("PATCH", f"{ONE}?fieldManager=x", {"spec": {"replicas": 2}}, content_type=MERGE)
    _, answer = await apply(api, f"{ONE}/scale", scale(9), "hpa")
    assert answer["message"].endswith('conflict with "x" using autoscaling/v1: .spec.replicas')


REFUSED = [
    (ONE, {"metadata": {"name": "d"}}, 400, "invalid object type: /, Kind="),
    (ONE, deployment() | {"apiVersion": "apps/v2"}, 400, "invalid object type: apps/v2, Kind=Deployment"),
    (ONE, deployment() | {"metadata": {"name": "d", "managedFields": []}}, 400, "metadata.managedFields must be nil"),
    (
        ONE,
        deployment(nonsense=1),
        400,
        "failed to create typed patch object (/d; apps/v1, Kind=Deployment): "
        ".spec.nonsense: field not declared in schema",
    ),
    (ONE, b"a: [", 400, "error decoding YAML: error converting YAML to JSON: yaml: "),
    (
        ONE,
        b"- 1",
        400,
        "error decoding YAML: error unmarshaling JSON: while decoding JSON: "
        "json: cannot unmarshal array into Go value of type map[string]interface {}",
    ),
    (
        f"{MAPS}/m",
        config_map() | {"metadata": {"name": "m", "uid": "x"}},
        409,
        "uid mismatch: the provided object specified uid x, and no existing object was found",
    ),
    (f"{MAPS}/m", config_map() | {"metadata": {"name": "m", "resourceVersion": "3"}}, 409, "has been modified"),
    (f"{MAPS}/m", config_map("other"), 400, "the name of the object (other) does not match the name on the URL (m)"),
    (f"{MAPS}/m", config_map() | {"metadata": {}}, 400, "name must be provided"),
    (f"{MAPS}/m", config_map() | {"metadata": {"name": "m", "namespace": "x"}}, 400, "does not match the namespace"),
    (f"{MAPS}/m", config_map() | {"metadata": "x"}, 400, "metadata: expected map"),
    (f"{MAPS}/m", config_map() | {"kind": 1}, 400, "invalid object type: /v1, Kind="),
]


@pytest.mark.parametrize(("target", "body", "code", "text"), REFUSED)
async def test_what_cannot_be_applied_is_refused(api, target, body, code, text):
    answer = await apply(api, target, body)
    assert (answer[0], text in answer[1]["message"]) == (code, True), answer


async def test_options_of_an_apply(api):
    code, answer = await api("PATCH", f"{MAPS}/m", config_map(), content_type=APPLY)
    assert (code, answer["details"]["causes"]) == (
        422,
        [
            {
                "reason": "FieldValueRequired",
                "message": "Required value: is required for apply patch",
                "field": "fieldManager",
            }
        ],
    )
    assert (await apply(api, f"{MAPS}/m", config_map(), "x" * 129))[0] == 422
    assert (await apply(api, f"{MAPS}/m", config_map(), "a%07"))[0] == 422
    code, answer = await apply(api, f"{MAPS}/m", config_map(), query="&dryRun=All")
    assert (code, answer["metadata"]["name"]) == (201, "m")
    assert (await api("GET", f"{MAPS}/m"))[0] == 404
    code, answer = await api("PATCH", f"{MAPS}/m?fieldManager=a", b"x", content_type="application/apply-patch+cbor")
    assert (code, APPLY in answer["message"]) == (415, True)


async def test_a_key_given_twice_is_refused_or_warned_of(api):
    text = b"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: m\ndata:\n  k: a\n  k: b\n"
    code, answer = await apply(api, f"{MAPS}/m", text, query="&fieldValidation=Strict")
    assert code == 400
    assert answer["message"].startswith("error strict decoding YAML: ")
    assert 'line 7: key "k" already set in map' in answer["message"]
    target = f"{MAPS}/m?fieldManager=a"
    response = await api.send("PATCH", target, text, content_type=APPLY)
    assert (response.status, 'key \\"k\\" already set in map' in response.headers.get("warning")) == (201, True)
    response = await api.send("PATCH", f"{target}&fieldValidation=Ignore", text, content_type=APPLY)
    assert (response.status, response.headers.get("warning")) == (200, "")


async def test_a_version_that_is_applied_must_be_the_stored_one(api):
    await applied(api, f"{MAPS}/m", config_map(k="1"))
    stale = config_map(k="2") | {"metadata": {"name": "m", "resourceVersion": "1"}}
    assert (await apply(api, f"{MAPS}/m", stale))[0] == 409


async def test_what_was_there_before_anybody_applied_is_somebodys(api):
    await api("POST", MAPS, config_map(k="1"))
    await api("PATCH", f"{MAPS}/m", {"metadata": {"managedFields": []}}, content_type=MERGE)
    code, answer = await apply(api, f"{MAPS}/m", config_map(k="2"))
    assert (code, answer["message"]) == (
        409,
        'Apply failed with 1 conflict: conflict with "before-first-apply" using v1: .data.k',
    )


async def test_kubectl_takes_over_what_it_applied_on_the_client_and_nothing_else(api):
    last = orjson.dumps(config_map(k="1", same="s")).decode()
    obj = config_map(k="1", same="s", other="x")
    obj["metadata"]["annotations"] = {ANNOTATION: last}
    await api("POST", f"{MAPS}?fieldManager=kubectl-client-side-apply", obj)
    assert (await apply(api, f"{MAPS}/m", config_map(k="2"), "somebody"))[0] == 409
    _, answer = await apply(api, f"{MAPS}/m", config_map(k="2", other="y"), "kubectl")
    assert answer["message"] == (
        'Apply failed with 1 conflict: conflict with "kubectl-client-side-apply" using v1: .data.other'
    )
    answer = await applied(api, f"{MAPS}/m", config_map(k="2"), "kubectl")
    assert answer["data"] == {"k": "2", "same": "s", "other": "x"}
    assert orjson.loads(answer["metadata"]["annotations"][ANNOTATION]) == config_map(k="2")


async def test_who_applies_what_is_not_there_must_be_allowed_to_create(api):
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["patch", "get"]}]
    rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
    await api("POST", f"{rbac}/roles", {"metadata": {"name": "r"}, "rules": rules})
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"}
    subjects = [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "u"}]
    await api("POST", f"{rbac}/rolebindings", {"metadata": {"name": "b"}, "roleRef": reference, "subjects": subjects})
    user = User("u", groups=("system:authenticated",))
    assert (await apply(api, f"{MAPS}/m", config_map(), user=user))[0] == 403
    await applied(api, f"{MAPS}/m", config_map())
    assert (await apply(api, f"{MAPS}/m", config_map(), user=user))[0] == 200


async def test_another_version_of_a_kind_is_applied_to_what_is_stored(api):
    event = {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": "e"},
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "reportingController": "x/y",
        "reportingInstance": "i",
        "action": "Do",
        "reason": "Because",
        "type": "Normal",
        "regarding": {"kind": "Pod", "namespace": "default", "name": "p"},
        "note": "n",
    }
    target = "/apis/events.k8s.io/v1/namespaces/default/events/e"
    assert (await applied(api, target, event))["note"] == "n"
    _, stored = await api("GET", "/api/v1/namespaces/default/events/e")
    assert (stored["message"], owners(stored)) == ("n", [("a", "Apply", "")])


@pytest.mark.parametrize("depth", [60, 200, 400, 3000])
async def test_deep_json_is_applied_or_refused(api, depth):
    revisions = "/apis/apps/v1/namespaces/default/controllerrevisions"
    codes = set()
    for leaf in (b"1", b"2"):
        data = b'{"a":' * depth + leaf + b"}" * depth
        head = b'{"apiVersion":"apps/v1","kind":"ControllerRevision","metadata":{"name":"r"},"revision":1,"data":'
        code, _ = await apply(api, f"{revisions}/r", head + data + b"}")
        codes.add(code)
        code, _ = await api("PATCH", f"{revisions}/r", {"metadata": {"labels": {"a": "b"}}}, content_type=MERGE)
        codes.add(code)
    assert max(codes) < 500
    assert depth > 60 or codes == {200, 201, 422}  # what a revision holds does not change


async def test_a_part_is_applied_and_only_the_part_is_owned(api):
    pods = "/api/v1/namespaces/default/pods"
    spec = {"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "1"}}}]}
    await api("POST", f"{pods}?fieldManager=x", {"metadata": {"name": "p"}, "spec": spec})
    container = {"name": "c", "image": "other", "resources": {"requests": {"cpu": "2"}}}
    wanted = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [container]}}
    answer = await applied(api, f"{pods}/p/resize", wanted, "me", "&force=true")
    (found,) = answer["spec"]["containers"]
    assert (found["image"], found["resources"]) == ("i", {"requests": {"cpu": "2"}})
    mine = answer["metadata"]["managedFields"][0]
    assert (mine["manager"], mine["subresource"]) == ("me", "resize")
    owned = mine["fieldsV1"]["f:spec"]["f:containers"]['k:{"name":"c"}']
    assert owned["f:resources"] == {"f:requests": {"f:cpu": {}}}
    assert "f:image" not in owned


async def test_a_manager_is_named_in_printable_characters(api):
    code, answer = await apply(api, f"{MAPS}/m", config_map(), "a%07b%0A")
    assert (code, [cause["message"] for cause in answer["details"]["causes"]]) == (
        422,
        [
            'Invalid value: "a\\u0007b\\n": invalid character U+0007 (at position 1)',
            'Invalid value: "a\\u0007b\\n": invalid character U+000A (at position 3)',
        ],
    )
