"""kubectl api-resources: what the server serves."""

import argparse

from pybernetes.kubectl.command import Command
from pybernetes.kubectl.flags import Flags
from pybernetes.kubectl.printers.table import layout
from pybernetes.kubectl.session import Session


def _flags(flags: Flags) -> None:
    flags.add_argument("--api-group", default=None, help="of this group only")
    flags.add_argument("--namespaced", choices=["true", "false"], default=None, help="namespaced ones or the others")
    flags.add_argument("--verbs", default="", help="only those with all these verbs, comma separated")
    flags.add_argument("--categories", default="", help="only members of these categories, comma separated")
    flags.flag("--no-headers", help="without the header")
    flags.add_argument("-o", "--output", default="", choices=["", "wide", "name"], help="wide or name")


async def _run(session: Session, options: argparse.Namespace) -> int:
    rows = [] if options.no_headers else [["NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND"]]
    if rows and options.output == "wide":
        rows[0] += ["VERBS", "CATEGORIES"]
    for mapping in sorted((await session.mapper()).mappings, key=lambda m: (m.group, m.plural)):
        if options.api_group is not None and mapping.group != options.api_group:
            continue
        if options.namespaced is not None and mapping.namespaced != (options.namespaced == "true"):
            continue
        if not set(filter(None, options.verbs.split(","))) <= set(mapping.verbs):
            continue
        if not set(filter(None, options.categories.split(","))) <= set(mapping.categories):
            continue
        if options.output == "name":
            print(mapping.shown)
            continue
        namespaced = "true" if mapping.namespaced else "false"
        row = [mapping.plural, ",".join(mapping.short_names), mapping.api_version, namespaced, mapping.kind]
        if options.output == "wide":
            row += [",".join(sorted(mapping.verbs)), ",".join(mapping.categories)]
        rows.append(row)
    if options.output != "name":
        for line in layout(rows):
            print(line)
    return 0


COMMAND = Command(
    help="Print the supported API resources on the server", usage="api-resources [-o wide|name]", flags=_flags, run=_run
)
