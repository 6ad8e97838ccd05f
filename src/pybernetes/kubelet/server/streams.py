"""exec, attach and port-forward: the connection is joined with the runtime's own streaming server, byte for byte.

The runtime speaks SPDY/3.1 and WebSocket with the channel protocols up to v4; newer ones are translated (translate.py).
The URL that CRI gives holds a token good for one use.
"""

from collections.abc import Mapping
from urllib.parse import urlsplit

from pybernetes.api.errors import BadRequest
from pybernetes.kubelet import metrics
from pybernetes.kubelet.cri.model import StreamOptions, StreamRuntime
from pybernetes.kubelet.server import translate
from pybernetes.wire import websocket
from pybernetes.wire.client import HttpClient
from pybernetes.wire.http import ByteStream, Headers, Request, Response, Upgrade, read_body
from pybernetes.wire.tunnel import proxy_upgrade

_DROPPED = ("authorization", "host", "content-length", "x-forwarded-", "impersonate-")


def stream_options(query: Mapping[str, list[str]]) -> StreamOptions:
    """Which streams are asked for: `input`, `output`, `error`, `tty`. Raises BadRequest for none."""

    def asked(name: str) -> bool:
        return query.get(name, [""])[0] in ("1", "true")

    options = StreamOptions(
        stdin=asked("input") or asked("stdin"),
        stdout=asked("output") or asked("stdout"),
        # A terminal has one output: its errors come with the rest.
        stderr=(asked("error") or asked("stderr")) and not asked("tty"),
        tty=asked("tty"),
    )
    if not (options.stdin or options.stdout or options.stderr):
        raise BadRequest("you must specify at least 1 of stdin, stdout, stderr")
    return options


async def exec_in(runtime: StreamRuntime, container: str, request: Request, options: StreamOptions) -> Response:
    """GET or POST /exec: runs `command` in the container."""
    command = request.query().get("command", [])
    if not command:
        raise BadRequest("you must specify at least 1 command for the container")
    _must_upgrade(request)
    return await _joined(await runtime.exec_url(container, command, options), request, options, "exec")


async def attach_to(runtime: StreamRuntime, container: str, request: Request, options: StreamOptions) -> Response:
    """GET or POST /attach: the main process's own streams."""
    _must_upgrade(request)
    return await _joined(await runtime.attach_url(container, options), request, options, "attach")


async def forward_ports(runtime: StreamRuntime, sandbox: str, request: Request) -> Response:
    """GET or POST /portForward: streams to ports inside the Pod. SPDY names ports later, one stream each."""
    by_channels = websocket.is_websocket(request) and not translate.is_tunnel(request)
    ports = _ports(request.query()) if by_channels else []
    _must_upgrade(request)
    return await _joined(await runtime.port_forward_url(sandbox, ports), request, None, "portforward")


def _ports(query: Mapping[str, list[str]]) -> list[int]:
    texts = [text for value in query.get("port", []) for text in value.split(",")]
    if not any(texts):
        raise BadRequest('query parameter "port" is required')
    for text in texts:
        if not text.isdecimal() or not 0 < int(text) < 65536:
            raise BadRequest(f'unable to parse "{text}" as a port: it is no number from 1 to 65535')
    return [int(text) for text in texts]


def _must_upgrade(request: Request) -> None:
    if "upgrade" not in request.headers:
        raise BadRequest("Upgrade request required")


async def _joined(url: str, request: Request, options: StreamOptions | None, kind: str) -> Response:
    parts = urlsplit(url)
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    headers = Headers((name, value) for name, value in request.headers if not name.startswith(_DROPPED))
    client = HttpClient(f"{parts.scheme}://{parts.netloc}", timeout=30.0)
    try:
        if options is not None and translate.speaks_v5(request):
            metrics.STREAMS.add(kind)
            response = await translate.exec_channels(client, target, request, options)
        elif options is None and translate.is_tunnel(request):
            metrics.STREAMS.add(kind)
            response = await translate.tunnel(client, target, request)
        else:
            response = await proxy_upgrade(client, Request(request.method, target, headers))
        if response.upgrade is None:
            response.body = await read_body(response)
    except BaseException:
        await client.aclose()
        raise
    if response.upgrade is None:
        await client.aclose()
    else:
        response.upgrade = _closing(response.upgrade, client)
    return response


def _closing(upgrade: Upgrade, client: HttpClient) -> Upgrade:
    """The connection to the runtime ends with the client's, however that ends."""

    async def run(near: ByteStream) -> None:
        try:
            await upgrade(near)
        finally:
            await client.aclose()

    return run
