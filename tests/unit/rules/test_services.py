"""Services and EndpointSlices to the table that proxies program."""

from typing import Any

import msgspec
import yaml

from pybernetes.api.types.core_v1 import Service
from pybernetes.api.types.discovery_v1 import EndpointSlice
from pybernetes.rules.services import BackendEndpoint, DataplanePort, dataplane

WEB = """
metadata: {namespace: default, name: web}
spec:
  type: NodePort
  clusterIP: 10.96.0.5
  clusterIPs: [10.96.0.5]
  ports: [{name: http, port: 80, targetPort: http, nodePort: 30080, protocol: TCP}]
"""
SLICE = """
metadata: {namespace: default, name: web-1, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 8080, protocol: TCP}, {name: other, port: 9, protocol: TCP}]
endpoints:
- {addresses: [10.0.1.2], nodeName: n1, conditions: {ready: true}}
- {addresses: [10.0.2.2], nodeName: n2, conditions: {}}
- {addresses: [10.0.2.3], nodeName: n2, conditions: {ready: false, serving: false, terminating: true}}
"""


def table(*texts: str | dict[str, Any], node: str = "n1") -> tuple[DataplanePort, ...]:
    objects = [yaml.safe_load(t) if isinstance(t, str) else t for t in texts]
    services = [msgspec.convert(o, Service) for o in objects if "spec" in o]
    slices = [msgspec.convert(o, EndpointSlice) for o in objects if "addressType" in o]
    return dataplane(services, slices, node).ports


def changed(text: str, **spec: Any) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(text)
    found["spec"].update(spec)
    return found


def test_ready_endpoints_are_matched_by_port_name() -> None:
    (port,) = table(WEB, SLICE)
    assert str(port.name) == "default/web:http"
    assert (port.cluster_ips, port.port, port.node_port, port.affinity_seconds) == (("10.96.0.5",), 80, 30080, 0)
    assert port.endpoints == (BackendEndpoint("10.0.1.2", 8080, True), BackendEndpoint("10.0.2.2", 8080))
    assert port.external_endpoints == port.endpoints


def test_a_service_without_endpoints_stays_in_the_table_to_be_refused() -> None:
    (port,) = table(WEB)
    assert port.endpoints == ()


def test_headless_and_external_name_and_foreign_services_are_left_out() -> None:
    foreign = changed(WEB)
    foreign["metadata"]["labels"] = {"service.kubernetes.io/service-proxy-name": "other"}
    assert table(changed(WEB, clusterIP="None"), changed(WEB, type="ExternalName"), foreign, SLICE) == ()


def test_with_none_ready_those_that_still_serve_while_terminating_are_used() -> None:
    piece = yaml.safe_load(SLICE)
    piece["endpoints"] = [
        {"addresses": ["10.0.1.2"], "conditions": {"ready": False, "serving": True, "terminating": True}},
        {"addresses": ["10.0.1.3"], "conditions": {"ready": False, "serving": False, "terminating": True}},
        {"addresses": ["10.0.1.4"], "conditions": {"ready": False, "serving": True, "terminating": False}},
    ]
    (port,) = table(WEB, piece)
    assert [e.ip for e in port.endpoints] == ["10.0.1.2"]


def test_local_policies_keep_to_the_node() -> None:
    (port,) = table(changed(WEB, externalTrafficPolicy="Local"), SLICE, node="n2")
    assert [e.ip for e in port.endpoints] == ["10.0.1.2", "10.0.2.2"]
    assert [e.ip for e in port.external_endpoints] == ["10.0.2.2"]
    (port,) = table(changed(WEB, internalTrafficPolicy="Local"), SLICE, node="n3")
    assert port.endpoints == ()
    assert len(port.external_endpoints) == 2


def test_client_affinity_has_its_time() -> None:
    (port,) = table(changed(WEB, sessionAffinity="ClientIP"))
    assert port.affinity_seconds == 10800
    config = {"clientIP": {"timeoutSeconds": 5}}
    (port,) = table(changed(WEB, sessionAffinity="ClientIP", sessionAffinityConfig=config))
    assert port.affinity_seconds == 5


def test_an_endpoint_in_two_slices_counts_once_and_is_ready_if_either_says_so() -> None:
    stale = yaml.safe_load(SLICE)
    stale["endpoints"] = [{"addresses": ["10.0.1.2"], "nodeName": "n1", "conditions": {"ready": False}}]
    for pair in ((stale, SLICE), (SLICE, stale)):
        (port,) = table(WEB, *pair)
        assert [e.ip for e in port.endpoints] == ["10.0.1.2", "10.0.2.2"]


def test_order_of_inputs_does_not_matter() -> None:
    other = changed(WEB)
    other["metadata"]["name"] = "abc"
    assert table(WEB, other, SLICE) == table(SLICE, other, WEB)
