"""Proxying: pods|services|nodes/{[scheme:]name[:port]}/proxy. The request goes on to the backend, its answer comes back.

Links in pages and Location headers are rewritten, so that a page works below the API's path. Who may: the pipeline has
asked for the verb on the subresource `proxy`.
"""

import ipaddress
import re
from html import escape
from urllib.parse import urlsplit

from pybernetes.api import errors
from pybernetes.api.objects import GroupResource, Object
from pybernetes.apiserver.connect import KUBELET_PORT, NODES, PODS, kubelet_address
from pybernetes.apiserver.resource import Call
from pybernetes.wire.dial import WireError
from pybernetes.wire.http import Headers, Request, Response, Transport, read_body
from pybernetes.wire.tunnel import proxy_upgrade

_SERVICES = GroupResource("", "services")
_SLICES = GroupResource("discovery.k8s.io", "endpointslices")
_SERVICE_LABEL = "kubernetes.io/service-name"
_SCHEMES = ("", "http", "https")
_DROPPED = ("authorization", "host", "cookie", "impersonate-", "x-remote-", "content-length", "accept-encoding")
_HOPS = {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
_LINK = re.compile(
    rb"""(<[a-zA-Z][^<>]*?\s(?:href|src|action|cite|data|formaction|icon|longdesc|manifest|poster|usemap|codebase|profile|background|classid)\s*=\s*)("[^"<>]*"|'[^'<>]*')"""
)


async def proxy_pod(call: Call) -> Response:
    """A Pod's address; without a port the first that one of its containers declares."""
    scheme, name, port = _named(call.name, "pod")
    pod = await call.registry.get(PODS, call.namespace, name)
    if not port:
        declared = (p for c in (pod.get("spec") or {}).get("containers") or () for p in c.get("ports") or ())
        port = str(next((p["containerPort"] for p in declared if p.get("containerPort")), "") or "")
    address = _reachable((pod.get("status") or {}).get("podIP") or "")
    return await _proxied(call, scheme, address, _number(port, scheme))


async def proxy_service(call: Call) -> Response:
    """One of a Service's ready endpoints; the port by its name or number."""
    scheme, name, port = _named(call.name, "service")
    service = await call.registry.get(_SERVICES, call.namespace, name)
    if port.isdecimal():
        declared = (service.get("spec") or {}).get("ports") or ()
        found = next((p for p in declared if p["port"] == int(port)), None)
        if found is None:
            raise errors.ServiceUnavailable(f'no service port {port} found for service "{name}"')
        port = found.get("name") or ""
    choices: list[tuple[str, int]] = []
    for piece in await call.registry.list(_SLICES, call.namespace):
        if (piece["metadata"].get("labels") or {}).get(_SERVICE_LABEL) == name:
            choices += _endpoints(piece, port)
    if not choices:
        raise errors.ServiceUnavailable(f'no endpoints available for service "{name}"')
    address, number = call.registry.clock.random.choice(sorted(choices))
    return await _proxied(call, scheme, _reachable(address), number)


async def proxy_node(call: Call) -> Response:
    """A node: its kubelet, or another port of it."""
    scheme, name, port = _named(call.name, "node")
    node = await call.registry.get(NODES, "", name)
    daemon = ((node.get("status") or {}).get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}
    kubelet = daemon.get("Port") or KUBELET_PORT
    if port in ("", str(kubelet)):
        return await _answered(call, call.registry.kubelets.transport(node), f"https://{name}:{kubelet}")
    return await _proxied(call, scheme, kubelet_address(node), _number(port, scheme))


def _endpoints(piece: Object, port: str) -> list[tuple[str, int]]:
    numbers = [p["port"] for p in piece.get("ports") or () if (p.get("name") or "") == port and p.get("port")]
    found = []
    for endpoint in piece.get("endpoints") or ():
        if (endpoint.get("conditions") or {}).get("ready") is not False:
            found += [(address, number) for address in endpoint.get("addresses") or () for number in numbers]
    return found


def _named(text: str, kind: str) -> tuple[str, str, str]:
    """(scheme, name, port) of `name`, `name:port`, `scheme:name:port` or `scheme:name:`. Raises BadRequest."""
    parts = text.split(":")
    if len(parts) == 1:
        parts = ["", *parts, ""]
    elif len(parts) == 2:
        parts = ["", *parts]
    if len(parts) != 3 or parts[0] not in _SCHEMES or not parts[1]:
        raise errors.BadRequest(f'invalid {kind} request "{text}"')
    return parts[0], parts[1], parts[2]


def _number(port: str, scheme: str) -> int:
    if not port:
        return 443 if scheme == "https" else 80
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise errors.BadRequest(f'invalid port "{port}"')
    return int(port)


def _reachable(address: str) -> str:
    """An address that this server may be sent to: its own, and the link's, are not."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        raise errors.BadRequest("address not allowed") from None
    if parsed.is_loopback or parsed.is_link_local or parsed.is_multicast or parsed.is_unspecified:
        raise errors.BadRequest("address not allowed")
    return address


async def _proxied(call: Call, scheme: str, address: str, port: int) -> Response:
    host = f"[{address}]" if ":" in address else address
    url = f"{scheme or 'http'}://{host}:{port}"
    return await _answered(call, call.registry.kubelets.backend(url), url)


async def _answered(call: Call, transport: Transport, url: str) -> Response:
    request = call.request
    prefix, rest = _split(request.raw_path)
    upgrading = "upgrade" in request.headers.get("connection").lower() and "upgrade" in request.headers
    if rest is None and not upgrading:
        query = f"?{request.raw_query}" if request.raw_query else ""
        return Response(301, Headers.lowered([("location", f"{request.raw_path}/{query}")]))
    target = f"/{rest or ''}" + (f"?{request.raw_query}" if request.raw_query else "")
    sent = Request(request.method, target, _forwarded(request, upgrading=upgrading), request.body)
    try:
        response = await (proxy_upgrade(transport, sent) if upgrading else transport(sent))
    except WireError as error:
        text = f"error trying to reach service: {error}"
        return Response(503, Headers.lowered([("content-type", "text/plain; charset=utf-8")]), text.encode())
    if response.status == 101:
        return response
    kept = [(name, value) for name, value in response.headers if name not in _HOPS]
    response = Response(response.status, Headers.lowered(kept), response.body)
    location = response.headers.get("location")
    if location:
        response.headers.set("location", _relocated(location, prefix, url))
    page = response.headers.get("content-type").partition(";")[0].strip() == "text/html"
    if page and "content-encoding" not in response.headers:
        response.body = _relinked(await read_body(response), prefix, url)
        response.headers.remove("content-length")
    return response


def _split(raw_path: str) -> tuple[str, str | None]:
    """(path up to `/proxy`, what follows its slash; None without a slash)."""
    at = 7 if raw_path.startswith("/api/v1/namespaces/") else 5
    parts = raw_path.split("/", at + 1)
    return "/".join(parts[: at + 1]), parts[at + 1] if len(parts) > at + 1 else None


def _forwarded(request: Request, *, upgrading: bool) -> Headers:
    kept = [
        (name, value)
        for name, value in request.headers
        if not name.startswith(_DROPPED) and (upgrading or name not in _HOPS)
    ]
    kept += [
        ("x-forwarded-uri", request.raw_path),
        ("x-forwarded-host", request.headers.get("host")),
        ("x-forwarded-proto", "https"),
    ]
    if request.peer.address:
        kept.append(("x-forwarded-for", request.peer.address))
    return Headers.lowered(kept)


def _relocated(link: str, prefix: str, url: str) -> str:
    """A link of the backend as it is below the API's path; those that lead elsewhere stay."""
    parts = urlsplit(link)
    if parts.netloc and parts.netloc != urlsplit(url).netloc:
        return link
    if not parts.netloc and not parts.path.startswith("/"):
        return link
    rest = link.partition(parts.netloc)[2] if parts.netloc else link
    return prefix + (rest if rest.startswith("/") else f"/{rest}")


def _relinked(page: bytes, prefix: str, url: str) -> bytes:
    def moved(match: re.Match[bytes]) -> bytes:
        quoted = match[2]
        link = _relocated(quoted[1:-1].decode("utf-8", "surrogateescape"), prefix, url)
        if link.encode("utf-8", "surrogateescape") == quoted[1:-1]:
            return match[0]
        return match[1] + quoted[:1] + escape(link, quote=False).encode("utf-8", "surrogateescape") + quoted[:1]

    return _LINK.sub(moved, page)
