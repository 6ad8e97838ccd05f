"""With --control-plane: can this machine be one more control plane of this cluster? Changes nothing. Next: its preparation."""

import asyncio

from pybernetes.kubeadm import manifests, shared_certs
from pybernetes.kubeadm.checks import control_plane_checks, etcd_checks, image_check, run_checks
from pybernetes.kubeadm.config import InitConfig, JoinConfig, Paths
from pybernetes.kubeadm.errors import KubeadmError
from pybernetes.kubeadm.workflow import Context, Phase

_NOT_READY = """
One or more conditions for hosting a new control plane instance is not satisfied.

{fault}

Please ensure that:
* The cluster has a stable controlPlaneEndpoint address.
* The certificates that must be shared among control plane instances are provided.

"""


async def _run(context: Context[JoinConfig]) -> None:
    if context.config.control_plane is None:
        return
    config = (await context.as_control_plane()).config
    fault = _fault(config, context.paths)
    if fault:
        raise KubeadmError(_NOT_READY.format(fault=fault))
    context.say("[preflight] Running pre-flight checks before initializing the new control plane instance")
    checks = control_plane_checks(context.paths, config.bind_port)
    if not config.certificate_key:
        checks += etcd_checks(context.paths, config.etcd)
    names = (manifests.API_SERVER, manifests.CONTROLLER_MANAGER, manifests.SCHEDULER)
    context.say("[preflight] Looking for the images of the control plane; what is missing is pulled")
    checks.append(image_check(config.node.cri_socket, [manifests.image(name, config.version) for name in names]))
    await asyncio.to_thread(run_checks, checks, config.checks, context.warn)


def _fault(config: InitConfig, paths: Paths) -> str:
    if not config.control_plane_endpoint:
        return (
            "unable to add a new control plane instance to a cluster that doesn't have a stable controlPlaneEndpoint "
            "address"
        )
    if config.etcd is None:
        return (
            "the cluster keeps its state in a file of its one control plane: several of them need etcd (etcd.external of "
            "`kubeadm init --config`; `pybernetes store migrate` moves the state)"
        )
    if not config.certificate_key:
        return "\n".join(shared_certs.faults(paths, shared_certs.files(config.etcd)))
    return ""


PHASE = Phase(
    name="control-plane-preflight",
    help="Check that the machine and the cluster are fit for a further control plane",
    run=_run,
    after=("discovery",),
)
