"""kubectl rollout: status, history, restart, undo, pause and resume of Deployments."""

import argparse
import asyncio
from collections.abc import Awaitable, Callable

from pybernetes.aio.clock import SystemClock, rfc3339
from pybernetes.api.objects import Object
from pybernetes.kubectl.command import Command, Refused
from pybernetes.kubectl.durations import seconds
from pybernetes.kubectl.flags import Flags
from pybernetes.kubectl.pods import selector_of
from pybernetes.kubectl.session import JSON_PATCH, MERGE, STRATEGIC, Session
from pybernetes.kubectl.targets import Target, resource_targets

REVISION = "deployment.kubernetes.io/revision"


def _flags(flags: Flags) -> None:
    flags.add_argument("what", nargs="*", metavar="ACTION TYPE/NAME", help=f"{', '.join(_ACTIONS)}; deploy/web")
    flags.flag("-w", "--watch", default=True, help="status: wait for the end")
    flags.add_argument("--timeout", default="0s", help="status: how long to wait; 0s is for ever")
    flags.add_argument("--to-revision", type=int, default=0, help="undo: the revision; 0 is the one before")
    flags.add_argument("--revision", type=int, default=0, help="history: details of this revision")


async def _run(session: Session, options: argparse.Namespace) -> int:
    action, words = (options.what[0], options.what[1:]) if options.what else ("", [])
    if action not in _ACTIONS:
        raise Refused(f"an action is required: kubectl rollout {'|'.join(_ACTIONS)} TYPE/NAME")
    for target in resource_targets(await session.mapper(), words):
        if target.mapping.plural != "deployments":
            raise Refused(f"no rollout {action} is known for {target.mapping.shown}: only deployments have it here")
        if not target.name:
            raise Refused("a name is required: kubectl rollout status deploy/NAME")
        await _ACTIONS[action](session, options, target)
    return 0


async def _status(session: Session, options: argparse.Namespace, target: Target) -> None:
    path = target.mapping.path(session.namespace, target.name)
    try:
        async with asyncio.timeout(seconds(options.timeout) or None):
            while True:
                live = await session.request("GET", path)
                text, done = progress(live)
                print(text, flush=True)
                if done or not options.watch:
                    return
                query = {
                    "fieldSelector": f"metadata.name={target.name}",
                    "resourceVersion": live["metadata"]["resourceVersion"],
                    "timeoutSeconds": "300",
                }
                async for event in session.watch(target.mapping.path(session.namespace), query):
                    if event["type"] == "DELETED":
                        raise Refused("object has been deleted")
                    if event["type"] == "ERROR":
                        break
                    if event["type"] == "BOOKMARK":
                        continue
                    now, done = progress(event["object"])
                    if now != text or done:
                        print(now, flush=True)
                        text = now
                    if done:
                        return
    except TimeoutError as error:
        raise Refused("timed out waiting for the condition") from error


def progress(deployment: Object) -> tuple[str, bool]:
    """What `rollout status` says of a Deployment, and whether it is done. Raises Refused past the progress deadline."""
    metadata, spec, status = deployment["metadata"], deployment["spec"], deployment.get("status") or {}
    name = metadata["name"]
    if metadata.get("generation", 0) > status.get("observedGeneration", 0):
        return "Waiting for deployment spec update to be observed...", False
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


async def _replica_sets(session: Session, target: Target) -> tuple[Object, list[Object]]:
    """The Deployment and its ReplicaSets, by revision."""
    live = await session.request("GET", target.mapping.path(session.namespace, target.name))
    listed = await session.request(
        "GET",
        f"/apis/apps/v1/namespaces/{session.namespace}/replicasets",
        query={"labelSelector": selector_of(target, live)},
    )
    uid = live["metadata"]["uid"]
    owned = [r for r in listed["items"] if any(o["uid"] == uid for o in r["metadata"].get("ownerReferences") or ())]
    return live, sorted(owned, key=_revision)


def _revision(obj: Object) -> int:
    return int((obj["metadata"].get("annotations") or {}).get(REVISION, "0"))


async def _history(session: Session, options: argparse.Namespace, target: Target) -> None:
    _, sets = await _replica_sets(session, target)
    if options.revision:
        found = next((r for r in sets if _revision(r) == options.revision), None)
        if found is None:
            raise Refused("unable to find the specified revision")
        images = ", ".join(c["image"] for c in found["spec"]["template"]["spec"]["containers"])
        print(f"{target.shown} with revision #{options.revision}\nPod Template:\n  Images:\t{images}")
        return
    print(f"{target.shown} \nREVISION  CHANGE-CAUSE")
    for replica_set in sets:
        cause = (replica_set["metadata"].get("annotations") or {}).get("kubernetes.io/change-cause", "<none>")
        print(f"{_revision(replica_set):<10}{cause}")


async def _undo(session: Session, options: argparse.Namespace, target: Target) -> None:
    live, sets = await _replica_sets(session, target)
    if (live["spec"]).get("paused"):
        raise Refused(
            f'you cannot rollback a paused deployment; resume it first with "kubectl rollout resume {target.shown}" and try again'
        )
    wanted = options.to_revision
    older = [r for r in sets if (_revision(r) == wanted if wanted else _revision(r) < _revision(live))]
    if not older:
        raise Refused(
            f"unable to find specified revision {wanted} in history" if wanted else "no rollout history found"
        )
    template = older[-1]["spec"]["template"]
    (template["metadata"].get("labels") or {}).pop("pod-template-hash", None)
    patch = b'[{"op":"replace","path":"/spec/template","value":%s}]' % _json(template)
    await session.request("PATCH", target.mapping.path(session.namespace, target.name), patch, content_type=JSON_PATCH)
    print(f"{target.shown} rolled back")


def _json(value: object) -> bytes:
    import orjson

    return orjson.dumps(value)


async def _restart(session: Session, options: argparse.Namespace, target: Target) -> None:
    stamp = {"kubectl.kubernetes.io/restartedAt": rfc3339(SystemClock().now())}
    patch = {"spec": {"template": {"metadata": {"annotations": stamp}}}}
    await session.request("PATCH", target.mapping.path(session.namespace, target.name), patch, content_type=STRATEGIC)
    print(f"{target.shown} restarted")


def _pausing(paused: bool) -> Callable[[Session, argparse.Namespace, Target], Awaitable[None]]:
    async def act(session: Session, options: argparse.Namespace, target: Target) -> None:
        patch = {"spec": {"paused": paused or None}}
        await session.request("PATCH", target.mapping.path(session.namespace, target.name), patch, content_type=MERGE)
        print(f"{target.shown} {'paused' if paused else 'resumed'}")

    return act


_ACTIONS: dict[str, Callable[[Session, argparse.Namespace, Target], Awaitable[None]]] = {
    "status": _status,
    "history": _history,
    "undo": _undo,
    "restart": _restart,
    "pause": _pausing(True),
    "resume": _pausing(False),
}

COMMAND = Command(
    help="Manage the rollout of a resource",
    usage="rollout (status|history|undo|restart|pause|resume) deploy/NAME",
    examples="  kubectl rollout status deploy/web\n  kubectl rollout undo deploy/web",
    flags=_flags,
    run=_run,
)
