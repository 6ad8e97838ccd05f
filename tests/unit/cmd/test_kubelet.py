"""Flags and the configuration file of the kubelet."""

import sys
from pathlib import Path

import pytest

from pybernetes import KUBERNETES_VERSION
from pybernetes.cmd import _kubelet as kubelet
from pybernetes.cmd import kubelet as entry
from pybernetes.cmd._daemon import StartError
from pybernetes.cmd._kubelet_flags import FIELDS
from pybernetes.kubelet.configuration_effects import EFFECTS
from pybernetes.kubelet.configuration_file import ConfigurationError, load

FILE = """\
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {x509: {clientCAFile: /pki/ca.crt}}
clusterDNS: [10.96.0.10]
clusterDomain: example.local
maxPods: 20
serverTLSBootstrap: true
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(FILE)
    return path


def parsed(*words: str) -> tuple[object, object]:
    options = kubelet.parser().parse_args(words)
    config = kubelet.configuration_of(options)
    return kubelet.settings_of(options, config), config


def test_the_file_is_read_and_flags_outrank_it(file: Path) -> None:
    settings, config = parsed(
        "--config", str(file), "--max-pods", "30", "--hostname-override", "Node-1", "--node-ip", "192.0.2.1"
    )
    assert settings.node_name == "node-1"
    assert settings.config.max_pods == 30
    assert settings.config.cluster_dns == ("10.96.0.10",)
    assert settings.config.cluster_domain == "example.local"
    assert config.server_tls_bootstrap
    assert config.authentication.x509.client_ca_file == "/pki/ca.crt"


@pytest.mark.parametrize(
    ("text", "why"),
    [("kind: Pod\napiVersion: v1", "is not a KubeletConfiguration"), ("a: [", "is not YAML"),
     (FILE.replace("20", "many"), "maxPods: cannot unmarshal string")],
)  # fmt: skip
def test_a_wrong_file_is_named(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=why):
        load(path)
    with pytest.raises(StartError):
        kubelet.configuration_of(kubelet.parser().parse_args(["--config", str(path)]))


def test_flags_become_fields_in_their_own_form(file: Path) -> None:
    _, config = parsed(
        "--config", str(file), "--node-ip=192.0.2.1", "--eviction-hard=memory.available<1Gi,nodefs.available<5%",
        "--system-reserved=cpu=200m,memory=1Gi", "--register-with-taints=a=b:NoSchedule,c=:NoExecute",
        "--cluster-dns=10.0.0.1,10.0.0.2", "--rotate-certificates", "--serialize-image-pulls=false",
        "--node-status-update-frequency=1m30s", "--feature-gates=NodeSwap=false", "--seccomp-default",
        "--allowed-unsafe-sysctls=kernel.msg*", "--allowed-unsafe-sysctls=net.core.somaxconn", "--client-ca-file=/other",
    )  # fmt: skip
    assert config.eviction_hard == {"memory.available": "1Gi", "nodefs.available": "5%"}
    assert config.system_reserved == {"cpu": "200m", "memory": "1Gi"}
    assert [(t.key, t.value, t.effect) for t in config.register_with_taints] == [
        ("a", "b", "NoSchedule"), ("c", "", "NoExecute")
    ]  # fmt: skip
    assert config.cluster_dns == ("10.0.0.1", "10.0.0.2")
    assert config.rotate_certificates
    assert not config.serialize_image_pulls
    assert config.node_status_update_frequency == 90
    assert config.feature_gates == {"NodeSwap": False}
    assert config.allowed_unsafe_sysctls == ("kernel.msg*", "net.core.somaxconn")
    assert config.authentication.x509.client_ca_file == "/other"
    assert config.max_pods == 20


@pytest.mark.parametrize(
    ("words", "why"),
    [(["--nonsense"], "failed to parse kubelet flag: unknown flag: --nonsense"),
     (["--nonsense=1"], "failed to parse kubelet flag: unknown flag: --nonsense;"),
     (["run"], "failed to parse kubelet flag: unknown command run"),
     (["--max-pods=many"], 'argument --max-pods: invalid argument "many": strconv.ParseInt: parsing "many": invalid'),
     (["--sync-frequency=5"], 'time: missing unit in duration "5"'),
     (["--eviction-hard=memory.available=1Gi"], "malformed pair, expect string<string"),
     (["--register-with-taints=x"], "invalid taint spec: x"),
     (["--cloud-provider=aws"], "clouds are built in nowhere any more: it is external, or empty")],
)  # fmt: skip
def test_wrong_flags_end_the_command_with_one_line(
    words: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        kubelet.main(words)
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert said.startswith("kubelet: ")
    assert why in said


def test_every_field_of_a_flag_exists() -> None:
    for name, path, _, _ in FIELDS:
        assert path in EFFECTS, name


def test_words_of_a_flag_may_be_joined_by_underscores() -> None:
    options = kubelet.parser().parse_args(["--node_ip=192.0.2.1", "--node-labels=a_b=c_d", "--root_dir", "/x_y"])
    assert (options.node_ip, options.node_labels, options.root_dir) == ("192.0.2.1", "a_b=c_d", "/x_y")


def test_a_flag_that_belongs_into_the_file_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    kubelet.parser().parse_args(["--max-pods=3", "--provider-id=x", "--seccomp-default", "--hostname-override=n"])
    assert capsys.readouterr().err == (
        "Flag --max-pods has been deprecated, This parameter should be set via the config file specified by the Kubelet's"
        " --config flag. See https://kubernetes.io/docs/tasks/administer-cluster/kubelet-config-file/ for more"
        " information.\n"
    )


def test_credential_providers_are_read_and_refused(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="go together"):
        parsed("--node-ip=192.0.2.1", "--image-credential-provider-bin-dir=/bin")
    flags = (f"--image-credential-provider-config={tmp_path}/none", "--image-credential-provider-bin-dir=/bin")
    with pytest.raises(StartError, match="failed to register CRI auth plugins: error inspecting credential provider"):
        parsed("--node-ip=192.0.2.1", *flags)


async def test_a_lock_is_needed_to_exit_for_another(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    with pytest.raises(StartError, match="cannot exit on lock file contention: no lock file specified"):
        await kubelet.run(kubelet.parser().parse_args(["--exit-on-lock-contention"]))
    file = tmp_path / "none/lock"
    with pytest.raises(StartError, match=f'unable to acquire file lock on "{file}": No such file or directory'):
        await kubelet.run(kubelet.parser().parse_args([f"--lock-file={file}"]))


@pytest.mark.parametrize("columns", ["80", "120", "300"])
def test_help_fits_the_terminal_and_is_never_wider_than_120_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    with pytest.raises(SystemExit):
        kubelet.main(["--help"])
    assert max(map(len, capsys.readouterr().out.splitlines())) <= min(120, int(columns))


def test_help_names_every_flag(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        kubelet.main(["--help"])
    said = capsys.readouterr().out
    for flag in ("--config-dir", "--eviction-hard", "--pod-manifest-path", "--tls-min-version", "--cgroups-per-qos"):
        assert flag in said


def test_the_version_is_kubernetes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        kubelet.main(["--version"])
    assert capsys.readouterr().out == f"Kubernetes {KUBERNETES_VERSION}\n"


def test_labels_that_belong_to_kubernetes_are_refused_but_for_the_nodes_own() -> None:
    assert kubelet.labels_of("a=b,c=,node.kubernetes.io/x=1,topology.kubernetes.io/zone=z") == {
        "a": "b", "c": "", "node.kubernetes.io/x": "1", "topology.kubernetes.io/zone": "z"
    }  # fmt: skip
    with pytest.raises(StartError, match=r"labels specified with --node-labels: \[node-role\.kubernetes\.io/x\]"):
        kubelet.labels_of("node-role.kubernetes.io/x=")
    with pytest.raises(StartError, match="is not key=value"):
        kubelet.labels_of("a")
    with pytest.raises(StartError, match="--node-ip"):
        kubelet.node_ips("not an address")


def test_what_cannot_be_done_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(FILE + "cgroupDriver: systemd\ncpuManagerPolicy: static\n")
    with pytest.raises(StartError, match="set it to cgroupfs") as error:
        parsed("--config", str(path), "--node-ip", "192.0.2.1")
    assert "cpuManagerPolicy" in str(error.value)


@pytest.mark.parametrize(
    ("flags", "alone"), [((), True), (("--kubeconfig=x",), False), (("--bootstrap-kubeconfig=x",), False)]
)
def test_without_a_kubeconfig_a_kubelet_is_standalone(flags: tuple[str, ...], alone: bool) -> None:
    options = kubelet.parser().parse_args([*flags, "--node-ip=192.0.2.1"])
    assert kubelet.settings_of(options, kubelet.configuration_of(options)).standalone is alone


def test_without_the_extra_node_the_command_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "pybernetes.cmd._kubelet", raising=False)
    monkeypatch.delattr("pybernetes.cmd._kubelet", raising=False)
    monkeypatch.setitem(sys.modules, "pybernetes.kubelet.cri.events", None)
    with pytest.raises(SystemExit, match=r"pip install 'pybernetes\[node\]'"):
        entry.main([])
