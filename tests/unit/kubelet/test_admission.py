"""What fits on the node."""

import pytest
from msgspec.structs import replace
from tests.unit.kubelet.pods import container, named, pod

from pybernetes.api.types import core_v1
from pybernetes.kubelet.admission import Host
from pybernetes.kubelet.admission import admit as decide
from pybernetes.kubelet.pod_actions import Verdict
from pybernetes.kubelet.status.node import DECLARED

NODE = {"cpu": "2", "memory": "1Gi", "pods": "3", "ephemeral-storage": "1Gi", "hugepages-2Mi": "0"}
HOST = Host("n1", NODE, labels={"kubernetes.io/os": "linux", "disk": "ssd"})


def admit(pod: core_v1.Pod, others: list[core_v1.Pod], host: Host = HOST) -> Verdict | None:
    decision = decide(pod, others, host)
    assert not decision.preempted
    return decision.refused


def asking(**requests: str) -> core_v1.Pod:
    return pod(container(resources=core_v1.ResourceRequirements(requests=requests)))


def test_what_fits_is_admitted() -> None:
    assert admit(asking(cpu="1500m"), [asking(cpu="500m")]) is None


@pytest.mark.parametrize(
    ("requests", "reason", "numbers"),
    [
        ({"cpu": "1500m"}, "OutOfcpu", "cpu, requested: 1500, used: 1000, capacity: 2000"),
        (
            {"ephemeral-storage": "2Gi"},
            "OutOfephemeral-storage",
            "ephemeral-storage, requested: 2147483648, used: 0, capacity: 1073741824",
        ),
        ({"hugepages-2Mi": "4Mi"}, "OutOfhugepages-2Mi", "hugepages-2Mi, requested: 4194304, used: 0, capacity: 0"),
        ({"memory": "2Gi"}, "OutOfmemory", "memory, requested: 2147483648, used: 0, capacity: 1073741824"),
    ],
)
def test_what_does_not_fit_beside_the_others_is_refused(requests: dict[str, str], reason: str, numbers: str) -> None:
    verdict = admit(asking(**requests), [asking(cpu="1")])
    assert verdict is not None
    assert (verdict.reason, verdict.message) == (reason, f"Node didn't have enough resource: {numbers}")


def test_the_number_of_pods_is_limited() -> None:
    verdict = admit(pod(), [pod()] * 3)
    assert verdict is not None
    assert verdict.reason == "OutOfpods"


def test_what_the_node_does_not_have_at_all_is_ignored() -> None:
    assert admit(asking(**{"example.com/gpu": "1"}), []) is None


def with_sysctl(name: str, **spec: bool) -> core_v1.Pod:
    context = core_v1.PodSecurityContext(sysctls=(core_v1.Sysctl(name=name, value="1"),))
    made = pod(container())
    return replace(made, spec=replace(made.spec, securityContext=context, **spec))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (with_sysctl("kernel.msgmax"), 'forbidden sysctl: "kernel.msgmax" not allowlisted'),
        (with_sysctl("kernel/msgmax"), 'forbidden sysctl: "kernel.msgmax" not allowlisted'),
        (
            with_sysctl("net.ipv4.tcp_syncookies", hostNetwork=True),
            'forbidden sysctl: "net.ipv4.tcp_syncookies" not allowed with host net enabled',
        ),
        (
            with_sysctl("kernel.shm_rmid_forced", hostIPC=True),
            'forbidden sysctl: "kernel.shm_rmid_forced" not allowed with host ipc enabled',
        ),
    ],
)
def test_kernel_settings_that_could_harm_others_are_refused(asked: core_v1.Pod, message: str) -> None:
    verdict = admit(asked, [])
    assert verdict is not None
    assert (verdict.reason, verdict.message) == ("SysctlForbidden", message)
    assert admit(with_sysctl("kernel.shm_rmid_forced"), []) is None


def test_two_pods_cannot_have_the_same_port_of_the_node() -> None:
    first, same, other = (
        pod(container(ports=(core_v1.ContainerPort(containerPort=80, hostPort=port, protocol="TCP"),)))
        for port in (8080, 8080, 8081)
    )
    verdict = admit(same, [first])
    assert verdict is not None
    assert verdict.reason == "NodePorts"
    assert admit(other, [first]) is None


def test_allowed_unsafe_settings_are_names_and_beginnings() -> None:
    host = replace(HOST, sysctls=("kernel.msgmax", "net.ipv4.route.*"))
    assert admit(with_sysctl("kernel.msgmax"), [], host) is None
    assert admit(with_sysctl("net/ipv4/route/min_pmtu"), [], host) is None
    assert admit(with_sysctl("kernel.msgmnb"), [], host) is not None
    # They count in the Pod's own namespaces alone, or not at all.
    assert admit(with_sysctl("net.ipv4.route.min_pmtu", hostNetwork=True), [], host) is not None


def reason(pod: core_v1.Pod, host: Host = HOST) -> str:
    found = admit(pod, [], host)
    return "" if found is None else found.reason


def test_a_pod_that_names_its_node_must_still_fit_its_labels() -> None:
    assert reason(pod(nodeSelector={"disk": "ssd"})) == ""
    assert reason(pod(nodeSelector={"disk": "hdd"})) == "NodeAffinity"
    assert reason(pod(nodeName="n2")) == "NodeName"


def test_a_pod_of_another_system_is_refused() -> None:
    assert reason(pod(os=core_v1.PodOS(name="windows"))) == "PodOSNotSupported"
    assert reason(pod(os=core_v1.PodOS(name="linux"))) == ""
    assert reason(pod(meta={"labels": {"kubernetes.io/os": "windows"}})) == "PodOSSelectorNodeLabelDoesNotMatch"


@pytest.mark.parametrize(("effect", "refused"), [("NoExecute", True), ("NoSchedule", False)])
def test_only_what_drives_pods_away_keeps_them_away_here(effect: str, refused: bool) -> None:
    host = replace(HOST, taints=(core_v1.Taint(key="k", effect=effect),))
    assert (reason(pod(), host) == "TaintToleration") is refused
    assert reason(pod(tolerations=(core_v1.Toleration(operator="Exists"),)), host) == ""
    static = pod(meta={"annotations": {"kubernetes.io/config.source": "file"}})
    assert reason(static, host) == ""


def test_strict_groups_need_a_runtime_that_knows_them() -> None:
    strict = pod(securityContext=core_v1.PodSecurityContext(supplementalGroupsPolicy="Strict"))
    assert reason(strict) == ""
    assert reason(strict, replace(HOST, strict_groups=False)) == "SupplementalGroupsPolicyNotSupported"


def test_huge_pages_need_a_controller_that_keeps_them_apart() -> None:
    wants = asking(**{"hugepages-2Mi": "4Mi"})
    some = replace(HOST, allocatable={**NODE, "hugepages-2Mi": "8Mi"})
    refused = admit(wants, [], some)
    assert refused is not None
    assert (refused.reason, refused.message) == (
        "UnexpectedAdmissionError",
        "hugepages-2Mi cannot be limited: this node has no hugetlb cgroup controller",
    )
    assert admit(wants, [], replace(some, huge_pages=True)) is None


def test_short_of_memory_only_those_that_request_none_are_refused() -> None:
    host = replace(HOST, pressures={"MemoryPressure"})
    assert admit(pod(), [], host) == Verdict("Evicted", "The node had condition: [MemoryPressure]. ")
    assert reason(asking(memory="1Mi"), host) == ""
    toleration = core_v1.Toleration(key="node.kubernetes.io/memory-pressure", operator="Exists", effect="NoSchedule")
    assert reason(pod(tolerations=(toleration,)), host) == ""


def test_short_of_anything_else_only_critical_pods_are_taken() -> None:
    host = replace(HOST, pressures={"DiskPressure", "MemoryPressure"})
    refused = admit(asking(memory="1Mi"), [], host)
    assert refused == Verdict("Evicted", "The node had condition: [DiskPressure MemoryPressure]. ")
    assert reason(pod(priority=2_000_000_000), host) == ""


def names(pods: tuple[core_v1.Pod, ...]) -> list[str]:
    return [p.metadata.name for p in pods]


def test_for_a_critical_pod_as_few_and_as_small_pods_as_can_be_must_go() -> None:
    critical = named("critical", 2_000_000_000, cpu="1500m")
    others = [named("idle"), named("large", cpu="1200m"), named("small", cpu="700m")]
    host = replace(HOST, allocatable={**NODE, "cpu": "2500m", "pods": "10"})
    assert names(decide(critical, others, host).preempted) == ["large"]
    # All of them would do for less: then it is the smallest that is enough.
    assert names(decide(named("critical", 2_000_000_000, cpu="900m"), others, host).preempted) == ["small"]


def test_a_place_is_made_by_those_who_were_promised_least() -> None:
    critical = named("critical", 2_000_000_000)
    assert names(decide(critical, [named("a", cpu="1"), named("idle"), named("b", cpu="1")], HOST).preempted) == [
        "idle"
    ]


def test_a_critical_pod_that_does_not_belong_here_preempts_nobody() -> None:
    lost = replace(
        named("critical", 2_000_000_000, cpu="2"), spec=pod(nodeSelector={"disk": "hdd"}, priority=2 * 10**9).spec
    )
    assert decide(lost, [named("a", cpu="2")] * 3, HOST).refused == Verdict(
        "NodeAffinity", "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"
    )


def test_critical_pods_do_not_preempt_each_other_at_the_same_priority() -> None:
    refused = decide(named("b", 2_000_000_000, cpu="2"), [named("a", 2_000_000_000, cpu="1")], HOST).refused
    assert refused is not None
    assert refused.reason == "UnexpectedAdmissionError"
    assert refused.message.endswith("no set of running pods found to reclaim resources: [(res: cpu, q: 1000), ]")
    higher = decide(named("b", 2_000_001_000, cpu="2"), [named("a", 2_000_000_000, cpu="1")], HOST)
    assert names(higher.preempted) == ["a"]


def test_what_no_node_of_this_kind_can_do_is_refused_with_its_name() -> None:
    rule = core_v1.ContainerRestartRule(
        action="RestartAllContainers", exitCodes=core_v1.ContainerRestartRuleOnExitCodes(operator="In", values=(1,))
    )
    all_anew = pod(container(restartPolicyRules=(rule,)))
    verdict = admit(all_anew, [])
    assert verdict is not None
    assert (verdict.reason, verdict.message) == (
        "PodFeatureUnsupported",
        "Pod requires node features that are not available: RestartAllContainersOnContainerExits",
    )
    assert admit(all_anew, [], replace(HOST, features=DECLARED)) is None
    claims = (core_v1.PodResourceClaim(name="gpu", resourceClaimName="gpu"),)
    mount = core_v1.VolumeMount(name="v", mountPath="/v", bindMountOptions=("noexec",))
    wanted = pod(container(volumeMounts=(mount,)), resourceClaims=claims, hostNetwork=True, hostUsers=False)
    verdict = admit(wanted, [], replace(HOST, features=DECLARED))
    assert verdict is not None
    assert verdict.message == (
        "Pod requires node features that are not available:"
        " DynamicResourceAllocation, UserNamespacesHostNetworkSupport, VolumeBindMountOptions"
    )
