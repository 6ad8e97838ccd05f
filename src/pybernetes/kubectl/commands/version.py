"""kubectl version: of this client and of the server."""

import argparse
import sys

import orjson

from pybernetes import KUBERNETES_VERSION
from pybernetes.api.objects import Object
from pybernetes.kubectl.command import Command
from pybernetes.kubectl.flags import Flags
from pybernetes.kubectl.session import Session
from pybernetes.wire.codecs import yaml


def _flags(flags: Flags) -> None:
    flags.flag("--client", help="of the client only")
    flags.add_argument("-o", "--output", default="", choices=["", "json", "yaml"], help="json or yaml")


async def _run(session: Session, options: argparse.Namespace) -> int:
    major, minor, _ = KUBERNETES_VERSION.removeprefix("v").split(".")
    found: Object = {"clientVersion": {"major": major, "minor": minor, "gitVersion": KUBERNETES_VERSION}}
    if not options.client:
        found["serverVersion"] = await session.request("GET", "/version")
    if options.output == "json":
        print(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
    elif options.output == "yaml":
        sys.stdout.write(yaml.dump(found))
    else:
        for part, shown in (("clientVersion", "Client"), ("serverVersion", "Server")):
            if part in found:
                print(f"{shown} Version: {found[part]['gitVersion']}")
    return 0


COMMAND = Command(
    help="Print the client and server version information", usage="version [--client]", flags=_flags, run=_run
)
