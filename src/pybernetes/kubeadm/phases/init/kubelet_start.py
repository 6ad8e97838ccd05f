"""Configuration and start of this machine's kubelet. Next: wait-control-plane."""

from pybernetes.kubeadm import config as c
from pybernetes.kubeadm import nodefiles
from pybernetes.kubeadm.config import InitConfig
from pybernetes.kubeadm.workflow import Context, Phase


async def _run(context: Context[InitConfig]) -> None:
    node = context.config.node
    context.say(f'[kubelet-start] Writing kubelet environment file with flags to file "{c.KUBELET_FLAGS}"')
    context.say(f'[kubelet-start] Writing kubelet configuration to file "{c.KUBELET_CONFIG}"')
    configuration = nodefiles.kubelet_configuration(context.config.networking, node.cri_socket, context.config.kubelet)
    nodefiles.write_kubelet_files(context.paths, node, configuration)
    if nodefiles.start_kubelet(context.paths):
        context.say("[kubelet-start] Starting the kubelet")
    else:
        context.warn(f"[kubelet-start] {nodefiles.how_to_start()}")


PHASE = Phase(
    name="kubelet-start",
    help="Write kubelet settings and (re)start the kubelet",
    run=_run,
    after=("control-plane",),
)
