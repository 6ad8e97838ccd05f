"""Addresses and networks of the newest fields."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybernetes.apiserver.validation.addresses import canonical_address, canonical_cidr, family

ADDRESSES = st.ip_addresses().filter(lambda address: getattr(address, "ipv4_mapped", None) is None)


@given(ADDRESSES)
def test_an_address_as_it_is_printed_is_canonical(address):
    assert list(canonical_address(str(address))) == []


@given(ADDRESSES, st.integers(0, 128))
def test_a_network_as_it_is_printed_is_canonical_and_of_its_family(address, bits):
    network = ipaddress.ip_network(f"{address}/{min(bits, address.max_prefixlen)}", strict=False)
    text = str(network)
    assert list(canonical_cidr(text)) == []
    assert family(text) == network.version


@given(st.text(max_size=40))
def test_any_text_gets_an_answer(text):
    list(canonical_address(text))
    list(canonical_cidr(text))
    assert family(text) in (0, 4, 6)


@pytest.mark.parametrize(
    "text", ["2001:DB8::/32", "2001:db8:0::/48", "10.0.0.0/08", "10.0.0.1/8", "::ffff:10.0.0.0/104", "10.0.0.0"]
)
def test_other_ways_to_write_a_network_are_refused(text):
    assert len(list(canonical_cidr(text))) == 1
