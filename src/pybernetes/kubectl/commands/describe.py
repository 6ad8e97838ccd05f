"""kubectl describe: an object in words, with what belongs to it and its events."""

import argparse

from pybernetes.api.objects import Object
from pybernetes.kubectl.command import Command
from pybernetes.kubectl.flags import Flags
from pybernetes.kubectl.printers.describe import describe
from pybernetes.kubectl.session import Session
from pybernetes.kubectl.targets import Target, add_file_flags, manifests, resource_targets


def _flags(flags: Flags) -> None:
    flags.add_argument("what", nargs="*", metavar="TYPE[/NAME] [NAME or PREFIX]", help="pod web, deploy/web, nodes")
    add_file_flags(flags, "to describe")
    flags.add_argument("-l", "--selector", default="", help="label selector")
    flags.flag("-A", "--all-namespaces", help="in all namespaces")
    flags.flag("--show-events", default=True, help="with events")


async def _run(session: Session, options: argparse.Namespace) -> int:
    if options.filename:
        places = [(m.target, m.namespace) for m in await manifests(session, options)]
    else:
        namespace = "" if options.all_namespaces else session.namespace
        places = [(target, namespace) for target in resource_targets(await session.mapper(), options.what)]
    first = True
    for target, namespace in places:
        for obj in await _objects(session, options, target, namespace):
            if not first:
                print("\n")
            first = False
            events = await _events(session, obj) if options.show_events else None
            print(await describe(session, target.mapping, obj, events))
    if first:
        print(f"No resources found in {session.namespace} namespace.")
    return 0


async def _objects(session: Session, options: argparse.Namespace, target: Target, namespace: str) -> list[Object]:
    """The named object, those whose names begin so, or all."""
    path = target.mapping.path(namespace)
    listed = await session.request("GET", path, query={"labelSelector": options.selector})
    mapping = target.mapping
    # Items of a list say no kind; it is the list's.
    items: list[Object] = [
        {"kind": mapping.kind, "apiVersion": mapping.api_version, **item} for item in listed.get("items") or ()
    ]
    if not target.name:
        return items
    found = [i for i in items if i["metadata"]["name"] == target.name]
    found = found or [i for i in items if i["metadata"]["name"].startswith(target.name)]
    if not found:
        return [await session.request("GET", target.mapping.path(namespace, target.name))]
    return found


async def _events(session: Session, obj: Object) -> list[Object]:
    metadata = obj["metadata"]
    namespace = metadata.get("namespace", "")
    path = f"/api/v1/namespaces/{namespace}/events" if namespace else "/api/v1/events"
    named = f"involvedObject.name={metadata['name']}"
    # The kubelet tells of a static Pod by the static Pod's uid, which its mirror names
    uids = [(metadata.get("annotations") or {}).get("kubernetes.io/config.mirror") or metadata.get("uid", "")]
    if not namespace:
        uids.append(metadata["name"])  # events of Nodes by kubelets carry the name as uid
    found: list[Object] = []
    for uid in uids:
        answer = await session.request("GET", path, query={"fieldSelector": f"{named},involvedObject.uid={uid}"})
        found += answer.get("items") or ()
    return sorted(found, key=lambda e: e.get("lastTimestamp") or e.get("eventTime") or "")


COMMAND = Command(
    help="Show details of a specific resource or group of resources",
    usage="describe TYPE[/NAME] [NAME or PREFIX] [-l SELECTOR]",
    examples="  kubectl describe pod web\n  kubectl describe nodes",
    flags=_flags,
    run=_run,
)
