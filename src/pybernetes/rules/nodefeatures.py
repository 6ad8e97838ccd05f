"""Features that a Pod needs of its node, by the names under which nodes declare them (KEP-5328). Scheduler and kubelet ask."""

from collections.abc import Collection

from pybernetes.api.types.core_v1 import Pod

BIND_MOUNT_OPTIONS = "VolumeBindMountOptions"
RESTART_ALL = "RestartAllContainersOnContainerExits"
USER_NAMESPACES_ON_HOST_NETWORK = "UserNamespacesHostNetworkSupport"


def missing_features(pod: Pod, declared: Collection[str]) -> tuple[str, ...]:
    """What the Pod needs and a node that declares these does not have, sorted."""
    spec = pod.spec
    containers = (*spec.initContainers, *spec.containers)
    mounts = [m for c in containers for m in c.volumeMounts]
    mounts += [m for c in spec.ephemeralContainers for m in c.volumeMounts]
    needed = {
        RESTART_ALL: any(r.action == "RestartAllContainers" for c in containers for r in c.restartPolicyRules),
        USER_NAMESPACES_ON_HOST_NETWORK: spec.hostNetwork and spec.hostUsers is False,
        BIND_MOUNT_OPTIONS: any(m.bindMountOptions for m in mounts),
    }
    return tuple(sorted(name for name, asked in needed.items() if asked and name not in declared))
