"""What the sandbox of a Pod is asked for."""

from tests.unit.kubelet.pods import pod

from pybernetes.kubelet.cri import model as m
from pybernetes.kubelet.settings import Settings
from pybernetes.kubelet.specs.sandbox import sandbox_spec

NODE = Settings("n1", ("192.0.2.1",))


def test_the_sandbox_is_the_pods() -> None:
    found = sandbox_spec(pod(hostPID=True), 1, NODE, "/kubepods/x", "")
    assert (found.hostname, found.attempt, found.cgroup_parent, found.host_pid) == ("web", 1, "/kubepods/x", True)
    assert found.log_directory == "/var/log/pods/default_web_uid-1"
    assert found.labels[m.POD_UID] == "uid-1"
