"""kubectl get: lists, single objects, watches, in every output format."""

import argparse
import sys
from collections.abc import Callable

from pybernetes.api.errors import NotFound
from pybernetes.api.objects import Object
from pybernetes.kubectl.command import Command, Refused
from pybernetes.kubectl.flags import Flags
from pybernetes.kubectl.mapper import Mapper
from pybernetes.kubectl.printers.output import add_output_flags, is_table, name_of, print_event, print_objects
from pybernetes.kubectl.printers.table import TablePrinter, TableStyle
from pybernetes.kubectl.session import TABLE, Session
from pybernetes.kubectl.targets import Target, add_file_flags, manifests, resource_targets


def _flags(flags: Flags) -> None:
    flags.add_argument("what", nargs="*", metavar="TYPE[/NAME] [NAME]", help="pods, deploy/web, pods web db, all, ...")
    add_file_flags(flags, "to get")
    add_output_flags(flags)
    flags.flag("-A", "--all-namespaces", help="objects of all namespaces")
    flags.add_argument("-l", "--selector", default="", help="label selector")
    flags.add_argument("--field-selector", default="", help="field selector")
    flags.flag("-w", "--watch", help="after the list, print changes")
    flags.flag("--watch-only", help="print changes only")
    flags.flag(
        "--output-watch-events", help="with a watch, print what became of each object, too; those listed are ADDED"
    )
    flags.flag("--no-headers", help="tables without headers")
    flags.flag("--show-labels", help="labels as the last column")
    flags.flag("--show-kind", help="kind before each name")
    flags.add_argument("-L", "--label-columns", action="append", default=[], help="labels shown as columns")
    flags.flag("--ignore-not-found", help="nothing found is no error")
    flags.add_argument("--chunk-size", type=int, default=500, help="objects asked for at once; 0 is all")
    flags.add_argument("--sort-by", default="", help="JSONPath of the field to sort by")
    flags.add_argument("--raw", default="", help="path to GET and print as it is")


async def _run(session: Session, options: argparse.Namespace) -> int:
    if options.raw:
        from pybernetes.wire.http import read_body

        response = await session.send("GET", options.raw)
        sys.stdout.write((await read_body(response)).decode())
        return 0
    mapper = await session.mapper()
    if options.filename:
        found = await manifests(session, options)
        places = [(m.target, m.namespace) for m in found]
    else:
        namespace = "" if options.all_namespaces else session.namespace
        places = [(target, namespace) for target in resource_targets(mapper, options.what)]
    for target, _ in places:
        if target.name and options.all_namespaces and target.mapping.namespaced:
            raise Refused("a resource cannot be retrieved by name across all namespaces")
    if options.output_watch_events and not (options.watch or options.watch_only):
        raise Refused("--output-watch-events option can only be used with --watch or --watch-only")
    if options.watch or options.watch_only:
        if len(places) != 1:
            raise Refused("you may only specify a single resource type to watch")
        return await _watch(session, options, *places[0])
    if is_table(options):
        return await _tables(session, options, places)
    objects: list[Object] = []
    for target, namespace in places:
        objects += await _objects(session, options, target, namespace)
    single = len(places) == 1 and bool(places[0][0].name)
    if objects or not (single and options.ignore_not_found):
        print_objects(_sorted(objects, options.sort_by), options, mapper, single=single)
    return 0


async def _objects(session: Session, options: argparse.Namespace, target: Target, namespace: str) -> list[Object]:
    if target.name:
        try:
            return [await session.request("GET", target.mapping.path(namespace, target.name))]
        except NotFound:
            if options.ignore_not_found:
                return []
            raise
    items: list[Object] = []
    query = _query(options)
    while True:
        page = await session.request("GET", target.mapping.path(namespace), query=query)
        kind, version = str(page["kind"]).removesuffix("List"), page["apiVersion"]
        items += [{"apiVersion": version, "kind": kind, **item} for item in page.get("items") or ()]
        query["continue"] = page["metadata"].get("continue", "")
        if not query["continue"]:
            return items


def _query(options: argparse.Namespace) -> dict[str, str]:
    return {
        "labelSelector": options.selector,
        "fieldSelector": options.field_selector,
        "limit": str(options.chunk_size or ""),
    }


def _sorted(objects: list[Object], path: str) -> list[Object]:
    if not path:
        return objects
    from pybernetes.kubectl.printers.jsonpath import find

    def key(obj: Object) -> tuple[int, object]:
        values = find(path.strip("{}"), obj)
        return (1, values[0]) if values and not isinstance(values[0], dict | list) else (0, "")

    return sorted(objects, key=lambda obj: (key(obj)[0], key(obj)[1]))


def _style(options: argparse.Namespace, target: Target, several: bool) -> TableStyle:
    return TableStyle(
        wide=options.output == "wide",
        headers=not options.no_headers,
        namespaces=options.all_namespaces and target.mapping.namespaced,
        labels=options.show_labels,
        label_columns=tuple(label for part in options.label_columns for label in part.split(",")),
        kind=target.mapping.shown_kind if several or options.show_kind else "",
        events=options.output_watch_events,
    )


async def _tables(session: Session, options: argparse.Namespace, places: list[tuple[Target, str]]) -> int:
    kinds = {target.mapping for target, _ in places}
    printers: dict[object, TablePrinter] = {}
    printed = False
    missing = 0
    for target, namespace in places:
        try:
            table = await _table(session, options, target, namespace)
        except NotFound as error:
            if not target.name:
                raise
            if not options.ignore_not_found:
                print(f"Error from server (NotFound): {error.message}", file=sys.stderr)
                missing = 1
            continue
        if not table.get("rows"):
            continue
        if target.mapping not in printers and printed and len(kinds) > 1 and not options.no_headers:
            print()
        printer = printers.setdefault(target.mapping, TablePrinter(_style(options, target, len(kinds) > 1)))
        for line in printer.lines(table):
            print(line)
        printed = True
    if not printed and not missing and not options.ignore_not_found:
        scope = any(target.mapping.namespaced for target, _ in places) and not options.all_namespaces
        print(
            f"No resources found{f' in {session.namespace} namespace' if scope else ''}{'.' if scope else ''}",
            file=sys.stderr,
        )
    return missing


async def _table(session: Session, options: argparse.Namespace, target: Target, namespace: str) -> Object:
    """The Table of an object or of a whole list; pages are joined so that columns line up."""
    if target.name:
        return await session.request("GET", target.mapping.path(namespace, target.name), accept=TABLE)
    query = _query(options)
    if options.sort_by:
        query["includeObject"] = "Object"
    table = await session.request("GET", target.mapping.path(namespace), accept=TABLE, query=query)
    page = table
    while cursor := (page.get("metadata") or {}).get("continue"):
        page = await session.request(
            "GET", target.mapping.path(namespace), accept=TABLE, query={**query, "continue": cursor}
        )
        table["rows"] += page.get("rows") or ()
    if options.sort_by:
        rows = {id(row["object"]): row for row in table["rows"]}
        table["rows"] = [rows[id(obj)] for obj in _sorted([row["object"] for row in table["rows"]], options.sort_by)]
    return table


async def _watch(session: Session, options: argparse.Namespace, target: Target, namespace: str) -> int:
    tabular = is_table(options)
    accept = TABLE if tabular else "application/json"
    show = _shower(options, target, await session.mapper())
    path = target.mapping.path(namespace)
    query = _query(options)
    query.pop("limit")
    if target.name:
        query["fieldSelector"] = f"metadata.name={target.name}"
    listed = await session.request("GET", path, accept=accept, query=query)
    if tabular and not options.watch_only:
        show("ADDED", listed)
    elif not options.watch_only:
        kind, version = str(listed["kind"]).removesuffix("List"), listed["apiVersion"]
        for item in listed.get("items") or ():
            show("ADDED", {"apiVersion": version, "kind": kind, **item})
    query["resourceVersion"] = str(listed["metadata"]["resourceVersion"])
    async for event in session.watch(path, query, accept):
        if event["type"] == "ERROR":
            raise Refused(str(event["object"].get("message", event["object"])))
        if event["type"] != "BOOKMARK":
            show(str(event["type"]), event["object"])
    return 0


def _shower(options: argparse.Namespace, target: Target, mapper: Mapper) -> Callable[[str, Object], None]:
    """Prints what became of an object, or of the rows of a table."""
    printer = TablePrinter(_style(options, target, False))

    def show(event: str, found: Object) -> None:
        if is_table(options):
            for line in printer.lines(found, event):
                print(line, flush=True)
        elif options.output == "name":
            print(name_of(found, mapper), flush=True)
        elif options.output_watch_events:
            print_event(event, found, options)
        else:
            print_objects([found], options, mapper, single=True)

    return show


COMMAND = Command(
    help="Display one or many resources",
    usage="get TYPE[/NAME] [NAME...] [-o FORMAT] [-l SELECTOR] [-A] [-w]",
    examples="  kubectl get pods -o wide\n  kubectl get deploy/web svc/web\n  kubectl get nodes -w",
    flags=_flags,
    run=_run,
)
