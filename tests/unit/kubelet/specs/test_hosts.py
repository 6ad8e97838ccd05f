"""Host names and /etc/hosts."""

from tests.unit.kubelet.pods import pod

from pybernetes.api.types import core_v1
from pybernetes.kubelet.configuration import Configuration
from pybernetes.kubelet.settings import Settings
from pybernetes.kubelet.specs.hosts import hostname, hosts_file

NODE = Settings("n1", ("192.0.2.1",), config=Configuration(cluster_domain="cluster.local"))


def test_a_long_hostname_is_cut() -> None:
    assert hostname(pod(meta={"name": "a" * 62 + "-" + "b" * 9})) == "a" * 62


def test_hosts_files_begin_as_upstreams() -> None:
    own = hosts_file(pod(subdomain="sub"), ("10.0.0.7",), NODE, "")
    assert own.startswith("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n")
    assert "10.0.0.7\tweb.sub.default.svc.cluster.local\tweb\n" in own
    aliases = (core_v1.HostAlias(ip="1.2.3.4", hostnames=("a", "b")),)
    host = hosts_file(pod(hostNetwork=True, hostAliases=aliases), (), NODE, "::1 x\n")
    assert host.startswith("# Kubernetes-managed hosts file (host network).\n::1 x\n")
    assert host.endswith("# Entries added by HostAliases.\n1.2.3.4\ta\tb\n")
