"""networking.k8s.io: Ingress, IngressClass, NetworkPolicy, IPAddress, ServiceCIDR."""

import pytest
from tests.examples_of_kinds import example

ROOT = "/apis/networking.k8s.io/v1"
INGRESSES = f"{ROOT}/namespaces/default/ingresses"
CLASSES = f"{ROOT}/ingressclasses"
POLICIES = f"{ROOT}/namespaces/default/networkpolicies"
ADDRESSES = f"{ROOT}/ipaddresses"
RANGES = f"{ROOT}/servicecidrs"
IMMUTABLE = "field is immutable"
BACKEND = {"service": {"name": "web", "port": {"name": "http"}}}
PATH = {"path": "/", "pathType": "Prefix", "backend": BACKEND}


def kind(plural, **spec):
    body = example("networking.k8s.io", "v1", plural)
    return {**body, "spec": spec or body["spec"]}


def host(name, *paths):
    return {"host": name, "http": {"paths": list(paths or [PATH])}}


def at_path(path, kind="Prefix", backend=BACKEND):
    return {"path": path, "pathType": kind, "backend": backend}


async def rule_faults(api, *paths):
    """Of an Ingress with these paths, without the place where all of them are."""
    found = await api.faults("POST", INGRESSES, kind("ingresses", rules=[{"http": {"paths": list(paths)}}]))
    return [fault.removeprefix("spec.rules[0].http.paths") for fault in found]


async def test_an_ingress_serves_something(api):
    assert await api.faults("POST", INGRESSES, kind("ingresses", ingressClassName="x")) == [
        "spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"
    ]
    rules = [host("1.2.3.4"), host("*.*.a"), host("A"), {"http": {"paths": []}}]
    tls = [{"hosts": ["*a"], "secretName": "_"}]
    found = await api.faults("POST", INGRESSES, kind("ingresses", rules=rules, tls=tls, ingressClassName="_"))
    assert [fault.partition(": Invalid value")[0] for fault in found] == [
        "spec.rules[0].host",
        "spec.rules[1].host",
        "spec.rules[2].host",
        "spec.rules[3].http.paths: Required value",
        "spec.tls[0].hosts[0]",
        "spec.tls[0].secretName",
        "spec.ingressClassName",
    ]
    assert found[0] == 'spec.rules[0].host: Invalid value: "1.2.3.4": must be a DNS name, not an IP address'


async def test_paths_are_absolute_and_plain(api):
    assert await rule_faults(
        api,
        at_path("a"),
        at_path("/a//b/./c/../d%2f%2F", "Exact"),
        at_path("/a/.."),
        at_path("/a/."),
        at_path("a", "ImplementationSpecific"),
        at_path("", "ImplementationSpecific"),
        at_path("/", "Other"),
        {"path": "/", "backend": {}},
    ) == [
        '[0].path: Invalid value: "a": must be an absolute path',
        *[
            f"[1].path: Invalid value: \"/a//b/./c/../d%2f%2F\": must not contain '{sequence}'"
            for sequence in ("//", "/./", "/../", "%2f", "%2F")
        ],
        "[2].path: Invalid value: \"/a/..\": cannot end with '/..'",
        "[3].path: Invalid value: \"/a/.\": cannot end with '/.'",
        '[4].path: Invalid value: "a": must be an absolute path',
        '[6].pathType: Unsupported value: "Other": supported values: "Exact", "ImplementationSpecific", "Prefix"',
        "[7].pathType: Required value: pathType must be specified",
    ]


async def test_a_backend_is_one_service_port_or_one_object(api):
    resource = {"kind": "Bucket", "name": "b"}
    named = {"name": "9", "port": {"number": 70000}}
    found = await rule_faults(
        api,
        at_path("/", backend={}),
        at_path("/", backend={"resource": resource, **BACKEND}),
        at_path("/", backend={"resource": {"apiGroup": "_", "kind": "", "name": "a/b"}}),
        at_path("/", backend={"service": {"name": "", "port": {"name": "a", "number": 1}}}),
        at_path("/", backend={"service": {"name": "a", "port": {}}}),
        at_path("/", backend={"service": named}),
    )
    assert [fault for fault in found if "apiGroup" not in fault] == [
        '[0].backend: Invalid value: "": resource or service backend is required',
        '[1].backend: Invalid value: "": cannot set both resource and service backends',
        "[2].backend.resource.kind: Required value",
        "[2].backend.resource.name: Invalid value: \"a/b\": may not contain '/'",
        "[3].backend.service.name: Required value",
        '[3].backend: Invalid value: "": cannot set both port name & port number',
        "[4].backend: Required value: port name or number is required",
        "[5].backend.service.port.number: Invalid value: 70000: must be between 1 and 65535, inclusive",
    ]


async def test_the_old_annotation_may_not_contradict_a_new_ingress(api):
    body = kind("ingresses", ingressClassName="a", defaultBackend=BACKEND)
    body["metadata"]["annotations"] = {"kubernetes.io/ingress.class": "b"}
    assert await api.faults("POST", INGRESSES, body) == [
        'annotations.kubernetes.io/ingress.class: Invalid value: "b": must match `ingressClassName` when both are'
        " specified"
    ]
    del body["spec"]["ingressClassName"]
    assert await api.warnings("POST", INGRESSES, body) == [
        "annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' instead"
    ]
    _, changed = await api("PATCH", f"{INGRESSES}/example", {"spec": {"ingressClassName": "a"}})
    assert (changed["spec"]["ingressClassName"], changed["metadata"]["generation"]) == ("a", 2)


async def test_an_ingress_shows_hosts_and_where_it_is_served(api):
    await api.made(INGRESSES, kind("ingresses", rules=[host(f"h{i}") for i in range(5)], tls=[{"hosts": ["h0"]}]))
    points = [{"ip": "10.0.0.2"}, {"hostname": "lb.example.com"}, {"ip": "10.0.0.1"}]
    assert (await api("PATCH", f"{INGRESSES}/example/status", {"status": {"loadBalancer": {"ingress": points}}}))[
        0
    ] == 200
    (row,) = await api.table(INGRESSES)
    assert [row[name] for name in ("Class", "Hosts", "Address", "Ports")] == [
        "<none>",
        "h0,h1,h2 + 2 more...",
        "10.0.0.1,10.0.0.2,lb.example.com",
        "80, 443",
    ]
    status = {"status": {"loadBalancer": {"ingress": [{"ip": "2001:DB8::1"}]}}}
    assert await api.warnings("PATCH", f"{INGRESSES}/example/status", status) == [
        'status.loadBalancer.ingress[0]: IPv6 address "2001:DB8::1" should be in RFC 5952 canonical format ("2001:db8::1")'
    ]
    bad = [{"ip": "010.0.0.1"}, {"ip": "x"}, {"hostname": "10.0.0.1"}]
    found = await api.faults("PATCH", f"{INGRESSES}/example/status", {"status": {"loadBalancer": {"ingress": bad}}})
    assert found == [
        'status.loadBalancer.ingress[0].ip: Invalid value: "010.0.0.1": must not have leading 0s',
        'status.loadBalancer.ingress[1].ip: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or'
        " 2001:db8::ffff)",
        'status.loadBalancer.ingress[2].hostname: Invalid value: "10.0.0.1": must be a DNS name, not an IP address',
    ]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"controller": ""}, ["spec.controller: Required value"]),
        (
            {"controller": "a"},
            ['spec.controller: Invalid value: "a": must be a domain-prefixed path (such as "acme.io/foo")'],
        ),
        (
            {"controller": "a/ "},
            [
                'spec.controller: Invalid value: " ": Invalid path (regex used for validation is'
                " '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')"
            ],
        ),
        (
            {"controller": f"a/{'b' * 249}", "parameters": {}},
            [
                "spec.controller: Too long: may not be more than 250 bytes",
                "spec.parameters.kind: Required value",
                "spec.parameters.name: Required value",
            ],
        ),
        (
            {"controller": "a/b", "parameters": {"kind": "K", "name": "n", "scope": "Namespace"}},
            ["spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'"],
        ),
        (
            {"controller": "a/b", "parameters": {"kind": "K", "name": "n", "namespace": "n"}},
            ["spec.parameters.namespace: Forbidden: `parameters.scope` is set to 'Cluster'"],
        ),
        (
            {"controller": "a/b", "parameters": {"kind": "K", "name": "n", "scope": "All"}},
            ['spec.parameters.scope: Unsupported value: "All": supported values: "Cluster", "Namespace"'],
        ),
    ],
)
async def test_an_ingress_class_names_its_controller_and_parameters(api, spec, expected):
    assert await api.faults("POST", CLASSES, kind("ingressclasses", **spec)) == expected


async def test_the_controller_of_an_ingress_class_stays(api):
    parameters = {"apiGroup": "example.com", "kind": "Settings", "name": "s"}
    made = await api.made(CLASSES, kind("ingressclasses", controller="a/b", parameters=parameters))
    assert (made["spec"]["parameters"]["scope"], made["metadata"]["generation"]) == ("Cluster", 1)
    made["spec"]["controller"] = "c/d"
    assert await api.faults("PUT", f"{CLASSES}/example", made) == [
        f'spec.controller: Invalid value: "c/d": {IMMUTABLE}'
    ]
    (row,) = await api.table(CLASSES)
    assert (row["Controller"], row["Parameters"]) == ("a/b", "Settings.example.com/s")


async def test_a_policy_is_about_what_it_has_rules_for(api):
    first = await api.made(POLICIES, kind("networkpolicies"))
    assert first["spec"]["policyTypes"] == ["Ingress"]
    body = kind("networkpolicies", podSelector={}, egress=[{"ports": [{"port": 53}]}])
    body["metadata"]["name"] = "second"
    second = await api.made(POLICIES, body)
    assert second["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert second["spec"]["egress"] == [{"ports": [{"protocol": "TCP", "port": 53}]}]
    rows = await api.table(POLICIES)
    assert [row["Pod-Selector"] for row in rows] == ["app=web", "<none>"]


async def test_a_policy_is_told_all_its_faults(api):
    ports = [
        {"protocol": "ICMP", "port": 0},
        {"port": 80, "endPort": 79},
        {"port": "http", "endPort": 1},
        {"endPort": 1},
    ]
    block = {"cidr": "10.0.0.0/8", "except": ["10.0.0.0/8", "11.0.0.0/16", "10.1.0.1/16", "x"]}
    peers = [{}, {"podSelector": {}, "ipBlock": block}, {"ipBlock": {"cidr": ""}}, {"ipBlock": {"cidr": "010.0.0.0/8"}}]
    ingress = [{"ports": ports, "from": peers}]
    bad = kind("networkpolicies", podSelector={"matchLabels": {"a": " "}}, ingress=ingress, policyTypes=["Both"])
    found = await api.faults("POST", POLICIES, bad)
    assert found[0].startswith("spec.podSelector.matchLabels: Invalid value")
    at = "spec.ingress[0]"
    assert found[1:] == [
        f'{at}.ports[0].protocol: Unsupported value: "ICMP": supported values: "TCP", "UDP", "SCTP"',
        f"{at}.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
        f"{at}.ports[1].endPort: Invalid value: 79: must be greater than or equal to `port`",
        f"{at}.ports[2].endPort: Invalid value: 1: may not be specified when `port` is non-numeric",
        f"{at}.ports[3].endPort: Invalid value: 1: may not be specified when `port` is not specified",
        f"{at}.from[0]: Required value: must specify a peer",
        f'{at}.from[1].ipBlock.except[0]: Invalid value: "10.0.0.0/8": must be a strict subset of `cidr`',
        f'{at}.from[1].ipBlock.except[1]: Invalid value: "11.0.0.0/16": must be a strict subset of `cidr`',
        f'{at}.from[1].ipBlock.except[2]: Invalid value: "10.1.0.1/16": must not have bits set beyond the prefix length',
        f'{at}.from[1].ipBlock.except[3]: Invalid value: "x": must be a valid CIDR value, (e.g. 10.9.8.0/24 or'
        " 2001:db8::/64)",
        f"{at}.from[1]: Forbidden: may not specify both ipBlock and another peer",
        f"{at}.from[2].ipBlock.cidr: Required value",
        f'{at}.from[3].ipBlock.cidr: Invalid value: "010.0.0.0/8": must not have leading 0s in IP or prefix length',
        'spec.policyTypes[0]: Unsupported value: "Both": supported values: "Ingress", "Egress"',
    ]
    many = kind("networkpolicies", podSelector={}, policyTypes=["Ingress", "Egress", "Ingress"])
    assert await api.faults("POST", POLICIES, many) == [
        'spec.policyTypes: Invalid value: ["Ingress","Egress","Ingress"]: may not specify more than two policyTypes'
    ]


async def test_a_network_in_an_unusual_form_is_allowed_with_a_warning(api):
    peer = {"ipBlock": {"cidr": "2001:DB8::/32", "except": ["2001:db8:0::/48"]}}
    body = kind("networkpolicies", podSelector={}, egress=[{"to": [peer]}])
    at = "spec.egress[0].to[0].ipBlock"
    assert await api.warnings("POST", POLICIES, body) == [
        f'{at}.cidr: IPv6 CIDR value "2001:DB8::/32" should be in RFC 5952 canonical format ("2001:db8::/32")',
        f'{at}.except[0]: IPv6 CIDR value "2001:db8:0::/48" should be in RFC 5952 canonical format ("2001:db8::/48")',
    ]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("010.0.0.1", "must not have leading 0s"),
        ("::ffff:10.0.0.1", "must not be an IPv4-mapped IPv6 address"),
        ("2001:DB8::1", 'must be in canonical form ("2001:db8::1")'),
        ("web", "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"),
    ],
)
async def test_an_address_is_named_by_itself(api, name, why):
    body = kind("ipaddresses")
    body["metadata"]["name"] = name
    assert await api.faults("POST", ADDRESSES, body) == [f'metadata.name: Invalid value: "{name}": {why}']


async def test_an_address_belongs_to_one_object_for_ever(api):
    parent = {"group": "_", "resource": "a/b", "name": "", "namespace": ".."}
    found = await api.faults("POST", ADDRESSES, kind("ipaddresses", parentRef=parent))
    assert found[0].startswith('spec.parentRef.group: Invalid value: "_"')
    assert found[1:] == [
        "spec.parentRef.resource: Invalid value: \"a/b\": may not contain '/'",
        "spec.parentRef.name: Required value",
        "spec.parentRef.namespace: Invalid value: \"..\": may not be '..'",
    ]
    made = await api.made(ADDRESSES, kind("ipaddresses"))
    made["spec"]["parentRef"]["name"] = "other"
    (fault,) = await api.faults("PUT", f"{ADDRESSES}/10.0.0.1", made)
    assert fault.endswith(IMMUTABLE)
    assert {"Name": "10.0.0.1", "ParentRef": "services/default/web"} in await api.table(ADDRESSES)


@pytest.mark.parametrize(
    ("cidrs", "expected"),
    [
        ([], ["spec.cidrs: Required value: at least one CIDR required"]),
        (
            ["10.0.0.1/8"],
            ['spec.cidrs[0]: Invalid value: "10.0.0.1/8": must not have bits set beyond the prefix length'],
        ),
        (
            ["2001:DB8::/64"],
            ['spec.cidrs[0]: Invalid value: "2001:DB8::/64": must be in canonical form ("2001:db8::/64")'],
        ),
        (
            ["10.0.0.0/8", "11.0.0.0/8"],
            [
                'spec.cidrs: Invalid value: ["10.0.0.0/8","11.0.0.0/8"]: may specify no more than one IP for each IP family,'
                " i.e 192.168.0.0/24 and 2001:db8::/64"
            ],
        ),
    ],
)
async def test_a_range_is_one_network_of_each_family(api, cidrs, expected):
    assert await api.faults("POST", RANGES, kind("servicecidrs", cidrs=cidrs)) == expected


async def test_a_range_may_get_a_second_family_and_nothing_else(api):
    made = await api.made(RANGES, kind("servicecidrs"))
    made["spec"]["cidrs"] = ["10.2.0.0/16"]
    assert await api.faults("PUT", f"{RANGES}/example", made) == [
        f'spec.cidrs[0]: Invalid value: "10.2.0.0/16": {IMMUTABLE}'
    ]
    made["spec"]["cidrs"] = ["10.1.0.0/16", "2001:db8::/64"]
    code, made = await api("PUT", f"{RANGES}/example", made)
    assert code == 200
    made["spec"]["cidrs"] = ["10.1.0.0/16"]
    assert await api.faults("PUT", f"{RANGES}/example", made) == [
        f'spec.cidrs: Invalid value: ["10.1.0.0/16"]: {IMMUTABLE}'
    ]
    rows = {row["Name"]: row["CIDRs"] for row in await api.table(RANGES)}
    assert rows == {"example": "10.1.0.0/16,2001:db8::/64", "kubernetes": "10.96.0.0/12"}
