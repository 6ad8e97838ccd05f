"""Webhook configurations, admission policies and bindings as stored objects."""

import pytest

from pybernetes.api.objects import User

GROUP = "/apis/admissionregistration.k8s.io/v1"
RULE = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}
HOOK = {
    "name": "a.example.com",
    "clientConfig": {"service": {"name": "s", "namespace": "n"}},
    "rules": [RULE],
    "sideEffects": "None",
    "admissionReviewVersions": ["v1"],
}
ALICE = User("alice", groups=("system:authenticated",))


def policy(**more):
    spec = {"matchConstraints": {"resourceRules": [RULE]}, "validations": [{"expression": "true"}]}
    return {"metadata": {"name": "p.example.com"}, "spec": spec | more}


def mutating(*mutations, **more):
    spec = {"matchConstraints": {"resourceRules": [RULE]}, "reinvocationPolicy": "Never", "mutations": mutations}
    return {"metadata": {"name": "m"}, "spec": spec | more}


def binding(**more):
    return {"metadata": {"name": "b"}, "spec": {"policyName": "p", "validationActions": ["Deny"]} | more}


@pytest.mark.parametrize("kind", ["mutating", "validating"])
async def test_a_webhook_gets_its_defaults_and_the_configuration_counts_generations(api, kind):
    path = f"{GROUP}/{kind}webhookconfigurations"
    made = await api.made(path, {"metadata": {"name": "w"}, "webhooks": [HOOK]})
    (hook,) = made["webhooks"]
    assert hook["clientConfig"]["service"]["port"] == 443
    assert hook["rules"][0]["scope"] == "*"
    assert (hook["failurePolicy"], hook["matchPolicy"], hook["timeoutSeconds"]) == ("Fail", "Equivalent", 10)
    assert (hook["namespaceSelector"], hook["objectSelector"]) == ({}, {})
    assert hook.get("reinvocationPolicy") == ("Never" if kind == "mutating" else None)
    assert made["metadata"]["generation"] == 1
    hook["timeoutSeconds"] = 5
    _, changed = await api("PUT", f"{path}/w", made)
    assert changed["metadata"]["generation"] == 2
    (row,) = await api.table(path)
    assert list(row) == ["Name", "Webhooks", "Age"]
    assert row["Webhooks"] == 1


async def test_every_fault_of_a_webhook_is_told(api):
    rules = [
        {
            "operations": ["*", "EAT"],
            "apiGroups": ["*", "a"],
            "apiVersions": ["*", ""],
            "resources": ["pods/*", "pods/log", "", "*", "nodes"],
            "scope": "Everywhere",
        },
        {},
    ]
    conditions = [{"name": "a", "expression": " "}, {"name": "a", "expression": "true"}, {"expression": "true"}]
    hook = {
        "name": "short",
        "clientConfig": {"url": "http://u@x/y?z#f"},
        "rules": rules,
        "failurePolicy": "Maybe",
        "matchPolicy": "Loose",
        "timeoutSeconds": 31,
        "namespaceSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]},
        "matchConditions": conditions,
        "admissionReviewVersions": ["v2", "v2"],
    }
    at = "webhooks[0]"
    form = "; desired format: https://host[/path]"
    assert await api.faults(
        "POST", f"{GROUP}/validatingwebhookconfigurations", {"metadata": {"name": "w"}, "webhooks": [hook]}
    ) == [
        f'{at}.name: Invalid value: "short": should be a domain with at least three segments separated by dots',
        f'{at}.rules[0].operations: Invalid value: ["*","EAT"]: if \'*\' is present, must not specify other operations',
        f'{at}.rules[0].operations[1]: Unsupported value: "EAT": supported values: "*", "CONNECT", "CREATE", "DELETE", '
        '"UPDATE"',
        f'{at}.rules[0].apiGroups: Invalid value: ["*","a"]: if \'*\' is present, must not specify other API groups',
        f'{at}.rules[0].apiVersions: Invalid value: ["*",""]: if \'*\' is present, must not specify other API versions',
        f"{at}.rules[0].apiVersions[1]: Required value",
        f"{at}.rules[0].resources[1]: Invalid value: \"pods/log\": if 'pods/*' is present, must not specify pods/log",
        f"{at}.rules[0].resources[2]: Required value",
        f'{at}.rules[0].resources: Invalid value: ["pods/*","pods/log","","*","nodes"]: if \'*\' is present, must not '
        "specify other resources without subresources",
        f'{at}.rules[0].scope: Unsupported value: "Everywhere": supported values: "*", "Cluster", "Namespaced"',
        f"{at}.rules[1].operations: Required value",
        f"{at}.rules[1].apiGroups: Required value",
        f"{at}.rules[1].apiVersions: Required value",
        f"{at}.rules[1].resources: Required value",
        f'{at}.failurePolicy: Unsupported value: "Maybe": supported values: "Fail", "Ignore"',
        f'{at}.matchPolicy: Unsupported value: "Loose": supported values: "Equivalent", "Exact"',
        f"{at}.sideEffects: Required value: must specify one of None, NoneOnDryRun",
        f"{at}.timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds",
        f"{at}.namespaceSelector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' "
        "or 'NotIn'",
        f"{at}.clientConfig.url: Invalid value: \"http\": 'https' is the only allowed URL scheme{form}",
        f'{at}.clientConfig.url: Invalid value: "u": user information is not permitted in the URL{form}',
        f'{at}.clientConfig.url: Invalid value: "f": fragments are not permitted in the URL{form}',
        f'{at}.clientConfig.url: Invalid value: "z": query parameters are not permitted in the URL{form}',
        f"{at}.matchConditions[0].expression: Required value",
        f'{at}.matchConditions[1].name: Duplicate value: "a"',
        f"{at}.matchConditions[2].name: Required value",
        f'{at}.admissionReviewVersions[1]: Invalid value: "v2": duplicate version',
        f'{at}.admissionReviewVersions: Invalid value: ["v2","v2"]: must include at least one of v1, v1beta1',
    ]


async def test_services_names_and_conditions_of_webhooks_are_bounded(api):
    service = {"name": "", "namespace": "", "port": 70000, "path": "x/B"}
    first = HOOK | {
        "clientConfig": {"service": service},
        "matchConditions": [{"name": f"c{i}", "expression": "x"} for i in range(65)],
    }
    second = HOOK | {"clientConfig": {}}
    found = await api.faults(
        "POST",
        f"{GROUP}/mutatingwebhookconfigurations",
        {"metadata": {"name": "w"}, "webhooks": [first, second | {"reinvocationPolicy": "Twice"}]},
    )
    assert found == [
        "webhooks[0].clientConfig.service.name: Required value: service name is required",
        "webhooks[0].clientConfig.service.namespace: Required value: service namespace is required",
        "webhooks[0].clientConfig.service.port: Invalid value: 70000: port is not valid: must be between 1 and 65535, "
        "inclusive",
        "webhooks[0].clientConfig.service.path: Invalid value: \"x/B\": must start with a '/'",
        'webhooks[0].clientConfig.service.path: Invalid value: "x/B": segment[0] may not be empty',
        'webhooks[0].clientConfig.service.path: Invalid value: "x/B": segment[1]: ' + _subdomain("B"),
        "webhooks[0].matchConditions: Too many: 65: must have at most 64 items",
        'webhooks[1].reinvocationPolicy: Unsupported value: "Twice": supported values: "IfNeeded", "Never"',
        "webhooks[1].clientConfig: Required value: exactly one of url or service is required",
        'webhooks[1].name: Duplicate value: "a.example.com"',
    ]


def _subdomain(value):
    from pybernetes.api import names

    (fault,) = names.dns1123_subdomain(value)
    return fault


async def test_a_policy_gets_its_defaults(api):
    path = f"{GROUP}/validatingadmissionpolicies"
    made = await api.made(path, policy(paramKind={"apiVersion": "v1", "kind": "ConfigMap"}))
    assert made["spec"]["failurePolicy"] == "Fail"
    match = made["spec"]["matchConstraints"]
    assert (match["matchPolicy"], match["namespaceSelector"], match["objectSelector"]) == ("Equivalent", {}, {})
    assert match["resourceRules"][0]["scope"] == "*"
    (row,) = await api.table(path)
    assert (row["Validations"], row["ParamKind"]) == (1, "v1/ConfigMap")


async def test_every_fault_of_a_validating_policy_is_told(api):
    bad = {
        "failurePolicy": "Maybe",
        "paramKind": {"apiVersion": "a/b/c", "kind": "1"},
        "matchConstraints": {"resourceRules": [RULE | {"resourceNames": ["a", "a", "b/c"]}], "matchPolicy": "Loose"},
        "variables": [{"name": "for", "expression": "x"}, {"name": " ", "expression": ""}],
        "validations": [
            {"expression": "", "message": "a\nb", "messageExpression": " ", "reason": "Gone"},
            {"expression": "x", "message": " "},
        ],
        "auditAnnotations": [
            {"key": "k", "valueExpression": "v"},
            {"key": "k", "valueExpression": "x" * 5121},
            {"key": "-", "valueExpression": ""},
        ],
    }
    found = await api.faults("POST", f"{GROUP}/validatingadmissionpolicies", {**policy(), "spec": bad})
    assert [fault.removeprefix("spec.").split(" (e.g.")[0] for fault in found] == [
        'failurePolicy: Unsupported value: "Maybe": supported values: "Fail", "Ignore"',
        'paramKind.apiVersion: Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c',
        'paramKind.kind: Invalid value: "1": may have mixed case, but should otherwise match: a DNS-1035 label must '
        "consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an "
        "alphanumeric character",
        'matchConstraints.matchPolicy: Unsupported value: "Loose": supported values: "Equivalent", "Exact"',
        'matchConstraints.resourceRules[0].resourceNames[1]: Duplicate value: "a"',
        "matchConstraints.resourceRules[0].resourceNames[2]: Invalid value: \"b/c\": may not contain '/'",
        'variables[0].name: Invalid value: "for": name is not a valid CEL identifier',
        "variables[1].name: Required value: name is not specified",
        "variables[1].expression: Required value: expression is not specified",
        "validations[0].expression: Required value: expression is not specified",
        'validations[0].messageExpression: Invalid value: " ": must be non-empty if specified',
        'validations[0].message: Invalid value: "a\\nb": message must not contain line breaks',
        'validations[0].reason: Unsupported value: "Gone": supported values: "Forbidden", "Invalid", '
        '"RequestEntityTooLarge"',
        'validations[1].message: Invalid value: " ": message must be non-empty if specified',
        "auditAnnotations[1].valueExpression: Required value: must not exceed 5120 bytes in length",
        'auditAnnotations[1].key: Duplicate value: "k"',
        'auditAnnotations[2].key: Invalid value: "p.example.com/-": name part must consist of alphanumeric characters, '
        "'-', '_' or '.', and must start and end with an alphanumeric character",
        "auditAnnotations[2].valueExpression: Required value: valueExpression is not specified",
    ]
    assert await api.faults("POST", f"{GROUP}/validatingadmissionpolicies", {**policy(), "spec": {}}) == [
        "spec.matchConstraints: Required value",
        "spec.validations: Required value: validations or auditAnnotations must contain at least one item",
        "spec.auditAnnotations: Required value: validations or auditAnnotations must contain at least one item",
    ]


async def test_every_fault_of_a_mutating_policy_is_told(api):
    path = f"{GROUP}/mutatingadmissionpolicies"
    delete = {"resourceRules": [RULE | {"operations": ["DELETE"]}]}
    body = mutating(
        {"patchType": "JSONPatch", "applyConfiguration": {"expression": "x"}},
        {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": " "}},
        {"patchType": "Merge"},
        {},
        matchConstraints=delete,
        reinvocationPolicy="Often",
    )
    assert await api.faults("POST", path, body) == [
        'spec.matchConstraints.resourceRules.operations: Unsupported value: "DELETE": supported values: "*", "CONNECT", '
        '"CREATE", "UPDATE"',
        'spec.mutations[0].applyConfiguration: Invalid value: "{applyConfiguration}": must not be specified when '
        "patchType is JSONPatch",
        "spec.mutations[0].jsonPatch: Required value: must be specified when patchType is JSONPatch",
        "spec.mutations[1].applyConfiguration.expression: Required value",
        'spec.mutations[2].patchType: Unsupported value: "Merge": supported values: "ApplyConfiguration", "JSONPatch"',
        "spec.mutations[3].patchType: Required value",
        'spec.reinvocationPolicy: Unsupported value: "Often": supported values: "Never", "IfNeeded"',
    ]
    good = mutating({"patchType": "JSONPatch", "jsonPatch": {"expression": "[]"}})
    assert (await api.made(path, good))["spec"]["failurePolicy"] == "Fail"
    (row,) = await api.table(path)
    assert list(row) == ["Name", "Mutations", "ParamKind", "Age"]


async def test_every_fault_of_a_binding_is_told(api):
    path = f"{GROUP}/validatingadmissionpolicybindings"
    ref = {"name": "a/b", "selector": {"matchLabels": {"a": "-"}}, "parameterNotFoundAction": "Ask"}
    found = await api.faults(
        "POST", path, binding(policyName="P_", paramRef=ref, validationActions=["Deny", "Warn", "Warn", "X"])
    )
    assert [fault.removeprefix("spec.").split(": a ")[0] for fault in found] == [
        'policyName: Invalid value: "P_"',
        "paramRef.name: Invalid value: \"a/b\": may not contain '/'",
        "paramRef.name: Forbidden: name and selector are mutually exclusive",
        'paramRef.selector.matchLabels: Invalid value: "-"',
        "paramRef.selector: Forbidden: name and selector are mutually exclusive",
        'paramRef.parameterNotFoundAction: Unsupported value: "Ask": supported values: "Deny", "Allow"',
        'validationActions[2]: Duplicate value: "Warn"',
        'validationActions[3]: Unsupported value: "X": supported values: "Audit", "Deny", "Warn"',
        'validationActions: Invalid value: ["Deny","Warn","Warn","X"]: must not contain both Deny and Warn (repeating '
        "the same validation failure information in the API response and headers serves no purpose)",
    ]
    assert await api.faults("POST", path, binding(policyName="", paramRef={}, validationActions=[])) == [
        "spec.policyName: Required value",
        "spec.paramRef: Required value: one of name or selector must be specified",
        "spec.paramRef.parameterNotFoundAction: Required value",
        "spec.validationActions: Required value: at least one validation action is required",
    ]
    ref = {"name": "x", "namespace": "y", "parameterNotFoundAction": "Deny"}
    await api.made(path, binding(paramRef=ref))
    (row,) = await api.table(path)
    assert (row["PolicyName"], row["ParamRef"]) == ("p", "y/x")


async def test_parameters_that_the_writer_cannot_read_are_refused(api):
    rules = [{"verbs": ["*"], "apiGroups": ["admissionregistration.k8s.io"], "resources": ["*"]}]
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    await api.made(f"{rbac}/clusterroles", {"metadata": {"name": "r"}, "rules": rules})
    bound = {
        "metadata": {"name": "r"},
        "roleRef": {"kind": "ClusterRole", "name": "r"},
        "subjects": [{"kind": "User", "name": "alice"}],
    }
    await api.made(f"{rbac}/clusterrolebindings", bound)
    body = policy(paramKind={"apiVersion": "v1", "kind": "ConfigMap"})
    (fault,) = await api.faults("POST", f"{GROUP}/validatingadmissionpolicies", body, user=ALICE)
    assert fault.startswith('spec.paramKind: Forbidden: user alice must have "get" permission on all objects')
    await api.made(f"{GROUP}/validatingadmissionpolicies", policy(), user=ALICE)
    ref = {"name": "x", "parameterNotFoundAction": "Deny"}
    (fault,) = await api.faults("POST", f"{GROUP}/validatingadmissionpolicybindings", binding(paramRef=ref), user=ALICE)
    assert fault.startswith("spec.paramRef: Forbidden")


async def test_the_status_of_a_policy_is_checked(api):
    path = f"{GROUP}/validatingadmissionpolicies"
    made = await api.made(path, policy())
    warnings = [{"fieldRef": "", "warning": ""}]
    conditions = [{"type": "a", "status": "Maybe"}, {"type": "a", "status": "True"}]
    made["status"] = {"typeChecking": {"expressionWarnings": warnings}, "conditions": conditions}
    found = await api.faults("PUT", f"{path}/p.example.com/status", made)
    assert [fault.partition(": ")[0].removeprefix("status.") for fault in found] == [
        "typeChecking.expressionWarnings[0].warning",
        "typeChecking.expressionWarnings[0].fieldRef",
        "conditions[0].status",
        "conditions[0].lastTransitionTime",
        "conditions[0].reason",
        "conditions[1].type",
        "conditions[1].lastTransitionTime",
        "conditions[1].reason",
    ]
