"""The three-way merge of apply: what is dropped from the file goes, what others set stays."""

import orjson

from pybernetes.kubectl.commands.apply import LAST_APPLIED, three_way_patch, with_last_applied
from pybernetes.kubectl.session import MERGE, STRATEGIC

POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "labels": {"a": "1", "b": "2"}}, "spec": {}}


def test_an_object_carries_itself_without_the_annotation():
    marked = with_last_applied(with_last_applied(POD))
    assert orjson.loads(marked["metadata"]["annotations"][LAST_APPLIED])["metadata"]["labels"] == {"a": "1", "b": "2"}
    assert "annotations" not in POD["metadata"]


def test_what_was_applied_and_is_gone_from_the_file_is_removed():
    live = {**POD, "metadata": {"name": "web", "labels": {"a": "1", "b": "2", "theirs": "x"}}}
    changed = {**POD, "metadata": {"name": "web", "labels": {"a": "1"}}}
    patch, content_type = three_way_patch(POD, changed, live)
    assert content_type == STRATEGIC
    assert patch == {"metadata": {"labels": {"b": None}}}


def test_a_kind_without_schema_is_merged():
    crd = {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "t"}, "spec": {"size": 2}}
    patch, content_type = three_way_patch({}, crd, {**crd, "spec": {"size": 1, "theirs": True}})
    assert (patch, content_type) == ({"spec": {"size": 2}}, MERGE)


def test_nothing_to_change_is_an_empty_patch():
    assert three_way_patch(POD, POD, POD)[0] == {}
