"""kubectl wait: until a condition holds, a JSONPath has a value, or the object is gone."""

import argparse
import asyncio
from collections.abc import Callable

from pybernetes.api.errors import NotFound
from pybernetes.api.objects import Object
from pybernetes.kubectl.command import Command, Refused
from pybernetes.kubectl.conditions import condition
from pybernetes.kubectl.durations import seconds
from pybernetes.kubectl.flags import Flags
from pybernetes.kubectl.session import Session
from pybernetes.kubectl.targets import Target, add_file_flags, manifests, resource_targets


def _flags(flags: Flags) -> None:
    flags.add_argument("what", nargs="*", metavar="TYPE/NAME", help="pod/web, deploy/web, pods with -l or --all")
    add_file_flags(flags, "to wait for")
    flags.add_argument(
        "--for", dest="condition", default="", help="condition=Ready[=false], jsonpath={..}=value, delete, create"
    )
    flags.add_argument("--timeout", default="30s", help="how long; negative is a week")
    flags.add_argument("-l", "--selector", default="", help="label selector")
    flags.flag("--all", help="all objects of the type")
    flags.flag("-A", "--all-namespaces", help="in all namespaces")


async def _run(session: Session, options: argparse.Namespace) -> int:
    if not options.condition:
        raise Refused(
            "the --for flag is required: --for=condition=Ready, --for=delete, --for=jsonpath='{.status.phase}'=Running"
        )
    holds = condition(options.condition)
    limit = seconds(options.timeout)
    timeout = 7 * 24 * 3600.0 if limit < 0 else limit
    for target, namespace in await _places(session, options):
        try:
            async with asyncio.timeout(timeout):
                await _wait(session, target, namespace, holds)
        except TimeoutError as error:
            raise Refused(f"timed out waiting for the condition on {target.mapping.plural}/{target.name}") from error
        print(f"{target.shown} {'deleted' if options.condition == 'delete' else 'condition met'}")
    return 0


async def _places(session: Session, options: argparse.Namespace) -> list[tuple[Target, str]]:
    if options.filename:
        return [(m.target, m.namespace) for m in await manifests(session, options)]
    found = []
    for target in resource_targets(await session.mapper(), options.what):
        namespace = "" if options.all_namespaces else session.namespace
        if target.name:
            found.append((target, namespace))
            continue
        listed = await session.request("GET", target.mapping.path(namespace), query={"labelSelector": options.selector})
        found += [
            (Target(target.mapping, i["metadata"]["name"]), i["metadata"].get("namespace", "")) for i in listed["items"]
        ]
    if not found and options.condition != "delete":
        raise Refused("no matching resources found")
    return found


async def _wait(session: Session, target: Target, namespace: str, holds: Callable[[Object | None], bool]) -> None:
    path, query = target.mapping.path(namespace), {"fieldSelector": f"metadata.name={target.name}"}
    while True:
        listed = await session.request("GET", path, query=query)
        now = next(iter(listed.get("items") or ()), None)
        if holds(now):
            return
        if now is None and not holds({"metadata": {}}):
            raise NotFound(f'{target.mapping.shown} "{target.name}" not found')
        version = listed["metadata"]["resourceVersion"]
        async for event in session.watch(path, {**query, "resourceVersion": version, "timeoutSeconds": "300"}):
            if event["type"] == "ERROR":
                break
            if event["type"] != "BOOKMARK" and holds(None if event["type"] == "DELETED" else event["object"]):
                return


COMMAND = Command(
    help="Wait for a specific condition on one or many resources",
    usage="wait TYPE/NAME --for=CONDITION [--timeout=30s]",
    examples="  kubectl wait pod/web --for=condition=Ready --timeout=60s\n  kubectl wait pod/web --for=delete",
    flags=_flags,
    run=_run,
)
