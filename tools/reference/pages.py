"""The text of each page: the table of the API, and the list of upstream's conformance behaviours with their tests."""

import contextlib
import io
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from pathlib import Path

import pytest
import yaml

from pybernetes.api import facts, schema
from pybernetes.api.facts import ResourceFacts
from pybernetes.apiserver.catalog import Catalog, Served, discovered
from pybernetes.apiserver.discovery import subresources
from tools.reference import controllers, kubelet, pod_fields

DOCS = Path("docs/reference")
COMPONENT, NODE = "tests/component/conformance", "tests/node/conformance"
FOLDERS = {COMPONENT: COMPONENT, "tests/component/controllers": COMPONENT, NODE: NODE}
"""Where markers are looked for, and as whose tests they count."""
BEHAVIOURS = Path(__file__).parent / "conformance.yaml"
OF_NODES = Path(__file__).parent / "conformance_node.yaml"
OPEN = "**open**"
"""Of a behaviour without a test, or whose test is known to fail (xfail, which says why)."""
_EIGHT = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
_MADE = "<!-- Made by `python -m tools.reference`; do not edit. -->\n\n"


def pages(root: Path, pod_rows: Sequence[pod_fields.Row]) -> dict[Path, str]:
    """Path to text. `pod_rows`: the fields of Pods and their readers."""
    held = _marked(root)
    pod_page = root / DOCS / "pod-fields.md"
    return {
        root / DOCS / "api.md": _api(discovered()),
        root / DOCS / "conformance.md": _conformance(held[COMPONENT]),
        root / DOCS / "conformance-node.md": _conformance_of_nodes(held),
        root / DOCS / "controllers.md": _MADE + "\n".join(controllers.page()) + "\n",
        pod_page: _MADE + pod_fields.page(pod_rows, pod_page.read_text() if pod_page.exists() else ""),
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


def _conformance(held: Mapping[str, str]) -> str:
    listed = yaml.safe_load(BEHAVIOURS.read_text())
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
    if listed["elsewhere"]:
        lines += ["", "## Held elsewhere", ""]
        lines += [f"- {name}: {where}" for name, where in listed["elsewhere"].items()]
    known = {_bare(name) for name in [*total, *listed["elsewhere"]]}
    lines += _besides(held, known)
    return _MADE + "\n".join(lines) + "\n"


def _conformance_of_nodes(held: Mapping[str, Mapping[str, str]]) -> str:
    listed = yaml.safe_load(OF_NODES.read_text())
    names = [name for found in listed["behaviours"].values() for name in found]
    by_nodes = [name for name in names if not held[NODE].get(_bare(name), OPEN).startswith(OPEN)]
    by_api = [name for name in names if _bare(name) not in held[NODE] and _bare(name) in held[COMPONENT]]
    lines = [
        "# Conformance: upstream's behaviours of nodes and storage, and the tests that hold them",
        "",
        f"{len(by_nodes) + len(by_api)} of {len(names)} are held: {len(by_nodes)} by node tests (a whole cluster on real",
        f"containerd, a namespace a test), {len(by_api)} that are the API's alone by component tests.",
    ]
    for file, found in listed["behaviours"].items():
        lines += ["", f"## {file}", ""]
        for name in found:
            where = held[NODE].get(_bare(name)) or held[COMPONENT].get(_bare(name))
            lines.append(f"- {name}: {where or OPEN}")
    lines += _besides(held[NODE], {_bare(name) for name in names})
    return _MADE + "\n".join(lines) + "\n"


def _besides(held: Mapping[str, str], known: Set[str]) -> list[str]:
    """What tests hold beyond the suite: other tests of upstream's."""
    more = sorted((name, where) for name, where in held.items() if name not in known)
    return ["", "## Held besides", "", *(f"- {name}: {where}" for name, where in more)] if more else []


def _bare(name: str) -> str:
    """A name without its tags, which releases move about."""
    return " ".join(re.sub(r"\[[^\]]*\]", " ", name.replace("[DRA]", "DRA")).split())


class _Collected:
    """Gathers the markers of what pytest collects, by COMPONENT and NODE."""

    def __init__(self) -> None:
        self.held: dict[str, dict[str, str]] = {COMPONENT: {}, NODE: {}}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            folder = next(whose for folder, whose in FOLDERS.items() if item.nodeid.startswith(folder))
            for marker in item.iter_markers("conformance"):
                known = item.get_closest_marker("xfail")
                where = f"{OPEN}: {known.kwargs['reason']}" if known is not None else item.nodeid
                self.held[folder].setdefault(_bare(marker.args[0]), where)


def _marked(root: Path) -> dict[str, dict[str, str]]:
    """COMPONENT or NODE, then behaviour, to the test that holds it."""
    collected = _Collected()
    with contextlib.redirect_stdout(io.StringIO()) as said:
        folders = [str(root / folder) for folder in FOLDERS]
        quiet = ["-q", "-W", "ignore:Module already imported"]  # our own plugin, by this very program
        code = pytest.main(["--collect-only", *quiet, f"--rootdir={root}", *folders], plugins=[collected])
    if code != 0:
        raise SystemExit(f"the conformance tests cannot be collected:\n{said.getvalue()}")
    return collected.held
