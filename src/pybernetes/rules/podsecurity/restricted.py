"""Restricted: today's good practice is demanded."""

from collections.abc import Mapping

from pybernetes.rules.podcontainers import containers
from pybernetes.rules.podsecurity._visit import (
    Check,
    Meta,
    Spec,
    Violation,
    context,
    in_user_namespace,
    is_windows,
    names,
    offenders,
    setters,
)
from pybernetes.rules.podsecurity.baseline import proc_mount, seccomp
from pybernetes.rules.podsecurity.policy import listed, plural

_VOLUMES = frozenset(
    {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "image",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
)
_OTHER_VOLUMES = (
    "hostPath", "gcePersistentDisk", "awsElasticBlockStore", "gitRepo", "nfs", "iscsi", "glusterfs", "rbd",
    "flexVolume", "cinder", "cephfs", "flocker", "fc", "azureFile", "vsphereVolume", "quobyte", "azureDisk",
    "portworxVolume", "scaleIO", "storageos", "photonPersistentDisk",
)  # fmt: skip


def allow_privilege_escalation(meta: Meta, spec: Spec) -> Violation | None:
    """No process gets more than its parent had."""
    bad = [one for one in containers(spec) if context(one).get("allowPrivilegeEscalation") is not False]
    if not bad:
        return None
    detail = f"{names(bad)} must set securityContext.allowPrivilegeEscalation=false"
    return "allowPrivilegeEscalation != false", detail


def capabilities(meta: Meta, spec: Spec) -> Violation | None:
    """All dropped; low ports may be kept."""

    def given(one: Spec, which: str) -> set[str]:
        return set((context(one).get("capabilities") or {}).get(which) or ())

    keeping = [one for one in containers(spec) if "ALL" not in given(one, "drop")]
    adding = [one for one in containers(spec) if given(one, "add") - {"NET_BIND_SERVICE"}]
    said = [f'{names(keeping)} must set securityContext.capabilities.drop=["ALL"]'] if keeping else []
    if adding:
        added = listed(sorted(set[str]().union(*(given(one, "add") for one in adding)) - {"NET_BIND_SERVICE"}))
        said.append(f"{names(adding)} must not include {added} in securityContext.capabilities.add")
    return ("unrestricted capabilities", "; ".join(said)) if said else None


def volumes(meta: Meta, spec: Spec) -> Violation | None:
    """Only kinds that are a cluster's own."""
    bad = [one for one in spec.get("volumes") or () if not any(one.get(kind) is not None for kind in _VOLUMES)]
    if not bad:
        return None
    kinds = sorted({next((k for k in _OTHER_VOLUMES if one.get(k) is not None), "unknown") for one in bad})
    who = f"{plural(len(bad), 'volume')} {listed(one.get('name', '') for one in bad)}"
    uses = plural(len(bad), "uses", "use")
    return "restricted volume types", f"{who} {uses} {plural(len(kinds), 'restricted volume type')} {listed(kinds)}"


def run_as_non_root(meta: Meta, spec: Spec) -> Violation | None:
    """Said by the Pod or by each container."""
    reason = "runAsNonRoot != true"
    own, found = offenders(spec, lambda part: part.get("runAsNonRoot") is False)
    if own or found:
        return reason, f"{setters(own, found)} must not set securityContext.runAsNonRoot=false"
    silent = [one for one in containers(spec) if context(one).get("runAsNonRoot") is None]
    if not silent or context(spec).get("runAsNonRoot"):
        return None
    return reason, f"pod or {names(silent)} must set securityContext.runAsNonRoot=true"


def run_as_user(meta: Meta, spec: Spec) -> Violation | None:
    """Nobody is user 0."""
    own, found = offenders(spec, lambda part: part.get("runAsUser") == 0)
    return ("runAsUser=0", f"{setters(own, found)} must not set runAsUser=0") if own or found else None


def seccomp_profile(meta: Meta, spec: Spec) -> Violation | None:
    """A known profile, said by the Pod or by each container."""
    bad = seccomp(meta, spec)
    if bad is not None:
        return bad
    silent = [one for one in containers(spec) if context(one).get("seccompProfile") is None]
    if not silent or context(spec).get("seccompProfile") is not None:
        return None
    what = 'must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
    return "seccompProfile", f"pod or {names(silent)} {what}"


def _unless_windows(check: Check) -> Check:
    return lambda meta, spec: None if is_windows(spec) else check(meta, spec)


def _in_host_users(check: Check) -> Check:
    return lambda meta, spec: None if in_user_namespace(spec) else check(meta, spec)


CHECKS: Mapping[str, tuple[tuple[int, Check], ...]] = {
    "allowPrivilegeEscalation": ((8, allow_privilege_escalation), (25, _unless_windows(allow_privilege_escalation))),
    "capabilities_restricted": ((22, capabilities), (25, _unless_windows(capabilities))),
    "procMount_restricted": ((35, proc_mount),),
    "restrictedVolumes": ((0, volumes),),
    "runAsNonRoot": ((0, run_as_non_root), (35, _in_host_users(run_as_non_root))),
    "runAsUser": ((23, run_as_user), (35, _in_host_users(run_as_user))),
    "seccompProfile_restricted": ((19, seccomp_profile), (25, _unless_windows(seccomp_profile))),
}
"""As baseline.CHECKS."""
OVERRIDES: Mapping[str, str] = {
    "capabilities_restricted": "capabilities_baseline",
    "procMount_restricted": "procMount",
    "restrictedVolumes": "hostPathVolumes",
    "seccompProfile_restricted": "seccompProfile_baseline",
}
"""Checks that take the place of a baseline one, where they count."""
