"""Options are checked when a cluster is made, and errors name what is allowed."""

import pytest

from pybernetes.testing import Cluster, OptionError, SyncCluster
from pybernetes.testing.options import options_of


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (3, ("node-1", "node-2", "node-3")),
        (0, ()),
        (["east", "west"], ("east", "west")),
        ((), ()),
    ],
)
def test_nodes_are_a_number_or_names(given, names):
    assert options_of({"nodes": given}).names == names


def test_words_may_be_written_as_flags_take_them():
    options = options_of({"authorization": "Node,RBAC", "controllers": "*,-deployment-controller"})
    assert options.authorization == ("Node", "RBAC")
    assert options.controllers == ("*", "-deployment-controller")
    assert options_of({"controllers": ()}).controllers == ()


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"nodes": -1}, "nodes: -1 is not allowed; allowed: 0 to 5000"),
        ({"nodes": True}, "nodes: True is not allowed"),
        (
            {"nodes": "node-1"},
            "nodes: 'node-1' is not allowed; allowed: a number, or a sequence of names and SimulatedNodes",
        ),
        ({"nodes": ["One"]}, "nodes: 'One' is not allowed; allowed: names of lower case"),
        ({"nodes": ["one", "one"]}, "nodes: 'one' is not allowed; allowed: names that differ"),
        ({"nodes": [1]}, "allowed: names and SimulatedNodes"),
        ({"controllers": ("deploymint",)}, '"deploymint" is not in the list of known controllers: .*deployment'),
        ({"scheduler": "no"}, "scheduler: 'no' is not allowed; allowed: True or False"),
        ({"authorization": ("ABAC",)}, "authorization: 'ABAC' is not allowed; allowed: some of Node, RBAC"),
        ({"authorization": ()}, r"authorization: \(\) is not allowed"),
        ({"time": "virtual"}, "time: 'virtual' is not allowed; allowed: one of real, simulated, manual"),
        ({"seed": "7"}, "seed: '7' is not allowed; allowed: a whole number"),
        ({"serve": 1}, "serve: 1 is not allowed; allowed: True or False"),
        ({"serve": True, "time": "simulated"}, "simulated.* knows no sockets"),
        ({"api": {}}, r"api: \{\} is not allowed; allowed: a pybernetes.apiserver.config.Config"),
        ({"node": 2}, "there is no option 'node'; known: nodes, controllers"),
    ],
)
@pytest.mark.parametrize("kind", [Cluster, SyncCluster])
def test_a_wrong_option_names_what_is_allowed(kind, given, text):
    with pytest.raises(OptionError, match=text):
        kind(**given)
