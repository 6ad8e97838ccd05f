"""flowcontrol.apiserver.k8s.io: FlowSchema, PriorityLevelConfiguration, and those that every cluster has."""

import pytest
from tests.component.api import serving
from tests.examples_of_kinds import example

from pybernetes.apiserver.config import InFlight
from pybernetes.apiserver.flowcontrol.objects import ensure

GROUP = "flowcontrol.apiserver.k8s.io"
SCHEMAS, LEVELS = f"/apis/{GROUP}/v1/flowschemas", f"/apis/{GROUP}/v1/prioritylevelconfigurations"


def kind(plural, **spec):
    body = example(GROUP, "v1", plural)
    return {**body, "spec": {**body["spec"], **spec}}


def level(**limited):
    return kind("prioritylevelconfigurations", limited={"limitResponse": {"type": "Reject"}, **limited})


def queued(**queuing):
    return level(limitResponse={"type": "Queue", "queuing": queuing})


async def rule_faults(api, **rule):
    subjects = [{"kind": "User", "user": {"name": "ann"}}]
    found = await api.faults("POST", SCHEMAS, kind("flowschemas", rules=[{"subjects": subjects, **rule}]))
    return [fault.removeprefix("spec.rules[0].") for fault in found]


async def test_every_cluster_has_upstreams_schemas_and_levels(api):
    rows = [(row["Name"], (row["PriorityLevel"], row["MatchingPrecedence"])) for row in await api.table(SCHEMAS)]
    expected = {
        "exempt": ("exempt", 1),
        "probes": ("exempt", 2),
        "system-leader-election": ("leader-election", 100),
        "endpoint-controller": ("workload-high", 150),
        "workload-leader-election": ("leader-election", 200),
        "system-node-high": ("node-high", 400),
        "system-nodes": ("system", 500),
        "kube-controller-manager": ("workload-high", 800),
        "kube-scheduler": ("workload-high", 800),
        "kube-system-service-accounts": ("workload-high", 900),
        "service-accounts": ("workload-low", 9000),
        "global-default": ("global-default", 9900),
        "catch-all": ("catch-all", 10000),
    }
    assert rows == list(expected.items()), "by precedence, then by name"
    levels = {row["Name"]: row for row in await api.table(LEVELS)}
    columns = ("Type", "NominalConcurrencyShares", "Queues", "HandSize", "QueueLengthLimit")
    none = "<none>"
    assert {name: tuple(row[column] for column in columns) for name, row in levels.items()} == {
        "exempt": ("Exempt", none, none, none, none),
        "catch-all": ("Limited", 5, none, none, none),
        "system": ("Limited", 30, 64, 6, 50),
        "node-high": ("Limited", 40, 64, 6, 50),
        "leader-election": ("Limited", 10, 16, 4, 50),
        "workload-high": ("Limited", 40, 128, 6, 50),
        "workload-low": ("Limited", 100, 128, 6, 50),
        "global-default": ("Limited", 20, 128, 6, 50),
    }


async def test_mandatory_ones_are_fixed_but_for_what_exempt_lends(api):
    _, schema = await api("GET", f"{SCHEMAS}/catch-all")
    schema["spec"]["matchingPrecedence"] = 9999
    (fault,) = await api.faults("PUT", f"{SCHEMAS}/catch-all", schema)
    assert fault.endswith("spec of 'catch-all' must equal the fixed value")
    _, exempt = await api("GET", f"{LEVELS}/exempt")
    exempt["spec"]["exempt"] = {"nominalConcurrencyShares": 10, "lendablePercent": 50}
    code, changed = await api("PUT", f"{LEVELS}/exempt", exempt)
    assert (code, changed["spec"]["exempt"]["lendablePercent"]) == (200, 50)
    changed["spec"]["exempt"] = {"nominalConcurrencyShares": -1, "lendablePercent": 101}
    assert await api.faults("PUT", f"{LEVELS}/exempt", changed) == [
        "spec.exempt.nominalConcurrencyShares: Invalid value: -1: must be a non-negative integer",
        "spec.exempt.lendablePercent: Invalid value: 101: must be between 0 and 100, inclusive",
    ]
    changed["spec"] = level()["spec"]
    found = await api.faults("PUT", f"{LEVELS}/exempt", changed)
    assert found[0] == "spec.type: Invalid value: \"Limited\": type must be 'Exempt' if and only if name is 'exempt'"
    assert found[1].endswith("spec of 'exempt' except the 'spec.exempt' field must equal the fixed value")


async def test_suggested_ones_are_repaired_unless_an_operator_took_them(api):
    registry = api.server.storage
    await api("DELETE", f"{SCHEMAS}/probes")
    await api("DELETE", f"{LEVELS}/exempt")
    for name, said in (("kube-scheduler", None), ("service-accounts", "false")):
        _, schema = await api("GET", f"{SCHEMAS}/{name}")
        schema["spec"]["matchingPrecedence"] += 1
        if said:
            schema["metadata"]["annotations"]["apf.kubernetes.io/autoupdate-spec"] = said
        assert (await api("PUT", f"{SCHEMAS}/{name}", schema))[0] == 200
    old = kind("flowschemas")
    old["metadata"]["annotations"] = {"apf.kubernetes.io/autoupdate-spec": "true"}
    await api.made(SCHEMAS, old)
    await ensure(registry)
    rows = {row["Name"]: row["MatchingPrecedence"] for row in await api.table(SCHEMAS)}
    assert (rows["probes"], rows["kube-scheduler"], rows["service-accounts"]) == (2, 800, 9001)
    assert "example" not in rows
    assert (await api("GET", f"{LEVELS}/exempt"))[0] == 200
    before = (await api("GET", SCHEMAS))[1]["metadata"]["resourceVersion"]
    await ensure(registry)
    assert (await api("GET", SCHEMAS))[1]["metadata"]["resourceVersion"] == before


async def test_a_schema_has_defaults_and_is_told_all_its_faults(api):
    made = await api.made(SCHEMAS, kind("flowschemas"))
    assert (made["spec"]["matchingPrecedence"], made["metadata"]["generation"]) == (1000, 1)
    bad = kind(
        "flowschemas",
        matchingPrecedence=1,
        distinguisherMethod={"type": "ByMood"},
        priorityLevelConfiguration={"name": ""},
        rules=[{}],
    )
    assert await api.faults("POST", SCHEMAS, bad) == [
        "spec.matchingPrecedence: Invalid value: 1: only the schema named 'exempt' may have matchingPrecedence 1",
        'spec.distinguisherMethod.type: Unsupported value: {"Type":"ByMood"}: supported values: "ByNamespace", "ByUser"',
        "spec.priorityLevelConfiguration.name: Required value: must reference a priority level",
        "spec.rules[0].subjects: Required value: subjects must contain at least one value",
        "spec.rules[0]: Required value: at least one of resourceRules and nonResourceRules has to be non-empty",
    ]
    for precedence, why in ((-1, "must be a positive value"), (10001, "must not be greater than 10000")):
        (fault,) = await api.faults("POST", SCHEMAS, kind("flowschemas", matchingPrecedence=precedence))
        assert fault == f"spec.matchingPrecedence: Invalid value: {precedence}: {why}"


async def test_subjects_are_what_their_kind_says(api):
    urls = [{"verbs": ["*"], "nonResourceURLs": ["*"]}]
    subjects = [
        {"kind": "User", "group": {"name": "g"}},
        {"kind": "ServiceAccount", "serviceAccount": {"name": ""}, "user": {"name": "u"}},
        {"kind": "Group", "group": {"name": ""}},
        {"kind": "Robot"},
    ]
    assert await rule_faults(api, subjects=subjects, nonResourceRules=urls) == [
        "subjects[0].user: Required value: user is required when subject kind is 'User'",
        "subjects[0].group: Forbidden: group is forbidden when subject kind is not 'Group'",
        "subjects[1].serviceAccount.name: Required value",
        "subjects[1].serviceAccount.namespace: Required value: must specify namespace for service account",
        "subjects[1].user: Forbidden: user is forbidden when subject kind is not 'User'",
        "subjects[2].group.name: Required value",
        'subjects[3].kind: Unsupported value: "Robot": supported values: "Group", "ServiceAccount", "User"',
    ]


async def test_rules_say_what_they_are_about(api):
    verbs = '"create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"'
    both = {"verbs": ["*", "get"], "apiGroups": ["*", "a"], "resources": ["*", "a"], "namespaces": ["*", "a"]}
    assert await rule_faults(api, resourceRules=[{}, both]) == [
        "resourceRules[0].verbs: Required value: verbs must contain at least one value",
        "resourceRules[0].apiGroups: Required value: resource rules must supply at least one api group",
        "resourceRules[0].resources: Required value: resource rules must supply at least one resource",
        "resourceRules[0].namespaces: Required value: resource rules that are not cluster scoped must supply at least one"
        " namespace",
        'resourceRules[1].verbs: Invalid value: ["*","get"]: if \'*\' is present, must not specify other verbs',
        'resourceRules[1].apiGroups: Invalid value: ["*","a"]: if \'*\' is present, must not specify other api groups',
        'resourceRules[1].resources: Invalid value: ["*","a"]: if \'*\' is present, must not specify other resources',
        'resourceRules[1].namespaces: Invalid value: ["*","a"]: if \'*\' is present, must not specify other namespaces',
    ]
    urls = ["", "a", "/a b", "/a//b", "/a*"]
    assert await rule_faults(api, nonResourceRules=[{"verbs": ["dance"], "nonResourceURLs": urls}]) == [
        f'nonResourceRules[0].verbs: Unsupported value: ["dance"]: supported values: {verbs}',
        'nonResourceRules[0].nonResourceURLs[0]: Invalid value: "": must not be empty',
        'nonResourceRules[0].nonResourceURLs[1]: Invalid value: "a": must start with slash',
        'nonResourceRules[0].nonResourceURLs[2]: Invalid value: "/a b": must not contain white-space',
        'nonResourceRules[0].nonResourceURLs[3]: Invalid value: "/a//b": must not contain double slash',
        'nonResourceRules[0].nonResourceURLs[4]: Invalid value: "/a*": wildcard can only do suffix matching',
    ]


async def test_a_level_has_defaults(api):
    made = await api.made(LEVELS, queued())
    assert made["spec"]["limited"] == {
        "nominalConcurrencyShares": 30,
        "limitResponse": {"type": "Queue", "queuing": {"queues": 64, "handSize": 8, "queueLengthLimit": 50}},
        "lendablePercent": 0,
    }
    body = level(nominalConcurrencyShares=0)
    body["metadata"]["name"] = "zero"
    assert (await api.made(LEVELS, body))["spec"]["limited"]["nominalConcurrencyShares"] == 0


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            kind("prioritylevelconfigurations", type="Some"),
            ['spec.type: Unsupported value: "Some": supported values: "Exempt", "Limited"'],
        ),
        (
            kind("prioritylevelconfigurations", exempt={}, limited=None),
            [
                "spec.exempt: Forbidden: must be nil if the type is Limited",
                "spec.limited: Required value: must not be empty when type is Limited",
            ],
        ),
        (
            level(
                nominalConcurrencyShares=-1,
                lendablePercent=-1,
                borrowingLimitPercent=-1,
                limitResponse={"type": "Wait"},
            ),
            [
                "spec.limited.nominalConcurrencyShares: Invalid value: -1: must be a non-negative integer",
                'spec.limited.limitResponse.type: Unsupported value: "Wait": supported values: "Queue", "Reject"',
                "spec.limited.lendablePercent: Invalid value: -1: must be between 0 and 100, inclusive",
                "spec.limited.borrowingLimitPercent: Invalid value: -1: if specified, must be a non-negative integer",
            ],
        ),
        (
            level(limitResponse={"type": "Reject", "queuing": {}}),
            [
                "spec.limited.limitResponse.queuing: Forbidden: must be nil if limited.limitResponse.type is not Limited",
            ],
        ),
        (
            level(limitResponse={"type": "Queue"}),
            [
                "spec.limited.limitResponse.queuing: Required value: must not be empty if limited.limitResponse.type is"
                " Limited",
            ],
        ),
        (
            queued(queues=-1, handSize=-1, queueLengthLimit=-1),
            [
                "spec.limited.limitResponse.queuing.queueLengthLimit: Invalid value: -1: must be positive",
                "spec.limited.limitResponse.queuing.queues: Invalid value: -1: must be positive",
                "spec.limited.limitResponse.queuing.handSize: Invalid value: -1: must be positive",
            ],
        ),
        (
            queued(queues=8, handSize=9),
            ["spec.limited.limitResponse.queuing.handSize: Invalid value: 9: should not be greater than queues (8)"],
        ),
        (
            queued(queues=10000000, handSize=10),
            [
                "spec.limited.limitResponse.queuing.handSize: Invalid value: 10: required entropy bits of deckSize 10000000"
                " and handSize 10 should not be greater than 60",
            ],
        ),
        (
            queued(queues=10000001, handSize=1),
            ["spec.limited.limitResponse.queuing.queues: Invalid value: 10000001: must not be greater than 10000000"],
        ),
    ],
)
async def test_a_level_is_told_all_its_faults(api, body, expected):
    assert await api.faults("POST", LEVELS, body) == expected


@pytest.mark.parametrize("path", [f"{SCHEMAS}/exempt", f"{LEVELS}/exempt"])
async def test_a_write_of_status_leaves_metadata_alone(api, path):
    conditions = [{"type": "Dangling", "status": "False"}]
    patch = {"metadata": {"labels": {"a": "b"}}, "status": {"conditions": conditions}}
    _, changed = await api("PATCH", f"{path}/status", patch)
    assert ("labels" in changed["metadata"], len(changed["status"]["conditions"])) == (False, 1)
    changed["status"]["conditions"] = [{"type": "Dangling"}, {"type": "Dangling"}, {}]
    assert await api.faults("PUT", f"{path}/status", changed) == [
        'status.conditions[1].type: Duplicate value: "Dangling"',
        "status.conditions[2].type: Required value: must not be empty",
    ]


async def test_a_schema_shows_whether_its_level_is_missing():
    async with serving(in_flight=InFlight(fair=False)) as api:  # nobody else writes the condition then
        conditions = [{"type": "Dangling", "status": "True"}]
        await api("PATCH", f"{SCHEMAS}/probes/status", {"status": {"conditions": conditions}})
        await api.made(SCHEMAS, kind("flowschemas"))
        rows = {row["Name"]: row["MissingPL"] for row in await api.table(SCHEMAS)}
        assert (rows["probes"], rows["exempt"], rows["example"]) == ("True", "False", "?")
