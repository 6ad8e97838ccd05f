"""With --control-plane: shared certificates, own ones, kubeconfigs and manifests. Next: kubelet-start, which runs them."""

from pybernetes.api.errors import NotFound
from pybernetes.kubeadm import config as c
from pybernetes.kubeadm import shared_certs
from pybernetes.kubeadm.config import InitConfig, JoinConfig
from pybernetes.kubeadm.errors import KubeadmError
from pybernetes.kubeadm.phases.init import certs, control_plane, kubeconfig
from pybernetes.kubeadm.workflow import Context, Phase

_OF_INIT = frozenset({c.SUPER_ADMIN_CONF, c.KUBELET_CONF})
"""The one is the first control plane's, the other the kubelet gets by itself."""


async def _run(context: Context[JoinConfig]) -> None:
    if context.config.control_plane is None:
        return
    joining = await context.as_control_plane()
    if joining.config.certificate_key:
        await _download(context, joining.config)
    certs.write_files(joining)
    kubeconfig.write_files(joining, without=_OF_INIT)
    control_plane.write_files(joining)


async def _download(context: Context[JoinConfig], config: InitConfig) -> None:
    place = f'Secret "{shared_certs.SECRET}" in the "{shared_certs.NAMESPACE}" Namespace'
    context.say(f"[download-certs] Downloading the certificates in {place}")
    try:
        path = f"/api/v1/namespaces/{shared_certs.NAMESPACE}/secrets/{shared_certs.SECRET}"
        secret = await context.api().client.raw("GET", path)
    except NotFound as error:
        raise KubeadmError(
            f"error downloading certs: {place} was not found. This Secret might have expired. Please, run `kubeadm init "
            "phase upload-certs --upload-certs` on a control plane to generate a new one"
        ) from error
    shared_certs.unseal(context.paths, shared_certs.files(config.etcd), config.certificate_key, secret)


PHASE = Phase(
    name="control-plane-prepare",
    help="Prepare the machine for serving a control plane",
    run=_run,
    after=("control-plane-preflight",),
)
