"""Host name and /etc/hosts of a Pod. sandbox.py takes the name, executor.py writes the file."""

from pybernetes.api.types import core_v1
from pybernetes.kubelet.environment import ConfigError

_HOSTNAME_LIMIT = 63
_FQDN_LIMIT = 64
_HOSTS_HEADER = "# Kubernetes-managed hosts file.\n"
_LOCAL_HOSTS = (
    "127.0.0.1\tlocalhost\n"
    "::1\tlocalhost ip6-localhost ip6-loopback\n"
    "fe00::0\tip6-localnet\n"
    "fe00::0\tip6-mcastprefix\n"
    "fe00::1\tip6-allnodes\n"
    "fe00::2\tip6-allrouters\n"
)


def hostname(pod: core_v1.Pod) -> str:
    """The Pod's short host name, at most 63 characters and no trailing dash or dot."""
    name = pod.spec.hostnameOverride or pod.spec.hostname or pod.metadata.name
    return name if len(name) <= _HOSTNAME_LIMIT else name[:_HOSTNAME_LIMIT].rstrip("-.")


def domain(pod: core_v1.Pod, zone: str) -> str:
    """The Pod's domain by its subdomain; empty where it has none. hostnameOverride stands alone (KEP-4762)."""
    if not pod.spec.subdomain or pod.spec.hostnameOverride is not None:
        return ""
    return f"{pod.spec.subdomain}.{pod.metadata.namespace}.svc.{zone}"


def kernel_hostname(pod: core_v1.Pod, zone: str) -> str:
    """What uname(2) says in the Pod: setHostnameAsFQDN makes it the whole name. Raises ConfigError where that is too long."""
    name, below = hostname(pod), domain(pod, zone)
    if not below or not pod.spec.setHostnameAsFQDN:
        return name
    full = f"{name}.{below}"
    if len(full) > _FQDN_LIMIT:
        raise ConfigError(
            f"failed to construct FQDN from pod hostname and cluster domain, FQDN {full} is too long"
            f" ({_FQDN_LIMIT} characters is the max, {len(full)} characters requested)"
        )
    return full


def hosts_file(pod: core_v1.Pod, ips: tuple[str, ...], zone: str, own: str) -> str:
    """/etc/hosts of the Pod; `own` is the node's, which Pods of the host network see."""
    if pod.spec.hostNetwork:
        text = "# Kubernetes-managed hosts file (host network).\n" + own
    else:
        name = hostname(pod)
        below = domain(pod, zone)
        names = f"{name}.{below}\t{name}" if below else name
        text = _HOSTS_HEADER + _LOCAL_HOSTS + "".join(f"{ip}\t{names}\n" for ip in ips)
    if pod.spec.hostAliases:
        text += "\n# Entries added by HostAliases.\n"
        text += "".join(f"{alias.ip}\t" + "\t".join(alias.hostnames) + "\n" for alias in pod.spec.hostAliases)
    return text
