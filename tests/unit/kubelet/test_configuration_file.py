"""KubeletConfiguration: what a file may say."""

from pathlib import Path

import pytest
from msgspec.structs import fields

from pybernetes.kubelet.configuration import Configuration, wire_name
from pybernetes.kubelet.configuration_file import ConfigurationError, configuration_of, decode, encode, load, read_all

HEAD = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"


def refused(folder: Path, text: str) -> str:
    file = folder / "config.yaml"
    file.write_text(HEAD + text)
    with pytest.raises(ConfigurationError) as error:
        load(file)
    return str(error.value).replace(f"{file}: ", "")


def test_every_problem_of_a_file_is_told_with_its_path(tmp_path: Path) -> None:
    text = """\
evictionhard: {}
authentication: {x509: {caFile: x}, webhook: 1}
maxPods: many
maxPods: 7
port: "10250"
syncFrequency: 5
fileCheckFrequency: 5parsec
clusterDNS: [10.96.0.10, 4]
failSwapOn: "no"
registerWithTaints: [{key: a, efect: NoSchedule}]
"""
    assert refused(tmp_path, text).splitlines() == [
        'line 6: key "maxPods" already set in map',
        'unknown field "evictionhard"',
        'unknown field "authentication.x509.caFile"',
        "authentication.webhook: cannot unmarshal int into a field of type map",
        "port: cannot unmarshal string into a field of type int",
        "syncFrequency: cannot unmarshal int into a field of type duration",
        'fileCheckFrequency: time: unknown unit "parsec" in duration "5parsec"',
        "clusterDNS[1]: cannot unmarshal int into a field of type string",
        "failSwapOn: cannot unmarshal string into a field of type bool",
        'unknown field "registerWithTaints[0].efect"',
    ]


def test_zeros_are_defaults_where_go_has_no_pointer(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(HEAD + "port: 0\nhealthzPort: 0\nresolvConf: ''\nauthentication: {webhook: {cacheTTL: 0s}}\n")
    found = load(file)
    assert (found.port, found.healthz_port, found.resolv_conf) == (10250, 0, "")
    assert found.authentication.webhook.cache_ttl == 120


@pytest.mark.parametrize(
    ("said", "field", "value"),
    [({"nodeStatusUpdateFrequency": "4s"}, "node_status_report_frequency", 4.0),
     ({"nodeStatusUpdateFrequency": "4s", "nodeStatusReportFrequency": "1m"}, "node_status_report_frequency", 60.0),
     ({"maxParallelImagePulls": 3}, "serialize_image_pulls", False),
     ({"maxParallelImagePulls": 3, "serializeImagePulls": True}, "serialize_image_pulls", True),
     ({"podPidsLimit": -7}, "pod_pids_limit", -1),
     ({"evictionHard": {"memory.available": "1Gi"}}, "eviction_hard", {"memory.available": "1Gi"}),
     ({"logging": {"flushFrequency": 3000000000}}, "logging.flush_frequency", 3.0)],
)  # fmt: skip
def test_defaults_follow_what_else_is_said(said: dict[str, object], field: str, value: object) -> None:
    found, problems = decode(said)
    assert not problems
    whole: object = found
    for part in field.split("."):
        whole = getattr(whole, part)
    assert whole == value


def test_eviction_defaults_are_merged_when_asked() -> None:
    found, _ = decode({"evictionHard": {"nodefs.available": "1%"}, "mergeDefaultEvictionSettings": True})
    assert found.eviction_hard["nodefs.available"] == "1%"
    assert found.eviction_hard["memory.available"] == "100Mi"


def test_drop_ins_are_merged_over_the_file_in_order_of_their_names(tmp_path: Path) -> None:
    file, folder = tmp_path / "config.yaml", tmp_path / "conf.d"
    folder.mkdir()
    file.write_text(HEAD + "maxPods: 5\nclusterDNS: [10.0.0.1]\nevictionHard: {memory.available: 1Gi}\n")
    (folder / "20-b.conf").write_text(HEAD + "maxPods: 20\nevictionHard: {nodefs.available: 7%}\n")
    (folder / "10-a.conf").write_text(HEAD + "maxPods: 10\nclusterDNS: [10.0.0.2]\n")
    (folder / "30-c.yaml").write_text("no configuration")
    found = configuration_of(read_all(file, folder))
    assert (found.max_pods, found.cluster_dns) == (20, ("10.0.0.2",))
    assert found.eviction_hard == {"memory.available": "1Gi", "nodefs.available": "7%"}
    (folder / "40-d.conf").write_text(HEAD + "maxpods: 1\n")
    with pytest.raises(ConfigurationError, match=r'40-d\.conf: unknown field "maxpods"'):
        read_all(file, folder)
    (folder / "40-d.conf").write_text("maxPods: 1\n")
    with pytest.raises(ConfigurationError, match=r"40-d\.conf is not a KubeletConfiguration"):
        read_all(file, folder)


def test_the_effective_configuration_is_shown_in_upstreams_words_and_read_back() -> None:
    config = Configuration(cluster_dns=("10.96.0.10",), single_process_oom_kill=False)
    shown = encode(config)
    assert shown["syncFrequency"] == "1m0s"
    assert shown["cpuCFSQuotaPeriod"] == "100ms"
    assert shown["logging"]["flushFrequency"] == "5s"
    assert shown["authentication"]["webhook"] == {"enabled": True, "cacheTTL": "2m0s"}
    assert shown["evictionHard"]["memory.available"] == "100Mi"
    assert "tracing" not in shown
    assert decode(shown) == (config, [])


def test_wire_names_are_upstreams() -> None:
    names = {field.encode_name for field in fields(Configuration)}
    for name in ("serverTLSBootstrap", "cgroupsPerQOS", "imageGCHighThresholdPercent", "makeIPTablesUtilChains",
                 "reservedSystemCPUs", "kubeAPIQPS", "staticPodURLHeader", "tlsCertFile", "singleProcessOOMKill",
                 "failCgroupV1", "podCIDR", "providerID", "podPidsLimit", "oomScoreAdj"):  # fmt: skip
        assert name in names
    assert wire_name("cluster_dns") == "clusterDNS"
