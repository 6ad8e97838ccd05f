"""Paths as upstream reads them."""

import pytest

from pybernetes.api.errors import BadRequest
from pybernetes.apiserver.requestinfo import parse_request
from pybernetes.wire.http import Request


def parsed(method, target):
    request = Request(method, target)
    return parse_request(request, request.query())


@pytest.mark.parametrize(
    ("method", "target", "wanted"),
    [
        ("GET", "/api/v1/pods", ("list", "", "v1", "", "pods", "", "")),
        ("GET", "/api/v1/pods?watch=true", ("watch", "", "v1", "", "pods", "", "")),
        ("GET", "/api/v1/pods?watch=0", ("list", "", "v1", "", "pods", "", "")),
        ("GET", "/api/v1/namespaces/a/pods/b/log", ("get", "", "v1", "a", "pods", "log", "b")),
        ("GET", "/api/v1/namespaces/a", ("get", "", "v1", "a", "namespaces", "", "a")),
        ("PUT", "/api/v1/namespaces/a/finalize", ("update", "", "v1", "a", "namespaces", "finalize", "a")),
        ("GET", "/api/v1/namespaces/a/status/b", ("get", "", "v1", "a", "namespaces", "status", "a")),
        (
            "DELETE",
            "/apis/apps/v1/namespaces/a/deployments",
            ("deletecollection", "apps", "v1", "a", "deployments", "", ""),
        ),
        (
            "PATCH",
            "/apis/apps/v1/namespaces/a/deployments/b/scale",
            ("patch", "apps", "v1", "a", "deployments", "scale", "b"),
        ),
        ("GET", "/api/v1/watch/namespaces/a/pods/b", ("watch", "", "v1", "a", "pods", "", "b")),
        ("HEAD", "/api/v1/nodes/n/", ("get", "", "v1", "", "nodes", "", "n")),
        ("GET", "/api/v1/nodes/a%2Fb", ("get", "", "v1", "", "nodes", "", "a/b")),
    ],
)
def test_a_path_says_verb_and_resource(method, target, wanted):
    info = parsed(method, target)
    assert info.is_resource
    found = (info.verb, info.group, info.version, info.namespace, info.resource, info.subresource, info.name)
    assert found == wanted


@pytest.mark.parametrize("target", ["/", "/api", "/api/v1", "/apis/apps/v1", "/healthz", "/version", "/apis", "//"])
def test_other_paths_are_no_resources(target):
    info = parsed("GET", target)
    assert not info.is_resource
    assert info.verb == "get"


def test_half_a_watch_is_refused():
    for _ in range(2):
        with pytest.raises(BadRequest):
            parsed("GET", "/api/v1/watch")


def test_the_same_path_means_what_method_and_query_make_of_it():
    for _ in range(2):
        verbs = [parsed(method, "/api/v1/pods").verb for method in ("GET", "POST", "DELETE", "OPTIONS")]
        assert verbs == ["list", "create", "deletecollection", "options"]
        watches = [parsed("GET", f"/api/v1/pods?watch={text}").verb for text in ("1", "false", "true", "0", "")]
        assert watches == ["watch", "list", "watch", "list", "watch"]


def test_a_path_of_any_length_is_read():
    assert parsed("GET", f"/api/v1/nodes/{'n' * 1000}").name == "n" * 1000


def test_streams_run_long():
    assert parsed("GET", "/api/v1/pods?watch=1").long_running
    assert parsed("POST", "/api/v1/namespaces/a/pods/b/exec").long_running
    assert not parsed("GET", "/api/v1/pods").long_running
