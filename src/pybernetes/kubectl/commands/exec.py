"""kubectl exec: a command in a container, over WebSocket (v5.channel.k8s.io, KEP-4006); -it for a terminal."""

import argparse
import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlencode

import orjson

from pybernetes import __version__
from pybernetes.api.errors import from_status
from pybernetes.api.objects import Object
from pybernetes.kubectl.command import Command, Refused
from pybernetes.kubectl.flags import Flags
from pybernetes.kubectl.pods import container_of, pod_of
from pybernetes.kubectl.session import Session
from pybernetes.wire import channels, websocket
from pybernetes.wire.http import Headers, Request, Response, read_body


def _flags(flags: Flags) -> None:
    flags.add_argument("what", nargs="*", metavar="POD | TYPE/NAME", help="web, deploy/web; the command follows --")
    flags.add_argument("-c", "--container", default="", help="the container")
    flags.flag("-i", "--stdin", help="pass stdin on")
    flags.flag("-t", "--tty", help="a terminal")
    flags.flag("-q", "--quiet", help="only what the command prints")


async def _run(session: Session, options: argparse.Namespace) -> int:
    words, command = options.what, options.rest
    if not words:
        raise Refused(
            "expected 'exec (POD | TYPE/NAME) [-c CONTAINER] -- COMMAND [args...]'.\n"
            "POD or TYPE/NAME is a required argument for the exec command"
        )
    if command is None and len(words) > 1:
        raise Refused("exec [POD] [COMMAND] is not supported anymore. Use exec [POD] -- [COMMAND] instead")
    if not command:
        raise Refused("you must specify at least one command for the container")
    pod = await pod_of(session, words[0])
    phase = (pod.get("status") or {}).get("phase")
    if phase in ("Succeeded", "Failed"):
        raise Refused(f"cannot exec into a container in a completed pod; current phase is {phase}")
    tty = options.tty
    if tty and not (options.stdin and sys.stdin.isatty()):
        print("Unable to use a TTY - input is not a terminal or the right kind of file", file=sys.stderr)
        tty = False
    query = [("command", word) for word in command]
    query += [("container", container_of(pod, options.container, quiet=options.quiet))]
    query += [("stdin", "true")] if options.stdin else []
    query += [("stdout", "true"), ("tty" if tty else "stderr", "true")]
    metadata = pod["metadata"]
    target = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/exec?{urlencode(query)}"
    headers = Headers([("user-agent", f"kubectl/{__version__}")])
    socket = await websocket.connect(session.transport, Request("GET", target, headers), [channels.V5, channels.V4])
    if isinstance(socket, Response):
        await _refuse(socket)
    else:
        with _raw_terminal(tty):
            return _exit_code(await _talk(channels.Channels(socket), stdin=options.stdin, tty=tty))
    return 1


async def _refuse(response: Response) -> None:
    body = await read_body(response)
    try:
        status = orjson.loads(body)
    except orjson.JSONDecodeError:
        status = {"message": body.decode(errors="replace")}
    raise from_status(status, response.status)


async def _talk(streams: channels.Channels, *, stdin: bool, tty: bool) -> Object:
    """Copies all streams until the server says how the command ended; returns that Status."""
    status: Object = {}
    async with asyncio.TaskGroup() as group:
        pumps = [group.create_task(_send_stdin(streams))] if stdin else []
        if tty:
            pumps.append(group.create_task(_send_sizes(streams)))
        while (message := await streams.receive()) is not None:
            channel, data = message
            if data is None:
                continue
            if channel == channels.ERROR:
                status = orjson.loads(data)
                break
            out = sys.stderr.buffer if channel == channels.STDERR else sys.stdout.buffer
            out.write(data)
            out.flush()
        for pump in pumps:
            pump.cancel()
    await streams.close()
    return status


async def _send_stdin(streams: channels.Channels) -> None:
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[bytes] = asyncio.Queue()
    descriptor = sys.stdin.fileno()

    def ready() -> None:
        queue.put_nowait(os.read(descriptor, channels.CHUNK))

    try:
        loop.add_reader(descriptor, ready)
    except PermissionError:  # a plain file: always readable, epoll refuses it
        while data := os.read(descriptor, channels.CHUNK):
            await streams.send(channels.STDIN, data)
        await streams.close_channel(channels.STDIN)
        return
    try:
        while data := await queue.get():
            await streams.send(channels.STDIN, data)
        loop.remove_reader(descriptor)
        await streams.close_channel(channels.STDIN)
    finally:
        loop.remove_reader(descriptor)


async def _send_sizes(streams: channels.Channels) -> None:
    """The terminal's size now and at every change (SIGWINCH)."""
    import signal

    changed = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGWINCH, changed.set)
    while True:
        size = os.get_terminal_size(sys.stdin.fileno())
        await streams.send(channels.RESIZE, orjson.dumps({"Width": size.columns, "Height": size.lines}))
        await changed.wait()
        changed.clear()


@contextmanager
def _raw_terminal(tty: bool) -> Iterator[None]:
    if not tty:
        yield
        return
    import termios
    import tty as terminal

    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    terminal.setraw(descriptor)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _exit_code(status: Object) -> int:
    if status.get("status") == "Success":
        return 0
    if status.get("reason") == "NonZeroExitCode":
        causes = (status.get("details") or {}).get("causes") or ()
        code = next((int(c["message"]) for c in causes if c.get("reason") == "ExitCode"), 1)
        print(f"command terminated with exit code {code}", file=sys.stderr)
        return code
    raise Refused(f"Internal error occurred: {status.get('message') or 'the connection ended before the command did'}")


COMMAND = Command(
    help="Execute a command in a container",
    usage="exec [-it] (POD | TYPE/NAME) [-c CONTAINER] -- COMMAND [args...]",
    examples="  kubectl exec web -- date\n  kubectl exec -it web -- sh",
    flags=_flags,
    run=_run,
)
