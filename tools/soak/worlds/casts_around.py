"""What users do around workloads: Services and endpoints of their own, owners, tokens, namespaces, quotas, budgets, autoscalers."""

from contextlib import suppress
from typing import Any

from pybernetes.api.errors import ApiError
from pybernetes.api.types import autoscaling_v2, core_v1, policy_v1
from tools.soak.worlds.actions import KEPT, SIDE, change_one, delete_any, evict_pod, place, release
from tools.soak.worlds.ledger import Obj
from tools.soak.worlds.pods import is_going, labels_of, selects
from tools.soak.worlds.rules_around import SKIP_MIRROR, TOKEN, TOKEN_NAME, TOKEN_UID
from tools.soak.worlds.world import World

# --- Services


def _app(w: World) -> str:
    pod = w.pick("Pod")
    return str((pod or {}).get("metadata", {}).get("labels", {}).get("app", "a0"))


async def create_service(w: World) -> None:
    name = w.rng.choice(("s0", "s1"))
    spec = {"selector": {"app": _app(w)}, "ports": [{"port": 80}], "publishNotReadyAddresses": w.rng.random() < 0.2}
    await w.make(core_v1.Service, {"metadata": {"name": name}, "spec": spec}, place(w))


def _ours(service: Obj) -> bool:
    return str(service["metadata"]["name"]) != "kubernetes"


async def point_service(w: World) -> None:
    """The Service gets another app, or no selector."""
    selector = {"app": _app(w)} if w.rng.random() < 0.8 else None
    await change_one(w, core_v1.Service, w.pick("Service", _ours), {"spec": {"selector": selector}})


async def delete_service(w: World) -> None:
    obj = w.pick("Service", _ours)
    if obj:
        await w.remove(core_v1.Service, obj["metadata"]["name"], obj["metadata"]["namespace"])


# --- Endpoints that users keep


ADDRESSES = ("10.9.0.1", "10.9.0.2", "10.9.0.3", "10.9.0.4", "fd00::9")


def _subsets(w: World) -> list[Obj]:
    rng = w.rng
    made = []
    for port in rng.sample((80, 81, 82), rng.choice((0, 1, 1, 2))):
        found = rng.sample(ADDRESSES, rng.randrange(1, 4))
        ready = rng.randrange(len(found) + 1)
        subset: Obj = {"ports": [{"port": port}]}
        for part, some in (("addresses", found[:ready]), ("notReadyAddresses", found[ready:])):
            if some:
                subset[part] = [{"ip": ip} for ip in some]
        made.append(subset)
    return made


def _kept_by_users(endpoints: Obj) -> bool:
    return str(endpoints["metadata"]["name"]).startswith("e")


async def create_mirrored(w: World) -> None:
    """A Service without a selector, and its Endpoints; either may come first, or alone."""
    name, where = w.rng.choice(("e0", "e1")), place(w)
    made: list[tuple[type[Any], Obj]] = [
        (core_v1.Service, {"spec": {"ports": [{"port": 80}]}}),
        (core_v1.Endpoints, {"subsets": _subsets(w)}),
    ]  # fmt: skip
    w.rng.shuffle(made)
    for kind, content in made if w.rng.random() < 0.8 else made[:1]:
        with suppress(ApiError):
            await w.make(kind, {"metadata": {"name": name}, **content}, where)


async def change_endpoints(w: World) -> None:
    """Other addresses; or a word that no slices are wanted, or are again."""
    change: Obj = {"subsets": _subsets(w)}
    if w.rng.random() < 0.2:
        change = {"metadata": {"labels": {SKIP_MIRROR: w.rng.choice(("true", None))}}}
    await change_one(w, core_v1.Endpoints, w.pick("Endpoints", _kept_by_users), change)


async def delete_endpoints(w: World) -> None:
    await delete_any(w, core_v1.Endpoints, "Endpoints", _kept_by_users)


# --- what owns and is owned


async def create_owned(w: World) -> None:
    """A ConfigMap or Secret that hangs on one or two ConfigMaps: that are there, that were, or with a wrong name."""
    there = w.ledger.all("ConfigMap", "default")
    refs = []
    for owner in w.rng.sample(there, min(len(there), w.rng.choice((0, 1, 2)))):
        ref = _reference(owner)
        if w.rng.random() < 0.15:
            ref["name"] = "wrong"
        if w.rng.random() < 0.4:
            ref["blockOwnerDeletion"] = True
        refs.append(ref)
    if w.rng.random() < 0.2:
        for ref in refs:
            ref.pop("blockOwnerDeletion", None)  # it can never be collected: its owners would wait for ever
        refs.append({"apiVersion": "nobody.example/v1", "kind": "Unknown", "name": "x", "uid": f"u{w.rng.random()}"})
    await w.make(
        w.rng.choice((core_v1.ConfigMap, core_v1.Secret)), {"metadata": {**_named(w), "ownerReferences": refs}}
    )


def _reference(owner: Obj) -> Obj:
    meta = owner["metadata"]
    return {"apiVersion": "v1", "kind": "ConfigMap", "name": meta["name"], "uid": meta["uid"]}


def _named(w: World) -> Obj:
    """Some stay for a while when they are deleted."""
    return {"name": f"m{w.rng.randrange(8)}", **({"finalizers": [KEPT]} if w.rng.random() < 0.15 else {})}


async def create_family(w: World) -> None:
    """An owner and, at once, two that hang on it; the first may name it wrongly."""
    with suppress(ApiError):
        await w.make(core_v1.ConfigMap, {"metadata": {"name": f"m{w.rng.randrange(8)}"}})
    there = w.ledger.living("ConfigMap")
    owner = max(there, key=lambda life: life.versions[0].revision)  # it, or what came last
    if owner.namespace != "default":
        return
    for wrong in (w.rng.random() < 0.5, False):
        ref = _reference(owner.obj) | ({"name": "wrong"} if wrong else {"blockOwnerDeletion": w.rng.random() < 0.5})
        made = {"metadata": {**_named(w), "ownerReferences": [ref]}}
        with suppress(ApiError):
            await w.make(w.rng.choice((core_v1.ConfigMap, core_v1.Secret, core_v1.Secret, core_v1.Secret)), made)
        await w.clock.sleep(w.rng.choice((0.0, 0.5)))


def _is_ours(obj: Obj) -> bool:
    return str(obj["metadata"]["name"]).startswith("m")


async def delete_owner(w: World) -> None:
    """Perhaps once more, in another way: who waits for its dependents may be told to let them go."""
    obj = w.pick("ConfigMap", lambda obj: _is_ours(obj) and is_going(obj)) if w.rng.random() < 0.3 else None
    obj = obj or w.pick("ConfigMap", _is_ours)
    if obj:
        policy = w.rng.choice(("Background", "Foreground", "Orphan"))
        await w.remove(core_v1.ConfigMap, obj["metadata"]["name"], propagationPolicy=policy)


async def let_go(w: World) -> None:
    """What was kept may go."""
    await release(w, w.rng.choice((core_v1.ConfigMap, core_v1.Secret)))


# --- tokens


async def create_account(w: World) -> None:
    await w.make(core_v1.ServiceAccount, {"metadata": {"name": w.rng.choice(("u0", "u1"))}})


async def create_token(w: World) -> None:
    """Of an account that is there, or not; some name its uid, which may be that of an earlier one."""
    account = w.rng.choice(("u0", "u1"))
    if w.rng.random() < 0.4 and w.ledger.find("ServiceAccount", "default", account) is None:
        await w.make(core_v1.ServiceAccount, {"metadata": {"name": account}})
        await w.clock.sleep(w.rng.choice((0.0, 8.0)))
    said = {TOKEN_NAME: account}
    was = [life for life in w.ledger.lives.values() if life.kind == "ServiceAccount" and life.name == account]
    if was and w.rng.random() < 0.4:
        said[TOKEN_UID] = w.rng.choice(was).uid
    meta = {"name": f"k{w.rng.randrange(4)}", "annotations": said}
    await w.make(core_v1.Secret, {"metadata": meta, "type": TOKEN})


async def delete_account(w: World) -> None:
    """Perhaps to be made again at once."""
    obj = w.pick("ServiceAccount", lambda obj: str(obj["metadata"]["name"]).startswith("u"))
    if obj:
        await w.remove(core_v1.ServiceAccount, obj["metadata"]["name"])
        if w.rng.random() < 0.5:
            await w.make(core_v1.ServiceAccount, {"metadata": {"name": obj["metadata"]["name"]}})


async def delete_token(w: World) -> None:
    await delete_any(w, core_v1.Secret, "Secret", lambda obj: obj.get("type") == TOKEN)


# --- namespaces and quotas


async def create_side(w: World) -> None:
    await w.make(core_v1.Namespace, {"metadata": {"name": SIDE}}, "")


async def delete_side(w: World) -> None:
    """With all that is in it."""
    await w.remove(core_v1.Namespace, SIDE, "")


async def create_quota(w: World) -> None:
    spec = {"hard": {"pods": str(w.rng.choice((3, 6, 12))), "count/configmaps": "6"}}
    await w.make(core_v1.ResourceQuota, {"metadata": {"name": "q"}, "spec": spec}, place(w))


async def change_quota(w: World) -> None:
    change = {"spec": {"hard": {"pods": str(w.rng.choice((2, 5, 10)))}}}
    await change_one(w, core_v1.ResourceQuota, w.pick("ResourceQuota"), change)


async def delete_quota(w: World) -> None:
    obj = w.pick("ResourceQuota")
    if obj:
        await w.remove(core_v1.ResourceQuota, obj["metadata"]["name"], obj["metadata"]["namespace"])


# --- budgets


async def create_budget(w: World) -> None:
    """For an app that is there, in numbers or percentages."""
    pod = w.pick("Pod")
    if pod:
        limit = w.rng.choice(
            ({"minAvailable": 1}, {"minAvailable": "60%"}, {"maxUnavailable": 1}, {"maxUnavailable": "30%"})
        )
        app = (pod["metadata"].get("labels") or {}).get("app", "a0")
        spec = {"selector": {"matchLabels": {"app": app}}, **limit}
        made = {"metadata": {"name": f"b{w.rng.randrange(2)}"}, "spec": spec}
        await w.make(policy_v1.PodDisruptionBudget, made, pod["metadata"]["namespace"])


async def drain(w: World) -> None:
    """Evicts Pod after Pod of one budget or of any, as far as budgets allow."""
    budget = w.pick("PodDisruptionBudget")
    for _ in range(4):
        with suppress(ApiError):
            await evict_pod(w, lambda pod: budget is None or selects(budget, labels_of(pod)))
        await w.clock.sleep(w.rng.choice((0.0, 0.0, 0.5, 2.0)))


async def delete_budget(w: World) -> None:
    obj = w.pick("PodDisruptionBudget")
    if obj:
        await w.remove(policy_v1.PodDisruptionBudget, obj["metadata"]["name"], obj["metadata"]["namespace"])


# --- autoscalers


def _bounds(w: World) -> Obj:
    least = w.rng.randrange(1, 5)
    return {"minReplicas": least, "maxReplicas": least + w.rng.randrange(4)}


async def create_autoscaler(w: World) -> None:
    """Of a Deployment that is there or not, with its name: two of one Deployment would pull it to and fro for ever."""
    app = w.rng.choice(("a0", "a1", "a2"))
    target = {"type": "AverageValue", "averageValue": "1"}
    spec = {
        **_bounds(w), "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": app},
        "metrics": [{"type": "External", "external": {"metric": {"name": "demand"}, "target": target}}],
    }  # fmt: skip
    if w.rng.random() < 0.5:
        rules = {"stabilizationWindowSeconds": w.rng.choice((0, 60)), "selectPolicy": w.rng.choice(("Max", "Min"))}
        spec["behavior"] = {"scaleUp": rules, "scaleDown": rules}
    await w.make(autoscaling_v2.HorizontalPodAutoscaler, {"metadata": {"name": app}, "spec": spec}, place(w))


async def bound_autoscaler(w: World) -> None:
    obj = w.pick("HorizontalPodAutoscaler")
    await change_one(w, autoscaling_v2.HorizontalPodAutoscaler, obj, {"spec": _bounds(w)})


async def change_demand(w: World) -> None:
    w.demand = w.rng.randrange(9)


async def delete_autoscaler(w: World) -> None:
    await delete_any(w, autoscaling_v2.HorizontalPodAutoscaler, "HorizontalPodAutoscaler")
