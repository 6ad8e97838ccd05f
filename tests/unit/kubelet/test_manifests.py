"""What a manifest becomes on a node, and what is refused, with the API server's own rules."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybernetes.assembly.podrules import ManifestRules
from pybernetes.kubelet.manifests import Folder, ManifestError, Reader

SEEN = "2026-01-01T00:00:00Z"
READER = Reader("node-1", ManifestRules(), lambda: SEEN)
PATH = Path("/etc/kubernetes/manifests/web.yaml")


def manifest(spec: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    base = {"containers": [{"name": "c", "image": "busybox:1"}], **(spec or {})}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", **metadata}, "spec": base}


def encoded(document: object) -> bytes:
    return json.dumps(document).encode()


def test_a_pod_of_a_file_gets_its_nodes_name_a_uid_annotations_and_a_toleration():
    pod = READER.file(PATH, encoded(manifest()))
    assert (pod.metadata.name, pod.metadata.namespace) == ("web-node-1", "default")
    assert len(pod.metadata.uid) == 32
    assert pod.metadata.annotations == {
        "kubernetes.io/config.hash": pod.metadata.uid,
        "kubernetes.io/config.source": "file",
        "kubernetes.io/config.seen": SEEN,
    }
    assert pod.spec.nodeName == "node-1"
    assert [(t.operator, t.effect, t.key) for t in pod.spec.tolerations] == [("Exists", "NoExecute", "")]
    assert pod.status.phase == "Pending"


def test_the_api_servers_defaults_hold():
    pod = READER.file(PATH, encoded(manifest()))
    assert (pod.spec.restartPolicy, pod.spec.dnsPolicy, pod.spec.terminationGracePeriodSeconds) == (
        "Always",
        "ClusterFirst",
        30,
    )
    assert pod.spec.containers[0].imagePullPolicy == "IfNotPresent"


def test_a_system_class_means_its_priority():
    assert (
        READER.file(PATH, encoded(manifest({"priorityClassName": "system-node-critical"}))).spec.priority == 2000001000
    )


def test_the_uid_follows_what_is_said_not_how():
    one = READER.file(PATH, encoded(manifest()))
    assert READER.file(PATH, b"# a comment\n" + encoded(manifest())).metadata.uid == one.metadata.uid
    assert READER.file(PATH, encoded(manifest(labels={"a": "b"}))).metadata.uid != one.metadata.uid
    assert READER.file(PATH.with_name("other.yaml"), encoded(manifest())).metadata.uid != one.metadata.uid
    assert READER.file(PATH, encoded(manifest(uid="mine"))).metadata.uid == "mine"


def test_a_url_may_have_a_list_and_its_pods_tolerate_nothing_more():
    items = [manifest(name="one"), {k: v for k, v in manifest(name="two").items() if k in ("metadata", "spec")}]
    pods = READER.answer("http://x/", encoded({"apiVersion": "v1", "kind": "PodList", "items": items}))
    assert [p.metadata.name for p in pods] == ["one-node-1", "two-node-1"]
    assert {p.metadata.annotations["kubernetes.io/config.source"] for p in pods} == {"http"}
    assert pods[0].spec.tolerations == ()


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ([], "not an object"),
        ({"apiVersion": "v1", "kind": "PodList", "items": []}, "kind Pod, not v1, PodList"),
        (manifest(name=""), "name is needed for the pod"),
        (manifest({"containers": []}), "spec.containers: Required value"),
        (manifest(name="Web"), "metadata.name: Invalid value"),
        (manifest({"restartPolicy": "Sometimes"}), "spec.restartPolicy: Unsupported value"),
        (manifest({"containers": 3}), "invalid pod: "),
    ],
)
def test_what_the_api_server_would_refuse_is_refused(document: object, why: str):
    with pytest.raises(ManifestError, match=why):
        READER.file(PATH, encoded(document))


def volume(**source: object) -> dict[str, Any]:
    return {"volumes": [{"name": "v", **source}]}


def environment(**source: object) -> dict[str, Any]:
    return {"containers": [{"name": "c", "image": "b", "env": [{"name": "A", "valueFrom": source}]}]}


@pytest.mark.parametrize(
    ("spec", "resource"),
    [
        ({"serviceAccountName": "default"}, "serviceaccounts"),
        ({"imagePullSecrets": [{"name": "s"}]}, "secrets"),
        (environment(secretKeyRef={"name": "s", "key": "k"}), "secrets"),
        (environment(configMapKeyRef={"name": "s", "key": "k"}), "configmaps"),
        (volume(configMap={"name": "m"}), "configmaps \\(via configmap volumes\\)"),
        (volume(secret={"secretName": "s"}), "secrets \\(via secret volumes\\)"),
        (volume(persistentVolumeClaim={"claimName": "c"}), "persistentvolumeclaims"),
        (
            volume(projected={"sources": [{"clusterTrustBundle": {"name": "t", "path": "t"}}]}),
            "clustertrustbundles",
        ),
    ],
)
def test_references_to_the_api_are_refused(spec: dict[str, Any], resource: str):
    with pytest.raises(ManifestError, match=f"^static pods may not reference {resource}$"):
        READER.file(PATH, encoded(manifest(spec)))


def test_what_needs_no_api_is_taken():
    sources = [{"downwardAPI": {"items": [{"path": "n", "fieldRef": {"fieldPath": "metadata.name"}}]}}]
    volumes = [
        {"name": "h", "hostPath": {"path": "/x"}},
        {"name": "e", "emptyDir": {}},
        {"name": "p", "projected": {"sources": sources}},
    ]
    assert len(READER.file(PATH, encoded(manifest({"volumes": volumes}))).spec.volumes) == 3


@given(st.binary(max_size=200) | st.recursive(st.none() | st.text(max_size=5), st.lists, max_leaves=4).map(encoded))
def test_rubbish_is_an_error_of_one_kind(data: bytes):
    with pytest.raises(ManifestError):
        READER.file(PATH, data)


# -- folders ----------------------------------------------------------------------------------------------------------


def names(folder: Folder) -> list[str]:
    return [pod.metadata.name for pod in folder.scan()]


def test_hidden_files_and_subfolders_are_skipped(tmp_path: Path):
    (tmp_path / "b.yaml").write_bytes(encoded(manifest(name="b")))
    (tmp_path / "a.json").write_bytes(encoded(manifest(name="a")))
    (tmp_path / ".hidden.yaml").write_bytes(encoded(manifest(name="hidden")))
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "c.yaml").write_bytes(encoded(manifest(name="c")))
    assert names(Folder(tmp_path, READER)) == ["a-node-1", "b-node-1"]


def test_a_broken_file_disturbs_no_other_and_keeps_what_it_said(tmp_path: Path):
    folder = Folder(tmp_path, READER)
    (tmp_path / "a.yaml").write_bytes(encoded(manifest(name="a")))
    (tmp_path / "b.yaml").write_text("{half")
    assert names(folder) == ["a-node-1"]
    (tmp_path / "a.yaml").write_text("kind: Pod\nspec: [")
    assert names(folder) == ["a-node-1"]
    (tmp_path / "b.yaml").write_bytes(encoded(manifest(name="b")))
    (tmp_path / "a.yaml").unlink()
    assert names(folder) == ["b-node-1"]


def test_a_file_that_was_only_touched_is_the_same_pod(tmp_path: Path):
    folder = Folder(tmp_path, READER)
    file = tmp_path / "a.yaml"
    file.write_bytes(encoded(manifest()))
    (before,) = folder.scan()
    os.utime(file, (1, 1))
    assert folder.scan() == (before,)


def test_the_path_may_be_one_file(tmp_path: Path):
    (tmp_path / "a.yaml").write_bytes(encoded(manifest(name="a")))
    assert names(Folder(tmp_path / "a.yaml", READER)) == ["a-node-1"]


def test_a_folder_that_is_missing_is_an_error_of_the_folder(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        Folder(tmp_path / "none", READER).scan()
