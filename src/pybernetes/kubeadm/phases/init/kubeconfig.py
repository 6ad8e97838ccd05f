"""Kubeconfig files of the administrators, the control plane and this machine's kubelet. Next: control-plane."""

from collections.abc import Container

from msgspec import Struct

from pybernetes.client import kubeconfig
from pybernetes.kubeadm import config as c
from pybernetes.kubeadm.config import InitConfig
from pybernetes.kubeadm.errors import KubeadmError
from pybernetes.kubeadm.phases.init.certs import CLUSTER_ADMINS, authority_of
from pybernetes.kubeadm.workflow import Context, Phase
from pybernetes.wire.pki import certificates
from pybernetes.wire.pki.certificates import Authority, Leaf


class _Wanted(Struct, frozen=True):
    path: str
    leaf: Leaf
    local: bool = False
    """Asks the API server on this machine, whatever the cluster's endpoint is."""


def _files(config: InitConfig) -> tuple[_Wanted, ...]:
    node = Leaf(f"system:node:{config.node.name}", ("system:nodes",))
    return (
        _Wanted(c.ADMIN_CONF, Leaf("kubernetes-admin", (CLUSTER_ADMINS,))),
        _Wanted(c.SUPER_ADMIN_CONF, Leaf("kubernetes-super-admin", ("system:masters",))),
        _Wanted(c.KUBELET_CONF, node),
        _Wanted(c.CONTROLLER_MANAGER_CONF, Leaf("system:kube-controller-manager"), local=True),
        _Wanted(c.SCHEDULER_CONF, Leaf("system:kube-scheduler"), local=True),
    )


async def _run(context: Context[InitConfig]) -> None:
    write_files(context)


def write_files(context: Context[InitConfig], without: Container[str] = ()) -> None:
    """Writes the kubeconfigs that are missing, but for some. Raises KubeadmError, OSError."""
    config = context.config
    context.say('[kubeconfig] Using kubeconfig folder "/etc/kubernetes"')
    authority = authority_of(context.paths.at(c.PKI), "ca")
    for wanted in _files(config):
        if wanted.path in without:
            continue
        path = context.paths.at(wanted.path)
        server = config.local_endpoint if wanted.local else f"https://{config.endpoint}"
        if path.exists():
            _check_existing(context, wanted.path, server, authority)
            continue
        context.say(f'[kubeconfig] Writing "{path.name}" kubeconfig file')
        certificate, key = certificates.issue(authority, wanted.leaf, context.clock.now())
        user = kubeconfig.User(
            client_certificate_data=kubeconfig.encoded(certificate), client_key_data=kubeconfig.encoded(key)
        )
        cluster = kubeconfig.Cluster(server=server, certificate_authority_data=kubeconfig.encoded(authority.pem))
        kubeconfig.write(path, kubeconfig.new("kubernetes", cluster, wanted.leaf.name, user))


def _check_existing(context: Context[InitConfig], path: str, server: str, authority: Authority) -> None:
    try:
        cluster, _ = kubeconfig.resolve(kubeconfig.load(context.paths.at(path)), kubeconfig.Overrides())
    except kubeconfig.ConfigError as error:
        raise KubeadmError(str(error)) from error
    mend = "remove it, or run `kubeadm reset -f`"
    if cluster.certificate_authority_data != kubeconfig.encoded(authority.pem):
        raise KubeadmError(f'a kubeconfig file "{path}" exists already but has got the wrong CA cert: {mend}')
    if cluster.server != server:
        raise KubeadmError(f'a kubeconfig file "{path}" exists already but has got the wrong API Server URL: {mend}')
    context.say(f'[kubeconfig] Using existing kubeconfig file: "{path}"')


PHASE = Phase(
    name="kubeconfig",
    help="Generate all kubeconfig files necessary to establish the control plane and the admin kubeconfig file",
    run=_run,
    after=("certs",),
)
