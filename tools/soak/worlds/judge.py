"""What must be when trouble is over: every kind as its objects say, nothing without its owner, and nobody writes any more."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tools.soak.worlds.actions import image_of
from tools.soak.worlds.attacher import attach, unique_name, volumes_of
from tools.soak.worlds.ledger import Obj, controller_of
from tools.soak.worlds.pods import (
    condition,
    finished,
    is_active,
    is_ended,
    is_going,
    is_ready,
    labels_of,
    replicas_of,
    selects,
)
from tools.soak.worlds.rules_around import (
    MANAGED_BY,
    MIRRORED,
    SERVICE,
    SKIP_MIRROR,
    TOKEN,
    TOKEN_NAME,
    TOKEN_UID,
    places,
)
from tools.soak.worlds.rules_jobs import is_indexed, is_suspended, is_tracked, released
from tools.soak.worlds.rules_sets import _node_of, _ordinals, _wanted_on
from tools.soak.worlds.world import World


def judge(w: World) -> dict[str, int]:
    """Raises AssertionError where the world is not what its objects say; returns figures."""
    for kind in ("Pod", "Service", "ReplicaSet", "ConfigMap", "Secret", "Namespace", *_KINDS):
        for obj in w.ledger.all(kind):
            if kind == "Pod" and _is_kept(w, obj):
                continue
            assert not is_going(obj), f"{kind} {_name(obj)} is still being deleted: {obj['metadata'].get('finalizers')}"
    figures = {}
    for kind, look in _KINDS.items():
        found = w.ledger.all(kind)
        for obj in found:
            assert _observed(obj), f"{kind} {_name(obj)} was not looked at"
            look(w, obj)
        figures[kind if kind.endswith("s") else f"{kind}s"] = len(found)
    pods = w.ledger.all("Pod")
    nodes = {node["metadata"]["name"] for node in w.ledger.all("Node")}
    for pod in pods:
        if not is_ended(pod):
            assert pod["spec"].get("nodeName") in nodes, f"{_name(pod)} is on {pod['spec'].get('nodeName')!r}"
            assert pod["status"]["phase"] == "Running", f"{_name(pod)} is {pod['status']['phase']}"
    _owners(w)
    _quotas(w)
    _tokens(w)
    _disks(w)
    return {"Pods": len(pods), **{name: count for name, count in figures.items() if count}}


def _is_kept(w: World, pod: Obj) -> bool:
    """A failed Pod of an index waits for its successor: of a Job that rests none is made, nor where a quota is used up."""
    job = w.ledger.lives.get(controller_of(pod))
    if job is None or job.kind != "Job" or not is_ended(pod):
        return False
    spec = job.obj["spec"]
    quotas = w.ledger.all("ResourceQuota", job.namespace)
    full = any(q["status"]["used"].get(name) == hard for q in quotas for name, hard in q["spec"]["hard"].items())
    return bool(spec.get("suspend")) or spec.get("parallelism") == 0 or full


def _name(obj: Obj) -> str:
    return f"{obj['metadata'].get('namespace', '')}/{obj['metadata']['name']}"


def _status(obj: Obj, *names: str) -> list[int]:
    return [int(obj.get("status", {}).get(name) or 0) for name in names]


def _observed(obj: Obj) -> bool:
    told = obj.get("status", {}).get("observedGeneration")
    return bool(told is None or told == obj["metadata"].get("generation"))


def _pods_of(w: World, owner: Obj) -> list[Obj]:
    uid = owner["metadata"]["uid"]
    return [pod for pod in w.ledger.all("Pod", owner["metadata"]["namespace"]) if controller_of(pod) == uid]


def _active_of(w: World, owner: Obj) -> list[Obj]:
    pods = [pod for pod in _pods_of(w, owner) if is_active(pod)]
    for pod in pods:
        assert selects(owner, labels_of(pod)), f"{_name(pod)} is not what its owner {_name(owner)} selects"
    return pods


def _refused(obj: Obj) -> bool:
    """Whether it says that a quota keeps it from what it wants."""
    return any("exceeded quota" in c.get("message", "") for c in obj.get("status", {}).get("conditions", ()))


def _is_limited(w: World, obj: Obj) -> bool:
    return bool(w.ledger.all("ResourceQuota", obj["metadata"]["namespace"]))


def _replicas(w: World, owner: Obj) -> None:
    pods, wanted, name = _active_of(w, owner), replicas_of(owner), _name(owner)
    if not _is_limited(w, owner):
        assert len(pods) == wanted, f"{name} wants {wanted} and has {len(pods)} Pods"
        assert not _refused(owner), f"{name} says that it is refused by a quota, and none is there"
    assert len(pods) <= wanted, f"{name} wants {wanted} and has {len(pods)} Pods"
    told = _status(owner, "replicas", "readyReplicas", "availableReplicas")
    assert told == [len(pods)] * 3, f"{name} has {len(pods)} Pods and says {told}"


def _deployment(w: World, d: Obj) -> None:
    uid, name, wanted = d["metadata"]["uid"], _name(d), replicas_of(d)
    sets = [rs for rs in w.ledger.all("ReplicaSet") if controller_of(rs) == uid]
    for rs in sets:
        _replicas(w, rs)
    if _is_limited(w, d):
        return
    if d["spec"].get("paused"):
        return
    told = _status(d, "replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
    assert told == [wanted] * 4, f"{name} wants {wanted} and says {told}"
    current = [rs for rs in sets if _is_of_template(rs, d)]
    assert len(current) == 1, f"{name} has {len(current)} current ReplicaSets"
    for rs in sets:
        size = wanted if rs is current[0] else 0
        assert replicas_of(rs) == size, f"ReplicaSet {_name(rs)} wants {replicas_of(rs)}, not {size}"
    limit = d["spec"].get("revisionHistoryLimit", 10)
    assert len(sets) - 1 <= limit, f"{name} has {len(sets) - 1} old ReplicaSets, {limit} are to be kept"


def _is_of_template(owner: Obj, other: Obj) -> bool:
    return bool(_template(owner) == _template(other))


def _template(obj: Obj) -> Any:
    meta = obj["spec"]["template"].get("metadata", {})
    return image_of(obj), meta.get("annotations") or {}


def _statefulset(w: World, s: Obj) -> None:
    name, wanted = _name(s), [f"{s['metadata']['name']}-{ordinal}" for ordinal in _ordinals(s)]
    pods = sorted(_active_of(w, s), key=lambda pod: str(pod["metadata"]["name"]))
    claims = len(s["spec"].get("volumeClaimTemplates") or ())
    if _is_limited(w, s) or any(_claims(pod) != claims for pod in pods):
        return  # or it has adopted a Pod with other volumes: it says so in events, and can do nothing about it
    assert [pod["metadata"]["name"] for pod in pods] == wanted, f"{name} has not its Pods {wanted}"
    told = _status(s, "replicas", "readyReplicas", "availableReplicas")
    assert told == [len(wanted)] * 3, f"{name} wants {len(wanted)} and says {told}"
    update = s["spec"].get("updateStrategy") or {}
    partition = (update.get("rollingUpdate") or {}).get("partition") or 0
    if update.get("type") != "OnDelete":
        for pod in pods[partition:]:
            assert image_of(pod) == image_of(s), f"{_name(pod)} was not updated"
        if not partition:
            status = s["status"]
            assert status["currentRevision"] == status["updateRevision"], f"{name} does not end its update"


def _claims(pod: Obj) -> int:
    return sum("persistentVolumeClaim" in volume for volume in pod["spec"].get("volumes") or ())


def _daemonset(w: World, ds: Obj) -> None:
    name, nodes = _name(ds), [n for n in w.ledger.all("Node") if _wanted_on(ds, n)]
    pods = _active_of(w, ds)
    if _is_limited(w, ds):
        return
    wanted = sorted(n["metadata"]["name"] for n in nodes)
    there = sorted(_node_of(pod) for pod in pods)
    assert there == wanted, f"{name} has Pods on {there}, not {wanted}"
    told = _status(ds, "desiredNumberScheduled", "currentNumberScheduled", "numberReady", "numberAvailable")
    assert told == [len(wanted)] * 4, f"{name} wants {len(wanted)} and says {told}"
    if (ds["spec"].get("updateStrategy") or {}).get("type") != "OnDelete":
        for pod in pods:
            assert image_of(pod) == image_of(ds), f"{_name(pod)} was not updated"


def _job(w: World, job: Obj) -> None:
    name, pods, status = _name(job), _pods_of(w, job), job.get("status", {})
    limited = _is_limited(w, job)
    for pod in pods:
        assert not (is_tracked(pod) and is_ended(pod)) or not finished(job), f"{_name(pod)} keeps its finalizer"
    if is_suspended(job) or job["spec"].get("suspend"):
        assert not [p for p in pods if is_active(p)] or finished(job), f"{name} is suspended and has active Pods"
    elif job["spec"].get("parallelism", 1) and not limited:
        assert finished(job), f"{name} has not ended: {status}"
    if finished(job) == "Complete":
        succeeded, completions = int(status.get("succeeded", 0)), job["spec"].get("completions", 1)
        assert succeeded >= completions, f"{name} is complete, and says {succeeded} of {completions}"
    life = w.ledger.lives[job["metadata"]["uid"]]
    if not is_indexed(job):
        done = released(w.ledger, life, "Succeeded")
        late = any(pod.versions[0].by.late for pod in w.ledger.owned(life.uid, "Pod"))  # perhaps after its end
        assert late or int(status.get("succeeded", 0)) == done, (
            f"{name} says {status.get('succeeded')} succeeded, {done} have"
        )
    waiting = status.get("uncountedTerminatedPods") or {}
    assert not any(waiting.values()), f"{name} does not count {waiting}"
    active = len([pod for pod in pods if is_active(pod)])
    assert finished(job) or int(status.get("active", 0)) == active, f"{name} says {status.get('active')} are active"


def _cronjob(w: World, cron: Obj) -> None:
    uid, name = cron["metadata"]["uid"], _name(cron)
    jobs = [job for job in w.ledger.all("Job") if controller_of(job) == uid]
    going = sorted(job["metadata"]["uid"] for job in jobs if not finished(job))
    told = sorted(ref["uid"] for ref in cron.get("status", {}).get("active") or ())
    assert told == going, f"{name} says that {told} go on, and {going} do"
    for end, limit in (("Complete", "successfulJobsHistoryLimit"), ("Failed", "failedJobsHistoryLimit")):
        kept = sum(finished(job) == end for job in jobs)
        assert kept <= cron["spec"][limit], f"{name} keeps {kept} Jobs that are {end}"


def _autoscaler(w: World, hpa: Obj) -> None:
    """Its Deployment has what is asked for, within bounds, unless somebody put it at zero."""
    name, spec = _name(hpa), hpa["spec"]
    target = w.ledger.find("Deployment", hpa["metadata"]["namespace"], spec["scaleTargetRef"]["name"])
    if target is None or not replicas_of(target.obj):
        return
    wanted = min(max(w.demand, spec["minReplicas"]), spec["maxReplicas"])
    found = replicas_of(target.obj)
    assert spec["minReplicas"] <= found <= spec["maxReplicas"], f"{name} lets {target} want {found}"
    if not _is_limited(w, hpa):
        assert found == wanted, f"{name} is asked for {w.demand}, and {target} wants {found}"
        assert _status(hpa, "currentReplicas", "desiredReplicas") == [found] * 2, (
            f"{name} says something else than {found}"
        )


def _service(w: World, service: Obj) -> None:
    meta, selector = service["metadata"], service["spec"].get("selector")
    if not selector or meta["name"] == "kubernetes":
        return
    name, everything = _name(service), service["spec"].get("publishNotReadyAddresses")
    pods = [p for p in w.ledger.all("Pod", meta["namespace"]) if selects(service, labels_of(p)) and not is_ended(p)]
    wanted = sorted(p["status"]["podIP"] for p in pods if is_ready(p) or everything)
    endpoints = w.ledger.find("Endpoints", meta["namespace"], meta["name"])
    assert endpoints is not None, f"{name} has no Endpoints"
    told = sorted(a["ip"] for s in endpoints.obj.get("subsets") or () for a in s.get("addresses") or ())
    assert told == wanted, f"the Endpoints of {name} are {told}, its ready Pods {wanted}"
    sliced = []
    for piece in w.ledger.all("EndpointSlice", meta["namespace"]):
        if labels_of(piece).get(SERVICE) == meta["name"]:
            for endpoint in piece.get("endpoints") or ():
                if (endpoint.get("conditions") or {}).get("ready") is not False:
                    sliced += endpoint["addresses"]
    assert sorted(sliced) == wanted, f"the EndpointSlices of {name} have {sorted(sliced)}, its ready Pods {wanted}"


def _budget(w: World, budget: Obj) -> None:
    name, status = _name(budget), budget.get("status", {})
    pods = [p for p in w.ledger.all("Pod", budget["metadata"]["namespace"]) if selects(budget, labels_of(p))]
    healthy = [p for p in pods if is_ready(p)]
    if condition(budget, "DisruptionAllowed").get("reason") == "SyncFailed":
        assert not status.get("disruptionsAllowed"), f"{name} cannot count, and allows disruptions"
        return
    told, least = int(status.get("currentHealthy", 0)), int(status.get("desiredHealthy", 0))
    assert told == len(healthy), f"{name} says that {told} are healthy, {len(healthy)} are"
    allowed = int(status.get("disruptionsAllowed", 0))
    assert allowed in (0, max(0, told - least)), f"{name} allows {allowed}: {status}"
    assert not status.get("disruptedPods"), f"{name} waits for {status['disruptedPods']}"


def _owners(w: World) -> None:
    """Nothing has a controller that is gone; nobody's Pods are those that nobody selects; endpoints belong to services."""
    live = {life.uid for life in w.ledger.lives.values() if life.gone is None}
    for kind in ("Pod", "ReplicaSet", "Job", "ControllerRevision", "ConfigMap", "Secret", "EndpointSlice"):
        for life in w.ledger.living(kind):
            refs = life.obj["metadata"].get("ownerReferences") or ()
            lost = [ref for ref in refs if ref["uid"] not in live and ref["kind"] != "Unknown"]
            assert not lost or len(lost) < len(refs), f"{life} was not collected: its owners {lost} are gone"
    for pod in w.ledger.all("Pod"):
        if not controller_of(pod) and is_active(pod):
            claims = [
                _name(owner) for kind in ("ReplicaSet", "ReplicationController", "DaemonSet")
                for owner in w.ledger.all(kind, pod["metadata"]["namespace"]) if selects(owner, labels_of(pod))
            ]  # fmt: skip
            assert not claims, f"{_name(pod)} has no owner, and {claims} select it"
    services = {(s["metadata"]["namespace"], s["metadata"]["name"]) for s in w.ledger.all("Service")}
    for life in (*w.ledger.living("Endpoints"), *w.ledger.living("EndpointSlice")):
        if life.versions[0].by.part == "user":
            continue
        name = labels_of(life.obj).get(SERVICE, life.name) if life.kind == "EndpointSlice" else life.name
        assert (life.namespace, name) in services, f"{life} is of no Service"


def _quotas(w: World) -> None:
    """What quotas say is used is what is there."""
    for quota in w.ledger.all("ResourceQuota"):
        namespace = quota["metadata"]["namespace"]
        pods = [pod for pod in w.ledger.all("Pod", namespace) if not is_ended(pod)]
        used = (quota.get("status") or {}).get("used") or {}
        wanted = {"pods": str(len(pods)), "count/configmaps": str(len(w.ledger.all("ConfigMap", namespace)))}
        assert used == wanted, f"quota {_name(quota)} says {used}, and {wanted} are there"


def _tokens(w: World) -> None:
    """Secrets that asked for a token have one, of an account that is there."""
    for secret in w.ledger.all("Secret"):
        if secret.get("type") != TOKEN:
            continue
        name, said = _name(secret), secret["metadata"].get("annotations") or {}
        account = w.ledger.find("ServiceAccount", secret["metadata"]["namespace"], said.get(TOKEN_NAME, ""))
        assert account is not None, f"Secret {name} is there, and its account {said.get(TOKEN_NAME)} is not"
        assert said.get(TOKEN_UID) == account.uid, f"Secret {name} is of another account of the name {account.name}"
        assert (secret.get("data") or {}).get("token"), f"Secret {name} has no token"


def _disks(w: World) -> None:
    """What is attached is where Pods use it, and noted there; a disk of Pods on several nodes is at one of them."""
    if not w.running(attach.__name__):
        return
    nodes = {node["metadata"]["name"]: node for node in w.ledger.all("Node")}
    used = {(name, volume) for name in nodes for volume in volumes_of(w, name)}
    wishes = w.ledger.all("VolumeAttachment")
    attached = {(wish["spec"]["nodeName"], str(wish["spec"]["source"]["persistentVolumeName"])) for wish in wishes}
    volumes = {volume for _, volume in used}
    assert attached <= used, f"attached are {sorted(attached - used)}, which no Pod uses"
    assert {volume for _, volume in attached} == volumes, f"used are {sorted(volumes)}, attached {sorted(attached)}"
    assert len(attached) == len(volumes), f"a disk is at several nodes: {sorted(attached)}"
    for name, node in nodes.items():
        told = {one["name"] for one in node["status"].get("volumesAttached") or ()}
        wanted = {unique_name(volume) for where, volume in attached if where == name}
        assert told == wanted, f"node {name} hears that {sorted(told)} are attached, and {sorted(wanted)} are"
    assert w.mounted == attached, f"mounted are {sorted(w.mounted)}, attached {sorted(attached)}"


def _mirror(w: World, endpoints: Obj) -> None:
    """Slices have what users' Endpoints have, where a Service without selector wants them; nothing twice."""
    meta = endpoints["metadata"]
    service = w.ledger.find("Service", meta["namespace"], meta["name"])
    if meta["name"] == "kubernetes":
        return
    wanted = set()
    if (
        service is not None
        and not service.obj["spec"].get("selector")
        and labels_of(endpoints).get(SKIP_MIRROR) != "true"
    ):
        wanted = {
            (address["ip"], port["port"], part == "addresses")
            for subset in endpoints.get("subsets") or () for part in ("addresses", "notReadyAddresses")
            for address in subset.get(part) or () for port in subset["ports"]
        }  # fmt: skip
    pieces = [
        piece for piece in w.ledger.all("EndpointSlice", meta["namespace"])
        if labels_of(piece).get(SERVICE) == meta["name"] and labels_of(piece).get(MANAGED_BY) == MIRRORED
    ]  # fmt: skip
    found = [place for piece in pieces for place in places(piece)]
    assert sorted(found) == sorted(wanted), (
        f"the mirror of {_name(endpoints)} has {sorted(found)}, not {sorted(wanted)}"
    )


Look = Callable[[World, Obj], None]
_KINDS: Mapping[str, Look] = {
    "ReplicationController": _replicas, "Deployment": _deployment, "StatefulSet": _statefulset,
    "DaemonSet": _daemonset, "Job": _job, "CronJob": _cronjob, "Service": _service,
    "PodDisruptionBudget": _budget, "Endpoints": _mirror, "HorizontalPodAutoscaler": _autoscaler,
}  # fmt: skip
KINDS: Sequence[str] = tuple(_KINDS)
