"""Waits until the kubelet has its own certificate, then takes the token off the disk. Next: kube-proxy."""

from pybernetes.kubeadm import config as c
from pybernetes.kubeadm.cluster import wait_for
from pybernetes.kubeadm.config import JoinConfig
from pybernetes.kubeadm.errors import KubeadmError
from pybernetes.kubeadm.workflow import Context, Phase


async def _run(context: Context[JoinConfig]) -> None:
    context.say("[kubelet-start] Waiting for the kubelet to perform the TLS Bootstrap")
    file = context.paths.at(c.KUBELET_CONF)

    async def written() -> bool | None:
        return file.exists() or None

    if not await wait_for(context.clock, context.config.bootstrap_timeout, written):
        raise KubeadmError(
            f"the kubelet has not written {c.KUBELET_CONF} after {context.config.bootstrap_timeout:.0f}s. Look at its "
            "log ('journalctl -xeu kubelet', or /var/log/pybernetes/kubelet.log), and on the control-plane node at "
            "`kubectl get csr`: its request may wait for approval"
        )
    context.paths.at(c.BOOTSTRAP_CONF).unlink(missing_ok=True)


PHASE = Phase(
    name="kubelet-wait-bootstrap",
    help="Wait for the kubelet to bootstrap itself",
    run=_run,
    after=("kubelet-start",),
)
