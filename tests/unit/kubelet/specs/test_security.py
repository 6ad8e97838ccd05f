"""Security contexts of Pod and container together."""

import pytest
from tests.unit.kubelet.pods import container, pod

from pybernetes.api.types import core_v1
from pybernetes.kubelet.cri import model as m
from pybernetes.kubelet.environment import ConfigError
from pybernetes.kubelet.settings import Settings
from pybernetes.kubelet.specs.security import check_not_root, security

NODE = Settings("n1", ("192.0.2.1",))


def test_security_comes_from_container_then_pod() -> None:
    general = core_v1.PodSecurityContext(runAsUser=1000, fsGroup=2000, supplementalGroups=(3000,))
    own = core_v1.SecurityContext(
        runAsUser=1001,
        allowPrivilegeEscalation=False,
        capabilities=core_v1.Capabilities(drop=("ALL",)),
        seccompProfile=core_v1.SeccompProfile(type="RuntimeDefault"),
    )
    wanted = pod(container(securityContext=own), securityContext=general)
    found = security(wanted, wanted.spec.containers[0], NODE)
    assert (found.run_as_user, found.supplemental_groups, found.no_new_privileges) == (1001, (3000, 2000), True)
    assert (found.drop_capabilities, found.seccomp) == (("ALL",), "RuntimeDefault")


def test_run_as_non_root_is_checked() -> None:
    wanted = pod(securityContext=core_v1.PodSecurityContext(runAsNonRoot=True))
    only = wanted.spec.containers[0]
    with pytest.raises(ConfigError, match="image will run as root"):
        check_not_root(wanted, only, m.Image("x", (), (), 1, uid=0))
    with pytest.raises(ConfigError, match="non-numeric user"):
        check_not_root(wanted, only, m.Image("x", (), (), 1, user="app"))
    check_not_root(wanted, only, m.Image("x", (), (), 1, uid=101))
