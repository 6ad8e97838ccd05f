"""resolv.conf of a Pod."""

import pytest
from tests.unit.kubelet.pods import pod

from pybernetes.api.types import core_v1
from pybernetes.kubelet.configuration import Configuration
from pybernetes.kubelet.settings import Settings
from pybernetes.kubelet.specs.dns import dns

CONFIG = Configuration(cluster_dns=("10.96.0.10",), cluster_domain="cluster.local")
NODE = Settings("n1", ("192.0.2.1",), config=CONFIG, memory=4 * 2**30)
RESOLV = "nameserver 1.1.1.1\nsearch corp.example\noptions ndots:2 edns0\n"


def test_pods_ask_the_cluster_dns_first() -> None:
    servers, searches, options = dns(pod(), NODE, RESOLV)
    assert servers == ["10.96.0.10"]
    assert searches == ["default.svc.cluster.local", "svc.cluster.local", "cluster.local", "corp.example"]
    assert options == ["ndots:5"]


@pytest.mark.parametrize("fields", [{"dnsPolicy": "Default"}, {"hostNetwork": True}])
def test_default_and_the_hosts_network_use_the_hosts_resolver(fields: dict[str, object]) -> None:
    assert dns(pod(**fields), NODE, RESOLV) == (["1.1.1.1"], ["corp.example"], ["ndots:2", "edns0"])


def test_a_dns_config_adds_and_overrides() -> None:
    config = core_v1.PodDNSConfig(
        nameservers=("9.9.9.9",), searches=("x",), options=(core_v1.PodDNSConfigOption(name="ndots", value="1"),)
    )
    assert dns(pod(dnsPolicy="None", dnsConfig=config), NODE, RESOLV) == (["9.9.9.9"], ["x"], ["ndots:1"])
