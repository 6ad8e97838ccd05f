"""What descriptions are made of: lines whose cells end with a tab, lined up as Go's text/tabwriter does for kubectl."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pybernetes.aio.clock import SystemClock, parse_time
from pybernetes.api.objects import Object
from pybernetes.api.selectors import of_label_selector, of_labels
from pybernetes.rules.ages import age

Lines = list[str]
_HIDDEN = ("kubectl.kubernetes.io/last-applied-configuration",)
_LONGEST = 140
"""Characters of an annotation that stand beside its name."""
PADDING = 2
_ACRONYMS = frozenset({"API", "URL", "UID", "OSB", "GUID"})


def aligned(lines: Iterable[str]) -> Lines:
    """A cell is as wide as the widest of its column in the lines around it that have that column; the last cell of a line
    belongs to none."""
    rows = [line.split("\t") for line in "\n".join(lines).split("\n")]
    for column in range(max(map(len, rows))):
        start = 0
        while start < len(rows):
            end = start
            while end < len(rows) and len(rows[end]) > column + 1:
                end += 1
            width = max((len(row[column]) for row in rows[start:end]), default=0) + PADDING
            for row in rows[start:end]:
                row[column] = row[column].ljust(width)
            start = max(end, start + 1)
    return ["".join(row).rstrip() for row in rows]


def since(stamp: str | None) -> str:
    """How long ago a timestamp was: `45s`, `3m12s`, `2d4h`."""
    return age(SystemClock().now() - parse_time(stamp)) if stamp else "<unknown>"


def moment(stamp: str | None, unset: str = "<unset>") -> str:
    """A timestamp as kubectl's descriptions write it (RFC 1123 with a numeric zone)."""
    return datetime.fromtimestamp(parse_time(stamp), UTC).strftime("%a, %d %b %Y %H:%M:%S %z") if stamp else unset


def flag(value: object) -> str:
    """A boolean as kubectl writes it where it does not write Go's."""
    return "True" if value else "False"


def go(value: object) -> str:
    """A boolean as Go writes it."""
    return "true" if value else "false"


def listed(values: Iterable[object] | None) -> str:
    """A list of strings as Go prints it: `[a b]`."""
    return f"[{' '.join(str(value) for value in values or ())}]"


def meta(obj: Object) -> Object:
    """Its metadata."""
    found: Object = obj["metadata"]
    return found


def spec(obj: Object) -> Object:
    """Its spec, {} where there is none."""
    return obj.get("spec") or {}


def status(obj: Object) -> Object:
    """Its status, {} where there is none."""
    return obj.get("status") or {}


def name(obj: Object) -> Lines:
    """Its name, and its namespace if it has one."""
    lines = [f"Name:\t{meta(obj)['name']}"]
    return [*lines, f"Namespace:\t{meta(obj)['namespace']}"] if meta(obj).get("namespace") else lines


def created(obj: Object) -> str:
    """When it was made."""
    return f"CreationTimestamp:\t{moment(meta(obj).get('creationTimestamp'))}"


def pairs(title: str, values: Mapping[str, str] | None) -> Lines:
    """A map, one `key=value` a line."""
    return _beside(title, [f"{k}={v}" for k, v in sorted((values or {}).items())])


def labels(obj: Object) -> Lines:
    """Its labels."""
    return pairs("Labels", meta(obj).get("labels"))


def annotations(obj: Object, title: str = "Annotations", space: str = "") -> Lines:
    """Its annotations, without the one that `kubectl apply` keeps; long ones below their names."""
    shown: Lines = []
    for key, value in sorted((meta(obj).get("annotations") or {}).items()):
        if key in _HIDDEN:
            continue
        value = value.removesuffix("\n")
        if len(value) + len(key) + 2 > _LONGEST or "\n" in value:
            most = _LONGEST - 2
            cut = [part if len(part) <= most else f"{part[:most]}..." for part in value.split("\n")]
            shown += [f"{key}:", *(f"{space}  {part}" for part in cut)]
        else:
            shown.append(f"{key}: {value}")
    return _beside(title, shown)


def _beside(title: str, shown: Sequence[str]) -> Lines:
    first, *rest = shown or ["<none>"]
    return [f"{title}:\t{first}", *(f"\t{text}" for text in rest)]


def selector(of: Mapping[str, Any] | None) -> str:
    """A LabelSelector, or a plain map of labels, in a line: `app=web,tier in (a,b)`."""
    of = of or {}
    return str(of_label_selector(of) if {"matchLabels", "matchExpressions"} & of.keys() else of_labels(of))


def none(text: object) -> str:
    """`<none>` for nothing."""
    return "<none>" if text in (None, "") else str(text)


def controlled_by(obj: Object) -> Lines:
    """Its controller, if it has one."""
    owners = (o for o in meta(obj).get("ownerReferences") or () if o.get("controller"))
    return [f"Controlled By:\t{owner['kind']}/{owner['name']}" for owner in owners]


def table(head: Sequence[str], rows: Iterable[Sequence[object]], indent: str = "  ") -> Lines:
    """A ruled table."""
    lines = [indent + "\t".join(head), indent + "\t".join("-" * len(one) for one in head)]
    return [*lines, *(indent + "\t".join(str(cell) for cell in line) for line in rows)]


def conditions(obj: Object, *fields: str) -> Lines:
    """Its conditions, if there are any, with these fields of them."""
    found = status(obj).get("conditions") or ()
    if not found:
        return []
    rows = [[moment(c.get(f)) if f.endswith("Time") else c.get(f, "") for f in fields] for c in found]
    return ["Conditions:", *table([f[:1].upper() + f[1:] for f in fields], rows)]


def events(found: Sequence[Object]) -> Lines:
    """The last part of a description."""
    if not found:
        return ["Events:\t<none>"]
    rows = []
    for event in found:
        count = event.get("count") or (event.get("series") or {}).get("count") or 1
        first, last = event.get("firstTimestamp"), event.get("lastTimestamp") or event.get("eventTime")
        seen = f"{since(last)} (x{count} over {since(first)})" if count > 1 and first else since(first or last)
        source = (event.get("source") or {}).get("component") or event.get("reportingComponent") or ""
        rows.append([event.get("type", ""), event.get("reason", ""), seen, source, event.get("message", "").strip()])
    lines = ["Events:", "  Type\tReason\tAge\tFrom\tMessage", "  ----\t------\t----\t----\t-------"]
    return [*lines, *("  " + "\t".join(cells) for cells in rows)]


def general(obj: Object) -> Lines:
    """Of a kind that nothing else is known of: all its fields, their names as words."""
    lines = [f"Name:\t{meta(obj)['name']}", f"Namespace:\t{meta(obj).get('namespace', '')}"]
    lines += [*labels(obj), *annotations(obj)]
    known = {"name", "namespace", "labels", "annotations", "managedFields"}
    inner = {key: value for key, value in meta(obj).items() if key not in known}
    return [*lines, *_fields({**obj, "metadata": inner}, "")]


def _fields(content: Object, indent: str) -> Lines:
    lines: Lines = []
    for key in sorted(content):
        value, title = content[key], f"{indent}{_words(key)}:"
        if isinstance(value, dict):
            lines += [title, *_fields(value, indent + "  ")]
        elif isinstance(value, list):
            lines.append(title)
            for one in value:
                lines += _fields(one, indent + "  ") if isinstance(one, dict) else [f"{indent}  {_shown(one)}"]
        else:
            lines.append(f"{title}\t{_shown(value)}")
    return lines


def _words(field: str) -> str:
    if not field.replace("-", "").isalpha():
        return field
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|-", field)
    return " ".join(part.upper() if part.upper() in _ACRONYMS else part[:1].upper() + part[1:] for part in parts)


def _shown(value: object) -> str:
    if value is None:
        return "<nil>"
    return go(value) if isinstance(value, bool) else str(value)
