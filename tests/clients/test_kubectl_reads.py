"""How `kubectl` reads: output forms, selectors, pages, watches, raw paths, proxies; and who may do what."""

import json
import re
import time
import urllib.request
from typing import Any

from tests.clients import golden
from tests.clients.conftest import Kubectl


def test_every_output_form(kubectl: Kubectl):
    kubectl("create", "cm", "one", "--from-literal=a=b")
    read: dict[str, Any] = json.loads(kubectl("get", "cm", "one", "-o", "json"))
    assert read["data"] == {"a": "b"}
    assert kubectl("get", "cm", "one", "-o", "yaml").startswith("apiVersion: v1\ndata:\n  a: b\nkind: ConfigMap\n")
    assert kubectl("get", "cm", "one", "-o", "jsonpath={.data.a}") == "b"
    assert kubectl("get", "cm", "one", "-o", "go-template={{.data.a}}") == "b"
    assert kubectl("get", "cm", "one", "-o", "name") == "configmap/one\n"
    columns = kubectl("get", "cm", "one", "-o", "custom-columns=N:.metadata.name,A:.data.a")
    assert columns.split() == ["N", "A", "one", "b"]
    assert kubectl("get", "cm", "one", "--no-headers").split()[:2] == ["one", "1"]
    assert golden.cells(kubectl("get", "cm", "--show-labels")).startswith("NAME | DATA | AGE | LABELS\n")
    listed = json.loads(kubectl("get", "cm", "-o", "json"))
    assert (listed["kind"], listed["apiVersion"]) == ("List", "v1")
    assert kubectl("get", "cm", "--sort-by=.metadata.name", "-o", "name").split()[-1] == "configmap/one"


def test_selectors_of_labels_and_fields(kubectl: Kubectl):
    for name, labels in (("one", "a=1"), ("two", "a=2,b=x"), ("three", "c=3")):
        kubectl("run", name, "--image=web:1", f"--labels={labels}")

    def found(*words: str) -> set[str]:
        return {name.removeprefix("pod/") for name in kubectl("get", "pods", "-o", "name", *words).split()}

    assert found("-l", "a in (1,2)") == {"one", "two"}
    assert found("-l", "a,!b") == {"one"}
    assert found("-l", "a!=1") == {"two", "three"}
    assert found("--field-selector=metadata.name=two") == {"two"}
    assert found("--field-selector=metadata.name!=two,spec.restartPolicy=Always") == {"one", "three"}
    refused = kubectl.fails("get", "pods", "--field-selector=spec.colour=blue")
    assert "field label not supported: spec.colour" in refused
    assert "unable to parse requirement" in kubectl.fails("get", "pods", "-l", "a in (")


def test_long_lists_come_in_pages(kubectl: Kubectl):
    many = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"m{n:02}"}} for n in range(23)]
    kubectl("create", "-f", "-", stdin="".join(map(json.dumps, many)))
    traced = kubectl.attempt("get", "cm", "--chunk-size=5", "-o", "name", "-v=6")
    assert len(traced.stdout.split()) == 24  # and kube-root-ca.crt
    assert len(re.findall(r"configmaps\?(?:continue=[^&]+&)?limit=5", traced.stderr)) == 5


def test_a_watch_shows_what_happens(kubectl: Kubectl):
    words = (kubectl.program, "-n", kubectl.namespace, "get", "cm", "--watch", "--output-watch-events")
    with kubectl.cluster.started(*words) as watching:
        assert watching.stdout is not None
        while "kube-root-ca.crt" not in watching.stdout.readline():
            assert watching.poll() is None
        kubectl("create", "cm", "new")
        kubectl("label", "cm", "new", "a=b")
        kubectl("delete", "cm", "new")
        seen = [watching.stdout.readline().split()[:3] for _ in range(3)]
    assert seen == [["ADDED", "new", "0"], ["MODIFIED", "new", "0"], ["DELETED", "new", "0"]]


def test_a_watch_ends_when_it_is_told(kubectl: Kubectl):
    started = time.monotonic()
    ended = kubectl.attempt("get", "cm", "--watch-only", "--request-timeout=300ms")
    assert "kube-root-ca.crt" not in ended.stdout
    assert time.monotonic() - started < 20


def test_what_is_not_there_is_told(kubectl: Kubectl):
    assert kubectl.fails("get", "nope") == 'error: the server doesn\'t have a resource type "nope"\n'
    assert kubectl.fails("get", "pod", "nope") == 'Error from server (NotFound): pods "nope" not found\n'
    assert kubectl.attempt("get", "pods").stderr == f"No resources found in {kubectl.namespace} namespace.\n"
    assert kubectl("get", "pod", "nope", "--ignore-not-found") == ""
    missing = kubectl.fails("get", "--raw", "/apis/nope")
    assert missing == "Error from server (NotFound): the server could not find the requested resource\n"


def test_raw_requests(kubectl: Kubectl):
    assert kubectl("get", "--raw", "/readyz") == "ok"
    checks = kubectl("get", "--raw", "/livez?verbose")
    assert checks.startswith("[+]ping ok\n")
    assert checks.endswith("livez check passed\n")
    assert json.loads(kubectl("get", "--raw", "/version"))["major"] == "1"
    body = '{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"raw"}}'
    path = f"/api/v1/namespaces/{kubectl.namespace}/configmaps"
    assert json.loads(kubectl("create", "--raw", path, "-f", "-", stdin=body))["metadata"]["name"] == "raw"
    assert json.loads(kubectl("delete", "--raw", f"{path}/raw"))["status"] == "Success"
    assert "apiserver_request_total" in kubectl("get", "--raw", "/metrics")
    assert '"kind": "NodeList"' in kubectl("cluster-info", "dump", "--namespaces", kubectl.namespace)
    assert "Kubernetes control plane is running at" in re.sub(r"\x1b\[[\d;]*m", "", kubectl("cluster-info"))


def test_a_local_proxy_passes_requests(kubectl: Kubectl):
    with kubectl.cluster.started(kubectl.program, "proxy", "--port=0") as proxy:
        assert proxy.stdout is not None
        address = proxy.stdout.readline().split()[-1]
        with urllib.request.urlopen(f"http://{address}/api/v1/namespaces/{kubectl.namespace}") as answer:
            assert json.load(answer)["metadata"]["name"] == kubectl.namespace


def test_who_am_i_and_what_may_i(kubectl: Kubectl):
    golden.hold("whoami.txt", golden.masked(kubectl("auth", "whoami")))
    kubectl("create", "role", "reader", "--verb=get,list", "--resource=pods", "--resource-name=one")
    kubectl("create", "rolebinding", "readers", "--role=reader", "--user=ann")
    assert kubectl("auth", "can-i", "create", "deployments") == "yes\n"
    assert kubectl("auth", "can-i", "get", "pods/one", "--as=ann") == "yes\n"
    assert kubectl.attempt("auth", "can-i", "get", "pods", "--as=ann").stdout == "no\n"
    assert kubectl.attempt("auth", "can-i", "get", "/metrics", "--as=ann").stdout == "no\n"
    golden.hold("can-i-list.txt", golden.masked(kubectl("auth", "can-i", "--list", "--as=ann")))
    refused = kubectl.fails("get", "secrets", "--as=ann")
    assert refused == (
        'Error from server (Forbidden): secrets is forbidden: User "ann" cannot list resource "secrets" in API group "" '
        f'in the namespace "{kubectl.namespace}"\n'
    )
    rules = kubectl("get", "role", "reader", "-o", "yaml")
    reconciled = kubectl("auth", "reconcile", "-f", "-", stdin=rules)
    assert reconciled == "role.rbac.authorization.k8s.io/reader reconciled\n"


def test_events_of_an_object(kubectl: Kubectl):
    kubectl("create", "deployment", "web", "--image=web:1")
    kubectl("rollout", "status", "deploy/web", "--timeout=30s")
    shown = golden.cells(kubectl("events", "--for", "deployment/web"))
    assert shown.splitlines()[1] == (
        "AGE | Normal | ScalingReplicaSet | Deployment/web | Scaled up replica set web-HASH from 0 to 1"
    )
    assert kubectl("events", "--types=Warning", "--for", "deployment/web") == ""
    wide = golden.cells(kubectl("get", "events", "-o", "wide", "--field-selector=reason=Scheduled"))
    assert wide.startswith(
        "LAST SEEN | TYPE | REASON | OBJECT | SUBOBJECT | SOURCE | MESSAGE | FIRST SEEN | COUNT | NAME\n"
    )


def test_top_says_that_simulated_nodes_have_no_figures(kubectl: Kubectl):
    assert kubectl.fails("top", "nodes") == "error: metrics not available yet\n"
    assert kubectl.attempt("top", "pods").stderr == f"No resources found in {kubectl.namespace} namespace.\n"


def test_versions_and_old_resources_warn(kubectl: Kubectl):
    version = json.loads(kubectl("version", "-o", "json"))["serverVersion"]
    assert (version["major"], version["minor"], version["gitVersion"]) == ("1", "37", "v1.37.0")
    warned = kubectl.attempt("get", "endpoints").stderr
    assert "Warning: v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice" in warned
    statuses = kubectl.attempt("get", "componentstatuses")
    assert "Warning: v1 ComponentStatus is deprecated in v1.19+" in statuses.stderr


def test_resources_by_group_and_verb(kubectl: Kubectl):
    names = kubectl("api-resources", "--api-group=apps", "--verbs=list,get", "-o", "name").split()
    assert names == [f"{plural}.apps" for plural in
                     ("controllerrevisions", "daemonsets", "deployments", "replicasets", "statefulsets")]  # fmt: skip
    assert "pods" in kubectl("api-resources", "--namespaced=true", "--categories=all", "-o", "name").split()


def test_config_writes_the_users_file(kubectl: Kubectl):
    own = kubectl.cluster.home / "config"

    def config(*words: str) -> str:
        return kubectl.cluster.run(kubectl.program, "config", *words, "--kubeconfig", own)

    assert config("set-cluster", "here", f"--server={kubectl.cluster.server}") == 'Cluster "here" set.\n'
    assert config("set-credentials", "nobody", "--token=wrong") == 'User "nobody" set.\n'
    assert config("set-context", "mine", "--cluster=here", "--user=nobody", "--namespace=a").startswith("Context")
    assert config("use-context", "mine") == 'Switched to context "mine".\n'
    assert config("current-context") == "mine\n"
    assert config("view", "-o", "jsonpath={.contexts[0].context.namespace}") == "a"
    refused = kubectl.fails("get", "pods", "--insecure-skip-tls-verify", "--kubeconfig", own)
    assert "error: You must be logged in to the server (Unauthorized)" in refused
    assert config("rename-context", "mine", "other") == 'Context "mine" renamed to "other".\n'
    own.unlink()
