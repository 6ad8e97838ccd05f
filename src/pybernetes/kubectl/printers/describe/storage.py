"""Volumes, claims and classes."""

from pybernetes.api.objects import Object
from pybernetes.kubectl.printers.describe import blocks, pods
from pybernetes.kubectl.printers.describe.blocks import Lines, flag, listed, meta, moment, none, spec, status
from pybernetes.kubectl.session import Session
from pybernetes.rules.accessmodes import short_modes

_DEFAULT = "storageclass.kubernetes.io/is-default-class"
_OF_OLD = "volume.beta.kubernetes.io/storage-class"


def _class(obj: Object) -> str:
    own: str = (meta(obj).get("annotations") or {}).get(_OF_OLD) or spec(obj).get("storageClassName") or ""
    return own


async def claim(session: Session, obj: Object) -> Lines:
    """What it has, and who uses it."""
    own, now = spec(obj), status(obj)
    deleted = meta(obj).get("deletionTimestamp")
    lines = [*blocks.name(obj), f"StorageClass:\t{_class(obj)}"]
    lines.append(
        f"Status:\tTerminating (lasts {blocks.since(deleted)})" if deleted else f"Status:\t{now.get('phase', '')}"
    )
    lines += [f"Volume:\t{own.get('volumeName', '')}", *blocks.labels(obj), *blocks.annotations(obj)]
    bound = bool(own.get("volumeName"))
    lines.append(f"Finalizers:\t{listed(meta(obj).get('finalizers'))}")
    lines.append(f"Capacity:\t{(now.get('capacity') or {}).get('storage', '') if bound else ''}")
    lines.append(f"Access Modes:\t{short_modes(now.get('accessModes')) if bound else ''}")
    lines += [f"VolumeMode:\t{own['volumeMode']}"] if own.get("volumeMode") else []
    if source := own.get("dataSource"):
        lines += ["DataSource:", f"  APIGroup:\t{source.get('apiGroup', '')}"]
        lines += [f"  Kind:\t{source['kind']}", f"  Name:\t{source['name']}"]
    path = f"/api/v1/namespaces/{meta(obj)['namespace']}/pods"
    users = [
        meta(pod)["name"]
        for pod in (await session.request("GET", path)).get("items") or ()
        if any(_named(pod, volume) == meta(obj)["name"] for volume in spec(pod).get("volumes") or ())
    ]
    lines += [f"Used By:\t{users[0] if users else '<none>'}", *(f"\t{one}" for one in users[1:])]
    if now.get("conditions"):
        fields = ("type", "status", "lastProbeTime", "lastTransitionTime", "reason", "message")
        lines += ["Conditions:", "  Type\tStatus\tLastProbeTime\tLastTransitionTime\tReason\tMessage"]
        lines.append("  ----\t------\t-----------------\t------------------\t------\t-------")
        for one in now["conditions"]:
            cells = [
                moment(one.get(f), "Mon, 01 Jan 0001 00:00:00 +0000") if "Time" in f else one.get(f, "") for f in fields
            ]
            lines.append(f"  {cells[0]} \t" + " \t".join(cells[1:]))
    return lines


def _named(pod: Object, volume: Object) -> str:
    if "ephemeral" in volume:
        return f"{meta(pod)['name']}-{volume['name']}"
    name: str = (volume.get("persistentVolumeClaim") or {}).get("claimName", "")
    return name


async def volume(_: Session, obj: Object) -> Lines:
    """What it is, and whose."""
    own, now = spec(obj), status(obj)
    deleted = meta(obj).get("deletionTimestamp")
    lines = [*blocks.name(obj), *blocks.labels(obj), *blocks.annotations(obj)]
    lines += [f"Finalizers:\t{listed(meta(obj).get('finalizers'))}", f"StorageClass:\t{_class(obj)}"]
    lines.append(
        f"Status:\tTerminating (lasts {blocks.since(deleted)})" if deleted else f"Status:\t{now.get('phase', '')}"
    )
    of = own.get("claimRef")
    lines.append(f"Claim:\t{of.get('namespace', '')}/{of.get('name', '')}" if of else "Claim:\t")
    lines.append(f"Reclaim Policy:\t{own.get('persistentVolumeReclaimPolicy', '')}")
    lines.append(f"Access Modes:\t{short_modes(own.get('accessModes'))}")
    lines += [f"VolumeMode:\t{own['volumeMode']}"] if own.get("volumeMode") else []
    lines.append(f"Capacity:\t{(own.get('capacity') or {}).get('storage', '')}")
    required = (own.get("nodeAffinity") or {}).get("required")
    lines.append("Node Affinity:" if required else "Node Affinity:\t<none>")
    if required:
        terms = required.get("nodeSelectorTerms") or ()
        lines.append("  Required Terms:" if terms else "  Required Terms:\t<none>")
        for at, term in enumerate(terms):
            first, *rest = [_expression(one) for one in term.get("matchExpressions") or ()] or ["<none>"]
            lines += [f"    Term {at}:\t{first}", *(f"\t{one}" for one in rest)]
    lines += [f"Message:\t{now.get('message', '')}", "Source:"]
    return [*lines, *(f"    {line}" for line in pods.source({key: own[key] for key in own if key not in _FIELDS}))]


_FIELDS = frozenset({
    *("capacity", "accessModes", "claimRef", "persistentVolumeReclaimPolicy", "storageClassName", "mountOptions"),
    *("volumeMode", "nodeAffinity", "volumeAttributesClassName"),
})  # fmt: skip


def _expression(one: Object) -> str:
    values = f" {listed(one['values'])}" if one.get("values") else ""
    return f"{one['key']} {one['operator'].lower()}{values}"


async def storage_class(_: Session, obj: Object) -> Lines:
    """Who provisions, and how."""
    annotations = meta(obj).get("annotations") or {}
    shown = ",".join(f"{key}={value}" for key, value in sorted(annotations.items()))
    parameters = ",".join(f"{key}={value}" for key, value in sorted((obj.get("parameters") or {}).items()))
    lines = [*blocks.name(obj), f"IsDefaultClass:\t{'Yes' if annotations.get(_DEFAULT) == 'true' else 'No'}"]
    lines += [f"Annotations:\t{none(shown)}", f"Provisioner:\t{obj['provisioner']}", f"Parameters:\t{none(parameters)}"]
    expansion, options = obj.get("allowVolumeExpansion"), obj.get("mountOptions") or ()
    lines.append(f"AllowVolumeExpansion:\t{'<unset>' if expansion is None else flag(expansion)}")
    lines += ["MountOptions:", *(f"  {one}" for one in options)] if options else ["MountOptions:\t<none>"]
    for title, field in (("ReclaimPolicy", "reclaimPolicy"), ("VolumeBindingMode", "volumeBindingMode")):
        lines += [f"{title}:\t{obj[field]}"] if obj.get(field) else []
    if obj.get("allowedTopologies"):
        lines.append("AllowedTopologies:")
        for at, term in enumerate(obj["allowedTopologies"]):
            found = [f"{one['key']} in {listed(one['values'])}" for one in term.get("matchLabelExpressions") or ()]
            first, *rest = found or ["<none>"]
            lines += [f"  Term {at}:\t{first}", *(f"\t{one}" for one in rest)]
    return lines
