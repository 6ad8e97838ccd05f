"""CustomResourceDefinitions themselves: what they may declare, and what is said where they may not."""

from typing import Any

import pytest
from tests.component.crd.definitions import CRDS, Api, crd_of

from pybernetes.api import schema as schema_types
from pybernetes.api.objects import GroupVersionKind
from pybernetes.wire.codecs import protobuf

DEFINITION = GroupVersionKind("apiextensions.k8s.io", "v1", "CustomResourceDefinition")

STRING = {"type": "string"}
V = "spec.validation.openAPIV3Schema"
PRESERVE = "x-kubernetes-preserve-unknown-fields"
LIST = {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]}


def with_spec(**changes: Any) -> dict[str, Any]:
    crd = crd_of({"a": STRING})
    crd["spec"] |= changes
    return crd


def with_version(**changes: Any) -> dict[str, Any]:
    return crd_of({"a": STRING}, **changes)


def with_names(**changes: Any) -> dict[str, Any]:
    crd = crd_of({"a": STRING})
    crd["spec"]["names"] |= changes
    return crd


def item(**more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"k": STRING}, "required": ["k"], **more}


SCHEMAS: list[tuple[str, dict[str, Any], list[str]]] = [
    ("untyped", {"a": {}}, [f"{V}.properties[a].type: Required value: must not be empty for specified object fields"]),
    (
        "untyped item",
        {"a": {"type": "array", "items": {}}},
        [f"{V}.properties[a].items.type: Required value: must not be empty for specified array items"],
    ),
    ("array without items", {"a": {"type": "array"}}, [f"{V}.properties[a].items: Required value: must be specified"]),
    (
        "unknown type",
        {"a": {"type": "text"}},
        [
            f'{V}.properties[a].type: Unsupported value: "text": supported values: "array", "boolean", "integer", '
            '"number", "object", "string"'
        ],
    ),
    (
        "type inside of a junctor",
        {"a": {"type": "string", "anyOf": [{"type": "string"}]}},
        [f"{V}.properties[a].anyOf[0].type: Forbidden: must be empty to be structural"],
    ),
    (
        "undescribed field",
        {"a": {"type": "object", "oneOf": [{"properties": {"b": {"pattern": "x"}}}]}},
        [f"{V}.properties[a].properties[b]: Required value: because it is defined in {V}.properties[a].properties[b]"],
    ),
    (
        "both kinds of properties",
        {"a": {"type": "object", "properties": {"b": STRING}, "additionalProperties": STRING}},
        [
            f"{V}.properties[a].additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive"
        ],
    ),
    (
        "unique items",
        {"a": {"type": "array", "items": STRING, "uniqueItems": True}},
        [
            f"{V}.properties[a].uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity "
            "becomes quadratic"
        ],
    ),
    ("reference", {"a": {**STRING, "$ref": "#/b"}}, [f"{V}.properties[a].$ref: Forbidden: $ref is not supported"]),
    (
        "preserve is false",
        {"a": {**STRING, PRESERVE: False}},
        [f"{V}.properties[a].{PRESERVE}: Invalid value: false: must be true or undefined"],
    ),
    (
        "map without keys",
        {"a": {"type": "array", "x-kubernetes-list-type": "map", "items": item()}},
        [
            f"{V}.properties[a].x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map"
        ],
    ),
    (
        "key that may be missing",
        {"a": {**LIST, "items": {"type": "object", "properties": {"k": STRING}}}},
        [
            f"{V}.properties[a].items.properties[k].default: Required value: this property is in "
            "x-kubernetes-list-map-keys, so it must have a default or be a required property"
        ],
    ),
    (
        "set of objects",
        {"a": {"type": "array", "x-kubernetes-list-type": "set", "items": item()}},
        [
            f"{V}.properties[a].items.x-kubernetes-map-type: Invalid value: null: must be atomic as item of a list with "
            "x-kubernetes-list-type=set"
        ],
    ),
    (
        "embedded without a type",
        {"a": {"x-kubernetes-embedded-resource": True, PRESERVE: True}},
        [f"{V}.properties[a].type: Required value: must be object if x-kubernetes-embedded-resource is true"],
    ),
    (
        "metadata is known",
        {"metadata": {"type": "object", "properties": {"labels": {"type": "object"}}}},
        [
            f"{V}.properties[metadata]: Forbidden: must not specify anything other than name and generateName, but "
            "metadata is implicitly specified"
        ],
    ),
    ("names of metadata may be restricted", {"metadata": {"type": "object", "properties": {"name": STRING}}}, []),
    (
        "default that does not fit",
        {"a": {"type": "integer", "default": "x"}},
        [
            f'{V}.properties[a].default: Invalid value: "string": {V}.properties[a].default in body must be of type '
            'integer: "string"'
        ],
    ),
    (
        "default with unknown fields",
        {"a": {"type": "object", "default": {"b": 1}}},
        [f'{V}.properties[a].default: Invalid value: {{"b":1}}: must not have unknown fields'],
    ),
    (
        "bad pattern",
        {"a": {**STRING, "pattern": "(?=x)"}},
        [
            f'{V}.properties[a].pattern: Invalid value: "(?=x)": must be a valid regular expression, but isn\'t: error '
            "parsing regexp: invalid or unsupported Perl syntax: `(?=x`"
        ],
    ),
    (
        "rules have a shape",
        {"a": {**STRING, "x-kubernetes-validations": [{"rule": " "}, {"rule": "true", "reason": "No"}]}},
        [
            f"{V}.properties[a].x-kubernetes-validations[0].rule: Required value: rule is not specified",
            f'{V}.properties[a].x-kubernetes-validations[1].reason: Unsupported value: "No": supported values: '
            '"FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"',
        ],
    ),
    (
        "int or string may say so twice",
        {"a": {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}},
        [],
    ),
]


@pytest.mark.parametrize(("name", "properties", "wanted"), SCHEMAS, ids=[case[0] for case in SCHEMAS])
async def test_a_schema_must_be_sound(api: Api, name: str, properties: Any, wanted: list[str]) -> None:
    crd = crd_of(properties)
    if not wanted:
        await api.ok("POST", CRDS, crd)
        return
    found = await api.faults("POST", CRDS, crd)
    if name == "default that does not fit":
        wanted = [wanted[0].replace(f": {V}.properties[a].default in body", ":  in body")]
    assert set(wanted) <= set(found), found


WHOLES: list[tuple[str, dict[str, Any], list[str]]] = [
    (
        "name",
        {**crd_of(), "metadata": {"name": "x.example.com"}},
        ['metadata.name: Invalid value: "x.example.com": must be spec.names.plural+"."+spec.group'],
    ),
    (
        "scope",
        with_spec(scope="Galaxy"),
        ['spec.scope: Unsupported value: "Galaxy": supported values: "Cluster", "Namespaced"'],
    ),
    ("no scope", with_spec(scope=""), ["spec.scope: Required value"]),
    (
        "group without a dot",
        {**with_spec(group="example"), "metadata": {"name": "widgets.example"}},
        ['spec.group: Invalid value: "example": should be a domain with at least one dot'],
    ),
    (
        "no schema",
        with_version(schema=None),
        ["spec.versions[0].schema.openAPIV3Schema: Required value: schemas are required"],
    ),
    (
        "unpruned",
        with_spec(preserveUnknownFields=True),
        ["spec.preserveUnknownFields: Invalid value: true: must be false"],
    ),
    (
        "deprecation",
        with_version(deprecationWarning="x"),
        ['spec.versions[0].deprecationWarning: Invalid value: "x": can only be set for deprecated versions'],
    ),
    (
        "short name",
        with_names(shortNames=["W"]),
        [
            'spec.names.shortNames[0]: Invalid value: "W": a DNS-1035 label must consist of lower case alphanumeric '
            "characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. "
            "'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
        ],
    ),
    (
        "kinds",
        with_names(listKind="Widget"),
        ['spec.names.listKind: Invalid value: "Widget": kind and listKind may not be the same'],
    ),
    (
        "scale paths",
        with_version(subresources={"scale": {"specReplicasPath": ".a", "statusReplicasPath": "b"}}),
        [
            'spec.subresources.scale.specReplicasPath: Invalid value: ".a": should be a json path under .spec',
            'spec.subresources.scale.statusReplicasPath: Invalid value: "b": must be a simple json path starting with .',
        ],
    ),
    (
        "columns",
        with_version(additionalPrinterColumns=[{"name": "", "type": "x", "format": "y", "jsonPath": ""}]),
        [
            "spec.additionalPrinterColumns[0].name: Required value",
            'spec.additionalPrinterColumns[0].type: Invalid value: "x": must be one of boolean,date,integer,number,string',
            'spec.additionalPrinterColumns[0].format: Invalid value: "y": must be one of '
            "byte,date,date-time,double,float,int32,int64,password",
            "spec.additionalPrinterColumns[0].JSONPath: Required value",
        ],
    ),
    (
        "selectable fields",
        with_version(selectableFields=[{"jsonPath": ".b"}, {"jsonPath": ".a"}, {"jsonPath": ".a"}]),
        [
            'spec.selectableFields[0].jsonPath: Invalid value: ".b": is an invalid path: does not refer to a valid field',
            'spec.selectableFields[2].jsonPath: Duplicate value: ".a"',
        ],
    ),
    (
        "conversion",
        with_spec(conversion={"strategy": "Webhook"}),
        [
            "spec.conversion.webhookClientConfig: Required value: required when strategy is set to Webhook",
            "spec.conversion.conversionReviewVersions: Required value",
        ],
    ),
]


@pytest.mark.parametrize(("name", "crd", "wanted"), WHOLES, ids=[case[0] for case in WHOLES])
async def test_a_definition_must_be_sound(api: Api, name: str, crd: Any, wanted: list[str]) -> None:
    assert await api.faults("POST", CRDS, crd) == wanted


async def test_one_version_is_stored(api: Api) -> None:
    crd = crd_of({"a": STRING})
    crd["spec"]["versions"].append({**crd["spec"]["versions"][0], "storage": True})
    found = [fault.rpartition(": ")[2] for fault in await api.faults("POST", CRDS, crd)]
    assert found == ["must contain unique version names", "must have exactly one version marked as storage version"]


async def test_the_groups_of_the_community_need_an_approval(api: Api) -> None:
    crd = with_spec(group="x.k8s.io")
    crd["metadata"]["name"] = "widgets.x.k8s.io"
    assert await api.faults("POST", CRDS, crd) == [
        "metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups must have approval "
        'annotation "api-approved.kubernetes.io", see https://github.com/kubernetes/enhancements/pull/1111'
    ]
    crd["metadata"]["annotations"] = {"api-approved.kubernetes.io": "unapproved, a test"}
    made = await api.define(crd)
    conditions = {one["type"]: one for one in made["status"]["conditions"]}
    policy = conditions["KubernetesAPIApprovalPolicyConformant"]
    assert (policy["status"], policy["reason"]) == ("False", "UnapprovedAnnotation")
    patch = {"metadata": {"annotations": None}}
    found = await api.faults("PATCH", f"{CRDS}/widgets.x.k8s.io", patch)
    assert found[0].startswith("metadata.annotations[api-approved.kubernetes.io]: Required value")


async def test_what_others_count_on_cannot_change(api: Api) -> None:
    crd = await api.define(crd_of({"a": STRING}))
    crd["spec"]["scope"] = "Cluster"
    crd["spec"]["names"]["kind"] = "Other"
    found = await api.faults("PUT", f"{CRDS}/widgets.example.com", crd)
    assert found == [
        'spec.scope: Invalid value: "Cluster": field is immutable',
        'spec.names.kind: Invalid value: "Other": field is immutable',
    ]


async def test_a_stored_version_cannot_be_lost(api: Api) -> None:
    crd = await api.define(crd_of({"a": STRING}))
    crd["spec"]["versions"][0]["name"] = "v2"
    answer = await api.faults("PUT", f"{CRDS}/widgets.example.com", crd)
    assert answer == [
        'status.storedVersions[0]: Invalid value: "v1": missing from spec.versions; v1 was previously a storage version, '
        "and must remain in spec.versions until a storage migration ensures no data remains persisted in v1 and removes "
        "v1 from status.storedVersions"
    ]


async def test_a_raw_schema_is_stored_and_returned_exactly(api: Api) -> None:
    schema = {
        "description": "d",
        "type": "object",
        "properties": {
            "a": {"type": "array", "items": {"type": "number", "enum": [1, 2.5], "multipleOf": 0.5}, "minItems": 0},
            "b": {"type": "object", "additionalProperties": {"type": "string", "default": ""}},
            "c": {"type": "object", "additionalProperties": True, "nullable": True},
            "d": {"x-kubernetes-int-or-string": True, "default": 0, "example": {"x": [None]}},
            "e": {"type": "object", PRESERVE: True, "default": {"deep": {"f": [1, "x", None]}}},
            "httpGet": {"type": "string", "maxLength": 9007199254740993, "externalDocs": {"url": "http://x"}},
        },
    }
    crd = crd_of()
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = schema
    made = await api.define(crd)
    assert made["spec"]["versions"][0]["schema"]["openAPIV3Schema"] == schema
    assert made["spec"]["conversion"] == {"strategy": "None"}
    assert made["metadata"]["generation"] == 1


async def test_formats_that_demand_nothing_are_worth_a_warning(api: Api) -> None:
    schema = {"a": {**STRING, "format": "nope"}, "b": {"type": "integer", "format": "int32"}}
    response = await api.send("POST", CRDS, crd_of({**schema, "c": {**STRING, "format": "date-time"}}))
    assert response.headers.all("warning") == ['299 - "unrecognized format \\"nope\\""']
    crd = await api.established("widgets.example.com")
    properties = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    properties["d"] = {**STRING, "format": "other"}
    response = await api.send("PUT", f"{CRDS}/widgets.example.com", crd)
    assert response.headers.all("warning") == ['299 - "unrecognized format \\"other\\""']


async def test_a_definition_survives_protobuf(api: Api) -> None:
    schema = {
        "a": {"type": "array", "items": {"type": "integer", "enum": [1, 2], "default": 1}, "nullable": True},
        "b": {"type": "object", "additionalProperties": {"x-kubernetes-int-or-string": True}},
        "c": {"type": "object", PRESERVE: True, "default": {"x": [1, {"y": None}]}},
        "d": {**LIST, "items": item(), "maxItems": 4},
    }
    crd = crd_of(schema, selectableFields=None, subresources={"status": {}})
    kind = "application/vnd.kubernetes.protobuf"
    made = await api.ok("POST", f"{CRDS}?dryRun=All", crd)
    code, raw = await api("POST", CRDS, crd, accept=kind)
    assert code == 201
    await api.established("widgets.example.com")
    code, raw = await api("GET", f"{CRDS}/widgets.example.com", accept=kind)
    await api.ok("DELETE", f"{CRDS}/widgets.example.com")

    async def gone() -> bool:
        return bool((await api("GET", f"{CRDS}/widgets.example.com"))[0] == 404)

    await api.until(gone)
    created = protobuf.decode_object(raw, DEFINITION)
    for name in ("resourceVersion", "finalizers", "deletionTimestamp"):
        created["metadata"].pop(name, None)
    body = protobuf.encode_object(created, schema_types.type_name(DEFINITION) or "")
    again = await api.ok("POST", CRDS, body, content_type=kind)
    assert again["spec"] == made["spec"]


async def test_the_table_shows_when_they_were_made(api: Api) -> None:
    made = await api.define(crd_of())
    table = await api.ok("GET", CRDS, accept="application/json;as=Table;g=meta.k8s.io;v=v1")
    assert [one["name"] for one in table["columnDefinitions"]] == ["Name", "Created At"]
    assert table["rows"][0]["cells"] == ["widgets.example.com", made["metadata"]["creationTimestamp"]]


async def test_many_definitions_cost_little_until_they_are_used(api: Api) -> None:
    for number in range(60):
        crd = crd_of({"spec": {"type": "object", "properties": {"a": STRING}}})
        names = {"plural": f"w{number}s", "kind": f"W{number}"}
        crd["spec"]["names"] = names
        crd["metadata"]["name"] = f"w{number}s.example.com"
        await api.define(crd)
    catalog = api.server.catalog
    compiled = [
        one
        for one in catalog
        if one.facts.group == "example.com" and "_shape" in one.form.walk.__self__.__dict__  # type: ignore[attr-defined]
    ]
    assert compiled == []
    body = {"apiVersion": "example.com/v1", "kind": "W7", "metadata": {"name": "x"}}
    await api.ok("POST", "/apis/example.com/v1/namespaces/default/w7s", body)
    compiled = [
        one
        for one in catalog
        if one.facts.group == "example.com" and "_shape" in one.form.walk.__self__.__dict__  # type: ignore[attr-defined]
    ]
    assert [one.facts.plural for one in compiled] == ["w7s"]
