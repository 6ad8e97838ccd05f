"""kubectl logs: of one container, of all of a Pod, of all Pods with a label; followed with -f."""

import argparse
import asyncio
import re
import sys

from pybernetes.api.objects import Object
from pybernetes.kubectl.command import Command, Refused
from pybernetes.kubectl.durations import seconds
from pybernetes.kubectl.flags import Flags
from pybernetes.kubectl.pods import container_of, containers, pod_of, pods_of
from pybernetes.kubectl.session import Session


def _flags(flags: Flags) -> None:
    flags.add_argument("what", nargs="*", metavar="POD | TYPE/NAME [CONTAINER]", help="web, deploy/web")
    flags.add_argument("-c", "--container", default="", help="the container")
    flags.flag("-f", "--follow", help="go on until the container ends")
    flags.flag("-p", "--previous", help="of the run before")
    flags.flag("--timestamps", help="each line with its time")
    flags.flag("--all-containers", help="of every container")
    flags.flag("--prefix", help="each line with Pod and container")
    flags.flag("--ignore-errors", help="a Pod without logs is no error")
    flags.add_argument("-l", "--selector", default="", help="of all Pods with these labels")
    flags.add_argument("--tail", type=int, default=-1, help="last lines; -1 is all (10 with a selector)")
    flags.add_argument("--since", default="", help="newer than, as 5s, 2m, 3h")
    flags.add_argument("--since-time", default="", help="newer than an RFC 3339 time")
    flags.add_argument("--limit-bytes", type=int, default=0, help="no more than this many bytes")
    flags.add_argument("--max-log-requests", type=int, default=5, help="Pods followed at once")
    flags.add_argument("--pod-running-timeout", default="20s", help="how long to wait for a running Pod")


async def _run(session: Session, options: argparse.Namespace) -> int:
    pods = await _pods(session, options)
    sources = [(pod, name) for pod in pods for name in _containers(pod, options)]
    if options.follow and len(sources) > options.max_log_requests:
        raise Refused(
            f"you are attempting to follow {len(sources)} log streams, but maximum allowed concurrency is "
            f"{options.max_log_requests}, use --max-log-requests to increase the limit"
        )
    if options.follow and len(sources) > 1:
        async with asyncio.TaskGroup() as group:
            for pod, name in sources:
                group.create_task(_copy(session, options, pod, name))
        return 0
    for pod, name in sources:
        await _copy(session, options, pod, name)
    return 0


async def _pods(session: Session, options: argparse.Namespace) -> list[Object]:
    if options.selector:
        if options.what:
            raise Refused("only a selector (-l) or a POD name is allowed")
        if options.tail == -1:
            options.tail = 10
        return await pods_of(session, options.selector)
    if not options.what or len(options.what) > 2:
        raise Refused(
            "expected 'logs [-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]'.\nPOD or TYPE/NAME is a required argument for the logs command"
        )
    if len(options.what) == 2:
        options.container = options.what[1]
    return [await pod_of(session, options.what[0])]


def _containers(pod: Object, options: argparse.Namespace) -> list[str]:
    return containers(pod) if options.all_containers else [container_of(pod, options.container)]


async def _copy(session: Session, options: argparse.Namespace, pod: Object, container: str) -> None:
    name = pod["metadata"]["name"]
    query = {
        "container": container,
        "follow": "true" if options.follow else "",
        "previous": "true" if options.previous else "",
        "timestamps": "true" if options.timestamps else "",
        "tailLines": str(options.tail) if options.tail >= 0 else "",
        "sinceSeconds": str(int(seconds(options.since, "--since"))) if options.since else "",
        "sinceTime": options.since_time,
        "limitBytes": str(options.limit_bytes or ""),
    }
    path = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{name}/log"
    response = await session.send("GET", path, accept="*/*", query=query)
    prefix = f"[pod/{name}/{container}] ".encode() if options.prefix else b""
    at_start = True
    if isinstance(response.body, bytes):
        _write(response.body, prefix, at_start)
        return
    async for chunk in response.body:
        at_start = _write(chunk, prefix, at_start)


def _write(chunk: bytes, prefix: bytes, at_start: bool) -> bool:
    """Writes with the prefix before each line; returns whether the next chunk begins a line."""
    if prefix and chunk:
        lines = re.findall(rb"[^\n]*\n|[^\n]+", chunk)  # a carriage return ends none
        chunk = b"".join((prefix if index or at_start else b"") + line for index, line in enumerate(lines))
    sys.stdout.buffer.write(chunk)
    sys.stdout.buffer.flush()
    return chunk.endswith(b"\n") if chunk else at_start


COMMAND = Command(
    help="Print the logs for a container in a pod",
    usage="logs [-f] [-p] (POD | TYPE/NAME | -l SELECTOR) [-c CONTAINER]",
    examples="  kubectl logs web\n  kubectl logs -f deploy/web --tail=10",
    flags=_flags,
    run=_run,
)
