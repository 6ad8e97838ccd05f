"""Users, groups, privileges: upstream's security_context.go of common/node and of node, and sysctl.go."""

import pytest
from tests.node.conformance.pods import container, pod, shell


@pytest.mark.conformance(
    "[sig-node] Security Context When creating a container with runAsUser should run the container with uid 65534 "
    "[LinuxOnly] [NodeConformance] [Conformance]"
)
async def test_a_container_runs_as_its_user(space):
    assert await space.output(pod("p", container("id", "-u", securityContext={"runAsUser": 65534}))) == "65534\n"


@pytest.mark.conformance(
    "[sig-node] Security Context should support container.SecurityContext.RunAsUser And "
    "container.SecurityContext.RunAsGroup [LinuxOnly] [Conformance]"
)
async def test_a_container_has_its_user_and_group(space):
    one = container("id", securityContext={"runAsUser": 1001, "runAsGroup": 2002})
    assert (await space.output(pod("p", one))).startswith("uid=1001 gid=2002")


@pytest.mark.conformance(
    "[sig-node] Security Context should support pod.Spec.SecurityContext.RunAsUser And "
    "pod.Spec.SecurityContext.RunAsGroup [LinuxOnly] [Conformance]"
)
async def test_user_and_group_of_the_pod_are_those_of_its_containers(space):
    made = pod("p", container("id"), securityContext={"runAsUser": 1001, "runAsGroup": 2002})
    assert (await space.output(made)).startswith("uid=1001 gid=2002")


@pytest.mark.conformance(
    "[sig-node] Security Context When creating a pod with privileged should run the container as unprivileged when "
    "false [LinuxOnly] [NodeConformance] [Conformance]"
)
async def test_without_privileges_no_link_is_made(space):
    one = shell("ip link add dummy0 type dummy || true", securityContext={"privileged": False})
    assert "Operation not permitted" in await space.output(pod("p", one))


@pytest.mark.conformance(
    "[sig-node] Security Context When creating a pod with readOnlyRootFilesystem should run the container with "
    "writable rootfs when readOnlyRootFilesystem=false [NodeConformance] [Conformance]"
)
async def test_a_root_that_is_not_read_only_is_written(space):
    one = shell("touch /checkfile && ls /checkfile", securityContext={"readOnlyRootFilesystem": False})
    assert await space.output(pod("p", one)) == "/checkfile\n"


@pytest.mark.conformance(
    "[sig-node] Security Context when creating containers with AllowPrivilegeEscalation should not allow privilege "
    "escalation when false [LinuxOnly] [NodeConformance] [Conformance]"
)
async def test_a_program_of_root_gives_nothing_away_where_escalation_is_off(space):
    for allowed, seen in ((True, 0), (False, 1000)):
        context = {"runAsUser": 1000, "allowPrivilegeEscalation": allowed}
        one = container("tool-setuid", "euid", securityContext=context)
        assert await space.output(pod(f"p{seen}", one)) == f"Effective uid: {seen}\n"


@pytest.mark.conformance(
    "[sig-node] Sysctls [LinuxOnly] [NodeConformance] should support sysctls [MinimumKubeletVersion:1.21] [Conformance]"
)
async def test_a_safe_sysctl_is_set(space):
    context = {"sysctls": [{"name": "kernel.shm_rmid_forced", "value": "1"}]}
    made = pod("p", container("sysctl", "kernel.shm_rmid_forced"), securityContext=context)
    assert await space.output(made) == "kernel.shm_rmid_forced = 1\n"


@pytest.mark.conformance(
    "[sig-node] Sysctls [LinuxOnly] [NodeConformance] should reject invalid sysctls [MinimumKubeletVersion:1.21] "
    "[Conformance]"
)
async def test_sysctls_without_a_proper_name_are_refused(space):
    names = ("foo-", "kernel.shmmax", "safe-and-unsafe", "bar..", "")
    context = {"sysctls": [{"name": name, "value": "0"} for name in names]}
    refused = await space.api.faults("POST", space.path("pods"), pod("p", securityContext=context))
    told = " ".join(refused)
    for index in (0, 3):
        assert f"spec.securityContext.sysctls[{index}].name" in told
    for index in (1, 2):
        assert f"spec.securityContext.sysctls[{index}]" not in told
