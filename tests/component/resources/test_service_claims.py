"""Two servers on one store: an address or a node port is given once, released with its Service, repaired when lost."""

import asyncio
from ipaddress import ip_network

import pytest
from tests.component.api import serving

from pybernetes.api.objects import GroupResource
from pybernetes.apiserver.service_claims import PORTS
from pybernetes.store.memory import MemoryStore

PATH = "/api/v1/namespaces/default/services"
ADDRESSES = "/apis/networking.k8s.io/v1/ipaddresses"
SERVICES = GroupResource("", "services")


def service(name="web", **spec):
    return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], **spec}}


def server(store, **config):
    return serving(store=store, account=False, node_ports=range(30000, 30010), **config)


@pytest.fixture
async def two():
    store = MemoryStore()
    async with server(store) as one, server(store) as other:
        yield one, other


async def claimed(api):
    _, found = await api("GET", f"{ADDRESSES}?labelSelector=ipaddress.kubernetes.io/managed-by%3Dipallocator.k8s.io")
    return {item["metadata"]["name"]: item["spec"]["parentRef"]["name"] for item in found["items"]}


async def ports(api):
    page = await api.server.storage.store.range(PORTS)
    return sorted(int(stored.key.removeprefix(PORTS)) for stored in page.items)


async def test_an_address_is_an_object_that_says_whose_it_is(api):
    made = await api.made(PATH, service())
    address = made["spec"]["clusterIP"]
    _, claim = await api("GET", f"{ADDRESSES}/{address}")
    assert claim["metadata"]["labels"] == {
        "ipaddress.kubernetes.io/ip-family": "IPv4",
        "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
    }
    assert claim["spec"]["parentRef"] == {"resource": "services", "namespace": "default", "name": "web"}
    assert (await claimed(api))["10.96.0.1"] == "kubernetes"
    await api("DELETE", f"{PATH}/web")
    assert (await api("GET", f"{ADDRESSES}/{address}"))[0] == 404


async def test_two_servers_never_give_one_thing_twice(two):
    """They choose alike: their chance has the same seed."""
    made = await asyncio.gather(
        *(api.made(PATH, service(f"{n}-{i}", type="NodePort")) for n, api in enumerate(two) for i in range(5))
    )
    assert len({one["spec"]["clusterIP"] for one in made}) == 10
    assert sorted(one["spec"]["ports"][0]["nodePort"] for one in made) == list(range(30000, 30010))
    answers = await asyncio.gather(
        *(api("POST", PATH, service(f"same-{n}", clusterIP="10.96.7.7")) for n, api in enumerate(two))
    )
    assert sorted(code for code, _ in answers) == [201, 422]


async def test_a_lost_first_address_leaves_no_second_one_behind():
    store, networks = MemoryStore(), (ip_network("10.96.0.0/28"), ip_network("fd00::/112"))
    async with server(store, service_networks=networks) as one, server(store, service_networks=networks) as other:
        made = await asyncio.gather(
            *(one.made(PATH, service(f"v4-{i}")) for i in range(5)),
            *(other.made(PATH, service(f"both-{i}", ipFamilyPolicy="RequireDualStack")) for i in range(5)),
        )
        wanted = {ip: each["metadata"]["name"] for each in made for ip in each["spec"]["clusterIPs"]}
        assert len(wanted) == 15
        assert {ip: name for ip, name in (await claimed(one)).items() if name != "kubernetes"} == wanted


async def test_a_failed_write_leaves_no_claim(api):
    await api.made(PATH, service())
    before = await claimed(api)
    code, _ = await api("POST", PATH, service(type="NodePort"))
    assert code == 409
    code, _ = await api("POST", f"{PATH}?dryRun=All", service("dry", type="NodePort"))
    assert code == 201
    assert await claimed(api) == before
    assert await ports(api) == []


async def test_what_a_service_lets_go_of_is_released(api):
    made = await api.made(PATH, service(type="NodePort"))
    address = made["spec"]["clusterIP"]
    assert await ports(api) == [made["spec"]["ports"][0]["nodePort"]]
    await api("PATCH", f"{PATH}/web", {"spec": {"type": "ExternalName", "externalName": "a.example"}})
    await api.server.storage.service_addresses.claims.clear()
    assert address not in await claimed(api)
    assert await ports(api) == []


async def test_a_released_node_port_is_taken_at_once_by_another(api):
    await api.made(PATH, service(type="NodePort", ports=[{"port": 80, "nodePort": 30080}]))
    await api("PATCH", f"{PATH}/web", {"spec": {"type": "ClusterIP"}})
    await api.made(PATH, service("other", type="NodePort", ports=[{"port": 80, "nodePort": 30080}]))
    await api.server.storage.service_addresses.claims.clear()
    assert await ports(api) == [30080]


async def test_a_claim_that_was_left_behind_is_taken_back_when_seen_twice(api):
    storage = api.server.storage
    claims = storage.service_addresses.claims
    gone = {"metadata": {"namespace": "default", "name": "gone", "uid": "u"}}
    assert await claims._take("10.96.9.9", gone) is not None
    assert await claims._take(30099, gone) is not None
    (fault,) = await api.faults("POST", PATH, service(clusterIP="10.96.9.9"))
    assert fault.endswith("provided IP is already allocated")
    await claims.repair()
    assert ("10.96.9.9" in await claimed(api), await ports(api)) == (True, [30099])
    await claims.repair()
    assert ("10.96.9.9" in await claimed(api), await ports(api)) == (False, [])


async def test_a_claim_that_somebody_deleted_is_made_anew_and_told(api):
    made = await api.made(PATH, service(type="NodePort"))
    address = made["spec"]["clusterIP"]
    assert (await api("DELETE", f"{ADDRESSES}/{address}"))[0] == 200
    await api.server.storage.service_addresses.claims.repair()
    assert (await claimed(api))[address] == "web"
    _, events = await api("GET", "/api/v1/namespaces/default/events")
    assert [(e["reason"], e["message"]) for e in events["items"]] == [
        ("ClusterIPNotAllocated", f"Cluster IP {address} is not allocated; repairing")
    ]


async def test_a_claim_of_another_is_not_taken_away(api):
    claim = {"metadata": {"name": "10.96.3.3"}, "spec": {"parentRef": {"resource": "gateways", "name": "g"}}}
    await api.made(ADDRESSES, claim)
    (fault,) = await api.faults("POST", PATH, service(clusterIP="10.96.3.3"))
    assert fault.endswith("provided IP is already allocated")
    for _ in range(2):
        await api.server.storage.service_addresses.claims.repair()
    assert (await api("GET", f"{ADDRESSES}/10.96.3.3"))[0] == 200


async def test_a_second_range_gives_addresses_too(api):
    cidr = {"metadata": {"name": "more"}, "spec": {"cidrs": ["192.168.7.0/28"]}}
    await api.made("/apis/networking.k8s.io/v1/servicecidrs", cidr)
    made = await api.made(PATH, service(clusterIP="192.168.7.3"))
    assert made["spec"]["clusterIPs"] == ["192.168.7.3"]
