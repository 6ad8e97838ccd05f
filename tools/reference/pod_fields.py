"""No field without a reader: every field that a Pod's spec can have, and the code that acts on it.

A field that nothing reads needs a reason in pod_fields.yaml; a reason for a field that is read is an error, too. What
validates does not act, so the API server's validation and the Pod security levels do not count. pod_readers.py reads.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec
import yaml
from msgspec import Struct

from pybernetes.api import schema
from tools.reference.pod_readers import Readers, find_readers

RECORD = Path(__file__).parent / "pod_fields.yaml"
ROOT_TYPE = "io.k8s.api.core.v1.PodSpec"
_STOP = frozenset({schema.OBJECT_META})
_MOST = 2
"""Readers named for one field: whoever looks for more has the first module to begin with."""
_RANKS = (
    "kubelet.specs.",
    "kubelet.volumes.",
    "kubelet.",
    "network.",
    "scheduler.",
    "controllers.",
    "apiserver.",
    "rules.",
)


class Copy(Struct, frozen=True, forbid_unknown_fields=True):
    """A type whose fields are copied into another's before anybody reads them."""

    into: str
    by: str
    """The function that copies."""


class Record(Struct, frozen=True, forbid_unknown_fields=True):
    """pod_fields.yaml."""

    acting: tuple[str, ...]
    """Files and folders with the code that acts."""
    only_judge: tuple[str, ...] = ()
    """Modules among them that refuse and do nothing else."""
    by_key: Mapping[str, str] = {}
    """`PodSpec.priorityClassName` to the module that reads it from a plain dict, by its name."""
    copies: Mapping[str, Copy] = {}
    excused: Mapping[str, str] = {}
    """`PodSpec.os` to why nothing reads it. What is below an excused field is not looked at."""


class Row(Struct, frozen=True):
    """One field: `Container.image`, its readers, or why it has none."""

    type: str
    field: str
    readers: tuple[str, ...] = ()
    excuse: str = ""

    @property
    def name(self) -> str:
        """As the record has it."""
        return f"{self.type}.{self.field}"


def load_record() -> Record:
    """The project's own record."""
    return msgspec.convert(yaml.safe_load(RECORD.read_text()), Record)


def readers_of(root: Path, record: Record) -> Readers:
    """What is read by code that acts."""
    found, acts = find_readers(root, record.acting), Readers()
    acts.functions = found.functions
    for ours, theirs in ((acts.typed, found.typed), (acts.keyed, found.keyed)):
        for key, functions in theirs.items():
            ours[key] = {function for function in functions if not function.startswith(record.only_judge)}
    return acts


def table(readers: Readers, record: Record, root_type: str = ROOT_TYPE) -> list[Row]:
    """A row for every field of the type and of the types below it, in the order in which they are met."""
    rows = []
    for type in _types(root_type, record.excused):
        short = _short(type)
        for field in schema.get(type).fields.values():
            name = f"{short}.{field.name}"
            found = set(readers.typed.get((_lens(type), field.name), ()))
            copied = record.copies.get(short)
            if copied is not None and copied.by in readers.functions:
                found |= readers.typed.get((copied.into, field.name), set())
            if name in record.by_key:
                found |= readers.keyed.get((record.by_key[name], field.name), set())
            rows.append(Row(short, field.name, tuple(sorted(found, key=_rank)), record.excused.get(name, "")))
    return rows


def faults(rows: Sequence[Row], record: Record) -> list[str]:
    """What is wrong with the law; nothing when it holds."""
    found = [
        f"{row.name}: nothing reads it: act on it, or say in {RECORD.name} why not"
        for row in rows
        if not row.readers and not row.excuse
    ]
    found += [
        f"{row.name}: excused in {RECORD.name}, but {row.readers[0]} reads it"
        for row in rows
        if row.readers and row.excuse
    ]
    known = {row.name for row in rows}
    read = {row.name for row in rows if row.readers}
    found += [
        f"{name}: {module} does not read it, whatever {RECORD.name} says"
        for name, module in record.by_key.items()
        if name in known - read
    ]
    found += [f"{name}: excused in {RECORD.name}, but there is no such field" for name in record.excused.keys() - known]
    return sorted(found)


def page(rows: Sequence[Row], before: str = "") -> str:
    """The text of docs/reference/pod-fields.md. Readers that it named `before` stay named while they read."""
    read = [row for row in rows if row.readers]
    lines = [
        "# The fields of a Pod, and the code that acts on each",
        "",
        f"{len(read)} of {len(rows)} fields are read by code that acts (kubelet, scheduler, controllers, network, admission);",
        f"{len(rows) - len(read)} are not, each for the reason given. Validation does not count. Modules and functions are",
        f"below `pybernetes`; at most {_MOST} are named. `python -m tools.reference --check` fails for a field without either.",
    ]
    named = _named(before)
    last = ""
    for row in rows:
        if row.type != last:
            last = row.type
            lines += ["", f"## {last}", "", "| field | read by |", "|---|---|"]
        kept = [reader for reader in named.get(row.name, ()) if reader in row.readers]
        shown = ", ".join(f"`{reader}`" for reader in kept or row.readers[:_MOST])
        lines.append(f"| {row.field} | {shown or f'- {row.excuse}'} |")
    return "\n".join(lines) + "\n"


def _named(text: str) -> Mapping[str, Sequence[str]]:
    """The readers that a page names, by field."""
    found: dict[str, Sequence[str]] = {}
    type = ""
    for line in text.splitlines():
        if line.startswith("## "):
            type = line.removeprefix("## ")
        elif type and line.startswith("| "):
            _, field, readers, *_ = line.split("|")
            found[f"{type}.{field.strip()}"] = re.findall("`([^`]+)`", readers)
    return found


def _types(root: str, excused: Mapping[str, str]) -> Iterable[str]:
    """The types below one, each once, breadth first; not what only an excused field leads to."""
    queue, seen = [root], {root}
    while queue:
        type = queue.pop(0)
        yield type
        for field in schema.get(type).fields.values():
            ref = field.ref or (field.item.ref if field.item else "")
            if f"{_short(type)}.{field.name}" in excused or not ref or ref in seen | _STOP or _plain(ref):
                continue
            seen.add(ref)
            queue.append(ref)


def _plain(type: str) -> bool:
    """Whether a type is written as a plain value (quantity, time)."""
    return not schema.get(type).fields


def _short(type: str) -> str:
    return type.rpartition(".")[2]


def _lens(type: str) -> str:
    """`core_v1.PodSpec` of `io.k8s.api.core.v1.PodSpec`."""
    group, version, name = type.split(".")[-3:]
    return f"{group}_{version}.{name}"


def _rank(function: str) -> tuple[int, str]:
    place = next((i for i, prefix in enumerate(_RANKS) if function.startswith(prefix)), len(_RANKS))
    return place, re.sub(r"\._", ".", function)
