"""What queries may ask for together, and what is said of those that may not."""

import asyncio

import pytest

from pybernetes.api.objects import User

MAPS = "/api/v1/namespaces/default/configmaps"
MATCH = "resourceVersionMatch"
UNVERSIONED = f"{MATCH}: Forbidden: {MATCH} is forbidden unless resourceVersion is provided"
CONTINUED = f"{MATCH}: Forbidden: {MATCH} is forbidden when continue is provided"
UNSENT = f"{MATCH}: Forbidden: {MATCH} is forbidden for watch unless sendInitialEvents is provided"
UNMATCHED = f"{MATCH}: Forbidden: sendInitialEvents requires setting {MATCH} to NotOlderThan"
NO_NUMBER = 'resourceVersion: Invalid value: "abc": strconv.ParseUint: parsing "abc": invalid syntax'
BOB = User("bob", groups=("system:authenticated",))


def invalid(*faults):
    listed = faults[0] if len(faults) == 1 else f"[{', '.join(faults)}]"
    return 422, f'ListOptions.meta.k8s.io "" is invalid: {listed}'


def unsupported(value, *values):
    listed = ", ".join(f'"{one}"' for one in values)
    return f'{MATCH}: Unsupported value: "{value}": supported values: {listed}'


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        (f"{MATCH}=Exact", invalid(UNVERSIONED)),
        (f"{MATCH}=Exact&continue=x", invalid(UNVERSIONED, CONTINUED)),
        (f"{MATCH}=Foo&resourceVersion=1", invalid(unsupported("Foo", "Exact", "NotOlderThan", ""))),
        (f"{MATCH}=NotOlderThan&continue=x&resourceVersion=1", invalid(CONTINUED)),
        ("resourceVersion=abc", (400, NO_NUMBER)),
        ("continue=abc&resourceVersion=5", (400, "specifying resource version is not allowed when using continue")),
        ("timeout=abc", (400, 'invalid timeout specified in the request URL - time: invalid duration "abc"')),
        ("timeout=30", (400, 'invalid timeout specified in the request URL - time: missing unit in duration "30"')),
        ("timeout=1x", (400, 'invalid timeout specified in the request URL - time: unknown unit "x" in duration "1x"')),
    ],
)
async def test_a_list_refuses_what_does_not_go_together(api, query, answer):
    code, error = await api("GET", f"{MAPS}?{query}")
    assert (code, error["message"]) == answer


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        (f"{MATCH}=NotOlderThan", invalid(UNSENT)),
        (f"{MATCH}=Exact", invalid(UNSENT, unsupported("Exact", "NotOlderThan"))),
        ("sendInitialEvents=false", invalid(UNMATCHED)),
        (
            f"sendInitialEvents=true&{MATCH}=Exact",
            invalid(UNMATCHED, unsupported("Exact", "NotOlderThan")),
        ),
        (f"sendInitialEvents=true&{MATCH}=NotOlderThan&continue=x", invalid(CONTINUED)),
        ("resourceVersion=abc", (422, f'configmaps "" is invalid: {NO_NUMBER}')),
    ],
)
async def test_a_watch_refuses_what_does_not_go_together(api, query, answer):
    code, error = await api("GET", f"{MAPS}?watch=1&{query}")
    assert (code, error["message"]) == answer


async def test_a_streaming_list_without_bookmarks_has_no_mark_at_its_end(api):
    await api("POST", MAPS, {"metadata": {"name": "a"}})
    events = await api.watch(f"{MAPS}?watch=1&sendInitialEvents=true&{MATCH}=NotOlderThan")
    assert (await events.next())[0] == "ADDED"
    await api("POST", MAPS, {"metadata": {"name": "b"}})
    kind, obj = await events.next()
    assert (kind, obj["metadata"]["name"]) == ("ADDED", "b")


async def test_a_watch_from_the_future_is_silent_until_then(api):
    now = int((await api("GET", MAPS))[1]["metadata"]["resourceVersion"])
    events = await api.watch(f"{MAPS}?watch=1&resourceVersion={now + 2}")
    for name in "abcd":
        await api("POST", MAPS, {"metadata": {"name": name}})
    async with asyncio.timeout(5):
        assert (await events.next())[1]["metadata"]["name"] == "c"


async def test_a_streaming_list_from_the_future_says_so_in_the_stream(api):
    api.server.cache.wait_seconds = 0.01
    query = f"watch=1&resourceVersion=999999&sendInitialEvents=true&{MATCH}=NotOlderThan&allowWatchBookmarks=true"
    events = await api.watch(f"{MAPS}?{query}")
    kind, status = await events.next()
    assert (kind, status["code"], status["reason"]) == ("ERROR", 504, "Timeout")


@pytest.mark.parametrize("selector", ["metadata.name%3Db", "metadata.namespace%3Ddefault"])
async def test_a_watch_of_one_object_is_of_no_other(api, selector):
    code, error = await api("GET", f"/api/v1/watch/namespaces/default/configmaps/a?fieldSelector={selector}")
    assert (code, error["message"]) == (400, "fieldSelector metadata.name doesn't match requested name")


async def test_who_may_read_one_object_may_list_and_watch_it_by_name(api):
    rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
    rule = {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["a"]}
    verbs = ["get", "list", "watch", "deletecollection"]
    await api("POST", f"{rbac}/roles", {"metadata": {"name": "r"}, "rules": [{**rule, "verbs": verbs}]})
    group = "rbac.authorization.k8s.io"
    role, subject = {"apiGroup": group, "kind": "Role", "name": "r"}, {"apiGroup": group, "kind": "User", "name": "bob"}
    await api("POST", f"{rbac}/rolebindings", {"metadata": {"name": "r"}, "roleRef": role, "subjects": [subject]})
    for query, code in (
        ("fieldSelector=metadata.name%3Da", 200),
        ("fieldSelector=metadata.name%3Da&watch=1&timeoutSeconds=1", 200),
        ("fieldSelector=metadata.name%3Db", 403),
        ("fieldSelector=metadata.name%21%3Da", 403),
        ("", 403),
    ):
        assert (await api.send("GET", f"{MAPS}?{query}", user=BOB)).status == code, query
    assert (await api("DELETE", f"{MAPS}?fieldSelector=metadata.name%3Da", user=BOB))[0] == 403


@pytest.mark.parametrize(("value", "lines"), [("true", True), ("1", True), ("yes", False), ("0", False)])
async def test_pretty_is_a_boolean_of_go(api, value, lines):
    response = await api.send("GET", f"{MAPS}?pretty={value}")
    assert (b"\n  " in response.body) == lines


@pytest.mark.parametrize(
    ("path", "why"),
    [
        (MAPS, '"x" is not a known field selector: only "metadata.name", "metadata.namespace"'),
        ("/api/v1/pods", "field label not supported: x"),
        ("/apis/batch/v1/jobs", 'field label "x" not supported for batchv1.Job'),
        (
            "/apis/resource.k8s.io/v1/resourceslices",
            "field label not supported for resource.k8s.io/v1, Kind=ResourceSlice: x",
        ),
    ],
)
async def test_a_field_that_cannot_be_selected_is_refused_as_its_kind_does(api, path, why):
    code, error = await api("GET", f"{path}?fieldSelector=x%3Dy")
    assert (code, error["message"]) == (400, why)


async def test_no_object_of_the_cluster_is_in_a_namespace(api):
    path = "/apis/storage.k8s.io/v1/storageclasses"
    assert (await api("POST", path, {"metadata": {"name": "a"}, "provisioner": "p"}))[0] == 201
    for selector, count in (("metadata.namespace%3Ddefault", 0), ("metadata.namespace%3D", 1)):
        assert len((await api("GET", f"{path}?fieldSelector={selector}"))[1]["items"]) == count


async def test_methods_that_a_path_does_not_have_tell_nothing_of_it(api):
    for method in ("HEAD", "OPTIONS", "PUT"):
        code, error = await api(method, MAPS)
        assert (code, error["reason"], error["details"]) == (405, "MethodNotAllowed", {})


@pytest.mark.parametrize(("accepted", "zipped"), [("gzip", True), ("gzip;q=0", False), ("deflate, gzip;q=0.1", True)])
async def test_a_document_is_compressed_for_who_takes_that(api, accepted, zipped):
    response = await api.send("GET", "/openapi/v3/api/v1", accept_encoding=accepted)
    assert (response.headers.get("content-encoding") == "gzip") == zipped


@pytest.mark.parametrize("method", ["POST", "DELETE"])
@pytest.mark.parametrize("value", ["all", ""])
async def test_a_dry_run_is_all_or_none(api, method, value):
    code, error = await api(method, f"{MAPS}?dryRun={value}", {"metadata": {"name": "a"}} if method == "POST" else None)
    why = f'dryRun: Unsupported value: ["{value}"]: supported values: "All"'
    assert (code, error["message"].partition("is invalid: ")[2]) == (422, why)


async def test_an_object_of_a_namespace_is_not_watched_without_it(api):
    assert (await api("GET", "/api/v1/watch/configmaps/a"))[0] == 404
    for method in ("POST", "DELETE", "HEAD"):
        assert (await api(method, "/api/v1/watch/configmaps"))[0] == 405


async def test_revision_zero_names_none(api):
    given = {"metadata": {"name": "a", "resourceVersion": "0"}}
    assert (await api("POST", MAPS, given))[0] == 201
    assert (await api("PUT", f"{MAPS}/a", {**given, "data": {"a": "b"}}))[0] == 200
    code, _ = await api("PATCH", f"{MAPS}/a", given, content_type="application/merge-patch+json")
    assert code == 200
