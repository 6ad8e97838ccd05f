"""KubeletConfiguration: what a file may say."""

import logging
from pathlib import Path

import pytest

from pybernetes.kubelet.configuration import ConfigurationError, load, unknown_fields

HEAD = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"


def test_fields_of_upstream_that_do_nothing_here_are_no_fault(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(
        HEAD + "clusterDNS: [10.96.0.10]\nimageMinimumGCAge: 0s\nauthentication: {webhook: {cacheTTL: 0s}}\n"
    )
    assert load(file).cluster_dns == ("10.96.0.10",)
    assert not caplog.records


def test_unknown_fields_are_named_as_upstream_names_them(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Upstream falls back to lenient decoding for v1beta1 and says so: the node starts."""
    file = tmp_path / "config.yaml"
    file.write_text(HEAD + "maxpods: 5\nauthentication: {x509: {caFile: x}}\nmaxPods: 7\n")
    with caplog.at_level(logging.WARNING):
        assert load(file).max_pods == 7
    wanted = 'strict decoding error: unknown field "maxpods", unknown field "authentication.x509.caFile"'
    assert wanted in caplog.text


def test_a_scalar_where_a_map_belongs_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(HEAD + "authentication: 1\n")
    assert unknown_fields({"authentication": 1}) == []
    with pytest.raises(ConfigurationError, match="authentication"):
        load(file)
