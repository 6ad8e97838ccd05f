"""What fate does in every world: nodes, processes, requests, watches, Pods. casts.py has what users do with each kind."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

from pybernetes.api.errors import Conflict, NotFound
from pybernetes.api.types import core_v1
from pybernetes.store.protocol import Revision
from tools.soak.worlds.ledger import Obj
from tools.soak.worlds.wire import Trouble
from tools.soak.worlds.world import NODES, STOPPED, World

Action = Callable[[World], Awaitable[None]]

IMAGES = ("one", "two", "three")
HELD = ("pods", "pods", "pods", "nodes", "replicasets", "deployments", "jobs", "cronjobs", "statefulsets", "daemonsets",
        "controllerrevisions", "services", "endpointslices", "persistentvolumeclaims", "namespaces", "configmaps",
        "replicationcontrollers", "secrets", "endpoints", "serviceaccounts", "volumeattachments", "persistentvolumes",
        "poddisruptionbudgets", "horizontalpodautoscalers")  # fmt: skip
"""Resources whose caches are made late; what everybody needs more often."""
KEPT = "soak.example/kept"
"""A finalizer of some: users take it off."""
OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
"""A taint by which users say that nothing runs on a node any more."""
SIDE = "side"
"""The namespace that comes and goes."""
ANNOTATION = "simulated.pybernetes.io/"


def template(app: str, image: str, **said: str) -> dict[str, Any]:
    """A Pod template; `said` are rules of simulated containers, with _ for -."""
    container = {"name": "c", "image": image, "resources": {"requests": {"cpu": "50m"}}}
    annotations = {ANNOTATION + name.replace("_", "-"): text for name, text in said.items()}
    return {"metadata": {"labels": {"app": app}, "annotations": annotations}, "spec": {"containers": [container]}}


def image_of(obj: Obj) -> str:
    """Of a Pod, or of what has a template."""
    spec = obj["spec"]
    spec = spec["template"]["spec"] if "template" in spec else spec
    return str(spec["containers"][0]["image"])


def place(w: World) -> str:
    """A namespace to do something in."""
    side = w.ledger.find("Namespace", "", SIDE)
    return SIDE if side is not None and w.rng.random() < 0.3 else "default"


async def delete_any(w: World, kind: type[Any], name: str, fits: Callable[[Obj], bool] = lambda obj: True) -> None:
    """Any object of a kind, with one of the policies for what it owns."""
    obj = w.pick(name, fits)
    if obj:
        policy = w.rng.choice(("Background", "Background", "Foreground", "Orphan"))
        await w.remove(kind, obj["metadata"]["name"], obj["metadata"]["namespace"], propagationPolicy=policy)


async def change_one(w: World, kind: type[Any], obj: Obj | None, change: Obj) -> None:
    """This object, if there is one."""
    if obj:
        await w.change(kind, obj["metadata"]["name"], change, obj["metadata"]["namespace"])


async def release(w: World, kind: type[Any]) -> None:
    """Takes KEPT off all of a kind."""
    for life in w.ledger.living(kind.__name__):
        meta, revision = life.obj["metadata"], str(life.versions[-1].revision)
        kept = [name for name in meta.get("finalizers", ()) if name != KEPT]
        if len(kept) < len(meta.get("finalizers", ())):
            change = {"metadata": {"finalizers": kept or None, "resourceVersion": revision}}
            with suppress(Conflict, NotFound):
                await w.change(kind, life.name, change, life.namespace)


async def delete_pods(w: World) -> None:
    """Some Pods, some of them by force."""
    pods = w.ledger.all("Pod")
    for pod in w.rng.sample(pods, min(len(pods), w.rng.randrange(4))):
        force = {} if w.rng.random() < 0.6 else {"gracePeriodSeconds": 0}
        await w.remove(core_v1.Pod, pod["metadata"]["name"], pod["metadata"]["namespace"], **force)


async def evict_pod(w: World, fits: Callable[[Obj], bool] = lambda pod: True) -> None:
    """As `kubectl drain` does."""
    pod = w.pick("Pod", fits)
    if pod:
        meta = {"name": pod["metadata"]["name"], "namespace": pod["metadata"]["namespace"]}
        path = w.path(core_v1.Pod, meta["namespace"], meta["name"], "eviction")
        await w.drain.raw("POST", path, {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": meta})


async def relabel_pod(w: World) -> None:
    """A Pod leaves its owner, and is somebody else's or nobody's; users do so to look into a broken Pod."""
    pod = w.pick("Pod")
    if pod:
        other = w.pick("Pod")
        app = "aside" if other is None or w.rng.random() < 0.5 else other["metadata"].get("labels", {}).get("app")
        meta = pod["metadata"]
        await w.change(core_v1.Pod, meta["name"], {"metadata": {"labels": {"app": app}}}, meta["namespace"])


async def lose_node(w: World) -> None:
    """A power cut, or the end of it."""
    name = w.rng.choice(NODES)
    if w.running(name):
        await w.end(name)
    else:
        w.start(name)


async def delete_node(w: World) -> None:
    """A node is taken away for good, as far as its Pods can tell."""
    name = w.rng.choice(NODES)
    if w.running(name):
        await w.end(name)
    await w.remove(core_v1.Node, name, "")


async def cordon_node(w: World) -> None:
    """Or the end of it."""
    node = w.pick("Node")
    if node:
        change = {"spec": {"unschedulable": not node["spec"].get("unschedulable", False)}}
        await w.change(core_v1.Node, node["metadata"]["name"], change, "")


async def taint_node(w: World) -> None:
    """Everything has to leave, or may come back. A taint that goes and comes again meets evictions under way."""
    node = w.pick("Node")
    if node:
        name, taints = node["metadata"]["name"], node["spec"].get("taints") or []
        kept = [taint for taint in taints if taint["key"] != "drain"]
        made = [*kept, {"key": "drain", "value": "now", "effect": "NoExecute"}] if len(kept) == len(taints) else kept
        await w.change(core_v1.Node, name, {"spec": {"taints": made}}, "")


async def restart_controllers(w: World) -> None:
    """kill -9 of the controller manager; sometimes it stays away for a while."""
    if w.running(STOPPED):
        await w.end(STOPPED)
    if w.rng.random() < 0.8:
        w.start(STOPPED)


async def restart_scheduler(w: World) -> None:
    """kill -9 of the scheduler."""
    if w.running("scheduler"):
        await w.end("scheduler")
    if w.rng.random() < 0.8:
        w.start("scheduler")


async def restart_server(w: World) -> None:
    """kill -9 of the API server; the store has everything."""
    await w.server_down()
    await w.clock.sleep(w.rng.choice((0.0, 1.0, 20.0)))
    await w.server_up()


async def compact(w: World) -> None:
    """History is forgotten: who is behind has to list again."""
    await w.store.compact(Revision(max(0, await w.store.revision() - w.rng.choice((0, 3, 30)))))


async def change_trouble(w: World) -> None:
    """How many requests fail, how late they and the caches are, and how often the controllers end."""
    rng = w.rng
    w.trouble = Trouble(
        fail=rng.choice((0.0, 0.0, 0.05, 0.3)),
        slow=rng.choice((0.0, 0.1, 0.5)),
        kill=rng.choice((0.0, 0.03, 0.15)),
        late=rng.choice((0.0, 0.1, 0.5)),
    )


async def hold_caches(w: World) -> None:
    """The controllers hear nothing of some resources for a while, and of the others they do."""
    likely = w.held if w.held and w.rng.random() < 0.6 else HELD
    for resource in w.rng.sample(likely, min(len(likely), w.rng.randrange(1, 4))):
        w.hold(resource, w.rng.choice((1.0, 5.0, 25.0, 25.0)))


async def nothing(w: World) -> None:
    """A moment of peace, and what follows from that."""
    w.trouble = Trouble()


ALWAYS: Sequence[Action] = (
    *[delete_pods] * 2, evict_pod, relabel_pod, *[lose_node] * 2, delete_node, cordon_node, taint_node,
    *[restart_controllers] * 2, restart_scheduler, restart_server, compact, *[change_trouble] * 4, *[hold_caches] * 5,
    nothing,
)  # fmt: skip
