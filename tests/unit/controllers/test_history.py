"""Revisions of workloads: their names, what they keep, which of them go."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pybernetes.api.types import core_v1, meta_v1
from pybernetes.controllers import _history as history
from pybernetes.controllers._history import Revision, Templates
from pybernetes.rules.poddefaults import default_template


def template(image: str = "one") -> core_v1.PodTemplateSpec:
    containers = (core_v1.Container(name="c", image=image),)
    return core_v1.PodTemplateSpec(
        metadata=meta_v1.ObjectMeta(labels={"app": "web"}), spec=core_v1.PodSpec(containers=containers)
    )


def revision(number: int, image: str = "one", name: str = "") -> Revision:
    meta = meta_v1.ObjectMeta(name=name or f"r{number}", uid=f"{number}/{image}")
    return Revision(metadata=meta, data=history.data_of(template(image)), revision=number)


@given(st.text(max_size=20))
def test_a_revision_brings_its_template_back(image):
    assert Templates().of(revision(1, image)) == template(image)


def test_the_data_are_a_patch_that_replaces_the_template():
    data = revision(1).data
    assert list(data) == ["spec"]
    assert data["spec"]["template"]["$patch"] == "replace"


def test_data_of_another_kind_are_no_template():
    for data in (None, {"spec": {}}, {"spec": {"template": {"spec": 3}}}, "text"):
        assert Templates().of(replace(revision(1), data=data)) is None


def test_hashes_differ_by_template_and_collision_and_make_no_words():
    hashes = {history.hash_of(template(image), count) for image in ("one", "two") for count in range(3)}
    assert len(hashes) == 6
    assert set("".join(hashes)) <= set(history.ALPHABET)


def test_equal_ones_are_found_in_their_order():
    known = [revision(1, "one"), revision(2, "two"), revision(3, "one")]
    assert [r.revision for r in Templates().equal(template("one"), known)] == [1, 3]


def test_a_revision_that_lacks_only_what_is_filled_in_later_is_equal():
    now = msgspec.to_builtins(template())
    default_template(now)
    filled = msgspec.convert(now, core_v1.PodTemplateSpec)
    templates, old = Templates(), revision(1)
    assert templates.equal(filled, [old]) == [old]
    assert templates.of(old) == template()
    probed = replace(filled, spec=replace(filled.spec, hostNetwork=True))
    assert templates.equal(probed, [old]) == []
    assert "resources" in old.data["spec"]["template"]["spec"]["containers"][0]  # nothing was filled into what is kept
    assert "dnsPolicy" not in old.data["spec"]["template"]["spec"]


def test_what_revisions_keep_is_remembered_with_an_end(monkeypatch):
    monkeypatch.setattr(history, "REMEMBERED", 3)
    templates = Templates()
    for number in range(10):
        assert templates.of(revision(number)) == template()
    assert len(templates._known) == 3


@given(st.lists(st.integers(1, 9), unique=True), st.sets(st.integers(1, 9)), st.integers(-1, 5))
def test_the_oldest_that_nothing_lives_of_go_beyond_the_limit(numbers, live, limit):
    gone = history.beyond([revision(n) for n in numbers], {f"r{n}" for n in live}, limit)
    left = sorted(set(numbers) - {r.revision for r in gone} - live)
    dead = sorted(set(numbers) - live)
    assert not live & {r.revision for r in gone}
    assert left == (dead if limit < 0 else dead[max(0, len(dead) - limit) :])


def test_where_all_old_ones_count_those_with_pods_take_places_of_the_limit():
    known = [revision(n) for n in range(1, 6)]
    assert [r.revision for r in history.beyond(known, {"r1", "r5"}, 2, counted=4)] == [2, 3]
    assert [r.revision for r in history.beyond(known, {"r1", "r5"}, 0, counted=4)] == [2, 3, 4]
    assert history.beyond(known, {"r5"}, 4, counted=4) == []
