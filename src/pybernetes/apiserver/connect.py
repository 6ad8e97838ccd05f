"""Connections to kubelets: logs, exec, attach and port-forward of Pods. The Pod's subresources are these functions.

A log is a plain stream. An upgrade (WebSocket, SPDY) goes through byte for byte: what the kubelet answers is the
client's to read. Admission (CONNECT) and the `create` check have been made by the time these are called.
"""

import asyncio
import base64
import re
from collections.abc import AsyncIterator, Mapping
from ssl import SSLContext
from urllib.parse import quote, urlencode

import orjson

from pybernetes.api import errors
from pybernetes.api.errors import FieldError
from pybernetes.api.objects import GroupResource, Object
from pybernetes.apiserver.options import Query, integer
from pybernetes.apiserver.requestinfo import is_true
from pybernetes.apiserver.resource import Call
from pybernetes.rules.podcontainers import containers
from pybernetes.wire import websocket
from pybernetes.wire.client import HttpClient
from pybernetes.wire.dial import WireError
from pybernetes.wire.http import Headers, Request, Response, Transport, read_body
from pybernetes.wire.tls import client_context
from pybernetes.wire.tunnel import proxy_upgrade
from pybernetes.wire.websocket import BINARY, TEXT, WebSocket

PODS = GroupResource("", "pods")
NODES = GroupResource("", "nodes")
KUBELET_PORT = 10250

_ADDRESSES = ("InternalIP", "ExternalIP", "Hostname")
_STREAMS = (("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty"))
_LOG_OPTIONS = ("follow", "previous", "sinceSeconds", "sinceTime", "timestamps", "tailLines", "limitBytes", "stream")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)
_LOG_STREAMS = ("All", "Stderr", "Stdout")
_LOG_PROTOCOLS = ("binary.k8s.io", "base64.binary.k8s.io", "")
_DROPPED = ("authorization", "host", "cookie", "impersonate-", "x-remote-", "content-length")


class Kubelets:
    """Transports to kubelets, one for each address; TLS is checked against the address in the Node's status."""

    def __init__(self, tls: SSLContext | None) -> None:
        self._tls = tls
        self._clients: dict[str, HttpClient] = {}

    def backend(self, url: str) -> Transport:
        """To `http://address:port` or `https://address:port` of a Pod; its certificate is not looked at, as upstream."""

        async def send(request: Request) -> Response:
            tls = client_context(verify=False) if url.startswith("https:") else None
            client = HttpClient(url, ssl=tls, timeout=None)
            try:
                response = await client(request)
            except BaseException:
                await client.aclose()
                raise
            if response.status != 101:
                response.body = _Closing(response.body, client)
            return response

        return send

    def transport(self, node: Object) -> Transport:
        """Raises ServiceUnavailable for a Node that has no address, or when this server cannot speak to kubelets."""
        if self._tls is None:
            raise errors.ServiceUnavailable(
                "this API server cannot speak to kubelets: it was started without --kubelet-client-certificate"
            )
        url = kubelet_url(node)
        client = self._clients.get(url)
        if client is None:
            client = self._clients[url] = HttpClient(url, ssl=self._tls, timeout=None)
        return client

    async def aclose(self) -> None:
        """Closes idle connections."""
        for client in self._clients.values():
            await client.aclose()
        self._clients.clear()


class _Closing:
    """The body of an answer that ends its client: backends are asked once."""

    def __init__(self, body: bytes | AsyncIterator[bytes], client: HttpClient) -> None:
        self._whole = body if isinstance(body, bytes) else b""
        self._body = None if isinstance(body, bytes) else body
        self._client = client

    def __aiter__(self) -> "_Closing":
        return self

    async def __anext__(self) -> bytes:
        if self._body is not None:
            try:
                return await anext(self._body)
            except BaseException:
                await self._client.aclose()
                raise
        if not self._whole:
            await self._client.aclose()
            raise StopAsyncIteration
        whole, self._whole = self._whole, b""
        return whole

    async def aclose(self) -> None:
        """May be called twice."""
        await self._client.aclose()


def kubelet_address(node: Object) -> str:
    """Where a Node is reached, by its status. Raises ServiceUnavailable."""
    status = node.get("status") or {}
    addresses = {item.get("type"): item.get("address") for item in status.get("addresses") or ()}
    host = next((addresses[kind] for kind in _ADDRESSES if addresses.get(kind)), None)
    if host is None:
        raise errors.ServiceUnavailable(
            f'node "{node["metadata"]["name"]}" has no address that a kubelet could be reached at'
        )
    return str(host)


def kubelet_url(node: Object) -> str:
    """`https://10.0.0.2:10250` by the Node's status. Raises ServiceUnavailable."""
    host, status = kubelet_address(node), node.get("status") or {}
    port = ((status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}).get("Port") or KUBELET_PORT
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


async def pod_log(call: Call) -> Response:
    """GET pods/log: the kubelet's /containerLogs, as it comes."""
    query = call.request.query()
    faults = _log_faults(query)
    if faults:
        raise errors.invalid("", "PodLogOptions", call.name, faults)
    pod = await call.registry.get(PODS, call.namespace, call.name)
    container = _container(pod, query.get("container", [""])[0])
    if not (pod.get("spec") or {}).get("nodeName"):
        return Response(200, _text(), b"")
    options = [(name, query[name][0]) for name in _LOG_OPTIONS if query.get(name) and query[name][0]]
    target = f"/containerLogs/{_path(call.namespace, call.name, container)}?{urlencode(options)}"
    transport = await _transport(call, pod)
    response = await _sent(transport, Request("GET", target.rstrip("?")), pod)
    if response.status >= 300:
        raise _refused(response.status, await read_body(response))
    if websocket.is_websocket(call.request):
        return websocket.accept(call.request, _LOG_PROTOCOLS, lambda socket: _send_log(socket, response.body))
    return Response(200, _text(), response.body)


async def _send_log(socket: WebSocket, body: bytes | AsyncIterator[bytes]) -> None:
    """A log in messages, after an empty one, as upstream's; it ends with the log or with its reader."""
    kind, packed = (TEXT, base64.b64encode) if "base64" in socket.protocol else (BINARY, bytes)

    async def pump() -> None:
        await socket.send(b"", kind)
        if isinstance(body, bytes):
            await socket.send(packed(body), kind)
            return
        async for piece in body:
            await socket.send(packed(piece), kind)

    async def left() -> None:
        while await socket.receive() is not None:
            continue

    tasks = [asyncio.create_task(work(), name=f"log {work.__name__}") for work in (pump, left)]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        if not isinstance(body, bytes):
            await body.aclose()  # type: ignore[attr-defined] # of a transport
    for error in ended:
        if isinstance(error, Exception) and not isinstance(error, ConnectionError):
            raise error


async def pod_exec(call: Call) -> Response:
    """GET or POST pods/exec: runs a command in a container."""
    return await _stream(call, "exec")


async def pod_attach(call: Call) -> Response:
    """GET or POST pods/attach: joins the main process of a container."""
    return await _stream(call, "attach")


async def pod_portforward(call: Call) -> Response:
    """GET or POST pods/portforward: streams to ports of the Pod."""
    pod = await call.registry.get(PODS, call.namespace, call.name)
    _assigned(pod)
    options = [("port", port) for port in call.request.query().get("ports", [])]
    target = f"/portForward/{_path(call.namespace, call.name)}"
    return await _upgraded(call, pod, target, options)


async def _stream(call: Call, kind: str) -> Response:
    pod = await call.registry.get(PODS, call.namespace, call.name)
    query = call.request.query()
    container = _container(pod, query.get("container", [""])[0])
    _assigned(pod)
    phase = (pod.get("status") or {}).get("phase")
    if phase in ("Succeeded", "Failed"):
        raise errors.BadRequest(f"cannot exec into a container in a completed pod; current phase is {phase}")
    if kind == "exec" and not query.get("command"):
        raise errors.BadRequest("you must specify at least 1 command for the container")
    options = [*_streams(query), *(("command", word) for word in query.get("command", ()))]
    return await _upgraded(call, pod, f"/{kind}/{_path(call.namespace, call.name, container)}", options)


def _assigned(pod: Object) -> None:
    if not (pod.get("spec") or {}).get("nodeName"):
        raise errors.BadRequest(f"pod {pod['metadata']['name']} does not have a host assigned")


async def _upgraded(call: Call, pod: Object, path: str, options: list[tuple[str, str]]) -> Response:
    request = call.request
    if "upgrade" not in request.headers:
        raise errors.BadRequest("Upgrade request required")
    headers = Headers((name, value) for name, value in request.headers if not name.startswith(_DROPPED))
    target = f"{path}?{urlencode(options)}" if options else path
    transport = await _transport(call, pod)
    try:
        return await proxy_upgrade(transport, Request(request.method, target, headers))
    except WireError as error:
        raise _unreachable(pod, error) from error


async def _transport(call: Call, pod: Object) -> Transport:
    name = pod["spec"]["nodeName"]
    try:
        node = await call.registry.get(NODES, "", name)
    except errors.NotFound:
        raise errors.ServiceUnavailable(f'the pod\'s node "{name}" is gone') from None
    return call.registry.kubelets.transport(node)


async def _sent(transport: Transport, request: Request, pod: Object) -> Response:
    try:
        return await transport(request)
    except WireError as error:
        raise _unreachable(pod, error) from error


def _unreachable(pod: Object, error: WireError) -> errors.ApiError:
    return errors.ServiceUnavailable(f'the kubelet of node "{pod["spec"]["nodeName"]}" does not answer: {error}')


def _refused(status: int, body: bytes) -> errors.ApiError:
    """A kubelet's refusal: its words (a Status, or plain text) and its code."""
    try:
        found = orjson.loads(body)
    except ValueError:
        found = None
    if isinstance(found, dict) and found.get("kind") == "Status":
        return errors.from_status(found, status)
    text = body.decode(errors="replace").strip()
    return errors.from_status({"message": text or f"the kubelet answered {status}", "code": status}, status)


def _container(pod: Object, name: str) -> str:
    """The container that is meant: the one that is named, else the only one. Raises BadRequest."""
    spec = pod.get("spec") or {}
    known = [container.get("name") or "" for container in containers(spec)]
    pod_name, own = pod["metadata"]["name"], list(spec.get("containers") or ())
    if name:
        if name not in known:
            raise errors.BadRequest(f"container {name} is not valid for pod {pod_name}")
        return name
    if len(own) == 1:
        return str(own[0].get("name") or "")
    text = f"a container name must be specified for pod {pod_name}"
    raise errors.BadRequest(text + (f", choose one of: [{' '.join(known)}]" if own else ""))


def _streams(query: Mapping[str, list[str]]) -> list[tuple[str, str]]:
    """What the kubelet calls the streams that are asked for. Raises BadRequest for none."""
    wanted = [(theirs, "1") for ours, theirs in _STREAMS if is_true(query.get(ours))]
    if not [name for name, _ in wanted if name != "tty"]:
        raise errors.BadRequest("you must specify at least one of stdin, stdout, stderr")
    return wanted


def _log_faults(query: Query) -> list[FieldError]:
    faults = []
    numbers = {name: integer(query, name) for name in ("tailLines", "limitBytes", "sinceSeconds")}
    since = query.get("sinceTime", [""])[0]
    if since and not _TIME.fullmatch(since):
        shape = "2006-01-02T15:04:05Z07:00"
        raise errors.BadRequest(f'parsing time "{since}" as "{shape}": cannot parse "{since}" as "2006"')
    both = numbers["sinceSeconds"] is not None and bool(since)
    for name, least in (("tailLines", 0), ("limitBytes", 1), ("sinceSeconds", 1)):
        number = numbers[name]
        if name == "sinceSeconds" and both:
            faults.append(errors.field_forbidden("", "at most one of `sinceTime` or `sinceSeconds` may be specified"))
        elif number is not None and number < least:
            why = "must be greater than or equal to 0" if least == 0 else "must be greater than 0"
            faults.append(errors.invalid_value(name, number, why))
    stream = query.get("stream", [""])[0] or "All"
    if stream not in _LOG_STREAMS:
        faults.append(errors.not_supported("stream", stream, _LOG_STREAMS))
    if stream != "All" and numbers["tailLines"] is not None:
        why = "`tailLines` and specific `stream` are mutually exclusive for now"
        faults.append(errors.field_forbidden("", why))
    return faults


def _path(*parts: str) -> str:
    return "/".join(quote(part, safe="") for part in parts)


def _text() -> Headers:
    return Headers.lowered([("content-type", "text/plain")])
