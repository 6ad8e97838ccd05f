"""Users, groups, capabilities, profiles: the security contexts of Pod and container together. container.py uses it."""

from pybernetes.api.types import core_v1
from pybernetes.kubelet.cri import model as m
from pybernetes.kubelet.environment import ConfigError
from pybernetes.kubelet.settings import Settings


def groups_of(context: core_v1.PodSecurityContext) -> tuple[int, ...]:
    """Groups that every process of the Pod has beside its own."""
    extra = () if context.fsGroup is None else (context.fsGroup,)
    return tuple(dict.fromkeys((*context.supplementalGroups, *extra)))


def security(pod: core_v1.Pod, container: core_v1.Container, settings: Settings) -> m.Security:
    """What the runtime applies to one container: its own context, then the Pod's."""
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
        supplemental_groups=groups_of(general),
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
