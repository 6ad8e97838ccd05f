"""--node-ip."""

import socket

import pytest

from pybernetes.kubelet.node_addresses import node_addresses


def own(**known: str):
    families = {socket.AF_INET: known.get("v4", ""), socket.AF_INET6: known.get("v6", "")}
    return families.__getitem__


BOTH = own(v4="192.0.2.7", v6="2001:db8::7")


@pytest.mark.parametrize(
    ("text", "machine", "found"),
    [
        ("192.0.2.1", own(), ("192.0.2.1",)),
        (" 192.0.2.1 , 2001:db8::1", own(), ("192.0.2.1", "2001:db8::1")),
        ("2001:DB8::1,192.0.2.1", own(), ("2001:db8::1", "192.0.2.1")),
        ("", BOTH, ("192.0.2.7",)),
        ("", own(v6="2001:db8::7"), ("2001:db8::7",)),
        ("0.0.0.0", BOTH, ("192.0.2.7",)),
        ("::", BOTH, ("2001:db8::7",)),
        ("::", own(v4="192.0.2.7"), ("192.0.2.7",)),
    ],
)
def test_addresses_are_given_or_the_machines_own(text, machine, found):
    assert node_addresses(text, machine) == found


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("x", 'could not parse "x"'),
        ("192.0.2.1,192.0.2.2", "must contain either a single IP or a dual-stack pair of IPs"),
        ("192.0.2.1,2001:db8::1,192.0.2.2", "must contain either a single IP or a dual-stack pair of IPs"),
        ("192.0.2.1,::", "dual-stack node IP cannot include '0.0.0.0' or '::'"),
        ("", "cannot tell this machine's address: give it"),
    ],
)
def test_what_cannot_be_is_refused_in_upstreams_words(text, why):
    with pytest.raises(ValueError) as refused:  # the text is compared
        node_addresses(text, own())
    assert str(refused.value) == why
