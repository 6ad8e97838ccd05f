"""kubectl patch: strategic merge, merge or JSON patch."""

import argparse
from pathlib import Path

import orjson

from pybernetes.kubectl.command import Command, Refused
from pybernetes.kubectl.dryrun import add_dry_run_flag, dry_run_query, dry_run_suffix
from pybernetes.kubectl.flags import Flags
from pybernetes.kubectl.printers.output import add_output_flags, print_objects
from pybernetes.kubectl.session import JSON_PATCH, MERGE, STRATEGIC, Session
from pybernetes.kubectl.targets import resource_targets
from pybernetes.wire.codecs import yaml

_TYPES = {"strategic": STRATEGIC, "merge": MERGE, "json": JSON_PATCH}


def _flags(flags: Flags) -> None:
    flags.add_argument("what", nargs="*", metavar="TYPE/NAME", help="deploy/web, pod web")
    flags.add_argument("-p", "--patch", default="", help="the patch, JSON or YAML")
    flags.add_argument("--patch-file", default="", help="file with the patch")
    flags.add_argument("--type", default="strategic", choices=sorted(_TYPES), help="kind of the patch")
    flags.add_argument("--subresource", default="", help="status, scale")
    add_output_flags(flags)
    add_dry_run_flag(flags)


async def _run(session: Session, options: argparse.Namespace) -> int:
    if bool(options.patch) == bool(options.patch_file):
        raise Refused("must specify --patch or --patch-file containing the contents of the patch")
    patch = _patch(options)
    mapper = await session.mapper()
    for target in resource_targets(mapper, options.what):
        if not target.name:
            raise Refused("a name is required: kubectl patch TYPE/NAME -p PATCH")
        path = target.mapping.path(session.namespace, target.name, options.subresource)
        before = await session.request("GET", target.mapping.path(session.namespace, target.name))
        after = await session.request(
            "PATCH",
            path,
            patch,
            content_type=_TYPES[options.type],
            query={"fieldManager": "kubectl-patch", **dry_run_query(options)},
        )
        if options.output:
            print_objects([after], options, mapper, single=True)
            continue
        same = before["metadata"].get("resourceVersion") == after["metadata"].get("resourceVersion")
        print(f"{target.shown} patched{' (no change)' if same else ''}{dry_run_suffix(options)}")
    return 0


def _patch(options: argparse.Namespace) -> bytes:
    try:
        text = options.patch.encode() if options.patch else Path(options.patch_file).read_bytes()
        return orjson.dumps(next(iter(yaml.load_all(text))))
    except (OSError, ValueError, StopIteration) as error:
        raise Refused(f"unable to parse the patch: {error}") from error


COMMAND = Command(
    help="Update fields of a resource",
    usage="patch TYPE/NAME (-p PATCH | --patch-file FILE) [--type=strategic|merge|json]",
    examples="""  kubectl patch deploy/web -p '{"spec":{"replicas":2}}'""",
    flags=_flags,
    run=_run,
)
