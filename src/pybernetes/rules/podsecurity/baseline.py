"""Baseline: what opens known ways out of a container is forbidden."""

from collections.abc import Iterator, Mapping
from typing import Any

from pybernetes.api.errors import shown
from pybernetes.rules.podcontainers import containers
from pybernetes.rules.podsecurity._visit import (
    Check,
    Meta,
    Spec,
    Violation,
    context,
    in_user_namespace,
    names,
    offenders,
    setters,
    values,
)
from pybernetes.rules.podsecurity.policy import listed, plural

_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"
_SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
_SECCOMP = "container.seccomp.security.alpha.kubernetes.io/"
_PROFILES = ("RuntimeDefault", "Localhost")
_CAPABILITIES = frozenset(
    {
        "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP",
        "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
    }
)  # fmt: skip
_SYSCTLS = {
    0: {"kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_syncookies"}
    | {"net.ipv4.ping_group_range", "net.ipv4.ip_unprivileged_port_start"},
    27: {"net.ipv4.ip_local_reserved_ports"},
    29: {f"net.ipv4.{name}" for name in ("tcp_keepalive_time", "tcp_fin_timeout")}
    | {f"net.ipv4.{name}" for name in ("tcp_keepalive_intvl", "tcp_keepalive_probes")},
    32: {"net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"},
    37: {"net.ipv4.tcp_slow_start_after_idle", "net.ipv4.tcp_notsent_lowat"},
}
"""Harmless ones, by the version that added them."""
_SELINUX = {0: {"", "container_t", "container_init_t", "container_kvm_t"}, 31: {"container_engine_t"}}


def _annotations(meta: Meta) -> Mapping[str, str]:
    return meta.get("annotations") or {}


def _profile(field: str, part: Spec) -> Any:
    return (part.get(field) or {}).get("type") if part.get(field) is not None else None


def app_armor(meta: Meta, spec: Spec) -> Violation | None:
    """By field and by annotation."""

    def bad(part: Spec) -> bool:
        kind = _profile("appArmorProfile", part)
        return part.get("appArmorProfile") is not None and kind not in _PROFILES

    own, found = offenders(spec, bad)
    told = values(own, found, spec, lambda part: _profile("appArmorProfile", part))
    noted = sorted(
        f"{key}={shown(value)}"
        for key, value in _annotations(meta).items()
        if key.startswith(_APPARMOR) and value not in ("", "runtime/default") and not value.startswith("localhost/")
    )
    who = [text for text in (setters(own, found), plural(len(noted), "annotation") if noted else "") if text]
    if not who:
        return None
    told += noted
    detail = f"{' and '.join(who)} must not set AppArmor profile type to {listed(told)}"
    return plural(len(told), "forbidden AppArmor profile"), detail


def capabilities(meta: Meta, spec: Spec) -> Violation | None:
    """None beyond those that runtimes give anyhow."""

    def beyond(one: Spec) -> set[str]:
        return set((context(one).get("capabilities") or {}).get("add") or ()) - _CAPABILITIES

    bad = [one for one in containers(spec) if beyond(one)]
    if not bad:
        return None
    added = listed(sorted(set[str]().union(*map(beyond, bad))))
    return "non-default capabilities", f"{names(bad)} must not include {added} in securityContext.capabilities.add"


def host_namespaces(meta: Meta, spec: Spec) -> Violation | None:
    """Network, processes and IPC of the host."""
    shared = [name for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)]
    return ("host namespaces", ", ".join(f"{name}=true" for name in shared)) if shared else None


def host_path_volumes(meta: Meta, spec: Spec) -> Violation | None:
    """Files of the host."""
    bad = [one.get("name", "") for one in spec.get("volumes") or () if one.get("hostPath") is not None]
    return ("hostPath volumes", f"{plural(len(bad), 'volume')} {listed(bad)}") if bad else None


def host_ports(meta: Meta, spec: Spec) -> Violation | None:
    """Ports of the host."""
    used = {
        id(one): [port["hostPort"] for port in one.get("ports") or () if port.get("hostPort")]
        for one in containers(spec)
    }
    bad = [one for one in containers(spec) if used[id(one)]]
    if not bad:
        return None
    ports = sorted({str(port) for one in bad for port in used[id(one)]})
    uses = plural(len(bad), "uses", "use")
    return "hostPort", f"{names(bad)} {uses} {plural(len(ports), 'hostPort')} {', '.join(ports)}"


def _hosts(one: Spec) -> Iterator[str]:
    actions = [one.get(probe) for probe in ("livenessProbe", "readinessProbe", "startupProbe")]
    actions += [(one.get("lifecycle") or {}).get(hook) for hook in ("postStart", "preStop")]
    for action in actions:
        for kind in ("httpGet", "tcpSocket"):
            host = ((action or {}).get(kind) or {}).get("host")
            if host:
                yield host


def probe_hosts(meta: Meta, spec: Spec) -> Violation | None:
    """Probes and hooks that make the kubelet talk to somebody else."""
    bad = [one for one in containers(spec) if any(_hosts(one))]
    if not bad:
        return None
    hosts = sorted({host for one in bad for host in _hosts(one)})
    who = sorted({one.get("name", "") for one in bad})
    uses = plural(len(who), "uses", "use")
    detail = f"{plural(len(who), 'container')} {listed(who)} {uses} {plural(len(hosts), 'probe or lifecycle host')}"
    return "probe or lifecycle host", f"{detail} {listed(hosts)}"


def privileged(meta: Meta, spec: Spec) -> Violation | None:
    """Containers that are root on the host."""
    bad = [one for one in containers(spec) if context(one).get("privileged")]
    return ("privileged", f"{names(bad)} must not set securityContext.privileged=true") if bad else None


def proc_mount(meta: Meta, spec: Spec) -> Violation | None:
    """/proc without its masks."""
    bad = [one for one in containers(spec) if (context(one).get("procMount") or "Default") != "Default"]
    if not bad:
        return None
    kinds = listed(sorted({context(one)["procMount"] for one in bad}))
    return "procMount", f"{names(bad)} must not set securityContext.procMount to {kinds}"


def proc_mount_in_host_users(meta: Meta, spec: Spec) -> Violation | None:
    """The same, but not where root is nobody on the host."""
    return None if in_user_namespace(spec) else proc_mount(meta, spec)


def _selinux(allowed: set[str]) -> Check:
    def check(meta: Meta, spec: Spec) -> Violation | None:
        def bad(part: Spec) -> bool:
            options = part.get("seLinuxOptions") or {}
            return (options.get("type") or "") not in allowed or bool(options.get("user") or options.get("role"))

        own, found = offenders(spec, bad)
        if not own and not found:
            return None
        every = [context(one).get("seLinuxOptions") or {} for one in [*([spec] if own else []), *found]]
        kinds = sorted({one.get("type") or "" for one in every} - allowed)
        said = [f"{plural(len(kinds), 'type')} {listed(kinds)}"] if kinds else []
        said += [f"{what} may not be set" for what in ("user", "role") if any(one.get(what) for one in every)]
        who = setters(own, found)
        return "seLinuxOptions", f"{who} set forbidden securityContext.seLinuxOptions: {'; '.join(said)}"

    return check


def seccomp_annotations(meta: Meta, spec: Spec) -> Violation | None:
    """Before 1.19 there was no field."""
    keys = [_SECCOMP_POD, *(_SECCOMP + one.get("name", "") for one in containers(spec))]
    given = {key: _annotations(meta)[key] for key in keys if key in _annotations(meta)}
    bad = sorted(
        f"{key}={shown(value)}"
        for key, value in given.items()
        if value not in ("runtime/default", "docker/default") and not value.startswith("localhost/")
    )
    return ("seccompProfile", f"forbidden {plural(len(bad), 'annotation')} {', '.join(bad)}") if bad else None


def seccomp(meta: Meta, spec: Spec) -> Violation | None:
    """No profile, or a known one."""

    def bad(part: Spec) -> bool:
        return part.get("seccompProfile") is not None and _profile("seccompProfile", part) not in _PROFILES

    own, found = offenders(spec, bad)
    if not own and not found:
        return None
    kinds = listed(values(own, found, spec, lambda part: _profile("seccompProfile", part) or ""))
    return "seccompProfile", f"{setters(own, found)} must not set securityContext.seccompProfile.type to {kinds}"


def _sysctls(allowed: set[str]) -> Check:
    def check(meta: Meta, spec: Spec) -> Violation | None:
        bad = [one.get("name", "") for one in context(spec).get("sysctls") or () if one.get("name") not in allowed]
        return ("forbidden sysctls", ", ".join(bad)) if bad else None

    return check


def windows_host_process(meta: Meta, spec: Spec) -> Violation | None:
    """Windows' privileged containers."""
    own, found = offenders(spec, lambda part: bool((part.get("windowsOptions") or {}).get("hostProcess")))
    if not own and not found:
        return None
    return "hostProcess", f"{setters(own, found)} must not set securityContext.windowsOptions.hostProcess=true"


def _growing(sets: Mapping[int, set[str]], make: Any) -> tuple[tuple[int, Check], ...]:
    """A check for each version that allows more."""
    return tuple((minor, make(set().union(*(s for m, s in sets.items() if m <= minor)))) for minor in sets)


CHECKS: Mapping[str, tuple[tuple[int, Check], ...]] = {
    "appArmorProfile": ((0, app_armor),),
    "capabilities_baseline": ((0, capabilities),),
    "hostNamespaces": ((0, host_namespaces),),
    "hostPathVolumes": ((0, host_path_volumes),),
    "hostPorts": ((0, host_ports),),
    "hostProbesAndHostLifecycle": ((34, probe_hosts),),
    "privileged": ((0, privileged),),
    "procMount": ((0, proc_mount), (35, proc_mount_in_host_users)),
    "seLinuxOptions": _growing(_SELINUX, _selinux),
    "seccompProfile_baseline": ((0, seccomp_annotations), (19, seccomp)),
    "sysctls": _growing(_SYSCTLS, _sysctls),
    "windowsHostProcess": ((0, windows_host_process),),
}
"""By id in the order of refusals: since which 1.x which check."""
