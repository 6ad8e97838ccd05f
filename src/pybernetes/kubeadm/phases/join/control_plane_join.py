"""With --control-plane: marks the Node that the kubelet has made as a control plane. Next: wait-control-plane."""

from pybernetes.kubeadm import config as c
from pybernetes.kubeadm.cluster import Cluster
from pybernetes.kubeadm.config import JoinConfig
from pybernetes.kubeadm.phases.init.mark_control_plane import mark
from pybernetes.kubeadm.workflow import Context, Phase


async def _run(context: Context[JoinConfig]) -> None:
    if context.config.control_plane is None:
        return
    joining = await context.as_control_plane()
    joining.cluster = Cluster.of_file(context.paths.at(c.ADMIN_CONF), context.clock)
    try:
        await mark(joining)
    finally:
        await joining.cluster.aclose()


PHASE = Phase(
    name="control-plane-join",
    help="Join a machine as a control plane instance",
    run=_run,
    after=("addon-kube-proxy",),
)
