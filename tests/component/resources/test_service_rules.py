"""Services: two families, changes of type, and what may not stand together."""

import ipaddress

import pytest
from tests.component.api import serving

PATH = "/api/v1/namespaces/default/services"
WEB = f"{PATH}/web"
NETWORKS = tuple(ipaddress.ip_network(text) for text in ("10.96.0.0/12", "fd00:10::/108"))


def service(name="web", **spec):
    return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], **spec}}


@pytest.fixture
async def dual():
    async with serving(service_networks=NETWORKS) as api:
        yield api


async def test_policies_decide_how_many_families_a_service_has(dual):
    for number, (given, families) in enumerate(
        (
            ({}, ["IPv4"]),
            ({"ipFamilies": ["IPv6"]}, ["IPv6"]),
            ({"ipFamilyPolicy": "PreferDualStack"}, ["IPv4", "IPv6"]),
            ({"ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv6"]}, ["IPv6", "IPv4"]),
            ({"clusterIP": "fd00:10::77"}, ["IPv6"]),
            ({"clusterIP": "None", "selector": {"a": "b"}}, ["IPv4"]),
            ({"clusterIP": "None"}, ["IPv4", "IPv6"]),
        )
    ):
        made = (await dual.made(PATH, service(f"s{number}", **given)))["spec"]
        assert made["ipFamilies"] == families, given
        if made["clusterIP"] != "None":
            assert [f"IPv{ipaddress.ip_address(ip).version}" for ip in made["clusterIPs"]] == families


async def test_a_service_gains_and_loses_a_family_by_its_policy(dual):
    made = (await dual.made(PATH, service()))["spec"]
    code, grown = await dual("PATCH", WEB, {"spec": {"ipFamilyPolicy": "PreferDualStack"}})
    assert code == 200, grown
    assert (grown["spec"]["clusterIPs"][0], grown["spec"]["ipFamilies"]) == (made["clusterIP"], ["IPv4", "IPv6"])
    body = service(clusterIP=made["clusterIP"], clusterIPs=[made["clusterIP"]], ipFamilyPolicy="PreferDualStack")
    assert await dual.faults("PUT", WEB, body) == [
        'spec.ipFamilyPolicy: Invalid value: "PreferDualStack": '
        "must be 'SingleStack' to release the secondary cluster IP"
    ]
    code, shrunk = await dual("PATCH", WEB, {"spec": {"ipFamilyPolicy": "SingleStack"}})
    assert (shrunk["spec"]["clusterIPs"], shrunk["spec"]["ipFamilies"]) == ([made["clusterIP"]], ["IPv4"])


async def test_two_families_need_a_cluster_and_a_policy_for_them(api, dual):
    for given, fault in (
        (
            {"ipFamilyPolicy": "RequireDualStack"},
            'spec.ipFamilyPolicy: Invalid value: "RequireDualStack": '
            "this cluster is not configured for dual-stack services",
        ),
        ({"ipFamilies": ["IPv6"]}, 'spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster'),
        (
            {"clusterIP": "fd00::1"},
            'spec.clusterIPs[0]: Invalid value: ["fd00::1"]: IPv6 is not configured on this cluster',
        ),
    ):
        assert await api.faults("POST", PATH, service(**given)) == [fault]
    assert await dual.faults("POST", PATH, service(ipFamilies=["IPv4", "IPv6"])) == [
        'spec.ipFamilyPolicy: Invalid value: "SingleStack": '
        "must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified"
    ]
    made = await api.made(PATH, service(ipFamilyPolicy="PreferDualStack"))
    assert made["spec"]["ipFamilies"] == ["IPv4"]


async def test_addresses_and_families_agree(dual):
    faults = await dual.faults(
        "POST", PATH, service(clusterIP="10.96.0.9", clusterIPs=["10.96.0.9", "10.96.0.8"], ipFamilies=["IPv6", "IPv6"])
    )
    assert faults == [
        'spec.ipFamilies[1]: Duplicate value: "IPv6"',
        'spec.clusterIPs: Invalid value: ["10.96.0.9","10.96.0.8"]: may specify no more than one IP for each IP family',
        'spec.clusterIPs[0]: Invalid value: "10.96.0.9": expected an IPv6 value as indicated by `ipFamilies[0]`',
        'spec.clusterIPs[1]: Invalid value: "10.96.0.8": expected an IPv6 value as indicated by `ipFamilies[1]`',
    ]
    assert await dual.faults("POST", PATH, service(clusterIPs=["10.96.0.9"])) == [
        'spec.clusterIPs: Invalid value: ["10.96.0.9"]: must be empty when `clusterIP` is not specified'
    ]
    assert await dual.faults("POST", PATH, service(clusterIP="None", type="NodePort")) == [
        "spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for NodePort services"
    ]


async def test_every_type_becomes_every_other(api):
    """What one type had is gone in the next unless that has it too; what the client gave stays."""
    await api.made(PATH, service(selector={"a": "b"}))
    for kind, more in (
        ("NodePort", {}),
        ("LoadBalancer", {"loadBalancerClass": "example.com/x", "externalTrafficPolicy": "Local"}),
        ("ExternalName", {"externalName": "a.example"}),
        ("NodePort", {}),
        ("ClusterIP", {}),
        ("ExternalName", {}),
        ("LoadBalancer", {}),
        ("ClusterIP", {}),
    ):
        code, changed = await api("PATCH", WEB, {"spec": {"type": kind, **more}})
        assert code == 200, changed
        spec = changed["spec"]
        assert bool(spec.get("clusterIP")) == (kind != "ExternalName"), kind
        assert bool(spec.get("ipFamilies")) == (kind != "ExternalName"), kind
        assert bool(spec["ports"][0].get("nodePort")) == (kind in ("NodePort", "LoadBalancer")), kind
        assert ("allocateLoadBalancerNodePorts" in spec) == (kind == "LoadBalancer"), kind
        assert ("externalTrafficPolicy" in spec) == (kind in ("NodePort", "LoadBalancer")), kind
        assert bool(spec.get("healthCheckNodePort")) == (
            kind == "LoadBalancer" and spec["externalTrafficPolicy"] == "Local"
        )
        assert changed["status"] == {"loadBalancer": {}}


async def test_a_balancer_has_rules_of_its_own(api):
    ranges = {"loadBalancerSourceRanges": [" 10.0.0.0/8", "10.0.0.1/8"]}
    assert await api.faults(
        "POST", PATH, service(loadBalancerClass="x/y", allocateLoadBalancerNodePorts=True, **ranges)
    ) == [
        "spec.LoadBalancerSourceRanges: Forbidden: may only be used when `type` is 'LoadBalancer'",
        'spec.LoadBalancerSourceRanges[1]: Invalid value: "10.0.0.1/8": must not have bits set beyond the prefix length',
        "spec.allocateLoadBalancerNodePorts: Forbidden: may only be used when `type` is 'LoadBalancer'",
        "spec.loadBalancerClass: Forbidden: may only be used when `type` is 'LoadBalancer'",
    ]
    made = await api.made(
        PATH, service(type="LoadBalancer", allocateLoadBalancerNodePorts=False, loadBalancerClass="x/y")
    )
    assert "nodePort" not in made["spec"]["ports"][0]
    assert await api.faults("PATCH", WEB, {"spec": {"loadBalancerClass": "x/z"}}) == [
        'spec.loadBalancerClass: Invalid value: "x/z": may not change once set'
    ]
    ingress = [{"ip": "1.2.3.4"}, {"hostname": "1.2.3.4"}, {"ip": "1.2.3.4", "ipMode": "Odd"}, {"ipMode": "VIP"}]
    at = "status.loadBalancer.ingress"
    assert await api.faults("PATCH", f"{WEB}/status", {"status": {"loadBalancer": {"ingress": ingress}}}) == [
        f'{at}[1].hostname: Invalid value: "1.2.3.4": must be a DNS name, not an IP address',
        f'{at}[2].ipMode: Unsupported value: "Odd": supported values: "Proxy", "VIP"',
        f"{at}[3].ipMode: Forbidden: may not be specified when `ip` is not set",
    ]
    code, told = await api("PATCH", f"{WEB}/status", {"status": {"loadBalancer": {"ingress": ingress[:1]}}})
    assert told["status"]["loadBalancer"]["ingress"] == [{"ip": "1.2.3.4", "ipMode": "VIP"}]
    row = next(row for row in await api.table(PATH) if row["Name"] == "web")
    assert row["External-IP"] == "1.2.3.4"
    code, changed = await api("PATCH", WEB, {"spec": {"type": "ClusterIP"}})
    assert (code, changed["status"]) == (200, {"loadBalancer": {}})
    assert await api.faults("PATCH", f"{WEB}/status", {"status": {"loadBalancer": {"ingress": ingress[:1]}}}) == [
        f"{at}: Forbidden: may only be used when `spec.type` is 'LoadBalancer'"
    ]


async def test_a_health_check_has_a_port_that_stays(api):
    local = {"type": "LoadBalancer", "externalTrafficPolicy": "Local"}
    made = await api.made(PATH, service(**local))
    port = made["spec"]["healthCheckNodePort"]
    assert 30000 <= port < 32768
    assert await api.faults(
        "PATCH", WEB, {"spec": {"healthCheckNodePort": port + 1 if port < 32767 else port - 1}}
    ) == ["spec.healthCheckNodePort: Forbidden: field is immutable"]
    assert await api.faults("POST", PATH, service("b", **local, healthCheckNodePort=port)) == [
        f"spec.healthCheckNodePort: Invalid value: {port}: provided port is already allocated"
    ]
    assert await api.faults("POST", PATH, service("b", healthCheckNodePort=30010)) == [
        "spec.healthCheckNodePort: Invalid value: 30010: may only be set when `type` is 'LoadBalancer' and "
        "`externalTrafficPolicy` is 'Local'"
    ]


async def test_one_port_of_two_protocols_is_one_node_port(api):
    both = [{"port": 53, "protocol": protocol, "name": protocol.lower()} for protocol in ("UDP", "TCP")]
    made = await api.made(PATH, service(type="NodePort", ports=both))
    assert len({port["nodePort"] for port in made["spec"]["ports"]}) == 1
    code, more = await api("PATCH", WEB, {"spec": {"ports": [{"port": 80, "name": "web"}]}})
    assert (code, len({port["nodePort"] for port in more["spec"]["ports"]})) == (200, 2)


async def test_affinity_distribution_and_protocols(api):
    assert await api.faults(
        "POST",
        PATH,
        service(
            sessionAffinity="ClientIP",
            sessionAffinityConfig={"clientIP": {"timeoutSeconds": 86401}},
            trafficDistribution="Near",
            internalTrafficPolicy="Odd",
            externalTrafficPolicy="Local",
            ports=[{"port": 80, "appProtocol": "a/b/c"}],
        ),
    ) == [
        'spec.ports[0].appProtocol: Invalid value: "a/b/c": a qualified name must consist of alphanumeric characters, '
        "'-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or "
        "'123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS "
        "subdomain prefix and '/' (e.g. 'example.com/MyName')",
        "spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 86401: must be greater than 0 and less than "
        "86400",
        'spec.externalTrafficPolicy: Invalid value: "Local": may only be set for externally-accessible services',
        'spec.internalTrafficPolicy: Unsupported value: "Odd": supported values: "Cluster", "Local"',
        'spec.trafficDistribution: Unsupported value: "Near": supported values: "PreferClose", "PreferSameNode", '
        '"PreferSameZone"',
    ]
    made = await api.made(PATH, service(externalIPs=["1.2.3.4"], trafficDistribution="PreferSameNode"))
    assert made["spec"]["externalTrafficPolicy"] == "Cluster"


async def test_a_port_that_is_there_twice_is_shown_as_upstream_has_it(api):
    ports = [{"name": "a", "port": 80}, {"name": "b", "port": 80}, {"name": "c", "port": 80, "protocol": "UDP"}]
    assert await api.faults("POST", PATH, service(ports=ports)) == [
        'spec.ports[1]: Duplicate value: {"Name":"","Protocol":"TCP","AppProtocol":null,"Port":80,"TargetPort":0,'
        '"NodePort":0}'
    ]
