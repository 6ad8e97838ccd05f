"""How far a rollout is, in kubectl's words, and what revisions a workload has. `kubectl rollout` asks; no requests here."""

from collections.abc import Callable, Iterable

from pybernetes.api.objects import Object
from pybernetes.kubectl.command import Refused

REVISION = "deployment.kubernetes.io/revision"
CAUSE = "kubernetes.io/change-cause"


def progress(plural: str, obj: Object) -> tuple[str, bool]:
    """What `rollout status` says of the object, and whether it is done. Raises Refused where waiting is in vain."""
    return _KINDS[plural](obj)


def number(revision: Object) -> int:
    """Of a ReplicaSet or ControllerRevision."""
    if "revision" in revision:
        return int(revision["revision"])
    return int((revision["metadata"].get("annotations") or {}).get(REVISION, "0"))


def owned(owner: Object, revisions: Iterable[Object]) -> list[Object]:
    """The owner's among them, oldest first."""
    uid = owner["metadata"]["uid"]
    kept = [r for r in revisions if any(o["uid"] == uid for o in r["metadata"].get("ownerReferences") or ())]
    return sorted(kept, key=number)


def template_of(revision: Object) -> Object:
    """The Pod template that a ReplicaSet or ControllerRevision keeps, as its owner has it."""
    template: Object
    if "data" in revision:
        template = {**revision["data"]["spec"]["template"]}
        template.pop("$patch", None)
        return template
    template = {**revision["spec"]["template"]}
    labels = {**(template["metadata"].get("labels") or {})}
    labels.pop("pod-template-hash", None)
    template["metadata"] = {**template["metadata"], "labels": labels}
    return template


def history(shown: str, revisions: Iterable[Object]) -> str:
    """The table of revisions."""
    lines = [f"{shown} ", "REVISION  CHANGE-CAUSE"]
    for revision in revisions:
        cause = (revision["metadata"].get("annotations") or {}).get(CAUSE, "<none>")
        lines.append(f"{number(revision):<10}{cause}")
    return "\n".join(lines)


def _seen(obj: Object, kind: str) -> str:
    metadata, status = obj["metadata"], obj.get("status") or {}
    late = metadata.get("generation", 0) > status.get("observedGeneration", 0)
    return f"Waiting for {kind} spec update to be observed..." if late else ""


def _of_deployment(obj: Object) -> tuple[str, bool]:
    spec, status, name = obj["spec"], obj.get("status") or {}, obj["metadata"]["name"]
    if late := _seen(obj, "deployment"):
        return late, False
    for condition in status.get("conditions") or ():
        if condition["type"] == "Progressing" and condition.get("reason") == "ProgressDeadlineExceeded":
            raise Refused(f'deployment "{name}" exceeded its progress deadline')
    wanted = spec.get("replicas", 1)
    updated, total, available = (status.get(k, 0) for k in ("updatedReplicas", "replicas", "availableReplicas"))
    waiting = f'Waiting for deployment "{name}" rollout to finish: '
    if updated < wanted:
        return f"{waiting}{updated} out of {wanted} new replicas have been updated...", False
    if total > updated:
        return f"{waiting}{total - updated} old replicas are pending termination...", False
    if available < updated:
        return f"{waiting}{available} of {updated} updated replicas are available...", False
    return f'deployment "{name}" successfully rolled out', True


def _of_daemon_set(obj: Object) -> tuple[str, bool]:
    _is_rolling(obj)
    status, name = obj.get("status") or {}, obj["metadata"]["name"]
    if late := _seen(obj, "daemon set"):
        return late, False
    updated, wanted = status.get("updatedNumberScheduled", 0), status.get("desiredNumberScheduled", 0)
    waiting = f'Waiting for daemon set "{name}" rollout to finish: '
    if updated < wanted:
        return f"{waiting}{updated} out of {wanted} new pods have been updated...", False
    available = status.get("numberAvailable", 0)
    if available < wanted:
        return f"{waiting}{available} of {wanted} updated pods are available...", False
    return f'daemon set "{name}" successfully rolled out', True


def _of_stateful_set(obj: Object) -> tuple[str, bool]:
    _is_rolling(obj)
    spec, status = obj["spec"], obj.get("status") or {}
    if late := _seen(obj, "statefulset"):
        return late, False
    wanted, ready = spec.get("replicas", 1), status.get("readyReplicas", 0)
    if ready < wanted:
        return f"Waiting for {wanted - ready} pods to be ready...", False
    updated, update = status.get("updatedReplicas", 0), status.get("updateRevision", "")
    rolling = spec["updateStrategy"].get("rollingUpdate")
    if rolling is not None:
        whole = wanted - rolling.get("partition", 0)
        if updated < whole:
            text = f"{updated} out of {whole} new pods have been updated..."
            return f"Waiting for partitioned roll out to finish: {text}", False
        return f"partitioned roll out complete: {updated} new pods have been updated...", True
    if update != status.get("currentRevision", ""):
        return f"waiting for statefulset rolling update to complete {updated} pods at revision {update}...", False
    current = status.get("currentReplicas", 0)
    return f"statefulset rolling update complete {current} pods at revision {update}...", True


def _is_rolling(obj: Object) -> None:
    if obj["spec"]["updateStrategy"]["type"] != "RollingUpdate":
        raise Refused("rollout status is only available for RollingUpdate strategy type")


_KINDS: dict[str, Callable[[Object], tuple[str, bool]]] = {
    "deployments": _of_deployment,
    "daemonsets": _of_daemon_set,
    "statefulsets": _of_stateful_set,
}
KINDS = tuple(_KINDS)
"""Plurals of what can be rolled out."""
