"""What each plugin does, as scenarios (scenario.py says how to read them)."""

from collections.abc import Iterable

import numpy as np
import pytest
from tests.unit.scheduler.scenario import run

from pybernetes.scheduler.framework import Cycle, NodeView, Plugin, Rejected
from pybernetes.scheduler.loop import plugins

SCENARIOS = {
    "a pod that is too big is refused everywhere": """
        nodes 2 cpu=4
        pod big cpu=5
        ---
        big: unschedulable (2 Insufficient cpu)""",
    "every lacking resource is named": """
        nodes 1 cpu=1 memory=1Gi
        pod big cpu=2 memory=2Gi example.com/gpu=1
        ---
        big: unschedulable (1 Insufficient cpu, 1 Insufficient example.com/gpu, 1 Insufficient memory)""",
    "what pods took is no longer free": """
        nodes 2 cpu=4
        pod there cpu=3 on=n1
        pod next cpu=2
        ---
        next: n2""",
    "a node takes no more pods than it says": """
        nodes 1 pods=1
        pod there on=n1
        pod next
        ---
        next: unschedulable (1 Too many pods)""",
    "a feature must be declared": """
        nodes 2
        node new declares=RestartAllContainersOnContainerExits
        node other declares=SomethingElse
        pod plain restarts=Restart select=kubernetes.io/hostname=n1
        pod needs restarts=RestartAllContainers x2
        ---
        plain: n1
        needs: 2""",
    "without the feature nowhere": """
        nodes 2
        pod needs restarts=RestartAllContainers
        ---
        needs: unschedulable (2 node declared features check failed"""
    """ - unsatisfied requirements: RestartAllContainersOnContainerExits)""",
    "nobody allocates devices": """
        nodes 2
        pod plain
        pod asks claims=gpu
        ---
        plain: n1 or n2
        asks: unschedulable (2 cannot allocate all claims)""",
    "without nodes": """
        pod lonely
        ---
        lonely: unschedulable (no nodes available to schedule pods)""",
    "each node gives the reason of the first plugin that refuses it": """
        nodes 1 cpu=1
        node master cpu=1 taint=node-role.kubernetes.io/control-plane=:NoSchedule
        node closed cordoned
        pod big cpu=2
        ---
        big: unschedulable (1 Insufficient cpu, 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable)""",
    "a toleration opens a tainted node": """
        node master taint=k=v:NoSchedule
        pod normal
        pod special tolerate=k
        ---
        normal: unschedulable (1 node(s) had untolerated taint(s))
        special: master""",
    "soft taints are avoided but not forbidden": """
        node soft cpu=64 memory=64Gi taint=k=v:PreferNoSchedule
        node plain cpu=2
        pod first cpu=2 prio=2
        pod second cpu=2 prio=1
        ---
        first: plain
        second: soft""",
    "a cordoned node is open to those that tolerate it": """
        node closed cordoned
        pod daemon tolerate=node.kubernetes.io/unschedulable
        ---
        daemon: closed""",
    "a pod that names a node goes nowhere else": """
        nodes 3
        pod picky wants=n2
        pod lost wants=gone
        ---
        picky: n2
        lost: unschedulable (3 node(s) didn't match the requested node name)""",
    "node selectors": """
        nodes 2
        node fast disk=ssd
        pod quick select=disk=ssd
        pod none select=disk=tape
        ---
        quick: fast
        none: unschedulable (3 node(s) didn't match Pod's node affinity/selector)""",
    "node affinity": """
        node a zone=a size=5
        node b zone=b size=50
        node c
        pod in affinity=topology.kubernetes.io/zone~In~b,x
        pod notin affinity=topology.kubernetes.io/zone~NotIn~a,b
        pod exists affinity=size~Gt~7
        pod less affinity=size~Lt~7
        pod absent affinity=size~DoesNotExist
        pod named affinity=@~In~c
        pod either affinity=size~Gt~100|@~In~a
        pod never affinity=size~Gt~100
        ---
        in: b
        notin: c
        exists: b
        less: a
        absent: c
        named: c
        either: a
        never: unschedulable (3 node(s) didn't match Pod's node affinity/selector)""",
    "preferred affinity decides among nodes that fit": """
        nodes 3
        node liked cpu=3 disk=ssd
        pod wishful prefer=disk~In~ssd
        ---
        wishful: liked""",
    "a host port is taken once a node": """
        nodes 2
        pod web port=:80 x2 prio=1
        pod late port=:80
        pod other port=:81
        ---
        web: 1 1
        late: unschedulable (2 node(s) didn't have free ports for the requested pod ports)""",
    "host ports of different addresses do not clash": """
        nodes 1
        pod a port=127.0.0.1:80 on=n1
        pod b port=127.0.0.2:80
        pod c port=0.0.0.0:80
        ---
        b: n1
        c: unschedulable (1 node(s) didn't have free ports for the requested pod ports)""",
    "the least allocated node is best": """
        nodes 3 cpu=4
        pod a cpu=2 on=n1
        pod b cpu=1 on=n2
        pod next cpu=1
        ---
        next: n3""",
    "pods that request nothing spread all the same": """
        nodes 3
        pod web x9
        ---
        web: 3 3 3""",
    "balance decides between equally full nodes": """
        nodes 2 cpu=4 memory=4Gi
        pod cpu cpu=2 on=n1
        pod mem memory=2Gi on=n2
        pod next cpu=1
        ---
        next: n2""",
    "replicas spread over nodes of different sizes": """
        node master taint=k=:NoSchedule
        node small cpu=4
        node large cpu=64 memory=64Gi
        pod web cpu=100m of=rs x4
        ---
        web: 2 2""",
    "replicas spread over zones first": """
        nodes 3 zone=a
        nodes 1 zone=b
        pod web cpu=100m of=rs x2
        pod probe of=rs select=topology.kubernetes.io/zone=b
        ---
        web: 1 1""",
    "a spread constraint keeps zones even": """
        nodes 3 zone=a
        node b zone=b cpu=2
        pod web label=app=web spread=app=web@zone@1 cpu=1 x5
        ---
        web: zones 3 2""",
    "a spread constraint that cannot be met stops": """
        node a zone=a cpu=8
        node b zone=b cpu=1
        node nozone
        pod web label=app=web spread=app=web@zone@1 cpu=1 x3 prio=2
        pod last label=app=web spread=app=web@zone@1 cpu=1
        ---
        web: 2 1
        last: unschedulable (1 Insufficient cpu, 1 node(s) didn't match pod topology spread constraints, """
    """1 node(s) didn't match pod topology spread constraints (missing required label))""",
    "too few domains count as empty ones": """
        nodes 2 zone=a
        pod web label=app=web spread=app=web@zone@1@2 prio=1
        pod more label=app=web spread=app=web@zone@1@2
        ---
        web: n1 or n2
        more: unschedulable (2 node(s) didn't match pod topology spread constraints)""",
    "nodes that the selector leaves out do not count for the skew": """
        node a zone=a disk=ssd
        node b zone=b
        pod web label=app=web spread=app=web@zone@1 select=disk=ssd x3
        ---
        web: 3""",
    "a wish for spread outweighs free room": """
        node large zone=a cpu=64 memory=64Gi
        node small zone=b
        pod there label=app=web on=large
        pod next label=app=web wishspread=app=web@zone@1 cpu=1
        ---
        next: small""",
    "affinity to nobody is refused unless the pod is the first of its kind": """
        nodes 2
        pod lonely near=app=db@node
        pod first label=app=web near=app=web@node x3
        ---
        lonely: unschedulable (2 node(s) didn't match pod affinity rules)
        first: 3""",
    "affinity goes by domain": """
        nodes 2 zone=a
        node far zone=b
        pod db label=app=db on=far
        pod web near=app=db@zone x2
        pod elsewhere ns=other near=app=db@zone
        pod anywhere ns=other near=app=db@zone@*
        pod named ns=other near=app=db@zone@d
        ---
        web: 2
        elsewhere: unschedulable (3 node(s) didn't match pod affinity rules)
        anywhere: far
        named: far""",
    "anti-affinity lets one in each domain": """
        nodes 3
        pod web label=app=web apart=app=web@node x3 prio=1
        pod last label=app=web apart=app=web@node
        pod other
        ---
        web: 1 1 1
        last: unschedulable (3 node(s) didn't match pod anti-affinity rules)
        other: n1 or n2 or n3""",
    "pods that are there keep others away": """
        nodes 1 zone=a
        node free zone=b
        pod grumpy apart=app=web@zone on=n1
        pod web label=app=web
        pod zoned label=app=web select=topology.kubernetes.io/zone=a
        ---
        web: free
        zoned: unschedulable (1 node(s) didn't match Pod's node affinity/selector, """
    """1 node(s) didn't satisfy existing pods anti-affinity rules)""",
    "wishes of pods decide among nodes that fit": """
        nodes 2
        node db-host cpu=3
        pod db label=app=db on=db-host
        pod close nearer=app=db@node cpu=1
        ---
        close: db-host""",
    "aversions of pods that are there count": """
        nodes 1 cpu=64 memory=64Gi
        node small
        pod loud further=app=web@node on=n1
        pod web label=app=web cpu=1
        ---
        web: small""",
    "the more important pod is first": """
        nodes 1 cpu=1
        pod low cpu=1
        pod high cpu=1 prio=5
        ---
        high: n1
        low: unschedulable (1 Insufficient cpu)""",
}


@pytest.mark.parametrize("claim", SCENARIOS)
def test_scenario(claim: str) -> None:
    for seed in range(3):
        run(SCENARIOS[claim], seed=seed)


def test_zones_count_more_than_nodes() -> None:
    run("""
        nodes 3 zone=a
        node far zone=b
        pod there of=rs on=n1
        pod next of=rs
        ---
        next: far""")


def test_equal_nodes_are_chosen_by_chance() -> None:
    chosen = set()
    for seed in range(30):
        for name in ("n1", "n2", "n3"):
            try:
                run(f"nodes 3\npod a\n---\na: {name}", seed=seed)
            except AssertionError:
                continue
            chosen.add(name)
    assert chosen == {"n1", "n2", "n3"}


class OneByOne(Plugin):
    """A user's plugin, written for one node at a time."""

    name = "OneByOne"

    def filter_node(self, cycle: Cycle, view: NodeView) -> str | None:
        return "node(s) are crowded" if len(view.pods) >= 1 else None

    def score_node(self, cycle: Cycle, view: NodeView) -> float:
        return 100.0 if view.node.metadata.labels.get("liked") else 0.0

    weight = 1000


def test_a_plugin_may_look_at_one_node_at_a_time() -> None:
    text = """
        nodes 2
        node best liked=yes
        pod web x4
        ---
        web: 1 1 1 1"""
    run(text, (OneByOne(),))
    run("nodes 2\nnode best liked=yes\npod web\n---\nweb: best", (OneByOne(),))


class Nothing(Plugin):
    """Refuses nothing and scores nothing; rejects pods named `no` before any filter."""

    name = "Nothing"

    def pre_filter(self, cycle: Cycle) -> str | None:
        return "there is no such thing" if cycle.pod.metadata.name == "no-1" else None

    def filter(self, cycle: Cycle) -> Iterable[Rejected]:
        yield Rejected("never said", np.zeros(cycle.snapshot.size, np.bool_))


def test_a_plugin_may_reject_a_pod_everywhere() -> None:
    run("nodes 1\npod no\npod yes\n---\nno: unschedulable (there is no such thing)\nyes: n1", (Nothing(),))


def test_plugins_have_names_of_their_own() -> None:
    names = [plugin.name for plugin in plugins()]
    assert len(names) == len(set(names))
    assert "NodeResourcesFit" in names
    assert "NodeName" not in [plugin.name for plugin in plugins(["NodeName"])]
