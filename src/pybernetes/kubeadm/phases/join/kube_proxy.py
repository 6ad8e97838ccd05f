"""kube-proxy's static Pod on this machine, with the identity the kubelet now has."""

import yaml

from pybernetes.kubeadm import manifests
from pybernetes.kubeadm.config import SERVICE_CIDR, JoinConfig, Networking
from pybernetes.kubeadm.workflow import Context, Phase


async def _run(context: Context[JoinConfig]) -> None:
    data = await context.api().config_map("kube-system", "kubeadm-config")
    cluster = yaml.safe_load(data.get("ClusterConfiguration", "")) or {}
    said = cluster.get("networking") or {}
    networking = Networking(
        pod_cidr=str(said.get("podSubnet") or ""), service_cidr=str(said.get("serviceSubnet") or SERVICE_CIDR)
    )
    version = str(cluster.get("kubernetesVersion") or "")
    manifests.write(context.paths, manifests.kube_proxy(context.config.node.name, networking, version))
    context.say("[addons] Applied essential addon: kube-proxy")


PHASE = Phase(name="addon-kube-proxy", help="Install kube-proxy", run=_run, after=("kubelet-wait-bootstrap",))
