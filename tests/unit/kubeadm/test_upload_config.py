"""What kubeadm keeps of its configuration in the cluster can be given to it again."""

from pathlib import Path

import yaml

from pybernetes.kubeadm.config import ExternalEtcd, InitConfig, Networking, Node
from pybernetes.kubeadm.configfile import init_values
from pybernetes.kubeadm.phases.init.upload_config import cluster_configuration
from pybernetes.kubeadm.tokens import Token


def test_the_etcd_of_others_is_kept(tmp_path: Path) -> None:
    etcd = ExternalEtcd(("https://10.0.0.5:2379",), "/e/ca.crt", "/e/c.crt", "/e/c.key")
    config = InitConfig(
        node=Node(name="m1", address="10.0.0.1"), networking=Networking(), token=Token("a", "b"), etcd=etcd
    )
    kept = cluster_configuration(config)
    assert kept["etcd"] == {
        "external": {
            "endpoints": ["https://10.0.0.5:2379"],
            "caFile": "/e/ca.crt",
            "certFile": "/e/c.crt",
            "keyFile": "/e/c.key",
        }
    }
    path = tmp_path / "kubeadm.yaml"
    path.write_text(yaml.safe_dump({name: kept[name] for name in ("apiVersion", "kind", "etcd")}))
    assert init_values(path)["etcd"] == etcd
