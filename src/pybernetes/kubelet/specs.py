"""A Pod's spec in the runtime's words: pure translation into SandboxSpec and ContainerSpec. executor.py sends them."""

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from pybernetes.api.types import core_v1
from pybernetes.kubelet.cri import model as m
from pybernetes.kubelet.environment import ConfigError, expand
from pybernetes.kubelet.pod_machine import CONTAINER_HASH, container_hash, pod_grace
from pybernetes.kubelet.resources import container_resources
from pybernetes.kubelet.settings import Settings

DEFAULT_MESSAGE_PATH = "/dev/termination-log"
_PROPAGATION = {"None": 0, "HostToContainer": 1, "Bidirectional": 2}
_HOSTNAME_LIMIT = 63
_HOSTS_HEADER = "# Kubernetes-managed hosts file.\n"
_LOCAL_HOSTS = (
    "127.0.0.1\tlocalhost\n"
    "::1\tlocalhost ip6-localhost ip6-loopback\n"
    "fe00::0\tip6-localnet\n"
    "fe00::0\tip6-mcastprefix\n"
    "fe00::1\tip6-allnodes\n"
    "fe00::2\tip6-allrouters\n"
)


def pod_ref(pod: core_v1.Pod) -> m.PodRef:
    """The Pod's names."""
    return m.PodRef(pod.metadata.namespace, pod.metadata.name, pod.metadata.uid)


def labels(pod: core_v1.Pod) -> dict[str, str]:
    """By which the runtime's sandboxes and containers are found again."""
    meta = pod.metadata
    return {m.POD_NAME: meta.name, m.POD_NAMESPACE: meta.namespace, m.POD_UID: meta.uid}


def log_folder(settings: Settings, pod: core_v1.Pod) -> Path:
    """/var/log/pods/<namespace>_<name>_<uid>."""
    meta = pod.metadata
    return settings.logs / f"{meta.namespace}_{meta.name}_{meta.uid}"


def hostname(pod: core_v1.Pod) -> str:
    """The Pod's host name, at most 63 characters and no trailing dash or dot."""
    name = pod.spec.hostnameOverride or pod.spec.hostname or pod.metadata.name
    return name[:_HOSTNAME_LIMIT].rstrip("-.")


def dns(pod: core_v1.Pod, settings: Settings, resolv_conf: str) -> tuple[list[str], list[str], list[str]]:
    """Name servers, search domains and options of the Pod's resolv.conf, by its dnsPolicy."""
    servers, searches, options = parse_resolv_conf(resolv_conf)
    policy = pod.spec.dnsPolicy or "ClusterFirst"
    if policy == "None":
        servers, searches, options = [], [], []
    elif settings.cluster_dns and (
        policy == "ClusterFirstWithHostNet" or (policy == "ClusterFirst" and not pod.spec.hostNetwork)
    ):
        servers = list(settings.cluster_dns)
        zone = settings.cluster_domain
        searches = [f"{pod.metadata.namespace}.svc.{zone}", f"svc.{zone}", zone, *searches]
        options = ["ndots:5"]
    given = pod.spec.dnsConfig
    if given is not None:
        servers = list(dict.fromkeys((*servers, *given.nameservers)))
        searches = list(dict.fromkeys((*searches, *given.searches)))
        names = {option.name for option in given.options}
        options = [option for option in options if option.partition(":")[0] not in names]
        options += [f"{o.name}:{o.value}" if o.value else o.name for o in given.options]
    return servers, searches, options


def parse_resolv_conf(text: str) -> tuple[list[str], list[str], list[str]]:
    """Name servers, search domains, options of a resolv.conf(5)."""
    servers: list[str] = []
    searches: list[str] = []
    options: list[str] = []
    for line in text.splitlines():
        words = line.split()
        if not words or words[0].startswith(("#", ";")):
            continue
        if words[0] == "nameserver":
            servers += words[1:2]
        elif words[0] == "search":
            searches = words[1:]
        elif words[0] == "options":
            options = words[1:]
    return servers, [s for s in searches if s != "."], options


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
        supplemental_groups=_groups(context),
    )


def _groups(context: core_v1.PodSecurityContext) -> tuple[int, ...]:
    extra = () if context.fsGroup is None else (context.fsGroup,)
    return tuple(dict.fromkeys((*context.supplementalGroups, *extra)))


def hosts_file(pod: core_v1.Pod, ips: tuple[str, ...], settings: Settings, own: str) -> str:
    """/etc/hosts of the Pod; `own` is the node's, which Pods of the host network see."""
    if pod.spec.hostNetwork:
        text = "# Kubernetes-managed hosts file (host network).\n" + own
    else:
        name = hostname(pod)
        full = f"{name}.{pod.spec.subdomain}.{pod.metadata.namespace}.svc.{settings.cluster_domain}"
        names = f"{full}\t{name}" if pod.spec.subdomain else name
        text = _HOSTS_HEADER + _LOCAL_HOSTS + "".join(f"{ip}\t{names}\n" for ip in ips)
    if pod.spec.hostAliases:
        text += "\n# Entries added by HostAliases.\n"
        text += "".join(f"{alias.ip}\t" + "\t".join(alias.hostnames) + "\n" for alias in pod.spec.hostAliases)
    return text


class Making(Struct, frozen=True):
    """What one container is made from, beside its spec."""

    pod: core_v1.Pod
    container: core_v1.Container
    attempt: int
    delay: float
    image: str
    """The image id that was pulled."""
    environment: Mapping[str, str]
    volumes: Mapping[str, Path]
    hosts: Path | None
    message_file: Path
    settings: Settings


def container_spec(making: Making) -> m.ContainerSpec:
    """What CreateContainer is asked for. Raises ConfigError where the spec cannot be met."""
    pod, container = making.pod, making.container
    name = container.name
    message_path = container.terminationMessagePath or DEFAULT_MESSAGE_PATH
    env = making.environment
    annotations = {
        CONTAINER_HASH: container_hash(container),
        m.RESTART_COUNT: str(making.attempt),
        m.RESTART_DELAY: f"{making.delay:g}",
        m.GRACE_PERIOD: f"{pod_grace(pod):g}",
        m.MESSAGE_PATH: message_path,
        m.MESSAGE_POLICY: container.terminationMessagePolicy or "File",
    }
    return m.ContainerSpec(
        name=name,
        attempt=making.attempt,
        image=making.image,
        command=tuple(expand(word, env) for word in container.command),
        args=tuple(expand(word, env) for word in container.args),
        working_dir=container.workingDir,
        envs=tuple(env.items()),
        mounts=_mounts(making, message_path),
        labels={**labels(pod), m.CONTAINER_NAME: name},
        annotations=annotations,
        log_path=f"{name}/{making.attempt}.log",
        stdin=container.stdin,
        stdin_once=container.stdinOnce,
        tty=container.tty,
        resources=container_resources(pod, container, making.settings.memory),
        security=_security(pod, container, making.settings),
    )


def _mounts(making: Making, message_path: str) -> tuple[m.Mount, ...]:
    found = []
    for mount in making.container.volumeMounts:
        if mount.name not in making.volumes:
            raise ConfigError(f'volume "{mount.name}" not found')
        host = making.volumes[mount.name]
        below = expand(mount.subPathExpr, making.environment) if mount.subPathExpr else mount.subPath
        if below:
            host = subpath(host, below, mount.name, making.container.name)
        propagation = _PROPAGATION[mount.mountPropagation or "None"]
        found.append(m.Mount(str(host), _absolute(mount.mountPath), mount.readOnly, propagation))
    taken = {mount.container_path.rstrip("/") for mount in found}
    if making.hosts is not None and "/etc/hosts" not in taken:
        found.append(m.Mount(str(making.hosts), "/etc/hosts"))
    found.append(m.Mount(str(making.message_file), message_path))
    return tuple(found)


def _absolute(path: str) -> str:
    return path if path.startswith("/") else f"/{path}"


def subpath(volume: Path, below: str, mount: str, container: str) -> Path:
    """A path inside a volume, made as a directory where it is missing. Raises ConfigError with upstream's words."""
    where = f'for volumeMount "{mount}" of container "{container}"'
    if below.startswith("/"):
        raise ConfigError(f"error SubPath `{below}` must not be an absolute path")
    if ".." in below.split("/"):
        raise ConfigError(f"unable to provision SubPath `{below}`: must not contain '..'")
    path = (volume / below).resolve()
    if not path.is_relative_to(volume.resolve()):
        raise ConfigError(f"failed to prepare subPath {where}")
    if not volume.exists():
        raise ConfigError(f"stat {volume}: no such file or directory")
    # What is missing becomes a directory, also where the Pod means a file: nothing says which it is to be.
    try:
        _make_below(path, volume.stat().st_mode & 0o7777)
    except OSError:
        # Not the system's words: they would tell of the node's files.
        raise ConfigError(f"failed to create subPath directory {where}") from None
    return path


def _make_below(path: Path, mode: int) -> None:
    """Makes a directory and its parents with a mode, whatever the umask."""
    if not path.exists():
        _make_below(path.parent, mode)
        path.mkdir()
        path.chmod(mode)


def _security(pod: core_v1.Pod, container: core_v1.Container, settings: Settings) -> m.Security:
    general = pod.spec.securityContext or core_v1.PodSecurityContext()
    own = container.securityContext or core_v1.SecurityContext()
    user = general.runAsUser if own.runAsUser is None else own.runAsUser
    group = general.runAsGroup if own.runAsGroup is None else own.runAsGroup
    capabilities = own.capabilities or core_v1.Capabilities()
    profile = own.seccompProfile or general.seccompProfile
    seccomp = "Unconfined"
    if profile is not None:
        seccomp = profile.type
        if profile.type == "Localhost":
            seccomp = str(settings.root / "seccomp" / (profile.localhostProfile or ""))
    return m.Security(
        privileged=bool(own.privileged),
        add_capabilities=capabilities.add,
        drop_capabilities=capabilities.drop,
        run_as_user=user,
        run_as_group=group if user is not None else None,
        read_only_root=bool(own.readOnlyRootFilesystem),
        no_new_privileges=own.allowPrivilegeEscalation is False,
        supplemental_groups=_groups(general),
        seccomp=seccomp,
        unmasked_proc=own.procMount == "Unmasked",
    )


def check_not_root(pod: core_v1.Pod, container: core_v1.Container, image: m.Image | None) -> None:
    """runAsNonRoot. Raises ConfigError with upstream's words."""
    general = pod.spec.securityContext or core_v1.PodSecurityContext()
    own = container.securityContext or core_v1.SecurityContext()
    wanted = general.runAsNonRoot if own.runAsNonRoot is None else own.runAsNonRoot
    if not wanted:
        return
    user = general.runAsUser if own.runAsUser is None else own.runAsUser
    where = f'(pod: "{pod.metadata.name}_{pod.metadata.namespace}({pod.metadata.uid})", container: {container.name})'
    if user is not None:
        if user == 0:
            raise ConfigError(f"container's runAsUser breaks non-root policy {where}")
        return
    if image is not None and image.uid is None and image.user:
        raise ConfigError(
            f"container has runAsNonRoot and image has non-numeric user ({image.user}),"
            f" cannot verify user is non-root {where}"
        )
    if image is None or not image.uid:
        raise ConfigError(f"container has runAsNonRoot and image will run as root {where}")
