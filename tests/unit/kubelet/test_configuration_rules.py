"""Upstream's validation of KubeletConfiguration."""

import pytest

from pybernetes.kubelet.configuration import Configuration
from pybernetes.kubelet.configuration_file import decode
from pybernetes.kubelet.configuration_rules import cpu_set, problems_of


def test_the_defaults_are_valid() -> None:
    assert problems_of(Configuration()) == []


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"maxPods": -1}, "invalid configuration: maxPods (--max-pods) -1 must not be a negative number"),
        ({"imageGCHighThresholdPercent": 101},
         "invalid configuration: imageGCHighThresholdPercent (--image-gc-high-threshold) 101 must be between 0 and 100,"
         " inclusive"),
        ({"imageGCHighThresholdPercent": 80},
         "invalid configuration: imageGCLowThresholdPercent (--image-gc-low-threshold) 80 must be less than"
         " imageGCHighThresholdPercent (--image-gc-high-threshold) 80"),
        ({"imageMaximumGCAge": "1m"},
         "invalid configuration: imageMaximumGCAge 1m0s must be greater than imageMinimumGCAge 2m0s"),
        ({"evictionHard": {"foo.available": "1Gi"}}, "invalid configuration: unsupported eviction signal foo.available"),
        ({"evictionSoft": {"memory.available": "1Gi"}},
         "invalid configuration: grace period must be specified for the soft eviction threshold memory.available"),
        ({"shutdownGracePeriod": "10s", "shutdownGracePeriodCriticalPods": "20s"},
         "invalid configuration: shutdownGracePeriodCriticalPods 20s must be <= shutdownGracePeriod 10s"),
        ({"shutdownGracePeriod": "100ms"},
         "invalid configuration: shutdownGracePeriod 100ms must be either zero or otherwise >= 1 sec"),
        ({"shutdownGracePeriod": "10s", "shutdownGracePeriodByPodPriority": [{"priority": 0}]},
         "invalid configuration: Cannot specify both shutdownGracePeriodByPodPriority and shutdownGracePeriod at the"
         " same time"),
        ({"enforceNodeAllocatable": ["pods", "none"]},
         "invalid configuration: enforceNodeAllocatable (--enforce-node-allocatable) may not contain additional"
         ' enforcements when "none" is specified'),
        ({"enforceNodeAllocatable": ["kube-reserved"]},
         "invalid configuration: kubeReservedCgroup (--kube-reserved-cgroup) must be specified when"
         ' "kube-reserved" or "kube-reserved-compressible" included in enforceNodeAllocatable'
         " (--enforce-node-allocatable)"),
        ({"cgroupsPerQOS": False},
         'invalid configuration: cgroupsPerQOS (--cgroups-per-qos) must be set to true when "pods" contained in'
         " enforceNodeAllocatable (--enforce-node-allocatable)"),
        ({"systemReserved": {"gpu": "1"}}, 'invalid configuration: systemReserved: cannot reserve "gpu" resource'),
        ({"kubeReserved": {"cpu": "-1"}},
         'invalid configuration: kubeReserved: resource quantity for "cpu" cannot be negative: -1'),
        ({"maxParallelImagePulls": 2, "serializeImagePulls": True},
         "invalid configuration: maxParallelImagePulls cannot be larger than 1 unless SerializeImagePulls"
         " (--serialize-image-pulls) is set to false"),
        ({"containerLogMaxFiles": 1}, "invalid configuration: containerLogMaxFiles must be greater than 1"),
        ({"podLogsDir": "/a/../b"}, 'invalid configuration: pod logs path "/a/../b" must be normalized'),
        ({"logging": {"format": "xml"}}, 'logging.format: Invalid value: "xml": Unsupported log format'),
        ({"featureGates": {"Nonsense": True}}, "unrecognized feature gate: Nonsense"),
        ({"reservedMemory": [{"numaNode": 0, "limits": {"memory": 0}}]},
         'invalid configuration: reserved memory may not be zero for NUMA node 0 and resource "memory"'),
        ({"clusterDNS": ["dns"]}, 'invalid configuration: clusterDNS[0] "dns" is not an IP address'),
        ({"authorization": {"mode": "RBAC"}}, 'invalid configuration: unknown authorization mode "RBAC"'),
        ({"crashLoopBackOff": {"maxContainerRestartPeriod": "301s"}},
         "invalid configuration: CrashLoopBackOff.MaxContainerRestartPeriod (got: 301 seconds) must be set between 1s"
         " and 300s"),
        ({"tracing": {"samplingRatePerMillion": -1}},
         "tracing.samplingRatePerMillion: Invalid value: -1: sampling rate must be positive"),
    ],
)  # fmt: skip
def test_what_is_invalid_is_told_in_upstreams_words(said: dict[str, object], why: str) -> None:
    config, wrong = decode(said)
    assert not wrong
    assert problems_of(config) == [why]


def test_wrong_taints_are_named() -> None:
    config, _ = decode(
        {"registerWithTaints": [{"key": "a", "value": "b", "effect": "Never"}, {"key": "", "effect": ""}]}
    )
    first, second = problems_of(config)
    assert first.startswith("invalid taint: a=b:Never: invalid taint effect: Never")
    assert second.startswith("invalid taint: =:: ")


def test_all_problems_are_told_at_once() -> None:
    config, _ = decode({"port": 70000, "oomScoreAdj": 2000, "podLogsDir": "logs"})
    assert len(problems_of(config)) == 3


def test_lists_of_cpus() -> None:
    assert cpu_set("0-2,5") == {0, 1, 2, 5}
    assert cpu_set("") == frozenset()
    for wrong in ("a", "1-", "3-1", "1,,2"):
        with pytest.raises(ValueError, match=r"CPUs|range"):
            cpu_set(wrong)
