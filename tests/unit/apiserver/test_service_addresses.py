"""ClusterIPs and node ports: given once, free again with their Service."""

import ipaddress
import random

import pytest

from pybernetes.apiserver.service_addresses import ServiceAddresses, holdings


@pytest.fixture
def addresses():
    return ServiceAddresses(random.Random(1), (ipaddress.ip_network("10.0.0.0/29"),), range(30000, 30004))


def service(uid="1", ip="", *ports):
    return {
        "metadata": {"uid": uid},
        "spec": {"clusterIPs": [ip] if ip else [], "ports": [{"nodePort": p} for p in ports]},
    }


def test_every_address_is_given_once_and_then_none(addresses):
    given = [addresses.next_address("IPv4") for _ in range(6)]
    assert sorted(given) == [f"10.0.0.{n}" for n in range(1, 7)]
    assert addresses.next_address("IPv4") is None
    assert addresses.next_address("IPv6") is None


def test_every_port_is_given_once_and_then_none(addresses):
    assert sorted(addresses.next_node_port() for _ in range(4)) == [30000, 30001, 30002, 30003]
    assert addresses.next_node_port() is None


def test_a_stored_service_holds_and_a_deleted_one_frees(addresses):
    addresses.follow("ADDED", service("1", "10.0.0.1", 30001))
    assert not addresses.is_free("10.0.0.1")
    assert not addresses.is_free(30001)
    addresses.follow("MODIFIED", service("1", "10.0.0.1"))
    assert addresses.is_free(30001)
    addresses.follow("DELETED", service("1", "10.0.0.1"))
    assert addresses.is_free("10.0.0.1")


def test_a_promise_ends_when_the_service_is_stored_or_forgotten(addresses):
    ip = addresses.next_address("IPv4", "1")
    addresses.forget(service("2", ip))
    assert not addresses.is_free(ip)
    addresses.forget(service("1", ip))
    assert addresses.is_free(ip)
    addresses.promise(ip, "1")
    addresses.follow("ADDED", service("1", ip))
    addresses.follow("DELETED", service("1", ip))
    assert addresses.is_free(ip)


def test_the_ends_of_the_range_are_not_addresses(addresses):
    assert not addresses.contains("10.0.0.0")
    assert not addresses.contains("10.0.0.7")
    assert not addresses.contains("10.1.0.1")
    assert addresses.contains("10.0.0.6")


def test_headless_services_hold_nothing():
    assert holdings({"metadata": {}, "spec": {"clusterIP": "None", "clusterIPs": ["None"]}}) == frozenset()


def cidr(name, *ranges, ready=None, deleted=False):
    conditions = [] if ready is None else [{"type": "Ready", "status": ready}]
    meta = {"name": name, **({"deletionTimestamp": "2026-01-31T08:00:00Z"} if deleted else {})}
    return {"metadata": meta, "spec": {"cidrs": list(ranges)}, "status": {"conditions": conditions}}


def test_addresses_come_out_of_every_range_that_is_ready(addresses):
    addresses.follow_range("ADDED", cidr("kubernetes", "10.0.0.0/30"))
    addresses.follow_range("ADDED", cidr("more", "10.1.0.0/30", "fd00::/126", ready="True"))
    addresses.follow_range("ADDED", cidr("not-yet", "10.2.0.0/30", ready="False"))
    given = {addresses.next_address("IPv4") for _ in range(4)}
    assert given == {"10.0.0.1", "10.0.0.2", "10.1.0.1", "10.1.0.2"}
    assert addresses.next_address("IPv4") is None
    assert {addresses.next_address("IPv6") for _ in range(3)} == {"fd00::1", "fd00::2", "fd00::3"}
    assert not addresses.contains("10.2.0.1")
    addresses.follow_range("MODIFIED", cidr("more", "10.1.0.0/30", deleted=True))
    assert not addresses.contains("10.1.0.1")


def test_a_claimed_address_is_not_free(addresses):
    addresses.follow_claim("ADDED", {"metadata": {"name": "10.0.0.3"}})
    assert not addresses.is_free("10.0.0.3")
    addresses.follow_claim("DELETED", {"metadata": {"name": "10.0.0.3"}})
    assert addresses.is_free("10.0.0.3")
