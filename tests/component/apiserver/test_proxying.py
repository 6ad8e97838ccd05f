"""Proxies to Pods, Services and nodes: where a request goes, and what becomes of links in its answer."""

import pytest
from tests.component.api import serving

from pybernetes.wire.dial import DialError
from pybernetes.wire.http import Headers, Response, read_body

CORE = "/api/v1/namespaces/default"
PAGE = b'<html><a href="/next">n</a><a href=\'rel\'>r</a><img src="http://10.1.1.1:8080/x"><a href="http://else/">e</a>'


class Backends:
    """Remembers where it was sent and answers what the test set."""

    def __init__(self) -> None:
        self.asked = []
        self.answer = Response(200, Headers([("content-type", "text/plain")]), b"here")
        self.fault = None

    def transport(self, node):
        return self.backend(f"kubelet of {node['metadata']['name']}")

    def backend(self, url):
        async def send(request):
            self.asked.append((url, request))
            if self.fault is not None:
                raise self.fault
            return Response(self.answer.status, Headers(self.answer.headers), self.answer.body)

        return send


@pytest.fixture
async def far():
    backends = Backends()
    async with serving(kubelets=backends) as api:
        ports = [{"containerPort": 8080}, {"containerPort": 9090}]
        pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i", "ports": ports}]}}
        assert (await api("POST", f"{CORE}/pods", pod))[0] == 201
        await address(api, "10.1.1.1")
        addresses = {"addresses": [{"type": "InternalIP", "address": "10.2.0.1"}]}
        node = {"metadata": {"name": "n"}, "status": addresses}
        assert (await api("POST", "/api/v1/nodes", node))[0] == 201
        yield api, backends


async def address(api, ip):
    _, pod = await api("GET", f"{CORE}/pods/p")
    pod["status"] |= {"podIP": ip, "podIPs": [{"ip": ip}]}
    assert (await api("PUT", f"{CORE}/pods/p/status", pod))[0] == 200


async def service(api):
    ports = [{"name": "web", "port": 80, "targetPort": 8080}, {"name": "more", "port": 81}]
    await api("POST", f"{CORE}/services", {"metadata": {"name": "s"}, "spec": {"ports": ports}})
    slices = f"/apis/discovery.k8s.io/v1{CORE.removeprefix('/api/v1')}/endpointslices"
    piece = {
        "metadata": {"name": "s-1", "labels": {"kubernetes.io/service-name": "s"}},
        "addressType": "IPv4",
        "ports": [{"name": "web", "port": 8080}],
        "endpoints": [
            {"addresses": ["10.1.1.1"], "conditions": {"ready": True}},
            {"addresses": ["10.1.1.2"], "conditions": {"ready": False}},
        ],
    }
    assert (await api("POST", slices, piece))[0] == 201


@pytest.mark.parametrize(
    ("path", "url", "target"),
    [
        ("pods/p/proxy/", "http://10.1.1.1:8080", "/"),
        ("pods/p/proxy/a%2Fb/c?x=1", "http://10.1.1.1:8080", "/a%2Fb/c?x=1"),
        ("pods/p:9090/proxy/x", "http://10.1.1.1:9090", "/x"),
        ("pods/https:p:443/proxy/x", "https://10.1.1.1:443", "/x"),
        ("pods/http:p:/proxy/", "http://10.1.1.1:8080", "/"),
    ],
)
async def test_a_pods_port_is_its_first_unless_one_is_named(far, path, url, target):
    api, backends = far
    assert await api("GET", f"{CORE}/{path}") == (200, b"here")
    assert [(where, sent.target) for where, sent in backends.asked] == [(url, target)]


async def test_every_method_goes_through_with_its_body_and_without_secrets(far):
    api, backends = far
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"):
        body = b"data" if method in ("POST", "PUT", "PATCH") else None
        assert (
            await api.send(method, f"{CORE}/pods/p/proxy/m", body, authorization="Bearer t", x_own="1")
        ).status == 200
        _, sent = backends.asked.pop()
        assert (sent.method, sent.body) == (method, body or b"")
        assert "authorization" not in sent.headers
        assert sent.headers.get("x-own") == "1"
        assert sent.headers.get("x-forwarded-uri") == f"{CORE}/pods/p/proxy/m"


async def test_a_path_without_its_slash_is_sent_there(far):
    api, backends = far
    response = await api.send("GET", f"{CORE}/pods/p/proxy?a=b")
    assert (response.status, response.headers.get("location")) == (301, f"{CORE}/pods/p/proxy/?a=b")
    assert not backends.asked


async def test_links_lead_below_the_proxys_path(far):
    api, backends = far
    prefix = f"{CORE}/pods/p/proxy".encode()
    backends.answer = Response(200, Headers([("content-type", "text/html; charset=utf-8")]), PAGE)
    _, page = await api("GET", f"{CORE}/pods/p/proxy/")
    assert b'href="%b/next"' % prefix in page
    assert b"href='rel'" in page
    assert b'src="%b/x"' % prefix in page
    assert b'href="http://else/"' in page
    backends.answer = Response(302, Headers([("location", "/login?x=1"), ("connection", "close")]), b"")
    response = await api.send("GET", f"{CORE}/pods/p/proxy/")
    assert response.headers.get("location") == f"{CORE}/pods/p/proxy/login?x=1"
    assert "connection" not in response.headers


async def test_a_services_request_goes_to_a_ready_endpoint_of_the_port(far):
    api, backends = far
    await service(api)
    for name in ("s:web", "s:80", "http:s:web"):
        assert await api("GET", f"{CORE}/services/{name}/proxy/x") == (200, b"here")
    assert {url for url, _ in backends.asked} == {"http://10.1.1.1:8080"}
    code, status = await api("GET", f"{CORE}/services/s:82/proxy/")
    assert (code, status["message"]) == (503, 'no service port 82 found for service "s"')
    code, status = await api("GET", f"{CORE}/services/s:more/proxy/")
    assert (code, status["message"]) == (503, 'no endpoints available for service "s"')


async def test_a_nodes_request_goes_to_its_kubelet_unless_it_names_another_port(far):
    api, backends = far
    await api("GET", "/api/v1/nodes/n/proxy/metrics")
    await api("GET", "/api/v1/nodes/n:10250/proxy/logs/")
    await api("GET", "/api/v1/nodes/n:9100/proxy/metrics")
    assert [(url, sent.target) for url, sent in backends.asked] == [
        ("kubelet of n", "/metrics"),
        ("kubelet of n", "/logs/"),
        ("http://10.2.0.1:9100", "/metrics"),
    ]


async def test_what_cannot_be_reached_is_said_so(far):
    api, backends = far
    backends.fault = DialError("connection refused")
    code, text = await api("GET", f"{CORE}/pods/p/proxy/")
    assert (code, text) == (503, b"error trying to reach service: connection refused")
    for ip in ("127.0.0.1", "169.254.1.1", "::1"):
        await address(api, ip)
        code, status = await api("GET", f"{CORE}/pods/p/proxy/")
        assert (code, status["message"]) == (400, "address not allowed"), ip
    assert (await api("GET", f"{CORE}/pods/ftp:p:1/proxy/"))[0] == 400
    assert (await api("GET", f"{CORE}/pods/none/proxy/"))[0] == 404


async def test_a_body_is_whole_when_the_backend_streams_it(far):
    api, backends = far

    async def chunks():
        yield b"a"
        yield b"b"

    backends.answer = Response(200, Headers(), chunks())
    response = await api.send("GET", f"{CORE}/pods/p/proxy/")
    assert await read_body(response) == b"ab"
