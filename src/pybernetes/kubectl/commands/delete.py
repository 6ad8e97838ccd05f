"""kubectl delete: by name, selector or file; waits until the objects are gone."""

import argparse
import asyncio

from pybernetes.api.errors import NotFound
from pybernetes.api.objects import Object
from pybernetes.kubectl.command import Command, Refused
from pybernetes.kubectl.dryrun import add_dry_run_flag, dry_run_query, dry_run_suffix
from pybernetes.kubectl.durations import seconds
from pybernetes.kubectl.flags import Flags
from pybernetes.kubectl.session import Session
from pybernetes.kubectl.targets import Target, add_file_flags, manifests, resource_targets

_CASCADE = {"background": "Background", "orphan": "Orphan", "foreground": "Foreground", "true": "Background"}


def _flags(flags: Flags) -> None:
    flags.add_argument("what", nargs="*", metavar="TYPE[/NAME] [NAME]", help="pods web, deploy/web, ...")
    add_file_flags(flags, "to delete")
    add_dry_run_flag(flags)
    flags.add_argument("-l", "--selector", default="", help="label selector")
    flags.add_argument("--field-selector", default="", help="field selector")
    flags.flag("--all", help="all objects of the type")
    flags.flag("-A", "--all-namespaces", help="in all namespaces")
    flags.flag("--ignore-not-found", help="what is not there is no error")
    flags.add_argument("--grace-period", type=int, default=-1, help="seconds of grace; -1 is the object's own")
    flags.flag("--now", help="a grace period of one second")
    flags.flag("--force", help="with --grace-period=0: do not wait for the node")
    flags.flag("--wait", default=True, help="wait until the objects are gone")
    flags.add_argument("--timeout", default="0s", help="how long to wait; 0s is for ever")
    flags.add_argument(
        "--cascade", nargs="?", const="background", default="background", choices=sorted(_CASCADE), help="dependents"
    )
    flags.add_argument("-o", "--output", default="", choices=["", "name"], help="name prints names only")


async def _run(session: Session, options: argparse.Namespace) -> int:
    gone: list[tuple[Target, str, str]] = []
    missing = 0
    for target, namespace in await _places(session, options):
        try:
            answer = await _delete(session, options, target, namespace)
        except NotFound as error:
            if not options.ignore_not_found:
                import sys

                print(f"Error from server (NotFound): {error.message}", file=sys.stderr)
                missing = 1
            continue
        gone.append((target, namespace, _uid(answer)))
        forced = " force" if options.force and options.grace_period == 0 else ""
        place = f" from {namespace} namespace" if target.mapping.namespaced else ""
        shown = f'{target.mapping.shown_kind} "{target.name}"{forced} deleted{place}{dry_run_suffix(options)}'
        print(target.shown if options.output == "name" else shown)
    if options.wait and options.dry_run == "none" and not (options.force and options.grace_period == 0):
        try:
            async with asyncio.timeout(seconds(options.timeout) or None):
                for target, namespace, uid in gone:
                    await _wait_gone(session, target, namespace, uid)
        except TimeoutError as error:
            raise Refused("timed out waiting for the condition") from error
    return missing


async def _places(session: Session, options: argparse.Namespace) -> list[tuple[Target, str]]:
    if options.filename:
        return [(m.target, m.namespace) for m in await manifests(session, options)]
    mapper = await session.mapper()
    found: list[tuple[Target, str]] = []
    for target in resource_targets(mapper, options.what):
        namespace = session.namespace if target.mapping.namespaced and not options.all_namespaces else ""
        if target.name:
            found.append((target, namespace))
            continue
        if not (options.all or options.selector or options.field_selector):
            raise Refused("resource(s) were provided, but no name was specified")
        query = {"labelSelector": options.selector, "fieldSelector": options.field_selector}
        listed = await session.request("GET", target.mapping.path(namespace), query=query)
        for item in listed.get("items") or ():
            metadata = item["metadata"]
            found.append((Target(target.mapping, metadata["name"]), metadata.get("namespace", "")))
    if not found:
        print("No resources found")
    return found


async def _delete(session: Session, options: argparse.Namespace, target: Target, namespace: str) -> Object:
    body: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": _CASCADE[options.cascade]}
    grace = 1 if options.now else options.grace_period
    if grace == 0 and not options.force:
        grace = 1
    if options.force and options.grace_period < 0:
        grace = 0
    if grace >= 0:
        body["gracePeriodSeconds"] = grace
    path = target.mapping.path(namespace, target.name)
    if options.dry_run == "client":
        return await session.request("GET", path)
    return await session.request("DELETE", path, body, query=dry_run_query(options))


def _uid(answer: Object) -> str:
    """Of the object that was deleted; a Status has it in its details."""
    return str((answer.get("metadata") or {}).get("uid") or (answer.get("details") or {}).get("uid") or "")


async def _wait_gone(session: Session, target: Target, namespace: str, uid: str) -> None:
    """Returns when no object of that uid is there."""
    while True:
        try:
            live = await session.request("GET", target.mapping.path(namespace, target.name))
        except NotFound:
            return
        if uid and live["metadata"].get("uid") != uid:
            return
        query = {
            "fieldSelector": f"metadata.name={target.name}",
            "resourceVersion": str(live["metadata"]["resourceVersion"]),
            "timeoutSeconds": "300",
        }
        async for event in session.watch(target.mapping.path(namespace), query):
            if event["type"] == "DELETED":
                return
            if event["type"] == "ERROR":
                break


COMMAND = Command(
    help="Delete resources by file names, stdin, resources and names, or by resources and label selector",
    usage="delete (-f FILE | TYPE [NAME...] | TYPE -l SELECTOR | TYPE --all)",
    examples="  kubectl delete pod web --now\n  kubectl delete -f pod.yaml\n  kubectl delete pods -l app=web",
    flags=_flags,
    run=_run,
)
