"""Security contexts of Pod and container together."""

from pathlib import Path

import pytest
from tests.unit.kubelet.pods import container, pod

from pybernetes.api.types import core_v1
from pybernetes.kubelet.configuration import Configuration
from pybernetes.kubelet.cri import model as m
from pybernetes.kubelet.environment import ConfigError
from pybernetes.kubelet.settings import Settings
from pybernetes.kubelet.specs.security import APPARMOR_ANNOTATION, apparmor, check_not_root, security

NODE = Settings("n1", ("192.0.2.1",), root=Path("/k"))
ROOT_IMAGE = m.Image("x", (), (), 1, uid=0)


def applied(
    own: core_v1.SecurityContext | None = None,
    general: core_v1.PodSecurityContext | None = None,
    image: m.Image | None = ROOT_IMAGE,
    settings: Settings = NODE,
) -> m.Security:
    wanted = pod(container(securityContext=own), securityContext=general)
    return security(wanted, wanted.spec.containers[0], image, settings)


def test_security_comes_from_container_then_pod() -> None:
    general = core_v1.PodSecurityContext(runAsUser=1000, fsGroup=2000, supplementalGroups=(3000,))
    own = core_v1.SecurityContext(
        runAsUser=1001,
        allowPrivilegeEscalation=False,
        capabilities=core_v1.Capabilities(drop=("ALL",)),
        seccompProfile=core_v1.SeccompProfile(type="RuntimeDefault"),
    )
    found = applied(own, general)
    assert (found.run_as_user, found.supplemental_groups, found.no_new_privileges) == (1001, (2000, 3000), True)
    assert (found.drop_capabilities, found.seccomp) == (("ALL",), m.Profile("RuntimeDefault"))


@pytest.mark.parametrize(
    ("image", "user", "name"),
    [
        (m.Image("x", (), (), 1, uid=101), 101, ""),
        (m.Image("x", (), (), 1, user="app"), None, "app"),
        (m.Image("x", (), (), 1), 0, ""),
    ],
)
def test_the_image_says_the_user_where_nobody_else_does(image: m.Image, user: int | None, name: str) -> None:
    found = applied(general=core_v1.PodSecurityContext(runAsGroup=5), image=image)
    assert (found.run_as_user, found.run_as_name, found.run_as_group) == (user, name, 5)


def test_a_group_without_any_user_is_not_sent() -> None:
    assert applied(general=core_v1.PodSecurityContext(runAsGroup=5), image=None).run_as_group is None


def test_seccomp_profiles() -> None:
    local = core_v1.SeccompProfile(type="Localhost", localhostProfile="a/b.json")
    assert applied().seccomp == m.Profile("Unconfined")
    assert applied(settings=Settings("n1", (), config=Configuration(seccomp_default=True))).seccomp.kind == (
        "RuntimeDefault"
    )
    assert applied(general=core_v1.PodSecurityContext(seccompProfile=local)).seccomp == (
        m.Profile("Localhost", "/k/seccomp/a/b.json")
    )
    nameless = core_v1.SecurityContext(seccompProfile=core_v1.SeccompProfile(type="Localhost"))
    with pytest.raises(ConfigError, match="localhostProfile must be set if seccompProfile type is Localhost"):
        applied(nameless)


def test_proc_is_masked_unless_the_container_is_to_see_it_whole() -> None:
    assert "/proc/kcore" in applied().masked_paths
    assert "/sys/devices/system/cpu/cpu0/thermal_throttle" in applied().masked_paths
    assert "/proc/sys" in applied().read_only_paths
    for own in (core_v1.SecurityContext(procMount="Unmasked"), core_v1.SecurityContext(privileged=True)):
        found = applied(own)
        assert (found.masked_paths, found.read_only_paths) == ((), ())


def test_apparmor_is_the_containers_then_the_notes_then_the_pods() -> None:
    general = core_v1.PodSecurityContext(appArmorProfile=core_v1.AppArmorProfile(type="RuntimeDefault"))
    own = core_v1.SecurityContext(appArmorProfile=core_v1.AppArmorProfile(type="Localhost", localhostProfile="p"))
    notes = {"annotations": {APPARMOR_ANNOTATION + "c": "localhost/q"}}
    plain = container()
    assert apparmor(pod(plain), plain) is None
    assert apparmor(pod(plain, securityContext=general), plain) == m.Profile("RuntimeDefault")
    assert apparmor(pod(plain, meta=notes, securityContext=general), plain) == m.Profile("Localhost", "q")
    chosen = container(securityContext=own)
    assert apparmor(pod(chosen, meta=notes, securityContext=general), chosen) == m.Profile("Localhost", "p")


def test_run_as_non_root_is_checked() -> None:
    wanted = pod(securityContext=core_v1.PodSecurityContext(runAsNonRoot=True))
    only = wanted.spec.containers[0]
    where = r'\(pod: "web_default\(uid-1\)", container: c\)$'
    with pytest.raises(ConfigError, match=f"^container has runAsNonRoot and image will run as root {where}"):
        check_not_root(wanted, only, ROOT_IMAGE)
    with pytest.raises(ConfigError, match="non-numeric user"):
        check_not_root(wanted, only, m.Image("x", (), (), 1, user="app"))
    with pytest.raises(ConfigError, match="invalid user id"):
        check_not_root(wanted, only, m.Image("x", (), (), 1, uid=2**31))
    check_not_root(wanted, only, m.Image("x", (), (), 1, uid=101))
    root = container(securityContext=core_v1.SecurityContext(runAsUser=0))
    with pytest.raises(ConfigError, match=r"^container's runAsUser breaks non-root policy"):
        check_not_root(pod(root, securityContext=wanted.spec.securityContext), root, ROOT_IMAGE)
