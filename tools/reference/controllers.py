"""The page of the controllers: each one's names, what it watches, writes, may do, and tells in events. All from the code.

Reasons of events are read from the source: words that stand behind "Normal" or "Warning" in a call that the controller
reaches; what is put in while it runs is shown as `…`. So are the sets of metrics that it asks for.
"""

import ast
import importlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from pybernetes.aio.discover import discover
from pybernetes.api import facts
from pybernetes.api.types import rbac_v1
from pybernetes.controllers.runtime import Controller, Watch, chosen, known
from pybernetes.wire.metrics import Family

PACKAGE = "pybernetes.controllers"
_HOW_BAD = {"Normal", "Warning"}
_WRITES = ("create", "update", "patch", "delete", "deletecollection", "approve", "sign")
_EVENTS = ("", "events.k8s.io")


def page() -> Sequence[str]:
    """The lines."""
    where = {
        found.name: module for module, found in discover(PACKAGE, "CONTROLLER", Controller, skip=("runtime",)).items()
    }
    controllers = known()
    default = chosen(["*"])
    lines = [
        "# The controllers",
        "",
        f"{len(controllers)} controllers, {len(default)} of them on by default. `--controllers` of `kube-controller-manager`",
        "takes the names below, short ones too; `*` means those that are on by default, `-NAME` leaves one out. Each may do",
        "what its role `system:controller:ACCOUNT` says and no more; what all do alike (queues, back-off, caches) is in",
        "[the controllers](../internals/controllers.md).",
        "",
        "| controller | also called | by default | watches |",
        "|---|---|---|---|",
    ]
    for name, controller in sorted(controllers.items()):
        short = ", ".join(f"`{other}`" for other in _other_names(name))
        lines.append(f"| [{name}](#{name}) | {short} | {'on' if name in default else 'off'} | {_watched(controller)} |")
    for name, controller in sorted(controllers.items()):
        lines += ["", f"## {name}", "", *_section(controller, where.get(name, ""))]
    return lines


def _other_names(name: str) -> list[str]:
    """Words other than the name that `--controllers` takes for it."""
    found = []
    for word in sorted({name.removesuffix("-controller"), *_OLD}):
        try:
            meant = chosen([word])
        except ValueError:
            continue
        if word != name and name in meant:
            found.append(word)
    return found


_OLD = tuple(importlib.import_module(f"{PACKAGE}.runtime")._OLD_NAMES.values())


def _watched(controller: Controller) -> str:
    found = [_watch(watch) for watch in controller.watches]
    if controller.background is not None:
        found.append("more, found while it runs")
    return ", ".join(found) or "nothing"


def _watch(watch: Watch[Any]) -> str:
    resource = facts.of_struct(watch.kind)
    name = f"{resource.plural}.{resource.group}" if resource.group else resource.plural
    where = watch.labels or watch.fields
    return f"{name} (`{where}`)" if where else name


def _section(controller: Controller, module: str) -> Iterator[str]:
    source = importlib.import_module(f"{PACKAGE}.{module}") if module else None
    if source is not None and source.__doc__:
        yield _first_paragraph(source.__doc__)
        yield ""
    yield f"- writes: {', '.join(_written(controller.rules)) or 'nothing'}"
    reach = Reach(PACKAGE, module) if module else None
    told = ", ".join(f"`{reason}`" for reason in sorted(reach.reasons() if reach else ()))
    source_name = controller.component or controller.name
    yield f"- events, as `{source_name}`: {told}" if told else "- events: none"
    counted = ", ".join(f"`{name}`" for name in sorted(reach.metrics() if reach else ()))
    yield f"- metrics: its queue is `{controller.queue_name}`{'; ' + counted if counted else ''}"
    yield f"- account and role: `{controller.account_name}`, `system:controller:{controller.account_name}`"
    yield f"- workers: {controller.workers}"
    yield ""
    yield "| may | resources | groups |"
    yield "|---|---|---|"
    for rule in controller.rules:
        groups = ", ".join(group or "core" for group in rule.apiGroups) or "-"
        names = f" (only {', '.join(rule.resourceNames)})" if rule.resourceNames else ""
        targets = ", ".join(rule.resources) or ", ".join(rule.nonResourceURLs)
        yield f"| {' '.join(sorted(rule.verbs))} | {_safe(targets)}{names} | {_safe(groups)} |"


def _safe(text: str) -> str:
    """A `*` is no emphasis."""
    return text.replace("*", "\\*")


def _first_paragraph(text: str) -> str:
    return " ".join(text.split("\n\n")[0].split())


def _written(rules: Iterable[rbac_v1.PolicyRule]) -> list[str]:
    """Resources with a verb that changes something, events left out."""
    found: dict[str, None] = {}
    for rule in rules:
        if not {*_WRITES, "*"} & {*rule.verbs}:
            continue
        for group in rule.apiGroups:
            for resource in rule.resources:
                if not (resource == "events" and group in _EVENTS):
                    found[_safe(f"{resource}.{group}" if group not in ("", "*") else resource)] = None
    return sorted(found)


class Reach:
    """The code that a module can reach, through what it imports by name from modules of its package."""

    def __init__(self, package: str, module: str) -> None:
        self._package = package
        self._seen: dict[tuple[str, str], ast.AST] = {}
        for name in _parsed(package, module).defined:
            self._follow(module, name)

    def _follow(self, module: str, name: str) -> None:
        parsed = _parsed(self._package, module)
        if name in parsed.imported:
            self._follow(*parsed.imported[name])
        elif name in parsed.defined and (module, name) not in self._seen:
            node = self._seen[module, name] = parsed.defined[name]
            for used in sorted({inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}):
                self._follow(module, used)

    def reasons(self) -> set[str]:
        """Of events."""
        return {reason for (module, _), node in self._seen.items() for reason in _told(node, self._words_of(module))}

    def _words_of(self, module: str) -> Mapping[str, str]:
        """Texts that have a name there."""
        found = vars(importlib.import_module(f"{self._package}.{module}"))
        return {name: value for name, value in found.items() if isinstance(value, str)}

    def metrics(self) -> set[str]:
        """Names of families in the sets that `metrics(SomeClass)` is called with."""
        found: set[str] = set()
        for (module, _), node in self._seen.items():
            for call in ast.walk(node):
                if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "metrics":
                    for name in (argument.id for argument in call.args if isinstance(argument, ast.Name)):
                        families = vars(getattr(importlib.import_module(f"{self._package}.{module}"), name)()).values()
                        found |= {family.name for family in families if isinstance(family, Family)}
        return found


class _Parsed:
    """A module: what it defines, and what it imports by name from its own package."""

    def __init__(self, tree: ast.Module, package: str) -> None:
        self.defined: dict[str, ast.AST] = {}
        self.imported: dict[str, tuple[str, str]] = {}
        for node in tree.body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                self.defined[node.name] = node
            elif isinstance(node, ast.Assign):
                self.defined |= {target.id: node for target in node.targets if isinstance(target, ast.Name)}
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{package}."):
                module = (node.module or "").removeprefix(f"{package}.")
                if module != "runtime":
                    self.imported |= {alias.asname or alias.name: (module, alias.name) for alias in node.names}


@cache
def _parsed(package: str, module: str) -> _Parsed:
    path = importlib.import_module(f"{package}.{module}").__file__
    assert path is not None
    return _Parsed(ast.parse(Path(path).read_text()), package)


def _told(node: ast.AST, names: Mapping[str, str]) -> Iterator[str]:
    """Words that stand behind "Normal" or "Warning" in calls."""
    for call in ast.walk(node):
        if not isinstance(call, ast.Call):
            continue
        for kind, reason in pairwise(_words(argument, names) for argument in call.args):
            if kind and kind <= _HOW_BAD:
                yield from (word for word in reason if word[0].isupper() and " " not in word)


def _words(argument: ast.expr, names: Mapping[str, str]) -> set[str]:
    """What an argument may be, as far as the code says it in words."""
    match argument:
        case ast.Constant(value=str(text)) if text:
            return {text}
        case ast.IfExp(body=body, orelse=other):
            return _words(body, names) | _words(other, names)
        case ast.Name(id=name) if names.get(name):
            return {names[name]}
        case ast.JoinedStr(values=parts):
            return {"".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in parts)}
    return set()
