"""resolv.conf of a Pod by its dnsPolicy and dnsConfig. sandbox.py hands it to the runtime, executor.py tells the warnings.

See "DNS for Services and Pods". The limits are the resolver's: see resolv.conf(5).
"""

from collections.abc import Callable, Iterable
from pathlib import Path

from msgspec import Struct

from pybernetes.api.types import core_v1
from pybernetes.kubelet.configuration import Configuration
from pybernetes.kubelet.settings import Settings
from pybernetes.kubelet.specs.names import full_name

FORMING, MISSING = "DNSConfigForming", "MissingClusterDNS"
_MOST_SERVERS, _MOST_SEARCHES = 3, 32
_CLUSTER_SEARCHES = 3
_MOST_CHARACTERS, _LONGEST_SEARCH = 2048, 253


class Warned(Struct, frozen=True):
    """An event of type Warning about the Pod, and one about its node where that has the fault."""

    reason: str
    message: str
    of_node: str = ""


class Dns(Struct, frozen=True):
    """What stands in a resolv.conf, and what of the wishes had to be left out."""

    servers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    warnings: tuple[Warned, ...] = ()


def dns(pod: core_v1.Pod, settings: Settings, resolv_conf: str) -> Dns:
    """The Pod's own; `resolv_conf` is the text of the node's."""
    wanted = _by_policy(pod, settings, resolv_conf)
    return _within_limits(_with_config(wanted, pod.spec.dnsConfig))


def parse_resolv_conf(text: str) -> Dns:
    """Name servers, search domains, options of a resolv.conf(5); of search and options lines the last one counts."""
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
            searches = [word.removesuffix(".") for word in words[1:] if word != "."]
        elif words[0] == "options":
            options = words[1:]
    return Dns(tuple(servers), tuple(searches), tuple(options))


def _by_policy(pod: core_v1.Pod, settings: Settings, resolv_conf: str) -> Dns:
    config, policy = settings.config, pod.spec.dnsPolicy or "ClusterFirst"
    host = parse_resolv_conf(resolv_conf)
    if policy == "None":
        return Dns()
    warnings: tuple[Warned, ...] = ()
    if policy == "ClusterFirstWithHostNet" or (policy == "ClusterFirst" and not pod.spec.hostNetwork):
        if config.cluster_dns:
            zone = config.cluster_domain
            searches = (f"{pod.metadata.namespace}.svc.{zone}", f"svc.{zone}", zone) if zone else ()
            return Dns(tuple(config.cluster_dns), _once(searches, host.searches), ("ndots:5",))
        message = (
            'kubelet does not have ClusterDNS IP configured and cannot create Pod using "ClusterFirst" policy.'
            ' Falling back to "Default" policy.'
        )
        warnings = (Warned(MISSING, f'pod: "{full_name(pod)}". {message}', message),)
    if not config.resolv_conf:
        # Without a resolv.conf on the node Pods ask the machine itself, which is to say nobody.
        local = tuple("::1" if ":" in ip else "127.0.0.1" for ip in settings.node_ips) or ("127.0.0.1",)
        return Dns(local, (".",), (), warnings)
    return Dns(host.servers, host.searches, host.options, warnings)


def _with_config(base: Dns, given: core_v1.PodDNSConfig | None) -> Dns:
    if given is None:
        return base
    options = dict(_option(option) for option in base.options)
    options |= {option.name: option.value or "" for option in given.options}
    return Dns(
        _once(base.servers, given.nameservers),
        _once(base.searches, given.searches),
        tuple(f"{name}:{value}" if value else name for name, value in options.items()),
        base.warnings,
    )


def _option(text: str) -> tuple[str, str]:
    name, _, value = text.partition(":")
    return name, value


def _within_limits(wanted: Dns) -> Dns:
    warnings = list(wanted.warnings)
    servers = wanted.servers[:_MOST_SERVERS]
    if servers != wanted.servers:
        warnings.append(
            Warned(
                FORMING,
                "Nameserver limits were exceeded, some nameservers have been omitted,"
                f" the applied nameserver line is: {' '.join(servers)}",
            )
        )
    searches = [s for s in wanted.searches[:_MOST_SEARCHES] if len(s) <= _LONGEST_SEARCH]
    while len(" ".join(searches)) > _MOST_CHARACTERS:
        searches.pop()
    if tuple(searches) != wanted.searches:
        warnings.append(
            Warned(
                FORMING,
                "Search Line limits were exceeded, some search paths have been omitted,"
                f" the applied search line is: {' '.join(searches)}",
            )
        )
    return Dns(servers, tuple(searches), wanted.options, tuple(warnings))


def resolv_conf_warnings(config: Configuration, read: Callable[[Path], str] = Path.read_text) -> list[str]:
    """What of the node's own resolv.conf no Pod can be given. Blocking."""
    if not config.resolv_conf:
        return []
    file, most = config.resolv_conf, _MOST_SEARCHES - (_CLUSTER_SEARCHES if config.cluster_domain else 0)
    try:
        searches = parse_resolv_conf(read(Path(file))).searches
    except OSError as error:
        return [f"open {file}: {(error.strerror or str(error)).lower()}"]
    found = []
    if len(searches) > most:
        found.append(f"Resolv.conf file '{file}' contains search line consisting of more than {most} domains!")
    if len(" ".join(searches)) > _MOST_CHARACTERS:
        length = f"search line which length is more than allowed {_MOST_CHARACTERS} chars!"
        found.append(f"Resolv.conf file '{file}' contains {length}")
    return found


def _once(*lists: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word for words in lists for word in words))
