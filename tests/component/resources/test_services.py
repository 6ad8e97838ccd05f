"""Services: addresses and ports given, kept, refused and freed."""

import pytest

PATH = "/api/v1/namespaces/default/services"


def service(name="web", **spec):
    return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], **spec}}


async def test_a_service_gets_an_address_and_upstreams_defaults(api):
    made = (await api.made(PATH, service(selector={"app": "web"})))["spec"]
    address = made["clusterIP"]
    assert address.startswith("10.")
    assert made == {
        "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
        "selector": {"app": "web"},
        "clusterIP": address,
        "clusterIPs": [address],
        "type": "ClusterIP",
        "sessionAffinity": "None",
        "ipFamilies": ["IPv4"],
        "ipFamilyPolicy": "SingleStack",
        "internalTrafficPolicy": "Cluster",
    }


async def test_an_address_may_be_chosen_once(api):
    await api.made(PATH, service(clusterIP="10.96.0.10"))
    assert await api.faults("POST", PATH, service("other", clusterIP="10.96.0.10")) == [
        'spec.clusterIPs: Invalid value: ["10.96.0.10"]: failed to allocate IP 10.96.0.10: '
        "provided IP is already allocated"
    ]
    await api("DELETE", f"{PATH}/web")
    await api.made(PATH, service("other", clusterIP="10.96.0.10"))


async def test_an_address_outside_the_range_is_refused(api):
    (fault,) = await api.faults("POST", PATH, service(clusterIP="192.168.0.1"))
    assert fault == (
        'spec.clusterIPs: Invalid value: ["192.168.0.1"]: failed to allocate IP 192.168.0.1: '
        "the provided network does not match the current range"
    )


async def test_an_address_stays(api):
    made = await api.made(PATH, service())
    made["spec"]["clusterIP"] = "10.96.3.3"
    (fault,) = await api.faults("PUT", f"{PATH}/web", made)
    assert fault == 'spec.clusterIPs[0]: Invalid value: ["10.96.3.3"]: may not change once set'
    code, kept = await api("PUT", f"{PATH}/web", service(selector={"a": "b"}))
    assert code == 200
    assert kept["spec"]["clusterIPs"] == made["spec"]["clusterIPs"]


async def test_a_node_port_is_given_kept_and_freed(api):
    made = await api.made(PATH, service(type="NodePort"))
    port = made["spec"]["ports"][0]["nodePort"]
    assert 30000 <= port <= 32767
    assert made["spec"]["externalTrafficPolicy"] == "Cluster"
    _, kept = await api("PUT", f"{PATH}/web", service(type="NodePort"))
    assert kept["spec"]["ports"][0]["nodePort"] == port
    _, changed = await api("PATCH", f"{PATH}/web", {"spec": {"type": "ClusterIP"}})
    assert "nodePort" not in changed["spec"]["ports"][0]
    assert "externalTrafficPolicy" not in changed["spec"]
    taken = service("other", type="NodePort", ports=[{"port": 80, "nodePort": port}])
    await api.made(PATH, taken)


async def test_a_taken_node_port_is_refused(api):
    await api.made(PATH, service(type="NodePort", ports=[{"port": 80, "nodePort": 30080}]))
    other = service("other", type="NodePort", ports=[{"port": 80, "nodePort": 30080}])
    assert await api.faults("POST", PATH, other) == [
        "spec.ports[0].nodePort: Invalid value: 30080: provided port is already allocated"
    ]
    other["spec"]["ports"][0]["nodePort"] = 80
    assert await api.faults("POST", PATH, other) == [
        "spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. "
        "The range of valid ports is 30000-32767"
    ]


async def test_a_failed_write_frees_what_it_was_promised(api):
    await api.made(PATH, service())
    code, _ = await api("POST", PATH, service(clusterIP="10.96.7.7"))
    assert code == 409
    await api.made(PATH, service("other", clusterIP="10.96.7.7"))


async def test_becoming_an_external_name_gives_the_address_back(api):
    made = await api.made(PATH, service(clusterIP="10.96.5.5", type="NodePort"))
    assert made["spec"]["clusterIP"] == "10.96.5.5"
    code, changed = await api("PATCH", f"{PATH}/web", {"spec": {"type": "ExternalName", "externalName": "a.example"}})
    assert code == 200, changed
    assert not {"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "externalTrafficPolicy"} & set(
        changed["spec"]
    )
    await api.made(PATH, service("other", clusterIP="10.96.5.5"))


async def test_headless_services_have_no_address(api):
    made = (await api.made(PATH, service(clusterIP="None", selector={"a": "b"})))["spec"]
    assert (made["clusterIP"], made["clusterIPs"], made["ipFamilies"]) == ("None", ["None"], ["IPv4"])


async def test_faults_come_all_at_once(api):
    spec = {"type": "Magic", "sessionAffinity": "Often", "ports": [{"port": 0}, {"port": 80, "name": "A"}]}
    found = await api.faults("POST", PATH, {"metadata": {"name": "web"}, "spec": spec})
    assert [fault.partition(": ")[0] for fault in found] == [
        "spec.ports[0].name",
        "spec.ports[0].port",
        "spec.ports[0].targetPort",
        "spec.ports[1].name",
        "spec.sessionAffinity",
        "spec.type",
    ]


async def test_a_dry_run_takes_nothing(api):
    code, _ = await api("POST", f"{PATH}?dryRun=All", service(clusterIP="10.96.8.8"))
    assert code == 201
    await api.made(PATH, service(clusterIP="10.96.8.8"))


async def test_the_table_is_kubectls(api):
    await api.made(PATH, service(type="NodePort", clusterIP="10.96.9.9", ports=[{"port": 80, "nodePort": 30080}]))
    rows = {row["Name"]: row for row in await api.table(PATH)}
    age = rows["web"].pop("Age")
    assert age.endswith("s")
    assert rows["web"] == {
        "Name": "web",
        "Type": "NodePort",
        "Cluster-IP": "10.96.9.9",
        "External-IP": "<none>",
        "Port(s)": "80:30080/TCP",
        "Selector": "<none>",
    }


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("127.0.0.1", "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
        ("0.0.0.0", "may not be unspecified (0.0.0.0)"),
        ("169.254.169.254", "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
        ("224.0.0.5", "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"),
    ],
)
async def test_no_service_leads_to_what_is_each_nodes_own(api, address, why):
    slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
    endpoints = "/api/v1/namespaces/default/endpoints"
    piece = {"metadata": {"name": "a"}, "addressType": "IPv4", "endpoints": [{"addresses": [address]}], "ports": []}
    subset = {"addresses": [{"ip": address}], "ports": [{"port": 80}]}
    for path, body, field in (
        (PATH, service(externalIPs=[address]), "spec.externalIPs[0]"),
        (slices, piece, "endpoints[0].addresses[0]"),
        (endpoints, {"metadata": {"name": "a"}, "subsets": [subset]}, "subsets[0].addresses[0].ip"),
    ):
        assert await api.faults("POST", path, body) == [f'{field}: Invalid value: "{address}": {why}']
