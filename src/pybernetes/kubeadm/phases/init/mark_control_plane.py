"""Labels and taints this machine's Node, once the kubelet has made it. Next: bootstrap-token."""

from pybernetes.kubeadm.cluster import wait_for
from pybernetes.kubeadm.config import CONTROL_PLANE_TAINT, InitConfig
from pybernetes.kubeadm.errors import KubeadmError
from pybernetes.kubeadm.workflow import Context, Phase

LABELS = (CONTROL_PLANE_TAINT, "node.kubernetes.io/exclude-from-external-load-balancers")


async def mark(context: Context[InitConfig]) -> None:
    """Waits for the Node, then marks it. Raises KubeadmError, ApiError."""
    config, api = context.config, context.api()
    name = config.node.name
    node = await wait_for(context.clock, config.control_plane_timeout, lambda: api.node(name))
    if node is None:
        raise KubeadmError(
            f'the kubelet of this machine has not registered node "{name}" after {config.control_plane_timeout:.0f}s: '
            "look at its log ('journalctl -xeu kubelet', or /var/log/pybernetes/kubelet.log)"
        )
    context.say(
        f"[mark-control-plane] Marking the node {name} as control-plane by adding the labels: [{' '.join(LABELS)}]"
    )
    context.say(
        f"[mark-control-plane] Marking the node {name} as control-plane by adding the taints "
        f"[{CONTROL_PLANE_TAINT}:NoSchedule]"
    )
    taints = [t for t in (node.get("spec") or {}).get("taints") or [] if t.get("key") != CONTROL_PLANE_TAINT]
    taints.append({"key": CONTROL_PLANE_TAINT, "effect": "NoSchedule"})
    change = {"metadata": {"labels": dict.fromkeys(LABELS, "")}, "spec": {"taints": taints}}
    await api.patch_node(name, change)


PHASE = Phase(name="mark-control-plane", help="Mark a node as a control-plane", run=mark, after=("upload-certs",))
