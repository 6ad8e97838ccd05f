"""Pods, and the templates that Pods are made from."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from pybernetes.api.objects import Object
from pybernetes.kubectl.printers.describe import blocks
from pybernetes.kubectl.printers.describe.blocks import Lines, flag, go, moment, none, pairs, since, spec, status
from pybernetes.kubectl.session import Session

_PROBES = (("livenessProbe", "Liveness"), ("readinessProbe", "Readiness"), ("startupProbe", "Startup"))


async def pod(_: Session, obj: Object) -> Lines:
    """One Pod."""
    own, now, meta = spec(obj), status(obj), blocks.meta(obj)
    node, host = own.get("nodeName"), now.get("hostIP", "")
    lines = [*blocks.name(obj), f"Priority:\t{own.get('priority', 0)}"]
    lines += _given(own, ("priorityClassName", "Priority Class Name"), ("runtimeClassName", "Runtime Class Name"))
    lines += _given(own, ("serviceAccountName", "Service Account"))
    lines.append(f"Node:\t{node}/{host}" if node else "Node:\t<none>")
    if now.get("startTime"):
        lines.append(f"Start Time:\t{moment(now['startTime'])}")
    lines += blocks.labels(obj) + blocks.annotations(obj)
    deleted = meta.get("deletionTimestamp")
    if deleted and now.get("phase") not in ("Succeeded", "Failed"):
        lines.append(f"Status:\tTerminating (lasts {since(deleted)})")
        lines.append(f"Termination Grace Period:\t{meta.get('deletionGracePeriodSeconds', 0)}s")
    else:
        lines.append(f"Status:\t{now.get('phase', '')}")
    lines += _given(now, ("reason", "Reason"), ("message", "Message"))
    lines += _seccomp(own.get("securityContext"), "")
    lines.append(f"IP:\t{now.get('podIP', '')}")
    addresses = now.get("podIPs") or ()
    lines += ["IPs:", *(f"  IP:\t{one['ip']}" for one in addresses)] if addresses else ["IPs:\t<none>"]
    lines += blocks.controlled_by(obj) + _given(now, ("nominatedNodeName", "NominatedNodeName"))
    if own.get("initContainers"):
        lines += _containers("Init Containers", own["initContainers"], now.get("initContainerStatuses") or ())
    lines += _containers("Containers", own.get("containers") or (), now.get("containerStatuses") or ())
    if own.get("ephemeralContainers"):
        found = now.get("ephemeralContainerStatuses") or ()
        lines += _containers("Ephemeral Containers", own["ephemeralContainers"], found)
    if own.get("readinessGates"):
        kinds = {c["type"]: c["status"] for c in now.get("conditions") or ()}
        gates = [gate["conditionType"] for gate in own["readinessGates"]]
        lines += ["Readiness Gates:", "  Type\tStatus", *(f"  {gate} \t{kinds.get(gate, '<none>')} " for gate in gates)]
    if now.get("conditions"):
        lines += ["Conditions:", "  Type\tStatus", *(f"  {c['type']} \t{c['status']} " for c in now["conditions"])]
    lines += volumes(own.get("volumes") or (), "")
    lines += _given(now, ("qosClass", "QoS Class"))
    return [*lines, *_placing(own, "")]


def template(obj: Object, title: str = "Pod Template:") -> Lines:
    """Of a workload."""
    own = spec(obj)
    shown = {"metadata": obj.get("metadata") or {}}
    lines = [title, *pairs("  Labels", shown["metadata"].get("labels"))]
    if shown["metadata"].get("annotations"):
        lines += blocks.annotations(shown, "  Annotations", "  ")
    lines += _given(own, ("serviceAccountName", "  Service Account"))
    if own.get("initContainers"):
        lines += _containers("Init Containers", own["initContainers"], (), "  ")
    lines += _containers("Containers", own.get("containers") or (), (), "  ")
    lines += volumes(own.get("volumes") or (), "  ")
    lines += _given(own, ("priorityClassName", "  Priority Class Name"))
    return [*lines, *_placing(own, "  ")]


def _placing(own: Object, space: str) -> Lines:
    tolerations = sorted(map(_toleration, own.get("tolerations") or ())) or ["<none>"]
    lines = pairs(f"{space}Node-Selectors", own.get("nodeSelector"))
    lines += [f"{space}Tolerations:\t{tolerations[0]}", *(f"\t{one}" for one in tolerations[1:])]
    spread = []
    for one in own.get("topologySpreadConstraints") or ():
        text = f"{one['topologyKey']}:{one['whenUnsatisfiable']} when max skew {one['maxSkew']} is exceeded"
        chosen = blocks.selector(one.get("labelSelector"))
        spread.append(f"{text} for selector {chosen}" if one.get("labelSelector") is not None else text)
    if spread:
        first, *rest = sorted(spread)
        lines += [f"{space}Topology Spread Constraints:\t{first}", *(f"\t{one}" for one in rest)]
    return lines


def _toleration(of: Object) -> str:
    text: str = of.get("key", "") + (f"={of['value']}" if of.get("value") else "")
    text += f":{of['effect']}" if of.get("effect") else ""
    if of.get("operator") == "Exists" and not of.get("value"):
        text += " op=Exists" if of.get("key") or of.get("effect") else "op=Exists"
    return text + (f" for {of['tolerationSeconds']}s" if of.get("tolerationSeconds") is not None else "")


def _given(of: Object, *fields: tuple[str, str]) -> Lines:
    return [f"{title}:\t{of[field]}" for field, title in fields if of.get(field) not in (None, "")]


def _seccomp(context: Object | None, indent: str) -> Lines:
    profile = (context or {}).get("seccompProfile")
    if not profile:
        return []
    lines = [f"{indent}SeccompProfile:\t{profile['type']}"]
    return lines + _given(profile, ("localhostProfile", f"{indent}LocalhostProfile"))


def _containers(title: str, specs: Sequence[Object], statuses: Sequence[Object], space: str = "") -> Lines:
    by_name = {one["name"]: one for one in statuses}
    lines = [f"{space}{title}:" if specs else f"{space}{title}: <none>"]
    for container in specs:
        found = by_name.get(container["name"])
        lines.append(f"  {' ' if space else ''}{container['name']}:")
        lines += _image(container, found)
        for field in ("command", "args"):
            if container.get(field):
                words = [line for word in container[field] for line in word.split("\n")]
                lines += [f"    {field.capitalize()}:", *(f"      {word}" for word in words)]
        if found:
            lines += _state("State", found.get("state") or {"waiting": {}})
            if (found.get("lastState") or {}).get("terminated"):
                lines += _state("Last State", found["lastState"])
            lines += [f"    Ready:\t{flag(found.get('ready'))}", f"    Restart Count:\t{found.get('restartCount', 0)}"]
        lines += resources(container.get("resources") or {}, "    ")
        lines += [f"    {shown}:\t{_probe(container[field])}" for field, shown in _PROBES if container.get(field)]
        lines += [*_environment_from(container), *_environment(container), *_mounts(container)]
    return lines


def _image(container: Object, found: Object | None) -> Lines:
    lines = [f"    Container ID:\t{found.get('containerID', '')}"] if found else []
    lines.append(f"    Image:\t{container.get('image', '')}")
    lines += [f"    Image ID:\t{found.get('imageID', '')}"] if found else []
    for title, field in (("Port", "containerPort"), ("Host Port", "hostPort")):
        shown = ", ".join(f"{p.get(field, 0)}/{p.get('protocol', 'TCP')}" for p in container.get("ports") or ())
        lines.append(f"    {title}s:\t{shown}" if "," in shown else f"    {title}:\t{none(shown)}")
    return lines + _seccomp(container.get("securityContext"), "    ")


def _state(title: str, of: Object) -> Lines:
    kind, detail = next(iter(of.items()))
    lines = [f"    {title}:\t{kind.capitalize()}"]
    lines += [f"      {line}" for line in _given(detail, ("reason", "Reason"), ("message", "Message"))]
    if kind == "running":
        lines.append(f"      Started:\t{moment(detail.get('startedAt'))}")
    if kind == "terminated":
        lines.append(f"      Exit Code:\t{detail.get('exitCode', 0)}")
        lines += [f"      Signal:\t{detail['signal']}"] if detail.get("signal") else []
        lines.append(f"      Started:\t{moment(detail.get('startedAt'))}")
        lines.append(f"      Finished:\t{moment(detail.get('finishedAt'))}")
    return lines


def resources(of: Object, indent: str) -> Lines:
    """Limits and requests."""
    lines: Lines = []
    for field in ("limits", "requests"):
        if of.get(field):
            amounts = (f"{indent}  {key}:\t{value}" for key, value in sorted(of[field].items()))
            lines += [f"{indent}{field.capitalize()}:", *amounts]
    return lines


def _probe(of: Object) -> str:
    delay, timeout, period = of.get("initialDelaySeconds", 0), of.get("timeoutSeconds", 0), of.get("periodSeconds", 0)
    numbers = f"delay={delay}s timeout={timeout}s period={period}s"
    numbers += f" #success={of.get('successThreshold', 0)} #failure={of.get('failureThreshold', 0)}"
    if "exec" in of:
        return f"exec {blocks.listed(of['exec'].get('command'))} {numbers}"
    if "httpGet" in of:
        get = of["httpGet"]
        where = f"{get.get('scheme', 'HTTP').lower()}://{get.get('host', '')}:{get['port']}{get.get('path', '')}"
        return f"http-get {where} {numbers}"
    if "tcpSocket" in of:
        return f"tcp-socket {of['tcpSocket'].get('host', '')}:{of['tcpSocket']['port']} {numbers}"
    if "grpc" in of:
        return f"grpc <pod>:{of['grpc']['port']} {of['grpc'].get('service') or ''} {numbers}"
    return f"unknown {numbers}"


def _environment_from(container: Object) -> Lines:
    lines: Lines = []
    for one in container.get("envFrom") or ():
        kind, source = ("ConfigMap", one["configMapRef"]) if "configMapRef" in one else ("Secret", one["secretRef"])
        prefix = f" with prefix '{one['prefix']}'" if one.get("prefix") else ""
        lines.append(f"      {source['name']}\t{kind}{prefix}\tOptional: {go(source.get('optional'))}")
    return ["    Environment Variables from:", *lines] if lines else []


def _environment(container: Object) -> Lines:
    lines: Lines = []
    for variable in container.get("env") or ():
        lines += [f"      {line}" for line in _variable(variable)]
    return ["    Environment:", *lines] if lines else ["    Environment:\t<none>"]


def _variable(variable: Object) -> Iterator[str]:
    name, source = variable["name"], variable.get("valueFrom")
    match source:
        case {"configMapKeyRef": ref}:
            text = f"{name}:\t<set to the key '{ref['key']}' of config map '{ref.get('name', '')}'>"
            yield f"{text}\tOptional: {go(ref.get('optional'))}"
        case {"secretKeyRef": ref}:
            text = f"{name}:\t<set to the key '{ref['key']}' in secret '{ref.get('name', '')}'>"
            yield f"{text}\tOptional: {go(ref.get('optional'))}"
        case {"fieldRef": ref}:
            yield f"{name}:\t ({ref.get('apiVersion', 'v1')}:{ref['fieldPath']})"
        case {"resourceFieldRef": ref}:
            yield f"{name}:\t ({ref['resource']})"
        case _:
            first, *rest = variable.get("value", "").split("\n")
            yield f"{name}:\t{first}"
            yield from (f"\t{line}" for line in rest)


def _mounts(container: Object) -> Lines:
    mounts = sorted(container.get("volumeMounts") or (), key=lambda one: one["mountPath"])
    lines = ["    Mounts:" if mounts else "    Mounts:\t<none>"]
    for mount in mounts:
        flags = ["ro" if mount.get("readOnly") else "rw"]
        flags += [f"path={json.dumps(mount['subPath'])}"] if mount.get("subPath") else []
        lines.append(f"      {mount['mountPath']} from {mount['name']} ({','.join(flags)})")
    devices = sorted(container.get("volumeDevices") or (), key=lambda one: one["devicePath"])
    if devices:
        lines += ["    Devices:", *(f"      {one['devicePath']} from {one['name']}" for one in devices)]
    return lines


def volumes(found: Sequence[Object], space: str) -> Lines:
    """The volumes of a Pod."""
    lines = [f"{space}Volumes:" if found else f"{space}Volumes:\t<none>"]
    for volume in found:
        lines.append(f"  {' ' if space else ''}{volume['name']}:")
        lines += [f"    {line}" for line in source(volume)]
    return lines


def _of_config_map(of: Any) -> Lines:
    lines = ["Type:\tConfigMap (a volume populated by a ConfigMap)", f"Name:\t{of.get('name', '')}"]
    return [*lines, f"Optional:\t{go(of.get('optional'))}"]


def _of_secret(of: Any) -> Lines:
    lines = ["Type:\tSecret (a volume populated by a Secret)", f"SecretName:\t{of.get('secretName', '')}"]
    return [*lines, f"Optional:\t{go(of.get('optional'))}"]


def _of_host_path(of: Any) -> Lines:
    lines = ["Type:\tHostPath (bare host directory volume)", f"Path:\t{of.get('path', '')}"]
    return [*lines, f"HostPathType:\t{of.get('type', '')}"]


def _of_empty_dir(of: Any) -> Lines:
    limit = of.get("sizeLimit")
    lines = ["Type:\tEmptyDir (a temporary directory that shares a pod's lifetime)", f"Medium:\t{of.get('medium', '')}"]
    return [*lines, f"SizeLimit:\t{limit if limit not in (None, '', '0') else '<unset>'}"]


def _of_claim(of: Any) -> Lines:
    kind = "PersistentVolumeClaim (a reference to a PersistentVolumeClaim in the same namespace)"
    return [f"Type:\t{kind}", f"ClaimName:\t{of['claimName']}", f"ReadOnly:\t{go(of.get('readOnly'))}"]


def _of_projected(of: Any) -> Lines:
    lines = ["Type:\tProjected (a volume that contains injected data from multiple sources)"]
    for one in of.get("sources") or ():
        match one:
            case {"secret": found}:
                lines += [f"SecretName:\t{found.get('name', '')}", f"Optional:\t{go(found.get('optional'))}"]
            case {"downwardAPI": _}:
                lines.append("DownwardAPI:\ttrue")
            case {"configMap": found}:
                optional = found.get("optional")
                lines.append(f"ConfigMapName:\t{found.get('name', '')}")
                lines.append(f"ConfigMapOptional:\t{'<nil>' if optional is None else go(optional)}")
            case {"serviceAccountToken": found}:
                lines.append(f"TokenExpirationSeconds:\t{found.get('expirationSeconds', 3600)}")
    return lines


def _of_downward(of: Any) -> Lines:
    lines = ["Type:\tDownwardAPI (a volume populated by information about the pod)", "Items:"]
    for one in of.get("items") or ():
        path = (one.get("fieldRef") or {}).get("fieldPath") or (one.get("resourceFieldRef") or {}).get("resource")
        lines.append(f"  {path} -> {one['path']}")
    return lines


def _of_csi(of: Any) -> Lines:
    kind = "CSI (a Container Storage Interface (CSI) volume source)"
    lines = [f"Type:\t{kind}", f"Driver:\t{of.get('driver', '')}", f"FSType:\t{of.get('fsType', '')}"]
    if "volumeHandle" in of:
        lines.append(f"VolumeHandle:\t{of['volumeHandle']}")
    lines.append(f"ReadOnly:\t{go(of.get('readOnly'))}")
    rows = [f"{key}={value}" for key, value in sorted((of.get("volumeAttributes") or {}).items())]
    return [*lines, f"VolumeAttributes:\t{rows[0] if rows else '<none>'}", *(f"\t{one}" for one in rows[1:])]


def _of_nfs(of: Any) -> Lines:
    lines = ["Type:\tNFS (an NFS mount that lasts the lifetime of a pod)", f"Server:\t{of['server']}"]
    return [*lines, f"Path:\t{of['path']}", f"ReadOnly:\t{go(of.get('readOnly'))}"]


def _of_local(of: Any) -> Lines:
    return ["Type:\tLocalVolume (a persistent volume backed by local storage on a node)", f"Path:\t{of['path']}"]


def _of_image(of: Any) -> Lines:
    lines = ["Type:\tImage (a container image or OCI artifact)", f"Reference:\t{of.get('reference', '')}"]
    return [*lines, f"PullPolicy:\t{of.get('pullPolicy', '')}"]


def _of_ephemeral(of: Any) -> Lines:
    kind = "EphemeralVolume (an inline specification for a volume that gets created and deleted with the pod)"
    wanted = of.get("volumeClaimTemplate") or {}
    own = spec(wanted)
    lines = [f"Type:\t{kind}", f"StorageClass:\t{own.get('storageClassName', '')}", "Volume:\t"]
    shown = {"metadata": wanted.get("metadata") or {}}
    lines += blocks.labels(shown) + blocks.annotations(shown)
    size = ((own.get("resources") or {}).get("requests") or {}).get("storage", "")
    modes = blocks.listed(own.get("accessModes"))
    return [*lines, f"Capacity:\t{size}", f"Access Modes:\t{modes}", f"VolumeMode:\t{own.get('volumeMode', '')}"]


_SOURCES = {
    "configMap": _of_config_map,
    "secret": _of_secret,
    "hostPath": _of_host_path,
    "emptyDir": _of_empty_dir,
    "persistentVolumeClaim": _of_claim,
    "projected": _of_projected,
    "downwardAPI": _of_downward,
    "csi": _of_csi,
    "nfs": _of_nfs,
    "local": _of_local,
    "image": _of_image,
    "ephemeral": _of_ephemeral,
}


def source(volume: Object) -> Lines:
    """Where a volume, of a Pod or a cluster, comes from."""
    for field, lines in _SOURCES.items():
        if field in volume:
            return lines(volume[field])
    kind = next((key for key in volume if key != "name"), "unknown")
    return [f"Type:\t{kind[:1].upper()}{kind[1:]}"]
