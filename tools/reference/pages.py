"""The text of each page: the table of the API, and the list of upstream's conformance behaviours with their tests."""

import contextlib
import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from pybernetes.api import facts, schema
from pybernetes.api.facts import ResourceFacts
from pybernetes.apiserver.catalog import Catalog, Served, discovered
from pybernetes.apiserver.discovery import subresources
from tools.reference import kubelet

DOCS = Path("docs/reference")
TESTS = Path("tests/component/conformance")
BEHAVIOURS = Path(__file__).parent / "conformance.yaml"
_EIGHT = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
_MADE = "<!-- Made by `python -m tools.reference`; do not edit. -->\n\n"


def pages(root: Path) -> dict[Path, str]:
    """Path to text."""
    return {
        root / DOCS / "api.md": _api(discovered()),
        root / DOCS / "conformance.md": _conformance(root),
        root / DOCS / "kubelet-configuration.md": _MADE + "\n".join(kubelet.page()) + "\n",
    }


def _api(catalog: Catalog) -> str:
    lines = [
        "# The API: every resource, verb, subresource and encoding",
        "",
        f"Release {facts.RELEASE}. `all` is create, delete, deletecollection, get, list, patch, update and watch. Patches are",
        "JSON, merge, strategic merge and server-side apply. Encodings: J JSON, Y YAML, P protobuf, T Table,",
        "M PartialObjectMetadata (JSON, YAML and protobuf). Resources of CustomResourceDefinitions have the same verbs,",
        "all but the strategic merge patch and protobuf.",
    ]
    missing = []
    group = None
    for known in _released():
        if (known.group, known.version) != group:
            group = (known.group, known.version)
            lines += [
                "",
                f"## {known.api_version}",
                "",
                "| resource | kind | scope | verbs | subresources | encodings |",
            ]
            lines.append("|---|---|---|---|---|---|")
        served = catalog.find(known.group, known.version, known.plural)
        if served is None:
            missing.append(f"{known.api_version} {known.plural}")
            continue
        lines.append(_row(served))
        missing += [
            f"{known.api_version} {known.plural}/{name}"
            for name in known.subresources
            if name not in subresources(served)
        ]
    lines += ["", "## Not there yet", ""]
    lines += [f"- {what}" for what in missing] or ["Nothing: every resource and subresource of the release is served."]
    return _MADE + "\n".join(lines) + "\n"


def _released() -> Iterator[ResourceFacts]:
    for known in facts.resources():
        if re.fullmatch("v[0-9]+", known.version):
            yield known


def _row(served: Served) -> str:
    known = served.facts
    short = f" ({', '.join(known.short_names)})" if known.short_names else ""
    verbs = "all" if tuple(sorted(known.verbs)) == _EIGHT else ", ".join(known.verbs)
    below = "; ".join(f"{name}: {', '.join(known.subresources[name].verbs)}" for name in subresources(served))
    encodings = "J Y"
    if schema.get(served.form.type_name).message:
        encodings += " P"
    if "list" in known.verbs:
        encodings += " T M"
    scope = "namespaced" if known.namespaced else "cluster"
    return f"| {known.plural}{short} | {known.kind} | {scope} | {verbs} | {below} | {encodings} |"


def _conformance(root: Path) -> str:
    listed = yaml.safe_load(BEHAVIOURS.read_text())
    held = _marked(root)
    total = [name for names in listed["behaviours"].values() for name in names]
    open_ones = [name for name in total if _bare(name) not in held]
    lines = [
        "# Conformance: upstream's behaviours of the API, and the tests that hold them",
        "",
        f"{len(total) - len(open_ones)} of {len(total)} are held by component tests, which run the real API server.",
    ]
    for file, names in listed["behaviours"].items():
        lines += ["", f"## {file}", ""]
        lines += [f"- {name}: {held.get(_bare(name), '**open**')}" for name in names]
    lines += ["", "## Held elsewhere", ""]
    lines += [f"- {name}: {where}" for name, where in listed["elsewhere"].items()]
    known = {_bare(name) for name in [*total, *listed["elsewhere"]]}
    more = sorted((name, where) for name, where in held.items() if name not in known)
    if more:
        lines += ["", "## Held besides", ""]
        lines += [f"- {name}: {where}" for name, where in more]
    return _MADE + "\n".join(lines) + "\n"


def _bare(name: str) -> str:
    """A name without its tags, which releases move about."""
    return " ".join(re.sub(r"\[[^\]]*\]", " ", name.replace("[DRA]", "DRA")).split())


class _Collected:
    """Gathers the markers of what pytest collects."""

    def __init__(self) -> None:
        self.held: dict[str, str] = {}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            for marker in item.iter_markers("conformance"):
                self.held.setdefault(_bare(marker.args[0]), item.nodeid)


def _marked(root: Path) -> dict[str, str]:
    """Behaviour to the test that holds it."""
    collected = _Collected()
    with contextlib.redirect_stdout(io.StringIO()) as said:
        code = pytest.main(["--collect-only", "-q", str(root / TESTS)], plugins=[collected])
    if code != 0:
        raise SystemExit(f"the tests of {TESTS} cannot be collected:\n{said.getvalue()}")
    return collected.held
