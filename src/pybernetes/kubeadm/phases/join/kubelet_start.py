"""What the kubelet needs to ask for its own certificate, and its start. Next: kubelet-wait-bootstrap."""

import yaml

from pybernetes.api.errors import Unauthorized
from pybernetes.client import kubeconfig
from pybernetes.kubeadm import config as c
from pybernetes.kubeadm import nodefiles
from pybernetes.kubeadm.cluster import Cluster
from pybernetes.kubeadm.config import JoinConfig
from pybernetes.kubeadm.errors import KubeadmError
from pybernetes.kubeadm.workflow import Context, Phase
from pybernetes.wire.pki.files import write_public


async def _run(context: Context[JoinConfig]) -> None:
    config, api, found = context.config, context.api(), context.discovered
    assert found is not None  # the connection comes from the same phase
    context.say('[preflight] Reading configuration from the "kubeadm-config" ConfigMap in namespace "kube-system"...')
    configuration = await _kubelet_configuration(api)
    name = config.node.name
    taken = await api.node(name)
    if taken is not None and _is_ready(taken):
        raise KubeadmError(
            f'a Node with name "{name}" and status "Ready" already exists in the cluster. You must delete the existing '
            "Node or change the name of this new joining Node (--node-name)"
        )
    write_public(context.paths.at(f"{c.PKI}/ca.crt"), found.ca)
    server = kubeconfig.Cluster(server=found.server, certificate_authority_data=kubeconfig.encoded(found.ca))
    user = kubeconfig.User(token=str(config.token))
    bootstrap = kubeconfig.new("kubernetes", server, "tls-bootstrap-token-user", user)
    kubeconfig.write(context.paths.at(c.BOOTSTRAP_CONF), bootstrap)
    context.say(f'[kubelet-start] Writing kubelet configuration to file "{c.KUBELET_CONFIG}"')
    context.say(f'[kubelet-start] Writing kubelet environment file with flags to file "{c.KUBELET_FLAGS}"')
    context.paths.at(c.MANIFESTS).mkdir(parents=True, exist_ok=True, mode=0o700)
    nodefiles.write_kubelet_files(context.paths, config.node, configuration)
    if nodefiles.start_kubelet(context.paths):
        context.say("[kubelet-start] Starting the kubelet")
    else:
        context.warn(f"[kubelet-start] {nodefiles.how_to_start()}")


async def _kubelet_configuration(api: Cluster) -> dict[str, object]:
    try:
        data = await api.config_map("kube-system", "kubelet-config")
    except Unauthorized as error:
        raise KubeadmError(
            "the API server does not accept the bootstrap token (has it expired?). Use "
            '"kubeadm token create" on the control-plane node to create a new valid token'
        ) from error
    found = yaml.safe_load(data.get("kubelet", ""))
    if not isinstance(found, dict):
        raise KubeadmError("the kubelet-config ConfigMap has no kubelet configuration: was `kubeadm init` completed?")
    return found


def _is_ready(node: dict[str, object]) -> bool:
    status = node.get("status")
    conditions = status.get("conditions") if isinstance(status, dict) else None
    return any(item.get("type") == "Ready" and item.get("status") == "True" for item in conditions or ())


PHASE = Phase(
    name="kubelet-start",
    help="Write kubelet settings, certificates and (re)start the kubelet",
    run=_run,
    after=("control-plane-prepare",),
)
