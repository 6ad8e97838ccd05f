"""Definitions over time: versions, changes, conflicts of names, deletion, other servers on the same store."""

import asyncio
from typing import Any

import orjson
import pytest
from tests.component.api import serving
from tests.component.crd.definitions import CRDS, WIDGETS, Api, crd_of, is_true, widget

from pybernetes.apiserver.crd import establishing

STRING = {"type": "string"}
ONE = "widgets.example.com"
DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


def spec_of(**properties: Any) -> dict[str, Any]:
    return {"spec": {"type": "object", "properties": properties}}


def two_versions() -> dict[str, Any]:
    crd = crd_of(spec_of(a=STRING, old={**STRING, "default": "o"}))
    later = crd_of(spec_of(a=STRING, new={**STRING, "default": "n"}))["spec"]["versions"][0]
    crd["spec"]["versions"].append({**later, "name": "v2", "storage": False})
    return crd


async def test_every_version_shows_the_same_objects_by_its_own_schema(api: Api) -> None:
    await api.define(two_versions())
    second = "/apis/example.com/v2/namespaces/default/widgets"
    body = {**widget(spec={"a": "x", "old": "lost"}), "apiVersion": "example.com/v2"}
    made = await api.ok("POST", second, body)
    assert (made["apiVersion"], made["spec"]) == ("example.com/v2", {"a": "x", "new": "n"})
    first = await api.ok("GET", f"{WIDGETS}/one")
    assert (first["apiVersion"], first["spec"]) == ("example.com/v1", {"a": "x", "old": "o"})
    assert first["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
    listed = await api.ok("GET", second)
    assert (listed["apiVersion"], listed["items"][0]["spec"]) == ("example.com/v2", {"a": "x", "new": "n"})
    stored = (await api.store.get("/registry/example.com/widgets/default/one")).value  # type: ignore[union-attr]
    assert b'"apiVersion":"example.com/v1"' in stored
    assert b'"new"' not in stored


async def test_the_stored_version_may_change(api: Api) -> None:
    await api.define(two_versions())
    await api.ok("POST", WIDGETS, widget(spec={"a": "x", "old": "mine"}))

    def swap(spec: dict[str, Any]) -> None:
        for version in spec["versions"]:
            version["storage"] = not version["storage"]

    crd = await api.change(ONE, swap)
    assert crd["status"]["storedVersions"] == ["v1", "v2"]
    assert crd["metadata"]["generation"] == 2
    got = await api.ok("GET", "/apis/example.com/v2/namespaces/default/widgets/one")
    assert got["spec"] == {"a": "x", "new": "n"}


async def test_a_version_that_is_not_served_is_gone(api: Api) -> None:
    await api.define(two_versions())
    assert (await api("GET", "/apis/example.com/v2/widgets"))[0] == 200
    await api.change(ONE, lambda spec: spec["versions"][1].update(served=False))
    assert (await api("GET", "/apis/example.com/v2/widgets"))[0] == 404
    assert (await api("GET", "/apis/example.com/v2"))[0] == 404
    await api.change(
        ONE, lambda spec: (spec["versions"][0].update(served=False), spec["versions"][1].update(served=True))
    )  # type: ignore[arg-type,func-returns-value]
    body = {**widget(spec={"a": "x"}), "apiVersion": "example.com/v2"}
    assert (await api.ok("POST", "/apis/example.com/v2/namespaces/default/widgets", body))["spec"]["new"] == "n"


async def test_a_deprecated_version_says_so(api: Api) -> None:
    crd = two_versions()
    crd["spec"]["versions"][1]["deprecated"] = True
    await api.define(crd)
    response = await api.send("GET", "/apis/example.com/v2/widgets")
    assert response.headers.get("warning") == '299 - "example.com/v2 Widget is deprecated"'
    assert not (await api.send("GET", "/apis/example.com/v1/widgets")).headers.get("warning")


async def test_another_version_needs_a_converter_where_one_is_declared(api: Api) -> None:
    crd = two_versions()
    service = {"namespace": "default", "name": "converter"}
    webhook = {"clientConfig": {"service": service}, "conversionReviewVersions": ["v1"]}
    crd["spec"]["conversion"] = {"strategy": "Webhook", "webhook": webhook}
    made = await api.define(crd)
    assert made["spec"]["conversion"]["webhook"]["clientConfig"]["service"]["port"] == 443
    assert (await api("GET", "/apis/example.com/v1/widgets"))[0] == 200
    code, answer = await api("GET", "/apis/example.com/v2/widgets")
    assert code == 400
    assert "conversion webhooks are not called" in answer["message"]


async def test_new_defaults_show_in_old_objects(api: Api) -> None:
    await api.define(crd_of(spec_of(a=STRING)))
    old = await api.ok("POST", WIDGETS, widget(spec={"a": "x"}))

    def more(spec: dict[str, Any]) -> None:
        properties = spec["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
        properties["b"] = {**STRING, "default": "later"}

    seen = await api.watch(f"{WIDGETS}?watch=1&resourceVersion={old['metadata']['resourceVersion']}")
    await api.change(ONE, more)
    with pytest.raises(StopAsyncIteration):
        await seen.next()  # upstream ends them as well: their schema is no more
    got = await api.ok("GET", f"{WIDGETS}/one")
    assert got["spec"] == {"a": "x", "b": "later"}
    assert got["metadata"]["resourceVersion"] == old["metadata"]["resourceVersion"]
    assert (await api.ok("GET", WIDGETS))["items"][0]["spec"] == got["spec"]
    fresh = await api.watch(f"{WIDGETS}?watch=1")
    assert (await fresh.next())[1]["spec"] == got["spec"]


async def test_names_that_are_taken_are_not_accepted(api: Api) -> None:
    await api.define(crd_of())
    rival = crd_of()
    rival["metadata"]["name"] = "gadgets.example.com"
    rival["spec"]["names"] = {"plural": "gadgets", "kind": "Widget", "shortNames": ["wd"]}
    await api.ok("POST", CRDS, rival)

    async def judged() -> Any:
        crd = await api.ok("GET", f"{CRDS}/gadgets.example.com")
        return crd if crd["status"].get("conditions") else None

    crd = await api.until(judged)
    conditions = {one["type"]: one for one in crd["status"]["conditions"]}
    assert conditions["NamesAccepted"]["status"] == "False"
    assert conditions["NamesAccepted"]["message"] == '"WidgetList" is already in use'
    assert conditions["NamesAccepted"]["reason"] == "ListKindConflict"
    assert (conditions["Established"]["status"], conditions["Established"]["reason"]) == ("False", "NotAccepted")
    assert crd["status"]["acceptedNames"]["plural"] == "gadgets"
    assert (await api("GET", "/apis/example.com/v1/gadgets"))[0] == 404
    await api.ok("DELETE", f"{CRDS}/{ONE}")
    crd = await api.established("gadgets.example.com")
    assert crd["status"]["acceptedNames"]["shortNames"] == ["wd"]
    assert (await api("GET", "/apis/example.com/v1/gadgets"))[0] == 200


async def test_a_definition_takes_its_objects_with_it(api: Api) -> None:
    await api.define(crd_of())
    kept = widget("kept")
    kept["metadata"]["finalizers"] = ["example.com/wait"]
    await api.ok("POST", WIDGETS, kept)
    await api.ok("POST", WIDGETS, widget("gone"))
    answer = await api.ok("DELETE", f"{CRDS}/{ONE}")
    assert answer["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]

    async def ending() -> Any:
        names = [one["metadata"]["name"] for one in (await api.ok("GET", WIDGETS))["items"]]
        return names == ["kept"]

    await api.until(ending)
    crd = await api.ok("GET", f"{CRDS}/{ONE}")
    terminating = next(one for one in crd["status"]["conditions"] if one["type"] == "Terminating")
    assert (terminating["status"], terminating["reason"]) == ("True", "InstanceDeletionInProgress")
    code, answer = await api("POST", WIDGETS, widget("late"))
    assert (code, answer["message"]) == (405, "create not allowed while custom resource definition is terminating")
    row = (await api.ok("GET", "/apis/example.com/v1"))["resources"][0]
    assert row["verbs"] == ["delete", "deletecollection", "get", "list", "watch"]
    seen = await api.watch(f"{CRDS}?watch=1&resourceVersion={crd['metadata']['resourceVersion']}")
    await api.ok("PATCH", f"{WIDGETS}/kept", {"metadata": {"finalizers": None}})
    kinds = []
    while not kinds or kinds[-1][0] != "DELETED":
        kinds.append(await seen.next())
    done = next(one for one in kinds[-1][1]["status"]["conditions"] if one["type"] == "Terminating")
    assert (done["status"], done["reason"]) == ("False", "InstanceDeletionCompleted")

    async def gone() -> bool:
        return bool((await api("GET", WIDGETS))[0] == 404)

    await api.until(gone)
    assert (await api("GET", "/apis/example.com"))[0] == 404
    await api.define(crd_of())
    assert (await api.ok("GET", WIDGETS))["items"] == []


async def test_what_is_built_in_is_never_hidden(api: Api) -> None:
    crd = crd_of(spec_of(a=STRING))
    crd["metadata"] = {
        "name": "ingresses.networking.k8s.io",
        "annotations": {"api-approved.kubernetes.io": "unapproved, a test"},
    }
    crd["spec"] |= {"group": "networking.k8s.io", "names": {"plural": "ingresses", "kind": "Fake"}}
    await api.define(crd)
    row = next(
        one for one in (await api.ok("GET", "/apis/networking.k8s.io/v1"))["resources"] if one["name"] == "ingresses"
    )
    assert row["kind"] == "Ingress"


async def test_discovery_follows(api: Api) -> None:
    await api.define(two_versions())
    groups = (await api.ok("GET", "/apis"))["groups"]
    mine = next(one for one in groups if one["name"] == "example.com")
    assert [one["version"] for one in mine["versions"]] == ["v2", "v1"]
    assert mine["preferredVersion"] == {"groupVersion": "example.com/v2", "version": "v2"}
    row = (await api.ok("GET", "/apis/example.com/v1"))["resources"][0]
    assert row == {
        "name": "widgets",
        "singularName": "widget",
        "namespaced": True,
        "kind": "Widget",
        "verbs": ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"],
        "shortNames": ["wd"],
        "categories": ["all"],
        "storageVersionHash": row["storageVersionHash"],
    }
    both = await api.ok("GET", "/apis", accept=DISCOVERY)
    found = next(one for one in both["items"] if one["metadata"]["name"] == "example.com")
    assert [one["version"] for one in found["versions"]] == ["v2", "v1"]
    assert found["versions"][0]["resources"][0]["resource"] == "widgets"


async def test_every_server_on_the_store_serves_it(api: Api) -> None:
    async with serving(Api, store=api.store, account=False, seed=2) as there:
        await api.define(crd_of(spec_of(a=STRING)))
        await there.established(ONE)

        async def served() -> bool:
            return bool((await there("GET", WIDGETS))[0] == 200)

        await there.until(served)
        await there.ok("POST", WIDGETS, widget(spec={"a": "x"}))
        assert (await api.ok("GET", f"{WIDGETS}/one"))["spec"] == {"a": "x"}
        crd = await there.ok("GET", f"{CRDS}/{ONE}")
        assert [one["type"] for one in crd["status"]["conditions"]] == ["NamesAccepted", "Established"]
        await api.ok("DELETE", f"{CRDS}/{ONE}")

        async def gone() -> bool:
            return (await there("GET", WIDGETS))[0] == 404 and (await api("GET", WIDGETS))[0] == 404

        await there.until(gone)


async def test_a_server_that_begins_serves_what_was_defined(api: Api) -> None:
    await api.define(crd_of(spec_of(a={**STRING, "default": "x"})))
    await api.ok("POST", WIDGETS, widget(spec={}))
    async with serving(Api, store=api.store, account=False, seed=2) as there:
        assert (await there.ok("GET", f"{WIDGETS}/one"))["spec"] == {"a": "x"}


async def test_conditions_of_others_stay(api: Api) -> None:
    await api.define(crd_of())
    mine = {"type": "Mine", "status": "True", "reason": "Test", "message": "", "lastTransitionTime": None}
    crd = await api.ok("GET", f"{CRDS}/{ONE}")
    crd["status"]["conditions"].append(mine)
    crd = await api.ok("PUT", f"{CRDS}/{ONE}/status", crd)
    await api.change(ONE, lambda spec: spec["names"].update(categories=["some"]))

    async def renamed() -> Any:
        found = await api.ok("GET", f"{CRDS}/{ONE}")
        return found if found["status"]["acceptedNames"].get("categories") == ["some"] else None

    crd = await api.until(renamed)
    assert is_true(crd, "Mine")
    assert is_true(crd, "Established")


def raw(crd: dict[str, Any]) -> bytes:
    """A definition as the store keeps it, whatever rules say of it today."""
    metadata = {**crd["metadata"], "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z", "generation": 1}
    head = {"kind": "CustomResourceDefinition", "apiVersion": "apiextensions.k8s.io/v1", "metadata": metadata}
    return orjson.dumps({**head, "spec": crd["spec"], "status": {"conditions": [], "storedVersions": ["v1"]}})


KEY = "/registry/apiextensions.k8s.io/customresourcedefinitions/"


async def test_what_was_stored_before_a_rule_may_be_kept(api: Api) -> None:
    tags = {
        "type": "array",
        "x-kubernetes-list-type": "set",
        "items": {"type": "object", "properties": {"a": STRING}},
    }
    crd = crd_of({"tags": tags})
    crd["spec"]["names"] |= {"singular": "widget", "listKind": "WidgetList"}
    await api.store.create(KEY + ONE, raw(crd))
    made = await api.established(ONE)
    made["spec"]["names"]["categories"] = ["some"]
    await api.ok("PUT", f"{CRDS}/{ONE}", made)
    rival = crd_of({"tags": tags})
    rival["spec"]["names"] = {"plural": "gadgets", "kind": "Gadget"}
    rival["metadata"]["name"] = "gadgets.example.com"
    assert (await api("POST", CRDS, rival))[0] == 422


async def test_a_definition_that_is_none_harms_nobody(api: Api) -> None:
    broken = crd_of()
    broken["spec"] = {"group": "example.com"}
    broken["metadata"]["name"] = "broken.example.com"
    await api.store.create(KEY + "broken.example.com", raw(broken))
    await api.define(crd_of())
    assert (await api("GET", WIDGETS))[0] == 200


async def test_a_definition_that_goes_may_still_be_changed(api: Api) -> None:
    await api.define(crd_of())
    await api.ok("POST", WIDGETS, {**widget(), "metadata": {"name": "one", "finalizers": ["example.com/held"]}})
    gone = await api.ok("DELETE", f"{CRDS}/{ONE}")
    assert gone["metadata"]["generation"] == 1
    assert "deletionGracePeriodSeconds" not in gone["metadata"]
    changed = await api.ok("PATCH", f"{CRDS}/{ONE}", {"metadata": {"labels": {"a": "b"}}})
    assert changed["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]


@pytest.mark.parametrize("policy", ["Foreground", "Orphan", "Background"])
async def test_the_objects_of_a_definition_go_whatever_the_policy(api: Api, policy: str) -> None:
    crd = crd_of()
    crd["metadata"]["finalizers"] = ["example.com/mine"]
    await api.define(crd)
    await api.ok("POST", WIDGETS, widget())
    code, gone = await api("DELETE", f"{CRDS}/{ONE}?propagationPolicy={policy}")
    assert code == (202 if policy == "Foreground" else 200)
    assert gone["metadata"]["finalizers"] == ["example.com/mine", "customresourcecleanup.apiextensions.k8s.io"]
    assert is_true(gone, "Terminating")

    async def only_mine() -> bool:
        return bool((await api.ok("GET", f"{CRDS}/{ONE}"))["metadata"]["finalizers"] == ["example.com/mine"])

    await api.until(only_mine)
    assert await api.store.get("/registry/example.com/widgets/default/one") is None
    await api.ok("PATCH", f"{CRDS}/{ONE}", {"metadata": {"finalizers": None}})
    assert (await api("GET", f"{CRDS}/{ONE}"))[0] == 404


@pytest.mark.timeout(20)
async def test_rivals_for_a_name_do_not_wake_each_other_forever(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    judged: list[str] = []
    one = establishing._accepted
    monkeypatch.setattr(
        establishing, "_accepted", lambda spec, *rest: (judged.append(spec["plural"]), one(spec, *rest))[1]
    )
    for plural in ("as", "bs", "cs"):
        crd = crd_of()
        crd["metadata"]["name"], crd["spec"]["names"] = f"{plural}.example.com", {"plural": plural, "kind": "Same"}
        await api.ok("POST", CRDS, crd)
    for _ in range(300):
        await asyncio.sleep(0)
    conditions = [await api.ok("GET", f"{CRDS}/{plural}.example.com") for plural in ("as", "bs", "cs")]
    assert [is_true(crd, "Established") for crd in conditions] == [True, False, False]
    assert len(judged) < 12
    await api.ok("DELETE", f"{CRDS}/as.example.com")
    await api.established("bs.example.com")
