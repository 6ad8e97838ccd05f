"""Is this machine fit for a control plane? Changes nothing (a missing kernel module may be loaded). Next: certs."""

import asyncio

from pybernetes.kubeadm import manifests
from pybernetes.kubeadm.checks import etcd_checks, image_check, init_checks, run_checks
from pybernetes.kubeadm.config import InitConfig
from pybernetes.kubeadm.workflow import Context, Phase


async def _run(context: Context[InitConfig]) -> None:
    config = context.config
    context.say("[preflight] Running pre-flight checks")
    names = (manifests.API_SERVER, manifests.CONTROLLER_MANAGER, manifests.SCHEDULER, "kube-proxy")
    images = image_check(config.node.cri_socket, [manifests.image(name, config.version) for name in names])
    context.say("[preflight] Looking for the images of the control plane; what is missing is pulled")
    checks = init_checks(
        context.paths, config.node, config.bind_port, [*etcd_checks(context.paths, config.etcd), images]
    )
    await asyncio.to_thread(run_checks, checks, config.checks, context.warn)


PHASE = Phase(name="preflight", help="Run pre-flight checks", run=_run)
