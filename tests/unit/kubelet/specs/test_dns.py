"""resolv.conf of a Pod."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.kubelet.pods import pod

from pybernetes.api.types import core_v1
from pybernetes.kubelet.configuration import Configuration
from pybernetes.kubelet.settings import Settings
from pybernetes.kubelet.specs.dns import FORMING, MISSING, dns, parse_resolv_conf, resolv_conf_warnings

CONFIG = Configuration(cluster_dns=("10.96.0.10",), cluster_domain="cluster.local")
NODE = Settings("n1", ("192.0.2.1",), config=CONFIG)
ALONE = Settings("n1", ("192.0.2.1",), config=Configuration())
RESOLV = "nameserver 1.1.1.1\nsearch corp.example\noptions ndots:2 edns0\n"


def test_pods_ask_the_cluster_dns_first() -> None:
    found = dns(pod(), NODE, RESOLV)
    assert found.servers == ("10.96.0.10",)
    assert found.searches == ("default.svc.cluster.local", "svc.cluster.local", "cluster.local", "corp.example")
    assert found.options == ("ndots:5",)
    assert dns(pod(hostNetwork=True, dnsPolicy="ClusterFirstWithHostNet"), NODE, RESOLV) == found


@pytest.mark.parametrize("fields", [{"dnsPolicy": "Default"}, {"hostNetwork": True}])
def test_default_and_the_hosts_network_use_the_hosts_resolver(fields: dict[str, object]) -> None:
    found = dns(pod(**fields), NODE, RESOLV)
    assert (found.servers, found.searches) == (("1.1.1.1",), ("corp.example",))
    assert (found.options, found.warnings) == (("ndots:2", "edns0"), ())


def test_a_dns_config_adds_and_overrides() -> None:
    config = core_v1.PodDNSConfig(
        nameservers=("9.9.9.9",), searches=("x",), options=(core_v1.PodDNSConfigOption(name="ndots", value="1"),)
    )
    alone = dns(pod(dnsPolicy="None", dnsConfig=config), NODE, RESOLV)
    assert (alone.servers, alone.searches, alone.options) == (("9.9.9.9",), ("x",), ("ndots:1",))
    added = dns(pod(dnsPolicy="Default", dnsConfig=config), NODE, RESOLV)
    assert (added.servers, added.options) == (("1.1.1.1", "9.9.9.9"), ("ndots:1", "edns0"))


def test_without_a_cluster_dns_the_nodes_is_used_and_said_so() -> None:
    found = dns(pod(), ALONE, RESOLV)
    assert found.servers == ("1.1.1.1",)
    [warning] = found.warnings
    assert warning.reason == MISSING
    assert warning.message == (
        'pod: "web_default(uid-1)". kubelet does not have ClusterDNS IP configured and cannot create Pod using'
        ' "ClusterFirst" policy. Falling back to "Default" policy.'
    )
    assert warning.message == f'pod: "web_default(uid-1)". {warning.of_node}'


def test_a_resolv_conf_of_the_node_that_pods_cannot_be_given_is_told(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"

    def told(searches: list[str], **config: object) -> list[str]:
        file.write_text(f"search {' '.join(searches)}\n")
        return resolv_conf_warnings(Configuration(resolv_conf=str(file), **config))  # type: ignore[arg-type]

    short = [f"d{n}" for n in range(32)]
    assert told(short[:29], cluster_domain="cluster.local") == []
    assert told(short, cluster_domain="") == []
    many = f"Resolv.conf file '{file}' contains search line consisting of more than 29 domains!"
    assert told(short[:30], cluster_domain="cluster.local") == [many]
    long = f"Resolv.conf file '{file}' contains search line which length is more than allowed 2048 chars!"
    assert told(["x" * 200] * 11) == [long]
    file.unlink()
    assert resolv_conf_warnings(Configuration(resolv_conf=str(file))) == [f"open {file}: no such file or directory"]
    assert resolv_conf_warnings(Configuration(resolv_conf="")) == []


def test_without_a_resolv_conf_pods_ask_themselves() -> None:
    both = Settings("n1", ("192.0.2.1", "2001:db8::1"), config=Configuration(resolv_conf=""))
    found = dns(pod(dnsPolicy="Default"), both, "")
    assert (found.servers, found.searches) == (("127.0.0.1", "::1"), (".",))


def test_more_than_a_resolver_reads_is_left_out_with_a_warning() -> None:
    config = core_v1.PodDNSConfig(
        nameservers=tuple(f"10.0.0.{n}" for n in range(5)), searches=tuple(f"s{n}" for n in range(40))
    )
    found = dns(pod(dnsPolicy="None", dnsConfig=config), NODE, "")
    assert (len(found.servers), len(found.searches)) == (3, 32)
    servers, searches = found.warnings
    assert servers.reason == searches.reason == FORMING
    assert servers.message.endswith("the applied nameserver line is: 10.0.0.0 10.0.0.1 10.0.0.2")
    assert searches.message.startswith("Search Line limits were exceeded, some search paths have been omitted,")


@given(st.lists(st.text("abc.", min_size=1, max_size=300), max_size=50))
def test_the_search_line_always_fits(searches: list[str]) -> None:
    config = core_v1.PodDNSConfig(searches=tuple(searches))
    found = dns(pod(dnsConfig=config), NODE, RESOLV)
    assert len(" ".join(found.searches)) <= 2048
    assert len(found.searches) <= 32
    assert found.searches[0] == "default.svc.cluster.local"


def test_of_several_search_lines_the_last_counts() -> None:
    found = parse_resolv_conf("# x\nsearch a\nsearch b. . c\nnameserver\nnameserver 1.1.1.1 2.2.2.2\n")
    assert (found.servers, found.searches) == (("1.1.1.1",), ("b", "c"))
