"""Custom resources served by the common machinery: verbs, status, scale, tables, selectors, patches, watches."""

from typing import Any

from tests.component.crd.definitions import CRDS, WIDGETS, Api, crd_of, widget

STRING = {"type": "string"}
INTEGER = {"type": "integer"}
SPEC: dict[str, Any] = {
    "spec": {
        "type": "object",
        "properties": {"size": {**INTEGER, "default": 3}, "color": STRING, "replicas": INTEGER},
    },
    "status": {"type": "object", "properties": {"phase": STRING, "replicas": INTEGER, "selector": STRING}},
}
PARTS = {
    "status": {},
    "scale": {
        "specReplicasPath": ".spec.replicas",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    },
}
TABLE = "application/json;as=Table;g=meta.k8s.io;v=v1"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"


async def test_a_definition_is_established_and_its_objects_are_served(api: Api) -> None:
    crd = await api.define(crd_of(SPEC))
    assert crd["status"]["acceptedNames"] == {
        "plural": "widgets",
        "singular": "widget",
        "kind": "Widget",
        "listKind": "WidgetList",
        "shortNames": ["wd"],
        "categories": ["all"],
    }
    assert crd["status"]["storedVersions"] == ["v1"]
    made = await api.ok("POST", WIDGETS, widget(spec={"color": "red", "unknown": 1}))
    assert made["spec"] == {"color": "red", "size": 3}
    assert made["metadata"]["generation"] == 1
    assert await api.ok("GET", f"{WIDGETS}/one") == made
    listed = await api.ok("GET", "/apis/example.com/v1/widgets")
    assert (listed["kind"], listed["items"]) == ("WidgetList", [made])
    patched = await api.ok("PATCH", f"{WIDGETS}/one", {"spec": {"size": 5}})
    assert (patched["spec"]["size"], patched["metadata"]["generation"]) == (5, 2)
    await api.ok("DELETE", f"{WIDGETS}/one")
    assert (await api("GET", f"{WIDGETS}/one"))[0] == 404


async def test_nothing_is_served_before_its_definition(api: Api) -> None:
    code, answer = await api("GET", WIDGETS)
    assert (code, answer["message"]) == (404, "the server could not find the requested resource")


async def test_an_object_that_does_not_fit_is_refused_with_all_its_faults(api: Api) -> None:
    await api.define(crd_of(SPEC))
    found = await api.faults("POST", WIDGETS, widget(spec={"size": "big", "color": 1}))
    assert sorted(found) == [
        'spec.color: Invalid value: "integer": spec.color in body must be of type string: "integer"',
        'spec.size: Invalid value: "string": spec.size in body must be of type integer: "string"',
    ]
    code, answer = await api("POST", WIDGETS, widget("UPPER"))
    assert (code, answer["details"]["kind"], answer["details"]["group"]) == (422, "Widget", "example.com")


async def test_status_is_apart_where_it_is_a_subresource(api: Api) -> None:
    await api.define(crd_of(SPEC, subresources=PARTS))
    made = await api.ok("POST", WIDGETS, widget(spec={"color": "a"}, status={"phase": "New"}))
    assert "status" not in made
    status = {**made, "metadata": {**made["metadata"], "labels": {"a": "b"}}, "status": {"phase": "Up"}, "spec": {}}
    answer = await api.ok("PUT", f"{WIDGETS}/one/status", status)
    assert answer["status"] == {"phase": "Up"}
    assert answer["spec"] == made["spec"]
    assert "labels" not in answer["metadata"]
    assert answer["metadata"]["generation"] == 1
    main = await api.ok("PATCH", f"{WIDGETS}/one", {"spec": {"color": "b"}, "status": {"phase": "Down"}})
    assert (main["status"], main["metadata"]["generation"]) == ({"phase": "Up"}, 2)
    found = await api.faults("PATCH", f"{WIDGETS}/one/status", {"status": {"phase": 1}})
    assert found == ['status.phase: Invalid value: "integer": phase in body must be of type string: "integer"']
    found = await api.faults("PATCH", f"{WIDGETS}/one/status", {"status": {"replicas": -1}})
    assert found == [".status.replicas: Invalid value: -1: should be a non-negative integer"]


async def test_status_is_a_field_as_any_other_where_it_is_not(api: Api) -> None:
    await api.define(crd_of(SPEC))
    made = await api.ok("POST", WIDGETS, widget(status={"phase": "New"}))
    assert made["status"] == {"phase": "New"}
    changed = await api.ok("PATCH", f"{WIDGETS}/one", {"status": {"phase": "Up"}})
    assert (changed["status"], changed["metadata"]["generation"]) == ({"phase": "Up"}, 2)
    labelled = await api.ok("PATCH", f"{WIDGETS}/one", {"metadata": {"labels": {"a": "b"}}})
    assert labelled["metadata"]["generation"] == 2
    assert (await api("GET", f"{WIDGETS}/one/status"))[0] == 404
    assert (await api("PATCH", f"{WIDGETS}/one", {"status": {"phase": 1}}))[0] == 422


async def test_scale_is_a_window_on_the_declared_paths(api: Api) -> None:
    await api.define(crd_of(SPEC, subresources=PARTS))
    await api.ok("POST", WIDGETS, widget(spec={"replicas": 2}))
    await api.ok("PATCH", f"{WIDGETS}/one/status", {"status": {"replicas": 1, "selector": "a=b"}})
    scale = await api.ok("GET", f"{WIDGETS}/one/scale")
    assert (scale["kind"], scale["apiVersion"]) == ("Scale", "autoscaling/v1")
    assert (scale["spec"], scale["status"]) == ({"replicas": 2}, {"replicas": 1, "selector": "a=b"})
    scale["spec"]["replicas"] = 5
    assert (await api.ok("PUT", f"{WIDGETS}/one/scale", scale))["spec"] == {"replicas": 5}
    assert (await api.ok("PATCH", f"{WIDGETS}/one/scale", {"spec": {"replicas": 7}}))["spec"] == {"replicas": 7}
    assert (await api.ok("GET", f"{WIDGETS}/one"))["spec"]["replicas"] == 7
    found = await api.faults("POST", WIDGETS, widget("two", spec={"replicas": -1}))
    assert found == [".spec.replicas: Invalid value: -1: should be a non-negative integer"]


async def test_columns_are_those_of_the_definition(api: Api) -> None:
    columns = [
        {"name": "Color", "type": "string", "jsonPath": ".spec.color"},
        {"name": "Size", "type": "integer", "jsonPath": ".spec.size", "description": "How big."},
        {"name": "Tags", "type": "string", "jsonPath": ".spec.tags", "priority": 1},
        {"name": "Since", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]
    properties = {"spec": {**SPEC["spec"], "x-kubernetes-preserve-unknown-fields": True}}
    await api.define(crd_of(properties, additionalPrinterColumns=columns))
    await api.ok("POST", WIDGETS, widget(spec={"tags": ["a", {"b": 1}]}))
    table = await api.ok("GET", WIDGETS, accept=TABLE)
    shown = [(one["name"], one["type"], one["priority"]) for one in table["columnDefinitions"]]
    assert shown == [
        *[("Name", "string", 0), ("Color", "string", 0), ("Size", "integer", 0), ("Tags", "string", 1)],
        ("Since", "date", 0),
    ]
    texts = [one["description"] for one in table["columnDefinitions"][1:3]]
    assert texts == ["Custom resource definition column (in JSONPath format): .spec.color", "How big."]
    cells = table["rows"][0]["cells"]
    assert cells[:4] == ["one", None, 3, '["a",{"b":1}]']
    assert cells[4].endswith("s")


async def test_rows_follow_a_definition_whose_columns_change(api: Api) -> None:
    def color_and(*more: str) -> list[dict[str, Any]]:
        return [{"name": name, "type": "string", "jsonPath": f".spec.{name}"} for name in ("color", *more)]

    async def shown() -> tuple[list[str], list[list[Any]]]:
        table = await api.ok("GET", WIDGETS, accept=TABLE)
        names = [one["name"] for one in table["columnDefinitions"]]
        return names, [row["cells"] for row in table["rows"]]

    properties = {"spec": {**SPEC["spec"], "x-kubernetes-preserve-unknown-fields": True}}
    await api.define(crd_of(properties, additionalPrinterColumns=color_and()))
    for name in ("one", "two"):
        await api.ok("POST", WIDGETS, widget(name, spec={"color": "red", "shade": "dark"}))
    assert await shown() == (["Name", "color"], [["one", "red"], ["two", "red"]])
    first = await api.watch(f"{WIDGETS}?watch=1", accept=TABLE)
    assert [(await first.next())[1]["rows"][0]["cells"] for _ in range(2)] == [["one", "red"], ["two", "red"]]

    async def change(columns: list[dict[str, Any]]) -> None:
        def set_them(spec: dict[str, Any]) -> None:
            spec["versions"][0]["additionalPrinterColumns"] = columns

        await api.change("widgets.example.com", set_them)

    await change(color_and("shade"))
    assert (await shown())[1] == [["one", "red", "dark"], ["two", "red", "dark"]]
    await change([{"name": "color", "type": "string", "jsonPath": ".spec.shade"}])
    assert (await shown())[1] == [["one", "dark"], ["two", "dark"]], (
        "a column of the same name that shows another field"
    )
    second = await api.watch(f"{WIDGETS}?watch=1", accept=TABLE)
    await api.ok("PATCH", f"{WIDGETS}/two", {"spec": {"shade": "light"}}, content_type="application/merge-patch+json")
    assert [(await second.next())[1]["rows"][0]["cells"][1] for _ in range(3)] == ["dark", "dark", "light"]
    await first.close()
    await second.close()


async def test_without_columns_the_age_is_shown(api: Api) -> None:
    await api.define(crd_of(SPEC))
    await api.ok("POST", WIDGETS, widget())
    table = await api.ok("GET", f"{WIDGETS}/one", accept=TABLE)
    assert [one["name"] for one in table["columnDefinitions"]] == ["Name", "Age"]
    partial = await api.ok(
        "GET", f"{WIDGETS}/one", accept="application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
    )
    assert partial["kind"] == "PartialObjectMetadata"


async def test_declared_fields_select_in_lists_watches_and_deletions(api: Api) -> None:
    fields = [{"jsonPath": ".spec.color"}, {"jsonPath": ".spec.size"}]
    await api.define(crd_of(SPEC, selectableFields=fields))
    for name, color in (("a", "red"), ("b", "blue"), ("c", "red")):
        await api.ok("POST", WIDGETS, widget(name, spec={"color": color}))
    listed = await api.ok("GET", f"{WIDGETS}?fieldSelector=spec.color%3Dred,spec.size%3D3")
    assert [one["metadata"]["name"] for one in listed["items"]] == ["a", "c"]
    seen = await api.watch(f"{WIDGETS}?watch=1&fieldSelector=spec.color%3Dblue")
    assert (await seen.next())[1]["metadata"]["name"] == "b"
    await api.ok("PATCH", f"{WIDGETS}/a", {"spec": {"color": "blue"}})
    assert (await seen.next())[0] == "ADDED"
    await api.ok("PATCH", f"{WIDGETS}/b", {"spec": {"color": "red"}})
    kind, obj = await seen.next()
    assert (kind, obj["metadata"]["name"]) == ("DELETED", "b")
    await api.ok("DELETE", f"{WIDGETS}?fieldSelector=spec.color%3Dred")
    assert [one["metadata"]["name"] for one in (await api.ok("GET", WIDGETS))["items"]] == ["a"]
    code, answer = await api("GET", f"{WIDGETS}?fieldSelector=spec.other%3Dx")
    assert (code, answer["message"]) == (400, "field label not supported: spec.other")


async def test_patches_are_json_and_merge_and_apply(api: Api) -> None:
    await api.define(crd_of(SPEC))
    await api.ok("POST", WIDGETS, widget(spec={"color": "a"}))
    operations = [{"op": "replace", "path": "/spec/color", "value": "b"}]
    assert (await api.ok("PATCH", f"{WIDGETS}/one", operations, content_type=JSON_PATCH))["spec"]["color"] == "b"
    code, answer = await api("PATCH", f"{WIDGETS}/one", {}, content_type="application/strategic-merge-patch+json")
    assert code == 415, answer
    code, answer = await api("PATCH", f"{WIDGETS}/one", {"spec": {"color": 3}})
    assert code == 422
    url = f"{WIDGETS}/two?fieldManager=me"
    made = await api.ok("PATCH", url, widget("two", spec={"color": "c"}), content_type=APPLY)
    assert made["spec"] == {"color": "c", "size": 3}
    assert made["metadata"]["managedFields"][0]["fieldsV1"] == {"f:spec": {"f:color": {}}}


async def test_put_needs_a_revision(api: Api) -> None:
    await api.define(crd_of(SPEC))
    made = await api.ok("POST", WIDGETS, widget())
    found = await api.faults("PUT", f"{WIDGETS}/one", widget(spec={}))
    assert found == ["metadata.resourceVersion: Invalid value: 0: must be specified for an update"]
    assert (await api.ok("PUT", f"{WIDGETS}/one", {**made, "spec": {"size": 9}}))["spec"]["size"] == 9


STRICT = 'Widget in version "v1" cannot be handled as a Widget: strict decoding error: '


async def test_unknown_and_duplicate_fields_follow_field_validation(api: Api) -> None:
    await api.define(crd_of({**SPEC, "template": EMBEDDED}))
    template = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "nope": 1}}
    body = widget(spec={"x": 1, "size": 1}, template=template, other=1)
    code, answer = await api("POST", f"{WIDGETS}?fieldValidation=Strict", body)
    assert (code, answer["message"]) == (
        400,
        f'{STRICT}unknown field "other", unknown field "spec.x", unknown field "template.metadata.nope"',
    )
    response = await api.send("POST", f"{WIDGETS}?fieldValidation=Warn", body)
    assert response.status == 201
    assert '299 - "unknown field \\"spec.x\\""' in response.headers.all("warning")
    raw = b'{"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"z"},"spec":{"size":1,"size":2}}'
    code, answer = await api("POST", f"{WIDGETS}?fieldValidation=Strict", raw, content_type="application/json")
    assert (code, answer["message"]) == (400, f'{STRICT}duplicate field "spec.size"')
    text = b"apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: y}\nspec: {size: 4}\n"
    assert (await api.ok("POST", WIDGETS, text, content_type="application/yaml"))["spec"] == {"size": 4}


EMBEDDED = {
    "type": "object",
    "x-kubernetes-embedded-resource": True,
    "x-kubernetes-preserve-unknown-fields": True,
}


async def test_nothing_custom_is_protobuf(api: Api) -> None:
    await api.define(crd_of(SPEC))
    await api.ok("POST", WIDGETS, widget())
    protobuf = "application/vnd.kubernetes.protobuf"
    assert (await api("GET", WIDGETS, accept=protobuf))[0] == 406
    assert (await api.ok("GET", WIDGETS, accept=f"{protobuf},application/json"))["kind"] == "WidgetList"
    assert (await api("POST", WIDGETS, b"k8s\0", content_type=protobuf))[0] == 415


async def test_updates_need_not_mend_what_was_stored(api: Api) -> None:
    await api.define(crd_of(SPEC))
    await api.ok("POST", WIDGETS, widget(spec={"color": "a long one", "size": 1}))

    def shorter(spec: dict[str, Any]) -> None:
        schema = spec["versions"][0]["schema"]["openAPIV3Schema"]
        schema["properties"]["spec"]["properties"]["color"]["maxLength"] = 3

    await api.change("widgets.example.com", shorter)
    assert (await api.ok("PATCH", f"{WIDGETS}/one", {"spec": {"size": 2}}))["spec"]["size"] == 2
    found = await api.faults("PATCH", f"{WIDGETS}/one", {"spec": {"color": "longer"}})
    assert found == ["spec.color: Too long: may not be more than 3 bytes"]


async def test_metadata_is_that_of_any_object(api: Api) -> None:
    await api.define(crd_of(SPEC))
    body = widget(spec={"color": "a"})
    body["metadata"] |= {"labels": None, "generateName": "x-", "finalizers": ["no-domain"], "annotations": {"a": "b"}}
    response = await api.send("POST", WIDGETS, body)
    assert response.status == 201
    assert "prefer a domain-qualified finalizer name" in response.headers.get("warning")
    made = await api.ok("GET", f"{WIDGETS}/one")
    assert "labels" not in made["metadata"]
    await api.ok("DELETE", f"{WIDGETS}/one")
    assert (await api.ok("GET", f"{WIDGETS}/one"))["metadata"]["deletionTimestamp"]
    await api.ok("PATCH", f"{WIDGETS}/one", {"metadata": {"finalizers": None}})
    assert (await api("GET", f"{WIDGETS}/one"))[0] == 404


async def test_dry_runs_store_nothing(api: Api) -> None:
    await api.define(crd_of(SPEC))
    made = await api.ok("POST", f"{WIDGETS}?dryRun=All", widget())
    assert made["metadata"]["uid"]
    assert (await api("GET", f"{WIDGETS}/one"))[0] == 404
    assert (await api.ok("POST", f"{CRDS}?dryRun=All", renamed("gadgets")))["status"]["storedVersions"] == ["v1"]
    assert (await api("GET", f"{CRDS}/gadgets.example.com"))[0] == 404


async def test_cluster_scoped_objects_have_no_namespace(api: Api) -> None:
    await api.define(crd_of(SPEC, scope="Cluster"))
    made = await api.ok("POST", "/apis/example.com/v1/widgets", widget())
    assert "namespace" not in made["metadata"]
    assert (await api("GET", WIDGETS))[0] == 404
    assert (await api.ok("GET", "/apis/example.com/v1/widgets/one")) == made


async def test_names_may_be_restricted_by_the_schema(api: Api) -> None:
    await api.define(crd_of({"metadata": {"type": "object", "properties": {"name": {**STRING, "maxLength": 3}}}}))
    await api.ok("POST", WIDGETS, widget("abc"))
    assert await api.faults("POST", WIDGETS, widget("abcd")) == [
        "metadata.name: Too long: may not be more than 3 bytes"
    ]


async def test_numbers_are_kept_as_go_keeps_them(api: Api) -> None:
    await api.define(crd_of(root={"x-kubernetes-preserve-unknown-fields": True}))
    raw = b"""{"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"one"},
        "a":1.0,"b":9223372036854775807,"c":1e3,"d":0.1,"e":1e30,"f":[2.50]}"""
    made = await api.ok("POST", WIDGETS, raw, content_type="application/json")
    assert [repr(made[name]) for name in "abcdef"] == ["1", "9223372036854775807", "1000", "0.1", "1e+30", "[2.5]"]
    text = b"apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: two}\na: 100000000000000000000000000\n"
    made = await api.ok("POST", WIDGETS, text, content_type="application/yaml")
    assert made["a"] == 1e26


def renamed(plural: str) -> dict[str, Any]:
    crd = crd_of(SPEC)
    crd["metadata"]["name"] = f"{plural}.example.com"
    crd["spec"]["names"] = {"plural": plural, "kind": plural.title()}
    return crd
