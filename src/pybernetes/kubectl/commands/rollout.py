"""kubectl rollout: status, history, restart and undo of Deployments, DaemonSets and StatefulSets; pause and resume."""

import argparse
import asyncio
from collections.abc import Awaitable, Callable

from pybernetes.aio.clock import SystemClock, rfc3339
from pybernetes.api.objects import Object
from pybernetes.kubectl.command import Command, Refused
from pybernetes.kubectl.durations import seconds
from pybernetes.kubectl.flags import Flags
from pybernetes.kubectl.pods import selector_of
from pybernetes.kubectl.rollouts import KINDS, history, number, owned, progress, template_of
from pybernetes.kubectl.session import JSON_PATCH, MERGE, STRATEGIC, Session
from pybernetes.kubectl.targets import Target, resource_targets


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
        if target.mapping.plural not in KINDS:
            raise Refused(f"no rollout {action} is known for {target.mapping.shown}: it is for {', '.join(KINDS)}")
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
                text, done = progress(target.mapping.plural, live)
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
                    now, done = progress(target.mapping.plural, event["object"])
                    if now != text or done:
                        print(now, flush=True)
                        text = now
                    if done:
                        return
    except TimeoutError as error:
        raise Refused("timed out waiting for the condition") from error


async def _revisions(session: Session, target: Target) -> tuple[Object, list[Object]]:
    """The object and what it once looked like, oldest first."""
    live = await session.request("GET", target.mapping.path(session.namespace, target.name))
    plural = "replicasets" if _is_deployment(target) else "controllerrevisions"
    listed = await session.request(
        "GET",
        f"/apis/apps/v1/namespaces/{session.namespace}/{plural}",
        query={"labelSelector": selector_of(target, live)},
    )
    return live, owned(live, listed["items"])


def _is_deployment(target: Target) -> bool:
    return target.mapping.plural == "deployments"


async def _history(session: Session, options: argparse.Namespace, target: Target) -> None:
    _, revisions = await _revisions(session, target)
    if not options.revision:
        print(history(target.shown, revisions))
        return
    found = next((r for r in revisions if number(r) == options.revision), None)
    if found is None:
        raise Refused("unable to find the specified revision")
    images = ", ".join(c["image"] for c in template_of(found)["spec"]["containers"])
    print(f"{target.shown} with revision #{options.revision}\nPod Template:\n  Images:\t{images}")


async def _undo(session: Session, options: argparse.Namespace, target: Target) -> None:
    live, revisions = await _revisions(session, target)
    if (live["spec"]).get("paused"):
        raise Refused(
            f'you cannot rollback a paused deployment; resume it first with "kubectl rollout resume {target.shown}" and try again'
        )
    wanted = options.to_revision
    newest = number(live) if _is_deployment(target) else max((number(r) for r in revisions), default=0)
    older = [r for r in revisions if (number(r) == wanted if wanted else number(r) < newest)]
    if not older:
        raise Refused(
            f"unable to find specified revision {wanted} in history" if wanted else "no rollout history found"
        )
    template = template_of(older[-1])
    if template == live["spec"]["template"]:
        print(f"{target.shown} skipped rollback (current template already matches revision {number(older[-1])})")
        return
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
        if not _is_deployment(target):
            raise Refused(
                f'{target.mapping.shown} "{target.name}" {"pausing" if paused else "resuming"} is not supported'
            )
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
    usage="rollout (status|history|undo|restart|pause|resume) TYPE/NAME",
    examples="  kubectl rollout status deploy/web\n  kubectl rollout undo deploy/web",
    flags=_flags,
    run=_run,
)
