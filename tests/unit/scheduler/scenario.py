"""Scenarios as text: nodes and pods in, where they went out. Read by tests of the framework and of plugins.

nodes 2 cpu=4 zone=a        two nodes: n1, n2; later lines number on
node tainted taint=k=v:NoSchedule cordoned
pod big cpu=5 prio=10 x3    big-1, big-2, big-3
pod there cpu=1 on=n1       is there already
---
big: unschedulable (2 Insufficient cpu)
there: n1
web: 1 1                    of several pods: how many on each node that has any, most first
"""

import random
from collections import Counter
from typing import Any

import msgspec

from pybernetes.api.types.core_v1 import Node, Pod
from pybernetes.scheduler.framework import Framework, Placed, Plugin
from pybernetes.scheduler.loop import plugins
from pybernetes.scheduler.snapshot import Snapshot, pod_info

RESOURCES = ("cpu", "memory", "example.com/gpu")


def run(text: str, extra: tuple[Plugin, ...] = (), seed: int = 0) -> None:
    """Asserts that what follows `---` happens."""
    given, _, wanted = text.partition("---")
    snapshot, waiting = Snapshot(), []
    for line in filter(None, map(str.strip, given.splitlines())):
        word, *words = line.split()
        if word in ("node", "nodes"):
            count = int(words.pop(0)) if word == "nodes" else 1
            for _ in range(count):
                name = words[0] if word == "node" else f"n{len(snapshot) + 1}"
                snapshot.put_node(node(name, words if word == "nodes" else words[1:]))
        else:
            waiting += pods(words)
    framework = Framework([*plugins(), *extra], random.Random(seed).choice)
    outcomes: dict[str, list[str]] = {}
    for group, pod, place in sorted(waiting, key=lambda w: (not w[2], -(w[1].spec.priority or 0))):
        outcomes.setdefault(group, []).append(decide(framework, snapshot, pod, place))
    for line in filter(None, map(str.strip, wanted.splitlines())):
        name, _, expected = line.partition(": ")
        found = outcomes[name]
        assert _as_expected(expected, found, snapshot), f"{line!r}, but {found}"


def _as_expected(expected: str, found: list[str], snapshot: Snapshot) -> bool:
    if expected.startswith("zones "):
        zones = [snapshot.nodes[name].metadata.labels["topology.kubernetes.io/zone"] for name in found]
        return expected == f"zones {_counts(zones)}"
    if len(found) > 1:
        return expected == _counts(found)
    return found[0] in expected.split(" or ") or found[0] == expected


def _counts(found: list[str]) -> str:
    return " ".join(str(count) for _, count in Counter(found).most_common())


def decide(framework: Framework, snapshot: Snapshot, pod: Pod, place: str) -> str:
    info = pod_info(pod)
    if not place:
        outcome = framework.place(info, snapshot)
        if not isinstance(outcome, Placed):
            text = str(outcome).partition("available: ")[2].rstrip(".") or str(outcome)
            return f"unschedulable ({text})"
        place = outcome.node
    snapshot.put_pod(info, place)
    return place


def node(name: str, words: list[str]) -> Node:
    allocatable = {"cpu": "4", "memory": "8Gi", "pods": "110"}
    labels = {"kubernetes.io/hostname": name}
    made: dict[str, Any] = {"metadata": {"name": name, "labels": labels}, "spec": {"taints": []}}
    for word in words:
        key, _, value = word.partition("=")
        if key in (*RESOURCES, "pods"):
            allocatable[key] = value
        elif key == "taint":
            pair, _, effect = value.rpartition(":")
            taint, _, content = pair.partition("=")
            made["spec"]["taints"].append({"key": taint, "value": content, "effect": effect})
        elif key == "cordoned":
            made["spec"]["unschedulable"] = True
        elif key == "declares":
            made.setdefault("status", {})["declaredFeatures"] = [value]
        elif key == "zone":
            labels["topology.kubernetes.io/zone"] = value
        else:
            labels[key] = value
    made.setdefault("status", {})["allocatable"] = allocatable
    return msgspec.convert(made, Node)


def pods(words: list[str]) -> list[tuple[str, Pod, str]]:
    group, *rest = words
    count = next((int(w[1:]) for w in rest if w[0] == "x" and w[1:].isdigit()), 1)
    return [(group, pod(group, number, rest), _value(rest, "on")) for number in range(1, count + 1)]


def pod(group: str, number: int, words: list[str]) -> Pod:
    requests = {key: value for key, _, value in (w.partition("=") for w in words) if key in RESOURCES}
    container: dict[str, Any] = {"name": "c", "resources": {"requests": requests}}
    metadata: dict[str, Any] = {"name": f"{group}-{number}", "namespace": "d", "uid": f"{group}-{number}"}
    spec: dict[str, Any] = {"containers": [container], "nodeSelector": {}, "tolerations": []}
    for key, _, value in (w.partition("=") for w in words):
        match key:
            case "prio":
                spec["priority"] = int(value)
            case "port":
                ip, _, port = value.rpartition(":")
                container["ports"] = [{"containerPort": int(port), "hostPort": int(port), "hostIP": ip}]
            case "select":
                label, _, content = value.partition("=")
                spec["nodeSelector"][label] = content
            case "tolerate":
                spec["tolerations"].append({"key": value, "operator": "Exists"})
            case "wants":
                spec["nodeName"] = value
            case "of":
                metadata["ownerReferences"] = [{"uid": value, "name": value, "controller": True}]
            case "label":
                label, _, content = value.partition("=")
                metadata.setdefault("labels", {})[label] = content
            case "ns":
                metadata["namespace"] = value
            case "restarts":
                codes = {"operator": "In", "values": [1]}
                container["restartPolicyRules"] = [{"action": value, "exitCodes": codes}]
            case "claims":
                spec["resourceClaims"] = [{"name": value, "resourceClaimName": value}]
            case _:
                relate(spec, key, value)
    return msgspec.convert({"metadata": metadata, "spec": spec}, Pod)


def relate(spec: dict[str, Any], key: str, value: str) -> None:
    """Words about nodes' labels and about other pods."""
    match key:
        case "affinity" | "prefer":
            spec.setdefault("affinity", {})["nodeAffinity"] = affinity(key, value)
        case "near" | "apart" | "nearer" | "further":
            kind = "podAffinity" if key.startswith("near") else "podAntiAffinity"
            spec.setdefault("affinity", {})[kind] = pod_affinity(value, hard=key in ("near", "apart"))
        case "spread" | "wishspread":
            when = "DoNotSchedule" if key == "spread" else "ScheduleAnyway"
            spec.setdefault("topologySpreadConstraints", []).append(spread(value, when))


def affinity(which: str, text: str) -> dict[str, Any]:
    """`zone~In~a,b`; terms that are alternatives are joined by `|`; `@name` is the field metadata.name."""
    terms = []
    for part in text.split("|"):
        key, operator, values = [*part.split("~"), "", ""][:3]
        requirement = {"key": key, "operator": operator, "values": values.split(",") if values else []}
        field = key.startswith("@")
        if field:
            requirement["key"] = "metadata.name"
        terms.append({"matchFields" if field else "matchExpressions": [requirement]})
    if which == "prefer":
        wishes = [{"weight": 10, "preference": term} for term in terms]
        return {"preferredDuringSchedulingIgnoredDuringExecution": wishes}
    return {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}


TOPOLOGIES = {"node": "kubernetes.io/hostname", "zone": "topology.kubernetes.io/zone"}


def pod_affinity(text: str, *, hard: bool) -> dict[str, Any]:
    """`app=web@zone`, with `@*` or `@other` for namespaces: pods of that label in the same zone or node."""
    label, topology, *namespaces = text.split("@")
    key, _, value = label.partition("=")
    term: dict[str, Any] = {"labelSelector": {"matchLabels": {key: value}}, "topologyKey": TOPOLOGIES[topology]}
    if namespaces == ["*"]:
        term["namespaceSelector"] = {}
    elif namespaces:
        term["namespaces"] = namespaces
    if hard:
        return {"requiredDuringSchedulingIgnoredDuringExecution": [term]}
    return {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "podAffinityTerm": term}]}


def spread(text: str, when: str) -> dict[str, Any]:
    """`app=web@zone@1` with `@minDomains`: the numbers of such pods differ by one at most between zones."""
    label, topology, skew, *least = text.split("@")
    key, _, value = label.partition("=")
    made: dict[str, Any] = {"topologyKey": TOPOLOGIES[topology], "maxSkew": int(skew), "whenUnsatisfiable": when}
    made["labelSelector"] = {"matchLabels": {key: value}}
    return made | ({"minDomains": int(least[0])} if least else {})


def _value(words: list[str], key: str) -> str:
    return next((w.partition("=")[2] for w in words if w.partition("=")[0] == key), "")
