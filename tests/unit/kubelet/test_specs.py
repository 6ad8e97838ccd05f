"""A Pod's spec in the runtime's words."""

import re
from pathlib import Path

import pytest
from tests.unit.kubelet.pods import container, pod

from pybernetes.api.types import core_v1
from pybernetes.kubelet import specs
from pybernetes.kubelet.cri import model as m
from pybernetes.kubelet.environment import ConfigError
from pybernetes.kubelet.resources import container_resources, pod_limits
from pybernetes.kubelet.settings import Settings

NODE = Settings("n1", ("192.0.2.1",), cluster_dns=("10.96.0.10",), memory=4 * 2**30)
RESOLV = "nameserver 1.1.1.1\nsearch corp.example\noptions ndots:2 edns0\n"


def spec(wanted: core_v1.Pod, index: int = 0, **more: object) -> m.ContainerSpec:
    making = specs.Making(
        **{
            "pod": wanted,
            "container": wanted.spec.containers[index],
            "attempt": 2,
            "delay": 20.0,
            "image": "sha256:1",
            "environment": {"A": "1"},
            "volumes": {},
            "hosts": Path("/k/etc-hosts"),
            "message_file": Path("/k/msg"),
            "settings": NODE,
            **more,
        }
    )
    return specs.container_spec(making)


def test_pods_ask_the_cluster_dns_first() -> None:
    servers, searches, options = specs.dns(pod(), NODE, RESOLV)
    assert servers == ["10.96.0.10"]
    assert searches == ["default.svc.cluster.local", "svc.cluster.local", "cluster.local", "corp.example"]
    assert options == ["ndots:5"]


@pytest.mark.parametrize("fields", [{"dnsPolicy": "Default"}, {"hostNetwork": True}])
def test_default_and_the_hosts_network_use_the_hosts_resolver(fields: dict[str, object]) -> None:
    assert specs.dns(pod(**fields), NODE, RESOLV) == (["1.1.1.1"], ["corp.example"], ["ndots:2", "edns0"])


def test_a_dns_config_adds_and_overrides() -> None:
    config = core_v1.PodDNSConfig(
        nameservers=("9.9.9.9",), searches=("x",), options=(core_v1.PodDNSConfigOption(name="ndots", value="1"),)
    )
    assert specs.dns(pod(dnsPolicy="None", dnsConfig=config), NODE, RESOLV) == (["9.9.9.9"], ["x"], ["ndots:1"])


def test_the_sandbox_is_the_pods() -> None:
    found = specs.sandbox_spec(pod(hostPID=True), 1, NODE, "/kubepods/x", RESOLV)
    assert (found.hostname, found.attempt, found.cgroup_parent, found.host_pid) == ("web", 1, "/kubepods/x", True)
    assert found.log_directory == "/var/log/pods/default_web_uid-1"
    assert found.labels[m.POD_UID] == "uid-1"


def test_a_long_hostname_is_cut() -> None:
    assert specs.hostname(pod(meta={"name": "a" * 62 + "-" + "b" * 9})) == "a" * 62


def test_a_container_carries_its_own_memory() -> None:
    found = spec(pod(container(command=("sh", "$(A)"), args=("$(B)",))))
    assert (found.command, found.args) == (("sh", "1"), ("$(B)",))
    assert found.annotations[m.RESTART_COUNT] == "2"
    assert found.annotations[m.RESTART_DELAY] == "20"
    assert found.log_path == "c/2.log"
    assert m.Mount("/k/etc-hosts", "/etc/hosts") in found.mounts
    assert m.Mount("/k/msg", "/dev/termination-log") in found.mounts


def test_a_users_own_hosts_file_is_left_alone(tmp_path: Path) -> None:
    mount = core_v1.VolumeMount(name="h", mountPath="/etc/hosts")
    found = spec(pod(container(volumeMounts=(mount,))), volumes={"h": tmp_path})
    assert [x.host_path for x in found.mounts if x.container_path == "/etc/hosts"] == [str(tmp_path)]


def test_a_missing_sub_path_becomes_a_directory_like_its_volume(tmp_path: Path) -> None:
    tmp_path.chmod(0o775)
    made = specs.subpath(tmp_path, "a/b.conf", "v", "c")
    assert made.is_dir()
    assert [f.stat().st_mode & 0o777 for f in (made, made.parent)] == [0o775, 0o775]


def test_a_sub_path_may_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "b.conf").write_text("")
    assert specs.subpath(tmp_path, "b.conf", "v", "c").is_file()


@pytest.mark.parametrize(
    ("below", "message"),
    [
        ("/etc", "error SubPath `/etc` must not be an absolute path"),
        ("a/../../x", "unable to provision SubPath `a/../../x`: must not contain '..'"),
        ("out/x", 'failed to prepare subPath for volumeMount "v" of container "c"'),
        ("file/x", 'failed to create subPath directory for volumeMount "v" of container "c"'),
    ],
)
def test_a_sub_path_stays_in_its_volume(tmp_path: Path, below: str, message: str) -> None:
    (tmp_path / "out").symlink_to("/")
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=re.escape(message)):
        specs.subpath(tmp_path, below, "v", "c")


def test_a_sub_path_of_a_volume_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"stat .*/gone: no such file or directory"):
        specs.subpath(tmp_path / "gone", "a", "v", "c")


def test_security_comes_from_container_then_pod() -> None:
    general = core_v1.PodSecurityContext(runAsUser=1000, fsGroup=2000, supplementalGroups=(3000,))
    own = core_v1.SecurityContext(
        runAsUser=1001,
        allowPrivilegeEscalation=False,
        capabilities=core_v1.Capabilities(drop=("ALL",)),
        seccompProfile=core_v1.SeccompProfile(type="RuntimeDefault"),
    )
    found = spec(pod(container(securityContext=own), securityContext=general)).security
    assert (found.run_as_user, found.supplemental_groups, found.no_new_privileges) == (1001, (3000, 2000), True)
    assert (found.drop_capabilities, found.seccomp) == (("ALL",), "RuntimeDefault")


def test_run_as_non_root_is_checked() -> None:
    wanted = pod(securityContext=core_v1.PodSecurityContext(runAsNonRoot=True))
    only = wanted.spec.containers[0]
    with pytest.raises(ConfigError, match="image will run as root"):
        specs.check_not_root(wanted, only, m.Image("x", (), (), 1, uid=0))
    with pytest.raises(ConfigError, match="non-numeric user"):
        specs.check_not_root(wanted, only, m.Image("x", (), (), 1, user="app"))
    specs.check_not_root(wanted, only, m.Image("x", (), (), 1, uid=101))


def test_hosts_files_begin_as_upstreams() -> None:
    own = specs.hosts_file(pod(subdomain="sub"), ("10.0.0.7",), NODE, "")
    assert own.startswith("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n")
    assert "10.0.0.7\tweb.sub.default.svc.cluster.local\tweb\n" in own
    aliases = (core_v1.HostAlias(ip="1.2.3.4", hostnames=("a", "b")),)
    host = specs.hosts_file(pod(hostNetwork=True, hostAliases=aliases), (), NODE, "::1 x\n")
    assert host.startswith("# Kubernetes-managed hosts file (host network).\n::1 x\n")
    assert host.endswith("# Entries added by HostAliases.\n1.2.3.4\ta\tb\n")


def limited(cpu: str = "500m", memory: str = "64Mi", **requests: str) -> core_v1.ResourceRequirements:
    return core_v1.ResourceRequirements(limits={"cpu": cpu, "memory": memory}, requests=requests)


def test_limits_become_shares_and_quota() -> None:
    only = container(resources=limited(cpu="500m", memory="64Mi"))
    found = container_resources(pod(only), only, NODE.memory)
    assert (found.cpu_shares, found.cpu_quota, found.memory_limit, found.oom_score_adj) == (512, 50_000, 64 << 20, -997)


def test_oom_scores_follow_the_qos_class() -> None:
    assert container_resources(pod(), container(), NODE.memory).oom_score_adj == 1000
    half = container(resources=core_v1.ResourceRequirements(requests={"memory": "2Gi"}))
    assert container_resources(pod(half), half, NODE.memory).oom_score_adj == 500


def test_the_pods_cgroup_is_limited_only_when_every_container_is() -> None:
    both = pod(container("a", resources=limited()), container("b", resources=limited()))
    assert pod_limits(both).memory == 128 << 20
    assert pod_limits(both).cpu_quota == 100_000
    one = pod(container("a", resources=limited()), container("b"))
    assert pod_limits(one).memory is None
    assert pod_limits(one).cpu_quota is None
