"""Requests and limits as the kernel wants them."""

from tests.unit.kubelet.pods import container, pod

from pybernetes.api.types import core_v1
from pybernetes.kubelet.resources import container_resources, pod_limits

MEMORY = 4 * 2**30


def limited(cpu: str = "500m", memory: str = "64Mi", **requests: str) -> core_v1.ResourceRequirements:
    return core_v1.ResourceRequirements(limits={"cpu": cpu, "memory": memory}, requests=requests)


def test_limits_become_shares_and_quota() -> None:
    only = container(resources=limited(cpu="500m", memory="64Mi"))
    found = container_resources(pod(only), only, MEMORY)
    assert (found.cpu_shares, found.cpu_quota, found.memory_limit, found.oom_score_adj) == (512, 50_000, 64 << 20, -997)


def test_oom_scores_follow_the_qos_class() -> None:
    assert container_resources(pod(), container(), MEMORY).oom_score_adj == 1000
    half = container(resources=core_v1.ResourceRequirements(requests={"memory": "2Gi"}))
    assert container_resources(pod(half), half, MEMORY).oom_score_adj == 500


def test_the_pods_cgroup_is_limited_only_when_every_container_is() -> None:
    both = pod(container("a", resources=limited()), container("b", resources=limited()))
    assert pod_limits(both).memory == 128 << 20
    assert pod_limits(both).cpu_quota == 100_000
    one = pod(container("a", resources=limited()), container("b"))
    assert pod_limits(one).memory is None
    assert pod_limits(one).cpu_quota is None
