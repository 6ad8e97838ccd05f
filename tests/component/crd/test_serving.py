"""Custom resources served by the common machinery: verbs, status, scale, tables, selectors, patches, watches."""

from tests.component.crd.definitions import WIDGETS, Api, crd_of, widget

SPEC = {
    "spec": {
        "type": "object",
        "properties": {
            "size": {"type": "integer", "default": 3},
            "color": {"type": "string"},
            "replicas": {"type": "integer"},
        },
    },
    "status": {"type": "object", "properties": {"phase": {"type": "string"}, "replicas": {"type": "integer"}}},
}


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
    assert (listed["kind"], len(listed["items"])) == ("WidgetList", 1)
    patched = await api.ok("PATCH", f"{WIDGETS}/one", {"spec": {"size": 5}})
    assert (patched["spec"]["size"], patched["metadata"]["generation"]) == (5, 2)
    await api.ok("DELETE", f"{WIDGETS}/one")
    assert (await api("GET", f"{WIDGETS}/one"))[0] == 404
