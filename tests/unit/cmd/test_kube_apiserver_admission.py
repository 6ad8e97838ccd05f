"""The admission flags of kube-apiserver."""

import pytest

from pybernetes.cmd._daemon import StartError
from pybernetes.cmd.kube_apiserver import config_of, parser


def config(*flags):
    return config_of(parser().parse_args(["--bind-address", "127.0.0.1", *flags]))


def test_plugins_are_named_with_commas():
    found = config(
        "--enable-admission-plugins", "NodeRestriction, PodNodeSelector", "--disable-admission-plugins=Priority"
    )
    assert found.enable_admission == ("NodeRestriction", "PodNodeSelector")
    assert found.disable_admission == ("Priority",)
    assert config().enable_admission == (), "as upstream: kubeadm switches NodeRestriction on"


def test_tolerations_of_silent_nodes_have_flags_of_their_own():
    given = config("--default-not-ready-toleration-seconds", "5").admission_configuration
    assert given["DefaultTolerationSeconds"] == {"notReadySeconds": 5, "unreachableSeconds": 300}


def test_the_configuration_file_is_read_at_the_start(tmp_path):
    path = tmp_path / "admission.yaml"
    path.write_text(
        "{apiVersion: apiserver.config.k8s.io/v1, kind: AdmissionConfiguration, plugins: [{name: ResourceQuota, "
        "configuration: {apiVersion: apiserver.config.k8s.io/v1, kind: ResourceQuotaConfiguration, "
        "limitedResources: [{resource: pods}]}}]}"
    )
    given = config("--admission-control-config-file", str(path)).admission_configuration
    assert given["ResourceQuota"]["limitedResources"] == [{"resource": "pods"}]
    path.write_text("{}")
    with pytest.raises(StartError, match="no AdmissionConfiguration"):
        config("--admission-control-config-file", str(path))
    with pytest.raises(StartError, match="No such file"):
        config("--admission-control-config-file", str(tmp_path / "none"))
