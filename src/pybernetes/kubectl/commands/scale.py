"""kubectl scale: sets the number of replicas through the scale subresource."""

import argparse

from pybernetes.kubectl.command import Command, Refused
from pybernetes.kubectl.dryrun import add_dry_run_flag, dry_run_query, dry_run_suffix
from pybernetes.kubectl.flags import Flags
from pybernetes.kubectl.session import MERGE, Session
from pybernetes.kubectl.targets import add_file_flags, manifests, resource_targets


def _flags(flags: Flags) -> None:
    flags.add_argument("what", nargs="*", metavar="TYPE/NAME", help="deploy/web, rc web")
    add_file_flags(flags, "to scale")
    add_dry_run_flag(flags)
    flags.add_argument("--replicas", type=int, default=-1, help="the number wanted")
    flags.add_argument("--current-replicas", type=int, default=-1, help="only when it is this now")
    flags.add_argument("--resource-version", default="", help="only at this version")


async def _run(session: Session, options: argparse.Namespace) -> int:
    if options.replicas < 0:
        raise Refused("The --replicas=COUNT flag is required, and COUNT must be greater than or equal to 0")
    if options.filename:
        places = [(m.target, m.namespace) for m in await manifests(session, options)]
    else:
        places = [(target, session.namespace) for target in resource_targets(await session.mapper(), options.what)]
    for target, namespace in places:
        if not target.name:
            raise Refused("a name is required: kubectl scale TYPE/NAME --replicas=COUNT")
        path = target.mapping.path(namespace, target.name, "scale")
        patch: dict[str, object] = {"spec": {"replicas": options.replicas}}
        if options.current_replicas >= 0:
            now = await session.request("GET", path)
            count = now["spec"].get("replicas", 0)
            if count != options.current_replicas:
                raise Refused(f"Expected replicas to be {options.current_replicas}, was {count}")
            patch["metadata"] = {"resourceVersion": now["metadata"]["resourceVersion"]}
        if options.resource_version:
            patch["metadata"] = {"resourceVersion": options.resource_version}
        if options.dry_run != "client":
            await session.request("PATCH", path, patch, content_type=MERGE, query=dry_run_query(options))
        print(f"{target.shown} scaled{dry_run_suffix(options)}")
    return 0


COMMAND = Command(
    help="Set a new size for a deployment, replica set, or replication controller",
    usage="scale --replicas=COUNT TYPE/NAME",
    examples="  kubectl scale deploy/web --replicas=3",
    flags=_flags,
    run=_run,
)
