"""How the built-in types are owned."""

import pytest

from pybernetes.api import schema
from pybernetes.rules.patch.typed import of_type

CORE = "io.k8s.api.core.v1."
CASES = [
    ("Pod", "spec containers", "keyed", ("name",)),
    ("Container", "ports", "keyed", ("containerPort", "protocol")),
    ("Container", "command", "leaf", ()),
    ("Pod", "metadata finalizers", "set", ()),
    ("Pod", "metadata labels", "map", ()),
    ("Pod", "spec nodeSelector", "leaf", ()),
    ("Pod", "spec tolerations", "leaf", ()),
    ("Pod", "spec securityContext", "map", ()),
    ("PersistentVolume", "spec claimRef", "map", ()),
    ("Event", "involvedObject", "leaf", ()),
    ("ServiceSpec", "selector", "leaf", ()),
]


@pytest.mark.parametrize(("type_name", "path", "kind", "keys"), CASES)
def test_each_value_is_owned_as_its_list_or_map_type_says(type_name, path, kind, keys):
    node = of_type(CORE + type_name)
    for name in path.split():
        node = node.child(name)
    assert (node.kind, node.keys) == (kind, keys)


def test_a_key_that_need_not_be_given_has_the_default_of_the_schema():
    assert of_type(CORE + "Container").fields["ports"].defaults == {"protocol": "TCP"}


def test_an_unknown_field_of_a_struct_has_no_node_and_one_of_a_map_has():
    pod = of_type(CORE + "Pod")
    assert pod.child("nonsense") is None
    assert pod.fields["metadata"].fields["labels"].child("anything").expects == "string"


def test_every_built_in_type_has_a_node_with_all_its_fields():
    for gvk in schema.kinds():
        name = schema.type_name(gvk)
        assert of_type(name).fields.keys() == schema.get(name).fields.keys()
