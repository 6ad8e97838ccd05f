"""What a local cluster's kubeadm init is told."""

import yaml

from pybernetes.assembly.cluster import kubeadm_config
from pybernetes.kubelet.configuration_effects import refusals, warnings
from pybernetes.kubelet.configuration_file import configuration_of


def test_nodes_that_share_the_machines_disk_and_swap_take_no_offence_at_them() -> None:
    documents = {d["kind"]: d for d in yaml.safe_load_all(kubeadm_config("192.0.2.1"))}
    config = configuration_of([documents["KubeletConfiguration"]])
    assert not config.fail_swap_on
    assert set(config.eviction_hard) == {"memory.available"}
    assert [*refusals(config), *warnings(config)] == []
