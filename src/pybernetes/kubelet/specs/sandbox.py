"""RunPodSandbox's request, from a Pod. executor.py sends it."""

from pybernetes.api.types import core_v1
from pybernetes.kubelet.cri import model as m
from pybernetes.kubelet.settings import Settings
from pybernetes.kubelet.specs.dns import dns
from pybernetes.kubelet.specs.hosts import hostname
from pybernetes.kubelet.specs.names import labels, log_folder, pod_ref
from pybernetes.kubelet.specs.security import groups_of


def sandbox_spec(pod: core_v1.Pod, attempt: int, settings: Settings, cgroup: str, resolv_conf: str) -> m.SandboxSpec:
    """What RunPodSandbox is asked for."""
    context = pod.spec.securityContext or core_v1.PodSecurityContext()
    servers, searches, options = dns(pod, settings, resolv_conf)
    privileged = any(c.securityContext and c.securityContext.privileged for c in pod.spec.containers)
    return m.SandboxSpec(
        pod=pod_ref(pod),
        attempt=attempt,
        hostname=hostname(pod),
        log_directory=str(log_folder(settings, pod)),
        cgroup_parent=cgroup,
        labels={**pod.metadata.labels, **labels(pod)},
        annotations=pod.metadata.annotations,
        host_network=pod.spec.hostNetwork,
        host_pid=pod.spec.hostPID,
        host_ipc=pod.spec.hostIPC,
        share_processes=bool(pod.spec.shareProcessNamespace),
        privileged=privileged,
        dns_servers=tuple(servers),
        dns_searches=tuple(searches),
        dns_options=tuple(options),
        ports=tuple(
            m.Port(port.protocol or "TCP", port.containerPort, port.hostPort, port.hostIP)
            for container in (*pod.spec.initContainers, *pod.spec.containers)
            for port in container.ports
            if port.hostPort and not pod.spec.hostNetwork
        ),
        sysctls={s.name: s.value for s in context.sysctls},
        run_as_user=context.runAsUser,
        run_as_group=context.runAsGroup if context.runAsUser is not None else None,
        supplemental_groups=groups_of(context),
    )
