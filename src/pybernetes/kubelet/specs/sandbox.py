"""RunPodSandbox's request, from a Pod. executor.py sends it."""

from pybernetes.api.types import core_v1
from pybernetes.kubelet.admission import dotted
from pybernetes.kubelet.cri import model as m
from pybernetes.kubelet.environment import ConfigError
from pybernetes.kubelet.pod_containers import containers_of
from pybernetes.kubelet.resources import amount, quota, shares
from pybernetes.kubelet.settings import Settings
from pybernetes.kubelet.specs.dns import Dns
from pybernetes.kubelet.specs.hosts import kernel_hostname
from pybernetes.kubelet.specs.names import labels, log_folder, pod_ref
from pybernetes.kubelet.specs.security import groups_of, pod_context, selinux


def sandbox_spec(
    pod: core_v1.Pod, attempt: int, settings: Settings, *, cgroup: str, dns: Dns, handler: str = ""
) -> m.SandboxSpec:
    """What RunPodSandbox is asked for. Raises ConfigError where the spec cannot be met."""
    context = pod_context(pod)
    containers = containers_of(pod)
    return m.SandboxSpec(
        pod=pod_ref(pod),
        attempt=attempt,
        hostname=kernel_hostname(pod, settings.config.cluster_domain),
        log_directory=str(log_folder(settings, pod)),
        cgroup_parent=cgroup,
        labels={**pod.metadata.labels, **labels(pod)},
        annotations=pod.metadata.annotations,
        host_network=pod.spec.hostNetwork,
        host_pid=pod.spec.hostPID,
        host_ipc=pod.spec.hostIPC,
        share_processes=bool(pod.spec.shareProcessNamespace),
        privileged=any(c.securityContext and c.securityContext.privileged for c in containers),
        dns_servers=dns.servers,
        dns_searches=dns.searches,
        dns_options=dns.options,
        ports=_ports(pod),
        sysctls={dotted(s.name): s.value for s in context.sysctls},
        run_as_user=context.runAsUser,
        run_as_group=context.runAsGroup if context.runAsUser is not None else None,
        supplemental_groups=groups_of(context),
        groups_policy=context.supplementalGroupsPolicy or "Merge",
        selinux=selinux(context.seLinuxOptions),
        runtime_handler=handler,
        overhead=_overhead(pod),
    )


def check_handler(pod: core_v1.Pod, handler: m.Handler) -> None:
    """Raises ConfigError where the Pod's runtime handler cannot do what the Pod wants: user namespaces (KEP-127)."""
    if pod.spec.hostUsers is False and not handler.user_namespaces:
        who = f'RuntimeClass handler "{handler.name}"' if handler.name else "runtime"
        raise ConfigError(f"can't set `spec.hostUsers: false`, {who} does not support user namespaces")


def _ports(pod: core_v1.Pod) -> tuple[m.Port, ...]:
    """Ports of the node; on the host's network they are the node's anyway."""
    if pod.spec.hostNetwork:
        return ()
    return tuple(
        m.Port(port.protocol or "TCP", port.containerPort, port.hostPort, port.hostIP)
        for container in containers_of(pod)
        for port in container.ports
        if port.hostPort
    )


def _overhead(pod: core_v1.Pod) -> m.Resources | None:
    """Of the RuntimeClass, for runtimes that give it to a machine of the Pod."""
    if not pod.spec.overhead:
        return None
    cpu, memory = amount(pod.spec.overhead, "cpu"), amount(pod.spec.overhead, "memory")
    milli = cpu.milli_value()
    return m.Resources(cpu_shares=shares(milli), cpu_quota=quota(milli) if milli else 0, memory_limit=memory.value())
