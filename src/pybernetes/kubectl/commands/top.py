"""kubectl top: what nodes and Pods use, by the metrics API (metrics.k8s.io)."""

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence

from pybernetes.aio.clock import SystemClock, seconds_of
from pybernetes.api.objects import Object
from pybernetes.api.quantity import Quantity, of_int, parse
from pybernetes.kubectl.command import Command, Refused
from pybernetes.kubectl.flags import Flags
from pybernetes.kubectl.printers.table import layout
from pybernetes.kubectl.session import Session
from pybernetes.rules.durations import text_of

_GROUP = "metrics.k8s.io"
_API = f"/apis/{_GROUP}/v1beta1"
_CREATION_DELAY = 120.0
"""A Pod older than this ought to have figures."""
_NODES, _PODS = ("node", "nodes", "no"), ("pod", "pods", "po")
_MEBI = 1 << 20
_UNKNOWN = "<unknown>"


def _flags(flags: Flags) -> None:
    flags.add_argument("what", nargs="*", metavar="nodes|pods [NAME]", help="nodes, pods, pod web-1")
    flags.add_argument("-l", "--selector", default="", help="only those with these labels")
    flags.add_argument("--field-selector", default="", help="pods: only those with these fields")
    flags.add_argument("--sort-by", default="", help="cpu or memory: the largest first")
    flags.flag("-A", "--all-namespaces", help="pods: of all namespaces")
    flags.flag("--containers", help="pods: each container")
    flags.flag("--sum", help="pods: with the sum of all")
    flags.flag("--no-headers", help="without the header")
    flags.flag("--use-protocol-buffers", default=True, help="accepted for compatibility, without effect")


async def _run(session: Session, options: argparse.Namespace) -> int:
    kind, names = (options.what[0], options.what[1:]) if options.what else ("", [])
    if kind not in (*_NODES, *_PODS) or len(names) > 1:
        raise Refused("expected 'top node [NAME | -l label]' or 'top pod [NAME | -l label]'")
    if options.sort_by not in ("", "cpu", "memory"):
        raise Refused("--sort-by accepts only cpu or memory")
    if names and (options.selector or options.field_selector):
        selector = "--selector" if kind in _NODES else "selector"
        raise Refused(f"only one of NAME or {selector} can be provided")
    groups = await session.request("GET", "/apis")
    versions = [v["version"] for g in groups.get("groups") or () if g["name"] == _GROUP for v in g["versions"]]
    if "v1beta1" not in versions:
        raise Refused("Metrics API not available")
    show = _show_nodes if kind in _NODES else _show_pods
    rows = await show(session, options, names[0] if names else "")
    for line in layout(rows[1:] if options.no_headers else rows):
        print(line)
    return 0


async def _asked(session: Session, path: str, name: str, query: dict[str, str]) -> list[Object]:
    if name:
        return [await session.request("GET", f"{path}/{name}")]
    return list((await session.request("GET", path, query=query)).get("items") or ())


async def _show_nodes(session: Session, options: argparse.Namespace, name: str) -> list[list[str]]:
    query = {"labelSelector": options.selector}
    found = await _asked(session, f"{_API}/nodes", name, query)
    if not found:
        raise Refused("metrics not available yet")
    nodes = await _asked(session, "/api/v1/nodes", name, query)
    room = {node["metadata"]["name"]: (node.get("status") or {}).get("allocatable") or {} for node in nodes}
    rows = [["NAME", "CPU(cores)", "CPU(%)", "MEMORY(bytes)", "MEMORY(%)"]]
    for one in _sorted(found, options.sort_by, lambda node: node["usage"], ("name",)):
        of_node, usage = room.pop(one["metadata"]["name"], {}), one["usage"]
        row = [one["metadata"]["name"]]
        for resource in ("cpu", "memory"):
            row += [_used(resource, usage), _share(usage, of_node, resource)]
        rows.append(row)
    return rows + [[node, *[_UNKNOWN] * 4] for node in sorted(room)]


async def _show_pods(session: Session, options: argparse.Namespace, name: str) -> list[list[str]]:
    space = "" if options.all_namespaces else f"/namespaces/{session.namespace}"
    query = {"labelSelector": options.selector, "fieldSelector": options.field_selector}
    found = await _asked(session, f"{_API}{space}/pods", name, query)
    if not found:
        await _explain(session, f"/api/v1{space}/pods", query)
        where = "" if options.all_namespaces else f" in {session.namespace} namespace."
        print(f"No resources found{where}", file=sys.stderr)
        return []
    head = ["NAMESPACE"] * options.all_namespaces + ["POD"] * options.containers
    rows = [[*head, "NAME", "CPU(cores)", "MEMORY(bytes)"]]
    keys = ("namespace", "name") if options.all_namespaces else ("name",)
    for pod in _sorted(found, options.sort_by, _of_pod, keys):
        metadata = pod["metadata"]
        first = [metadata["namespace"]] * options.all_namespaces
        if not options.containers:
            rows.append([*first, metadata["name"], *_cells(_of_pod(pod))])
            continue
        containers = [{"metadata": {"name": c["name"]}, **c} for c in pod["containers"]]
        for one in _sorted(containers, options.sort_by, lambda container: container["usage"], ("name",)):
            rows.append([*first, metadata["name"], one["name"], *_cells(one["usage"])])
    if options.sum:
        blank = [""] * len(head)
        total = _total(_of_pod(pod) for pod in found)
        rows += [[*blank, "", "________", "________"], [*blank, "", *_cells(total)]]
    return rows


async def _explain(session: Session, path: str, query: dict[str, str]) -> None:
    """Why no Pod has figures: there is none (then nothing is said), they are new, or something is wrong."""
    pods = await _asked(session, path, "", query)
    for pod in pods:
        metadata = pod["metadata"]
        age = SystemClock().now() - seconds_of(metadata["creationTimestamp"])
        if age > _CREATION_DELAY:
            shown = f"{metadata['namespace']}/{metadata['name']}, age: {text_of(age)}"
            raise Refused(f"Metrics not available for pod {shown}")
    if pods:
        raise Refused("metrics not available yet")


def _sorted(
    found: Sequence[Object], by: str, usage: Callable[[Object], Object], names: tuple[str, ...]
) -> list[Object]:
    ordered = sorted(found, key=lambda one: [one["metadata"].get(name, "") for name in names])
    return sorted(ordered, key=lambda one: parse(usage(one).get(by, "0")), reverse=True) if by else ordered


def _of_pod(pod: Object) -> Object:
    return _total(container["usage"] for container in pod["containers"])


def _total(usages: Iterable[Object]) -> Object:
    total: dict[str, Quantity] = {"cpu": of_int(0), "memory": of_int(0)}
    for usage in usages:
        for name in total:
            total[name] += parse(usage.get(name, "0"))
    return {name: str(quantity) for name, quantity in total.items()}


def _cells(usage: Object) -> list[str]:
    return [_used(name, usage) for name in ("cpu", "memory")]


def _used(name: str, usage: Object) -> str:
    quantity = parse(usage.get(name, "0"))
    return f"{quantity.milli_value()}m" if name == "cpu" else f"{quantity.value() // _MEBI}Mi"


def _share(usage: Object, room: Object, name: str) -> str:
    """Per cent of what the node has for Pods."""
    if name not in room:
        return _UNKNOWN
    whole = parse(room[name]).milli_value()
    return f"{parse(usage.get(name, '0')).milli_value() * 100 // whole if whole else 0}%"


COMMAND = Command(
    help="Display resource (CPU/memory) usage",
    usage="top node|pod [NAME | -l label]",
    examples="""  kubectl top nodes
  kubectl top pods -A --sort-by=memory
  kubectl top pod web-1 --containers
""",
    flags=_flags,
    run=_run,
)
