"""Impersonation: who a request is then judged as, and what it takes."""

import pytest

from pybernetes.api.objects import User
from pybernetes.apiserver.authn.impersonation import impersonated
from pybernetes.wire.http import Headers, Request

ALICE = User("alice")


def judged(*headers):
    asked = []
    found = impersonated(Request("GET", "/", Headers(headers)), ALICE, asked.append)
    assert all(attributes.user is ALICE and attributes.verb == "impersonate" for attributes in asked)
    return found, [(a.group, a.resource, a.subresource, a.namespace, a.name) for a in asked]


@pytest.mark.parametrize(
    ("name", "groups", "total"),
    [
        ("bob", (), ("system:authenticated",)),
        ("bob", ("a",), ("a", "system:authenticated")),
        ("bob", ("system:unauthenticated",), ("system:unauthenticated",)),
        ("system:anonymous", (), ("system:unauthenticated",)),
        ("system:anonymous", ("a",), ("a", "system:unauthenticated")),
        (
            "system:serviceaccount:x:robot",
            (),
            ("system:serviceaccounts", "system:serviceaccounts:x", "system:authenticated"),
        ),
        ("system:serviceaccount:x:robot", ("a",), ("a", "system:authenticated")),
        ("system:serviceaccount:X:robot", (), ("system:authenticated",)),
    ],
)
def test_groups_follow_from_the_name(name, groups, total):
    found, _ = judged(("Impersonate-User", name), *(("Impersonate-Group", group) for group in groups))
    assert (found.name, found.groups) == (name, total)


def test_each_part_takes_its_own_permission():
    review = "authentication.k8s.io"
    found, asked = judged(
        ("Impersonate-User", "system:serviceaccount:x:robot"),
        ("Impersonate-Group", "a"),
        ("Impersonate-Uid", "7"),
        ("Impersonate-Extra-Example.com%2fScopes", "one"),
        ("Impersonate-Extra-Example.com%2fScopes", "two"),
    )
    assert (found.uid, found.extra) == ("7", {"example.com/scopes": ("one", "two")})
    assert asked == [
        ("", "serviceaccounts", "", "x", "robot"),
        ("", "groups", "", "", "a"),
        (review, "userextras", "example.com/scopes", "", "one"),
        (review, "userextras", "example.com/scopes", "", "two"),
        (review, "uids", "", "", "7"),
    ]
    assert judged(("Impersonate-User", "bob"))[1] == [("", "users", "", "", "bob")]
    assert judged() == (ALICE, [])
