"""Who reads which field of the API's types: mypy tells the type of everything that an attribute is read of.

pod_fields.py asks for the readers of a Pod's fields. Reads of plain dicts (admission in the API server) are found by key.
"""

import ast
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from mypy import build
from mypy.config_parser import parse_config_file
from mypy.errors import CompileError
from mypy.find_sources import create_source_list
from mypy.options import Options
from mypy.traverser import NameAndMemberCollector
from mypy.types import Instance, TypeVarType, UnionType, get_proper_type
from mypy.types import Type as MypyType

TYPES = "pybernetes.api.types."
_PROJECT = Path(__file__).parents[2]


class Readers:
    """Functions (`kubelet.specs.dns.dns`) by what they read."""

    def __init__(self) -> None:
        self.typed: dict[tuple[str, str], set[str]] = defaultdict(set)
        """By type and field: `core_v1.Container`, `image`."""
        self.keyed: dict[tuple[str, str], set[str]] = defaultdict(set)
        """By module and constant key of a dict: `apiserver.admission.priority`, `priorityClassName`."""
        self.functions: set[str] = set()
        """All that were looked at."""


def find_readers(root: Path, places: Iterable[str]) -> Readers:
    """Reads in Python files and folders below `root`.

    Raises SystemExit where the source has type errors: then mypy would not know what it says.
    """
    options = Options()
    parse_config_file(options, lambda: None, str(_PROJECT / "pyproject.toml"), sys.stdout, sys.stderr)
    options.export_types = True
    options.incremental = False
    options.preserve_asts = True
    options.mypy_path = sorted({str(root / "src"), str(_PROJECT / "src")})
    options.explicit_package_bases = options.namespace_packages = True
    sources = create_source_list([str(root / place) for place in places], options)
    try:
        result = build.build(sources, options)
    except CompileError as error:
        raise SystemExit("\n".join(error.messages)) from None
    if result.errors:
        raise SystemExit("\n".join(result.errors))
    readers = Readers()
    for source in sources:
        assert source.path is not None
        outline = _Outline(source.module, ast.parse(Path(source.path).read_text()))
        readers.functions |= outline.functions
        members = NameAndMemberCollector()
        result.files[source.module].accept(members)
        for expression in members.member_exprs:
            for owner in _owners(result.types.get(expression.expr)):
                readers.typed[owner, expression.name].add(outline.function(expression.line))
        for key, line in _keys(outline.tree):
            readers.keyed[outline.module, key].add(outline.function(line))
    return readers


class _Outline:
    """Which function a line is in. A function within a function is a part of it."""

    def __init__(self, module: str, tree: ast.Module) -> None:
        self.tree = tree
        self.module = module.removeprefix("pybernetes.")
        self._names: dict[int, str] = {}
        for node in tree.body:
            self._add(node, "")
            if isinstance(node, ast.ClassDef):
                for inner in node.body:
                    self._add(inner, f"{node.name}.")

    def _add(self, node: ast.stmt, owner: str) -> None:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for line in range(node.lineno, (node.end_lineno or node.lineno) + 1):
                self._names[line] = f"{self.module}.{owner}{node.name}"

    @property
    def functions(self) -> set[str]:
        """All of the module."""
        return set(self._names.values())

    def function(self, line: int) -> str:
        """`kubelet.worker.PodWorker.update`, or the module alone for what is outside functions."""
        return self._names.get(line, self.module)


def _keys(tree: ast.Module) -> Iterable[tuple[str, int]]:
    """Constant keys with which dicts are read, and their lines: `d["key"]`, `d.get("key")`."""
    for node in ast.walk(tree):
        key: ast.expr | None = None
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
            key = node.slice
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get":
            key = next(iter(node.args), None)
        if isinstance(key, ast.Constant) and isinstance(key.value, str):
            yield key.value, key.lineno


def _owners(found: MypyType | None) -> Iterable[str]:
    """The API's types that a value may be of: `core_v1.Container`."""
    if found is None:
        return
    proper = get_proper_type(found)
    if isinstance(proper, UnionType):
        for item in proper.items:
            yield from _owners(item)
    elif isinstance(proper, TypeVarType):
        yield from _owners(proper.upper_bound)
        for value in proper.values:
            yield from _owners(value)
    elif isinstance(proper, Instance):
        for base in proper.type.mro:
            if base.fullname.startswith(TYPES):
                yield base.fullname.removeprefix(TYPES)
