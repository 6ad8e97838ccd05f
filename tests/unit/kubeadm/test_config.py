"""What flags may say."""

import pytest
from msgspec.structs import replace

from pybernetes.kubeadm.config import (
    ExternalEtcd,
    InitConfig,
    JoinConfig,
    Networking,
    Node,
    check_init,
    check_join,
    split_host,
)
from pybernetes.kubeadm.errors import InvalidConfigError
from pybernetes.kubeadm.tokens import Token
from pybernetes.wire.http import join_host_port

TOKEN = Token("abcdef", "0123456789abcdef")
NODE = Node(name="m1", address="10.0.0.1")
INIT = InitConfig(node=NODE, networking=Networking(), token=TOKEN)
JOIN = JoinConfig(node=NODE, endpoint="10.0.0.1:6443", token=TOKEN, ca_hashes=("sha256:" + "a" * 64,))


def test_defaults_are_upstreams() -> None:
    check_init(INIT)
    assert INIT.networking.api_service_address == "10.96.0.1"
    assert INIT.networking.dns_address == "10.96.0.10"
    assert INIT.endpoint == "10.0.0.1:6443"
    assert INIT.local_endpoint == "https://10.0.0.1:6443"


def test_control_plane_endpoint_gets_the_port_where_it_has_none() -> None:
    assert replace(INIT, control_plane_endpoint="api.example.com").endpoint == "api.example.com:6443"
    assert replace(INIT, control_plane_endpoint="api.example.com:443").endpoint == "api.example.com:443"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"node": replace(NODE, name="Bad_Name")}, "nodeRegistration.name"),
        ({"node": replace(NODE, address="127.0.0.1")}, "advertiseAddress"),
        ({"node": replace(NODE, address="0.0.0.0")}, "advertiseAddress"),
        ({"node": replace(NODE, address="host")}, "advertiseAddress"),
        ({"bind_port": 0}, "bindPort"),
        ({"networking": Networking(pod_cidr="10.244.0.1/16")}, "podSubnet"),
        ({"networking": Networking(service_cidr="")}, "serviceSubnet"),
        ({"networking": Networking(service_cidr="10.96.0.0/30")}, "too small"),
        ({"cert_extra_sans": ("not a name",)}, "certSANs"),
        ({"token_ttl": -1.0}, "TTL"),
    ],
)
def test_what_cannot_be_is_refused_with_its_field(change: dict[str, object], text: str) -> None:
    with pytest.raises(InvalidConfigError, match=text):
        check_init(replace(INIT, **change))


@pytest.mark.parametrize(
    ("etcd", "text"),
    [
        (ExternalEtcd(()), "at least one endpoint"),
        (ExternalEtcd(("10.0.0.5:2379",)), "must be http"),
        (ExternalEtcd(("http://e:2379",), "/ca.crt"), "must be using the HTTPS scheme"),
        (ExternalEtcd(("https://e:2379",), "/ca.crt", "/c.crt"), "certFile and keyFile must be given together"),
        (ExternalEtcd(("https://e:2379",), "ca.crt"), "caFile: Invalid value: .* not an absolute path"),
    ],
)
def test_an_etcd_that_cannot_be_meant_is_refused(etcd: ExternalEtcd, text: str) -> None:
    with pytest.raises(InvalidConfigError, match=text):
        check_init(replace(INIT, etcd=etcd))


def test_all_faults_are_said_at_once() -> None:
    with pytest.raises(InvalidConfigError, match=r"^\[.*bindPort.*, .*podSubnet.*\]$"):
        check_init(replace(INIT, bind_port=0, networking=Networking(pod_cidr="x")))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"endpoint": ""}, "host:port must be set"),
        ({"endpoint": "10.0.0.1"}, "missing port in address"),
        ({"ca_hashes": ()}, "without caCertHashes can be unsafe"),
        ({"ca_hashes": ("md5:abc",)}, "invalid hash"),
        ({"ca_hashes": ("sha256:zz",)}, "invalid hash"),
    ],
)
def test_join_needs_an_endpoint_and_a_pin(change: dict[str, object], text: str) -> None:
    check_join(JOIN, unsafe=False)
    with pytest.raises(InvalidConfigError, match=text):
        check_join(replace(JOIN, **change), unsafe=False)


def test_the_pin_can_be_given_up_on_purpose() -> None:
    check_join(replace(JOIN, ca_hashes=()), unsafe=True)


def test_hosts_and_ports_of_both_families() -> None:
    for host in ("10.0.0.1", "fd00::1", "api.example.com"):
        assert split_host(join_host_port(host, 6443)) == (host, 6443)
    assert split_host("fd00::1") == ("fd00::1", None)
    assert split_host("a:x") == ("a", None)
