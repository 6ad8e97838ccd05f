"""What `kubectl describe` says of an object: one function a kind, a general one for the rest."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pybernetes.aio.clock import SystemClock, parse_time
from pybernetes.api.objects import Object
from pybernetes.kubectl import mapper
from pybernetes.kubectl.printers.table import layout
from pybernetes.kubectl.session import Session
from pybernetes.rules.ages import age
from pybernetes.wire.codecs import yaml

Lines = list[str]
Describer = Callable[[Session, Object], Awaitable[Lines]]
_HIDDEN = ("kubectl.kubernetes.io/last-applied-configuration",)
WIDTH = 18


async def describe(session: Session, mapping: mapper.Mapping, obj: Object, events: Sequence[Object] | None) -> str:
    """The whole text of an object; `events` None leaves them out."""
    describer = _BY_RESOURCE.get((mapping.group, mapping.plural))
    lines = await describer(session, obj) if describer else _general(obj)
    if events is not None:
        lines += _events(events)
    return "\n".join(lines)


def since(stamp: str | None) -> str:
    """How long ago a timestamp was: `45s`, `3m12s`, `2d4h`."""
    return age(SystemClock().now() - parse_time(stamp)) if stamp else "<unknown>"


def moment(stamp: str | None) -> str:
    """A timestamp as kubectl's descriptions write it (RFC 1123 with a numeric zone), `<unset>` where there is none."""
    return datetime.fromtimestamp(parse_time(stamp), UTC).strftime("%a, %d %b %Y %H:%M:%S %z") if stamp else "<unset>"


def row(name: str, value: object, indent: int = 0) -> str:
    """`Name:    value`, values of one level line up."""
    shown = "<none>" if value in (None, "") else value
    return f"{' ' * indent}{name + ':':<{max(WIDTH - indent, len(name) + 2)}}{shown}".rstrip()


def pairs(name: str, values: Mapping[str, str] | None, joint: str = "=") -> Lines:
    """A map, one entry a line under its name."""
    shown = [f"{k}{joint}{v}" for k, v in sorted((values or {}).items()) if k not in _HIDDEN] or ["<none>"]
    return [row(name, shown[0]), *(" " * WIDTH + text for text in shown[1:])]


def table(title: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> Lines:
    """A titled table, indented by two."""
    body = [[str(cell) if cell not in (None, "") else "" for cell in line] for line in rows]
    if not body:
        return [row(title, "<none>")]
    rule = ["-" * len(name) for name in head]
    return [f"{title}:", *("  " + line for line in layout([list(head), rule, *body]))]


def _metadata(obj: Object) -> Lines:
    metadata = obj["metadata"]
    lines = [row("Name", metadata["name"])]
    if metadata.get("namespace"):
        lines.append(row("Namespace", metadata["namespace"]))
    return lines


def _labels(obj: Object) -> Lines:
    metadata = obj["metadata"]
    return pairs("Labels", metadata.get("labels")) + pairs("Annotations", metadata.get("annotations"), ": ")


def _general(obj: Object) -> Lines:
    rest = {key: value for key, value in obj.items() if key not in ("metadata", "apiVersion", "kind")}
    metadata = {k: v for k, v in obj["metadata"].items() if k not in ("labels", "annotations", "managedFields")}
    lines = [*_metadata(obj), *_labels(obj), row("API Version", obj.get("apiVersion")), row("Kind", obj.get("kind"))]
    for name, value in {"metadata": metadata, **rest}.items():
        lines.append(f"{name[:1].upper()}{name[1:]}:")
        lines += ["  " + line for line in yaml.dump(value).splitlines()]
    return lines


def _conditions(obj: Object, fields: Sequence[str]) -> Lines:
    conditions = (obj.get("status") or {}).get("conditions") or ()
    head = [name[:1].upper() + name[1:] for name in fields]
    return table("Conditions", head, ([_cell(name, c.get(name, "")) for name in fields] for c in conditions))


def _cell(name: str, value: Any) -> Any:
    return moment(value) if name.endswith("Time") else value


def _events(events: Sequence[Object]) -> Lines:
    if not events:
        return [row("Events", "<none>")]
    rows = []
    for event in events:
        count = event.get("count") or (event.get("series") or {}).get("count") or 1
        first, last = event.get("firstTimestamp"), event.get("lastTimestamp") or event.get("eventTime")
        seen = f"{since(last)} (x{count} over {since(first)})" if count > 1 and first else since(last or first)
        source = (event.get("source") or {}).get("component") or event.get("reportingComponent") or ""
        rows.append([event.get("type", ""), event.get("reason", ""), seen, source, event.get("message", "").strip()])
    return table("Events", ["Type", "Reason", "Age", "From", "Message"], rows)


def _state(title: str, state: Object | None, indent: int) -> Lines:
    if not state:
        return []
    name, detail = next(iter(state.items()))
    lines = [row(title, name.capitalize(), indent)]
    for field, shown in (
        ("reason", "Reason"),
        ("message", "Message"),
        ("exitCode", "Exit Code"),
        ("startedAt", "Started"),
        ("finishedAt", "Finished"),
    ):
        if detail.get(field) not in (None, ""):
            value = moment(detail[field]) if field.endswith("At") else detail[field]
            lines.append(row(shown, value, indent + 2))
    return lines


def _probe(probe: Object) -> str:
    numbers = " ".join(
        f"{shown}={probe.get(field, default)}{unit}"
        for shown, field, default, unit in (
            ("delay", "initialDelaySeconds", 0, "s"),
            ("timeout", "timeoutSeconds", 1, "s"),
            ("period", "periodSeconds", 10, "s"),
            ("#success", "successThreshold", 1, ""),
            ("#failure", "failureThreshold", 3, ""),
        )
    )
    if "exec" in probe:
        what = f"exec {probe['exec'].get('command')}"
    elif "httpGet" in probe:
        get = probe["httpGet"]
        what = (
            f"http-get {get.get('scheme', 'HTTP').lower()}://{get.get('host', '')}:{get['port']}{get.get('path', '')}"
        )
    elif "tcpSocket" in probe:
        what = f"tcp-socket {probe['tcpSocket'].get('host', '')}:{probe['tcpSocket']['port']}"
    else:
        what = "unknown" if "grpc" not in probe else f"grpc <pod>:{probe['grpc']['port']}"
    return f"{what} {numbers}"


def _environment(container: Object) -> Lines:
    lines = []
    for variable in container.get("env") or ():
        source = variable.get("valueFrom") or {}
        if "configMapKeyRef" in source:
            ref = source["configMapKeyRef"]
            value = f"<set to the key '{ref['key']}' of config map '{ref.get('name')}'>"
        elif "secretKeyRef" in source:
            ref = source["secretKeyRef"]
            value = f"<set to the key '{ref['key']}' in secret '{ref.get('name')}'>"
        elif "fieldRef" in source:
            value = f"({source['fieldRef'].get('apiVersion', 'v1')}:{source['fieldRef']['fieldPath']})"
        else:
            value = variable.get("value", "")
        lines.append(f"      {variable['name']}:  {value}")
    return ["    Environment:", *lines] if lines else [row("Environment", "<none>", 4)]


def _container(container: Object, status: Object) -> Lines:
    ports = ", ".join(f"{p['containerPort']}/{p.get('protocol', 'TCP')}" for p in container.get("ports") or ())
    lines = [
        f"  {container['name']}:",
        row("Container ID", status.get("containerID"), 4),
        row("Image", container["image"], 4),
        row("Image ID", status.get("imageID"), 4),
        row("Port", ports, 4),
    ]
    for field in ("command", "args"):
        if container.get(field):
            lines += [f"    {field.capitalize()}:", *(f"      {word}" for word in container[field])]
    lines += _state("State", status.get("state"), 4) + _state("Last State", status.get("lastState"), 4)
    lines += [row("Ready", status.get("ready", False), 4), row("Restart Count", status.get("restartCount", 0), 4)]
    resources = container.get("resources") or {}
    for field in ("limits", "requests"):
        if resources.get(field):
            lines += [f"    {field.capitalize()}:", *(row(k, v, 6) for k, v in sorted(resources[field].items()))]
    for field, shown in (("livenessProbe", "Liveness"), ("readinessProbe", "Readiness"), ("startupProbe", "Startup")):
        if container.get(field):
            lines.append(row(shown, _probe(container[field]), 4))
    lines += _environment(container)
    mounts = container.get("volumeMounts") or ()
    lines.append("    Mounts:" if mounts else row("Mounts", "<none>", 4))
    lines += [f"      {m['mountPath']} from {m['name']} ({'ro' if m.get('readOnly') else 'rw'})" for m in mounts]
    return lines


def _containers(title: str, specs: Sequence[Object], statuses: Sequence[Object]) -> Lines:
    by_name = {status["name"]: status for status in statuses}
    lines = [f"{title}:"] if specs else []
    for container in specs:
        lines += _container(container, by_name.get(container["name"], {}))
    return lines


def _volumes(volumes: Sequence[Object]) -> Lines:
    lines = ["Volumes:"] if volumes else [row("Volumes", "<none>")]
    for volume in volumes:
        kind, source = next(((k, v) for k, v in volume.items() if k != "name"), ("emptyDir", {}))
        lines += [f"  {volume['name']}:", row("Type", kind[:1].upper() + kind[1:], 4)]
        lines += [row(k, v, 4) for k, v in source.items() if isinstance(v, str | int | bool)]
    return lines


def _tolerations(tolerations: Sequence[Object]) -> str:
    shown = []
    for t in tolerations:
        text = (
            t.get("key", "")
            + (f"={t['value']}" if t.get("value") else "")
            + (f":{t['effect']}" if t.get("effect") else "")
        )
        text += " op=Exists" if t.get("operator") == "Exists" else ""
        shown.append(text + (f" for {t['tolerationSeconds']}s" if t.get("tolerationSeconds") is not None else ""))
    return ("\n" + " " * WIDTH).join(sorted(shown))


async def _pod(session: Session, pod: Object) -> Lines:
    spec, status = pod["spec"], pod.get("status") or {}
    node = spec.get("nodeName", "")
    owner = next((o for o in pod["metadata"].get("ownerReferences") or () if o.get("controller")), None)
    lines = [
        *_metadata(pod),
        row("Priority", spec.get("priority", 0)),
        row("Service Account", spec.get("serviceAccountName")),
        row("Node", f"{node}/{status['hostIP']}" if node and status.get("hostIP") else node),
        row("Start Time", moment(status["startTime"]) if status.get("startTime") else ""),
        *_labels(pod),
    ]
    deleted = pod["metadata"].get("deletionTimestamp")
    lines.append(row("Status", f"Terminating (lasts {since(deleted)})" if deleted else status.get("phase")))
    lines += [row(shown, status[f]) for f, shown in (("reason", "Reason"), ("message", "Message")) if status.get(f)]
    lines += [row("IP", status.get("podIP")), "IPs:" if status.get("podIPs") else row("IPs", "<none>")]
    lines += [row("IP", ip["ip"], 2) for ip in status.get("podIPs") or ()]
    if owner:
        lines.append(row("Controlled By", f"{owner['kind']}/{owner['name']}"))
    lines += _containers("Init Containers", spec.get("initContainers") or (), status.get("initContainerStatuses") or ())
    lines += _containers("Containers", spec["containers"], status.get("containerStatuses") or ())
    lines += _conditions(pod, ["type", "status"])
    lines += _volumes(spec.get("volumes") or ())
    lines.append(row("QoS Class", status.get("qosClass")))
    lines += pairs("Node-Selectors", spec.get("nodeSelector"))
    lines.append(row("Tolerations", _tolerations(spec.get("tolerations") or ())))
    return lines


async def _node(session: Session, node: Object) -> Lines:
    status, spec = node.get("status") or {}, node.get("spec") or {}
    roles = [
        k.partition("/")[2] for k in node["metadata"].get("labels") or {} if k.startswith("node-role.kubernetes.io/")
    ]
    taints = [f"{t['key']}{'=' + t['value'] if t.get('value') else ''}:{t['effect']}" for t in spec.get("taints") or ()]
    lines = [
        row("Name", node["metadata"]["name"]),
        row("Roles", ",".join(sorted(roles))),
        *_labels(node),
        row("CreationTimestamp", moment(node["metadata"].get("creationTimestamp"))),
        row("Taints", ("\n" + " " * WIDTH).join(taints)),
        row("Unschedulable", str(spec.get("unschedulable", False)).lower()),
    ]
    lines += _conditions(node, ["type", "status", "lastHeartbeatTime", "lastTransitionTime", "reason", "message"])
    lines += ["Addresses:", *(row(a["type"], a["address"], 2) for a in status.get("addresses") or ())]
    for field in ("capacity", "allocatable"):
        lines += [f"{field.capitalize()}:", *(row(k, v, 2) for k, v in sorted((status.get(field) or {}).items()))]
    lines.append("System Info:")
    lines += [
        row(k[:1].upper() + k[1:], v, 2) for k, v in (status.get("nodeInfo") or {}).items() if not isinstance(v, dict)
    ]
    lines += [row("PodCIDR", spec.get("podCIDR")), row("PodCIDRs", ",".join(spec.get("podCIDRs") or ()))]
    query = {"fieldSelector": f"spec.nodeName={node['metadata']['name']},status.phase!=Succeeded,status.phase!=Failed"}
    pods = (await session.request("GET", "/api/v1/pods", query=query)).get("items") or ()
    rows = [
        [
            p["metadata"]["namespace"],
            p["metadata"]["name"],
            *_requests(p),
            since(p["metadata"].get("creationTimestamp")),
        ]
        for p in pods
    ]
    head = ["Namespace", "Name", "CPU Requests", "CPU Limits", "Memory Requests", "Memory Limits", "Age"]
    title = f"Non-terminated Pods:          ({len(rows)} in total)"
    shown = table(title, head, rows)
    return lines + ([title] if not rows else [title, *shown[1:]])


def _requests(pod: Object) -> list[str]:
    """CPU and memory of a Pod's containers, as their descriptors say them, joined."""
    cells = []
    for resource in ("cpu", "memory"):
        for field in ("requests", "limits"):
            found = [((c.get("resources") or {}).get(field) or {}).get(resource) for c in pod["spec"]["containers"]]
            cells.append("+".join(str(value) for value in found if value) or "0")
    return cells


def _template(template: Object) -> Lines:
    spec = template["spec"]
    lines = ["Pod Template:"]
    lines += ["  " + line for line in pairs("Labels", (template.get("metadata") or {}).get("labels"))]
    lines.append("  Containers:")
    for container in spec["containers"]:
        ports = ", ".join(f"{p['containerPort']}/{p.get('protocol', 'TCP')}" for p in container.get("ports") or ())
        lines += [
            f"   {container['name']}:",
            row("Image", container["image"], 4),
            row("Port", ports, 4),
            *_environment(container),
        ]
    return lines + ["  " + line for line in _volumes(spec.get("volumes") or ())]


def _selector(selector: Any) -> str:
    labels = (selector or {}).get("matchLabels", selector) or {}
    return ",".join(f"{k}={v}" for k, v in sorted(labels.items()) if isinstance(v, str))


async def _workload(session: Session, obj: Object) -> Lines:
    spec, status = obj["spec"], obj.get("status") or {}
    wanted, current = spec.get("replicas", 1), status.get("replicas", 0)
    lines = [*_metadata(obj), row("Selector", _selector(spec.get("selector"))), *_labels(obj)]
    if obj["kind"] == "Deployment":
        lines.insert(2, row("CreationTimestamp", moment(obj["metadata"].get("creationTimestamp"))))
        updated, available = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
        missing = status.get("unavailableReplicas", 0)
        counts = (
            f"{wanted} desired | {updated} updated | {current} total | {available} available | {missing} unavailable"
        )
        strategy = spec.get("strategy") or {}
        lines += [row("Replicas", counts), row("StrategyType", strategy.get("type"))]
        if rolling := strategy.get("rollingUpdate"):
            text = f"{rolling.get('maxUnavailable')} max unavailable, {rolling.get('maxSurge')} max surge"
            lines.append(row("RollingUpdateStrategy", text))
    else:
        lines.append(row("Replicas", f"{current} current / {wanted} desired"))
        phases = await _phases(session, obj, _selector(spec.get("selector")))
        lines.append(row("Pods Status", " / ".join(f"{phases.get(p, 0)} {s}" for p, s in _PHASES)))
    return lines + _template(spec["template"]) + _conditions(obj, ["type", "status", "reason"])


_PHASES = (("Running", "Running"), ("Pending", "Waiting"), ("Succeeded", "Succeeded"), ("Failed", "Failed"))


async def _phases(session: Session, obj: Object, selector: str) -> dict[str, int]:
    path = f"/api/v1/namespaces/{obj['metadata']['namespace']}/pods"
    counts: dict[str, int] = {}
    for pod in (await session.request("GET", path, query={"labelSelector": selector})).get("items") or ():
        if any(o["uid"] == obj["metadata"]["uid"] for o in pod["metadata"].get("ownerReferences") or ()):
            phase = pod["status"].get("phase", "Pending")
            counts[phase] = counts.get(phase, 0) + 1
    return counts


async def _service(session: Session, service: Object) -> Lines:
    spec, metadata = service["spec"], service["metadata"]
    lines = [
        *_metadata(service),
        *_labels(service),
        row("Selector", _selector(spec.get("selector"))),
        row("Type", spec.get("type")),
        row("IP Families", ",".join(spec.get("ipFamilies") or ())),
        row("IP", spec.get("clusterIP")),
        row("IPs", ",".join(spec.get("clusterIPs") or ())),
    ]
    if spec.get("externalName"):
        lines.append(row("External Name", spec["externalName"]))
    path = f"/apis/discovery.k8s.io/v1/namespaces/{metadata['namespace']}/endpointslices"
    query = {"labelSelector": f"kubernetes.io/service-name={metadata['name']}"}
    slices = (await session.request("GET", path, query=query)).get("items") or ()
    for port in spec.get("ports") or ():
        name = port.get("name") or "<unset>"
        lines.append(row("Port", f"{name}  {port['port']}/{port.get('protocol', 'TCP')}"))
        lines.append(row("TargetPort", f"{port.get('targetPort', port['port'])}/{port.get('protocol', 'TCP')}"))
        if port.get("nodePort"):
            lines.append(row("NodePort", f"{name}  {port['nodePort']}/{port.get('protocol', 'TCP')}"))
        lines.append(row("Endpoints", ",".join(_addresses(slices, port.get("name", "")))))
    lines.append(row("Session Affinity", spec.get("sessionAffinity")))
    return lines


def _addresses(slices: Iterable[Object], port: str) -> list[str]:
    found = []
    for piece in slices:
        number = next((p.get("port") for p in piece.get("ports") or () if (p.get("name") or "") == port), None)
        for endpoint in piece.get("endpoints") or ():
            if number and (endpoint.get("conditions") or {}).get("ready", True):
                found += [f"{address}:{number}" for address in endpoint["addresses"]]
    return sorted(found)


async def _namespace(session: Session, namespace: Object) -> Lines:
    return [*_metadata(namespace), *_labels(namespace), row("Status", (namespace.get("status") or {}).get("phase"))]


async def _config_map(session: Session, obj: Object) -> Lines:
    lines = [*_metadata(obj), *_labels(obj), "", "Data", "===="]
    for key, value in sorted((obj.get("data") or {}).items()):
        lines += [f"{key}:", "----", *value.splitlines(), ""]
    return [*lines, "BinaryData", "====", *(f"{k}: {len(v)} bytes" for k, v in (obj.get("binaryData") or {}).items())]


async def _secret(session: Session, obj: Object) -> Lines:
    import base64

    sizes = {key: len(base64.b64decode(value)) for key, value in (obj.get("data") or {}).items()}
    head = [*_metadata(obj), *_labels(obj), "", row("Type", obj.get("type")), "", "Data", "===="]
    return [*head, *(f"{key}:  {size} bytes" for key, size in sorted(sizes.items()))]


_BY_RESOURCE: dict[tuple[str, str], Describer] = {
    ("", "pods"): _pod,
    ("", "nodes"): _node,
    ("", "services"): _service,
    ("", "namespaces"): _namespace,
    ("", "configmaps"): _config_map,
    ("", "secrets"): _secret,
    ("", "replicationcontrollers"): _workload,
    ("apps", "replicasets"): _workload,
    ("apps", "deployments"): _workload,
}
