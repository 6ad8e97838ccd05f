"""PolicyRules: what one allows, and what some do not cover."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pybernetes.rules.rbac import Rule, compact, rule_of, uncovered


def rule(verbs="get", resources="pods", group="", names="", urls=""):
    return Rule(
        frozenset(verbs.split()),
        frozenset({group}),
        frozenset(resources.split()),
        frozenset(names.split()),
        frozenset(urls.split()),
    )


@pytest.mark.parametrize(
    ("held", "resource", "name", "allowed"),
    [
        (rule(), "pods", "x", True),
        (rule(), "pods/log", "x", False),
        (rule(resources="pods/log"), "pods", "x", False),
        (rule(resources="*/log"), "pods/log", "x", True),
        (rule(resources="*"), "pods/log", "x", True),
        (rule(names="a b"), "pods", "a", True),
        (rule(names="a b"), "pods", "", False),
        (rule(group="apps"), "pods", "x", False),
        (rule(group="*"), "pods", "x", True),
        (rule(verbs="list"), "pods", "x", False),
        (rule(verbs="*"), "pods", "x", True),
    ],
)
def test_a_rule_allows_by_verb_group_resource_and_name(held, resource, name, allowed):
    assert held.allows("get", "", resource, name) is allowed


def test_urls_end_in_a_star_at_most():
    held = rule(urls="/healthz /apis/*")
    assert held.allows_url("get", "/healthz")
    assert held.allows_url("get", "/apis/apps")
    assert not held.allows_url("get", "/healthz/etcd")
    assert not held.allows_url("post", "/healthz")


def test_what_is_not_held_is_named_one_by_one():
    missing = uncovered([rule("get list")], [rule("get delete", "pods secrets")])
    assert [str(part) for part in missing] == [
        '{APIGroups:[""], Resources:["pods"], Verbs:["delete"]}',
        '{APIGroups:[""], Resources:["secrets"], Verbs:["delete"]}',
        '{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}',
    ]


def test_refusals_gather_the_verbs_of_a_thing():
    found = compact([rule("list", "secrets"), rule("get"), rule("list"), rule("get", names="a")])
    assert [str(one) for one in found] == [
        '{APIGroups:[""], Resources:["pods"], ResourceNames:["a"], Verbs:["get"]}',
        '{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}',
        '{APIGroups:[""], Resources:["secrets"], Verbs:["list"]}',
    ]


def test_a_named_rule_covers_its_names_only():
    assert not uncovered([rule(names="a b")], [rule(names="a")])
    assert uncovered([rule(names="a")], [rule()])
    assert uncovered([rule(names="a")], [rule(names="a b")])


words = st.frozensets(st.sampled_from(["a", "b", "*"]), min_size=1)
some = st.builds(Rule, words, words, words, st.frozensets(st.sampled_from(["x", "y"])), st.frozensets(st.just("/z")))


@settings(max_examples=60)
@given(some)
def test_every_rule_covers_itself(one):
    assert uncovered([one], [one]) == []


@settings(max_examples=60)
@given(some, some)
def test_what_is_covered_is_allowed(held, wanted):
    if uncovered([held], [wanted]):
        return
    for verb in wanted.verbs:
        for group in wanted.groups:
            for resource in wanted.resources:
                for name in wanted.names or {"q"}:
                    assert held.allows(verb, group, resource, name)


def test_a_rule_is_read_from_json():
    assert rule_of({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}) == rule()
