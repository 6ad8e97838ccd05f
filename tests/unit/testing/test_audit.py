"""The audit's questions, assertions and bounds, on calls made by hand."""

import re

import pytest
from tests.unit.testing.calls import call

from pybernetes.testing.audit import Audit, IncompleteAuditError
from pybernetes.testing.errors import OptionError

SHOP = "/api/v1/namespaces/shop"
DEPLOYMENTS = "/apis/apps/v1/namespaces/shop/deployments"


@pytest.fixture
def audit() -> Audit:
    audit = Audit()
    for made in (
        call(
            "POST",
            "/api/v1/namespaces",
            {"metadata": {"name": "shop"}},
            code=201,
            user="deployer",
            agent="kubectl/v1.31",
        ),
        call("POST", DEPLOYMENTS, {"metadata": {"name": "web"}}, code=201, user="deployer", agent="kubectl/v1.31"),
        call("GET", f"{SHOP}/pods", user="system:kube-controller-manager", agent="kube-controller-manager"),
        call("POST", f"{SHOP}/pods", {"metadata": {"name": "web-0"}}, code=201, user="system:kube-controller-manager"),
        call("PUT", f"{DEPLOYMENTS}/web/status", {}, code=409, user="system:kube-controller-manager"),
        call("PUT", f"{DEPLOYMENTS}/web/status", {}, user="system:kube-controller-manager"),
        call("DELETE", f"{SHOP}/pods/web-0?dryRun=All", user="deployer"),
    ):
        if made.code >= 400:
            made.answer = b'{"kind":"Status","reason":"Conflict","message":"changed"}'
        audit.add(made)
    return audit


def failure(assertion, *arguments, **words) -> str:
    with pytest.raises(AssertionError) as error:
        assertion(*arguments, **words)
    return str(error.value)


def test_calls_are_those_that_fit_in_order(audit):
    assert [one.number for one in audit.calls(resource="pods")] == [3, 4, 7]
    assert [one.number for one in audit.calls(code=409)] == [5]
    assert [one.number for one in audit.calls(code=range(200, 300), verb="create")] == [1, 2, 4]
    assert [one.number for one in audit.calls(reason="Conflict")] == [5]
    assert [one.number for one in audit.calls(dry_run=True)] == [7]
    assert [one.number for one in audit.calls(manager="kubectl")] == [1, 2]
    assert len(audit) == 7
    assert audit.calls(resource="pods", verb="list")[0].namespace == "shop"


def test_writes_are_what_was_stored(audit):
    assert [one.number for one in audit.writes()] == [1, 2, 4, 6]
    assert [one.number for one in audit.writes(user="deployer")] == [1, 2]


def test_counts_are_by_whatever_a_call_has(audit):
    assert audit.counts()["system:kube-controller-manager", "update", "deployments.apps/status"] == 2
    assert audit.counts("verb") == {"create": 3, "list": 1, "update": 2, "delete": 1}
    assert audit.counts(("code",), verb="update") == {(409,): 1, (200,): 1}
    assert audit.writers(resource="deployments") == {("kubectl", "create", "deployments.apps", "shop/web"): 1}
    with pytest.raises(OptionError, match="by: there is no 'colour' of calls; known: user"):
        audit.counts("colour")


def test_counts_are_asserted(audit):
    assert len(audit.assert_count(2, verb="update")) == 2
    audit.assert_count(at_least=1, at_most=3, verb="create")
    audit.assert_none(user="eve")
    assert "wanted at least 4 calls with verb='create'; found 3 of 7 calls" in failure(
        audit.assert_count, at_least=4, verb="create"
    )
    assert "wanted 0 calls with verb='update'" in failure(audit.assert_none, verb="update")
    with pytest.raises(OptionError, match="whole number"):
        audit.assert_count(-1)


def test_a_failure_shows_what_was_nearest(audit):
    text = failure(audit.assert_count, 1, verb="delete", resource="pods", namespace="shop", name="web-1")
    assert text.splitlines()[0] == (
        "wanted 1 calls with verb='delete', resource='pods', namespace='shop', name='web-1'; found 0 of 7 calls:"
    )
    table = text.partition("nearest to it:\n")[2].splitlines()
    assert table[0].split() == ["#", "TIME", "CODE", "VERB", "RESOURCE", "OBJECT", "MS", "WHO", "DIFFERS", "IN"]
    assert table[-1].startswith("7")
    assert "dry run" in table[-1]
    assert table[-1].endswith("name")
    assert not any(line.startswith("1 ") for line in table), "a Namespace is not near a Pod"


def test_an_empty_audit_says_so():
    assert failure(Audit().assert_count, 1, verb="get") == "wanted 1 calls with verb='get'; there was no call"


def test_an_order_is_asserted_with_others_between(audit):
    found = audit.assert_order("create namespaces shop", "create deployments.apps shop/web", {"code": 409}, "update")
    assert [one.number for one in found] == [1, 2, 5, 6]
    assert [one.number for one in audit.assert_order("create", "create", user="deployer")] == [1, 2]


def test_a_wrong_order_says_which_step_is_missing_after_which(audit):
    text = failure(audit.assert_order, "create pods", "create deployments.apps")
    first, *rest = text.splitlines()
    assert first.startswith(
        "step 2, verb='create', resource='deployments.apps', was not found after call 4 (verb='create', resource='pods')"
    )
    assert rest[1].startswith("2"), "the one that came too early is shown"


@pytest.mark.parametrize(
    ("steps", "says"),
    [
        ((), "takes steps"),
        (("post pods",), "step 'post pods': wanted"),
        (("create pods a b",), "wanted 'verb resource"),
        ((3,), "not 3"),
        (({"colour": 1},), "no word 'colour'"),
    ],
)
def test_steps_that_mean_nothing_are_refused(audit, steps, says):
    with pytest.raises(OptionError, match=says):
        audit.assert_order(*steps)


@pytest.mark.parametrize(("word", "value"), [("code", "409"), ("code", True), ("dry_run", "yes"), ("reason", 3)])
def test_values_that_mean_nothing_are_refused(audit, word, value):
    with pytest.raises(OptionError, match=f"{word}: {value!r} is not allowed"):
        audit.calls(**{word: value})


def test_the_oldest_are_forgotten_and_that_is_told(audit):
    audit.keep = 3
    audit.add(call("GET", f"{SHOP}/pods"))
    assert [one.number for one in audit] == [6, 7, 8]
    assert audit.forgotten == 5
    assert "(5 older calls are forgotten" in failure(audit.assert_count, 3, verb="list")
    with pytest.raises(IncompleteAuditError, match="5 older calls are forgotten, so nothing can be said"):
        audit.assert_none(user="eve")
    audit.assert_count(at_least=1, verb="list")


def test_bodies_are_bounded_too():
    audit = Audit(keep_bytes=1000)
    for _ in range(9):
        audit.add(call("POST", f"{SHOP}/configmaps", {"data": {"x": "y" * 300}}))
    assert len(audit) == 3
    assert audit.size <= 1000
    audit.clear()
    assert (len(audit), audit.size, audit.forgotten) == (0, 0, 0)


def test_a_recording_has_its_section_alone_also_afterwards(audit):
    with audit.recording() as calls:
        audit.add(call("DELETE", f"{SHOP}/pods/web-0"))
        assert len(calls) == 1
    audit.add(call("DELETE", f"{SHOP}/pods/web-1"))
    calls.assert_none(verb="create")
    calls.assert_count(1)
    assert [one.name for one in calls] == ["web-0"]
    assert "web-0" in str(calls)


def test_a_recording_that_was_too_long_says_so(audit):
    with audit.recording() as calls:
        audit.keep = 2
        for _ in range(4):
            audit.add(call("GET", f"{SHOP}/pods"))
    with pytest.raises(IncompleteAuditError, match="2 older calls"):
        calls.assert_none(verb="create")


def test_a_recording_begins_with_its_with(audit):
    with pytest.raises(OptionError, match="begins with"):
        len(audit.recording())


def test_a_table_is_for_people(audit):
    lines = audit.table(limit=2).splitlines()
    assert len(lines) == 4
    assert lines[-1] == "(the last 2 of 7)"
    assert "shop/web-0" in lines[2]


@pytest.mark.parametrize(
    ("more", "shown"),
    [
        ({"content_type": "application/apply-patch+yaml", "impersonate_user": "jane"}, ["200", "apply", "jane by alice (test)"]),
        ({"user": "system:kube-scheduler", "agent": "kube-scheduler/1.0 (linux)"}, ["patch", "kube-scheduler"]),
        ({"user": "system:kube-controller-manager", "agent": "kube-controller-manager/job-controller"}, ["job-controller"]),
        ({"user": "system:serviceaccount:shop:op", "agent": ""}, ["system:serviceaccount:shop:op"]),
        ({"user": ""}, ["nobody (test)"]),
    ],
)  # fmt: skip
def test_a_row_says_what_and_who(more, shown):
    audit = Audit()
    audit.add(call("PATCH", f"{SHOP}/pods/a", {}, **more))
    cells = re.split(" {3,}", audit.table().splitlines()[1])
    assert set(shown) <= set(cells)


@pytest.mark.parametrize(
    ("code", "done", "fault", "shown"),
    [
        (201, 201, "", "201"),
        (0, 201, "drop", "lost (fault, but written)"),
        (0, 0, "drop", "lost (fault)"),
        (409, 0, "error", "409 Conflict (fault)"),
    ],
)
def test_a_row_says_how_it_ended(code, done, fault, shown):
    made = call("POST", f"{SHOP}/pods", {"metadata": {"name": "a"}})
    made.code, made.done, made.fault = code, done, fault
    made.answer = b'{"reason":"Conflict"}' if code >= 400 else b""
    audit = Audit()
    audit.add(made)
    assert shown in re.split(" {3,}", audit.table().splitlines()[1])
