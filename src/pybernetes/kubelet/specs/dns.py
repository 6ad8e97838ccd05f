"""resolv.conf of a Pod by its dnsPolicy and dnsConfig. sandbox.py hands it to the runtime."""

from pybernetes.api.types import core_v1
from pybernetes.kubelet.settings import Settings


def dns(pod: core_v1.Pod, settings: Settings, resolv_conf: str) -> tuple[list[str], list[str], list[str]]:
    """Name servers, search domains and options of the Pod's resolv.conf, by its dnsPolicy."""
    servers, searches, options = parse_resolv_conf(resolv_conf)
    policy = pod.spec.dnsPolicy or "ClusterFirst"
    if policy == "None":
        servers, searches, options = [], [], []
    elif settings.config.cluster_dns and (
        policy == "ClusterFirstWithHostNet" or (policy == "ClusterFirst" and not pod.spec.hostNetwork)
    ):
        servers = list(settings.config.cluster_dns)
        zone = settings.config.cluster_domain
        if zone:
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
