"""kube-proxy: its static Pod on this machine, and the right of all nodes to read what it and the pod network need."""

from pybernetes.kubeadm import manifests
from pybernetes.kubeadm.config import InitConfig
from pybernetes.kubeadm.objects import cluster_role_binding
from pybernetes.kubeadm.workflow import Context, Phase


async def _run(context: Context[InitConfig]) -> None:
    config = context.config
    await context.api().put(cluster_role_binding("kubeadm:node-proxier", "system:node-proxier", "system:nodes"))
    manifests.write(context.paths, manifests.kube_proxy(config.node.name, config.networking, config.version))
    context.say("[addons] Applied essential addon: kube-proxy")


PHASE = Phase(name="addon-kube-proxy", help="Install kube-proxy", run=_run, after=("bootstrap-token",))
