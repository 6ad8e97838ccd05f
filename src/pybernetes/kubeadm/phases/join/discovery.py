"""Finds the cluster and makes sure that it is the right one. Next: kubelet-start."""

from pybernetes.client import kubeconfig
from pybernetes.kubeadm.cluster import Cluster
from pybernetes.kubeadm.config import JoinConfig
from pybernetes.kubeadm.discovery import discover
from pybernetes.kubeadm.workflow import Context, Phase


async def _run(context: Context[JoinConfig]) -> None:
    config = context.config
    context.say(f'[discovery] Asking the API server at "{config.endpoint}" for cluster-info')
    found = await discover(config, context.clock)
    context.discovered = found
    server = kubeconfig.Cluster(server=found.server, certificate_authority_data=kubeconfig.encoded(found.ca))
    user = kubeconfig.User(token=str(config.token))
    context.cluster = Cluster.of(kubeconfig.new("kubernetes", server, "tls-bootstrap-token-user", user), context.clock)


PHASE = Phase(name="discovery", help="Discover the cluster with the token", run=_run, after=("preflight",))
