"""DeviceClasses, DeviceTaintRules, ResourceClaims and their templates, ResourceSlices."""

GROUP = "/apis/resource.k8s.io/v1"
CLAIMS = f"{GROUP}/namespaces/default/resourceclaims"
TEMPLATES = f"{GROUP}/namespaces/default/resourceclaimtemplates"
SLICES = f"{GROUP}/resourceslices"
RULES = f"{GROUP}/devicetaintrules"
MUST_NAME = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"


def claim(*requests, **more):
    return {"metadata": {"name": "c"}, "spec": {"devices": {"requests": list(requests)} | more}}


def exactly(name="r", **more):
    return {"name": name, "exactly": {"deviceClassName": "gpu"} | more}


def device(name="d", **more):
    return {"name": name} | more


def slice_of(*devices, **more):
    pool = {"name": "p", "generation": 0, "resourceSliceCount": 1}
    spec = {"driver": "gpu.example.com", "pool": pool, "nodeName": "n1", "devices": list(devices)}
    return {"metadata": {"name": "s"}, "spec": spec | more}


def paths(faults):
    return [fault.partition(": ")[0] for fault in faults]


async def test_a_claim_asks_for_one_device_of_each_request(api):
    choice = {"name": "s", "deviceClassName": "gpu", "tolerations": [{"key": "k"}]}
    body = claim(exactly(), {"name": "q", "firstAvailable": [choice]}, exactly("all", allocationMode="All"))
    made = await api.made(CLAIMS, body)
    first, second, third = made["spec"]["devices"]["requests"]
    assert (first["exactly"]["allocationMode"], first["exactly"]["count"]) == ("ExactCount", 1)
    assert second["firstAvailable"][0]["tolerations"] == [{"key": "k", "operator": "Equal"}]
    assert "count" not in third["exactly"]
    made["spec"]["devices"]["requests"].pop()
    (fault,) = await api.faults("PUT", f"{CLAIMS}/c", made)
    assert fault.startswith("spec: Invalid value")
    assert fault.endswith("field is immutable")
    (row,) = await api.table(CLAIMS)
    assert (list(row), row["State"]) == (["Name", "State", "Age"], "pending")


async def test_every_fault_of_a_claim_is_told(api):
    requests = (
        exactly("r", deviceClassName="", count=-1, selectors=[{}, {"cel": {"expression": "x" * 10241}}]),
        exactly(
            "r", allocationMode="All", count=2, tolerations=[{"operator": "Like"}, {"operator": "Exists", "value": "v"}]
        ),
        exactly("s", allocationMode="Some", derivedAttributes=[{"name": "a.b/c", "expression": ""}]),
        {"name": "Q"},
        {"name": "t", "exactly": {"deviceClassName": "a"}, "firstAvailable": [{"name": "u", "deviceClassName": "a"}]},
    )
    more = {
        "constraints": [{"requests": ["r", "r", "z", "a/b/c"], "matchAttribute": "model"}, {"requests": ["r"]}],
        "config": [{"requests": ["t/u"], "opaque": {"driver": "", "parameters": [1]}}, {}],
    }
    found = await api.faults("POST", CLAIMS, claim(*requests, **more))
    assert [fault.removeprefix("spec.devices.") for fault in found if "lowercase RFC 1123" not in fault] == [
        "requests[0].exactly.deviceClassName: Required value",
        "requests[0].exactly.selectors[0].cel: Required value",
        "requests[0].exactly.selectors[1].cel.expression: Too long: may not be more than 10240 bytes",
        "requests[0].exactly.count: Invalid value: -1: must be greater than zero",
        "requests[1].exactly.count: Invalid value: 2: must not be specified when allocationMode is 'All'",
        'requests[1].exactly.tolerations[0].operator: Unsupported value: "Like": supported values: "Equal", "Exists"',
        'requests[1].exactly.tolerations[1].value: Invalid value: "v": must be empty for operator `Exists`',
        'requests[2].exactly.derivedAttributes[0].name: Invalid value: "a.b/c": must be referenced by at least one '
        "matchAttribute or distinctAttribute constraint targeting this request",
        "requests[2].exactly.derivedAttributes[0].expression: Required value",
        'requests[2].exactly.allocationMode: Unsupported value: "Some": supported values: "All", "ExactCount"',
        "requests[3]: Required value: exactly one of `exactly` or `firstAvailable` is required",
        "requests[4]: Invalid value: null: exactly one of `exactly` or `firstAvailable` is required, but multiple fields "
        "are set",
        'requests[1]: Duplicate value: "r"',
        f'constraints[0].requests[2]: Invalid value: "z": {MUST_NAME}',
        f'constraints[0].requests[3]: Invalid value: "a/b/c": {MUST_NAME}',
        'constraints[0].requests[1]: Duplicate value: "r"',
        'constraints[0].matchAttribute: Invalid value: "model": a fully qualified name must be a domain and a name '
        "separated by a slash",
        'constraints[1]: Required value: exactly one of "matchAttribute" or "distinctAttribute" is required, but multiple '
        "fields are set",
        "config[0].opaque.driver: Required value",
        'config[0].opaque.parameters: Invalid value: "<value omitted>": must be a valid JSON object',
        "config[1].opaque: Required value",
    ]
    assert await api.faults("POST", CLAIMS, claim(*(exactly(f"r{i}") for i in range(33)))) == [
        "spec.devices.requests: Too many: 33: must have at most 32 items"
    ]


async def test_a_claim_is_given_devices_once(api):
    await api.made(CLAIMS, claim(exactly()))
    result = {"request": "r", "driver": "gpu.example.com", "pool": "p", "device": "d"}
    status = {
        "allocation": {"devices": {"results": [result]}},
        "reservedFor": [{"resource": "pods", "name": "p", "uid": "1"}],
    }
    code, given = await api("PATCH", f"{CLAIMS}/c/status", {"status": status})
    assert code == 200, given
    (row,) = await api.table(CLAIMS)
    assert row["State"] == "allocated,reserved"
    other = {"allocation": {"devices": {"results": [result | {"device": "e"}]}}}
    found = await api.faults("PUT", f"{CLAIMS}/c/status", {**given, "status": status | other})
    assert paths(found) == ["status.allocation"]
    devices = [{"driver": "gpu.example.com", "pool": "p", "device": "d", "data": {"a": 1}}]
    code, noted = await api("PATCH", f"{CLAIMS}/c/status", {"status": {"devices": devices}})
    assert (code, noted["status"]["devices"][0]["data"]) == (200, {"a": 1})
    _, freed = await api("PUT", f"{CLAIMS}/c/status", {**noted, "status": {"devices": noted["status"]["devices"]}})
    assert freed["status"] == {}


async def test_every_fault_of_what_a_claim_was_given_is_told(api):
    made = await api.made(CLAIMS, claim(exactly()))
    result = {
        "request": "z",
        "driver": "",
        "pool": "",
        "device": "D",
        "shareID": "x",
        "bindingConditions": ["a", "a"],
        "skipNodeOperations": ["NodePrepareResources"],
    }
    made["status"] = {
        "allocation": {"devices": {"results": [result], "config": [{}]}},
        "reservedFor": [{}, {}],
        "devices": [{"driver": "d", "pool": "p", "device": "x", "networkData": {"ips": ["10.0.0.1", "10.0.0.01/8"]}}],
    }
    found = await api.faults("PUT", f"{CLAIMS}/c/status", made)
    assert paths(found) == [
        "status.reservedFor[0].resource",
        "status.reservedFor[0].name",
        "status.reservedFor[0].uid",
        "status.reservedFor[1].resource",
        "status.reservedFor[1].name",
        "status.reservedFor[1].uid",
        "status.reservedFor[1]",
        "status.devices[0]",
        "status.devices[0].networkData.ips[0]",
        "status.devices[0].networkData.ips[1]",
        "status.allocation.devices.results[0].request",
        "status.allocation.devices.results[0].driver",
        "status.allocation.devices.results[0].driver",
        "status.allocation.devices.results[0].pool",
        "status.allocation.devices.results[0].device",
        "status.allocation.devices.results[0].bindingConditions[1]",
        "status.allocation.devices.results[0].bindingFailureConditions",
        "status.allocation.devices.results[0].shareID",
        "status.allocation.devices.results[0].skipNodeOperations",
        "status.allocation.devices.config[0].source",
        "status.allocation.devices.config[0].opaque",
    ]
    assert "status.devices[0]: Invalid value: d/p/x: must be an allocated device in the claim" in found
    made["status"] = {"reservedFor": [{"resource": "pods", "name": "p", "uid": "1"}]}
    assert await api.faults("PUT", f"{CLAIMS}/c/status", made) == [
        "status.reservedFor: Forbidden: may not be specified when `allocated` is not set"
    ]


async def test_devices_in_use_are_lent_to_labelled_namespaces_only(api):
    body = claim(exactly(adminAccess=True))
    (fault,) = await api.faults("POST", CLAIMS, body)
    assert fault == (
        "spec.devices.requests[0].adminAccess: Forbidden: admin access to devices requires the "
        "`resource.kubernetes.io/admin-access: true` label on the containing namespace"
    )
    template = {"metadata": {"name": "t"}, "spec": {"spec": body["spec"]}}
    assert len(await api.faults("POST", TEMPLATES, template)) == 1
    label = {"metadata": {"labels": {"resource.kubernetes.io/admin-access": "true"}}}
    await api("PATCH", "/api/v1/namespaces/default", label)
    await api.made(CLAIMS, body)


async def test_a_template_is_a_claim_that_stays(api):
    made = await api.made(TEMPLATES, {"metadata": {"name": "t"}, "spec": {"spec": claim(exactly())["spec"]}})
    assert made["spec"]["spec"]["devices"]["requests"][0]["exactly"]["count"] == 1
    made["spec"]["metadata"] = {"labels": {"a": "b"}}
    assert paths(await api.faults("PUT", f"{TEMPLATES}/t", made)) == ["spec"]
    bad = {
        "metadata": {"name": "u"},
        "spec": {"metadata": {"name": "x", "labels": {"-": "b"}}, "spec": {"devices": {"requests": [{}]}}},
    }
    assert paths(await api.faults("POST", TEMPLATES, bad)) == [
        "spec.metadata.labels",
        "spec.metadata.name",
        "spec.spec.devices.requests[0].name",
        "spec.spec.devices.requests[0]",
    ]


async def test_a_class_selects_and_configures(api):
    path = f"{GROUP}/deviceclasses"
    made = await api.made(path, {"metadata": {"name": "c"}, "spec": {"selectors": [{"cel": {"expression": "true"}}]}})
    made["spec"]["selectors"][0]["cel"]["expression"] = "false"
    _, changed = await api("PUT", f"{path}/c", made)
    assert changed["metadata"]["generation"] == 2
    bad = {"selectors": [{}], "config": [{}], "extendedResourceName": "cpu"}
    assert await api.faults("POST", path, {"metadata": {"name": "d"}, "spec": bad}) == [
        "spec.selectors[0].cel: Required value",
        "spec.config[0].opaque: Required value",
        'spec.extendedResourceName: Invalid value: "cpu": must be a valid extended resource name',
    ]


async def test_a_taint_notes_when_it_was_added(api):
    body = {"metadata": {"name": "t"}, "spec": {"taint": {"key": "k", "effect": "NoSchedule"}}}
    made = await api.made(RULES, body)
    assert made["spec"]["taint"]["timeAdded"] == made["metadata"]["creationTimestamp"]
    bad = {
        "deviceSelector": {"driver": "", "pool": "", "device": "D"},
        "taint": {"key": "", "value": "-", "effect": "Go"},
    }
    assert paths(await api.faults("POST", RULES, {"metadata": {"name": "u"}, "spec": bad})) == [
        "spec.deviceSelector.driver",
        "spec.deviceSelector.driver",
        "spec.deviceSelector.pool",
        "spec.deviceSelector.device",
        "spec.taint.key",
        "spec.taint.key",
        "spec.taint.value",
        "spec.taint.effect",
    ]
    made["status"] = {"conditions": [{"type": "a"}]}
    assert paths(await api.faults("PUT", f"{RULES}/t/status", made))[0] == "status.conditions[0].status"


async def test_slices_are_found_by_node_and_driver(api):
    await api.made(SLICES, slice_of(device()))
    other = slice_of(device(), driver="net.example.com", nodeName="n2") | {"metadata": {"name": "t"}}
    await api.made(SLICES, other)
    for selector, name in (("spec.nodeName%3Dn2", "t"), ("spec.driver%3Dgpu.example.com", "s")):
        _, found = await api("GET", f"{SLICES}?fieldSelector={selector}")
        assert [item["metadata"]["name"] for item in found["items"]] == [name]
    row, _ = await api.table(SLICES)
    assert list(row) == ["Name", "Node", "Driver", "Pool", "Age"]
    assert (row["Node"], row["Driver"], row["Pool"]) == ("n1", "gpu.example.com", "p")
    _, made = await api("GET", f"{SLICES}/s")
    made["spec"] |= {"driver": "x", "nodeName": "y"}
    made["spec"]["pool"]["name"] = "z"
    assert paths(await api.faults("PUT", f"{SLICES}/s", made)) == ["spec.pool.name", "spec.driver", "spec.nodeName"]


async def test_a_slice_is_in_one_place(api):
    text = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"
    assert await api.faults("POST", SLICES, slice_of(nodeName=None)) == [f"spec: Required value: {text}"]
    assert await api.faults("POST", SLICES, slice_of(allNodes=True)) == [
        f'spec: Invalid value: "{{`nodeName`, `allNodes`}}": {text}, but multiple fields are set'
    ]
    bad = {"nodeName": "", "nodeSelector": {}, "allNodes": False, "perDeviceNodeSelection": False}
    assert paths(await api.faults("POST", SLICES, slice_of(**bad))) == [
        "spec.nodeName",
        "spec.nodeSelector.nodeSelectorTerms",
        "spec.nodeSelector.nodeSelectorTerms",
        "spec.allNodes",
        "spec.perDeviceNodeSelection",
    ]
    chosen = slice_of(device("a"), device("b", nodeName="n", allNodes=True), nodeName=None, perDeviceNodeSelection=True)
    assert paths(await api.faults("POST", SLICES, chosen)) == ["spec.devices[0]", "spec.devices[1]"]
    assert paths(await api.faults("POST", SLICES, slice_of(device(nodeName="n")))) == ["spec.devices[0]"]


async def test_every_fault_of_a_device_is_told(api):
    attributes = {
        "a/b/c": {"bool": True},
        "/x": {"int": 1},
        "1x": {"string": "s" * 65},
        "v": {"version": "1.2"},
        "w": {"versions": ["1.2.3-a.1+b", "x"]},
        "n": {},
        "m": {"bool": True, "int": 1},
    }
    bad = device("D", attributes=attributes, taints=[{"key": "k", "effect": "Go"}], consumesCounters=[{}])
    found = await api.faults("POST", SLICES, slice_of(bad, device("d"), device("d"), sharedCounters=[{"name": "A"}]))
    assert paths(found) == [
        "spec",
        "spec.devices[0].name",
        "spec.devices[0].attributes",
        "spec.devices[0].attributes",
        "spec.devices[0].attributes[1x].string",
        "spec.devices[0].attributes",
        "spec.devices[0].attributes[m]",
        "spec.devices[0].attributes[n]",
        "spec.devices[0].attributes[v].version",
        "spec.devices[0].attributes[w].versions[1]",
        "spec.devices[0].taints[0].effect",
        "spec.devices[0].consumesCounters[0].counterSet",
        "spec.devices[0].consumesCounters[0].counters",
        "spec.devices[2]",
        "spec.sharedCounters[0].name",
        "spec.sharedCounters[0].counters",
    ]
    many = slice_of(*(device(f"d{i}") for i in range(129)))
    assert await api.faults("POST", SLICES, many) == ["spec.devices: Too many: 129: must have at most 128 items"]
    crowded = device(attributes={f"a{i}": {"int": i} for i in range(33)})
    assert await api.faults("POST", SLICES, slice_of(crowded)) == [
        "spec.devices[0]: Invalid value: 33: the total number of attributes and capacities must not exceed 32"
    ]


async def test_amounts_that_may_be_asked_for_fit_the_capacity(api):
    def policy(**rule):
        return {"value": "10", "requestPolicy": rule}

    capacity = {
        "a": policy(default="3", validValues=["2", "1", "20"]),
        "b": policy(validRange={"min": "1"}),
        "c": policy(default="30", validRange={"min": "20", "max": "10", "step": "3"}),
        "d": policy(default="2", validRange={"min": "1", "max": "9", "step": "4"}),
        "e": policy(default="1", validRange={}),
        "f": policy(default="1", validValues=["1"], validRange={"min": "1"}),
    }
    found = await api.faults("POST", SLICES, slice_of(device(allowMultipleAllocations=True, capacity=capacity)))
    assert [fault.removeprefix("spec.devices[0].capacity") for fault in found] == [
        '[a].requestPolicy.validValues[1]: Invalid value: "1": values must be sorted in ascending order',
        '[a].requestPolicy.validValues[2]: Invalid value: "20": option is larger than capacity value: 10',
        '[a].requestPolicy.validValues: Invalid value: "3": default value is not valid according to the requestPolicy',
        "[b].requestPolicy.default: Required value: required when validRange is defined",
        '[c].requestPolicy.validRange.min: Invalid value: "20": min is larger than capacity value: 10',
        '[c].requestPolicy.validRange.max: Invalid value: "20": min is larger than max: 10',
        '[c].requestPolicy.validRange.default: Invalid value: "30": default is more than max: 10',
        '[c].requestPolicy.validRange.step: Invalid value: "3": one step 23 is larger than capacity value: 10',
        '[c].requestPolicy.validRange.step: Invalid value: "30": value is not a multiple of a given step (3) from (20)',
        '[c].requestPolicy.validRange.step: Invalid value: "10": value is not a multiple of a given step (3) from (20)',
        '[d].requestPolicy.validRange.step: Invalid value: "2": value is not a multiple of a given step (4) from (1)',
        "[e].requestPolicy.validRange.min: Required value: required when validRange is defined",
        '[f].requestPolicy: Forbidden: exactly one policy can be specified, cannot specify "validValues" and "validRange" '
        "at the same time",
    ]
    alone = slice_of(device(capacity={"a": policy(default="1")}))
    assert await api.faults("POST", SLICES, alone) == [
        "spec.devices[0].capacity[a].requestPolicy: Forbidden: allowMultipleAllocations must be true"
    ]
