"""Users, groups, capabilities, profiles: the security contexts of Pod and container together. container.py uses it.

What a container says goes before what its Pod says. See "Configure a Security Context for a Pod or Container".
"""

from pybernetes.api.types import core_v1
from pybernetes.kubelet.cri import model as m
from pybernetes.kubelet.environment import ConfigError
from pybernetes.kubelet.settings import Settings
from pybernetes.kubelet.specs.names import full_name

APPARMOR_ANNOTATION = "container.apparmor.security.beta.kubernetes.io/"
_MOST_USER = 2**31 - 1
_MASKED = (
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
)
_THROTTLE = "/sys/devices/system/cpu/cpu{}/thermal_throttle"
_READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


def pod_context(pod: core_v1.Pod) -> core_v1.PodSecurityContext:
    """The Pod's, an empty one where it has none."""
    return pod.spec.securityContext or core_v1.PodSecurityContext()


def groups_of(context: core_v1.PodSecurityContext) -> tuple[int, ...]:
    """Groups that every process of the Pod has beside its own."""
    own = () if context.fsGroup is None else (context.fsGroup,)
    return tuple(dict.fromkeys((*own, *context.supplementalGroups)))


def selinux(options: core_v1.SELinuxOptions | None) -> m.SELinux | None:
    """A label; None where none is wished for."""
    return None if options is None else m.SELinux(options.user, options.role, options.type, options.level)


def seccomp(profile: core_v1.SeccompProfile | None, settings: Settings) -> m.Profile:
    """The profile, and what seccompDefault makes of none. Raises ConfigError for a Localhost profile without a file's name."""
    if profile is None:
        return m.Profile("RuntimeDefault" if settings.config.seccomp_default else "Unconfined")
    if profile.type != "Localhost":
        return m.Profile(profile.type)
    if not profile.localhostProfile:
        raise ConfigError("localhostProfile must be set if seccompProfile type is Localhost.")
    return m.Profile("Localhost", str(settings.root / "seccomp" / profile.localhostProfile))


def apparmor(pod: core_v1.Pod, container: core_v1.Container) -> m.Profile | None:
    """The AppArmor profile: the container's, that of the old annotation (Pods from files), the Pod's. None: none asked for."""
    own = container.securityContext.appArmorProfile if container.securityContext else None
    if own is None:
        noted = pod.metadata.annotations.get(APPARMOR_ANNOTATION + container.name, "")
        if noted:
            return _annotated(noted)
        own = pod_context(pod).appArmorProfile
    return None if own is None else m.Profile(own.type, own.localhostProfile or "")


def _annotated(text: str) -> m.Profile | None:
    if text.startswith("localhost/"):
        return m.Profile("Localhost", text.removeprefix("localhost/"))
    kinds = {"runtime/default": "RuntimeDefault", "unconfined": "Unconfined"}
    return m.Profile(kinds[text]) if text in kinds else None


def security(
    pod: core_v1.Pod, container: core_v1.Container, image: m.Image | None, settings: Settings, target: str = ""
) -> m.Security:
    """What the runtime applies to one container. The image says the user where nobody else does; `target`: see model."""
    general = pod_context(pod)
    own = container.securityContext or core_v1.SecurityContext()
    user = _user(general, own)
    group = general.runAsGroup if own.runAsGroup is None else own.runAsGroup
    name = ""
    if user is None and image is not None:
        name = image.user if image.uid is None else ""
        user = None if name else image.uid or 0
    capabilities = own.capabilities or core_v1.Capabilities()
    open_proc = bool(own.privileged) or own.procMount == "Unmasked"
    return m.Security(
        privileged=bool(own.privileged),
        add_capabilities=capabilities.add,
        drop_capabilities=capabilities.drop,
        run_as_user=user,
        run_as_group=group if user is not None or name else None,
        run_as_name=name,
        read_only_root=bool(own.readOnlyRootFilesystem),
        no_new_privileges=own.allowPrivilegeEscalation is False,
        supplemental_groups=groups_of(general),
        groups_policy=general.supplementalGroupsPolicy or "Merge",
        seccomp=seccomp(own.seccompProfile or general.seccompProfile, settings),
        apparmor=apparmor(pod, container),
        selinux=selinux(own.seLinuxOptions or general.seLinuxOptions),
        masked_paths=() if open_proc else (*_MASKED, *(_THROTTLE.format(n) for n in range(settings.cpus))),
        read_only_paths=() if open_proc else _READ_ONLY,
        target=target,
    )


def _user(general: core_v1.PodSecurityContext, own: core_v1.SecurityContext) -> int | None:
    return general.runAsUser if own.runAsUser is None else own.runAsUser


def check_not_root(pod: core_v1.Pod, container: core_v1.Container, image: m.Image | None) -> None:
    """runAsNonRoot. Raises ConfigError with upstream's words."""
    general = pod_context(pod)
    own = container.securityContext or core_v1.SecurityContext()
    wanted = general.runAsNonRoot if own.runAsNonRoot is None else own.runAsNonRoot
    if not wanted:
        return
    user = _user(general, own)
    where = f'(pod: "{full_name(pod)}", container: {container.name})'
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
    if image.uid > _MOST_USER:
        raise ConfigError(
            f"container has runAsNonRoot and image has an invalid user id ({image.uid})."
            f" (Must be 1-({_MOST_USER})): must be between 0 and {_MOST_USER}, inclusive {where}"
        )
