"""Host names and /etc/hosts."""

import re

import pytest
from tests.unit.kubelet.pods import pod

from pybernetes.api.types import core_v1
from pybernetes.kubelet.environment import ConfigError
from pybernetes.kubelet.specs.hosts import hostname, hosts_file, kernel_hostname

ZONE = "cluster.local"


def test_a_long_hostname_is_cut() -> None:
    assert hostname(pod(meta={"name": "a" * 62 + "-" + "b" * 9})) == "a" * 62
    assert hostname(pod(meta={"name": "a" * 70})) == "a" * 63


def test_the_host_name_is_that_of_the_spec() -> None:
    assert kernel_hostname(pod(), ZONE) == "web"
    assert kernel_hostname(pod(hostname="x", subdomain="sub"), ZONE) == "x"
    assert kernel_hostname(pod(hostname="x", setHostnameAsFQDN=True), ZONE) == "x"
    assert kernel_hostname(pod(hostname="x", subdomain="s", setHostnameAsFQDN=True), ZONE) == (
        "x.s.default.svc.cluster.local"
    )


def test_an_override_stands_alone() -> None:
    wanted = pod(hostnameOverride="a.b.example", subdomain="s", setHostnameAsFQDN=True)
    assert kernel_hostname(wanted, ZONE) == "a.b.example"
    assert hosts_file(wanted, ("10.0.0.7",), ZONE, "").endswith("10.0.0.7\ta.b.example\n")


def test_a_whole_name_that_the_kernel_cannot_hold_is_refused() -> None:
    name = "x" * 64
    fits = pod(hostname="x" * (64 - len(".s.default.svc.cluster.local")), subdomain="s", setHostnameAsFQDN=True)
    assert len(kernel_hostname(fits, ZONE)) == len(name)
    wanted = pod(hostname="x" * 40, subdomain="s", setHostnameAsFQDN=True)
    full = "x" * 40 + ".s.default.svc.cluster.local"
    message = (
        f"failed to construct FQDN from pod hostname and cluster domain, FQDN {full} is too long"
        f" (64 characters is the max, {len(full)} characters requested)"
    )
    with pytest.raises(ConfigError, match=re.escape(message)):
        kernel_hostname(wanted, ZONE)


def test_hosts_files_begin_as_upstreams() -> None:
    own = hosts_file(pod(subdomain="sub"), ("10.0.0.7", "fd00::7"), ZONE, "")
    assert own.startswith("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n")
    assert "10.0.0.7\tweb.sub.default.svc.cluster.local\tweb\n" in own
    assert own.endswith("fd00::7\tweb.sub.default.svc.cluster.local\tweb\n")
    aliases = (core_v1.HostAlias(ip="1.2.3.4", hostnames=("a", "b")),)
    host = hosts_file(pod(hostNetwork=True, hostAliases=aliases), (), ZONE, "::1 x\n")
    assert host.startswith("# Kubernetes-managed hosts file (host network).\n::1 x\n")
    assert host.endswith("# Entries added by HostAliases.\n1.2.3.4\ta\tb\n")
