"""Host name and /etc/hosts of a Pod. sandbox.py takes the name, executor.py writes the file."""

from pybernetes.api.types import core_v1
from pybernetes.kubelet.settings import Settings

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


def hostname(pod: core_v1.Pod) -> str:
    """The Pod's host name, at most 63 characters and no trailing dash or dot."""
    name = pod.spec.hostnameOverride or pod.spec.hostname or pod.metadata.name
    return name[:_HOSTNAME_LIMIT].rstrip("-.")


def hosts_file(pod: core_v1.Pod, ips: tuple[str, ...], settings: Settings, own: str) -> str:
    """/etc/hosts of the Pod; `own` is the node's, which Pods of the host network see."""
    if pod.spec.hostNetwork:
        text = "# Kubernetes-managed hosts file (host network).\n" + own
    else:
        name = hostname(pod)
        full = f"{name}.{pod.spec.subdomain}.{pod.metadata.namespace}.svc.{settings.config.cluster_domain}"
        names = f"{full}\t{name}" if pod.spec.subdomain else name
        text = _HOSTS_HEADER + _LOCAL_HOSTS + "".join(f"{ip}\t{names}\n" for ip in ips)
    if pod.spec.hostAliases:
        text += "\n# Entries added by HostAliases.\n"
        text += "".join(f"{alias.ip}\t" + "\t".join(alias.hostnames) + "\n" for alias in pod.spec.hostAliases)
    return text
