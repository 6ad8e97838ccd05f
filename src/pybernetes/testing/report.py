"""Report: why a test failed, as far as its cluster can tell: Pods, events and the last calls of a namespace, as text.

print(await of_namespace(cluster.client(), "shop", audit=cluster.audit, faults=cluster.faults))
"""

from collections.abc import Iterable, Sequence
from textwrap import wrap

from pybernetes.api.errors import ApiError
from pybernetes.api.objects import Object
from pybernetes.client.rest import Client
from pybernetes.kubectl.printers.table import TablePrinter, TableStyle
from pybernetes.testing.audit import Calls, calls_table
from pybernetes.testing.faults import Faults
from pybernetes.testing.traffic import Call

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
OBSERVER = "pybernetes-report"
"""The agent of those who only look."""
WIDTH = 140
"""Columns of a line, where nobody says how wide the terminal is."""
PODS, EVENTS, CALLS = 40, 25, 25
"""Rows of each part: the newest."""
_NARROW = 30
"""Columns in which no sentence can be read."""
_READING = ("get", "list", "watch")


async def of_namespace(
    client: Client,
    namespace: str,
    *,
    audit: Calls | None = None,
    faults: Faults | None = None,
    width: int = WIDTH,
    since: int = 0,
) -> str:
    """What there is to tell of a namespace (empty: of all), and of calls after that number.

    Never raises for what the API refuses: that is told as well.
    """
    place = f"namespace {namespace}" if namespace else "all namespaces"
    path = f"/api/v1/namespaces/{namespace}" if namespace else "/api/v1"
    everywhere = not namespace
    parts = [
        _part(
            f"Pods of {place}", await _rows(client, f"{path}/pods", TableStyle(wide=True, namespaces=everywhere), PODS)
        ),
        _part(f"Events of {place}", await _rows(client, f"{path}/events", TableStyle(namespaces=everywhere), EVENTS)),
    ]
    if audit is not None:
        parts.append(
            _part(f"Last calls of {place}; events, and what components read, left out", _calls(audit, namespace, since))
        )
    if faults is not None and faults.rules:
        parts.append(_part("Faults in force", [f"{rule} ({rule.hits} hits)" for rule in faults.rules]))
    return "\n\n".join("\n".join(fitted(part, width)) for part in parts)


async def _rows(client: Client, path: str, style: TableStyle, most: int) -> list[str]:
    """As `kubectl get` prints them, the oldest first where they have a time."""
    try:
        table = await client.raw("GET", path, query={"includeObject": "Object"}, headers={"accept": TABLE})
    except (ApiError, OSError) as error:
        return [f"cannot be asked for: {error}"]
    rows: Sequence[Object] = sorted(table.get("rows") or (), key=_time)
    lines = list(TablePrinter(style).lines({**table, "rows": rows[-most:]}))
    if len(rows) > most:
        lines.append(f"(the last {most} of {len(rows)})")
    return lines


def _time(row: Object) -> str:
    """Of an event; of other objects when they were made."""
    obj = row.get("object") or {}
    series = obj.get("series") or {}
    times = (series.get("lastObservedTime"), obj.get("lastTimestamp"), obj.get("eventTime"))
    return next((text for text in times if text), obj.get("metadata", {}).get("creationTimestamp") or "")


def _calls(audit: Calls, namespace: str, since: int) -> list[str]:
    new = (call for call in audit if call.number > since)
    found = [call for call in new if (not namespace or call.namespace == namespace) and _matters(call)]
    if not found:
        return []
    return calls_table(found[-CALLS:], within=namespace).splitlines()


def _matters(call: Call) -> bool:
    """Components read all the time: that is of interest where it fails. Events have a part of their own."""
    well = 0 < call.code < 400
    noise = (call.verb in _READING and call.user.startswith("system:")) or call.info.resource == "events"
    return call.info.is_resource and not (well and noise)


def _part(title: str, lines: Iterable[str]) -> list[str]:
    return [f"--- {title}", *(list(lines) or ["none"])]


def fitted(lines: Sequence[str], width: int) -> list[str]:
    """Lines of a table that fit: what is too long goes on below the last column, or ends where that is too narrow."""
    head = lines[1] if len(lines) > 1 else ""
    at = head.rfind("   ") + 3 if "   " in head else 0
    return [part for line in lines for part in _fitted(line, width, at)]


def _fitted(line: str, width: int, at: int) -> list[str]:
    if len(line) <= width:
        return [line]
    if width - at < _NARROW:
        return [f"{line[: width - 1]}\N{HORIZONTAL ELLIPSIS}"]
    wrapped = wrap(line[at:], width - at) or [""]
    return [line[:at] + wrapped[0], *(" " * at + part for part in wrapped[1:])]
