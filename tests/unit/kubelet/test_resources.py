"""Requests and limits as the kernel wants them."""

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.kubelet.pods import container, pod

from pybernetes.api.types import core_v1
from pybernetes.kubelet.resources import CpuRules, Limits, container_resources, oom_score, pod_limits, weight

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


def asking(**requests: str) -> core_v1.ResourceRequirements:
    return core_v1.ResourceRequirements(requests=requests)


def test_a_container_without_limits_has_those_of_the_pod() -> None:
    whole = core_v1.ResourceRequirements(limits={"cpu": "1", "memory": "64Mi"}, requests={"cpu": "200m"})
    own = container("own", resources=limited(cpu="100m", memory="8Mi"))
    none = container("none")
    made = pod(own, none, resources=whole)
    assert container_resources(made, own, MEMORY).cpu_quota == 10_000
    found = container_resources(made, none, MEMORY)
    assert (found.cpu_shares, found.cpu_quota, found.memory_limit) == (2, 100_000, 64 << 20)
    limits = pod_limits(made)
    assert (limits.cpu_shares, limits.cpu_quota, limits.memory) == (204, 100_000, 64 << 20)


def test_what_a_runtime_class_needs_beside_the_containers_counts_for_the_pod() -> None:
    wants = core_v1.ResourceRequirements(limits={"cpu": "500m", "memory": "64Mi"}, requests={"cpu": "250m"})
    limits = pod_limits(pod(container(resources=wants), overhead={"cpu": "250m", "memory": "16Mi"}))
    assert (limits.cpu_shares, limits.cpu_quota, limits.memory) == (512, 75_000, 80 << 20)


def test_quotas_can_be_switched_off_and_their_period_chosen() -> None:
    only = container(resources=limited(cpu="500m"))
    off = CpuRules(quota=False)
    assert container_resources(pod(only), only, MEMORY, off).cpu_quota == -1
    assert pod_limits(pod(only), off).cpu_quota == -1
    short = container_resources(pod(only), only, MEMORY, CpuRules(period=10_000))
    assert (short.cpu_quota, short.cpu_period) == (5_000, 10_000)


def test_best_effort_has_the_least_share() -> None:
    assert pod_limits(pod()) == Limits(cpu_shares=2)


def test_huge_pages_are_limited_by_their_size() -> None:
    wants = core_v1.ResourceRequirements(
        limits={"hugepages-2Mi": "4Mi", "hugepages-1Gi": "1Gi", "memory": "1Gi", "cpu": "1"},
        requests={"hugepages-2Mi": "4Mi", "hugepages-1Gi": "1Gi", "memory": "1Gi", "cpu": "1"},
    )
    only = container(resources=wants)
    sizes = {"2MB": 4 << 20, "1GB": 1 << 30}
    assert container_resources(pod(only), only, MEMORY).huge_pages == sizes
    assert pod_limits(pod(only)).huge_pages == sizes


def test_a_sidecar_is_not_killed_before_what_it_serves() -> None:
    main = container("main", resources=asking(memory="2Gi"))
    sidecar = container("sidecar", restartPolicy="Always", resources=asking(memory="1Gi"))
    both = pod(main, initContainers=(sidecar,))
    assert oom_score(both, main, MEMORY) == 500
    assert oom_score(both, sidecar, MEMORY) == 500
    big = container("sidecar", restartPolicy="Always", resources=asking(memory="3Gi"))
    assert oom_score(pod(main, initContainers=(big,)), big, MEMORY) == 250


def test_what_the_pod_requests_beyond_its_containers_protects_each_of_them() -> None:
    first, second = container("a", resources=asking(memory="1Gi")), container("b")
    made = pod(first, second, resources=asking(memory="3Gi"))
    assert [oom_score(made, c, MEMORY) for c in (first, second)] == [500, 750]


def test_only_what_the_node_cannot_do_without_is_protected_by_its_class() -> None:
    node = pod(priority=2_000_001_000, priorityClassName="system-node-critical")
    cluster = pod(priority=2_000_000_000, priorityClassName="system-cluster-critical")
    assert [oom_score(p, p.spec.containers[0], MEMORY) for p in (node, cluster)] == [-997, 1000]


@given(st.integers(2, 262_144))
def test_more_shares_never_weigh_less(shares: int) -> None:
    assert 1 <= weight(shares) <= weight(shares + 1) <= 10_000


def test_a_whole_cpu_weighs_a_hundred() -> None:
    assert (weight(2), weight(1024), weight(262_144)) == (1, 100, 10_000)
