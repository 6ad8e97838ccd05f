"""Nodes, secrets, config maps, endpoints, slices, accounts, replication controllers: their rules to the letter."""

import base64

import pytest

from pybernetes.apiserver.resources.core.endpoints import repacked

CORE = "/api/v1/namespaces/default"
NODES = "/api/v1/nodes"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
MIB = 1024 * 1024


def b64(text):
    return base64.b64encode(text.encode()).decode()


async def test_data_has_a_size(api):
    for path, field, text in (("configmaps", "data", "[]"), ("secrets", "stringData", "data")):
        body = {"metadata": {"name": "x"}, field: {"a": "x" * (MIB + 1)}}
        assert await api.faults("POST", f"{CORE}/{path}", body) == [
            f"{text}: Too long: may not be more than 1048576 bytes"
        ]
        body[field]["a"] = "x" * MIB
        await api.made(f"{CORE}/{path}", body)
    body = {"metadata": {"name": "y"}, "data": {"a": "x"}, "binaryData": {"a": b64("y"), "b": b64("x" * MIB)}}
    assert await api.faults("POST", f"{CORE}/configmaps", body) == [
        'data[a]: Invalid value: "a": duplicate of key present in binaryData',
        "[]: Too long: may not be more than 1048576 bytes",
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "unexpected end of JSON input"),
        ("x", "invalid character 'x' looking for beginning of value"),
        ('{"a":1}}', "invalid character '}' after top-level value"),
        ("[]", "json: cannot unmarshal array into Go value of type map[string]interface {}"),
        ("1", "json: cannot unmarshal number into Go value of type map[string]interface {}"),
    ],
)
async def test_a_docker_config_is_json_and_a_fault_does_not_tell_it(api, text, fault):
    body = {
        "metadata": {"name": "d"},
        "type": "kubernetes.io/dockerconfigjson",
        "data": {".dockerconfigjson": b64(text)},
    }
    assert await api.faults("POST", f"{CORE}/secrets", body) == [
        f'data[.dockerconfigjson]: Invalid value: "<secret contents redacted>": {fault}'
    ]


async def test_a_secret_that_is_no_pair_is_warned_of(api):
    body = {"metadata": {"name": "t"}, "type": "kubernetes.io/tls", "data": {"tls.crt": "", "tls.key": ""}}
    assert await api.warnings("POST", f"{CORE}/secrets", body) == [
        "tls: failed to find any PEM data in certificate input"
    ]


async def test_nodes_are_told_what_is_wrong_with_them(api):
    taints = [{"key": "a", "effect": "Odd", "value": "/"}, {"key": "b", "effect": "NoSchedule"}]
    body = {
        "metadata": {"name": "n"},
        "spec": {"taints": [*taints, taints[1], {"key": "c"}], "podCIDRs": ["10.0.0.0/24", "10.0.1.0/33"]},
        "status": {"capacity": {"cpu": "-1", "example.com/gpu": "500m"}},
    }
    found = await api.faults("POST", NODES, body)
    assert found[0].startswith('metadata.taints[0].value: Invalid value: "/": a valid label must be')
    assert found[1:] == [
        'metadata.taints[0].effect: Unsupported value: "Odd": supported values: "NoSchedule", "PreferNoSchedule", '
        '"NoExecute"',
        'metadata.taints[2]: Duplicate value: {"Key":"b","Value":"","Effect":"NoSchedule","TimeAdded":null}: '
        "taints must be unique by key and effect pair",
        "metadata.taints[3].effect: Required value",
        'status.capacity.cpu: Invalid value: "-1": must be greater than or equal to 0',
        'status.capacity.example.com/gpu: Invalid value: "500m": must be an integer',
        'status.allocatable.cpu: Invalid value: "-1": must be greater than or equal to 0',
        'status.allocatable.example.com/gpu: Invalid value: "500m": must be an integer',
        'spec.podCIDRs[1]: Invalid value: "10.0.1.0/33": must be a valid CIDR value, '
        "(e.g. 10.9.8.0/24 or 2001:db8::/64)",
        'spec.podCIDRs: Invalid value: ["10.0.0.0/24","10.0.1.0/33"]: '
        "may specify no more than one CIDR for each IP family",
    ]


async def test_a_node_keeps_what_it_was_given_once(api):
    await api.made(NODES, {"metadata": {"name": "n"}, "spec": {"podCIDR": "10.0.0.0/24", "providerID": "x"}})
    change = {"spec": {"podCIDR": "10.0.1.0/24", "podCIDRs": None, "providerID": "y", "externalID": "z"}}
    assert await api.faults("PATCH", f"{NODES}/n", change) == [
        'spec.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid',
        'spec.providerID: Forbidden: node updates may not change providerID except from "" to valid',
        "spec.externalID: Forbidden: may not be updated",
    ]
    address = {"type": "InternalIP", "address": "1.2.3.4"}
    status = {"addresses": [address, address], "config": {"active": {"configMap": {"name": "c"}}}}
    found = await api.faults("PUT", f"{NODES}/n/status", {"metadata": {"name": "n"}, "status": status})
    assert [fault.partition(": ")[0] for fault in found] == [
        "status.addresses[1]",
        "status.config.active.configMap.uid",
        "status.config.active.configMap.resourceVersion",
        "status.config.active.configMap.namespace",
        "status.config.active.configMap.kubeletConfigKey",
    ]


def test_endpoints_stand_in_as_few_subsets_as_can_be():
    one, two = {"ip": "1.1.1.1"}, {"ip": "1.1.1.2"}
    http, dns = {"port": 80, "protocol": "TCP", "name": "http"}, {"port": 53, "protocol": "UDP", "name": "dns"}
    assert repacked(
        [
            {"addresses": [two], "ports": [http]},
            {"addresses": [one], "ports": [http, dns]},
            {"notReadyAddresses": [two], "ports": [dns]},
            {"addresses": [two], "ports": [dns]},
        ]
    ) == [
        {"addresses": [one], "notReadyAddresses": [two], "ports": [dns]},
        {"addresses": [one, two], "ports": [http]},
    ]
    assert repacked([{"addresses": [two]}, {"addresses": [one]}]) == [{"addresses": [one, two]}]


async def test_endpoints_are_deprecated_and_checked(api):
    path = f"{CORE}/endpoints"
    text = "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"
    assert await api.warnings("GET", path) == [text]
    subset = {"addresses": [{"ip": "01.2.3.4", "hostname": "A"}, {"ip": "x"}], "ports": [{"port": 0}]}
    found = await api.faults("POST", path, {"metadata": {"name": "e"}, "subsets": [subset, {}]})
    assert [fault for fault in found if "hostname" not in fault] == [
        'subsets[0].addresses[0].ip: Invalid value: "01.2.3.4": must not have leading 0s',
        'subsets[0].addresses[1].ip: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)',
        'subsets[0].addresses[1].ip: Invalid value: "x": must be a valid IP address',
        "subsets[0].ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
        "subsets[1]: Required value: must specify `addresses` or `notReadyAddresses`",
    ]
    body = {"metadata": {"name": "e"}, "subsets": [{"addresses": [{"ip": "2001:DB8::1"}]}]}
    assert await api.warnings("POST", path, body) == [
        text,
        'subsets[0].addresses[0].ip: IPv6 address "2001:DB8::1" should be in RFC 5952 canonical format ("2001:db8::1")',
    ]


async def test_slices_have_limits_and_hints(api):
    zones = [{"name": f"z{n}"} for n in range(9)]
    endpoints = [
        {"addresses": []},
        {"addresses": ["fd00::1"], "hints": {"forZones": zones, "forNodes": [{"name": "n"}, {"name": "n"}]}},
        {"addresses": [f"10.0.0.{n}" for n in range(1, 102)], "nodeName": "", "hostname": "A.b"},
    ]
    ports = [{"port": 1}, {"port": 2, "protocol": "ICMP"}]
    body = {"metadata": {"name": "s"}, "addressType": "IPv4", "endpoints": endpoints, "ports": ports}
    found = await api.faults("POST", SLICES, body)
    assert found[:4] == [
        "endpoints[0].addresses: Required value: must contain at least 1 address",
        'endpoints[1].addresses[0]: Invalid value: "fd00::1": must be an IPv4 address',
        "endpoints[1].hints.forZones: Too many: 9: must have at most 8 items",
        'endpoints[1].hints.forNodes[1].name: Duplicate value: "n"',
    ]
    assert found[4] == "endpoints[2].addresses: Too many: 101: must have at most 100 items"
    assert found[-2:] == [
        'ports[1].name: Duplicate value: ""',
        'ports[1].protocol: Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP"',
    ]
    body["endpoints"] = [{"addresses": ["10.0.0.1"]}] * 1001
    body["ports"] = []
    assert await api.faults("POST", SLICES, body) == ["endpoints: Too many: 1001: must have at most 1000 items"]
    names = {"metadata": {"name": "s"}, "addressType": "FQDN", "endpoints": [{"addresses": ["a", "a.b."]}]}
    assert await api.faults("POST", SLICES, names) == [
        'endpoints[0].addresses[0]: Invalid value: "a": should be a domain with at least two segments separated by dots'
    ]


async def test_a_slices_labels_count_as_its_content(api):
    body = {"metadata": {"name": "s"}, "addressType": "IPv4", "endpoints": [], "ports": []}
    made = await api.made(SLICES, body)
    assert made["metadata"]["generation"] == 1
    for change, generation in (
        ({"metadata": {"annotations": {"a": "b"}}}, 1),
        ({"metadata": {"labels": {"a": "b"}}}, 2),
        ({"endpoints": [{"addresses": ["10.0.0.1"], "deprecatedTopology": {"a": "b"}}]}, 3),
    ):
        _, changed = await api("PATCH", f"{SLICES}/s", change)
        assert changed["metadata"]["generation"] == generation
    assert changed["endpoints"] == [{"addresses": ["10.0.0.1"], "conditions": {}}]
    assert await api.faults("PATCH", f"{SLICES}/s", {"addressType": "IPv6", "endpoints": []}) == [
        'addressType: Invalid value: "IPv6": field is immutable'
    ]


async def test_a_token_is_bound_to_what_is_there(api):
    path = f"{CORE}/serviceaccounts/default/token"
    secret = await api.made(f"{CORE}/secrets", {"metadata": {"name": "s"}})

    async def ask(**spec):
        return await api("POST", path, {"spec": spec})

    ref = {"kind": "Secret", "apiVersion": "v1", "name": "s"}
    code, made = await ask(boundObjectRef={**ref, "uid": secret["metadata"]["uid"]}, audiences=["a"])
    assert (code, made["spec"]["expirationSeconds"]) == (201, 3600)
    code, error = await ask(boundObjectRef={**ref, "uid": "other"})
    assert (code, error["message"]) == (
        409,
        'Operation cannot be fulfilled on Secret "s": the UID in the bound object reference (other) does not match the '
        "UID in record. The object might have been deleted and then recreated",
    )
    code, error = await ask(boundObjectRef={"kind": "ConfigMap", "apiVersion": "v1", "name": "s"})
    assert (code, error["message"]) == (400, "cannot bind token to object of type /v1, Kind=ConfigMap")
    for seconds, why in ((599, "less than 10 minutes"), ((1 << 32) + 1, "larger than 2^32 seconds")):
        assert await api.faults("POST", path, {"spec": {"expirationSeconds": seconds}}) == [
            f"spec.expirationSeconds: Invalid value: {seconds}: may not specify a duration {why}"
        ]
    assert await api.faults("POST", path, {"metadata": {"name": "other"}, "spec": {}}) == [
        'metadata.name: Invalid value: "other": must match the service account name if specified'
    ]


async def test_an_account_knows_its_secrets_by_name_alone(api):
    body = {"metadata": {"name": "a"}, "secrets": [{"name": "s", "namespace": "x", "uid": "u"}]}
    made = await api.made(f"{CORE}/serviceaccounts", body)
    assert made["secrets"] == [{"name": "s"}]


async def test_a_controller_takes_selector_and_labels_from_its_template(api):
    path = f"{CORE}/replicationcontrollers"
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    made = await api.made(path, {"metadata": {"name": "r"}, "spec": {"template": template}})
    assert (made["spec"]["selector"], made["metadata"]["labels"]) == ({"a": "b"}, {"a": "b"})
    assert (made["spec"]["replicas"], made["metadata"]["generation"]) == (1, 1)
    bad = {"metadata": {"name": "b"}, "spec": {"replicas": -1, "minReadySeconds": -1}}
    assert await api.faults("POST", path, bad) == [
        "spec.minReadySeconds: Invalid value: -1: must be greater than or equal to 0",
        "spec.selector: Required value",
        "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
        "spec.template: Required value",
    ]
    status = {"replicas": 1, "readyReplicas": 2, "observedGeneration": -1}
    assert await api.faults("PATCH", f"{path}/r/status", {"status": status}) == [
        "status.observedGeneration: Invalid value: -1: must be greater than or equal to 0",
        "status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas",
    ]
    code, scale = await api("PATCH", f"{path}/r/scale", {"spec": {"replicas": 3}})
    assert (code, scale["spec"]["replicas"], scale["status"]["selector"]) == (200, 3, "a=b")


async def test_component_statuses_are_made_when_asked_for(api):
    path = "/api/v1/componentstatuses"
    assert await api.warnings("GET", path) == ["v1 ComponentStatus is deprecated in v1.19+"]
    _, found = await api("GET", path)
    assert [item["metadata"]["name"] for item in found["items"]] == ["scheduler", "controller-manager", "etcd-0"]
    _, one = await api("GET", f"{path}/etcd-0")
    assert one["conditions"] == [{"type": "Healthy", "status": "True", "message": "ok"}]
    assert (await api("GET", f"{path}/other"))[0] == 404
    assert (await api("GET", f"{path}?watch=1"))[0] == 405
    row = (await api.table(path))[0]
    assert row == {"Name": "scheduler", "Status": "Healthy", "Message": "ok", "Error": ""}


async def test_a_namespace_is_finalized_with_care(api):
    path = "/api/v1/namespaces/x"
    made = await api.made("/api/v1/namespaces", {"metadata": {"name": "x"}})
    body = {**made, "spec": {"finalizers": ["kubernetes", "odd"]}}
    assert await api.faults("PUT", f"{path}/finalize", body) == [
        'spec.finalizers[1]: Invalid value: "odd": name is neither a standard finalizer name nor is it fully qualified'
    ]
    body["spec"] = {"finalizers": ["kubernetes", "example.com/mine"]}
    code, added = await api("PUT", f"{path}/finalize", body)
    assert (code, added["spec"], added["status"]) == (200, body["spec"], {"phase": "Active"})
    assert (await api("PUT", f"{path}/finalize", body))[0] == 409
    assert (await api("PATCH", f"{path}/finalize", {}))[0] == 405
    for phase, fault in (("Terminating", "may only be 'Active' if `deletionTimestamp` is empty"),):
        assert await api.faults("PATCH", f"{path}/status", {"status": {"phase": phase}}) == [
            f'status.Phase: Invalid value: "{phase}": {fault}'
        ]
    await api("PATCH", path, {"metadata": {"labels": {"kubernetes.io/metadata.name": "y"}}})
    _, kept = await api("GET", path)
    assert kept["metadata"]["labels"] == {"kubernetes.io/metadata.name": "x"}
    await api("DELETE", path)
    code, _ = await api("PUT", f"{path}/finalize", {"metadata": {"name": "x"}, "spec": {"finalizers": []}})
    assert code == 200
    assert (await api("GET", path))[0] == 404
