"""With --control-plane: waits until all of it is healthy on this machine."""

from msgspec.structs import replace

from pybernetes.client import kubeconfig
from pybernetes.kubeadm import config as c
from pybernetes.kubeadm.cluster import Cluster
from pybernetes.kubeadm.config import JoinConfig
from pybernetes.kubeadm.phases.init.wait_control_plane import healthy
from pybernetes.kubeadm.workflow import Context, Phase


async def _run(context: Context[JoinConfig]) -> None:
    if context.config.control_plane is None:
        return
    joining = await context.as_control_plane()
    admin = kubeconfig.load(context.paths.at(c.ADMIN_CONF))
    here = {name: replace(cluster, server=joining.config.local_endpoint) for name, cluster in admin.clusters.items()}
    cluster = Cluster.of(replace(admin, clusters=here), context.clock)
    try:
        await healthy(joining, cluster)
    finally:
        await cluster.aclose()


PHASE = Phase(
    name="wait-control-plane", help="Wait for the control plane to start", run=_run, after=("control-plane-join",)
)
