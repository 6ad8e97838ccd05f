"""The graph of the Node authorizer is what the Pods that are there say, in whatever order they came and went."""

from hypothesis import given
from hypothesis import strategies as st

from pybernetes.api.objects import GroupResource
from pybernetes.apiserver.authz._graph import Graph

PODS = GroupResource("", "pods")
NAMES, NODES, SECRETS = ("a", "b", "c"), ("", "n1", "n2"), ("s1", "s2")
CHANGES = st.lists(
    st.tuples(
        st.sampled_from(NAMES), st.sampled_from(NODES), st.lists(st.sampled_from(SECRETS), max_size=3), st.booleans()
    ),
    max_size=20,
)


class Registry:
    resources = (PODS,)

    def subscribe(self, resource, listener, *, glance=False):
        self.tell = listener


def pod(name, node, secrets):
    metadata = {"name": name, "namespace": "x"}
    return {"metadata": metadata, "spec": {"nodeName": node, "imagePullSecrets": [{"name": one} for one in secrets]}}


@given(CHANGES)
def test_it_leads_where_the_pods_that_are_there_lead(changes):
    graph, registry, there = Graph(), Registry(), {}
    graph.follow(registry)
    for name, node, secrets, deleted in changes:
        if deleted:
            there.pop(name, None)
        else:
            there[name] = (node, secrets)
        registry.tell("DELETED" if deleted else "MODIFIED", pod(name, node, secrets))
        for node in NODES[1:]:
            here = {name: secrets for name, (where, secrets) in there.items() if where == node}
            assert {name for name in NAMES if graph.leads("pods", "x", name, node)} == set(here)
            readable = {one for secrets in here.values() for one in secrets}
            assert {one for one in SECRETS if graph.leads("secrets", "x", one, node)} == readable


def test_what_has_gone_leaves_nothing_behind():
    graph, registry = Graph(), Registry()
    graph.follow(registry)
    registry.tell("ADDED", pod("a", "n1", ["s1", "s1"]))
    registry.tell("MODIFIED", pod("a", "n2", ["s2"]))
    registry.tell("DELETED", pod("a", "n2", ["s2"]))
    assert not any(vars(graph).values())
