"""The messages of CRI for what is to be made: a SandboxSpec or ContainerSpec in protobuf. runtime.py sends them."""

from typing import Any

from cri_api.v1 import api_pb2 as pb

from pybernetes.kubelet.cri import model as m


def _int(value: int | None) -> Any:
    return None if value is None else pb.Int64Value(value=value)


def _namespaces(spec: m.SandboxSpec, target: str = "") -> Any:
    processes = pb.NODE if spec.host_pid else pb.POD if spec.share_processes else pb.CONTAINER
    return pb.NamespaceOption(
        network=pb.NODE if spec.host_network else pb.POD,
        pid=pb.TARGET if target else processes,
        ipc=pb.NODE if spec.host_ipc else pb.POD,
        target_id=target,
    )


def _profile(profile: m.Profile | None) -> Any:
    if profile is None:
        return None
    kind = pb.SecurityProfile.ProfileType.Value(profile.kind)
    return pb.SecurityProfile(profile_type=kind, localhost_ref=profile.ref)


def _selinux(label: m.SELinux | None) -> Any:
    if label is None:
        return None
    return pb.SELinuxOption(user=label.user, role=label.role, type=label.type, level=label.level)


def _policy(name: str) -> Any:
    return pb.SupplementalGroupsPolicy.Value(name)


def sandbox_config(spec: m.SandboxSpec) -> Any:
    """The CRI message of a SandboxSpec."""
    return pb.PodSandboxConfig(
        metadata=pb.PodSandboxMetadata(
            name=spec.pod.name, uid=spec.pod.uid, namespace=spec.pod.namespace, attempt=spec.attempt
        ),
        # Without its own UTS namespace a sandbox must name no host; the runtime refuses it otherwise.
        hostname="" if spec.host_network else spec.hostname,
        log_directory=spec.log_directory,
        dns_config=pb.DNSConfig(servers=spec.dns_servers, searches=spec.dns_searches, options=spec.dns_options),
        port_mappings=[
            pb.PortMapping(
                protocol=pb.Protocol.Value(port.protocol or "TCP"),
                container_port=port.container_port,
                host_port=port.host_port,
                host_ip=port.host_ip,
            )
            for port in spec.ports
        ],
        labels=spec.labels,
        annotations=spec.annotations,
        linux=pb.LinuxPodSandboxConfig(
            cgroup_parent=spec.cgroup_parent,
            sysctls=spec.sysctls,
            overhead=None if spec.overhead is None else linux_resources(spec.overhead),
            security_context=pb.LinuxSandboxSecurityContext(
                namespace_options=_namespaces(spec),
                privileged=spec.privileged,
                run_as_user=_int(spec.run_as_user),
                run_as_group=_int(spec.run_as_group),
                supplemental_groups=spec.supplemental_groups,
                supplemental_groups_policy=_policy(spec.groups_policy),
                selinux_options=_selinux(spec.selinux),
                seccomp=_profile(m.Profile("RuntimeDefault")),
            ),
        ),
    )


def linux_resources(limits: m.Resources) -> Any:
    """The CRI message of a container's limits."""
    return pb.LinuxContainerResources(
        cpu_shares=limits.cpu_shares,
        cpu_quota=limits.cpu_quota,
        cpu_period=limits.cpu_period,
        memory_limit_in_bytes=limits.memory_limit,
        oom_score_adj=limits.oom_score_adj,
        hugepage_limits=[pb.HugepageLimit(page_size=size, limit=n) for size, n in limits.huge_pages.items()],
        unified=limits.unified,
    )


def container_config(spec: m.ContainerSpec, pod: m.SandboxSpec) -> Any:
    """The CRI message of a ContainerSpec."""
    return pb.ContainerConfig(
        metadata=pb.ContainerMetadata(name=spec.name, attempt=spec.attempt),
        image=pb.ImageSpec(image=spec.image),
        command=spec.command,
        args=spec.args,
        working_dir=spec.working_dir,
        envs=[pb.KeyValue(key=name, value=value) for name, value in spec.envs],
        mounts=[
            pb.Mount(
                host_path=mount.host_path,
                container_path=mount.container_path,
                readonly=mount.read_only,
                propagation=_PROPAGATION[mount.propagation],
            )
            for mount in spec.mounts
        ],
        labels=spec.labels,
        annotations=spec.annotations,
        log_path=spec.log_path,
        stdin=spec.stdin,
        stdin_once=spec.stdin_once,
        tty=spec.tty,
        stop_signal=pb.Signal.Value(spec.stop_signal) if spec.stop_signal else pb.RUNTIME_DEFAULT,
        linux=pb.LinuxContainerConfig(
            resources=linux_resources(spec.resources),
            security_context=_security(spec.security, pod),
        ),
    )


def _security(security: m.Security, pod: m.SandboxSpec) -> Any:
    return pb.LinuxContainerSecurityContext(
        privileged=security.privileged,
        capabilities=pb.Capability(
            add_capabilities=security.add_capabilities, drop_capabilities=security.drop_capabilities
        ),
        namespace_options=_namespaces(pod, security.target),
        selinux_options=_selinux(security.selinux),
        run_as_user=_int(security.run_as_user),
        run_as_group=_int(security.run_as_group),
        run_as_username=security.run_as_name,
        readonly_rootfs=security.read_only_root,
        no_new_privs=security.no_new_privileges,
        supplemental_groups=security.supplemental_groups,
        supplemental_groups_policy=_policy(security.groups_policy),
        masked_paths=security.masked_paths,
        readonly_paths=security.read_only_paths,
        seccomp=_profile(security.seccomp),
        apparmor=_profile(security.apparmor),
    )


_PROPAGATION = (pb.PROPAGATION_PRIVATE, pb.PROPAGATION_HOST_TO_CONTAINER, pb.PROPAGATION_BIDIRECTIONAL)
