"""`-o`: json, yaml, name, jsonpath=, custom-columns=. Tables are table.py's."""

import argparse
import sys
from collections.abc import Sequence

import orjson

from pybernetes.api.objects import Object
from pybernetes.kubectl.command import Refused
from pybernetes.kubectl.flags import Flags
from pybernetes.kubectl.mapper import Mapper
from pybernetes.kubectl.printers import jsonpath
from pybernetes.kubectl.printers.table import layout
from pybernetes.wire.codecs import yaml

FORMATS = "json|yaml|name|wide|jsonpath=...|custom-columns=..."


def add_output_flags(flags: Flags) -> None:
    """`-o` and what belongs to it."""
    flags.add_argument("-o", "--output", default="", help=f"format: {FORMATS}")
    flags.flag("--show-managed-fields", help="keep managedFields in json and yaml")


def is_table(options: argparse.Namespace) -> bool:
    """Whether the format is the server's table."""
    return options.output in ("", "wide")


def as_list(objects: Sequence[Object]) -> Object:
    """The List that kubectl prints for several objects."""
    return {"apiVersion": "v1", "items": list(objects), "kind": "List", "metadata": {"resourceVersion": ""}}


def print_objects(objects: Sequence[Object], options: argparse.Namespace, mapper: Mapper, *, single: bool) -> None:
    """Prints in the asked format; `single` objects stand alone, else they are a List."""
    kind, _, argument = options.output.partition("=")
    if kind in ("json", "yaml") and not options.show_managed_fields:
        for obj in objects:
            (obj.get("metadata") or {}).pop("managedFields", None)
    if kind == "name":
        for obj in objects:
            print(name_of(obj, mapper))
        return
    if kind == "custom-columns":
        _custom_columns(objects, argument)
        return
    document = objects[0] if single and len(objects) == 1 else as_list(objects)
    if kind == "json":
        sys.stdout.write(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS).decode() + "\n")
        sys.stdout.flush()
    elif kind == "yaml":
        sys.stdout.write(yaml.dump(document))
        sys.stdout.flush()
    elif kind == "jsonpath":
        sys.stdout.write(jsonpath.render(argument, document))
        sys.stdout.flush()
    else:
        raise Refused(
            f'unable to match a printer suitable for the output format "{options.output}", allowed formats are: {FORMATS}'
        )


def print_event(event: str, obj: Object, options: argparse.Namespace) -> None:
    """Prints what a watch tells, in json a line each."""
    if options.output not in ("json", "yaml"):
        raise Refused(f"events are printed as a table, json or yaml, not as {options.output!r}")
    if not options.show_managed_fields:
        (obj.get("metadata") or {}).pop("managedFields", None)
    document = {"type": event, "object": obj}
    sys.stdout.write(orjson.dumps(document).decode() + "\n" if options.output == "json" else yaml.dump(document))
    sys.stdout.flush()


def name_of(obj: Object, mapper: Mapper) -> str:
    """`pod/web`, `deployment.apps/web`."""
    mapping = mapper.of_kind(str(obj.get("apiVersion", "")), str(obj.get("kind", "")))
    kind = mapping.shown_kind if mapping else str(obj.get("kind", "")).lower()
    return f"{kind}/{(obj.get('metadata') or {}).get('name', '')}"


def _custom_columns(objects: Sequence[Object], spec: str) -> None:
    columns = [part.partition(":") for part in spec.split(",") if part]
    if not columns or any(not path for _, _, path in columns):
        raise Refused("custom-columns format specified but no custom columns given, use NAME:.path,NAME:.path")
    rows = [[name for name, _, _ in columns]]
    for obj in objects:
        rows.append([jsonpath.render(f"{{{path}}}", obj, missing="<none>") for _, _, path in columns])
    for line in layout(rows):
        print(line)
