"""Nodes, namespaces with their limits, and what is allowed to whom."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from itertools import product

from pybernetes.api.objects import Object
from pybernetes.api.quantity import Quantity
from pybernetes.kubectl.printers.describe import blocks
from pybernetes.kubectl.printers.describe.blocks import Lines, go, listed, meta, moment, none, spec, status
from pybernetes.kubectl.session import Session
from pybernetes.rules.podresources import Quantities, add, of_pod, quantities

_INFO = (
    *(("Machine ID", "machineID"), ("System UUID", "systemUUID"), ("Boot ID", "bootID")),
    *(("Kernel Version", "kernelVersion"), ("OS Image", "osImage"), ("Operating System", "operatingSystem")),
    *(("Architecture", "architecture"), ("Container Runtime Version", "containerRuntimeVersion")),
    *(("Kubelet Version", "kubeletVersion"), ("Kube-Proxy Version", "kubeProxyVersion")),
)
_SCOPES = {
    "Terminating": "Matches all pods that have an active deadline. These pods have a limited lifespan on a node before being"
    " actively terminated by the system.",
    "NotTerminating": "Matches all pods that do not have an active deadline. These pods usually include long running pods"
    " whose container command is not expected to terminate.",
    "BestEffort": "Matches all pods that do not have resource requirements set. These pods have a best effort quality of"
    " service.",
    "NotBestEffort": "Matches all pods that have at least one resource requirement set. These pods have a burstable or"
    " guaranteed quality of service.",
}
_LIMITS = ("Type", "Resource", "Min", "Max", "Default Request", "Default Limit", "Max Limit/Request Ratio")


async def node(session: Session, obj: Object) -> Lines:
    """What it is, how it is, and what runs there."""
    own, now, name = spec(obj), status(obj), meta(obj)["name"]
    prefix = "node-role.kubernetes.io/"
    roles = [key.removeprefix(prefix) for key in meta(obj).get("labels") or {} if key.startswith(prefix)]
    taints = [f"{t['key']}{'=' + t['value'] if t.get('value') else ''}:{t['effect']}" for t in own.get("taints") or ()]
    lines = [
        f"Name:\t{name}",
        f"Roles:\t{none(','.join(sorted(roles)))}",
        *blocks.labels(obj),
        *blocks.annotations(obj),
    ]
    first, *rest = sorted(taints) or ["<none>"]
    lines += [blocks.created(obj), f"Taints:\t{first}", *(f"\t{one}" for one in rest)]
    lines += [f"Unschedulable:\t{go(own.get('unschedulable'))}", *await _lease(session, name)]
    fields = ("type", "status", "lastHeartbeatTime", "lastTransitionTime", "reason", "message")
    rows = [
        [moment(c.get(f)) if f.endswith("Time") else c.get(f, "") for f in fields] for c in now.get("conditions") or ()
    ]
    if rows:
        head = ["Type", "Status", "LastHeartbeatTime", "LastTransitionTime", "Reason", "Message"]
        lines += ["Conditions:", *blocks.table(head, ([*(f"{cell} " for cell in r[:-1]), r[-1]] for r in rows))]
    lines += ["Addresses:", *(f"  {a['type']}:\t{a['address']}" for a in now.get("addresses") or ())]
    for field in ("capacity", "allocatable"):
        amounts = sorted((now.get(field) or {}).items())
        lines += [f"{field.capitalize()}:", *(f"  {key}:\t{value}" for key, value in amounts)] if amounts else []
    info = now.get("nodeInfo") or {}
    lines += ["System Info:", *(f"  {title}:\t{info[field]}" for title, field in _INFO if field in info)]
    lines += [f"PodCIDR:\t{own['podCIDR']}"] if own.get("podCIDR") else []
    lines += [f"PodCIDRs:\t{','.join(own['podCIDRs'])}"] if own.get("podCIDRs") else []
    lines += [f"ProviderID:\t{own['providerID']}"] if own.get("providerID") else []
    return lines + await _load(session, obj)


async def _lease(session: Session, name: str) -> Lines:
    listed_ = await session.request("GET", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases")
    lease = next((one for one in listed_.get("items") or () if meta(one)["name"] == name), None)
    if lease is None:
        return ["Lease:", "  HolderIdentity:\t<unset>", "  AcquireTime:\t<unset>", "  RenewTime:\t<unset>"]
    own = spec(lease)
    lines = ["Lease:", f"  HolderIdentity:\t{own.get('holderIdentity', '<unset>')}"]
    return [
        *lines,
        f"  AcquireTime:\t{moment(own.get('acquireTime'))}",
        f"  RenewTime:\t{moment(own.get('renewTime'))}",
    ]


async def _load(session: Session, obj: Object) -> Lines:
    query = {"fieldSelector": f"spec.nodeName={meta(obj)['name']},status.phase!=Succeeded,status.phase!=Failed"}
    pods = (await session.request("GET", "/api/v1/pods", query=query)).get("items") or ()
    allocatable = quantities(status(obj).get("allocatable") or status(obj).get("capacity"))
    total: dict[str, Quantities] = {"requests": {}, "limits": {}}
    rows = []
    for pod in pods:
        asked = {which: of_pod(pod, which, overhead=True) for which in ("requests", "limits")}
        for which, amounts in asked.items():
            add(total[which], amounts)
        cells = [_share(asked[which], allocatable, n) for n in ("cpu", "memory") for which in ("requests", "limits")]
        rows.append(
            [meta(pod)["namespace"], meta(pod)["name"], "", *cells, blocks.since(meta(pod)["creationTimestamp"])]
        )
    head = ["CPU Requests", "CPU Limits", "Memory Requests", "Memory Limits", "Age"]
    lines = [f"Non-terminated Pods:\t({len(rows)} in total)", *blocks.table(["Namespace", "Name", "", *head], rows)]
    lines += ["Allocated resources:", "  (Total limits may be over 100 percent, i.e., overcommitted.)"]
    usual = ["cpu", "memory", "ephemeral-storage"]
    others = sorted(name for name in allocatable if name not in (*usual, "pods"))
    sums = [
        [n, *(_share(total[w], allocatable, n, whole=n in usual or "hugepages" in n) for w in total)]
        for n in (*usual, *others)
    ]
    return [*lines, *blocks.table(["Resource", "Requests", "Limits"], sums)]


def _share(amounts: Quantities, of: Quantities, name: str, *, whole: bool = True) -> str:
    amount, all_ = amounts.get(name, Quantity()), of.get(name, Quantity())
    if not whole:
        return str(amount)
    return f"{amount} ({int(amount.nanos * 100 / all_.nanos) if all_.nanos else 0}%)"


async def namespace(session: Session, obj: Object) -> Lines:
    """With its quotas and limits."""
    lines = [
        *blocks.name(obj),
        *blocks.labels(obj),
        *blocks.annotations(obj),
        f"Status:\t{status(obj).get('phase', '')}",
    ]
    if status(obj).get("conditions"):
        fields = ("type", "status", "lastTransitionTime", "reason", "message")
        rows = [[moment(c[f]) if "Time" in f else c.get(f, "") for f in fields] for c in status(obj)["conditions"]]
        head = ["Type", "Status", "LastTransitionTime", "Reason", "Message"]
        lines += ["Conditions:", *blocks.table(head, ([*(f"{cell} " for cell in r[:-1]), r[-1]] for r in rows))]
    path = f"/api/v1/namespaces/{meta(obj)['name']}"
    quotas = (await session.request("GET", f"{path}/resourcequotas")).get("items") or ()
    ranges = (await session.request("GET", f"{path}/limitranges")).get("items") or ()
    lines += ["", "Resource Quotas" if quotas else "No resource quota."]
    for quota in quotas:
        lines += [f"  Name:\t{meta(quota)['name']}", *_scopes(quota, "  ", "  ")]
        lines += ["  Resource\tUsed\tHard", "  --------\t---\t---", *_used(quota, "  ")]
    lines += ["", "Resource Limits" if ranges else "No LimitRange resource."]
    limits = [row for one in ranges for row in _limits(one)]
    return [*lines, *blocks.table(_LIMITS, limits, " ")] if limits else lines


def _scopes(quota: Object, title: str, indent: str) -> Lines:
    scopes = sorted(spec(quota).get("scopes") or ())
    lines = [f"{title}Scopes:\t{', '.join(scopes)}"] if scopes else []
    return lines + [f"{indent}* {_SCOPES[scope]}" for scope in scopes if scope in _SCOPES]


def _used(quota: Object, indent: str = "") -> Lines:
    used = status(quota).get("used") or {}
    return [f"{indent}{k}\t{used.get(k, '0')}\t{v}" for k, v in sorted((status(quota).get("hard") or {}).items())]


async def quota(_: Session, obj: Object) -> Lines:
    """What is used of what is granted."""
    return [*blocks.name(obj), *_scopes(obj, "", " "), *blocks.table(["Resource", "Used", "Hard"], (), ""), *_used(obj)]


async def limit_range(_: Session, obj: Object) -> Lines:
    """Its limits."""
    return [*blocks.name(obj), *blocks.table(_LIMITS, _limits(obj), "")]


def _limits(obj: Object) -> Iterable[Sequence[str]]:
    for item in spec(obj).get("limits") or ():
        fields = [item.get(f) or {} for f in ("min", "max", "defaultRequest", "default", "maxLimitRequestRatio")]
        for name in sorted({name for field in fields for name in field}):
            yield [item["type"], name, *(field.get(name, "-") for field in fields)]


async def service_account(session: Session, obj: Object) -> Lines:
    """Its Secrets."""
    path = f"/api/v1/namespaces/{meta(obj)['namespace']}/secrets"
    secrets = (await session.request("GET", path)).get("items") or ()
    there = {meta(one)["name"] for one in secrets}
    of_ours = [
        meta(one)["name"]
        for one in secrets
        if one.get("type") == "kubernetes.io/service-account-token"
        and (meta(one).get("annotations") or {}).get("kubernetes.io/service-account.uid") == meta(obj)["uid"]
    ]
    lines = [*blocks.name(obj), *blocks.labels(obj), *blocks.annotations(obj)]
    for title, names in (
        ("Image pull secrets:", [one["name"] for one in obj.get("imagePullSecrets") or ()]),
        ("Mountable secrets:", [one["name"] for one in obj.get("secrets") or ()]),
        ("Tokens:", of_ours),
    ):
        first, *rest = [n if n in there else f"{n} (not found)" for n in names] or ["<none>"]
        lines += [f"{title}\t{first}", *(f"\t{one}" for one in rest)]
    return lines


async def role(_: Session, obj: Object) -> Lines:
    """Of a Role or ClusterRole: a row for each resource, the verbs together."""
    verbs: dict[tuple[str, str, str, str], list[str]] = {}
    for rule in obj.get("rules") or ():
        keys = [("", "", "", url) for url in rule.get("nonResourceURLs") or ()]
        for resource, group in product(rule.get("resources") or (), rule.get("apiGroups") or ("",)):
            keys += [(group, resource, name, "") for name in rule.get("resourceNames") or ("",)]
        for key in keys:
            found = verbs.setdefault(key, [])
            found += [verb for verb in rule["verbs"] if verb not in found]
    rows = []
    for (group, resource, name, url), found in sorted(verbs.items(), key=_rule_order):
        kind, slash, subresource = resource.partition("/")
        shown = f"{kind}.{group}{slash}{subresource}" if group else resource
        rows.append([shown, listed([url] if url else ()), listed([name] if name else ()), listed(found)])
    head = ["Resources", "Non-Resource URLs", "Resource Names", "Verbs"]
    own = [f"Name:\t{meta(obj)['name']}", *blocks.labels(obj), *blocks.annotations(obj), "PolicyRule:"]
    return [*own, *blocks.table(head, rows)]


def _rule_order(item: tuple[tuple[str, str, str, str], list[str]]) -> list[str]:
    """As kubectl's, which sorts rules as Go prints them."""
    return [listed(item[1]), *(f"{word}]" for word in item[0])]


async def binding(_: Session, obj: Object) -> Lines:
    """Of a RoleBinding or ClusterRoleBinding."""
    rows = [[one["kind"], one["name"], one.get("namespace", "")] for one in obj.get("subjects") or ()]
    lines = [f"Name:\t{meta(obj)['name']}", *blocks.labels(obj), *blocks.annotations(obj), "Role:"]
    lines += [f"  Kind:\t{obj['roleRef']['kind']}", f"  Name:\t{obj['roleRef']['name']}", "Subjects:"]
    return [*lines, *blocks.table(["Kind", "Name", "Namespace"], rows)]


def _sizes(data: Mapping[str, str] | None) -> Iterable[tuple[str, int]]:
    return ((key, len(base64.b64decode(value))) for key, value in sorted((data or {}).items()))


async def config_map(_: Session, obj: Object) -> Lines:
    """All that is in it; of binary data how much."""
    lines = [*blocks.name(obj), *blocks.labels(obj), *blocks.annotations(obj), "", "Data", "===="]
    for key, value in sorted((obj.get("data") or {}).items()):
        lines += [f"{key}:", "----", *value.split("\n"), ""]
    return [*lines, "", "BinaryData", "====", *(f"{k}: {size} bytes" for k, size in _sizes(obj.get("binaryData"))), ""]


async def secret(_: Session, obj: Object) -> Lines:
    """How much is in it; a ServiceAccount's token itself."""
    kind = obj.get("type", "")
    lines = [*blocks.name(obj), *blocks.labels(obj), *blocks.annotations(obj), "", f"Type:\t{kind}", "", "Data", "===="]
    for key, size in _sizes(obj.get("data")):
        token = key == "token" and kind == "kubernetes.io/service-account-token"
        lines.append(f"{key}:\t{base64.b64decode(obj['data'][key]).decode() if token else f'{size} bytes'}")
    return lines


async def priority_class(_: Session, obj: Object) -> Lines:
    """How much it is worth."""
    shown = ",".join(f"{key}={value}" for key, value in sorted((meta(obj).get("annotations") or {}).items()))
    lines = [*blocks.name(obj), f"Value:\t{obj.get('value', 0)}", f"GlobalDefault:\t{go(obj.get('globalDefault'))}"]
    lines.append(f"PreemptionPolicy:\t{obj.get('preemptionPolicy', '')}")
    return [*lines, f"Description:\t{obj.get('description', '')}", f"Annotations:\t{none(shown)}"]
