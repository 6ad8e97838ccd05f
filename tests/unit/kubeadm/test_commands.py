"""init, join, token and certs on a machine in a folder, against an API server that keeps what it is given."""

import re
import stat
import time
from typing import Any

import orjson
import pytest
import yaml
from tests.unit.kubeadm.plane import TOKEN, ControlPlane, config_of, join_of, sign

from pybernetes.kubeadm import commands, tokens
from pybernetes.kubeadm.commands import NewToken
from pybernetes.kubeadm.discovery import DiscoveryFailedError, discover
from pybernetes.kubeadm.errors import KubeadmError
from pybernetes.kubeadm.phases.init.bootstrap_token import cluster_info
from pybernetes.kubeadm.tokens import Token
from pybernetes.wire.pki import certificates
from pybernetes.wire.pki.certificates import public_key_hash


async def test_init_leaves_a_working_control_plane_and_says_how_to_go_on(plane: ControlPlane, spoken: Any) -> None:
    spoken.paths.at("/etc/pybernetes/services").mkdir(parents=True)
    await commands.init(config_of(plane), spoken.machine)
    pki = spoken.paths.at("/etc/kubernetes/pki")
    ca = certificates.parse_certificate((pki / "ca.crt").read_bytes())
    assert "Your Kubernetes control-plane has initialized successfully!" in spoken.text
    assert "  sudo cp -i /etc/kubernetes/admin.conf $HOME/.kube/config\n" in spoken.text
    assert (
        f"kubeadm join 127.0.0.1:{plane.port} --token {TOKEN} \\\n"
        f"\t--discovery-token-ca-cert-hash {public_key_hash(ca)}" in spoken.text
    )
    for path in [*pki.glob("*.key"), *spoken.paths.at("/etc/kubernetes").glob("*.conf")]:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    objects = plane.api.objects
    assert objects["/api/v1/nodes/m1"]["spec"]["taints"] == [
        {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}
    ]
    info = objects["/api/v1/namespaces/kube-public/configmaps/cluster-info"]["data"]["kubeconfig"]
    assert yaml.safe_load(info)["clusters"][0]["cluster"]["server"] == f"https://127.0.0.1:{plane.port}"
    assert "/api/v1/namespaces/kube-system/secrets/bootstrap-token-abcdef" in objects
    bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
    assert objects[f"{bindings}/kubeadm:cluster-admins"]["subjects"][0]["name"] == "kubeadm:cluster-admins"
    assert objects[f"{bindings}/kubeadm:node-proxier"]["roleRef"]["name"] == "system:node-proxier"
    unit = orjson.loads(spoken.paths.at("/etc/pybernetes/services/kubelet.json").read_bytes())
    assert unit["command"][0] == "kubelet"
    assert unit["condition_path"] == "/var/lib/kubelet/config.yaml"
    flags = spoken.paths.at("/var/lib/kubelet/kubeadm-flags.env").read_text()
    assert flags == 'KUBELET_KUBEADM_ARGS="--hostname-override=m1 --node-ip=127.0.0.1"\n'
    kubelet = yaml.safe_load(spoken.paths.at("/var/lib/kubelet/config.yaml").read_text())
    assert kubelet["authentication"]["anonymous"] == {"enabled": False}
    assert kubelet["serverTLSBootstrap"] is True


async def test_init_can_be_repeated_over_what_it_left(plane: ControlPlane, spoken: Any) -> None:
    await commands.init(config_of(plane), spoken.machine)
    before = spoken.paths.at("/etc/kubernetes/pki/ca.crt").read_bytes()
    await commands.init(config_of(plane), spoken.machine)
    assert spoken.paths.at("/etc/kubernetes/pki/ca.crt").read_bytes() == before
    assert "Using existing ca certificate authority" in spoken.text


async def test_init_without_supervisor_says_what_to_start(plane: ControlPlane, spoken: Any) -> None:
    await commands.init(config_of(plane), spoken.machine)
    assert any("Start the kubelet yourself" in text and "kubelet.conf" in text for text in spoken.warned)


async def test_token_is_withheld_on_demand(plane: ControlPlane, spoken: Any) -> None:
    await commands.init(config_of(plane, skip_token_print=True), spoken.machine)
    assert TOKEN.secret not in spoken.text
    assert "--token <value withheld>" in spoken.text


async def test_control_plane_that_never_comes_is_said_with_the_reason_and_the_mend(
    plane: ControlPlane, spoken: Any
) -> None:
    spoken.clock.hook = None
    with pytest.raises(KubeadmError) as caught:
        await commands.init(config_of(plane), spoken.machine)
    text = str(caught.value)
    assert text.startswith("error execution phase wait-control-plane: kube-apiserver is not healthy after 240s")
    assert f"dial tcp 127.0.0.1:{plane.port}: connect: connection refused" in text
    assert "kubeadm reset -f" in text
    assert any("not yet after" in line for line in spoken.said)


async def test_dry_run_touches_nothing(plane: ControlPlane, spoken: Any) -> None:
    await commands.init(config_of(plane, dry_run=True), spoken.machine)
    assert not spoken.paths.at("/etc").exists()
    folder = re.search(r'manifests to the "(.*)" directory', spoken.text)
    assert folder is not None


async def test_join_proves_the_cluster_and_leaves_the_kubelet_to_bootstrap(
    cluster: ControlPlane, spoken: Any, tmp_path: Any
) -> None:
    worker = type(spoken)(tmp_path / "worker")
    worker.paths.at("/etc/pybernetes/services").mkdir(parents=True)

    async def bootstrap() -> None:
        conf = yaml.safe_load(worker.paths.at("/etc/kubernetes/bootstrap-kubelet.conf").read_text())
        assert conf["users"][0]["user"] == {"token": str(TOKEN)}
        worker.write("/etc/kubernetes/kubelet.conf", "kubelet's own")

    worker.clock.hook = bootstrap
    await commands.join(join_of(cluster, spoken), worker.machine)
    assert "This node has joined the cluster:" in worker.text
    assert worker.paths.at("/etc/kubernetes/pki/ca.crt").read_bytes() == (
        spoken.paths.at("/etc/kubernetes/pki/ca.crt").read_bytes()
    )
    assert not worker.paths.at("/etc/kubernetes/bootstrap-kubelet.conf").exists()
    proxy = yaml.safe_load(worker.paths.at("/etc/kubernetes/manifests/kube-proxy.yaml").read_text())
    assert "--cluster-cidr=10.244.0.0/16" in proxy["spec"]["containers"][0]["command"]
    bearer = {r.headers.get("authorization") for r in cluster.api.requests if "configmaps/kubelet-config" in r.target}
    assert f"Bearer {TOKEN}" in bearer


async def test_phases_run_alone_on_a_cluster_that_is_there(cluster: ControlPlane, spoken: Any, tmp_path: Any) -> None:
    bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
    del cluster.api.objects[f"{bindings}/kubeadm:node-proxier"]
    await commands.init_phase("addon-kube-proxy", config_of(cluster), spoken.machine)
    assert f"{bindings}/kubeadm:node-proxier" in cluster.api.objects
    worker = type(spoken)(tmp_path / "worker")
    await commands.join_phase("kubelet-start", join_of(cluster, spoken), worker.machine)
    assert worker.paths.at("/etc/kubernetes/bootstrap-kubelet.conf").exists()


async def test_join_under_the_name_of_a_ready_node_is_refused(cluster: ControlPlane, spoken: Any) -> None:
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    cluster.api.objects["/api/v1/nodes/w1"] = {"metadata": {"name": "w1"}, "status": ready}
    with pytest.raises(KubeadmError, match='a Node with name "w1" and status "Ready" already exists'):
        await commands.join(join_of(cluster, spoken), spoken.machine)


async def test_kubelet_that_gets_no_certificate_is_said_with_where_to_look(
    cluster: ControlPlane, spoken: Any, tmp_path: Any
) -> None:
    worker = type(spoken)(tmp_path / "worker")
    with pytest.raises(KubeadmError, match="kubectl get csr"):
        await commands.join(join_of(cluster, spoken), worker.machine)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"token": Token("zzzzzz", "0123456789abcdef")},
            'token id "zzzzzz" is invalid for this cluster or it has expired',
        ),
        ({"token": Token("abcdef", "zzzzzzzzzzzzzzzz")}, "failed to verify JWS signature of received cluster info"),
        ({"ca_hashes": ("sha256:" + "0" * 64,)}, "none of the public keys .* are pinned"),
        ({"endpoint": "127.0.0.1:1"}, "failed to request the cluster-info ConfigMap: dial tcp 127.0.0.1:1: connect:"),
    ],
)
async def test_untrusted_clusters_are_not_joined(
    cluster: ControlPlane, spoken: Any, tmp_path: Any, changes: dict[str, Any], text: str
) -> None:
    worker = type(spoken)(tmp_path / "worker")
    with pytest.raises(KubeadmError, match=text) as caught:
        await commands.join(join_of(cluster, spoken, **changes), worker.machine)
    assert "couldn't validate the identity of the API Server" in str(caught.value)
    assert not worker.paths.at("/etc").exists(), "a machine that did not join is as it was"
    assert "reset" not in str(caught.value)


async def test_signature_that_comes_a_little_later_is_waited_for(cluster: ControlPlane, spoken: Any) -> None:
    data = cluster.api.objects["/api/v1/namespaces/kube-public/configmaps/cluster-info"]["data"]
    del data["jws-kubeconfig-abcdef"]

    async def later() -> None:
        sign(cluster)

    spoken.clock.hook = later
    found = await discover(join_of(cluster, spoken), spoken.clock)
    assert found.server == f"https://127.0.0.1:{cluster.port}"


async def test_authority_of_the_right_key_that_did_not_sign_the_server_is_found_out(
    cluster: ControlPlane, spoken: Any
) -> None:
    other = certificates.new_authority("other", time.time())
    data = cluster.api.objects["/api/v1/namespaces/kube-public/configmaps/cluster-info"]["data"]
    data["kubeconfig"] = cluster_info(f"https://127.0.0.1:{cluster.port}", other.pem)
    sign(cluster)
    config = join_of(cluster, spoken, ca_hashes=(public_key_hash(other.certificate),))
    with pytest.raises(DiscoveryFailedError, match="x509: certificate signed by unknown authority"):
        await discover(config, spoken.clock)


async def test_tokens_are_created_listed_and_deleted(cluster: ControlPlane, spoken: Any) -> None:
    admin = spoken.paths.at("/etc/kubernetes/admin.conf")
    new = Token("fedcba", "fedcba9876543210")
    spoken.said.clear()
    await commands.create_token(NewToken(new, 3600.0, print_join_command=True), admin, spoken.machine)
    (line,) = spoken.said
    assert re.fullmatch(
        rf"kubeadm join 127.0.0.1:{cluster.port} --token {new} --discovery-token-ca-cert-hash sha256:[0-9a-f]{{64}}",
        line,
    )
    spoken.said.clear()
    await commands.list_tokens(admin, spoken.machine)
    table = spoken.said[0].splitlines()
    assert table[0].split()[:3] == ["TOKEN", "TTL", "EXPIRES"]
    assert any(row.startswith(f"{new}   1h") or row.startswith(f"{new}   59m") for row in table)
    with pytest.raises(KubeadmError, match="already exists"):
        await commands.create_token(NewToken(new, 0.0), admin, spoken.machine)
    await commands.delete_tokens(["fedcba"], admin, spoken.machine)
    assert spoken.said[-1] == 'bootstrap token "fedcba" deleted'
    with pytest.raises(KubeadmError, match="there is no such token"):
        await commands.delete_tokens([str(new)], admin, spoken.machine)


async def test_token_commands_away_from_the_control_plane_say_where_to_run(spoken: Any) -> None:
    with pytest.raises(KubeadmError, match="run this on a control-plane node"):
        await commands.create_token(NewToken(tokens.generate(), 0.0), spoken.paths.at("/none"), spoken.machine)


async def test_expiration_shows_every_certificate(cluster: ControlPlane, spoken: Any) -> None:
    spoken.said.clear()
    commands.check_expiration(spoken.machine)
    rows = {line.split()[0]: line for line in spoken.said[0].splitlines() if line}
    assert "364d" in rows["apiserver"]
    assert "9y" in rows["ca"]
    assert "admin.conf" in rows
