"""Every `kubectl create X`, and run, expose, autoscale, token, certificate."""

import base64
import json
from pathlib import Path

import pytest

from pybernetes.wire.pki.certificates import certificate_pem, new_authority, new_request
from pybernetes.wire.pki.keys import key_pem, new_key
from tests.clients import golden
from tests.clients.conftest import Kubectl

MADE = [
    ("configmap one --from-literal=a=b", "configmap/one"),
    ("cronjob one --image=web:1 --schedule=@daily -- date", "cronjob.batch/one"),
    ("deployment one --image=web:1 --replicas=2 --port=80", "deployment.apps/one"),
    ("ingress one --rule=example.com/*=web:80,tls=keys --class=edge", "ingress.networking.k8s.io/one"),
    ("job one --image=web:1 -- date", "job.batch/one"),
    ("poddisruptionbudget one --selector=app=one --min-available=50%", "poddisruptionbudget.policy/one"),
    ("quota one --hard=pods=9,cpu=4", "resourcequota/one"),
    ("role one --verb=get --resource=pods,deployments.apps/scale", "role.rbac.authorization.k8s.io/one"),
    ("rolebinding one --role=one --user=ann --group=them", "rolebinding.rbac.authorization.k8s.io/one"),
    ("secret generic one --from-literal=a=b --type=example.com/mine", "secret/one"),
    ("secret docker-registry two --docker-server=a --docker-username=b --docker-password=c", "secret/two"),
    ("service clusterip one --tcp=80:8080", "service/one"),
    ("service clusterip two --clusterip=None", "service/two"),
    ("service nodeport three --tcp=80:8080 --node-port=31999", "service/three"),
    ("service loadbalancer four --tcp=80", "service/four"),
    ("service externalname five --external-name=example.com", "service/five"),
    ("serviceaccount one", "serviceaccount/one"),
]
CLUSTER_MADE = [
    ("clusterrole clients-one --verb=get --resource=nodes --non-resource-url=/logs", "clusterrole.rbac.authorization.k8s.io"),
    ("clusterrole clients-two --aggregation-rule=a=b", "clusterrole.rbac.authorization.k8s.io"),
    ("clusterrolebinding clients-one --clusterrole=view --serviceaccount=a:b", "clusterrolebinding.rbac.authorization.k8s.io"),
    ("namespace clients-one", "namespace"),
    ("priorityclass clients-one --value=7 --preemption-policy=Never", "priorityclass.scheduling.k8s.io"),
]  # fmt: skip


def test_every_create_in_a_namespace(kubectl: Kubectl):
    for words, said in MADE:
        assert kubectl("create", *words.split()) == f"{said} created\n"
    kinds = "cm,deploy,ing,job,cronjob,pdb,quota,role,rolebinding,secret,svc,sa"
    kubectl("wait", "--for=jsonpath={.status.used.cpu}=0", "quota/one", "--timeout=10s")
    table = kubectl("get", kinds, "-o", "custom-columns=KIND:.kind,NAME:.metadata.name,SPEC:.spec.type")
    golden.hold("created.txt", golden.masked(table))
    again = kubectl.fails("create", "sa", "one")
    assert again == 'error: failed to create serviceaccount: serviceaccounts "one" already exists\n'


@pytest.mark.parametrize(
    ("words", "kind"), CLUSTER_MADE, ids=[words.split()[0] + words[-3:] for words, _ in CLUSTER_MADE]
)
def test_every_create_in_the_cluster(kubectl: Kubectl, words: str, kind: str):
    plain, name = words.split()[:2]
    try:
        assert kubectl("create", *words.split()) == f"{kind}/{name} created\n"
    finally:
        kubectl.attempt("delete", plain, name, "--wait=false")


def test_a_tls_secret_and_a_job_from_a_cronjob(kubectl: Kubectl, tmp_path: Path):
    authority = new_authority("example", 1767225600.0)
    (tmp_path / "tls.crt").write_bytes(certificate_pem(authority.certificate))
    (tmp_path / "tls.key").write_bytes(key_pem(authority.key))
    pair = (f"--cert={tmp_path}/tls.crt", f"--key={tmp_path}/tls.key")
    assert kubectl("create", "secret", "tls", "pair", *pair) == "secret/pair created\n"
    kubectl("create", "cronjob", "nightly", "--image=web:1", "--schedule=@daily")
    assert kubectl("create", "job", "now", "--from=cronjob/nightly") == "job.batch/now created\n"
    owner = json.loads(kubectl("get", "job", "now", "-o", "json"))["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["name"]) == ("CronJob", "nightly")


def test_dry_runs_make_nothing(kubectl: Kubectl):
    made = kubectl("create", "deployment", "dry", "--image=web:1", "--dry-run=server", "-o", "yaml")
    assert "uid: " in made
    assert kubectl("create", "cm", "dry", "--dry-run=server") == "configmap/dry created (server dry run)\n"
    assert kubectl("get", "deploy,cm", "-o", "name") == "configmap/kube-root-ca.crt\n"


def test_run_and_expose_and_autoscale(kubectl: Kubectl):
    assert kubectl("run", "web", "--image=web:1", "--port=80", "--expose") == "service/web created\npod/web created\n"
    kubectl("create", "deployment", "front", "--image=web:1", "--port=80")
    assert kubectl("expose", "deployment", "front", "--target-port=80") == "service/front exposed\n"
    assert kubectl("expose", "pod", "web", "--name=again", "--type=NodePort") == "service/again exposed\n"
    scaled = kubectl("autoscale", "deployment", "front", "--max=3", "--cpu-percent=50")
    assert scaled == "horizontalpodautoscaler.autoscaling/front autoscaled\n"
    golden.hold(
        "exposed.txt", golden.cells(kubectl("get", "svc,hpa", "-o", "wide")).replace("| 1 | 3 | 1 |", "| 1 | 3 | 0 |")
    )


def test_a_token_speaks_for_its_account(kubectl: Kubectl):
    kubectl("create", "serviceaccount", "robot")
    kubectl("create", "rolebinding", "robots", "--clusterrole=view", f"--serviceaccount={kubectl.namespace}:robot")
    token = kubectl(
        "create", "token", "robot", "--duration=1h", "--audience=https://kubernetes.default.svc.cluster.local"
    )
    own = kubectl.cluster.home / "robot"
    words = ("--kubeconfig", str(own))

    def config(*told: str) -> None:
        kubectl.cluster.run(kubectl.program, "config", *told, *words)

    authority = kubectl.cluster.config["clusters"][0]["cluster"]["certificate-authority-data"]
    config("set-cluster", "here", f"--server={kubectl.cluster.server}")
    config("set", "clusters.here.certificate-authority-data", authority)
    config("set-credentials", "robot", f"--token={token.strip()}")
    config("set-context", "robot", "--cluster=here", "--user=robot")
    config("use-context", "robot")
    assert f"system:serviceaccount:{kubectl.namespace}:robot" in kubectl("auth", "whoami", *words)
    assert kubectl("get", "cm", "-o", "name", *words) == "configmap/kube-root-ca.crt\n"
    assert "is forbidden" in kubectl.fails("get", "secrets", *words)
    bound = kubectl.fails("create", "token", "nobody")
    assert bound == 'error: failed to create token: serviceaccounts "nobody" not found\n'
    own.unlink()


def test_a_certificate_is_approved_signed_and_denied(kubectl: Kubectl):
    def requested(name: str) -> None:
        pem = new_request(name, (), (), new_key())
        spec = {
            "request": base64.b64encode(pem).decode(),
            "signerName": "kubernetes.io/kube-apiserver-client",
            "usages": ["client auth"],
        }
        body = {"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "spec": spec}
        kubectl("create", "-f", "-", stdin=json.dumps({**body, "metadata": {"name": name}}))

    for name in ("clients-ann", "clients-bob"):
        requested(name)
    try:
        approved = kubectl("certificate", "approve", "clients-ann")
        assert approved == "certificatesigningrequest.certificates.k8s.io/clients-ann approved\n"
        kubectl("wait", "--for=jsonpath={.status.certificate}", "csr/clients-ann", "--timeout=10s")
        assert kubectl("certificate", "deny", "clients-bob").endswith("/clients-bob denied\n")
        golden.hold("csr.txt", golden.cells(kubectl("get", "csr", "clients-ann", "clients-bob")))
        assert "Common Name:    clients-ann" in kubectl("describe", "csr", "clients-ann")
    finally:
        kubectl("delete", "csr", "clients-ann", "clients-bob")
