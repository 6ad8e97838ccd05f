"""Host ports as elements."""

import pytest

from pybernetes.network.cni import CniError
from pybernetes.network.hostports import PortMapping, elements, mappings


def test_mappings_are_read_from_the_runtimes_configuration() -> None:
    config = {
        "runtimeConfig": {
            "portMappings": [
                {"hostPort": 80, "containerPort": 8080, "protocol": "tcp", "hostIP": ""},
                {"HostPort": 53, "ContainerPort": 5353, "Protocol": "UDP", "HostIP": "172.30.0.11"},
                {"hostPort": 0, "containerPort": 1},
                {"hostPort": 81, "containerPort": 1, "hostIP": "fd00::1"},
            ]
        }
    }
    found = mappings(config)
    assert found == (PortMapping(80, 8080, "tcp"), PortMapping(53, 5353, "UDP", "172.30.0.11"))
    assert elements("10.244.0.2", found, values=True) == [
        ("ports", "tcp . 80 : 10.244.0.2 . 8080"),
        ("ports-at", "172.30.0.11 . udp . 53 : 10.244.0.2 . 5353"),
        ("hairpin", "10.244.0.2 . 10.244.0.2"),
    ]


def test_a_pod_without_host_ports_is_no_element() -> None:
    assert mappings({}) == ()
    assert elements("10.244.0.2", (), values=True) == []


@pytest.mark.parametrize("given", [[{"hostPort": "eighty"}], ["x"], 3])
def test_a_mapping_of_the_wrong_shape_is_refused(given: object) -> None:
    with pytest.raises(CniError, match="portMappings: "):
        mappings({"runtimeConfig": {"portMappings": given}})
