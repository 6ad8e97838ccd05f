"""exec, attach and port-forward: the connection is joined with the runtime's own streaming server, byte for byte.

The runtime speaks SPDY/3.1 and WebSocket with the channel protocols up to v4; newer ones are translated (translate.py).
The URL that CRI gives holds a token good for one use.
"""

from collections.abc import Mapping
from urllib.parse import urlsplit

from pybernetes.api.errors import BadRequest
from pybernetes.kubelet.cri.model import StreamOptions, StreamRuntime
from pybernetes.kubelet.server import translate
from pybernetes.wire.client import HttpClient
from pybernetes.wire.http import Headers, Request, Response
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


async def exec_in(runtime: StreamRuntime, container: str, request: Request) -> Response:
    """GET or POST /exec: runs `command` in the container."""
    query = request.query()
    command = query.get("command", [])
    if not command:
        raise BadRequest("you must specify at least 1 command for the container")
    options = stream_options(query)
    return await _joined(await runtime.exec_url(container, command, options), request, options)


async def attach_to(runtime: StreamRuntime, container: str, request: Request) -> Response:
    """GET or POST /attach: the main process's own streams."""
    options = stream_options(request.query())
    return await _joined(await runtime.attach_url(container, options), request, options)


async def forward_ports(runtime: StreamRuntime, sandbox: str, request: Request) -> Response:
    """GET or POST /portForward: streams to ports inside the Pod."""
    ports = [int(p) for text in request.query().get("port", []) for p in text.split(",") if p.isdigit()]
    return await _joined(await runtime.port_forward_url(sandbox, ports), request)


async def _joined(url: str, request: Request, options: StreamOptions | None = None) -> Response:
    if "upgrade" not in request.headers:
        raise BadRequest("Upgrade request required")
    parts = urlsplit(url)
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    headers = Headers((name, value) for name, value in request.headers if not name.startswith(_DROPPED))
    client = HttpClient(f"{parts.scheme}://{parts.netloc}", timeout=30.0)
    try:
        if options is not None and translate.speaks_v5(request):
            return await translate.exec_channels(client, target, request, options)
        if translate.is_tunnel(request):
            return await translate.tunnel(client, target, request)
        return await proxy_upgrade(client, Request(request.method, target, headers))
    except BaseException:
        await client.aclose()
        raise
