"""What `kubectl` changes: apply and diff, edit, patch, replace, label, scale, set, delete, wait; and what it says."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.clients import golden
from tests.clients.conftest import Kubectl

DEPLOYMENT: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "labels": {"app": "web"}},
    "spec": {
        "replicas": 2,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "web", "image": "web:1", "ports": [{"containerPort": 80}]}]},
        },
    },
}


def variant(image: str = "web:1", replicas: int = 2) -> str:
    """The Deployment with another image or size."""
    changed = json.loads(json.dumps(DEPLOYMENT))
    changed["spec"]["replicas"] = replicas
    changed["spec"]["template"]["spec"]["containers"][0]["image"] = image
    return json.dumps(changed)


def config_map(name: str, label: str = "", **data: str) -> str:
    metadata = {"name": name, **({"labels": {"set": label}} if label else {})}
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})


@pytest.fixture
def web(kubectl: Kubectl) -> Kubectl:
    """kubectl in a namespace with the Deployment, made by apply, rolled out."""
    assert kubectl("apply", "-f", "-", stdin=variant()) == "deployment.apps/web created\n"
    kubectl("rollout", "status", "deploy/web", "--timeout=30s")
    return kubectl


def test_apply_says_what_changed(web: Kubectl):
    assert web("apply", "-f", "-", stdin=variant()) == "deployment.apps/web unchanged\n"
    dry = web("apply", "--dry-run=server", "-f", "-", stdin=variant("web:2"))
    assert dry == "deployment.apps/web configured (server dry run)\n"
    assert web("apply", "-f", "-", stdin=variant("web:2")) == "deployment.apps/web configured\n"
    last = web("apply", "view-last-applied", "deploy/web", "-o", "json")
    assert json.loads(last)["spec"]["template"]["spec"]["containers"][0]["image"] == "web:2"
    created = web("create", "--save-config", "-f", "-", stdin=config_map("kept", a="b"))
    assert created == "configmap/kept created\n"
    assert web("apply", "-f", "-", stdin=config_map("kept", a="b")) == "configmap/kept unchanged\n"


def test_apply_warns_of_what_was_made_otherwise(kubectl: Kubectl):
    kubectl("create", "-f", "-", stdin=config_map("made", a="b"))
    ended = kubectl.attempt("apply", "-f", "-", stdin=config_map("made", a="c"))
    assert ended.stdout == "configmap/made configured\n"
    assert "Warning: resource configmaps/made is missing the kubectl.kubernetes.io/last-applied-config" in ended.stderr


def test_diff_shows_what_apply_would_change(web: Kubectl):
    assert web("diff", "-f", "-", stdin=variant()) == ""
    ended = web.attempt("diff", "-f", "-", stdin=variant("web:2"))
    assert ended.returncode == 1
    changes = [line for line in ended.stdout.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    assert changes == ["-  generation: 1", "+  generation: 2", "-      - image: web:1", "+      - image: web:2"]
    assert web.attempt("diff", "--server-side", "-f", "-", stdin=variant()).returncode in (0, 1)


def test_conflicts_of_server_side_apply_name_the_owners(kubectl: Kubectl):
    def apply(image: str, *words: str, replicas: int = 2) -> str:
        return kubectl("apply", "--server-side", *words, "-f", "-", stdin=variant(image, replicas))

    assert apply("web:1") == "deployment.apps/web serverside-applied\n"
    assert apply("web:1", "--field-manager=second") == "deployment.apps/web serverside-applied\n"
    one = kubectl.fails("apply", "--server-side", "--field-manager=second", "-f", "-", stdin=variant("web:2"))
    golden.hold("conflict.txt", one)
    kubectl("scale", "deploy/web", "--replicas=3")
    two = kubectl.fails("apply", "--server-side", "--field-manager=third", "-f", "-", stdin=variant("web:3", 4))
    golden.hold("conflicts.txt", golden.masked(two))
    assert apply("web:2", "--field-manager=second", "--force-conflicts", replicas=3).endswith("serverside-applied\n")
    managed = json.loads(kubectl("get", "deploy", "web", "-o", "json", "--show-managed-fields"))["metadata"]
    owners = {(entry["manager"], entry["operation"], entry.get("subresource")) for entry in managed["managedFields"]}
    assert {("kubectl", "Apply", None), ("second", "Apply", None), ("kubectl", "Update", "scale")} & owners
    assert "managedFields" not in kubectl("get", "deploy", "web", "-o", "yaml")


def test_apply_moves_from_client_to_server_side(web: Kubectl):
    assert web("apply", "--server-side", "-f", "-", stdin=variant()) == "deployment.apps/web serverside-applied\n"
    managed = json.loads(web("get", "deploy", "web", "-o", "json", "--show-managed-fields"))["metadata"][
        "managedFields"
    ]
    managers = {entry["manager"] for entry in managed}
    assert "kubectl-client-side-apply" not in managers


def test_prune_deletes_what_is_no_longer_applied(kubectl: Kubectl):
    both = config_map("one", "kept", a="b") + config_map("two", "kept", a="b")
    kubectl("apply", "-f", "-", stdin=both)
    said = kubectl("apply", "--prune", "-l", "set=kept", "-f", "-", stdin=config_map("one", "kept", a="b"))
    assert said == "configmap/one unchanged\nconfigmap/two pruned\n"
    assert kubectl("get", "cm", "-l", "set=kept", "-o", "name") == "configmap/one\n"


def test_applysets_prune_too(kubectl: Kubectl):
    words = ("apply", "--server-side", "--prune", "--applyset=bundle", "-f", "-")
    kubectl(*words, stdin=config_map("one", a="b") + config_map("two", a="b"), KUBECTL_APPLYSET="true")
    said = kubectl(*words, stdin=config_map("one", a="b"), KUBECTL_APPLYSET="true")
    assert said == "configmap/one serverside-applied\nconfigmap/two pruned\n"


def test_a_kustomization_is_applied(kubectl: Kubectl, tmp_path: Path):
    (tmp_path / "web.json").write_text(variant())
    (tmp_path / "kustomization.yaml").write_text(
        "resources: [web.json]\nnamePrefix: my-\nimages: [{name: web, newTag: '7'}]\n"
        "configMapGenerator: [{name: made, literals: [a=b]}]\n"
    )
    said = kubectl("apply", "-k", tmp_path)
    assert "configmap/my-made-" in said
    assert "deployment.apps/my-web created" in said
    assert kubectl("get", "deploy", "my-web", "-o", "jsonpath={..image}").split()[-1] == "web:7"
    assert 'deployment.apps "my-web" deleted' in kubectl("delete", "-k", tmp_path)


def test_edit_changes_or_keeps(web: Kubectl, tmp_path: Path):
    def edited(program: str, *words: str) -> str:
        script = tmp_path / "editor"
        script.write_text(f"#!/bin/sh\nsed -i '{program}' \"$1\"\n")
        script.chmod(0o755)
        return web("edit", "deploy/web", *words, KUBE_EDITOR=str(script))

    assert edited("s/nothing/else/") == ""
    edited_status = edited("s/updatedReplicas: 2/updatedReplicas: 0/", "--subresource=status")
    assert edited_status == "deployment.apps/web edited\n"
    assert edited("s/replicas: 2/replicas: 3/") == "deployment.apps/web edited\n"
    assert web("get", "deploy", "web", "-o", "jsonpath={.spec.replicas}") == "3"


def test_an_invalid_edit_is_refused_and_kept(web: Kubectl, tmp_path: Path):
    script = tmp_path / "editor"
    script.write_text('#!/bin/sh\ncp "$1" "$COPY"\nsed -i \'s/replicas: 2/replicas: -1/\' "$1"\n')
    script.chmod(0o755)
    copy = tmp_path / "copy"
    ended = web.attempt("edit", "deploy/web", KUBE_EDITOR=str(script), COPY=str(copy), TMPDIR=str(tmp_path))
    assert ended.returncode == 1
    assert 'deployments.apps "web" is invalid' in ended.stderr
    told = copy.read_text()  # the reason is what the editor shows the second time
    assert "# * spec.replicas: Invalid value: -1: must be greater than or equal to 0" in told


def test_every_kind_of_patch(web: Kubectl):
    def replicas() -> str:
        return web("get", "deploy", "web", "-o", "jsonpath={.spec.replicas}")

    patched = "deployment.apps/web patched\n"
    assert web("patch", "deploy", "web", "-p", '{"spec":{"replicas":1}}') == patched
    assert replicas() == "1"
    operation = '[{"op":"replace","path":"/spec/replicas","value":3}]'
    assert web("patch", "deploy", "web", "--type=json", "-p", operation) == patched
    assert replicas() == "3"
    assert web("patch", "deploy", "web", "--type=merge", "-p", '{"spec":{"replicas":2}}') == patched
    assert web("patch", "deploy", "web", "-p", '{"spec":{"replicas":2}}') == "deployment.apps/web patched (no change)\n"
    added = '{"spec":{"template":{"spec":{"containers":[{"name":"log","image":"log:1"}]}}}}'
    web("patch", "deploy", "web", "--type=strategic", "-p", added)
    assert web("get", "deploy", "web", "-o", "jsonpath={.spec.template.spec.containers[*].name}") == "log web"
    scaled = web("patch", "deploy", "web", "--subresource=scale", "--type=merge", "-p", '{"spec":{"replicas":4}}')
    assert scaled == "scale.autoscaling/web patched\n"
    assert replicas() == "4"
    table = golden.cells(web("get", "deploy", "web", "--subresource=scale"))
    assert table.startswith("NAME | DESIRED | AVAILABLE | AGE\nweb | 4 | ")
    condition = '{"status":{"conditions":[{"type":"Mine","status":"True"}]}}'
    web("patch", "deploy", "web", "--subresource=status", "-p", condition)
    web("wait", "--for=condition=Mine", "deploy/web", "--timeout=5s")


def test_patches_that_do_not_fit_are_refused(web: Kubectl):
    missing = '[{"op":"replace","path":"/spec/none","value":3}]'
    expected = "The request is invalid: the server rejected our request due to an error in our request\n"
    assert web.fails("patch", "deploy", "web", "--type=json", "-p", missing) == expected
    immutable = '{"spec":{"selector":{"matchLabels":{"a":"b"}}}}'
    golden.hold("immutable.txt", web.fails("patch", "deploy", "web", "-p", immutable))
    unknown = web.attempt("patch", "deploy", "web", "-p", '{"spec":{"colour":"blue"}}')
    assert 'Warning: unknown field "spec.colour"' in unknown.stderr


def test_replace_and_replace_by_force(web: Kubectl):
    before = web("get", "deploy", "web", "-o", "jsonpath={.metadata.uid}")
    assert web("replace", "-f", "-", stdin=variant("web:3")) == "deployment.apps/web replaced\n"
    assert web("get", "deploy", "web", "-o", "jsonpath={.metadata.uid}") == before
    said = web("replace", "--force", "-f", "-", stdin=variant("web:4"))
    assert said == 'deployment.apps "web" deleted\ndeployment.apps/web replaced\n'
    assert web("get", "deploy", "web", "-o", "jsonpath={.metadata.uid}") != before
    stale = json.loads(variant("web:5"))
    stale["metadata"]["resourceVersion"] = "1"
    refused = web.fails("replace", "-f", "-", stdin=json.dumps(stale))
    assert refused == (
        'Error from server (Conflict): error when replacing "STDIN": Operation cannot be fulfilled on '
        'deployments.apps "web": the object has been modified; please apply your changes to the latest version and '
        "try again\n"
    )
    nothing = web.fails("replace", "-f", "-", stdin=config_map("none"))
    assert nothing == 'Error from server (NotFound): error when replacing "STDIN": configmaps "none" not found\n'


def test_labels_and_annotations(kubectl: Kubectl):
    kubectl("create", "cm", "one")
    assert kubectl("label", "cm", "one", "a=b") == "configmap/one labeled\n"
    assert kubectl("label", "cm", "one", "a=b") == "configmap/one not labeled\n"
    assert "'a' already has a value (b), and --overwrite is false" in kubectl.fails("label", "cm", "one", "a=c")
    assert kubectl("label", "cm", "one", "a=c", "--overwrite") == "configmap/one labeled\n"
    assert golden.cells(kubectl("get", "cm", "-l", "a", "-L", "a")) == "NAME | DATA | AGE | A\none | 0 | AGE | c\n"
    assert kubectl("label", "cm", "one", "a-") == "configmap/one unlabeled\n"
    assert kubectl("annotate", "cm", "one", "note=x") == "configmap/one annotated\n"
    assert kubectl("annotate", "cm", "one", "--list") == "note=x\n"
    assert kubectl("annotate", "cm", "one", "note-") == "configmap/one annotated\n"


def test_scale_with_and_without_a_condition(web: Kubectl):
    assert web("scale", "deploy/web", "--replicas=3", "--current-replicas=2") == "deployment.apps/web scaled\n"
    assert "Expected replicas to be 2, was 3" in web.fails(
        "scale", "deploy/web", "--replicas=1", "--current-replicas=2"
    )
    assert web("scale", "rs", "--all", "--replicas=0").endswith(" scaled\n")
    assert web.fails("scale", "cm/kube-root-ca.crt", "--replicas=1").startswith("Error from server (NotFound)")


def test_set_changes_parts_of_a_template(web: Kubectl):
    assert web("set", "image", "deploy/web", "web=web:9") == "deployment.apps/web image updated\n"
    assert web("set", "env", "deploy/web", "A=b") == "deployment.apps/web env updated\n"
    assert web("set", "env", "deploy/web", "--list") == "# Deployment web, container web\nA=b\n"
    resources = web("set", "resources", "deploy/web", "--limits=cpu=1")
    assert resources == "deployment.apps/web resource requirements updated\n"
    assert web("set", "serviceaccount", "deploy/web", "default") == "deployment.apps/web serviceaccount updated\n"
    web("expose", "deploy/web")
    assert web("set", "selector", "svc/web", "a=b") == "service/web selector updated\n"
    web("create", "rolebinding", "them", "--clusterrole=view", "--user=ann")
    bound = web("set", "subject", "rolebinding/them", "--user=bob")
    assert bound == "rolebinding.rbac.authorization.k8s.io/them subjects updated\n"


def test_delete_by_name_selector_and_all(kubectl: Kubectl):
    for name in ("one", "two", "three"):
        kubectl("apply", "-f", "-", stdin=config_map(name, "mine"))
    assert kubectl("delete", "cm", "one", "--dry-run=server") == 'configmap "one" deleted (server dry run)\n'
    assert kubectl("delete", "cm/one") == 'configmap "one" deleted\n'
    assert kubectl("delete", "cm", "-l", "set=mine", "-o", "name") == "configmap/three\nconfigmap/two\n"
    assert kubectl("delete", "cm", "one", "--ignore-not-found") == ""
    assert kubectl.fails("delete", "cm", "one") == 'Error from server (NotFound): configmaps "one" not found\n'
    kubectl("run", "pod", "--image=web:1")
    warned = kubectl.attempt("delete", "pod", "pod", "--force", "--grace-period=0")
    assert warned.stdout == 'pod "pod" force deleted\n'
    assert "Warning: Immediate deletion does not wait for confirmation" in warned.stderr


@pytest.mark.parametrize("cascade", ["background", "foreground", "orphan"])
def test_delete_cascades_as_told(web: Kubectl, cascade: str):
    replica_set = web("get", "rs", "-o", "name").strip()
    assert web("delete", "deploy/web", f"--cascade={cascade}", "--timeout=30s") == 'deployment.apps "web" deleted\n'
    if cascade == "orphan":
        assert web("get", replica_set, "-o", "jsonpath={.metadata.ownerReferences}") == ""
    else:
        web("wait", "--for=delete", replica_set, "--timeout=30s")


def test_wait_for_conditions_values_creation_and_deletion(web: Kubectl):
    assert web("wait", "--for=condition=Available", "deploy/web") == "deployment.apps/web condition met\n"
    value = web("wait", "--for=jsonpath={.status.readyReplicas}=2", "deploy/web")
    assert value == "deployment.apps/web condition met\n"
    late = web.fails("wait", "--for=condition=Never", "deploy/web", "--timeout=200ms")
    assert late == "error: timed out waiting for the condition on deployments/web\n"
    assert "condition met" in web("wait", "--for=create", "deploy/web", "--timeout=5s")
    web("delete", "deploy/web", "--wait=false")
    web("wait", "--for=delete", "deploy/web", "--timeout=20s")


def test_what_is_wrong_with_a_manifest_is_told(kubectl: Kubectl):
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "P"},
        "spec": {"containers": [{"name": "a", "x": 1}]},
    }
    assert kubectl.fails("create", "-f", "-", stdin=json.dumps(pod)) == (
        'Error from server (BadRequest): error when creating "STDIN": Pod in version "v1" cannot be handled as a Pod: '
        'strict decoding error: unknown field "spec.containers[0].x"\n'
    )
    golden.hold("invalid-pod.txt", kubectl.fails("create", "--validate=false", "-f", "-", stdin=json.dumps(pod)))
    warned = kubectl.attempt("create", "--validate=warn", "-f", "-", stdin=config_map("x")[:-1] + ', "y": 1}')
    assert 'Warning: unknown field "y"' in warned.stderr
    assert warned.stdout == "configmap/x created\n"
    again = kubectl.fails("create", "cm", "x")
    assert again == 'error: failed to create configmap: configmaps "x" already exists\n'
    unknown = kubectl.fails("create", "-f", "-", stdin='{"apiVersion":"example.org/v1","kind":"None","metadata":{}}')
    assert 'no matches for kind "None" in version "example.org/v1"' in unknown
