"""Scenarios of controllers as text: what is there, what is late, what happens, what may be written. Files in scenarios/.

    # kubernetes/kubernetes#59848
    A StatefulSet whose cache is late does not delete the live Pod.     the claim: the first line that is no comment

    statefulset db replicas: 2                  made, with a selector and a template; what follows are fields of the spec
    configmap child owner: parent               owned by a ConfigMap, as a `secret` may be; `uid: gone`, `name: x`, `kind: X`,
                                                `from: ns` bend the reference, `blockOwnerDeletion: true` and
                                                `finalizers: [x/y]` are as in the API, also of a Pod
    service web selector: {app: web}            other kinds: the spec as it is
    change statefulset db replicas: 3           a user changes the spec
    roll statefulset db two                     ... its image
    status job j failed: 1                      ... its status
    label pod web-1 app: aside                  ... its labels
    annotate deployment web x/y: "1"            ... its annotations
    delete pod db-1 gracePeriodSeconds: 0       a user deletes; options follow. `-n side` after any name is its namespace
    taint n0 drain                              NoExecute, these and no others
    node n0 dies | node n0 returns | drain n0   its Pods are deleted
    crd broken                                  a kind of two versions whose conversion fails, with an object in side
    stale pods | fresh pods                     the controllers' cache of a resource stands still, and goes on
    next POST pods lost                         the controllers' next such request: lost (its answer), last (they end after it),
                                                late (they end, it is done 30 s later), stale (and what it changes is not seen),
                                                conflict, broken
    restart controllers | end controllers | start controllers
    wait 30                                     seconds
    mark                                        from here on writes are counted, and uids remembered
    writes statefulset-controller Pod 0         so many since the mark; `> 3` for more than
    there Pod 3 app: web                        so many that are not going, with these labels
    same pod db-1 | gone pod db-1 | new pod db-1       since the mark
    says job j succeeded: 2                     fields of the status; of the spec with `wants`
    condition namespace side Ready True
    endpoints web 3 | endpoints web without n0  ready addresses

Every scenario is also held to all rules of the perturbed worlds (tools/soak/worlds).
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import yaml
from tools.soak._faults import Faults
from tools.soak.worlds.actions import template
from tools.soak.worlds.ledger import Obj
from tools.soak.worlds.lives import begin, world_of
from tools.soak.worlds.pods import condition, is_going, labels_of
from tools.soak.worlds.world import World

from pybernetes.aio.simulation import run_simulated
from pybernetes.api.types import apps_v1, batch_v1, core_v1

FOLDER = Path(__file__).parent / "scenarios"

KINDS: Mapping[str, type[Any]] = {
    kind.__name__.lower(): kind
    for kind in (
        core_v1.Pod, core_v1.Service, core_v1.ConfigMap, core_v1.Secret, core_v1.Namespace, core_v1.Node, core_v1.ReplicationController,
        core_v1.PersistentVolumeClaim, apps_v1.Deployment, apps_v1.ReplicaSet, apps_v1.StatefulSet, apps_v1.DaemonSet,
        batch_v1.Job, batch_v1.CronJob,
    )
}  # fmt: skip
CLUSTER = ("namespace", "node")
JOB = {"run_seconds": "5"}


class Scenario:
    """One scenario being played."""

    def __init__(self, w: World) -> None:
        self._w = w
        self._since = 0
        self._writes: dict[tuple[str, str], int] = {}
        self._uids: dict[tuple[str, str, str], str] = {}
        w.ledger.hold("", self._count)

    def _count(self, ledger: Any, write: Any) -> tuple[()]:
        key = write.by.part, write.life.kind
        self._writes[key] = self._writes.get(key, 0) + 1
        return ()

    async def play(self, line: str) -> None:
        """One line. Raises AssertionError."""
        word, _, rest = line.partition(" ")
        if word in KINDS and word != "node":
            await self._make(word, rest)
            return
        step: Callable[[str], Awaitable[None]] = getattr(self, f"_do_{word}")
        await step(rest.strip())

    # --- what is there

    async def _make(self, word: str, rest: str) -> None:
        name, namespace, fields = _parsed(rest)
        kind, meta, spec = KINDS[word], {"name": name}, fields
        if word in ("configmap", "secret"):
            meta["ownerReferences"] = self._owner(fields, namespace)
            meta["finalizers"] = fields.get("finalizers", [])
            await self._w.make(kind, {"metadata": meta}, namespace)
            return
        if word not in ("service", "namespace", "node", "persistentvolumeclaim"):
            spec = _workload(word, name) | fields
        if word == "pod":
            meta["labels"] = {"app": name}
            meta["finalizers"] = spec.pop("finalizers", [])
        await self._w.make(kind, {"metadata": meta, "spec": spec}, "" if word in CLUSTER else namespace)

    def _owner(self, fields: Obj, namespace: str) -> list[Obj]:
        if "owner" not in fields:
            return []
        life = self._w.ledger.find("ConfigMap", fields.get("from", namespace), fields["owner"])
        ref = {"apiVersion": fields.get("apiVersion", "v1"), "kind": fields.get("kind", "ConfigMap")}
        ref["name"] = fields.get("name", fields["owner"])
        ref["uid"] = fields.get("uid") or (life.uid if life else "none")
        ref["blockOwnerDeletion"] = fields.get("blockOwnerDeletion", False)
        return [ref]

    # --- users and fate

    async def _do_change(self, rest: str) -> None:
        word, _, rest = rest.partition(" ")
        name, namespace, fields = _parsed(rest)
        await self._w.change(KINDS[word], name, {"spec": fields}, namespace)

    async def _do_roll(self, rest: str) -> None:
        word, name, image = rest.split()
        made = template(name, image)
        await self._w.change(KINDS[word], name, {"spec": {"template": {"spec": made["spec"]}}})

    async def _do_status(self, rest: str) -> None:
        word, _, rest = rest.partition(" ")
        name, namespace, fields = _parsed(rest)
        await self._w.change(KINDS[word], name, {"status": fields}, namespace, "status")

    async def _do_label(self, rest: str) -> None:
        word, _, rest = rest.partition(" ")
        name, namespace, fields = _parsed(rest)
        await self._w.change(KINDS[word], name, {"metadata": {"labels": fields}}, namespace)

    async def _do_annotate(self, rest: str) -> None:
        word, _, rest = rest.partition(" ")
        name, namespace, fields = _parsed(rest)
        await self._w.change(KINDS[word], name, {"metadata": {"annotations": fields}}, namespace)

    async def _do_delete(self, rest: str) -> None:
        word, _, rest = rest.partition(" ")
        name, namespace, fields = _parsed(rest)
        await self._w.remove(KINDS[word], name, "" if word in CLUSTER else namespace, **fields)

    async def _do_taint(self, rest: str) -> None:
        name, *keys = rest.split()
        taints = [{"key": key, "effect": "NoExecute"} for key in keys]
        await self._w.change(core_v1.Node, name, {"spec": {"taints": taints}}, "")

    async def _do_node(self, rest: str) -> None:
        name, what = rest.split()
        if what == "dies":
            await self._w.end(name)
        else:
            self._w.start(name)

    async def _do_drain(self, rest: str) -> None:
        for pod in self._w.ledger.all("Pod"):
            if pod["spec"].get("nodeName") == rest:
                await self._w.remove(core_v1.Pod, pod["metadata"]["name"], pod["metadata"]["namespace"])

    async def _do_crd(self, rest: str) -> None:
        """A kind of two versions whose conversion fails, with an object in `side`."""
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        schema = {"openAPIV3Schema": {"type": "object"}}
        versions = [{"name": n, "served": True, "storage": n == "v1", "schema": schema} for n in ("v1", "v2")]
        hook = {"clientConfig": {"url": "https://127.0.0.1:1/convert"}, "conversionReviewVersions": ["v1"]}
        spec = {
            "group": "bread.example", "scope": "Namespaced", "versions": versions,
            "names": {"plural": "bakeries", "singular": "bakery", "kind": "Bakery"},
            "conversion": {"strategy": "Webhook", "webhook": hook},
        }  # fmt: skip
        body = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}
        await self._w.client.raw("POST", path, body | {"metadata": {"name": "bakeries.bread.example"}, "spec": spec})
        await self._w.clock.sleep(10)
        made = {"apiVersion": "bread.example/v1", "kind": "Bakery", "metadata": {"name": "b"}}
        await self._w.client.raw("POST", "/apis/bread.example/v1/namespaces/side/bakeries", made)

    async def _do_stale(self, rest: str) -> None:
        self._w.stop(rest)

    async def _do_fresh(self, rest: str) -> None:
        self._w.let_through(rest)

    async def _do_next(self, rest: str) -> None:
        method, resource, what = rest.split()
        self._w.befalls[method, resource] = what

    async def _do_restart(self, rest: str) -> None:
        await self._w.end(rest)
        self._w.start(rest)

    async def _do_end(self, rest: str) -> None:
        await self._w.end(rest)

    async def _do_start(self, rest: str) -> None:
        self._w.start(rest)

    async def _do_wait(self, rest: str) -> None:
        await self._w.clock.sleep(float(rest))

    # --- what is expected

    async def _do_mark(self, rest: str) -> None:
        self._writes.clear()
        lives = (life for life in self._w.ledger.lives.values() if life.gone is None)
        self._uids = {(life.kind.lower(), life.namespace, life.name): life.uid for life in lives}

    async def _do_writes(self, rest: str) -> None:
        part, kind, *wanted = rest.split()
        found = self._writes.get((part, kind), 0)
        holds = found > int(wanted[1]) if wanted[0] == ">" else found == int(wanted[0])
        assert holds, f"{found} writes of {kind} by {part}"

    async def _do_there(self, rest: str) -> None:
        kind, number, rest = [*rest.split(None, 2), ""][:3]
        labels = _fields(rest)
        found = [o for o in self._w.ledger.all(kind) if not is_going(o) and labels.items() <= labels_of(o).items()]
        assert len(found) == int(number), f"{len(found)}: {[o['metadata']['name'] for o in found]}"

    def _uid(self, rest: str) -> tuple[str, str]:
        """As it was at the mark, and as it is."""
        word, _, rest = rest.partition(" ")
        name, namespace, _ = _parsed(rest)
        namespace = "" if word in CLUSTER else namespace
        life = self._w.ledger.find(KINDS[word].__name__, namespace, name)
        return self._uids.get((word, namespace, name), ""), life.uid if life is not None else ""

    async def _do_same(self, rest: str) -> None:
        before, now = self._uid(rest)
        assert before == now != "", f"was {before}, is {now}"

    async def _do_gone(self, rest: str) -> None:
        assert not self._uid(rest)[1], "it is there"

    async def _do_new(self, rest: str) -> None:
        before, now = self._uid(rest)
        assert before != now != "", f"was {before}, is {now}"

    async def _do_says(self, rest: str, part: str = "status") -> None:
        word, _, rest = rest.partition(" ")
        name, namespace, fields = _parsed(rest)
        life = self._w.ledger.find(KINDS[word].__name__, namespace, name)
        assert life is not None, "it is not there"
        told = life.obj.get(part, {})
        found = {key: told.get(key, 0 if value == 0 else None) for key, value in fields.items()}
        assert found == fields, f"{part} is {told}"

    async def _do_condition(self, rest: str) -> None:
        word, name, kind, wanted = rest.split()
        life = self._w.ledger.find(KINDS[word].__name__, "" if word in CLUSTER else "default", name)
        assert life is not None, "it is not there"
        assert condition(life.obj, kind).get("status") == wanted, f"status is {life.obj.get('status')}"

    async def _do_endpoints(self, rest: str) -> None:
        """`NAME number`, or `NAME without NODE`."""
        name, *wanted = rest.split()
        life = self._w.ledger.find("Endpoints", "default", name)
        assert life is not None, "it is not there"
        found = [(a["ip"], a.get("nodeName")) for s in life.obj.get("subsets") or () for a in s.get("addresses") or ()]
        if wanted[0] == "without":
            assert all(node != wanted[1] for _, node in found), f"ready are {found}"
        else:
            assert len(found) == int(wanted[0]), f"ready are {found}"

    async def _do_wants(self, rest: str) -> None:
        await self._do_says(rest, "spec")


def _fields(text: str) -> Obj:
    found: Obj = yaml.safe_load("{" + text + "}")
    return found


def _parsed(rest: str) -> tuple[str, str, Obj]:
    """Name, namespace, fields."""
    name, _, fields = rest.strip().partition(" ")
    namespace = "default"
    if fields.startswith("-n "):
        namespace, _, fields = fields[3:].partition(" ")
    return name, namespace, _fields(fields)


def _workload(word: str, name: str) -> Obj:
    """The spec without which a kind is none."""
    made = template(name, "one", **(JOB if word in ("job", "cronjob") else {}))
    if word == "pod":
        return dict(made["spec"])
    if word == "job":
        made["spec"]["restartPolicy"] = "Never"
        return {"template": made}
    if word == "cronjob":
        made["spec"]["restartPolicy"] = "Never"
        return {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": made}}}
    selector: Obj = {"app": name} if word == "replicationcontroller" else {"matchLabels": {"app": name}}
    service = {"serviceName": name} if word == "statefulset" else {}
    return {"selector": selector, "template": made, **service}


def play(path: Path) -> None:
    """Plays a file. Raises AssertionError with the line."""
    lines = [line for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]

    async def main() -> None:
        w = world_of(1)
        try:
            await begin(w)
            scenario = Scenario(w)
            for line in lines[1:]:
                try:
                    await scenario.play(line)
                except AssertionError as fault:
                    shown = [one for one in w.ledger.log if "/leases/" not in one and "/events/" not in one][-25:]
                    raise AssertionError("\n".join((f"{line!r}: {fault}", *shown))) from fault
            w.check()
        finally:
            await w.close()

    faults = Faults()
    logging.getLogger("pybernetes").addHandler(faults)
    try:
        run_simulated(main())
    finally:
        logging.getLogger("pybernetes").removeHandler(faults)
    assert not faults.found, faults.found[0]
